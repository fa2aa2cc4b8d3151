"""Every criterion and statistic against a plain loop over weights, and the cases without an answer."""

import math
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import spatial, stats

from recu_analysis import by_magnitude, dead_weights, open_run
from recu_analysis.analysis.deadness import CRITERIA, Movement, movement, tail_mask, totals, with_totals
from recu_analysis.analysis.histogram import weight_histogram
from recu_analysis.analysis.magnitude import quantile_bins
from recu_analysis.analysis.selection import WindowSpan
from recu_analysis.errors import InputError, LayerNotFoundError
from recu_analysis.store.record import merged
from recu_analysis.testing import random_walk, synthetic_run
from recu_analysis.theory.standardize import WeightTransform


def plain(walk, first, last, tail_tau=0.85):
    """What the weights of one layer did in updates first to last, weight by weight."""
    rows = walk.astype(np.float64).reshape(len(walk), walk.shape[1], -1)
    mean, std = rows.mean(axis=2, keepdims=True), rows.std(axis=2, ddof=1, keepdims=True)
    z = ((rows - mean) / std).reshape(len(rows), -1)
    weights = [
        {
            "z": z[first - 1, i],
            "z_end": z[last, i],
            "mobility": sum(abs(z[u, i] - z[u - 1, i]) for u in range(first, last + 1)) / (last - first + 1),
            "silent": not any((z[u, i] < 0) != (z[u - 1, i] < 0) for u in range(first, last + 1)),
            "flips": sum((z[u, i] < 0) != (z[u - 1, i] < 0) for u in range(first, last + 1)),
        }
        for i in range(z.shape[1])
    ]
    ranked = sorted(weights, key=lambda weight: -abs(weight["z"]))
    for rank, weight in enumerate(ranked):
        weight["tail"] = rank < round(2 * (1 - tail_tau) * len(weights))
    middle = float(np.median([weight["mobility"] for weight in weights]))
    for weight in weights:
        weight["still"] = weight["mobility"] < 0.1 * middle
    return weights


def share(weights, condition):
    return sum(map(condition, weights)) / len(weights)


@pytest.mark.parametrize("layer", ["first", "second"])
def test_every_column_against_a_plain_loop(run, synthetic, layer):
    row = dead_weights(run, layers=layer).iloc[0]
    weights = plain(synthetic.history[layer], 11, 20)
    tail = [weight for weight in weights if weight["tail"]]
    core = [weight for weight in weights if not weight["tail"]]
    assert (row["first_window"], row["last_window"], row["updates"], row["exact"]) == (3, 4, 10, True)
    conditions = {
        "tail-silent": lambda w: w["tail"] and w["silent"],
        "tail": lambda w: w["tail"],
        "silent": lambda w: w["silent"],
        "still": lambda w: w["still"],
        "tail-still": lambda w: w["tail"] and w["still"],
    }
    assert set(conditions) == set(CRITERIA)
    for name, condition in conditions.items():
        expected = share(weights, condition)
        assert row[f"{name.replace('-', '_')}_fraction"] == pytest.approx(expected, abs=1e-12)
        chosen = dead_weights(run, criterion=name, layers=layer).iloc[0]
        assert chosen["dead_fraction"] == pytest.approx(expected, abs=1e-12)
        assert chosen["dead"] == round(expected * len(weights))
    assert row["silent_fraction_tail"] == pytest.approx(share(tail, lambda w: w["silent"]))
    assert row["silent_fraction_core"] == pytest.approx(share(core, lambda w: w["silent"]))
    assert row["mobility_tail"] == pytest.approx(np.mean([w["mobility"] for w in tail]), rel=1e-6)
    assert row["mobility_core"] == pytest.approx(np.mean([w["mobility"] for w in core]), rel=1e-6)
    moments = ([weight[at] for weight in weights] for at in ("z", "z_end"))
    assert row["autocorrelation"] == pytest.approx(1 - spatial.distance.cosine(*moments))


@given(
    st.lists(st.floats(-5, 5, allow_nan=False), min_size=1, max_size=60),
    st.floats(0.5, 1, exclude_min=True),
)
def test_tail_is_the_largest_by_rank(values, tail_tau):
    z = np.array(values)
    mask = tail_mask(z, tail_tau)
    assert mask.sum() == min(round(2 * (1 - tail_tau) * z.size), np.count_nonzero(z))
    if 0 < mask.sum() < z.size:
        assert np.abs(z[mask]).min() >= np.abs(z[~mask]).max()


