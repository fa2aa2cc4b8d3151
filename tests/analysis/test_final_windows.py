"""Final windows and the decorrelation time against a plain search over windows."""

import shutil

import numpy as np
import pytest
from scipy import spatial

from recu_analysis import dead_weights, open_run
from recu_analysis.analysis.final_windows import (
    common_final_windows,
    decorrelation_time,
    equal_final_windows,
    equal_windows,
    final_windows,
    null_query,
)
from recu_analysis.analysis.selection import WindowSpan
from recu_analysis.cli.window_notes import choice
from recu_analysis.errors import InputError
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


#: Decay time of an update, and what is left after it.
DECAY, KEPT = 0.05, 0.95


@pytest.fixture(scope="module")
def forgetful_run(tmp_path_factory):
    history = {"a": forgetful((8, 200), 24, keep=KEPT), "b": forgetful((4, 100), 24, keep=0.99, seed=1)}
    return synthetic_run(tmp_path_factory.mktemp("forgetful") / "run", history, windows=12, decay_time=DECAY)


def plain_null(synthetic, start, end):
    """exp(-T) times the ratio of the spreads of each channel, a mean over all weights."""
    ratios = [
        np.repeat(walk[start].std(axis=1, ddof=1) / walk[end].std(axis=1, ddof=1), walk.shape[2])
        for walk in synthetic.history.values()
    ]
    sizes = [walk[0].size - len(walk[0]) for walk in synthetic.history.values()]  # a channel of n has n - 1 of freedom
    return KEPT ** (end - start) * np.average([each.mean() for each in ratios], weights=sizes)


def test_the_null_is_what_decay_leaves_over_the_growth_of_the_channels(forgetful_run):
    run = open_run(forgetful_run.path)
    for first, last in ((1, 1), (3, 7), (1, 12)):
        found = null_query(run, run.header.layers, first, last).run()
        expected = plain_null(forgetful_run, forgetful_run.marks[first - 1], forgetful_run.marks[last])
        assert found == pytest.approx(expected, abs=1e-6)


def test_the_null_is_near_what_noise_leaves_and_not_what_a_layer_that_is_held_keeps(forgetful_run):
    run = open_run(forgetful_run.path)
    walk = forgetful_run.history["a"]
    z = [standard_scores(walk[at]).ravel() for at in (0, 24)]
    assert null_query(run, run.header.layers[:1], 1, 12).run() == pytest.approx(
        1 - spatial.distance.cosine(*z), abs=0.08
    )
    held = dead_weights(run, windows=slice(None), layers="b").iloc[0]
    assert held["autocorrelation"] > 0.7
    assert held["autocorrelation_null"] < 0.4


def test_final_windows_are_the_fewest_that_forget_half(forgetful_run):
    run = open_run(forgetful_run.path)
    found = final_windows(run)
    nulls = [
        plain_null(forgetful_run, forgetful_run.marks[first - 1], forgetful_run.marks[-1]) for first in range(1, 13)
    ]
    expected = max(first for first, null in enumerate(nulls, start=1) if null <= 0.5)
    assert found.long
    assert found.span == WindowSpan(expected, 13)
    assert found.null == pytest.approx(nulls[expected - 1], abs=1e-6)


def test_the_decorrelation_time_counts_the_windows_after_one(forgetful_run):
    run = open_run(forgetful_run.path)
    for after in (0, 2):
        nulls = {
            last: plain_null(forgetful_run, forgetful_run.marks[after], forgetful_run.marks[last])
            for last in range(after + 1, 13)
        }
        expected = min(last for last, null in nulls.items() if null <= 0.5)
        assert decorrelation_time(run, after=after) == expected - after
    assert decorrelation_time(run, after=11) is None


def test_where_nothing_is_long_enough_it_is_every_window(tmp_path):
    run = open_run(synthetic_run(tmp_path / "run", decay_time=1e-3).path)
    found = final_windows(run)
    assert (found.span, found.long) == (WindowSpan(1, 5), False)
    assert found.null > 0.5


def test_layers_without_scores_have_no_memory(tmp_path):
    """Channels of one weight have z = 0, which is not to have forgotten."""
    walk = random_walk((8, 40), 4)
    run = open_run(synthetic_run(tmp_path / "run", {"a": walk, "single": random_walk((8, 1), 4)}).path)
    span = final_windows(run).span
    ends = (span.start, span.last)
    assert final_windows(run).null == null_query(run, run.header.layers[:1], *ends).run()
    alone = open_run(synthetic_run(tmp_path / "alone", {"single": random_walk((8, 1), 4)}).path)
    assert not final_windows(alone).long
    assert np.isnan(final_windows(alone).null)
    (line,) = choice(alone, final_windows(alone))
    says(line, "all windows", "constant, NaN or infinite")


