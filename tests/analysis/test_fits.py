"""fit_table against scipy and plain loops over the recorded weights, and what it leaves out and says so."""

import math
import shutil

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from recu_analysis import open_run
from recu_analysis.analysis.fits import fit_table
from recu_analysis.analysis.selection import WindowSpan
from recu_analysis.errors import LayerNotFoundError, WindowNotFoundError
from recu_analysis.testing import synthetic_run
from recu_analysis.theory.empirical import differential_entropy
from recu_analysis.theory.standardize import WeightTransform
from tests.messages import says

# Channels of different scale, so that the raw weights pooled are no normal sample.
UNITS = np.geomspace(0.05, 5.0, 16)


def history(updates=2):
    """Two layers of 16 channels, normal and Laplace, new in every update, and one that never varies."""
    generator = np.random.default_rng(11)
    normal = generator.normal(0.2, 1.0, size=(updates + 1, 16, 5, 3, 3)) * UNITS.reshape(-1, 1, 1, 1)
    laplace = generator.laplace(size=(updates + 1, 16, 80)) * UNITS[:, None]
    constant = np.full((updates + 1, 8, 20), 0.25)
    walks = {"body.normal": normal, "body.laplace": laplace, "head.constant": constant}
    return {name: walk.astype(np.float32) for name, walk in walks.items()}


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    return open_run(synthetic_run(tmp_path_factory.mktemp("fits") / "run", history(), windows=2).path)


@pytest.fixture(scope="module")
def table(fitted):
    return fit_table(fitted).set_index("layer")


def run_of(path, walks, transform=None):
    return open_run(synthetic_run(path / "run", walks, windows=1, transform=transform).path)


def rows_of(run, layer, window=-1):
    weight = run.windows[window][layer].weight.astype(np.float64)
    return weight.reshape(len(weight), -1)


def scores(rows):
    return np.stack([(row - row.mean()) / row.std(ddof=1) for row in rows])


def standardized(rows, target=2.0):
    return np.stack(
        [(row - row.mean()) / (math.sqrt(row.var(ddof=1) + 1e-5) / (math.sqrt(2) * target)) for row in rows]
    )


@pytest.mark.parametrize("layer", ["body.normal", "body.laplace"])
def test_distributions_are_fitted_to_the_standard_scores(fitted, table, layer):
    row, z = table.loc[layer], scores(rows_of(fitted, layer)).ravel()
    laplace, normal = stats.laplace(scale=np.abs(z).mean()), stats.norm(scale=np.sqrt((z**2).mean()))
    beta, _, scale = stats.gennorm.fit(z, 1.5, floc=0, scale=1.0)
    likelihood = laplace.logpdf(z).sum()
    assert row["shape"] == pytest.approx(beta, rel=1e-3)
    assert row["shape_low"] < row["shape"] < row["shape_high"]
    assert row["scale_ratio"] == pytest.approx(math.sqrt(2) * np.abs(z).mean(), rel=1e-6)
    assert row["ks_laplace"] == pytest.approx(stats.kstest(z, laplace.cdf).statistic, abs=1e-6)
    assert row["ks_normal"] == pytest.approx(stats.kstest(z, normal.cdf).statistic, abs=1e-6)
    assert row["aic_normal"] == pytest.approx(2 * likelihood - 2 * normal.logpdf(z).sum(), rel=1e-5, abs=1e-3)
    general = stats.gennorm(beta, scale=scale).logpdf(z).sum()
    assert row["aic_gennorm"] == pytest.approx(2 * likelihood - 2 * general + 2, rel=1e-5, abs=1e-2)