def test_weights_without_a_score_are_in_no_tail(tmp_path):
    row = dead_weights(open_run(synthetic_run(tmp_path / "run", {"a": random_walk((30, 1), 4)}).path)).iloc[0]
    assert row["dead"] == row["tail_fraction"] == 0
    assert math.isnan(row["silent_fraction_tail"])


def test_ties_go_to_the_lower_index():
    np.testing.assert_array_equal(tail_mask(np.array([1.0, -1.0, 1.0, 0.5]), 0.75), [True, True, False, False])


def test_a_frozen_layer_is_silent_still_and_remembers(tmp_path):
    frozen = np.repeat(random_walk((4, 25), 0), 5, axis=0)
    row = dead_weights(open_run(synthetic_run(tmp_path / "run", {"a": frozen}).path)).iloc[0]
    assert row["silent_fraction"] == row["still_fraction"] == 1.0
    assert row["dead_fraction"] == row["tail_fraction"] == pytest.approx(0.3)
    assert row["autocorrelation"] == pytest.approx(1.0)
    assert row["mobility_tail"] == row["mobility_core"] == 0.0


def test_weights_that_all_flip_are_not_dead(tmp_path):
    start = random_walk((4, 25), 0)[0]
    start -= start.mean(axis=1, keepdims=True)
    swinging = np.stack([start * (-1) ** update for update in range(5)])
    row = dead_weights(open_run(synthetic_run(tmp_path / "run", {"a": swinging}, windows=1).path)).iloc[0]
    assert row["silent_fraction"] == row["dead_fraction"] == 0.0
    assert row["autocorrelation"] > 0.9  # an even number of swings leads back


def test_layers_that_do_not_centre_use_the_plain_sign(tmp_path):
    walk = random_walk((3, 20), 4, step=0.01) + 5.0
    path = synthetic_run(tmp_path / "run", {"a": walk.astype(np.float32)}, transform=WeightTransform()).path
    row = dead_weights(open_run(path)).iloc[0]
    assert row["silent_fraction"] == 1.0


def test_nan_weights_are_counted_and_their_channels_left_out(tmp_path):
    walk = random_walk((5, 30), 4)
    walk[3:, 2, 7] = np.nan
    walk[4, 4, 1] = np.inf
    row = dead_weights(open_run(synthetic_run(tmp_path / "run", {"a": walk}, windows=1).path)).iloc[0]
    assert row["nonfinite"] == 2
    clean = np.delete(random_walk((5, 30), 4), [2, 4], axis=1)
    expected = dead_weights(open_run(synthetic_run(tmp_path / "clean", {"a": clean}, windows=1).path)).iloc[0]
    for name in ("dead_fraction", "silent_fraction_tail", "mobility_core", "autocorrelation"):
        assert row[name] == pytest.approx(expected[name], rel=1e-6), name


def test_channels_that_were_not_finite_in_between_are_left_out(tmp_path):
    """Their weights are finite at both ends, but how far they came is unknown."""
    walk = random_walk((5, 30), 4)
    walk[2, 3, 7] = np.nan
    row = dead_weights(open_run(synthetic_run(tmp_path / "run", {"a": walk}, windows=1).path)).iloc[0]
    assert (row["counted"], row["weights"], row["nonfinite"]) == (120, 150, 0)
    clean = np.delete(random_walk((5, 30), 4), 3, axis=1)
    expected = dead_weights(open_run(synthetic_run(tmp_path / "clean", {"a": clean}, windows=1).path)).iloc[0]
    for name in ("dead_fraction", "silent_fraction_tail", "mobility_core", "autocorrelation"):
        assert row[name] == pytest.approx(expected[name], rel=1e-6), name


def test_still_is_below_a_tenth_of_the_median_or_without_any_movement():
    nothing = np.zeros(5)

    def still(*mobility):
        moved = Movement(nothing, nothing, nothing > 0, nothing > 0, np.array(mobility), 1, None, nothing > 0, 0)
        return moved.still.tolist()

    assert still(0.04, 0.1, 1.0, 1.0, 1.0) == [True, False, False, False, False]
    assert still(0.0, 0.0, 0.0, 0.0, 1.0) == [True, True, True, True, False]


def test_a_layer_of_one_weight_is_no_error(tmp_path):
    row = dead_weights(open_run(synthetic_run(tmp_path / "run", {"a": random_walk((1, 1), 4)}).path)).iloc[0]
    assert row["tail_fraction"] == 0.0
    assert math.isnan(row["silent_fraction_tail"])
    assert row["mobility_core"] == 0.0  # a channel of one weight is constant: z = 0
    assert math.isnan(row["autocorrelation"])


