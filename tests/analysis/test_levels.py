"""Tables of weights with more than two levels: against a plain loop, under noise alone, and what is refused."""

import inspect
import math

import numpy as np
import pytest
import scipy.stats
import torch
from torch import nn

import recu_analysis as ra
from recu_analysis.errors import InputError, RecuError, SignsOnlyError
from recu_analysis.testing import synthetic_run
from recu_analysis.theory.levels import Quantizer
from tests.capture.level_layers import QUANTIZERS, Quantized, plain_levels, sgd, snapshot, tiny, update

#: Public functions that hold for any levels.
ANY_LEVELS = {"causes", "causes_over_seeds", "compare", "curves", "dead_weights", "earned", "earned_over_seeds"}
ANY_LEVELS |= {"levels", "state_transitions"}
ANY_LEVELS |= {
    "by_magnitude",
    "dead_weights_over_seeds",
    "flip_table",
    "over_seeds",
    "paired_differences",
    "survival",
    "tails",
}


def recorded(path, name, windows=(6, 7), **configuration):
    model = tiny(name)
    optimizer = sgd(model)
    history = [snapshot(model[0])]
    with ra.record(model, optimizer, path, configuration=configuration) as recorder:
        for epoch, length in enumerate(windows):
            for _ in range(length):
                update(model, optimizer, len(history))
                history.append(snapshot(model[0]))
            recorder.mark(epoch=epoch)
    return ra.open_run(path), model[0], history


@pytest.mark.parametrize("name", QUANTIZERS)
def test_a_plain_loop_agrees(tmp_path, name):
    run, layer, history = recorded(tmp_path / "run", name)
    table = ra.levels(run)
    assert table["window"].tolist() == [1, 2]
    for row, expected, part in (
        (table.iloc[0], plain_levels(layer, history[:7]), history[:7]),
        (table.iloc[1], plain_levels(layer, history[6:], before=history[:7]), history[6:]),
    ):
        each = 96 * (len(part) - 1)
        states = np.stack([layer.states(*one).numpy().reshape(-1) for one in part])
        assert row["flip_ratio"] == pytest.approx(expected["flips"].sum() / each)
        assert row["flip_ratio_weight"] == pytest.approx(expected["weight_flips"] / each)
        assert row["flip_ratio_threshold"] == pytest.approx(expected["threshold_flips"] / each)
        assert row["oscillation_frequency"] == pytest.approx(expected["reversals"].sum() / each)
        assert row["oscillating_fraction"] == pytest.approx((expected["reversals"] > 0.005 * row["updates"]).mean())
        assert row["silent_fraction"] == pytest.approx((expected["flips"] == 0).mean())
        shares = np.unique(states[1:], return_counts=True)[1] / states[1:].size
        assert row["state_entropy"] == pytest.approx(-(shares * np.log(shares)).sum())
        if (part[-1][2] == 0).all():
            assert row["zeros"] == pytest.approx((states[1:] == 0).mean())
            assert row["zero_kept_fraction"] == pytest.approx((states == 0).all(axis=0).mean())
        else:
            assert math.isnan(row["zeros"])
            assert math.isnan(row["zero_kept_fraction"])
        weight = part[-1][0]
        used = layer.quantizer.values(*(one.numpy() for one in part[-1]))
        assert row["relative_error"] == pytest.approx(((used - weight.numpy()) ** 2).mean() / weight.square().mean())
    pairs = ra.state_transitions(run, windows=2)
    found = np.zeros((layer.quantizer.count,) * 2, int)
    found[pairs["state"] - layer.quantizer.low, pairs["next_state"] - layer.quantizer.low] = pairs["transitions"]
    np.testing.assert_array_equal(found, plain_levels(layer, history[6:], before=history[:7])["transitions"])
    assert pairs.groupby("state")["share"].sum().to_numpy() == pytest.approx(1.0)


@pytest.mark.parametrize("name", ["bitnet of groups", "learned steps", "given zero point"])
def test_dead_weights_are_far_from_a_threshold_and_keep_their_state(tmp_path, name):
    run, layer, history = recorded(tmp_path / "run", name)
    row = ra.dead_weights(run, windows="1:").iloc[0]
    distance = layer.quantizer.distance(*(each.numpy() for each in history[0])).reshape(-1)
    tail = np.zeros(96, bool)
    tail[np.argsort(-distance, kind="stable")[: round(0.3 * 96)]] = True
    states = np.stack([layer.states(*one).numpy().reshape(-1) for one in history])
    silent = (states == states[0]).all(axis=0)
    assert row["silent_fraction"] == pytest.approx(silent.mean())
    assert row["dead_fraction"] == pytest.approx((silent & tail).mean())
    assert row["silent_fraction_tail"] == pytest.approx(silent[tail].mean())
    assert 0.0 <= row["silent_fraction_tail_null"] <= 1.0


