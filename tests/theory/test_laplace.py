"""The Laplace quantile and scale against scipy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from recu_analysis.errors import InputError
from recu_analysis.theory.laplace import quantile, scale_estimate


@given(st.floats(0.5, 1, exclude_min=True, exclude_max=True), st.floats(1e-6, 1e6))
def test_quantile_is_scipys(tau, b):
    assert quantile(tau, b) == pytest.approx(stats.laplace(scale=b).ppf(tau), rel=1e-9, abs=1e-12 * b)


@pytest.mark.parametrize("tau", [0.6, 0.85, 0.99])
def test_quantile_leaves_that_share_of_a_sample_below(tau):
    sample = np.random.default_rng(0).laplace(scale=2.0, size=400_000)
    five_sigma = 5 * np.sqrt(tau * (1 - tau) / sample.size)
    assert (sample < quantile(tau, 2.0)).mean() == pytest.approx(tau, abs=five_sigma)
    assert (sample < -quantile(tau, 2.0)).mean() == pytest.approx(1 - tau, abs=five_sigma)


def test_quantile_broadcasts_and_is_infinite_at_1():
    result = quantile(np.array([[0.75], [1.0]]), [1.0, 2.0, 0.0])
    np.testing.assert_allclose(result[0], np.log(2) * np.array([1.0, 2.0, 0.0]))
    assert np.isinf(result[1]).all()


def test_scale_is_the_maximum_likelihood_fit():
    sample = stats.laplace(scale=1.7).rvs(500, random_state=1)
    assert scale_estimate(sample) == pytest.approx(stats.laplace.fit(sample, floc=0)[1])
    assert np.isnan(scale_estimate([1.0, np.nan]))


@pytest.mark.parametrize(("tau", "text"), [(0.5, "0.5"), (1.0001, "1.0001"), (-1, "-1"), (float("nan"), "nan")])
def test_levels_outside_are_refused(tau, text):
    with pytest.raises(InputError) as caught:
        quantile([0.9, tau], 1.0)
    assert str(caught.value) == f"tau must lie in (0.5, 1], not {text}"


def test_bad_scales_and_empty_samples_are_refused():
    with pytest.raises(InputError, match=r"scale b.*0, not -1"):
        quantile(0.9, [1.0, -1.0])
    with pytest.raises(InputError, match="at least one weight"):
        scale_estimate([])
