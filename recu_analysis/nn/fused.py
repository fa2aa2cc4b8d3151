"""A binary layer on a CUDA GPU in few launches: the convolution of signs with all its gradients, and its parts."""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import torch
import triton
import triton.language as tl
from torch.autograd.function import once_differentiable

from recu_analysis.nn import kernels
from recu_analysis.nn.binarizer import Binarizer
from recu_analysis.nn.functional import EPS
from recu_analysis.nn.launch import Kernel, on

#: Values that a program loads at a time.
MOST_AT_ONCE = 4096
#: Groups of 32 threads in a program.
WARPS = 8

#: Stride, padding, dilation, each along both axes, and groups.
Geometry = tuple[tuple[int, int], tuple[int, int], tuple[int, int], int]


class _Plan(NamedTuple):
    """The kernels and sizes for some shapes and dtypes."""

    #: Number and size of rows: of activations, then of weights.
    sizes: tuple[int, int, int, int]
    #: How many numbers are kept for the gradients, and their dtype. The kernels compute in it.
    kept: int
    dtype: torch.dtype
    signs: Kernel
    gradients: Kernel


@functools.lru_cache(maxsize=1024)
def _plan(
    device: torch.device,
    values: torch.Size,
    weight: torch.Size,
    dtypes: tuple[torch.dtype, ...],
    binary: Binarizer,
    scaled: bool,
) -> _Plan:
    """The plan for activations and weights of these shapes; the dtypes are those of all tensors of the kernels."""
    sizes = values[0], math.prod(values[1:]), weight[0], math.prod(weight[1:])
    double = torch.float64 in dtypes[:2]
    constants = {
        "INPUT_EPS": EPS,
        "GAIN": math.sqrt(2.0) * (binary.scale or 1.0),  # the factor of a weight in standard deviations
        "EPS": binary.eps,
        "CENTER": binary.center,
        "CLAMP": binary.clamp,
        "SCALED": scaled,
        "KIND": tl.float64 if double else tl.float32,
        "INPUT_BLOCK": _block(sizes[1]),
        "BLOCK": _block(sizes[3]),
        "CHANNELS": triton.next_power_of_2(max(1, sizes[2])),
    }
    return _Plan(
        sizes=sizes,
        kept=2 * sizes[0] + 4 * sizes[2] + 1,
        dtype=torch.float64 if double else torch.float32,
        signs=Kernel(kernels.signs, sizes[0] + sizes[2], constants, num_warps=WARPS),
        gradients=Kernel(kernels.gradients, sizes[0] + sizes[2], constants, num_warps=WARPS),
    )


def _block(size: int) -> int:
    return int(min(MOST_AT_ONCE, triton.next_power_of_2(size)))


class _Signs(torch.autograd.Function):
    """Signs of activations and of weights. Either may be of size 0."""

    @staticmethod
    def forward(
        ctx: Any, values: torch.Tensor, weight: torch.Tensor, tau: torch.Tensor, binary: Binarizer
    ) -> tuple[torch.Tensor, torch.Tensor]:
        values, weight = _dense(values), _dense(weight)
        dtypes = values.dtype, weight.dtype, tau.dtype
        plan = _plan(weight.device, values.shape, weight.shape, dtypes, binary, False)
        signs = torch.empty_like(values), torch.empty_like(weight)
        kept = weight.new_empty(plan.kept, dtype=plan.dtype)
        with on(weight.device):
            plan.signs((values, signs[0], weight, signs[1], weight, weight, tau, kept), plan.sizes)
        ctx.save_for_backward(values, weight, kept)
        ctx.plan = plan
        return signs

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, value_gradient: torch.Tensor, weight_gradient: torch.Tensor
    ) -> tuple[torch.Tensor | None, ...]:
        values, weight, kept = ctx.saved_tensors
        out = _gradients(ctx.plan, values, value_gradient, weight, weight_gradient, kept)
        return *_wanted(out, ctx.needs_input_grad), None, None