@pytest.mark.parametrize("layer", ["body.normal", "body.laplace"])
def test_scale_errors_and_entropies_are_of_the_standardized_weights(fitted, table, layer):
    row, w = table.loc[layer], standardized(rows_of(fitted, layer))
    b = np.abs(w).mean()
    bound = -b * math.log(2 - 2 * 0.85)
    clamped = np.clip(w, -bound, bound)
    alpha = np.abs(clamped).mean()
    exact = b**2 * (4 * 0.15 * math.log(0.3) + 2 * 0.7 - 0.7**2)
    inside = np.sort(w[np.abs(w) < bound])
    shares = [np.mean(w <= -bound), np.mean(w >= bound), inside.size / w.size]
    expected = {
        "tau": 0.85,
        "b_star": 2.0,
        "weights": w.size,
        "channels": 16,
        "window": 2,
        "b_hat": b,
        "b_ratio": b / 2,
        "clamped_fraction": (np.abs(w) > bound).mean(),
        "clamped_laplace": 0.3,
        "alpha": alpha,
        "qe_measured": ((np.abs(clamped) - alpha) ** 2).mean(),
        "qe_measured_relative": ((np.abs(clamped) - alpha) ** 2).mean() / b**2,
        "qe_exact": exact,
        "qe_exact_relative": exact / b**2,
        "qe_printed": exact + 16 * b**2 * 0.15**3,
        "qe_printed_relative": exact / b**2 + 16 * 0.15**3,
        "entropy_measured": stats.entropy(shares) + shares[2] * differential_entropy(inside),
        "entropy": math.log(2) + 0.7 * (math.log(b) + 1),
        "entropy_bound": math.log(2 * math.e * b),
        "sign_entropy": stats.entropy([(w >= 0).mean(), (w < 0).mean()]),
    }
    assert row[list(expected)].astype(float).to_dict() == pytest.approx(expected, rel=2e-6)
    assert row["note"] == ""
    for name in ("b_hat", "b_ratio"):
        assert row[f"{name}_low"] < row[name] < row[f"{name}_high"]


def test_the_law_of_each_layer_is_seen(table):
    assert table.loc["body.laplace", "shape"] == pytest.approx(1.0, abs=0.25)
    assert table.loc["body.normal", "shape"] == pytest.approx(2.0, abs=0.5)
    assert table.loc["body.normal", "aic_normal"] < 0 < table.loc["body.laplace", "aic_normal"]


def test_a_layer_that_never_varies_has_a_note_and_no_numbers(table):
    row = table.loc["head.constant"]
    says(row["note"], "8 of 8 channels are constant")
    assert row["weights"] == 0
    assert row["constant_channels"] == 8
    known = {"window", "weights", "channels", "constant_channels", "note", "tau", "b_star"}
    assert row.drop(list(known)).isna().all()


def test_channels_without_numbers_are_left_out_and_counted(tmp_path, fitted, table):
    walks = history()
    walks["body.normal"][-1, 2, 0, 0, 0] = np.nan
    walks["body.normal"][-1, 5, 1, 1, 1] = np.inf
    walks["body.normal"][-1, 7] = 3.0
    run = run_of(tmp_path, walks)
    row = fit_table(run).set_index("layer").loc["body.normal"]
    keep = np.delete(np.arange(16), [2, 5, 7])
    z, w = (function(rows_of(run, "body.normal")[keep]) for function in (scores, standardized))
    says(row["note"], "2 of 16 channels hold NaN", "1 of 16 channels are constant")
    assert (row["channels"], row["weights"], row["constant_channels"]) == (13, 13 * 45, 1)
    assert row["b_hat"] == pytest.approx(np.abs(w).mean(), rel=1e-6)
    assert row["shape"] == pytest.approx(stats.gennorm.fit(z.ravel(), 2.0, floc=0, scale=1.0)[0], rel=1e-3)
    assert fit_table(run).set_index("layer").loc["body.laplace", "shape"] == table.loc["body.laplace", "shape"]


@pytest.mark.parametrize("center", [True, False])
def test_constant_channels_are_no_weights_of_a_layer_that_does_not_standardize_either(tmp_path, center):
    walks = history()
    walks["body.normal"][-1, 4] = 0.5
    run = run_of(tmp_path, walks, WeightTransform(center=center))
    row = fit_table(run, layers="body.normal").iloc[0]
    rows = np.delete(rows_of(run, "body.normal"), 4, axis=0)
    w = rows - rows.mean(axis=1, keepdims=True) * center
    z = (w / rows.std(axis=1, ddof=1, keepdims=True)).ravel()
    assert row["b_hat"] == pytest.approx(stats.laplace.fit(w.ravel(), floc=0)[1], rel=1e-6)
    assert row["shape"] == pytest.approx(stats.gennorm.fit(z, 2.0, floc=0, scale=1.0)[0], rel=1e-3)
    assert (row["channels"], row["constant_channels"]) == (15, 1)
    says(row["note"], "1 of 16 channels are constant")
    assert math.isnan(row["b_star"])
    assert math.isnan(row["b_ratio"])
    assert math.isnan(row["b_ratio_low"])


def test_weights_whose_squares_are_no_numbers_have_a_note_and_no_numbers(tmp_path):
    run = run_of(tmp_path, {"tiny": 1e-200 * np.random.default_rng(0).normal(size=(2, 4, 50))})
    row = fit_table(run).iloc[0]
    assert row["note"] == "all 200 weights are 0; a distribution fit needs weights that differ"
    assert math.isnan(row["b_hat"])


