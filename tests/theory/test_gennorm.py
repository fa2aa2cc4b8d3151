"""The shape of a generalised normal against scipy's fit, over shapes, sizes, dtypes and layouts."""

import math

import numpy as np
import pytest
from scipy import stats

from recu_analysis.errors import InputError
from recu_analysis.theory import blocks, gennorm
from recu_analysis.theory.gennorm import log_likelihood, shape, shape_estimate

TRUE = [0.2, 0.5, 1.0, 1.3, 2.0, 4.0, 10.0, 30.0]


def sample(beta, size, seed=0):
    return stats.gennorm(beta).rvs(size, random_state=seed)


def scipys(values, near):
    """Shape by scipy's general maximum likelihood, started near the truth."""
    return stats.gennorm.fit(np.ravel(values), near, floc=0, scale=np.abs(values).max() / 2)[0]


# So few values of a shape of 10 or more may well look flatter than uniform.
@pytest.mark.parametrize(("beta", "size"), [*((b, (10, 30)) for b in TRUE if b < 10), *((b, (40, 500)) for b in TRUE)])
def test_equals_scipys_fit(beta, size):
    values = sample(beta, size)
    assert shape_estimate(values) == pytest.approx(scipys(values, beta), rel=1e-3)


@pytest.mark.parametrize("beta", [0.06, 0.5, 1.0, 2.0, 5.0])
def test_no_shape_nearby_is_likelier(beta):
    values = sample(beta, (16, 400))
    found = shape_estimate(values)
    likelihood = []
    for b in (found * 0.999, found, found * 1.001):
        scale = (b * np.mean(np.abs(values) ** b)) ** (1 / b)
        likelihood.append(stats.gennorm(b, scale=scale).logpdf(values).sum())
    assert likelihood[1] == max(likelihood)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "layout",
    [
        lambda v: v.reshape(20, 10, 3, 3),
        lambda v: v.reshape(-1),
        np.asfortranarray,
        lambda v: np.repeat(v, 2, axis=1)[:, ::2],
        lambda v: v[::-1],
    ],
)
def test_neither_dtype_nor_layout_matters(dtype, layout):
    values = sample(1.3, (20, 90)).astype(dtype)
    assert shape_estimate(layout(values)) == pytest.approx(shape_estimate(values.astype(np.float64)), rel=1e-5)


@pytest.mark.parametrize("unit", [1e-200, 1e-4, 1.0, 1e200])
def test_the_unit_does_not_matter(unit):
    values = sample(60.0, (16, 400))
    found = shape(values * unit)
    assert found.estimate == pytest.approx(shape(values).estimate, rel=1e-6)
    expected = log_likelihood(values, found.estimate) - values.size * math.log(unit)
    assert log_likelihood(values * unit, found.estimate) == pytest.approx(expected, rel=1e-9)


def test_one_value_far_from_all_others():
    values = sample(1.0, (10, 200))
    values[0, 0] = 1e9
    assert shape_estimate(values) == pytest.approx(scipys(values, 0.3), rel=1e-3)


def test_with_and_without_the_interval_and_however_the_weights_are_cut(monkeypatch):
    values = sample(1.3, (24, 90))
    found = shape(values)
    assert found.estimate == pytest.approx(shape_estimate(values), rel=1e-6)
    for size in (1, 100, 1000):
        monkeypatch.setattr(blocks, "_BLOCK", size)
        cut = shape(values)
        assert (cut.estimate, cut.low, cut.high) == pytest.approx((found.estimate, found.low, found.high), rel=1e-9)


@pytest.mark.parametrize("beta", [0.5, 1.0, 2.0, 4.0])
def test_the_interval_is_that_of_refits_of_resampled_channels(beta):
    values = sample(beta, (32, 300), seed=4)
    found = shape(values)
    generator = np.random.default_rng(9)
    refits = [shape_estimate(values[generator.integers(0, 32, 32)]) for _ in range(200)]
    low, high = np.quantile(refits, [0.025, 0.975])
    assert found.low < found.estimate < found.high
    # Ours is a little wider, for few channels, and 200 refits know their own ends to a fifth of the width.
    assert found.high - found.low == pytest.approx(1.05 * (high - low), rel=0.25)
    assert found.low == pytest.approx(low, abs=0.25 * (high - low))


