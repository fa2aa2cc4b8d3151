"""The autocorrelation of standard scores, measured and of noise alone, against plain sums and simulations."""

import math

import numpy as np
import pytest
from scipy import spatial

from recu_analysis.theory.autocorrelation import autocorrelation, cosine, null_products
from recu_analysis.theory.standardize import channel_deviations, standard_scores


def test_memory_leaves_out_what_has_no_score_at_both_moments():
    generator = np.random.default_rng(0)
    z, other = generator.normal(size=(2, 6, 40))
    z[0], other[1], z[2, 3] = 0.0, 0.0, np.nan
    kept = np.ones((6, 40), bool)
    kept[:2], kept[2, 3] = False, False
    assert autocorrelation(z, other) == pytest.approx(1 - spatial.distance.cosine(z[kept], other[kept]))
    assert autocorrelation(z, z) == pytest.approx(1.0)
    assert math.isnan(autocorrelation(np.zeros((2, 3)), z[:2, :3]))


def _null(start, end, kept):
    return null_products(channel_deviations(start), channel_deviations(end), start[0].size - 1, kept)


def test_noise_alone_leaves_what_decay_leaves_over_what_the_noise_has_widened():
    """Channels of different means, scales and growth; the expectation is met by a simulation of many weights."""
    generator = np.random.default_rng(3)
    kept = generator.uniform(0.4, 0.8, (12, 1))
    start = generator.normal(size=(12, 40_000)) * generator.uniform(0.5, 2.0, (12, 1)) + generator.normal(size=(12, 1))
    end = kept * start + generator.normal(size=start.shape) * generator.uniform(0.1, 3.0, (12, 1))
    found = cosine(_null(start, end, kept[:, 0]).sum(axis=0))
    measured = autocorrelation(standard_scores(start), standard_scores(end))
    assert found == pytest.approx(measured, abs=0.005)
    ratios = start.std(axis=1, ddof=1) / end.std(axis=1, ddof=1)
    assert found == pytest.approx((kept[:, 0] * ratios).mean(), rel=1e-12)


def test_the_null_ignores_where_the_weights_went():
    generator = np.random.default_rng(4)
    start, end = generator.normal(size=(2, 6, 50))
    shuffled = generator.permuted(end, axis=1)
    expected = _null(start, end, 0.5).sum(axis=0)
    np.testing.assert_allclose(_null(start, shuffled, 0.5).sum(axis=0), expected, rtol=1e-12)


def test_channels_that_have_no_scores_have_no_null():
    start, end = np.random.default_rng(5).normal(size=(2, 4, 9))
    start[0], end[1], start[2, 3] = 1.0, -2.0, np.inf
    found = _null(start, end, 0.5)
    assert found[:2].tolist() == [[0.0] * 3] * 2
    assert np.isnan(found[2]).all()
    assert np.isfinite(found[3]).all()