class _Convolution(torch.autograd.Function):
    """Convolution of signs times alpha.

    Its product is not kept: the gradient of alpha is the sum of the signs of the weights times their gradient. Alpha
    does not multiply any gradient of the size of the output. It multiplies the signs of the weights, which are
    convolved with the gradient.
    """

    @staticmethod
    def forward(
        ctx: Any, values: torch.Tensor, weight: torch.Tensor, alpha: torch.Tensor | None, tau: torch.Tensor,
        binary: Binarizer, geometry: Geometry
    ) -> torch.Tensor:  # fmt: skip
        values, weight = _dense(values), _dense(weight)
        value_signs = torch.empty_like(values, dtype=_autocast(values.dtype))
        weight_signs = torch.empty_like(weight, dtype=_autocast(weight.dtype))
        factors, scaled_signs = (weight, weight_signs) if alpha is None else (alpha, torch.empty_like(weight_signs))
        dtypes = values.dtype, weight.dtype, value_signs.dtype, weight_signs.dtype, factors.dtype, tau.dtype
        plan = _plan(weight.device, values.shape, weight.shape, dtypes, binary, alpha is not None)
        kept = weight.new_empty(plan.kept, dtype=plan.dtype)
        tensors = values, value_signs, weight, weight_signs, scaled_signs, factors, tau, kept
        with on(weight.device):
            plan.signs(tensors, plan.sizes)
        product = torch.conv2d(value_signs, weight_signs, None, *geometry)
        ctx.save_for_backward(values, weight, value_signs, scaled_signs, kept)
        ctx.plan, ctx.geometry, ctx.alpha = plan, geometry, alpha if alpha is None else (alpha.shape, alpha.dtype)
        if alpha is None:
            return product
        return product.mul_(alpha) if product.dtype == alpha.dtype else product * alpha

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        values, weight, value_signs, scaled_signs, kept = ctx.saved_tensors
        by_values, by_weight, by_alpha = ctx.needs_input_grad[:3]
        stride, padding, dilation, groups = ctx.geometry
        # The gradient of the weights' signs does not depend on these signs, so signs times alpha serve for both
        # gradients.
        value_gradient, weight_gradient, _ = torch.ops.aten.convolution_backward.default(
            gradient.to(value_signs.dtype), value_signs, scaled_signs, None,
            stride, padding, dilation, False, [0, 0], groups,
            [by_values, by_weight or by_alpha, False],
        )  # fmt: skip
        # A gradient that is not needed is replaced by any numbers of its shape. Their result is dropped.
        value_gradient = value_signs if value_gradient is None else value_gradient
        weight_gradient = scaled_signs if weight_gradient is None else weight_gradient
        alpha_out = None if ctx.alpha is None else gradient.new_empty(ctx.alpha[0], dtype=ctx.alpha[1])
        out = _gradients(ctx.plan, values, value_gradient, weight, weight_gradient, kept, alpha_out)
        return *_wanted((*out, alpha_out), ctx.needs_input_grad), None, None, None


