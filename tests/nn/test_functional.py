"""The method on tensors: values against numpy, gradients against plain autograd compositions."""

from __future__ import annotations

import math
import shutil
from functools import partial

import numpy as np
import pytest
import torch

from recu_analysis.nn.functional import mask_random, recu, standardize
from recu_analysis.nn.fused_dispatch import _fused, fused_for
from recu_analysis.nn.signs import (
    polynomial_slope,
    sign_polynomial,
    sign_scaled,
    sign_straight_through,
    signs,
)
from recu_analysis.theory.standardize import WeightTransform

SHAPES = [(8, 4, 3, 3), (8, 30)]
#: Largest relative difference that rounding explains, float32 over a few thousand terms included.
ROUNDING = {torch.float64: 1e-12, torch.float32: 2e-5}


def values(shape, dtype=torch.float64, seed=0, spread=1.0):
    generator = torch.Generator().manual_seed(seed)
    return (torch.randn(shape, dtype=torch.float64, generator=generator) * spread).to(dtype)


def gradient(function, at, weights):
    """Gradient of sum(weights * function(at))."""
    leaf = at.clone().requires_grad_()
    (function(leaf) * weights).sum().backward()
    return leaf.grad


def close(actual, expected, dtype):
    bound = ROUNDING[dtype] * expected.abs().max()
    assert (actual - expected).abs().max() <= bound


def quantile(weight, tau):
    return -weight.detach().abs().mean() * math.log(2 - 2 * tau)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize("target", [None, 2.0, math.sqrt(0.5)])
