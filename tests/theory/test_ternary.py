"""Closed forms of ternary weights against quadrature, samples and a minimizer."""

import math

import numpy as np
import pytest
from scipy import integrate, optimize, stats

from recu_analysis.errors import InputError
from recu_analysis.theory.ternary import DISTRIBUTIONS, best_threshold, ternary

MEAN = 0.7
DENSITIES = {"laplace": stats.laplace(scale=MEAN), "normal": stats.norm(scale=MEAN * math.sqrt(math.pi / 2))}


def expected(function, distribution, low, high):
    """E[function(abs(w)); low < abs(w) < high] by quadrature."""
    density = DENSITIES[distribution].pdf
    return 2.0 * integrate.quad(lambda w: function(w) * density(w), low, high, epsabs=1e-13, epsrel=1e-12)[0]


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.5, 1.0, 2.5])
def test_quadrature_agrees(distribution, threshold):
    found, border = ternary(threshold, MEAN, distribution), threshold * MEAN
    inside, beyond = (expected(lambda _: 1.0, distribution, *ends) for ends in ((0.0, border), (border, np.inf)))
    scale = expected(lambda w: w, distribution, border, np.inf) / beyond

    def error(scale):
        zeros = expected(lambda w: w**2, distribution, 0.0, border)
        return zeros + expected(lambda w: (w - scale) ** 2, distribution, border, np.inf)

    shares = np.array([inside, beyond / 2, beyond / 2])
    assert found.zeros == pytest.approx(inside, abs=1e-10)
    assert found.scale == pytest.approx(scale, rel=1e-9)
    assert found.error == pytest.approx(error(scale), rel=1e-9)
    assert found.absmean_error == pytest.approx(error(MEAN), rel=1e-9)
    assert found.entropy == pytest.approx(stats.entropy(shares[shares > 0]), rel=1e-9)


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_a_threshold_of_zero_is_binary(distribution):
    found = ternary(0.0, MEAN, distribution)
    assert (found.zeros, found.scale) == (0.0, pytest.approx(MEAN))
    assert found.error == found.absmean_error == pytest.approx(DENSITIES[distribution].var() - MEAN**2)
    assert found.entropy == pytest.approx(math.log(2.0))


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_the_best_threshold_is_where_a_minimizer_finds_it(distribution):
    of_best = optimize.minimize_scalar(lambda x: ternary(x, 1.0, distribution).error, bounds=(0, 5), method="bounded")
    assert best_threshold(distribution) == pytest.approx(of_best.x, abs=1e-5)
    # With the mean as scale, the nearest state changes at half of it, whatever the distribution.
    with_mean = optimize.minimize_scalar(
        lambda x: ternary(x, 1.0, distribution).absmean_error, bounds=(0, 5), method="bounded"
    )
    assert with_mean.x == pytest.approx(0.5, abs=1e-5)


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_a_sample_agrees(distribution):
    weights = DENSITIES[distribution].rvs(400_000, random_state=1)
    states = np.sign(weights) * (np.abs(weights) > 0.5 * MEAN)
    found = ternary(0.5, MEAN, distribution)
    assert np.mean(states == 0) == pytest.approx(found.zeros, abs=0.004)
    assert np.mean((weights - found.scale * states) ** 2) == pytest.approx(found.error, rel=0.02)


def test_it_broadcasts_and_has_limits():
    found = ternary(np.array([[0.0], [1.0]]), [1.0, 2.0])
    np.testing.assert_allclose(found.error[:, 1], 4.0 * found.error[:, 0])
    far = ternary(1e200, 1.0, "normal")
    assert (far.zeros, far.error, far.entropy) == (1.0, pytest.approx(math.pi / 2), 0.0)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((-0.1,), "threshold.*at least 0, not -0.1"),
        ((math.nan,), "threshold.*not nan"),
        ((math.inf,), "threshold.*not inf"),
        ((0.5, 0.0), "positive number, not 0"),
        ((0.5, 1.0, "normale"), "distribution.*'normale'.*normal"),
        ((["a"],), "thresholds must be real numbers"),
    ],
)
def test_what_is_refused(arguments, text):
    with pytest.raises(InputError, match=text):
        ternary(*arguments)
