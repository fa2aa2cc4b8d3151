"""The clamped Laplace distribution against quadrature, samples and its own jumps."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats

from recu_analysis.errors import InputError
from recu_analysis.theory import clamped, quantization
from recu_analysis.theory.entropy import clamped_entropy
from recu_analysis.theory.laplace import quantile

LEVELS = st.floats(0.5001, 0.9999)
SCALES = st.floats(0.01, 100.0)
NEAREST = np.nextafter(0.5, 1)


def expectation(tau, b, of):
    """Integral of a function of the clamped weight: the density by quadrature, and the two masses."""
    bound = float(quantile(tau, b))
    inside = integrate.quad(lambda w: float(clamped.density(w, tau, b)) * of(w), 0, bound, epsabs=1e-14, epsrel=1e-12)
    under = integrate.quad(lambda w: float(clamped.density(w, tau, b)) * of(w), -bound, 0, epsabs=1e-14, epsrel=1e-12)
    return inside[0] + under[0] + float(clamped.point_mass(tau)) * (of(bound) + of(-bound))


@given(LEVELS, SCALES)
def test_density_and_masses_give_the_closed_forms(tau, b):
    alpha = float(quantization.alpha(tau, b))
    assert expectation(tau, b, lambda w: 1.0) == pytest.approx(1.0, abs=1e-10)
    assert expectation(tau, b, lambda w: w / b) == pytest.approx(0.0, abs=1e-10)
    assert expectation(tau, b, abs) == pytest.approx(alpha, abs=1e-10 * b)
    error = expectation(tau, b, lambda w: (abs(w) - alpha) ** 2)
    assert quantization.exact(tau, b) == pytest.approx(error, abs=1e-10 * b * b)
    # The variance is that of |w| and the square of its mean, the mean of w being 0.
    q = 2 - 2 * tau
    variance = 2 * b * b * (1 - q + q * math.log(q))
    assert expectation(tau, b, lambda w: w * w) == pytest.approx(variance, abs=1e-10 * b * b)


@given(LEVELS, SCALES)
def test_eq_17_is_the_entropy_of_density_and_masses(tau, b):
    bound, mass = float(quantile(tau, b)), 1 - tau

    def term(w):
        f = float(clamped.density(w, tau, b))
        return -f * math.log(f)

    inside = integrate.quad(term, 0, bound * (1 - 1e-15), epsabs=1e-14, epsrel=1e-12)[0]
    assert clamped_entropy(tau, b) == pytest.approx(2 * inside - 2 * mass * math.log(mass), abs=1e-10)


@given(LEVELS, SCALES, st.floats(-0.999, 0.999))
def test_cdf_is_the_mass_at_the_lower_end_and_the_integral_of_the_density(tau, b, share):
    bound = float(quantile(tau, b))
    w = share * bound
    points = [0.0] if w > 0 else None
    area = integrate.quad(
        lambda v: float(clamped.density(v, tau, b)), -bound, w, points=points, epsabs=1e-13, epsrel=1e-11
    )
    assert clamped.cdf(w, tau, b) == pytest.approx(1 - tau + area[0], abs=1e-10)


@given(LEVELS, SCALES)
def test_cdf_jumps_by_the_masses_and_is_continuous_from_the_right(tau, b):
    bound = float(quantile(tau, b))
    before, at = clamped.cdf([np.nextafter(-bound, -np.inf), -bound], tau, b)
    assert (before, at) == (0.0, pytest.approx(1 - tau, rel=1e-9))
    np.testing.assert_array_equal(clamped.density([-bound, bound, 2 * bound], tau, b), 0.0)
    before, at = clamped.cdf([np.nextafter(bound, 0), bound], tau, b)
    assert (before, at) == (pytest.approx(tau, rel=1e-12), 1.0)


@given(st.floats(0.001, 0.999), LEVELS, SCALES)
def test_ppf_is_the_inverse_of_cdf(p, tau, b):
    bound, found = float(quantile(tau, b)), float(clamped.ppf(p, tau, b))
    if 1 - tau < p < tau:
        assert clamped.cdf(found, tau, b) == pytest.approx(p, abs=1e-12)
    assert clamped.cdf(found, tau, b) >= p - 1e-12
    assert found == np.clip(stats.laplace(scale=b).ppf(p), -bound, bound) or found == pytest.approx(
        np.clip(stats.laplace(scale=b).ppf(p), -bound, bound), rel=1e-9, abs=1e-12 * b
    )


def test_ppf_at_the_jumps_is_the_smallest_weight_that_reaches_p():
    bound = float(quantile(0.75, 2.0))
    np.testing.assert_array_equal(clamped.ppf([0.0, 0.1, 0.25], 0.75, 2.0), -bound)
    np.testing.assert_array_equal(clamped.ppf([0.75, 0.9, 1.0], 0.75, 2.0), bound)
    assert -bound < clamped.ppf(0.26, 0.75, 2.0) < clamped.ppf(0.74, 0.75, 2.0) < bound


def test_without_a_clamp_it_is_scipys_laplace():
    w, p = np.array([-np.inf, -3.0, -0.1, 0.0, 2.0, np.inf]), np.array([0.0, 0.2, 0.5, 0.9, 1.0])
    law = stats.laplace(scale=1.5)
    np.testing.assert_allclose(clamped.density(w, 1.0, 1.5), law.pdf(w), rtol=1e-15)
    np.testing.assert_allclose(clamped.cdf(w, 1.0, 1.5), law.cdf(w), rtol=1e-15)
    np.testing.assert_allclose(clamped.ppf(p, 1.0, 1.5), law.ppf(p), rtol=1e-15)
    assert clamped.point_mass(1.0) == 0.0


def test_at_the_smallest_level_nearly_all_is_at_0():
    bound = float(quantile(NEAREST, 3.0))
    assert bound == pytest.approx(3.0 * 2 * (NEAREST - 0.5), rel=1e-12)
    assert clamped.point_mass(NEAREST) == 1 - NEAREST
    assert clamped.density(0.0, NEAREST, 3.0) == 1 / 6
    np.testing.assert_array_equal(clamped.cdf([-bound * 1.5, 0.0, bound], NEAREST, 3.0), [0.0, 0.5, 1.0])
    np.testing.assert_array_equal(clamped.ppf([0.0, 0.3, 1.0], NEAREST, 3.0), [-bound, -bound, bound])


@given(LEVELS, SCALES)
def test_samples_have_the_distribution(tau, b):
    n = 50_000
    draws = clamped.sample(tau, b, n, np.random.default_rng(5))
    bound, alpha = float(quantile(tau, b)), float(quantization.alpha(tau, b))
    error = 5 / math.sqrt(n)
    assert abs(np.abs(draws).mean() - alpha) < error * np.abs(draws).std()
    squares = (np.abs(draws) - alpha) ** 2
    assert abs(squares.mean() - quantization.exact(tau, b)) < error * squares.std()
    assert (draws == bound).mean() == pytest.approx(1 - tau, abs=error / 2)
    assert (draws == -bound).mean() == pytest.approx(1 - tau, abs=error / 2)
    for w in (-0.5 * bound, 0.0, 0.9 * bound):
        assert (draws <= w).mean() == pytest.approx(float(clamped.cdf(w, tau, b)), abs=error / 2)


def test_the_generator_decides_the_draws_and_the_size_their_shape():
    first, second = (clamped.sample([[0.6], [0.9]], 2.0, (2, 3), np.random.default_rng(1)) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert first.shape == (2, 3)
    assert np.abs(first[0]).max() <= quantile(0.6, 2.0)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: clamped.density([0.0, np.nan], 0.9, 1.0), r"weight.*NaN"),
        (lambda: clamped.cdf("one", 0.9, 1.0), r"weights.*real.*not of type <U3"),
        (lambda: clamped.cdf([1j], 0.9, 1.0), r"weights.*real.*not of type complex128"),
        (lambda: clamped.cdf([None], 0.9, 1.0), r"weights.*real.*not of type object"),
        (lambda: clamped.cdf([[1.0], [1.0, 2.0]], 0.9, 1.0), r"array.*different"),
        (lambda: clamped.ppf([0.5, 1.5], 0.9, 1.0), r"probability.*\[0, 1\], not 1\.5"),
        (lambda: clamped.ppf(np.nan, 0.9, 1.0), r"probability.*\[0, 1\], not nan"),
        (lambda: clamped.point_mass(0.5), r"tau.*\(0\.5, 1\], not 0\.5"),
        (lambda: clamped.point_mass("0.9"), r"tau.*real.*not of type <U3"),
        (lambda: clamped.density(0.0, 0.9, 0.0), r"scale b.*positive number, not 0"),
        (lambda: clamped.density(0.0, 0.9, ["1"]), r"scales.*real.*not of type <U1"),
        (lambda: clamped.sample(1.01, 1.0, 3, np.random.default_rng(0)), r"tau.*\(0\.5, 1\], not 1\.01"),
        (
            lambda: clamped.sample([0.6, 0.9], 1.0, 3, np.random.default_rng(0)),
            r"tau.*shape \(2,\).*size 3",
        ),
    ],
)
def test_what_is_refused(call, text):
    with pytest.raises(InputError, match=text):
        call()
