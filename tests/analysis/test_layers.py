"""layer_table against plain loops: state, movement, revival, and what window 0 cannot know."""

import math
import shutil

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from recu_analysis import layer_table, open_run
from recu_analysis.analysis.selection import WindowSpan
from recu_analysis.testing import random_walk, synthetic_run
from recu_analysis.theory.quantization import exact
from recu_analysis.theory.standardize import WeightTransform, standard_scores
from tests.run_files import window_folder
from tests.store.recording import record

FIXED = [
    "window",
    "epoch",
    "layer",
    "weights",
    "updates",
    "exact",
    "constant_channels",
    "measured",
    "tau",
    "b_hat",
    "quantile",
    "clamped_fraction",
    "alpha",
    "qe_measured",
    "qe_exact",
    "qe_printed",
    "entropy",
    "entropy_bound",
    "sign_entropy",
    "gennorm_shape",
    "ks_laplace",
    "update_magnitude",
    "update_magnitude_tail",
    "update_magnitude_core",
    "mobility",
    "mobility_tail",
    "mobility_core",
    "flip_ratio",
    "flip_ratio_tail",
    "flip_ratio_core",
    "silent_fraction",
    "silent_fraction_tail",
    "silent_fraction_core",
    "still_fraction",
    "tail_fraction",
    "dead_fraction",
    "revived_fraction",
    "revived_fraction_core",
    "autocorrelation",
    "net_displacement",
    "c2i",
]


@pytest.fixture(scope="module")
def table(run):
    return layer_table(run)


def test_one_row_a_layer_and_window_with_the_fixed_names(table):
    assert set(FIXED) <= set(table)
    assert list(zip(table["window"], table["layer"], strict=True))[:3] == [(0, "first"), (0, "second"), (1, "first")]
    assert table["epoch"].tolist()[2:] == [0, 0, 1, 1, 2, 2, 3, 3]


def test_window_0_has_a_state_and_no_movement(table):
    row = table.iloc[0]
    assert row["updates"] == 0
    assert math.isnan(row["epoch"])
    assert math.isnan(row["mobility"])
    assert math.isnan(row["dead_fraction"])
    assert row["b_hat"] > 0
    assert row["c2i"] == 1.0


def test_state_of_the_standardized_weights(table, synthetic):
    row = table[(table["window"] == 2) & (table["layer"] == "second")].iloc[0]
    weights = synthetic.history["second"][10].astype(np.float64)
    scaled = np.empty_like(weights)
    for c, channel in enumerate(weights):
        deviation = math.sqrt(channel.var(ddof=1) + 1e-5)
        scaled[c] = (channel - channel.mean()) / (deviation / (2 * math.sqrt(2)))
    b_hat = np.abs(scaled).mean()
    bound = stats.laplace(scale=b_hat).ppf(0.85)
    clamped = np.clip(scaled, -bound, bound)
    alpha = np.abs(clamped).mean()
    assert row["tau"] == 0.85
    assert row["b_hat"] == pytest.approx(b_hat)
    assert row["quantile"] == pytest.approx(bound)
    assert row["clamped_fraction"] == pytest.approx((np.abs(scaled) > bound).mean())
    assert row["alpha"] == pytest.approx(alpha)
    assert row["qe_measured"] == pytest.approx(((clamped - alpha * np.where(scaled < 0, -1, 1)) ** 2).mean())
    assert row["qe_exact"] == pytest.approx(float(exact(0.85, b_hat)))
    assert row["qe_printed"] == pytest.approx(row["qe_exact"] + 16 * b_hat**2 * 0.15**3)
    assert row["entropy"] == pytest.approx(math.log(2) + 0.7 * (math.log(b_hat) + 1))
    assert row["entropy_bound"] == pytest.approx(math.log(2 * math.e * b_hat))
    p = (scaled >= 0).mean()
    assert row["sign_entropy"] == pytest.approx(stats.entropy([p, 1 - p]))


