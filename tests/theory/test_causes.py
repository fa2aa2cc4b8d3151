"""Causes of silence: planted ones are found, noise is undetermined, and each rule has its place."""

import numpy as np
import pytest

from benchmarks.causes import KINDS, confusion, forecast
from recu_analysis.errors import InputError
from recu_analysis.theory.causes import CAUSES, THRESHOLDS, Evidence, causes, shares


@pytest.fixture(scope="module")
def found():
    return confusion(128)


def test_noise_is_undetermined_in_nine_of_ten_weights(found):
    noise = found["noise"]
    assert 0.84 < noise["undetermined"] < 0.96
    assert noise["held"] + noise["opposed"] == pytest.approx(1.0 - noise["undetermined"])


def test_weights_that_are_stopped_are_told_by_what_stops_them(found):
    for kind in ("masked", "rounded", "far away", "slow"):
        assert found[kind][KINDS[kind][2]] == 1.0, kind


def test_a_drift_is_found_as_often_as_its_size_predicts(found):
    for kind in ("drift of 1", "drift of 2"):
        assert found[kind]["held"] == pytest.approx(forecast(KINDS[kind][0]), abs=0.12)
        assert found[kind]["opposed"] < 0.02


def evidence(**more):
    """Four channels of one weight, of which nothing is known to hold or move it."""
    still = dict.fromkeys(("side", "distance", "path"), np.ones((4, 1))) | {"pull": np.zeros((4, 1))}
    return Evidence(**{"updates": 10, "decay_time": 3.0, "mobility": np.ones(4), **still, **more})


def column(*values):
    return np.array(values, dtype=float)[:, None]


def names(codes):
    return [CAUSES[code] for code in codes[:, 0]]


def test_the_first_rule_that_is_met_decides():
    everything = {
        "mobility": np.array([0.1, 1.0, 1.0, 1.0]),
        "small": column(10, 5, 4, 4),
        "unchanged": column(10, 10, 10, 4),
        "path": column(0, 0, 0, 0),
        "pull": column(9, 9, 9, 9),
    }
    assert names(causes(evidence(**everything))) == ["slow channel", "masked", "lost to rounding", "out of reach"]
    assert names(causes(evidence(**everything, decay_time=0.09)))[3] == "scheduled"
    pulls = {"pull": column(2, 2, -1.6, np.nan), "side": column(1, -1, -1, 1)}
    assert names(causes(evidence(**pulls))) == ["held", "opposed", "undetermined", "undetermined"]
    assert names(causes(evidence(mobility=np.full(4, np.nan)))) == ["undetermined"] * 4


def test_values_at_a_threshold_and_windows_without_updates():
    side, path = column(1, -1, 1, -1), column(2, 2, 2, 2)
    at = THRESHOLDS.pulled * np.array([1.0, 1.0, -1.0, -1.0])[:, None]
    assert names(causes(evidence(pull=at, side=side, path=path))) == ["undetermined"] * 4
    beyond = np.nextafter(np.abs(at), np.inf) * np.sign(at)
    assert names(causes(evidence(pull=beyond, side=side, path=path))) == ["held", "opposed", "opposed", "held"]
    mobility = np.array([0.25, np.nextafter(0.25, 0.0), 1.75, 1.75])  # of median 1
    assert names(causes(evidence(mobility=mobility)))[:2] == ["undetermined", "slow channel"]
    counts = {"small": column(1, 0, 0, 0), "unchanged": column(0, 1, 0, 0)}
    stopped = ["masked", "lost to rounding", "undetermined", "undetermined"]
    assert names(causes(evidence(updates=1, **counts), THRESHOLDS.scaled(0.5))) == stopped
    none = dict.fromkeys(counts, np.zeros((4, 1)))
    assert names(causes(evidence(updates=0, **none))) == ["undetermined"] * 4


def test_thresholds_are_scaled_together_or_alone():
    half, twice = THRESHOLDS.scaled(0.5), THRESHOLDS.scaled(2.0)
    assert (half.pulled, twice.pulled, half.masked, twice.masked) == (0.8225, 3.29, 0.25, 1.0)
    assert THRESHOLDS.scaled(2.0, "pulled").slow == THRESHOLDS.slow
    assert THRESHOLDS.scaled(0.1).pulled == pytest.approx(0.1645)
    assert names(causes(evidence(pull=column(1, 2, 3, 4), path=2.0 * np.ones((4, 1))), twice)) == [
        "undetermined"
    ] * 3 + ["held"]
    assert (
        names(causes(evidence(small=column(9, 10, 0, 0), path=2.0 * np.ones((4, 1))), twice))
        == ["undetermined", "masked"] + ["undetermined"] * 2
    )
    for wrong in ((0.5, "pulls"), (0.0,)):
        with pytest.raises(InputError):
            THRESHOLDS.scaled(*wrong)


def test_shares_and_shapes():
    assert shares(causes(evidence(pull=column(9, 9, -9, 0))))["held"] == 0.5
    assert np.isnan(shares(np.zeros(0, np.int8))["held"])
    for wrong in ({"path": np.ones(4)}, {"mobility": np.ones(3)}, {"small": np.ones((2, 1))}):
        with pytest.raises(InputError):
            evidence(**wrong)
