"""The bootstrap over channels against scipy's BCa, and what its bounds promise."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from recu_analysis.errors import InputError
from recu_analysis.theory import intervals
from recu_analysis.theory.intervals import (
    FEWEST_CHANNELS,
    MOST_GROUPS,
    Interval,
    bca,
    difference,
    expanded,
    groups,
    over_channels,
    over_network,
    simultaneous,
    standard_error,
    student,
)


def ratio(totals):
    return totals[:, 0] / totals[:, 1]


def sums(channels, seed=0):
    values = np.random.default_rng(seed).gamma(2.0, size=channels)
    return np.stack([values, np.ones(channels)], axis=1)


@pytest.mark.parametrize("level", [0.8, 0.95])
@pytest.mark.parametrize("statistic", [np.mean, np.var, stats.skew])
@pytest.mark.parametrize("data", [np.random.default_rng(1).gamma(2.0, size=40), np.repeat([0.0, 1.0, 5.0], [20, 8, 4])])
def test_bca_is_scipys_for_the_same_resamples(data, statistic, level):
    theirs = stats.bootstrap(
        (data,), statistic, confidence_level=level, n_resamples=3000, method="BCa", random_state=2, vectorized=True
    )
    assert len(data) > 32 or np.mean(theirs.bootstrap_distribution == statistic(data)) > 0.001  # ties count by half
    jackknife = np.array([statistic(np.delete(data, i)) for i in range(len(data))])
    score = stats.norm.ppf(0.5 + level / 2)
    ours = bca(float(statistic(data)), theirs.bootstrap_distribution, jackknife, (-score, score))
    assert ours == pytest.approx(tuple(theirs.confidence_interval), rel=1e-9)


@pytest.mark.parametrize(("count", "level"), [(8, 0.95), (64, 0.9)])
def test_scores_are_those_of_student_widened_by_the_root(count, level):
    score = stats.t(count - 1).ppf(0.5 + level / 2) * math.sqrt(count / (count - 1))
    assert expanded(count, level) == pytest.approx((-score, score))


def test_many_channels_give_scipys_interval_nearly():
    data = sums(400)
    theirs = stats.bootstrap((data[:, 0],), np.mean, n_resamples=5000, random_state=0, vectorized=True)
    found = over_channels(data, ratio)
    width = theirs.confidence_interval.high - theirs.confidence_interval.low
    assert found.estimate == pytest.approx(data[:, 0].mean())
    assert found.low == pytest.approx(theirs.confidence_interval.low, abs=0.06 * width)
    assert found.high == pytest.approx(theirs.confidence_interval.high, abs=0.06 * width)


@pytest.mark.parametrize("seed", range(5))
def test_deterministic_around_the_estimate_and_wider_with_fewer_channels(seed):
    many, few = sums(256, seed), sums(256, seed)[:16]
    assert over_channels(many, ratio) == over_channels(many, ratio)
    for found in (over_channels(many, ratio), over_channels(few, ratio)):
        assert found.low < found.estimate < found.high
    wide, narrow = over_channels(few, ratio), over_channels(many, ratio)
    assert wide.high - wide.low > 1.5 * (narrow.high - narrow.low)
    inner = over_channels(many, ratio, 0.5)
    assert narrow.low < inner.low < inner.high < narrow.high


def test_the_channels_of_each_layer_are_resampled_apart():
    """Of two layers with other means, only what varies within a layer is noise."""
    layers = [sums(60), sums(90, seed=1) + np.array([5.0, 0.0])]
    found, pooled = over_network(layers, ratio), over_channels(np.concatenate(layers), ratio)
    assert found.estimate == pytest.approx(pooled.estimate)
    error = math.hypot(*(math.sqrt(len(each)) * each[:, 0].std(ddof=1) for each in layers)) / 150
    assert standard_error(found) == pytest.approx(error, rel=0.1)
    assert standard_error(pooled) > 1.5 * error
    assert math.isnan(over_network([sums(60), sums(FEWEST_CHANNELS - 1)], ratio).low)


def test_no_bounds_for_few_channels_or_without_a_value():
    found = over_channels(sums(FEWEST_CHANNELS - 1), ratio)
    assert math.isfinite(found.estimate)
    assert math.isnan(found.low)
    assert math.isnan(found.high)
    assert math.isfinite(over_channels(sums(FEWEST_CHANNELS), ratio).low)
    assert math.isnan(over_channels(sums(20), lambda totals: np.full(len(totals), np.nan)).high)
    assert math.isnan(bca(1.0, np.array([1.0, np.nan]), np.array([1.0, 2.0]), (-2.0, 2.0))[0])


def test_nothing_that_varies_gives_an_interval_of_no_width():
    found = over_channels(np.tile([0.7, 7.0], (12, 1)), ratio)
    assert [found.low, found.estimate, found.high] == pytest.approx([0.1] * 3, rel=1e-14)


@pytest.mark.parametrize("unit", [1e-200, 1.0, 1e200])
@pytest.mark.parametrize("level", [0.95, 0.999, 0.99999])
def test_one_channel_far_from_the_others_turns_no_interval_around(level, unit):
    values = np.array([1e6, 1, 1, 1, 1, 1, 1, 1]) * unit
    found = over_channels(np.stack([values, np.ones(8)], axis=1), ratio, level)
    assert found.low == pytest.approx(unit)
    assert found.low < found.estimate < found.high <= 1e6 * unit
    at_one = over_channels(np.stack([values / unit, np.ones(8)], axis=1), ratio, level)
    assert found.high == pytest.approx(at_one.high * unit)


@pytest.mark.parametrize("channels", [1, 7, MOST_GROUPS, MOST_GROUPS + 1, 5000])
def test_groups_share_out_the_channels_in_order(channels):
    first = groups(channels)
    sizes = np.diff(first, append=channels)
    assert len(first) == min(channels, MOST_GROUPS)
    assert first[0] == 0
    assert sizes.sum() == channels
    assert sizes.max() - sizes.min() <= 1
    expected = np.repeat(np.arange(len(first)), sizes)
    np.testing.assert_array_equal(intervals.group_of(first, 0, channels), expected)
    np.testing.assert_array_equal(intervals.group_of(first, channels // 2, 1), expected[channels // 2])


@pytest.mark.parametrize("level", [0.0, 1.0, -1.0, float("nan")])
def test_levels_outside_are_refused(level):
    with pytest.raises(InputError, match="0 and 1, not"):
        over_channels(sums(20), ratio, level)


def test_a_difference_of_symmetric_intervals_adds_their_variances():
    found = difference(Interval(3.0, 2.0, 4.0), Interval(1.0, 0.5, 1.5))
    half = math.hypot(1.0, 0.5)
    assert (found.estimate, found.low, found.high) == pytest.approx((2.0, 2.0 - half, 2.0 + half))


def test_a_difference_keeps_the_asymmetry_and_covers():
    """Of two exponential means, their exact intervals from the chi-square distribution."""
    rng, size, rounds = np.random.default_rng(0), 10, 4000
    factors = 2 * size / stats.chi2.ppf([0.975, 0.025], 2 * size)
    means = rng.exponential((3.0, 1.0), (rounds, size, 2)).mean(axis=1)
    inside = 0
    for one, two in means:
        found = difference(*(Interval(m, *(m * factors)) for m in (one, two)))
        assert (found.high - found.estimate > found.estimate - found.low) == (one > two)
        inside += found.low <= 2.0 <= found.high
    assert inside / rounds == pytest.approx(0.95, abs=0.01)


def test_a_difference_has_no_bounds_where_one_has_none():
    found = difference(Interval(3.0, math.nan, math.nan), Interval(1.0, 0.5, 1.5))
    assert found.estimate == 2.0
    assert math.isnan(found.low)
    assert math.isnan(found.high)


def test_no_bounds_of_values_that_are_not_finite():
    for values in ([math.inf, math.inf, 1.0], [math.nan, 1.0], [math.inf, 2.0]):
        found = student(values)
        assert math.isnan(found.low)
        assert math.isnan(found.high)


def test_values_that_are_close_by_chance_have_the_width_of_their_own_noise():
    """Three seeds without any spread but their own known noise: Student's short intervals miss, the floor does not."""
    found, floored, wider = (np.zeros(4000, bool) for _ in range(3))
    for at, values in enumerate(np.random.default_rng(0).normal(5.0, 2.0, (4000, 3))):
        plain, kept = student(values), student(values, errors=[2.0] * 3)
        found[at], floored[at] = (each.low <= 5.0 <= each.high for each in (plain, kept))
        wider[at] = kept.high > plain.high
    assert found.mean() == pytest.approx(0.95, abs=0.01)
    assert floored.mean() == pytest.approx(0.987, abs=0.01)
    assert found[wider].mean() < 0.8
    assert floored[wider].mean() == pytest.approx(0.95, abs=0.02)


