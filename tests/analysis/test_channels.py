"""Which channels are measured, and that every table leaves out the same ones: plain loops, scipy's fits."""

import math
import warnings

import numpy as np
import pytest
from scipy import stats

from recu_analysis import fit_table, layer_table, measured_tradeoff, open_run
from recu_analysis.analysis.channels import by_blocks, measured_channels
from recu_analysis.analysis.finite import constant_query
from recu_analysis.testing import random_walk, synthetic_run
from recu_analysis.theory import blocks
from recu_analysis.theory.standardize import WeightTransform
from tests.messages import says

TRANSFORMS = {
    "recu": WeightTransform(center=True, target=2.0, clamp=True),
    "empirical": WeightTransform(center=True, target=2.0, clamp=True, quantile="empirical"),
    "not centred": WeightTransform(center=False, target=1.0, clamp=True),
    "centred only": WeightTransform(center=True),
    "plain sign": WeightTransform(),
}
#: Channels of the layer below that are to be measured.
VARYING = [1, 2, 3, 5, 6, 8]
STATE = ["b_hat", "quantile", "clamped_fraction", "alpha", "qe_measured", "sign_entropy", "gennorm_shape", "ks_laplace"]


def layer():
    """Ten channels: constant ones at the start, inside and at the end, and one with NaN."""
    weight = np.random.default_rng(5).laplace(0.1, 1.0, size=(10, 5, 3, 3)).astype(np.float32)
    weight[0], weight[4], weight[9] = 0.7, 0.0, -1e-3
    weight[7, 2, 1, 1] = np.nan
    return weight


def run_of(path, weight, transform=None):
    walk = np.stack([random_walk(weight.shape, 1, step=0.1)[0].astype(weight.dtype), weight])
    return open_run(synthetic_run(path / "run", {"a": walk}, windows=1, transform=transform).path)


def by_loop(weight, transform, tau):
    """The state of a layer by plain loops over the channels and weights that vary and are finite."""
    w = []
    for channel in weight.astype(np.float64):
        values = channel.ravel().tolist()
        if not all(map(math.isfinite, values)) or len(set(values)) == 1:
            continue
        mean = math.fsum(values) / len(values)
        variance = math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1)
        unit = 1.0 if transform.target is None else math.sqrt(variance + 1e-5) / (math.sqrt(2) * transform.target)
        w += [(value - mean * transform.center) / unit for value in values]
    sizes = [abs(value) for value in w]
    b = stats.laplace.fit(w, floc=0)[1]
    bound = math.inf if tau == 1 else -b * math.log(2 - 2 * tau)
    if transform.quantile == "empirical":
        bound = float(np.quantile(sizes, 2 * tau - 1))
    clamped = [min(size, bound) for size in sizes]
    alpha = math.fsum(clamped) / len(clamped)
    positive = sum(value >= 0 for value in w) / len(w)
    return {
        "b_hat": b,
        "clamped_fraction": sum(size > bound for size in sizes) / len(sizes),
        "alpha": alpha,
        "qe_measured": math.fsum((size - alpha) ** 2 for size in clamped) / len(clamped),
        "sign_entropy": stats.entropy([positive, 1 - positive]),
        "constant_channels": 3,
    }


@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS)
def test_every_table_measures_the_channels_that_are_finite_and_vary(tmp_path, transform):
    run = run_of(tmp_path, layer(), transform)
    expected = by_loop(layer(), transform, 0.85 if transform.clamp else 1.0)
    state, fitted = layer_table(run).iloc[1], fit_table(run).iloc[0]
    assert state[list(expected)].astype(float).to_dict() == pytest.approx(expected, rel=1e-9)
    assert fitted[list(expected)].astype(float).to_dict() == pytest.approx(expected, rel=1e-5)
    assert state["measured"] == fitted["weights"] == len(VARYING) * 45
    says(fitted["note"], "1 of 10 channels hold NaN", "3 of 10 channels are constant")
    laplace = TRANSFORMS["recu"] if transform.quantile == "empirical" else transform
    expected = by_loop(layer(), laplace, 0.9)
    row = measured_tradeoff(run, tau=(0.9, 0.9)).iloc[0]
    found = row.rename({"b": "b_hat", "alpha": "", "alpha_measured": "alpha"})
    del expected["sign_entropy"]
    assert found[list(expected)].astype(float).to_dict() == pytest.approx(expected, rel=1e-5)
    assert constant_query(run).run() == {"a": 3}


