"""Entropies against quadrature and scipy."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats

from recu_analysis.errors import InputError
from recu_analysis.theory import entropy
from recu_analysis.theory.laplace import quantile

SCALES = st.floats(0.01, 100.0)
WEIGHTS = np.random.default_rng(3).laplace(size=50_000)


@given(st.floats(0.501, 0.9999), SCALES)
def test_eq_17_equals_quadrature(tau, b):
    bound = float(quantile(tau, b))

    def term(w):
        density = math.exp(-w / b) / (2 * b)
        return -density * math.log(density)

    inside = integrate.quad(term, 0, bound, epsabs=1e-13, epsrel=1e-12)[0]
    masses = -2 * (1 - tau) * math.log(1 - tau)
    assert entropy.clamped_entropy(tau, b) == pytest.approx(2 * inside + masses, abs=1e-10)


@given(st.floats(0.501, 0.9999), SCALES)
def test_eq_17_equals_samples_within_their_standard_error(tau, b):
    size, bound = np.abs(b * WEIGHTS), float(quantile(tau, b))
    surprise = np.where(size < bound, math.log(2 * b) + size / b, -math.log(1 - tau))
    assert abs(surprise.mean() - entropy.clamped_entropy(tau, b)) < 5 * surprise.std() / math.sqrt(size.size)


def test_eq_17_as_printed():
    tau, b = np.array([0.6, 0.85, 1.0])[:, None], np.array([0.2, 1.0, 2.0])
    printed = 2 * (np.log(b) + 1) * tau + np.log(2 / b) - 1
    np.testing.assert_allclose(entropy.clamped_entropy(tau, b), printed, rtol=1e-12)


def test_critical_scale_and_its_unit():
    tau = np.array([0.6, 0.8, 1.0])
    np.testing.assert_allclose(entropy.clamped_entropy(tau, entropy.CRITICAL_SCALE), math.log(2))
    assert (np.diff(entropy.clamped_entropy(tau, 0.5)) > 0).all()
    assert (np.diff(entropy.clamped_entropy(tau, 0.3)) < 0).all()
    change = entropy.clamped_entropy(tau, 1000 * 0.3) - entropy.clamped_entropy(tau, 0.3)
    np.testing.assert_allclose(change, (2 * tau - 1) * math.log(1000))


@given(SCALES)
def test_bounds_are_the_entropies_of_laplace_and_normal(scale):
    assert entropy.laplace_bound(scale) == pytest.approx(stats.laplace(scale=scale).entropy(), rel=1e-12, abs=1e-12)
    assert entropy.normal_bound(scale) == pytest.approx(stats.norm(scale=scale).entropy(), rel=1e-12, abs=1e-12)
    assert entropy.clamped_entropy(1.0, scale) == pytest.approx(entropy.laplace_bound(scale))


@pytest.mark.parametrize("law", [*map(stats.gennorm, (0.5, 1, 1.4, 2, 8)), stats.uniform(-1, 2), stats.t(5)])
def test_no_law_has_more_entropy_than_the_bounds(law):
    size, most = law.expect(abs), law.entropy()
    room = entropy.laplace_bound(size) - most, entropy.normal_bound(law.std()) - most
    assert [abs(each) < 1e-6 for each in room] == [law.args == (1,), law.args == (2,)]
    assert min(room) > -1e-6


@given(st.floats(0, 1))
def test_sign_entropy_is_scipys(p):
    assert entropy.sign_entropy(p) == pytest.approx(stats.entropy([p, 1 - p]), abs=1e-12)
    assert 0 <= entropy.sign_entropy(p) <= math.log(2) + 1e-15


def test_what_is_refused():
    with pytest.raises(InputError, match=r"probability.*\[0, 1\], not 1\.5"):
        entropy.sign_entropy([0.2, 1.5])
    with pytest.raises(InputError, match=r"scale b.*positive number"):
        entropy.clamped_entropy(0.9, 0.0)