def _gradients(
    plan: _Plan, values: torch.Tensor, value_gradient: torch.Tensor, weight: torch.Tensor,
    weight_gradient: torch.Tensor, kept: torch.Tensor, alpha_out: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:  # fmt: skip
    """Gradients of activations and weights from those of their signs. That of alpha is written to `alpha_out`."""
    out = torch.empty_like(values), torch.empty_like(weight)
    value_gradient, weight_gradient = _laid_out_as(values, value_gradient), _laid_out_as(weight, weight_gradient)
    by_alpha = weight if alpha_out is None else alpha_out
    with on(weight.device):
        plan.gradients((values, value_gradient, out[0], weight, weight_gradient, out[1], by_alpha, kept), plan.sizes)
    return out


def _wanted(gradients: tuple[torch.Tensor | None, ...], wanted: tuple[bool, ...]) -> tuple[torch.Tensor | None, ...]:
    return tuple(each if asked else None for each, asked in zip(gradients, wanted, strict=False))


def _autocast(dtype: torch.dtype) -> torch.dtype:
    """The dtype in which a convolution computes: that of autocast if it is on."""
    lowered = torch.is_autocast_enabled("cuda") and dtype != torch.float64
    return torch.get_autocast_dtype("cuda") if lowered else dtype


def _dense(rows: torch.Tensor) -> torch.Tensor:
    """The same values, each row contiguous in memory, in any order."""
    if rows.is_contiguous() or (rows.ndim == 4 and rows.is_contiguous(memory_format=torch.channels_last)):
        return rows
    return rows.contiguous()


def _laid_out_as(rows: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
    """The gradient of some rows, in their memory order."""
    return gradient if gradient.stride() == rows.stride() else torch.empty_like(rows).copy_(gradient)


def _beside(weight: torch.Tensor, tau: torch.Tensor) -> torch.Tensor:
    """The level on the weight's device. A tensor of one number may be on the CPU, as in PyTorch's own operations."""
    return tau if tau.device == weight.device else tau.to(weight.device)


def convolve(
    values: torch.Tensor,
    weight: torch.Tensor,
    alpha: torch.Tensor | None,
    tau: torch.Tensor,
    binary: Binarizer,
    geometry: Geometry,
) -> torch.Tensor:
    """Convolution of the signs of scaled activations with the signs of standardized weights, times alpha.

    It is the convolution of `sign_scaled` of the activations with `sign_of_weights` of the weights, in fewer launches.
    Outputs are the same. Gradients are the same except for rounding: that of alpha is computed from the gradient of the
    convolution, in its precision.

    Parameters
    ----------
    values : Tensor, shape (batch, C_in, H, W)
        On a CUDA GPU, not empty.
    weight : Tensor, shape (C_out, C_in / groups, k, k')
        Latent weights on the same GPU, at least two in each channel.
    alpha : Tensor, shape (C_out, 1, 1), or None
        Factors of the output.
    tau : Tensor with one element
        Quantile level in (0.5, 1].
    binary : Binarizer
        `fusible`, with scaled activations and the polynomial as their gradient.
    geometry : tuple
        Stride, padding and dilation, two int each, and groups.

    Returns
    -------
    Tensor, shape (batch, C_out, H', W')
    """
    if alpha is not None:
        alpha = alpha.contiguous()
    result: torch.Tensor = _Convolution.apply(values, weight, alpha, _beside(weight, tau), binary, geometry)  # type: ignore[no-untyped-call]
    return result


#: The options for `_Signs` without weights.
_ANY = Binarizer()


def sign_scaled(values: torch.Tensor) -> torch.Tensor:
    """`recu_analysis.nn.signs.sign_scaled` with the fused kernels."""
    none = values.new_empty(0, 2)
    result: torch.Tensor = _Signs.apply(values, none, none, _ANY)[0]  # type: ignore[no-untyped-call]
    return result


def sign_of_weights(weight: torch.Tensor, tau: torch.Tensor, binary: Binarizer) -> torch.Tensor:
    """Signs of standardized latent weights, with the gradients of the standardization and of ReCU's clamp.

    It replaces `standardize`, `recu` if the layer clamps, and `sign_straight_through` in sequence.

    Parameters
    ----------
    weight : Tensor, shape (C_out, ...)
        Latent weights on a CUDA GPU, at least two in each channel.
    tau : Tensor with one element
        Quantile level in (0.5, 1], on the same GPU.
    binary : Binarizer
        `fusible`. It gives the centering, the scale, eps, and whether the gradient of weights beyond the quantiles of
        the fitted Laplace distribution is zero.

    Returns
    -------
    Tensor of -1 and +1, shape and dtype of `weight`
    """
    none = weight.new_empty(0, 2)
    result: torch.Tensor = _Signs.apply(none, weight, _beside(weight, tau), binary)[1]  # type: ignore[no-untyped-call]
    return result