def test_own_tail_follows_tau(run):
    own, fixed = dead_weights(run, tail_tau="window"), dead_weights(run, tail_tau=0.85)
    assert own.equals(fixed)
    narrow = dead_weights(run, tail_tau=0.99)
    assert (narrow["tail_fraction"] < fixed["tail_fraction"]).all()


def test_own_tail_of_a_layer_without_clamp_is_refused(tmp_path, monkeypatch):
    summary = synthetic_run(tmp_path / "run", {"a": random_walk((2, 9), 4)})
    run = open_run(summary.path)
    record = merged(run.windows[1:2], "a")
    monkeypatch.setattr(type(record), "tau", None)
    with pytest.raises(InputError, match=r"layer 'a'.*clamp.*tau"):
        movement(run.header.layers[0], record, "window")


def test_bad_arguments(run):
    with pytest.raises(
        InputError,
        match=r"criterion.*tail-silent, tail, silent",
    ):
        dead_weights(run, criterion="gone")
    with pytest.raises(InputError, match=r"tau.*\(0.5, 1\], not 0.4"):
        dead_weights(run, tail_tau=0.4)
    with pytest.raises(LayerNotFoundError):
        dead_weights(run, layers="x")


def test_totals_weigh_layers_by_their_weights(run):
    table = dead_weights(run)
    total = totals(table)
    assert total["weights"] == table["weights"].sum()
    assert total["dead"] == table["dead"].sum()
    assert total["dead_fraction"] == pytest.approx(total["dead"] / total["weights"])


def test_bins_have_equal_counts_and_rise(run, synthetic):
    table = by_magnitude(run, bins=4, layers="second")
    assert table["weights"].tolist() == [80, 80, 80, 80]
    assert table["abs_z"].is_monotonic_increasing
    weights = sorted(plain(synthetic.history["second"], 11, 20), key=lambda weight: abs(weight["z"]))
    for number, row in table.iterrows():
        some = weights[80 * number : 80 * number + 80]
        assert row["abs_z"] == pytest.approx(np.mean([abs(w["z"]) for w in some]))
        assert row["mobility"] == pytest.approx(np.mean([w["mobility"] for w in some]), rel=1e-6)
        assert row["flip_probability"] == pytest.approx(share(some, lambda w: not w["silent"]))
        flips, path = (sum(w[name] for w in some) for name in ("flips", "mobility"))
        assert row["flip_ratio"] == pytest.approx(flips / 80 / 10)
        assert row["flips_per_path"] == pytest.approx(flips / (10 * path), rel=1e-6)


def test_signs_at_the_end_beside_what_distance_makes_of_them(run, synthetic):
    table = by_magnitude(run, bins=4, layers="second")
    weights = sorted(plain(synthetic.history["second"], 11, 20), key=lambda weight: abs(weight["z"]))
    z, z_end = (np.array([weight[name] for weight in weights]) for name in ("z", "z_end"))
    slope = (z @ z_end) / (z @ z)
    spread = math.sqrt(np.mean((z_end - slope * z) ** 2))
    expected = stats.norm.cdf(-slope * np.abs(z) / spread)
    for number, row in table.iterrows():
        part = slice(80 * number, 80 * number + 80)
        assert row["sign_changes"] == pytest.approx(np.mean((z[part] < 0) != (z_end[part] < 0)))
        assert row["sign_changes_by_distance"] == pytest.approx(expected[part].mean())
    for name in ("mobility", "flip_probability", "sign_changes"):
        assert (table[f"{name}_low"] <= table[name]).all()
        assert (table[name] <= table[f"{name}_high"]).all()
    assert table["gradient"].isna().all()
    assert by_magnitude(run, bins=4, layers="first")["mobility_low"].isna().all()  # four channels tell nothing


def test_noise_alone_in_every_bin_adds_up_to_noise_alone_in_the_layer():
    run = open_run("checkpoints/fashion/baseline-0")
    table = by_magnitude(run, bins=4, layers="layer1.2.conv2")
    row = dead_weights(run, layers="layer1.2.conv2").iloc[0]
    assert 1.0 - table["flip_probability_null"].mean() == pytest.approx(row["silent_fraction_null"])
    assert table["flip_probability_null"].is_monotonic_decreasing
    assert (table["flip_probability_null"] > table["flip_probability"])[1:].all()
    both = by_magnitude(run, bins=4, layers=["layer1.2.conv2", "layer3.0.conv1"])
    rows = dead_weights(run, layers=["layer1.2.conv2", "layer3.0.conv1"])
    expected = np.average(rows["silent_fraction_null"], weights=rows["counted"])
    assert 1.0 - both["flip_probability_null"].mean() == pytest.approx(expected, rel=1e-3)  # bins differ by a weight


