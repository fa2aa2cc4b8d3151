"""WeightTransform against what the layers compute in torch, and standard scores against scipy."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import spatial, stats

from recu_analysis.errors import InputError
from recu_analysis.nn import functional
from recu_analysis.theory.standardize import WeightTransform, autocorrelation, channels, score_products, standard_scores

WEIGHT = np.random.default_rng(0).laplace(0.3, 1.5, size=(6, 4, 3, 3))


@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize("target", [None, 2**-0.5, 2.0])
@pytest.mark.parametrize("tau", [0.6, 0.85, 1.0])
def test_equals_the_torch_side(center, target, tau):
    transform = WeightTransform(center=center, target=target, clamp=True)
    tensor = functional.standardize(torch.from_numpy(WEIGHT), center=center, target=target)
    standardized = transform.standardized(WEIGHT)
    np.testing.assert_allclose(standardized, tensor.numpy(), rtol=1e-12, atol=1e-12)
    clamped = functional.recu(tensor, torch.tensor(tau, dtype=torch.float64))
    np.testing.assert_allclose(transform.clamped(standardized, tau), clamped.numpy(), rtol=1e-12, atol=1e-12)
    signs = (tensor >= 0).numpy()
    np.testing.assert_array_equal(transform.signs(WEIGHT), signs)


def test_scores_are_scipys():
    expected = stats.zscore(WEIGHT.reshape(6, -1), axis=1, ddof=1).reshape(WEIGHT.shape)
    np.testing.assert_allclose(standard_scores(WEIGHT), expected, rtol=1e-12)
    deviation = WEIGHT.reshape(6, -1).std(axis=1, ddof=1).reshape(6, 1, 1, 1)
    np.testing.assert_allclose(standard_scores(WEIGHT, center=False), WEIGHT / deviation, rtol=1e-12)


@pytest.mark.parametrize("value", [0.3, -1e9 / 3, 1e-3 / 7])
def test_equal_weights_have_z_0_though_their_mean_is_rounded(value):
    weight = np.full((2, 36), value)
    weight[1, 0] += abs(value) * 1e-13
    assert not standard_scores(weight)[0].any()
    assert standard_scores(weight)[1].any()
    assert not WeightTransform(center=True, target=1.0, eps=0.0).standardized(weight)[0].any()


@pytest.mark.parametrize("shape", [(2, 9), (3, 1)])
def test_constant_channels_have_z_0(shape):
    assert not standard_scores(np.full(shape, 0.1, np.float32)).any()


def test_a_channel_with_nan_is_nan_and_alone():
    weight = np.array([[1.0, 2.0, np.nan], [1.0, 2.0, 3.0], [np.inf, 1.0, 2.0]])
    z = standard_scores(weight)
    assert np.isnan(z[[0, 2]]).all()
    np.testing.assert_allclose(z[1], [-1, 0, 1])


@given(
    st.booleans(),
    st.one_of(st.none(), st.floats(1e-3, 10)),
    st.floats(0, 1),
    st.integers(0, 1),
    st.booleans(),
)
def test_dictionary_round_trip(center, target, eps, ddof, clamp):
    transform = WeightTransform(center, target, eps, ddof, clamp)
    assert WeightTransform.from_dict(transform.to_dict()) == transform


@pytest.mark.parametrize("fields", [{}, {"center": True}, WeightTransform().to_dict() | {"center": "yes"}])
def test_foreign_dictionaries_are_refused(fields):
    with pytest.raises(InputError, match="center, target, eps, ddof, clamp"):
        WeightTransform.from_dict(fields)


def test_bad_values_are_refused():
    with pytest.raises(InputError, match=r"scale b\*.*positive number, not -1"):
        WeightTransform(target=-1.0)
    with pytest.raises(InputError, match=r"eps.*not nan"):
        WeightTransform(eps=float("nan"))
    with pytest.raises(InputError, match=r"not shape \(\)"):
        channels(1.0)


@pytest.mark.parametrize("center", [True, False])
def test_products_of_scores_are_their_sums(center):
    generator = np.random.default_rng(1)
    start, end = generator.normal(5.0, 0.1, size=(2, 300, 7, 100)).astype(np.float32)
    start[3], end[4], end[5, 0, 0], start[299, 6, 99] = 0.25, 0.25, np.nan, np.inf
    z, other = (standard_scores(weight, center=center) for weight in (start, end))
    expected = np.stack([(x * y).sum(axis=(1, 2)) for x, y in ((z, other), (z, z), (other, other))], axis=1)
    expected[[3, 4]] = 0.0
    found = score_products(start, end, center=center)
    np.testing.assert_array_equal(np.isnan(found).any(axis=1), np.isnan(expected).any(axis=1))
    known = np.isfinite(expected).all(axis=1)
    np.testing.assert_allclose(found[known], expected[known], rtol=1e-9, atol=1e-9)
    assert (~known).sum() == 2


def test_channels_of_one_weight_have_no_products():
    assert score_products(np.ones((2, 1)), np.full((2, 1), 3.0)).tolist() == [[0.0] * 3] * 2


def test_memory_leaves_out_what_has_no_score_at_both_moments():
    generator = np.random.default_rng(0)
    z, other = generator.normal(size=(2, 6, 40))
    z[0], other[1], z[2, 3] = 0.0, 0.0, np.nan
    kept = np.ones((6, 40), bool)
    kept[:2], kept[2, 3] = False, False
    assert autocorrelation(z, other) == pytest.approx(1 - spatial.distance.cosine(z[kept], other[kept]))
    assert autocorrelation(z, z) == pytest.approx(1.0)
    assert math.isnan(autocorrelation(np.zeros((2, 3)), z[:2, :3]))