@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS)
def test_left_out_channels_change_no_bit_of_the_state_of_the_others(tmp_path, transform):
    whole, some = (
        layer_table(run_of(tmp_path / name, weight, transform)).iloc[1]
        for name, weight in (
            ("whole", layer()),
            ("some", layer()[VARYING]),
        )
    )
    assert whole[STATE].tolist() == some[STATE].tolist()
    assert (whole["constant_channels"], some["constant_channels"]) == (3, 0)
    assert (whole["weights"], whole["measured"], some["weights"]) == (450, 270, 270)


@pytest.mark.parametrize(
    "weight",
    [np.full((4, 9), 0.3, np.float32), np.zeros((4, 9), np.float32), np.float32([[1.0], [-2.0], [3.0], [0.0]])],
    ids=["equal", "zero", "one weight a channel"],
)
@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS)
def test_layers_of_constant_channels_alone_have_no_state(tmp_path, weight, transform):
    run = run_of(tmp_path, weight, transform)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        state, fitted = layer_table(run).iloc[1], fit_table(run).iloc[0]
        network = layer_table(run, network=True).iloc[1]
    for row in (state, fitted, network):
        assert row["constant_channels"] == 4
        assert row[["b_hat", "alpha", "qe_measured", "qe_exact", "entropy", "sign_entropy"]].isna().all()
    assert state[[*STATE, "entropy_bound"]].isna().all()
    assert state["measured"] == fitted["weights"] == 0
    says(fitted["note"], "4 of 4 channels are constant")


def test_the_network_is_the_mean_over_the_weights_measured(tmp_path):
    walks = {
        "a": np.stack([layer(), layer()]),
        "b": random_walk((4, 30), 1),
        "c": np.ones((2, 3, 7), np.float32),
    }
    run = open_run(synthetic_run(tmp_path / "run", walks, windows=1).path)
    layers, network = layer_table(run).iloc[3:], layer_table(run, network=True).iloc[1]
    assert layers["measured"].tolist() == [270, 120, 0]
    assert network["b_hat"] == pytest.approx((270 * layers["b_hat"].iloc[0] + 120 * layers["b_hat"].iloc[1]) / 390)
    assert (network["measured"], network["constant_channels"]) == (390, 6)


def test_what_is_left_out_is_counted_and_said():
    found = measured_channels(layer())
    np.testing.assert_array_equal(found.rows, layer()[VARYING].reshape(6, -1))
    assert (found.nonfinite, found.constant) == (1, 3)
    says(found.omissions, "1 of 10 channels hold NaN", "3 of 10 channels are constant")


def test_where_nothing_is_left_out_the_channels_are_a_view():
    weight = layer()[VARYING]
    found = measured_channels(weight)
    assert np.shares_memory(found.rows, weight)
    assert found.omissions == ""


@pytest.mark.parametrize("size", [1, 100, 10_000])
def test_by_blocks_keeps_dtype_and_values(monkeypatch, size):
    monkeypatch.setattr(blocks, "_BLOCK", size)
    rows = np.random.default_rng(0).normal(size=(9, 40)).astype(np.float32)
    found = by_blocks(rows, lambda block: np.asarray(block - block.mean(axis=1, keepdims=True), np.float64))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, rows - rows.mean(axis=1, keepdims=True), rtol=1e-6, atol=1e-7)
