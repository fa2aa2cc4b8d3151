"""The three quantization errors against quadrature and samples, their slopes, and the paper's table."""

import math
from decimal import Decimal, localcontext

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, optimize

from recu_analysis.errors import InputError
from recu_analysis.theory import quantization as qe
from recu_analysis.theory.laplace import quantile
from tests.messages import facts

LEVELS = st.floats(0.5001, 0.9999)
SCALES = st.floats(0.01, 100.0)
# tau, printed, exact, latent for b = 2, computed independently by quadrature.
TABLE = [
    (0.60, 4.1079, 0.0119, 6.5600),
    (0.70, 1.8360, 0.1080, 5.4400),
    (0.82, 0.9125, 0.5392, 4.5184),
    (0.85, 0.9665, 0.7505, 4.3600),
    (0.90, 1.3289, 1.2649, 4.1600),
    (0.94, 1.9208, 1.9069, 4.0576),
    (0.99, 3.3725, 3.3725, 4.0016),
]


WEIGHTS = np.random.default_rng(3).laplace(size=50_000)


def integral(function, low, high):
    return integrate.quad(function, low, high, epsabs=1e-14, epsrel=1e-12)[0]


def quadrature(tau, b, inner, outer):
    """2 (integral over 0 to Q of f inner + integral over Q to infinity of f outer), f the Laplace density."""
    bound = float(quantile(tau, b))

    def density(w):
        return math.exp(-w / b) / (2 * b)

    low = integral(lambda w: density(w) * inner(w), 0, bound)
    return 2 * (low + integral(lambda w: density(w) * outer(w), bound, bound + 60 * b))


@given(LEVELS, SCALES)
def test_closed_forms_equal_quadrature(tau, b):
    bound, alpha = float(quantile(tau, b)), float(qe.alpha(tau, b))
    assert alpha == pytest.approx(quadrature(tau, b, lambda w: w, lambda w: bound), abs=1e-10 * b)
    exact = quadrature(tau, b, lambda w: (w - alpha) ** 2, lambda w: (bound - alpha) ** 2)
    assert qe.exact(tau, b) == pytest.approx(exact, abs=1e-10 * b * b)
    latent = quadrature(tau, b, lambda w: (w - alpha) ** 2, lambda w: (w - alpha) ** 2)
    assert qe.latent(tau, b) == pytest.approx(latent, abs=1e-10 * b * b)


@given(LEVELS, SCALES)
def test_closed_forms_equal_samples_within_their_standard_error(tau, b):
    size, bound, alpha = np.abs(b * WEIGHTS), float(quantile(tau, b)), float(qe.alpha(tau, b))
    clamped = np.minimum(size, bound)
    for values, expected in (
        (clamped, alpha),
        ((clamped - alpha) ** 2, qe.exact(tau, b)),
        ((size - alpha) ** 2, qe.latent(tau, b)),
    ):
        assert abs(values.mean() - expected) < 5 * values.std() / math.sqrt(values.size)


@given(LEVELS, SCALES)
def test_printed_is_eq_14_and_differs_from_the_exact_error_by_its_sign(tau, b):
    a, bound = b * (2 * tau - 1), -b * math.log(2 - 2 * tau)
    q = math.exp(-bound / b)
    eq_14 = (a - b) ** 2 * (1 + q) + b**2 - ((b + bound) ** 2 - 2 * a * bound) * q + 2 * (1 - tau) * (bound - a) ** 2
    assert qe.printed(tau, b) == pytest.approx(eq_14, abs=1e-10 * b * b)
    difference = qe.printed(tau, b) - qe.exact(tau, b)
    assert difference == pytest.approx(16 * b**2 * (1 - tau) ** 3, abs=1e-13 * b * b)


@pytest.mark.parametrize(("tau", "printed", "exact", "latent"), TABLE)
def test_known_values(tau, printed, exact, latent):
    values = [float(error(tau, 2.0)) for error in (qe.printed, qe.exact, qe.latent)]
    assert values == pytest.approx([printed, exact, latent], abs=5e-5)