@pytest.mark.parametrize("name", ["bitnet", "twn", "learned steps", "given zero point", "maxabs, 4 bits"])
def test_flips_and_survival_agree_with_a_plain_loop(tmp_path, name):
    run, layer, history = recorded(tmp_path / "run", name)
    states = np.stack([layer.states(*each).numpy().reshape(-1) for each in history])
    expected = plain_levels(layer, history[6:], before=history[:7])
    row = ra.flip_table(run, windows=2).iloc[0]
    assert row["flip_ratio"] == pytest.approx(expected["flips"].sum() / (96 * 7))
    assert row["reversals"] == pytest.approx(expected["reversals"].mean())
    assert row["c2i"] == pytest.approx((states[-1] == states[0]).mean())
    assert math.isnan(row["c2i_original"])
    assert ra.flip_table(run)["locked_fraction"].iloc[0] == pytest.approx((states[6:] == states[6]).all(axis=0).mean())
    density = []
    for weight, step, zero in (history[6], history[-1]):
        rows, wide = weight.double().reshape(len(step), -1).numpy(), step.double().numpy()
        deviation = rows.std(axis=1, ddof=1, keepdims=True)
        far = layer.quantizer.distance(weight.numpy(), step.numpy(), zero.numpy()).reshape(rows.shape)
        gap = wide * (2 if layer.quantizer.kind == "ternary" else 1) / deviation
        half = np.minimum(0.2, gap / 2)
        # With maxabs, the largest weight is half a step from a threshold, up to rounding.
        density.append([((far < half * slack) / (2 * half)).mean() for slack in (1 - 1e-9, 1 + 1e-9)])
    low, high = np.mean(density, axis=0)
    assert low * (1 - 1e-6) <= row["density"] <= high * (1 + 1e-6)
    assert row["flip_ratio_predicted"] == pytest.approx(row["density"] * row["mobility"])
    curve = ra.survival(run, windows="1:", spans=13)
    assert curve["survival_fraction_null"].between(0.0, 1.0).all()
    for _, part in curve.groupby("update"):
        kept = (states[: part["update"].iloc[0] + 1] == states[0]).all(axis=0).mean()
        assert np.average(part["survival_fraction"], weights=part["weights"]) == pytest.approx(kept)


def test_the_density_at_the_thresholds_is_that_of_the_closed_form():
    quantizer = Quantizer("uniform", -2, 1, step=0.6)
    z = np.random.default_rng(0).normal(size=(1, 200_000))
    half = 0.2
    found = (quantizer.distance(z, 0.6) < half).mean() / (2 * half)
    assert found == pytest.approx(sum(scipy.stats.norm.pdf(0.6 * at) for at in (-1.5, -0.5, 0.5)), rel=0.02)


@pytest.mark.parametrize("name", ["twn", "learned steps", "given zero point"])
def test_expected_changes_of_the_state_are_those_of_pure_distance(tmp_path, name):
    run, layer, history = recorded(tmp_path / "run", name)
    row = ra.tails(run, windows="1:").iloc[0]
    first, last = (layer.states(*each).numpy().reshape(-1) for each in (history[0], history[-1]))
    scores, deviations = [], None
    for weight, step, _ in (history[0], history[-1]):
        rows = weight.double().reshape(len(step), -1).numpy()
        deviations = rows.std(axis=1, ddof=1, keepdims=True)
        scores.append((rows / deviations).reshape(-1))
    z, z_end = scores
    slope = (z * z_end).sum() / (z * z).sum()
    spread = np.sqrt(((z_end - slope * z) ** 2).mean())
    # Simulated weights: the share that the layer's own formula puts into another state at the end.
    rng, leaves = np.random.default_rng(1), np.zeros(96)
    _, step, zero = history[-1]
    for _ in range(4000):
        moved = (slope * z + spread * rng.normal(size=96)).reshape(len(step), -1) * deviations
        now = layer.states(torch.tensor(moved.reshape(history[0][0].shape)), step.double(), zero.double())
        leaves += now.numpy().reshape(-1) != first
    leaves /= 4000
    far = layer.quantizer.distance(*(each.numpy() for each in history[0])).reshape(-1)
    tail = np.zeros(96, bool)
    tail[np.argsort(-far, kind="stable")[: round(0.3 * 96)]] = True
    for group, members in (("tail", tail), ("core", ~tail)):
        assert row[f"sign_changes_{group}"] == pytest.approx((first != last)[members].mean())
        assert row[f"sign_changes_by_distance_{group}"] == pytest.approx(leaves[members].mean(), abs=0.01)
    assert row["distance_ratio_core"] == pytest.approx(
        row["sign_changes_core"] / row["sign_changes_by_distance_core"], rel=1e-9
    )
    bins = ra.by_magnitude(run, windows="1:", bins=4)
    order = np.array_split(np.argsort(far, kind="stable"), 4)
    for name, values in (("abs_z", far), ("sign_changes", first != last)):
        np.testing.assert_allclose(bins[name], [values[some].mean() for some in order])
    assert np.average(bins["sign_changes_by_distance"]) == pytest.approx(leaves.mean(), abs=0.01)
    assert row["distance_ratio_core_null"] == pytest.approx(1.0, abs=0.2)


