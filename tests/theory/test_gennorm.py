"""The shape of a generalized normal against scipy's fit, over shapes, sizes, dtypes and layouts."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize, stats

from recu_analysis.errors import InputError
from recu_analysis.theory import blocks, gennorm
from recu_analysis.theory.gennorm import SHAPES, log_likelihood, shape, shape_estimate

TRUE = [0.2, 0.5, 1.0, 1.3, 2.0, 4.0, 10.0, 30.0]


def sample(beta, size, seed=0):
    return stats.gennorm(beta).rvs(size, random_state=seed)


def scipys(values, near):
    """Shape by scipy's general maximum likelihood, started near the truth."""
    return stats.gennorm.fit(np.ravel(values), near, floc=0, scale=np.abs(values).max() / 2)[0]


def profile(values, beta):
    """Log-likelihood per value at the best scale."""
    m = np.mean((np.abs(values) / np.abs(values).max()) ** beta)
    constant = math.log(2 * np.abs(values).max()) + math.lgamma(1 / beta) - math.log(beta)
    return -constant - (math.log(beta * m) + 1) / beta


def greatest(values):
    """Greatest log-likelihood per value of the shapes in the range, and its shape; NaN at or beyond an end."""
    grid = np.geomspace(*SHAPES, 300)
    heights = [profile(values, beta) for beta in grid]
    at = int(np.argmax(heights))
    uniform = -math.log(2 * np.abs(values).max())
    if at in (0, 299) or uniform > heights[at]:
        return max(heights[at], uniform), math.nan
    bounds = np.log(grid[[at - 1, at + 1]])
    options = {"xatol": 1e-9}
    found = optimize.minimize_scalar(
        lambda log: -profile(values, math.exp(log)), bounds=bounds, method="bounded", options=options
    )
    return -found.fun, math.exp(found.x)


def piled(beta, size, share, seed=0):
    """A sample with the given share of its values moved to the two ends of the rest, as ReCU does."""
    values = sample(beta, size, seed)
    end = np.quantile(np.abs(values), 1 - share)
    return np.clip(values, -end, end)


# So few values of a shape of 10 or more may well be likelier under the uniform distribution.
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


FLAT = np.random.default_rng(2).uniform(-1, 1, (20, 300))
ARCSINE = np.sin(np.linspace(0, 2 * np.pi, 2000)).reshape(10, -1)


@pytest.mark.parametrize(
    "values",
    [
        np.tile([-1.0, 1.0], (10, 20)),
        ARCSINE,
        FLAT,
        piled(2.0, (20, 300), 0.3),
        np.zeros((10, 20)),
        np.full((10, 20), 3.0),
    ],
)
def test_no_shape_where_the_uniform_distribution_is_likeliest(values):
    found = shape(values)
    assert [math.isnan(bound) for bound in (found.estimate, found.low, found.high)] == [True] * 3
    assert math.isnan(shape_estimate(values))


def test_a_finite_shape_however_flat_the_moments():
    """E|x| / rms of at least sqrt(3)/2, that of the uniform distribution, does not make a finite shape unlikely."""
    for values, end in ((ARCSINE, 2.0), (FLAT, 1.3), (np.tile([-1.0, 1.0], (20, 100)), 1.5)):
        with_one = values.copy()
        with_one[0, 0] = end
        assert np.abs(with_one).mean() > 0.86 * np.sqrt((with_one**2).mean())
        likelihood, best = greatest(with_one)
        assert shape_estimate(with_one) == pytest.approx(best, rel=0.01)
        assert likelihood > -math.log(2 * end)


def test_where_the_likelihood_is_greatest():
    """Where the docstring promises 1e-3: samples, piles at both ends, atoms, a channel of another scale."""
    cases = [*((sample(b, 1000), 1e-3) for b in (0.3, 1.0, 3.0, 10.0)), (sample(20.0, 10_000), 1e-3)]
    cases += [(sample(b, 500), 1e-4) for b in (0.3, 1.0, 3.0)]
    cases += [(piled(b, 2000, share), 1e-3) for b in (0.5, 1.0, 2.0) for share in (0.002, 0.02, 0.06)]
    cases += [(np.concatenate([sample(b, 2000), np.full(200, 0.5)]), 1e-3) for b in (0.5, 2.0, 8.0)]
    cases += [(np.concatenate([sample(8.0, 2000), 10 * sample(8.0, 200)]), 1e-3)]
    for number, (values, precision) in enumerate(cases):
        _, best = greatest(values)
        assert shape_estimate(values) == pytest.approx(best, rel=precision, nan_ok=True), number
    assert sum(not math.isnan(shape_estimate(values)) for values, _ in cases) >= 14


@given(
    beta=st.floats(0.1, 60.0),
    size=st.integers(2, 300),
    share=st.floats(0.0, 0.5),
    zeros=st.integers(0, 3),
    far=st.floats(0.5, 100.0),
    seed=st.integers(0, 999),
)
def test_no_shape_is_likelier(beta, size, share, zeros, far, seed):
    values = np.append(piled(beta, size, share, seed), [far, *[0.0] * zeros])
    likelihood, best = greatest(values)
    found = shape_estimate(values)
    # Values this few fill the bins of the histogram unevenly.
    if math.isnan(found):
        ends = max(profile(values, SHAPES[0]), profile(values, SHAPES[1]), -math.log(2 * np.abs(values).max()))
        assert ends == pytest.approx(likelihood, abs=1e-3)
    else:
        assert profile(values, found) == pytest.approx(likelihood, abs=1e-3), (found, best)


def test_resampled_channels_have_their_likeliest_shape():
    """Piles at both ends give the score three roots; the shape of a resample is the root of its greatest likelihood."""
    values, generator = piled(1.0, (40, 100), 0.12), np.random.default_rng(3)
    end = np.abs(values).max()
    values[np.abs(values) == end] *= generator.normal(1.0, 0.04, (np.abs(values) == end).sum())
    sums, estimate = gennorm.score_sums(values)
    ends, seen = (estimate * math.exp(-1.5), estimate * math.exp(1.5)), set()
    for _ in range(20):
        chosen = generator.integers(0, 40, 40)
        grid = np.geomspace(*ends, 300)
        heights = np.array([profile(values[chosen], beta) for beta in grid])
        seen.add(int((np.diff(np.sign(np.diff(heights))) != 0).sum()))
        found = gennorm.roots(sums[chosen].sum(axis=0, keepdims=True), estimate)[0]
        assert found == pytest.approx(grid[heights.argmax()], rel=0.02)
    assert max(seen) > 1  # a maximum and a minimum, at least


def test_the_sums_are_those_of_one_product():
    left, right = np.random.default_rng(5).random((37, 150)), np.random.default_rng(6).random((150, 242))
    np.testing.assert_allclose(gennorm._product(left, right), left @ right, rtol=1e-13)


@pytest.mark.parametrize("beta", [0.02, 400.0])
def test_shapes_outside_the_range_are_none(beta):
    assert math.isnan(shape_estimate(sample(beta, (20, 500))))


def test_zeros_are_values_of_no_size():
    values = sample(1.0, (20, 500))
    values[0, :3] = 0.0
    found = shape_estimate(values)
    assert profile(values, found) >= max(profile(values, found * 0.999), profile(values, found * 1.001))
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