@pytest.mark.parametrize("transform", [WeightTransform(), WeightTransform(center=True, target=2.0)])
def test_layers_without_a_clamp_have_tau_1(tmp_path, transform):
    run = run_of(tmp_path, history(), transform)
    row = fit_table(run, layers="body.laplace").iloc[0]
    rows = rows_of(run, "body.laplace")
    w = rows if transform.target is None else standardized(rows)
    b = np.abs(w).mean()
    assert (row["tau"], row["clamped_fraction"], row["clamped_laplace"]) == (1.0, 0.0, 0.0)
    assert row["alpha"] == pytest.approx(b, rel=1e-6)
    assert row["qe_measured"] == pytest.approx(((np.abs(w) - b) ** 2).mean(), rel=1e-6)
    assert row["qe_exact"] == row["qe_printed"] == pytest.approx(b * b, rel=1e-6)
    assert row["entropy_measured"] == pytest.approx(differential_entropy(np.sort(w, axis=None)), abs=1e-5)
    if not transform.center:
        z = (rows / rows.std(axis=1, ddof=1, keepdims=True)).ravel()
        assert row["scale_ratio"] == pytest.approx(math.sqrt(2) * np.abs(z).mean(), rel=1e-6)


def test_raw_pools_the_weights_as_they_are(fitted, table):
    raw = fit_table(fitted, raw=True).set_index("layer")
    row, w = raw.loc["body.normal"], rows_of(fitted, "body.normal").ravel()
    assert row["b_hat"] == pytest.approx(np.abs(w).mean(), rel=1e-6)
    assert row["shape"] == pytest.approx(stats.gennorm.fit(w, 0.7, floc=0, scale=np.abs(w).mean())[0], rel=1e-3)
    assert row["tau"] == 1.0
    assert math.isnan(row["b_star"])
    # Channels of different scale fake heavy tails.
    assert row["shape"] < 1.0 < table.loc["body.normal", "shape"]
    says(raw.loc["head.constant", "note"], "8 of 8 channels are constant")


def test_flat_and_steep_weights_have_no_shape_and_a_note(tmp_path):
    signs = np.tile(np.float32([-1.0, 1.0]), (2, 16, 20))
    steep = np.tile(np.float32([-2.0, -1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 2.0]), (2, 16, 5))
    table = fit_table(run_of(tmp_path, {"flat": signs, "steep": steep})).set_index("layer")
    says(table.loc["flat", "note"], "no shape", "0.05 and 100", "uniform")
    says(table.loc["steep", "note"], "no shape", "0.05 and 100", "smallest")
    assert table["shape"].isna().all()
    assert table["aic_gennorm"].isna().all()
    assert table["ks_laplace"].notna().all()
    assert table.loc["flat", "entropy_measured"] == -math.inf  # two values within the bounds have no density


def test_patterns_and_windows(fitted):
    table = fit_table(fitted, layers="body.*", windows=WindowSpan(0, 2))
    assert table["layer"].tolist() == ["body.normal", "body.laplace"]
    assert table["window"].tolist() == [1, 1]
    w = standardized(rows_of(fitted, "body.laplace", window=1))
    assert table["b_hat"][1] == pytest.approx(np.abs(w).mean(), rel=1e-6)
    initial = fit_table(fitted, layers="body.laplace", windows=WindowSpan(0, 1))
    w = standardized(rows_of(fitted, "body.laplace", window=0))
    assert initial["b_hat"][0] == pytest.approx(np.abs(w).mean(), rel=1e-6)


def test_a_lost_window_before_does_not_matter(tmp_path):
    synthetic = synthetic_run(tmp_path / "run", history(), windows=2)
    whole = fit_table(open_run(synthetic.path))
    shutil.rmtree(next(synthetic.path.glob("history/*/window-000001")))
    pd.testing.assert_frame_equal(fit_table(open_run(synthetic.path)), whole)


def test_what_is_not_there_is_said(fitted):
    with pytest.raises(LayerNotFoundError, match=r"'tail\*'.*body.normal"):
        fit_table(fitted, layers="tail*")
    with pytest.raises(WindowNotFoundError, match=r"none of the windows 7:8; it has 0 to 2"):
        fit_table(fitted, windows=WindowSpan(7, 8))


def test_few_weights_a_channel_are_said_to_look_lighter_tailed(tmp_path):
    walks = {"depthwise": np.random.default_rng(0).normal(size=(2, 128, 1, 3, 3)).astype(np.float32)}
    row = fit_table(run_of(tmp_path, walks)).iloc[0]
    says(row["note"], "9 weights per channel", "lighter tails", "shape is too large")
    assert row["shape"] > 2.5  # of normal weights, whose shape is 2