def test_channels_that_are_all_alike_give_the_estimate_for_bounds():
    found = shape(np.tile(sample(5.0, 2000, seed=3), (12, 1)))
    assert [found.low, found.high] == pytest.approx([found.estimate] * 2, rel=1e-3)


def test_the_histogram_gives_the_sums_of_powers():
    values = sample(0.3, (6, 500))
    values[2, :100] = 0.0
    counts, centers = gennorm.log_histogram(values, np.array([0, 2, 3]))
    powers = (np.abs(values) / np.abs(values).max()) ** 0.05
    expected = [powers[:2].sum(), powers[2].sum(), powers[3:].sum()]
    np.testing.assert_allclose(counts @ np.exp(0.05 * centers), expected, rtol=1e-3)
    np.testing.assert_array_equal(counts.sum(axis=1), [1000, 500, 1500])


@pytest.mark.parametrize("channels", [7, 8, 600])
def test_few_channels_have_no_bounds_and_many_are_grouped(channels):
    found = shape(sample(1.0, (channels, 20)))
    assert math.isfinite(found.estimate)
    assert math.isnan(found.low) == (channels < 8)
    if channels > 8:
        assert found.low < 1.0 < found.high


@pytest.mark.parametrize(
    "values",
    [
        np.tile([-1.0, 1.0], (10, 20)),
        np.sin(np.linspace(0, 2 * np.pi, 2000)).reshape(10, -1),  # arcsine
        np.zeros((10, 20)),
        np.full((10, 20), 3.0),
    ],
)
def test_flatter_than_uniform_has_no_shape(values):
    found = shape(values)
    assert [math.isnan(bound) for bound in (found.estimate, found.low, found.high)] == [True] * 3
    assert math.isnan(shape_estimate(values))


@pytest.mark.parametrize("beta", [0.02, 400.0])
def test_shapes_outside_the_range_are_none(beta):
    assert math.isnan(shape_estimate(sample(beta, (20, 500))))


def test_zeros_are_values_of_no_size():
    values = sample(1.0, (20, 500))
    values[0, :3] = 0.0
    power = np.abs(values)

    def profile(b):
        m = (power**b).mean()
        return -values.size * (math.log(2) + math.lgamma(1 / b) - math.log(b) + (math.log(b * m) + 1) / b)

    found = shape_estimate(values)
    assert profile(found) >= max(profile(found * 0.999), profile(found * 1.001))
    values[:10] = 0.0  # where half the values are 0, the likelihood grows without bound towards shape 0
    assert math.isnan(shape_estimate(values))


@pytest.mark.parametrize("beta", [0.5, 1.0, 2.0, 7.0])
def test_log_likelihood_is_scipys_at_the_best_scale(beta):
    values = sample(1.2, (10, 300))
    scale = (beta * np.mean(np.abs(values) ** beta)) ** (1 / beta)
    expected = stats.gennorm(beta, scale=scale).logpdf(values).sum()
    assert log_likelihood(values, beta) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("function", [shape, shape_estimate, lambda values: log_likelihood(values, 1.0)])
@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([], "weights.*one axis.*shape"),
        (1.0, r"weights.*one axis.*shape \(\)"),
        ([1.0, np.nan], r"1 of 2 weights.*NaN"),
        ([-np.inf, 1.0, np.inf], "2 of 3 weights are NaN or infinite"),
        ([1j, 2.0], r"weights.*real.*not of type complex128"),
        (["1", "2"], r"weights.*real.*not of type <U1"),
        (None, r"weights.*real.*not of type object"),
    ],
)
def test_what_is_refused(function, values, text):
    with pytest.raises(InputError, match=text):
        function(values)


def test_levels_outside_are_refused_even_without_a_shape():
    for values in (np.zeros((9, 9)), sample(1.0, (9, 9))):
        with pytest.raises(InputError, match="0 and 1, not 2"):
            shape(values, level=2.0)


def test_the_flattest_is_the_uniform_distribution():
    assert pytest.approx(stats.uniform(-1, 2).expect(abs) / stats.uniform(-1, 2).std()) == gennorm.FLATTEST