def moved_by_noise(path, windows, noise, decay, drift=0.0):
    """The table of a BitNet layer that noise moves; `drift` also pulls a third of the weights to one side."""
    torch.manual_seed(0)
    layer = Quantized(128, 64, Quantizer.bitnet())
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1, momentum=0.9, weight_decay=decay)
    generator = torch.Generator().manual_seed(1)
    pulled = torch.rand(64, 128, generator=generator) < 1 / 3
    pull = drift * torch.randn(64, 128, generator=generator).sign() * pulled
    with ra.record(layer, optimizer, path, example=torch.ones(1, 128)) as recorder:
        for epoch in range(windows):
            for _ in range(60):
                layer.weight.grad = noise * (torch.randn(64, 128, generator=generator) - pull)
                optimizer.step()
            recorder.mark(epoch=epoch)
    return ra.levels(path)


def test_noise_alone_keeps_and_moves_as_many_as_the_null_says(tmp_path):
    table = moved_by_noise(tmp_path / "run", 5, noise=0.001, decay=0.01).iloc[2:]
    assert (table["zero_kept_fraction"] > 0.03).all()
    for name in ("zero_kept_fraction", "trapped_fraction"):
        # 2048 weights are simulated, so the standard error of the null is up to 0.006.
        np.testing.assert_allclose(table[name], table[f"{name}_null"], atol=0.02, err_msg=name)
    assert (table["trapped_fraction"] < table["zero_kept_fraction"]).all()
    for name in ("flip_ratio", "oscillation_frequency", "oscillating_fraction"):
        # Most weights do not flip, and some flip often, so the standard error of a null is up to 7 %.
        np.testing.assert_allclose(table[name], table[f"{name}_null"], rtol=0.2, err_msg=name)
        assert table[name].mean() == pytest.approx(table[f"{name}_null"].mean(), rel=0.08), name


def test_noise_alone_gives_the_nulls_of_the_other_tables(tmp_path):
    moved_by_noise(tmp_path / "run", 8, noise=0.001, decay=0.01)
    run = ra.open_run(tmp_path / "run")
    dead = first(ra.dead_weights(run, windows="7:"))
    for name in ("silent_fraction", "silent_fraction_tail", "silent_fraction_core", "mobility_core"):
        assert dead[name] == pytest.approx(dead[f"{name}_null"], rel=0.1), name
    assert 0.1 < dead["silent_fraction_core"] < 0.9
    ratios = first(ra.tails(run, windows="7:"))
    for name in ("flip_probability_tail", "flip_risk_ratio", "distance_ratio_tail", "distance_ratio_core"):
        assert ratios[name] == pytest.approx(ratios[f"{name}_null"], rel=0.08), name
    flips = ra.flip_table(run).iloc[4:]
    for name in ("flip_ratio", "silent_fraction", "reversals"):
        np.testing.assert_allclose(flips[name], flips[f"{name}_null"], rtol=0.2, err_msg=name)
        assert flips[name].mean() == pytest.approx(flips[f"{name}_null"].mean(), rel=0.1), name
    curve = ra.survival(run, windows="7:")
    np.testing.assert_allclose(curve["survival_fraction"], curve["survival_fraction_null"], atol=0.05)
    bins = ra.by_magnitude(run, windows="7:", bins=4)
    for name in ("mobility", "flip_probability", "sign_changes"):
        np.testing.assert_allclose(bins[name], bins[f"{name}_null"], rtol=0.15, atol=0.01, err_msg=name)


def test_fewer_weights_with_a_direction_are_trapped(tmp_path):
    still, pulled = (
        moved_by_noise(tmp_path / str(drift), 1, noise=0.002, decay=0.02, drift=drift) for drift in (0.0, 0.2)
    )
    share, usual = (
        float(each["trapped_fraction"] / each["zero_kept_fraction"]) for each in map(first, (pulled, still))
    )
    assert usual == pytest.approx(0.95, abs=0.04)
    assert share < usual - 0.04