def test_movement_in_raw_units_and_flips(table, synthetic):
    row = table[(table["window"] == 3) & (table["layer"] == "first")].iloc[0]
    walk = synthetic.history["first"].astype(np.float64).reshape(21, 4, -1)
    moves = np.abs(np.diff(walk[10:16], axis=0))
    z = np.abs(standard_scores(walk[10])).reshape(-1)
    tail = np.isin(np.arange(z.size), np.argsort(-z)[: round(0.3 * z.size)])
    assert row["update_magnitude"] == pytest.approx(moves.mean(), rel=1e-6)
    assert row["update_magnitude_tail"] == pytest.approx(moves.reshape(5, -1)[:, tail].mean(), rel=1e-6)
    signs = (walk - walk.mean(axis=2, keepdims=True))[10:16] < 0
    flips = (signs[1:] != signs[:-1]).reshape(5, -1)
    assert row["flip_ratio"] == pytest.approx(flips.mean())
    assert row["flip_ratio_core"] == pytest.approx(flips[:, ~tail].mean())
    assert row["net_displacement"] == pytest.approx(np.abs(walk[15] - walk[10]).mean(), rel=1e-6)


def test_c2i_compares_with_the_initial_signs(table, synthetic):
    row = table[(table["window"] == 4) & (table["layer"] == "second")].iloc[0]
    first, last = (WeightTransform(center=True).signs(synthetic.history["second"][update]) for update in (0, 20))
    assert row["c2i"] == pytest.approx(1 - (first != last).mean())


def test_revived_are_the_dead_that_flip_in_the_next_window(tmp_path):
    # Ten weights of one channel: two far ones, of which one comes back and crosses 0 in the second window.
    start = np.array([-3.0, 3.0, -0.5, 0.5, -0.4, 0.4, -0.3, 0.3, -0.2, 0.2], np.float32)
    later = start.copy()
    later[1] = -1.0
    walk = np.stack([start, start * 1.01, later])[:, None]
    table = layer_table(open_run(synthetic_run(tmp_path / "run", {"a": walk}, windows=2).path), tail_tau=0.9)
    assert table["dead_fraction"].tolist()[1:] == pytest.approx([0.2, 0.1])
    assert table["revived_fraction"].tolist()[2] == pytest.approx(0.5)
    assert math.isnan(table["revived_fraction"][1])


def test_a_range_is_one_row_a_layer(run):
    table = layer_table(run, windows=WindowSpan(1, 5), layers="second")
    assert len(table) == 1
    assert table["updates"].tolist() == [20]
    assert table["window"].tolist() == [4]


def test_layers_without_clamp_have_tau_1(tmp_path):
    transform = WeightTransform(center=True, target=2.0)
    run = open_run(synthetic_run(tmp_path / "run", {"a": random_walk((4, 30), 4)}, transform=transform).path)
    object.__setattr__(run.windows[1].header.layers["a"], "tau", None)
    row = layer_table(run).loc[1]
    assert row["tau"] == 1.0
    assert row["quantile"] == math.inf
    assert row["clamped_fraction"] == 0.0
    assert row["alpha"] == row["b_hat"]


def test_nothing_finite_gives_no_numbers(tmp_path):
    walk = random_walk((2, 9), 2)
    walk[1:] = np.nan
    table = layer_table(open_run(synthetic_run(tmp_path / "run", {"a": walk}, windows=1).path))
    assert math.isnan(table["b_hat"][1])
    assert math.isnan(table["mobility"][1])
    assert table["nonfinite"][1] == 18


def test_sampled_runs_say_so(tmp_path):
    run = open_run(synthetic_run(tmp_path / "run", exact=False).path)
    assert not layer_table(run)["exact"].any()


@pytest.mark.parametrize("center", [True, False])
def test_shape_and_distance_are_those_of_the_standard_scores(tmp_path, center):
    generator = np.random.default_rng(3)
    units = np.geomspace(0.1, 5.0, 12)[:, None]
    walks = {"a": generator.normal(0.3, 1, size=(2, 12, 60)) * units, "b": generator.laplace(size=(2, 12, 60)) * units}
    transform = WeightTransform(center=center, target=2.0)
    history = {name: walk.astype(np.float32) for name, walk in walks.items()}
    run = open_run(synthetic_run(tmp_path / "run", history, windows=1, transform=transform).path)
    for _, row in layer_table(run).iterrows():
        rows = run.windows[row["window"]][row["layer"]].weight.astype(np.float64)
        z = ((rows - rows.mean(axis=1, keepdims=True) * center) / rows.std(axis=1, ddof=1, keepdims=True)).ravel()
        assert row["gennorm_shape"] == pytest.approx(stats.gennorm.fit(z, 1.5, floc=0, scale=1.0)[0], rel=1e-3)
        law = stats.laplace(scale=np.abs(z).mean())
        assert row["ks_laplace"] == pytest.approx(stats.kstest(z, law.cdf).statistic, abs=1e-12)
        assert row["tau"] == 1.0