@given(
    st.lists(st.tuples(st.floats(-1e6, 1e6), st.floats(0.0, 1e6)), min_size=2, max_size=6),
    st.sampled_from([0.8, 0.95, 0.99]),
)
def test_an_interval_is_never_narrower_than_without_errors_or_than_they_allow(pairs, level):
    values, errors = zip(*pairs, strict=True)
    plain, found = student(values, level), student(values, level, errors=errors)
    floor = 2 * stats.norm.ppf(0.5 + level / 2) * np.sqrt(np.mean(np.square(errors)) / len(errors))
    close = 1e-9 * (1.0 + max(map(abs, values)))
    assert found.high - found.low >= max(plain.high - plain.low, floor) - close - 1e-9 * floor
    assert found.estimate == plain.estimate
    unknown = student(values, level, errors=[math.nan, *errors[1:]])
    assert (unknown.low, unknown.high) == (plain.low, plain.high)
    with pytest.raises(InputError, match="one for each"):
        student(values, level, errors=[*errors, 1.0])


def test_the_error_of_an_interval_is_its_half_width_over_the_score():
    assert standard_error(Interval(2.0, 2.0 - 1.959964, 2.0 + 1.959964)) == pytest.approx(1.0)
    assert math.isnan(standard_error(Interval(2.0, math.nan, math.nan)))