@given(LEVELS, LEVELS, SCALES)
def test_the_integral_of_a_slope_is_the_difference_of_its_error(first, last, b):
    for error, slope in (
        (qe.exact, qe.exact_slope),
        (qe.printed, qe.printed_slope),
        (qe.latent, qe.latent_slope),
    ):
        area = integral(lambda tau, slope=slope: float(slope(tau, b)), first, last)
        assert error(last, b) - error(first, b) == pytest.approx(area, abs=1e-10 * b * b)


def test_only_the_printed_error_has_a_minimum_inside():
    tau = np.linspace(0.5, 1, 2001)[1:]
    assert (np.diff(qe.exact(tau, 1.5)) > 0).all()
    assert (np.diff(qe.latent(tau, 1.5)) < 0).all()
    root = optimize.brentq(lambda t: float(qe.printed_slope(t, 1.0)), 0.6, 0.95)
    assert round(root, 4) == 0.8209


def test_limits_are_right_to_machine_precision():
    near = 0.5 + np.array([1e-12, 1e-6, 1e-4])
    e = 2 * near - 1
    np.testing.assert_allclose(qe.exact(near, 1.0), e**3 / 3 + e**4 / 6 + e**5 / 10, rtol=1e-9)
    assert qe.exact(1.0, 3.0) == qe.printed(1.0, 3.0) == qe.latent(1.0, 3.0) == 9.0
    assert qe.printed(np.nextafter(0.5, 1), 1.0) == pytest.approx(2.0)
    assert np.isinf(qe.exact_slope(1.0, 1.0))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "tau", [np.nextafter(0.5, 1), 0.5 + 1e-12, 0.5001, 0.5499999, 0.55, 0.56, 0.82, 1 - 1e-9, np.nextafter(1, 0)]
)
def test_eighty_digits_agree_to_the_last_ones(tau):
    with localcontext(prec=80):
        q = 2 - 2 * Decimal(float(tau))
        error, slope = 1 - q * q + 2 * q * q.ln(), 4 * (q - 1 - q.ln())
        expected = {
            qe.exact: error,
            qe.printed: error + 2 * q**3,
            qe.latent: 1 + q * q,
            qe.exact_slope: slope,
            qe.printed_slope: slope - 12 * q * q,
            qe.latent_slope: -4 * q,
        }
    for function, value in expected.items():
        assert function(tau, 1.0) == pytest.approx(float(value), rel=3e-13, abs=0.0)


def test_broadcasting():
    assert qe.exact(np.array([[0.6], [0.9]]), [1.0, 2.0, 3.0]).shape == (2, 3)


@pytest.mark.parametrize("b", [0.0, -1.0, float("nan"), float("inf")])
def test_scales_that_are_none_are_refused(b):
    for function in (qe.alpha, qe.exact, qe.printed, qe.latent, qe.exact_slope):
        with pytest.raises(InputError, match=r"scale b.*positive number, not"):
            function(0.9, b)


@pytest.mark.parametrize("b", [1e200, 1e-200])
def test_scales_whose_square_floating_point_does_not_hold_are_refused(b):
    for function in (qe.exact, qe.printed, qe.latent, qe.exact_slope, qe.printed_slope, qe.latent_slope):
        with pytest.raises(InputError, match=facts("scale b", "1e-150 to 1e+150", f"not {b:g}", "another unit")):
            function(0.9, [1.0, b])
    assert qe.alpha(0.75, b) == 0.5 * b


@pytest.mark.parametrize("b", [1e-150, 1e150])
def test_the_largest_and_the_smallest_scale_lose_no_digits(b):
    for function in (qe.exact, qe.printed, qe.latent):
        for tau in (0.51, 0.9, 1.0):
            assert function(tau, b) / b**2 == pytest.approx(function(tau, 1.0), rel=1e-15)