def test_standardize_is_what_the_numpy_side_says(shape, center, target):
    weight = values(shape, spread=0.05) + 0.01
    expected = WeightTransform(center=center, target=target).standardized(weight.numpy())
    np.testing.assert_allclose(standardize(weight, center=center, target=target).numpy(), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("dtype", ROUNDING)
@pytest.mark.parametrize("shape", SHAPES)
def test_standardize_has_the_gradient_of_the_authors_composition(shape, dtype):
    def authors(weight):
        flat = weight.reshape(len(weight), -1)
        w0 = flat - flat.mean(-1, keepdim=True)
        w1 = w0 / (torch.sqrt(w0.var(-1, keepdim=True) + 1e-5) / (2 * math.sqrt(2)))
        return w1.reshape(weight.shape)

    weight, upstream = values(shape, dtype, spread=0.05), values(shape, dtype, seed=1)
    close(standardize(weight), authors(weight), dtype)
    close(gradient(standardize, weight, upstream), gradient(authors, weight, upstream), dtype)


@pytest.mark.parametrize("tau", [0.51, 0.85, 0.99, 1.0])
def test_recu_is_what_the_numpy_side_says(tau):
    weight = values((8, 4, 3, 3))
    clamped = recu(weight, torch.tensor(tau, dtype=torch.float64))
    expected = WeightTransform(clamp=True).clamped(weight.numpy(), tau)
    np.testing.assert_allclose(clamped.numpy(), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("dtype", ROUNDING)
def test_recu_has_the_gradient_of_a_clamp_with_a_constant_quantile(dtype):
    tau, weight, upstream = 0.85, values((8, 4, 3, 3), dtype), values((8, 4, 3, 3), dtype, seed=1)
    bound = float(quantile(weight, tau))
    ours = gradient(lambda w: recu(w, torch.tensor(tau)), weight, upstream)
    close(ours, gradient(lambda w: w.clamp(-bound, bound), weight, upstream), dtype)


def test_no_gradient_reaches_a_clamped_weight():
    weight, tau = values((8, 4, 3, 3)), torch.tensor(0.85)
    slope = gradient(lambda w: recu(w, tau), weight, torch.ones_like(weight))
    clamped = weight.abs() > quantile(weight, 0.85)
    assert clamped.any()
    assert not clamped.all()
    torch.testing.assert_close(slope, (~clamped).double(), rtol=0, atol=0)


@pytest.mark.parametrize("weight", [values((4, 9)), torch.zeros(4, 9, dtype=torch.float64)])
def test_tau_of_one_clamps_nothing_and_makes_no_nan(weight):
    ones = torch.ones_like(weight)
    tau = torch.tensor(1.0)
    torch.testing.assert_close(recu(weight, tau), weight, rtol=0, atol=0)
    torch.testing.assert_close(gradient(lambda w: recu(w, tau), weight, ones), ones, rtol=0, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_level_that_rounds_to_one_half_keeps_the_signs(dtype):
    weight = values((4, 9), dtype)
    assert torch.equal(signs(recu(weight, torch.tensor(0.5, dtype=dtype))), signs(weight))


def test_tau_may_have_the_shape_that_saved_files_have():
    weight = values((4, 9))
    torch.testing.assert_close(recu(weight, torch.tensor([0.85])), recu(weight, torch.tensor(0.85)), rtol=0, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("function", [signs, sign_straight_through, sign_polynomial, sign_scaled])
def test_sign_is_never_zero_and_keeps_the_dtype(function, dtype):
    given = torch.tensor([[-2.0, -0.0, 0.0, 3.0, -1e-30]], dtype=dtype)
    torch.testing.assert_close(function(given), torch.tensor([[-1.0, 1.0, 1.0, 1.0, -1.0]], dtype=dtype))


def test_weights_get_the_gradient_as_it_is():
    upstream = values((5, 7), seed=1)
    torch.testing.assert_close(gradient(sign_straight_through, values((5, 7)), upstream), upstream, rtol=0, atol=0)


def test_activations_get_the_gradient_of_equation_7():
    given = torch.tensor([-1.5, -1.0, -0.25, 0.0, 0.25, 1.0, 1.5], dtype=torch.float64)
    expected = torch.tensor([0.0, 0.0, 1.5, 2.0, 1.5, 0.0, 0.0], dtype=torch.float64)
    torch.testing.assert_close(gradient(sign_polynomial, given, torch.ones_like(given)), expected)
    torch.testing.assert_close(polynomial_slope(given), expected)


class AuthorsSign(torch.autograd.Function):
    """The sign of activations as its own node, to build the composition that `sign_scaled` fuses."""

    @staticmethod
    def forward(ctx, a):
        ctx.save_for_backward(a)
        return torch.sign(a)

    @staticmethod
    def backward(ctx, upstream):
        (a,) = ctx.saved_tensors
        return upstream * (2 - (2 * a).abs()).clamp(min=0)


def authors_activations(a):
    axes = tuple(range(1, a.ndim))
    return AuthorsSign.apply(a / torch.sqrt(a.var(axes, keepdim=True) + 1e-5))


@pytest.mark.parametrize("dtype", ROUNDING)
@pytest.mark.parametrize("spread", [1e-4, 0.05, 1.0, 20.0])
@pytest.mark.parametrize("shape", [(4, 6, 5, 7), (4, 90), (4, 30, 3)])
def test_fused_activations_equal_the_authors_composition(shape, spread, dtype):
    given, upstream = values(shape, dtype, spread=spread) + spread / 2, values(shape, dtype, seed=1)
    torch.testing.assert_close(sign_scaled(given), authors_activations(given), rtol=0, atol=0)
    close(gradient(sign_scaled, given, upstream), gradient(authors_activations, given, upstream), dtype)


def test_fused_activations_accept_any_memory_format():
    given, upstream = values((4, 6, 5, 7)), values((4, 6, 5, 7), seed=1)
    expected = gradient(sign_scaled, given, upstream)
    other = gradient(sign_scaled, given.to(memory_format=torch.channels_last), upstream)
    torch.testing.assert_close(other, expected, rtol=1e-12, atol=1e-12)


def test_a_sample_does_not_see_the_others():
    given, upstream = values((4, 6, 5, 5)), values((4, 6, 5, 5), seed=1)
    alone = gradient(sign_scaled, given[1:2], upstream[1:2])
    torch.testing.assert_close(gradient(sign_scaled, given, upstream)[1:2], alone, rtol=1e-12, atol=1e-12)


def test_where_the_kernels_do_not_run_nothing_is_fused():
    assert _fused(torch.device("cpu")) is None
    assert fused_for(torch.ones(2, 2)) is None


@pytest.mark.parametrize("tau", [0.6, 0.85, 1.0])
def test_the_random_mask_stops_as_many_gradients_as_the_clamp_and_others(tau):
    weight, level = values((16, 8, 3, 3)), torch.tensor(tau)
    torch.manual_seed(0)
    stopped = [gradient(partial(mask, tau=level), weight, 1.0) == 0 for mask in (recu, mask_random, mask_random)]
    assert stopped[0].sum() == stopped[1].sum() == stopped[2].sum()
    if tau < 1:
        assert (stopped[0] != stopped[1]).any()
        assert (stopped[1] != stopped[2]).any()
        share = (stopped[0] & stopped[1]).sum() / stopped[0].sum()
        assert abs(share - stopped[0].double().mean()) < 0.1  # no likelier to hit the tail than anything else
    assert torch.equal(mask_random(weight, level), weight)


# torch warns of its own use of what it deprecates.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.skipif(shutil.which("c++") is None, reason="torch.compile needs a C++ compiler")
def test_the_random_mask_is_the_same_where_torch_compiles_it():
    weight, level = values((4, 3, 3, 3), torch.float32), torch.tensor(0.85)
    compiled = torch.compile(mask_random, fullgraph=True, dynamic=False)
    stopped = []
    for mask in (mask_random, compiled):
        torch.manual_seed(0)
        stopped.append(gradient(partial(mask, tau=level), weight, 1.0) == 0)
    assert stopped[0].any()
    assert torch.equal(*stopped)