def test_final_windows_begin_after_a_gap(tmp_path):
    path = synthetic_run(tmp_path / "run", decay_time=1e-3).path
    shutil.rmtree(window_folder(path, 2))
    run = open_run(path)
    assert final_windows(run).span == WindowSpan(4, 5)
    says(choice(run, final_windows(run))[0], "all windows after the last gap")


def test_runs_that_end_alike_share_the_longer_windows(forgetful_run, tmp_path):
    """Those of the slower run; the nulls then differ less than the tolerance."""
    quick = {"a": forgetful((8, 200), 24, keep=0.9), "b": forgetful((4, 100), 24, keep=0.9)}
    other = open_run(synthetic_run(tmp_path / "quick", quick, windows=12, decay_time=0.06).path)
    run = open_run(forgetful_run.path)
    assert final_windows(other).span.start > final_windows(run).span.start
    shared = equal_final_windows({"slow": run, "quick": other})
    assert shared == dict.fromkeys(("slow", "quick"), final_windows(run).span)
    short = open_run(synthetic_run(tmp_path / "short", {"a": random_walk((4, 30), 6)}, windows=3).path)
    assert common_final_windows({"slow": run, "short": short})["short"] == final_windows(short).span


def test_runs_of_which_noise_leaves_different_parts_are_not_compared(forgetful_run, tmp_path):
    quick = {"a": forgetful((8, 200), 24, keep=0.9), "b": forgetful((4, 100), 24, keep=0.9)}
    fast, slow = (
        open_run(synthetic_run(tmp_path / str(rate), quick, windows=12, decay_time=rate).path) for rate in (0.2, 0.01)
    )
    for windows in (None, "1:13"):
        with pytest.raises(InputError) as refused:
            equal_windows({"fast": fast, "slow": slow}, windows)
        says(str(refused.value), "null autocorrelation 0.0", "in fast", "in slow", "at most 0.1 apart")
    assert set(equal_windows({"fast": fast, "again": fast}, "1:13").values()) == {WindowSpan(1, 13)}
    # Without rates, nothing is known about either, and the number of updates decides alone.
    imported = {each: open_run(synthetic_run(tmp_path / each, quick, exact=False).path) for each in "ab"}
    assert set(equal_windows(imported, None).values()) == {WindowSpan(1, 5)}


def test_weights_that_are_not_finite_are_left_out(tmp_path):
    walk = random_walk((4, 30), 4)
    walk[2:, 0, 0] = np.nan
    run = open_run(synthetic_run(tmp_path / "run", {"a": walk}, decay_time=DECAY).path)
    ratios = [walk[0, channel].std(ddof=1) / walk[4, channel].std(ddof=1) for channel in (1, 2, 3)]
    assert null_query(run, run.header.layers, 1, 4).run() == pytest.approx(KEPT**4 * np.mean(ratios), abs=1e-6)


@pytest.mark.parametrize("shape", [(32, 100), (16, 2), (4, 3, 3, 3)])
@pytest.mark.parametrize("center", [True, False])
def test_what_stands_still_keeps_its_autocorrelation_and_not_its_null(tmp_path, shape, center):
    """However few weights a channel holds, and however many channels are constant."""
    still = np.repeat(random_walk(shape, 0), 5, axis=0) + 0.3
    still[:, shape[0] // 2 :] = 0.25
    transform = WeightTransform(center=center, target=2.0)
    run = open_run(synthetic_run(tmp_path / "run", {"a": still.astype(np.float32)}, transform=transform).path)
    assert null_query(run, run.header.layers, 1, 4).run() <= (0.9**4 + 1e-6 if center else 0.96)
    assert dead_weights(run)["autocorrelation"].item() == pytest.approx(1.0)


def test_a_decorrelation_time_before_a_gap_is_found(tmp_path):
    path = synthetic_run(
        tmp_path / "run", {"a": random_walk((10, 60), 40, step=0.4, seed=1)}, windows=8, decay_time=0.03
    ).path
    whole = decorrelation_time(open_run(path), after=0)
    shutil.rmtree(window_folder(path, 6))
    assert whole < 6
    assert decorrelation_time(open_run(path), after=0) == whole
    assert decorrelation_time(open_run(path), after=4) is None, "window 5 alone is too short, and the next is missing"
