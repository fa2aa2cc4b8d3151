"""Final windows and the decorrelation time against a plain search over windows."""

import shutil

import numpy as np
import pytest
from scipy import spatial

from recu_analysis import dead_weights, open_run
from recu_analysis.analysis.final_windows import (
    autocorrelation_query,
    common_final_windows,
    decorrelation_time,
    final_windows,
)
from recu_analysis.analysis.selection import WindowSpan
from recu_analysis.cli.window_notes import choice
from recu_analysis.testing import random_walk, synthetic_run
from recu_analysis.theory.standardize import WeightTransform, standard_scores
from tests.messages import says
from tests.run_files import window_folder


def forgetful(shape, updates, *, keep, seed=0):
    """Normal weights of which each update keeps a share: the autocorrelation falls as keep^updates."""
    generator = np.random.default_rng(seed)
    walk = [generator.normal(size=shape)]
    for _ in range(updates):
        walk.append(keep * walk[-1] + np.sqrt(1 - keep**2) * generator.normal(size=shape))
    return np.array(walk, np.float32)


@pytest.fixture(scope="module")
def forgetful_run(tmp_path_factory):
    history = {"a": forgetful((8, 200), 24, keep=0.95), "b": forgetful((4, 100), 24, keep=0.9, seed=1)}
    return synthetic_run(tmp_path_factory.mktemp("forgetful") / "run", history, windows=12)


def plain_autocorrelation(synthetic, start, end):
    """Cosine of z before and after some updates over all weights."""
    walks = synthetic.history.values()
    z = (np.concatenate([standard_scores(walk[at]).ravel() for walk in walks]) for at in (start, end))
    return 1 - spatial.distance.cosine(*z)


def test_memory_is_the_cosine_of_standard_scores(forgetful_run):
    run = open_run(forgetful_run.path)
    for first, last in ((1, 1), (3, 7), (1, 12)):
        found = autocorrelation_query(run, run.header.layers, first, last).run()
        assert found == pytest.approx(
            plain_autocorrelation(forgetful_run, forgetful_run.marks[first - 1], forgetful_run.marks[last]), abs=1e-6
        )


def test_final_windows_are_the_fewest_that_forget_half(forgetful_run):
    run = open_run(forgetful_run.path)
    found = final_windows(run)
    autocorrelations = [
        plain_autocorrelation(forgetful_run, forgetful_run.marks[first - 1], forgetful_run.marks[-1])
        for first in range(1, 13)
    ]
    expected = max(first for first, autocorrelation in enumerate(autocorrelations, start=1) if autocorrelation <= 0.5)
    assert found.long
    assert found.span == WindowSpan(expected, 13)
    assert found.autocorrelation == pytest.approx(autocorrelations[expected - 1], abs=1e-6)


def test_the_decorrelation_time_counts_the_windows_after_one(forgetful_run):
    run = open_run(forgetful_run.path)
    for after in (0, 3):
        autocorrelations = {
            last: plain_autocorrelation(forgetful_run, forgetful_run.marks[after], forgetful_run.marks[last])
            for last in range(after + 1, 13)
        }
        expected = min(last for last, autocorrelation in autocorrelations.items() if autocorrelation <= 0.5)
        assert decorrelation_time(run, after=after) == expected - after
    assert decorrelation_time(run, after=11) is None


def test_where_nothing_is_long_enough_it_is_the_last_half(tmp_path):
    run = open_run(synthetic_run(tmp_path / "run").path)
    found = final_windows(run)
    assert (found.span, found.long) == (WindowSpan(3, 5), False)
    assert found.autocorrelation > 0.5


def test_layers_without_scores_have_no_memory(tmp_path):
    """Channels of one weight have z = 0, which is not to have forgotten."""
    walk = random_walk((8, 40), 4)
    run = open_run(synthetic_run(tmp_path / "run", {"a": walk, "single": random_walk((8, 1), 4)}).path)
    assert final_windows(run).autocorrelation == autocorrelation_query(run, run.header.layers[:1], 3, 4).run()
    alone = open_run(synthetic_run(tmp_path / "alone", {"single": random_walk((8, 1), 4)}).path)
    assert not final_windows(alone).long
    assert np.isnan(final_windows(alone).autocorrelation)
    (line,) = choice(alone, final_windows(alone))
    says(line, "last half of the run", "constant, NaN or infinite")


def test_the_last_half_begins_after_a_gap(tmp_path):
    path = synthetic_run(tmp_path / "run").path
    shutil.rmtree(window_folder(path, 2))
    run = open_run(path)
    assert final_windows(run).span == WindowSpan(4, 5)
    says(choice(run, final_windows(run))[0], "the last half of the windows after the last gap")


def test_runs_that_end_alike_share_the_longer_windows(forgetful_run, tmp_path):
    quick = {"a": forgetful((8, 200), 24, keep=0.7), "b": forgetful((4, 100), 24, keep=0.7)}
    other = open_run(synthetic_run(tmp_path / "quick", quick, windows=12).path)
    run = open_run(forgetful_run.path)
    assert final_windows(other).span.start > final_windows(run).span.start
    assert common_final_windows({"slow": run, "quick": other}) == dict.fromkeys(
        ("slow", "quick"), final_windows(run).span
    )
    short = open_run(synthetic_run(tmp_path / "short", {"a": random_walk((4, 30), 6)}, windows=3).path)
    assert common_final_windows({"slow": run, "short": short})["short"] == WindowSpan(2, 4)


def test_weights_that_are_not_finite_are_left_out(tmp_path):
    walk = random_walk((4, 30), 4)
    walk[2:, 0, 0] = np.nan
    run = open_run(synthetic_run(tmp_path / "run", {"a": walk}).path)
    good = (standard_scores(walk[at])[1:].ravel() for at in (0, 4))
    assert autocorrelation_query(run, run.header.layers, 1, 4).run() == pytest.approx(
        1 - spatial.distance.cosine(*good), abs=1e-6
    )


@pytest.mark.parametrize("shape", [(32, 100), (16, 2), (4, 3, 3, 3)])
@pytest.mark.parametrize("center", [True, False])
def test_nothing_that_stands_still_has_forgotten(tmp_path, shape, center):
    """However few weights a channel holds, and however many channels are constant."""
    still = np.repeat(random_walk(shape, 0), 5, axis=0) + 0.3
    still[:, shape[0] // 2 :] = 0.25
    transform = WeightTransform(center=center, target=2.0)
    run = open_run(synthetic_run(tmp_path / "run", {"a": still.astype(np.float32)}, transform=transform).path)
    assert autocorrelation_query(run, run.header.layers, 1, 4).run() == pytest.approx(1.0)
    assert not final_windows(run).long
    assert dead_weights(run)["autocorrelation"].item() == pytest.approx(1.0)


def test_a_decorrelation_time_before_a_gap_is_found(tmp_path):
    path = synthetic_run(tmp_path / "run", {"a": random_walk((10, 60), 40, step=0.4, seed=1)}, windows=8).path
    whole = decorrelation_time(open_run(path), after=0)
    shutil.rmtree(window_folder(path, 6))
    assert whole < 6
    assert decorrelation_time(open_run(path), after=0) == whole
    assert decorrelation_time(open_run(path), after=4) is None, "window 5 alone is too short, and the next is missing"
