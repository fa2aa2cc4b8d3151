"""Medians over layers of runs: which layers they are of, what is said of the others, and how runs are pooled."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from recu_analysis import claims, open_run
from recu_analysis.analysis.claims.finding import Median, median_of, omitted_layers, pooled
from recu_analysis.errors import LayerNotFoundError
from recu_analysis.testing import synthetic_run
from recu_analysis.theory.intervals import Interval
from recu_analysis.theory.standardize import WeightTransform
from tests.editing import edit_run
from tests.messages import says

FREE = WeightTransform(center=True, target=2.0)


def walk(channels, seed, weights=60, keep=0.8, updates=12):
    """Weights that forget at a known rate."""
    generator = np.random.default_rng(seed)
    steps = [generator.normal(size=(channels, weights))]
    for _ in range(updates):
        steps.append(keep * steps[-1] + math.sqrt(1 - keep**2) * generator.normal(size=(channels, weights)))
    return np.array(steps, np.float32)


def made(path, channels, draw=0, **settings):
    history = {f"layer{at}": walk(count, 10 * draw + at) for at, count in enumerate(channels)}
    run = synthetic_run(path, history, windows=6, transform=FREE)
    edit_run(run.path, configuration=settings)
    return open_run(run.path)


def share(_, totals):
    with np.errstate(invalid="ignore"):
        return totals[:, 0] / totals[:, 1]


def test_small_layers_are_left_out_where_others_are_not():
    generator = np.random.default_rng(0)
    layers = [generator.uniform(1, 2, (count, 2)) for count in (12, 3, 16, 7, 9)]
    found = median_of([layers[0], layers[1], None, *layers[2:]], share)
    values = [layers[at][:, 0].sum() / layers[at][:, 1].sum() for at in (0, 2, 4)]
    assert found.value.estimate == pytest.approx(np.median(values))
    assert found.value.low < found.value.estimate < found.value.high
    says(omitted_layers([found]), "of 3", "2 with fewer than 8 channels", "1 without a value")
    assert omitted_layers([median_of([layers[0]], share)]) == ""


def test_small_layers_are_all_there_is():
    layers = [np.array([[1.0, 2.0]] * 3), np.array([[3.0, 2.0]] * 5)]
    found = median_of(layers, share)
    assert (found.value.estimate, found.layers, found.small) == (1.0, 2, 0)
    assert math.isnan(found.value.low)


@pytest.mark.parametrize("order", list(itertools.permutations([(0.4, 0.3, 0.5), (0.6, math.nan, math.nan)])))
def test_two_runs_have_no_bounds_where_one_has_none(order):
    found = pooled([Median(Interval(*each), 1, 0, 0) for each in order])
    assert found.estimate == pytest.approx(0.5)
    assert math.isnan(found.low)
    assert math.isnan(found.high)


def test_an_interval_over_seeds_is_not_below_the_noise_of_the_seeds():
    """Three runs that agree to the third digit, with a standard error of 0.018 each."""
    half = 1.959964 * 0.018
    found = pooled([Median(Interval(each, each - half, each + half), 1, 0, 0) for each in (1.017, 1.018, 1.02)])
    assert (found.low, found.high) == pytest.approx((1.0183333 - half / 3**0.5, 1.0183333 + half / 3**0.5))
    few = pooled([Median(Interval(each, math.nan, math.nan), 1, 0, 0) for each in (1.017, 1.018, 1.02)])
    assert few.high - few.low < 0.01


def test_a_small_layer_takes_no_verdict(tmp_path):
    """The verdicts, estimates and intervals are those of the other layers, and the claims say so."""
    both = claims(made(tmp_path / "both", (16, 16, 4))).set_index("id")
    large = claims(made(tmp_path / "large", (16, 16, 4)), layers=["layer0", "layer1"]).set_index("id")
    told = ["C1a", "C1b", "C2", "C5"]
    assert both.loc[told, "why"].str.contains(r"median layer of 2 \(left out: 1 with fewer than 8 channels\)").all()
    assert not large["why"].str.contains("left out").any()
    assert (both.loc[told, "verdict"] != "cannot tell").all()
    names = ["estimate", "low", "high"]
    np.testing.assert_array_equal(both.loc[told, names].to_numpy(float), large.loc[told, names].to_numpy(float))


def test_claims_are_of_the_layers_that_are_asked_for(tmp_path):
    alone = claims(made(tmp_path / "alone", (16,))).set_index("id")
    chosen = claims(made(tmp_path / "chosen", (16, 8)), layers="*0").set_index("id")
    for name in ("C2", "C3a", "C3b", "C4", "C5", "C8", "C9"):
        assert chosen.loc[name, "estimate"] == alone.loc[name, "estimate"], name
    assert f"signs of {16 * 60} stored weights" in chosen.loc["C9", "why"]
    with pytest.raises(LayerNotFoundError, match=r"layer.*'other'"):
        claims(open_run(tmp_path / "chosen"), layers=["*0", "other"])


def test_the_layers_are_those_of_both_sides_of_a_pair(tmp_path):
    """The risk of a flip is 1 to 1 in the layer that both have alike, another in the median of all."""
    free = made(tmp_path / "free", (8, 8, 8))
    history = {"layer0": walk(8, 0)} | {f"layer{at}": walk(8, at, keep=0.9) for at in (1, 2)}
    clamp = WeightTransform(center=True, target=2.0, clamp=True)
    slow = open_run(synthetic_run(tmp_path / "slow", history, windows=6, transform=clamp).path)
    edit_run(slow.path, configuration={})
    every, one = (claims(slow.path, baseline=free, layers=layers).set_index("id") for layers in (None, "layer0"))
    assert every.loc["C6", "estimate"] < 0.9
    assert one.loc["C6", "estimate"] == pytest.approx(1.0)


def test_runs_that_say_no_seed_carry_no_verdict_together(tmp_path):
    runs = [made(tmp_path / f"r{at}", (8, 8), at) for at in range(3)]
    table = claims(runs).set_index("id")
    assert (table.loc[["C1a", "C2", "C5"], "verdict"] == "cannot tell").all()
    says(table.loc["C2", "why"], "3 experiments (r0; r1; r2)", "configuration of r0, r1, r2")
    seeded = [made(tmp_path / f"s{at}", (8, 8), at, seed=at) for at in range(3)]
    assert (claims(seeded).set_index("id").loc[["C1a", "C2", "C5"], "verdict"] != "cannot tell").all()