def first(table):
    return table.iloc[0]


def test_what_noise_gives_is_unknown_where_rates_are_unknown(tmp_path):
    model = tiny("bitnet")
    optimizer = torch.optim.Adam(model.parameters(), weight_decay=0.01)
    with ra.record(model, optimizer, tmp_path / "adam") as recorder:
        for number in range(5):
            update(model, optimizer, number)
        recorder.mark()
    table = ra.levels(tmp_path / "adam")
    unknown = ["trapped_fraction", *(name for name in table if name.endswith("_null"))]
    assert len(unknown) == 6
    assert table[unknown].isna().all(axis=None)
    assert table["zero_kept_fraction"].notna().all()


@pytest.fixture(scope="module")
def ternary(tmp_path_factory):
    """A run with a ternary and a binary layer."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("levels") / "run"
    model = nn.Sequential(ra.nn.BinaryLinear(12, 12), *tiny("bitnet"))
    optimizer = sgd(model)
    with ra.record(model, optimizer, path, traces=1, quantities=["gradient-stats"]) as recorder:
        for epoch in range(3):
            for _ in range(4):
                optimizer.zero_grad()
                nn.functional.cross_entropy(model(torch.randn(16, 12)), torch.arange(16) % 3).backward()
                optimizer.step()
            recorder.mark(epoch=epoch)
    return ra.open_run(path)


def of_one_run(name):
    """Whether a public function computes a table of one run."""
    first = next(iter(inspect.signature(getattr(ra, name)).parameters), None)
    return first in {"run", "runs"} and not name.startswith(("plot_", "draw_", "paper_", "open_", "write_", "over_"))


TABLES = [name for name in ra.__all__ if inspect.isfunction(getattr(ra, name)) and of_one_run(name)]


#: Functions that need more than one run, or that other tests are about.
OTHERWISE = {"decorrelation_time", "intervene", "layer_differences", "rises_over_seeds", "thin", "traces"}
OTHERWISE |= {"verify"}


@pytest.mark.parametrize("name", sorted({*TABLES} - ANY_LEVELS - OTHERWISE))
def test_statistics_of_signs_are_refused(ternary, name):
    with pytest.raises(RecuError) as error:
        getattr(ra, name)(ternary)
    assert isinstance(error.value, SignsOnlyError), error.value
    assert "layer '1' have 3 levels" in str(error.value)


def test_other_functions_refuse_them_too(ternary):
    with pytest.raises(SignsOnlyError):
        ra.draw_figure("layermap", ternary)
    with pytest.raises(SignsOnlyError):
        ra.plot_mobility(ternary)


@pytest.mark.parametrize("groups", ["random", {"mine": {"1": np.zeros((8, 12), bool)}}])
def test_interventions_refuse_them(ternary, groups):
    with pytest.raises(SignsOnlyError, match="layer '1' have 3 levels"):
        ra.intervene(tiny("bitnet"), ternary, lambda model: torch.zeros(2), layers="1", groups=groups)


def test_means_over_seeds_are_those_of_their_tables(tmp_path):
    runs = [recorded(tmp_path / str(seed), "bitnet", (4 + seed, 8 - seed), seed=seed)[0] for seed in range(2)]
    table = ra.dead_weights_over_seeds({run.name: run for run in runs}, windows="1:")
    total = table[table["row"] == "total"].squeeze()
    assert total["seeds"] == 2
    expected = np.mean([ra.dead_weights(run, windows="1:")["dead_fraction"].iloc[0] for run in runs])
    assert total["dead_fraction"] == pytest.approx(expected)


def test_traces_show_the_states(ternary):
    table = ra.traces(ternary, layers="1")
    assert set(table["state"]) <= {-1, 0, 1}
    last = table[table["update"] == 12].iloc[0]
    assert last["state"] == ternary.window(3)["1"].states.reshape(-1)[last["flat_index"]]


def test_binary_layers_of_such_a_run_have_their_tables(ternary):
    assert set(ra.flip_table(ternary, layers="0")["layer"]) == {"0"}
    assert set(ra.levels(ternary)["layer"]) == {"1"}


def test_runs_without_such_layers_are_refused(tmp_path, ternary):
    run = ra.open_run(synthetic_run(tmp_path / "binary").path)
    for table in (ra.levels, ra.state_transitions):
        with pytest.raises(InputError, match="no layer with more than two levels: its weights are binary"):
            table(run)
        with pytest.raises(InputError, match="no layer that '0' chooses with more than two levels"):
            table(ternary, layers="0")