def test_shape_and_distance_leave_out_channels_without_scores(tmp_path):
    walk = random_walk((10, 40), 1)
    walk[1, 2] = 0.5
    walk[1, 4, 0] = np.nan
    run = open_run(synthetic_run(tmp_path / "run", {"a": walk}, windows=1).path)
    z = standard_scores(np.delete(walk[1], [2, 4], axis=0)).ravel()
    row = layer_table(run).iloc[1]
    assert row["gennorm_shape"] == pytest.approx(stats.gennorm.fit(z, 2.0, floc=0, scale=1.0)[0], rel=1e-3)
    law = stats.laplace(scale=np.abs(z).mean())
    assert row["ks_laplace"] == pytest.approx(stats.kstest(z, law.cdf).statistic, abs=1e-12)


@pytest.mark.parametrize("row", [np.full(9, 1.0), np.full(9, np.nan)])
def test_no_scores_have_neither_shape_nor_distance(tmp_path, row):
    walk = random_walk((2, 9), 1)
    walk[1] = row
    table = layer_table(open_run(synthetic_run(tmp_path / "run", {"a": walk}, windows=1).path))
    assert table[["gennorm_shape", "ks_laplace"]].iloc[1].isna().all()


def test_two_values_have_a_distance_and_no_shape(tmp_path):
    walk = np.tile(np.float32([-1.0, 1.0]), (2, 3, 10))
    table = layer_table(open_run(synthetic_run(tmp_path / "run", {"a": walk}, windows=1).path))
    assert table["gennorm_shape"].isna().all()
    # Half of the values lie at -s and half at s, the scale of the fitted Laplace.
    assert table["ks_laplace"].tolist() == pytest.approx([0.5 - 0.5 * math.exp(-1)] * 2)


def test_after_a_gap_there_is_a_state_and_no_movement(tmp_path):
    path = synthetic_run(tmp_path / "run", {"a": random_walk((4, 30), 12, step=0.3)}, windows=6).path
    whole = layer_table(open_run(path)).set_index("window")
    shutil.rmtree(window_folder(path, 3))
    table = layer_table(open_run(path)).set_index("window")
    assert table.index.tolist() == [0, 1, 2, 4, 5, 6]
    assert table.loc[4, ["mobility", "flip_ratio", "autocorrelation", "revived_fraction"]].isna().all()
    assert table.loc[4, "b_hat"] == whole.loc[4, "b_hat"]
    assert np.isnan(table.loc[5, "revived_fraction"]), "window 4 is not known"
    assert table.loc[[1, 2, 6]].equals(whole.loc[[1, 2, 6]])


def test_signs_that_nan_took_are_neither_changed_nor_revived(tmp_path):
    walk = random_walk((6, 40), 12, step=0.3)
    broken = walk.copy()
    broken[9:, 2, 5] = np.nan
    whole = layer_table(open_run(synthetic_run(tmp_path / "whole", {"a": np.delete(walk, 2, axis=1)}, windows=6).path))
    table = layer_table(open_run(synthetic_run(tmp_path / "run", {"a": broken}, windows=6).path))
    names = ["c2i", "flip_ratio", "silent_fraction"]
    pd.testing.assert_frame_equal(table.loc[5:, names], whole.loc[5:, names])
    assert table.loc[6, "revived_fraction"] == whole.loc[6, "revived_fraction"]


@pytest.mark.parametrize("form", [{}, {"network": True}, {"long": True}])
def test_a_run_without_windows_has_an_empty_table_with_its_columns(tmp_path, form):
    path = record(tmp_path / "run", (1, 4))
    columns = layer_table(path, **form).columns
    still = record(tmp_path / "still")
    assert len(layer_table(still, **form)) == len(layer_table(path, **form)) / 2, "a state is a row"
    shutil.rmtree(window_folder(still, 0))
    table = layer_table(still, **form)
    assert len(table) == 0
    assert table.columns.tolist() == columns.tolist()
