"""WeightTransform against what the layers compute in torch, and standard scores against scipy."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from recu_analysis.errors import InputError
from recu_analysis.nn import functional
from recu_analysis.theory.standardize import WeightTransform, channel_deviations, channels, standard_scores

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


def test_deviations_of_channels_are_those_of_z():
    weight = np.concatenate([WEIGHT, np.full((1, 4, 3, 3), 0.25), np.full((1, 4, 3, 3), np.nan)])
    found = channel_deviations(weight)
    np.testing.assert_allclose(found[:6], WEIGHT.reshape(6, -1).std(axis=1, ddof=1), rtol=1e-12)
    assert found[6] == 0.0
    assert np.isnan(found[7])