def test_too_few_weights_for_the_bins(run):
    with pytest.raises(InputError, match=r"layer 'first'.*108 weights.*200 bins"):
        by_magnitude(run, bins=200)


def test_histogram_counts_every_weight_once(run):
    table = weight_histogram(run, layer="second", windows=WindowSpan(2, 5))
    assert table[["core", "tail_active", "dead"]].to_numpy().sum() == 320
    row = dead_weights(run, layers="second", windows=WindowSpan(2, 5)).iloc[0]
    assert table["dead"].sum() == row["dead"]
    np.testing.assert_allclose(table["left"], -table["right"][::-1])


def test_histogram_wants_one_layer(run):
    with pytest.raises(InputError, match=r"'\*'.*2 layers.*first, second"):
        weight_histogram(run, layer="*")


@given(st.lists(st.sampled_from([0.0, 0.5, 1.0, 1.5, 2.0, 3.0]), min_size=4, max_size=60), st.integers(1, 4))
def test_quantile_bins_are_those_of_a_stable_sort_also_for_equal_values(values, bins):
    order = sorted(range(len(values)), key=values.__getitem__)
    expected = {at: rank * bins // len(values) for rank, at in enumerate(order)}
    assert quantile_bins(np.array(values), bins).tolist() == [expected[at] for at in range(len(values))]


def test_the_magnitude_of_an_update_is_the_path_over_the_updates(run, synthetic):
    moved = movement(run.header.layers[0], merged(run.windows[1:], run.layer_names[0]))
    walk = synthetic.history[run.layer_names[0]].astype(np.float64)
    steps = sum(np.abs(after - before) for before, after in pairwise(walk))
    np.testing.assert_allclose(moved.magnitude, steps.reshape(-1) / (len(walk) - 1), rtol=1e-6)


def test_what_each_weight_did_from_start_to_end_where_one_was_zero_and_a_channel_is_not_known(tmp_path):
    walk = random_walk((4, 6), 4, step=0.5)
    walk[0, 0, :2] = 0.0  # the sign of zero is +1
    walk[-1, 0, :3] = -0.5, 0.5, 0.0
    walk[2, 2, 5] = np.nan
    path = synthetic_run(tmp_path / "run", {"a": walk}, windows=2, transform=WeightTransform()).path
    run = open_run(path)
    moved = movement(run.header.layers[0], merged(run.windows[1:], "a"))
    start, end = (walk[at, [0, 1, 3]].astype(np.float64) for at in (0, -1))
    assert moved.channel.tolist() == [0] * 6 + [1] * 6 + [3] * 6
    assert moved.changed[:2].tolist() == [True, False]
    np.testing.assert_array_equal(moved.changed, ((start < 0) != (end < 0)).reshape(-1))
    np.testing.assert_array_equal(moved.displacement, np.abs(end - start).reshape(-1))
    distance = np.abs(start) / start.std(axis=1, ddof=1, keepdims=True)
    np.testing.assert_allclose(moved.distance, distance.reshape(-1), rtol=1e-12)


def test_the_total_weighs_tail_and_core_by_their_weights_and_keeps_a_null_that_is_known_of_most():
    def table(first_null):
        return pd.DataFrame(
            {
                "layer": ["a", "b"],
                "weights": [100, 300],
                "counted": [100, 300],
                "dead": [1, 2],
                "nonfinite": [0, 0],
                "tail_fraction": [0.5, 0.1],
                "silent_tail": [0.2, 0.6],
                "silent_core": [0.1, 0.9],
                "dead_fraction": [0.4, 0.8],
                "dead_fraction_null": [first_null, math.nan if first_null < 0.5 else 0.6],
                "updates": [10, 10],
                "decay_time": [0.1, 0.2],
            }
        )

    total = totals(table(0.9))
    assert total["silent_tail"] == pytest.approx((50 * 0.2 + 30 * 0.6) / 80)
    assert total["silent_core"] == pytest.approx((50 * 0.1 + 270 * 0.9) / 320)
    assert total["dead_fraction"] == pytest.approx((100 * 0.4 + 300 * 0.8) / 400)
    assert total["dead_fraction_null"] == pytest.approx((100 * 0.9 + 300 * 0.6) / 400)
    assert math.isnan(totals(table(0.1))["dead_fraction_null"]), "known of a quarter of the weights"
    assert total["updates"] == 10, "the same in all layers"
    assert "decay_time" not in total, "another in each layer"
    rows = with_totals(table(0.9))
    assert rows.columns[0] == "row"
    assert rows["row"].tolist() == ["layer", "layer", "total"]