@pytest.mark.parametrize("common", [0.0, 0.7])
def test_simultaneous_intervals_hold_all_at_once_as_often_as_one_does_alone(common):
    rng, layers = np.random.default_rng(0), 12
    errors = math.sqrt(common) * rng.standard_normal((20000, 1)) + math.sqrt(1 - common) * rng.standard_normal(
        (20000, layers)
    )
    half = stats.norm.ppf(0.975)
    assert (np.abs(errors) <= half).all(axis=1).mean() < 0.87
    every = (np.abs(errors) <= simultaneous(layers) * half).all(axis=1).mean()
    # Independent errors need all of the width; 0.0015 is the error of the simulation.
    assert 0.95 - 0.0045 < every < (0.95 + 0.0045 if common == 0.0 else 1.0)
    assert simultaneous(1) == 1.0
    assert simultaneous(3, 0.9) == pytest.approx(stats.norm.ppf((1 + 0.9 ** (1 / 3)) / 2) / stats.norm.ppf(0.95))


def test_student_of_shares_stays_within_their_limits_and_holds_the_mean_as_often():
    rng, mean = np.random.default_rng(0), 0.02
    whole = cut = 0
    for values in rng.binomial(50, mean, (2000, 3)) / 50:
        found, limited = student(values), student(values, within=(0.0, 1.0))
        assert 0.0 <= limited.low <= limited.estimate <= limited.high <= 1.0
        whole += found.low <= mean <= found.high
        cut += limited.low <= mean <= limited.high
    assert whole == cut
    for same in (0.0, 1.0, 0.1):
        found = student([same] * 3, within=(0.0, 1.0))
        assert [found.low, found.estimate, found.high] == pytest.approx([same] * 3)
        assert 0.0 <= found.low <= found.high <= 1.0
