"""Flips by layer and window against a plain loop, the flip law on a random walk, and lock-in."""

import math
from shutil import rmtree

import numpy as np
import pandas as pd
import pytest
from scipy import spatial

from recu_analysis import flip_table, open_run
from recu_analysis.analysis.flips import zero_density
from recu_analysis.errors import WindowNotFoundError
from recu_analysis.testing import random_walk, synthetic_run
from recu_analysis.theory.standardize import standard_scores
from tests.run_files import window_folder


def signs(walk):
    return np.array([standard_scores(w).ravel() >= 0 for w in walk])


@pytest.mark.parametrize("layer", ["first", "second"])
def test_columns_against_a_plain_loop(run, synthetic, layer):
    table = flip_table(run, layers=layer).set_index("window")
    plus = signs(synthetic.history[layer])
    for window in (1, 2, 3, 4):
        first, last = synthetic.marks[window - 1], synthetic.marks[window]
        flips = (plus[first + 1 : last + 1] != plus[first:last]).sum(axis=0)
        later = (plus[last + 1 :] != plus[last:-1]).sum(axis=0)
        row = table.loc[window]
        assert row["flip_ratio"] == pytest.approx(flips.mean() / 5)
        assert row["silent_fraction"] == pytest.approx((flips == 0).mean())
        assert row["reversals"] == pytest.approx(np.maximum(flips - 1, 0).mean())
        assert row["bop"] == pytest.approx(math.log(flips.mean() / 5 + math.exp(-9)))
        assert row["c2i"] == pytest.approx(1 - (plus[last] != plus[0]).mean())
        assert row["c2i_original"] == pytest.approx(1 - 2 * (plus[last] != plus[0]).mean())
        assert row["locked_fraction"] == pytest.approx((later == 0).mean())
        z = [standard_scores(synthetic.history[layer][at]).ravel() for at in (last, 20)]
        assert row["autocorrelation_to_end"] == pytest.approx(1 - spatial.distance.cosine(*z), rel=1e-5)


def test_the_flip_law_holds_for_steps_that_do_not_depend_on_z(tmp_path):
    walk = random_walk((64, 600), 40, step=0.03)
    row = flip_table(open_run(synthetic_run(tmp_path / "run", {"a": walk}, windows=1).path)).iloc[0]
    assert row["flip_ratio"] == pytest.approx(row["flip_ratio_predicted"], rel=0.05)


def test_the_density_at_zero_is_that_of_the_normal():
    z = np.random.default_rng(0).normal(size=200_000)
    assert zero_density(z) == pytest.approx(1 / math.sqrt(2 * math.pi), rel=0.02)


def test_a_run_without_its_initial_state_has_no_c2i_and_begins_after_its_gap(tmp_path):
    path = synthetic_run(tmp_path / "run", windows=4).path
    whole = flip_table(open_run(path))
    rmtree(window_folder(path, 0))
    rmtree(window_folder(path, 1))
    rest = flip_table(open_run(path))
    assert rest["window"].unique().tolist() == [3, 4]
    assert rest["c2i"].isna().all()
    assert rest["c2i_original"].isna().all()
    known = whole[whole["window"] > 2].reset_index(drop=True)
    pd.testing.assert_frame_equal(
        *(each.drop(columns=["c2i", "c2i_original", "locked_fraction_null"]) for each in (rest, known))
    )


def test_a_gap_before_the_last_window_leaves_nothing(tmp_path):
    path = synthetic_run(tmp_path / "run", windows=4).path
    rmtree(window_folder(path, 3))
    with pytest.raises(WindowNotFoundError, match="is missing"):
        flip_table(open_run(path))
