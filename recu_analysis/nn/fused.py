"""ReCU's signs and gradients on a CUDA GPU: a Triton kernel each, where torch would run ten operations or more."""

from __future__ import annotations

import math
from typing import Any

import torch
import triton
import triton.language as tl
from torch.autograd.function import once_differentiable

from recu_analysis.nn.functional import EPS as EPSILON

#: Values that a program has in hand at a time.
MOST_AT_ONCE = 4096


def _block(size: int) -> int:
    return int(min(MOST_AT_ONCE, triton.next_power_of_2(size)))


@triton.jit  # type: ignore[untyped-decorator]
def _sign(values: tl.tensor) -> Any:
    return tl.where(values < 0.0, -1.0, 1.0)


@triton.jit  # type: ignore[untyped-decorator]
def _moments(row: tl.tensor, size: tl.tensor, freedom: tl.tensor, KIND: tl.constexpr, BLOCK: tl.constexpr) -> Any:  # noqa: N803
    """Mean and unbiased variance of one row, computed in the dtype KIND."""
    total = tl.zeros([BLOCK], KIND)
    for start in range(0, size, BLOCK):
        at = start + tl.arange(0, BLOCK)
        total += tl.load(row + at, mask=at < size, other=0.0).to(KIND)
    mean = tl.sum(total) / size
    squared = tl.zeros([BLOCK], KIND)
    for start in range(0, size, BLOCK):
        at = start + tl.arange(0, BLOCK)
        difference = tl.load(row + at, mask=at < size, other=0.0).to(KIND) - mean
        squared += tl.where(at < size, difference * difference, 0.0)
    return mean, tl.sum(squared) / freedom


@triton.jit  # type: ignore[untyped-decorator]
def _input_signs(
    values: tl.tensor,
    out: tl.tensor,
    means: tl.tensor,
    scales: tl.tensor,
    size: tl.tensor,
    freedom: tl.tensor,
    EPS: tl.constexpr,  # noqa: N803
    KIND: tl.constexpr,  # noqa: N803
    BLOCK: tl.constexpr,  # noqa: N803
) -> None:
    """Signs of one sample, with its mean and 1 / sqrt(variance + eps) for the gradient."""
    sample = tl.program_id(0).to(tl.int64)
    values += sample * size
    out += sample * size
    mean, variance = _moments(values, size, freedom, KIND, BLOCK)
    tl.store(means + sample, mean)
    tl.store(scales + sample, 1.0 / tl.sqrt(variance + EPS))
    for start in range(0, size, BLOCK):
        at = start + tl.arange(0, BLOCK)
        tl.store(out + at, _sign(tl.load(values + at, mask=at < size)), mask=at < size)


@triton.jit  # type: ignore[untyped-decorator]
def _input_gradient(
    values: tl.tensor,
    gradient: tl.tensor,
    out: tl.tensor,
    means: tl.tensor,
    scales: tl.tensor,
    size: tl.tensor,
    freedom: tl.tensor,
    KIND: tl.constexpr,  # noqa: N803
    BLOCK: tl.constexpr,  # noqa: N803
) -> None:
    """Gradient of one sample: max(0, 2 - |2a|) at a = x / s, through the division by s as well."""
    sample = tl.program_id(0).to(tl.int64)
    values += sample * size
    gradient += sample * size
    out += sample * size
    mean, scale = tl.load(means + sample), tl.load(scales + sample)
    total = tl.zeros([BLOCK], KIND)
    for start in range(0, size, BLOCK):
        at = start + tl.arange(0, BLOCK)
        x = tl.load(values + at, mask=at < size, other=0.0).to(KIND)
        inner = tl.maximum(2.0 - 2.0 * tl.abs(x * scale), 0.0) * tl.load(gradient + at, mask=at < size, other=0.0)
        total += inner * x
    # d(1/s)/dx_i = -(x_i - mean) / ((N - 1) s^3), for each sample of N values.
    pull = tl.sum(total) * scale * scale * scale / freedom
    for start in range(0, size, BLOCK):
        at = start + tl.arange(0, BLOCK)
        x = tl.load(values + at, mask=at < size, other=0.0).to(KIND)
        inner = tl.maximum(2.0 - 2.0 * tl.abs(x * scale), 0.0) * tl.load(gradient + at, mask=at < size, other=0.0)
        tl.store(out + at, inner * scale - (x - mean) * pull, mask=at < size)


@triton.jit  # type: ignore[untyped-decorator]
def _weight_signs(
    weight: tl.tensor,
    out: tl.tensor,
    means: tl.tensor,
    factors: tl.tensor,
    sizes: tl.tensor,
    tau: tl.tensor,
    size: tl.tensor,
    freedom: tl.tensor,
    GAIN: tl.constexpr,  # noqa: N803
    EPS: tl.constexpr,  # noqa: N803
    CENTRE: tl.constexpr,  # noqa: N803
    KIND: tl.constexpr,  # noqa: N803
    BLOCK: tl.constexpr,  # noqa: N803
) -> None:
    """Signs of one channel; its mean, the factor that standardises it, and the sum of abs w~, for the gradient.

    `sizes` ends with tau, so that the gradient is that of the forward pass whatever is done to the layer's tau.
    """
    channel = tl.program_id(0).to(tl.int64)
    weight += channel * size
    out += channel * size
    mean, variance = _moments(weight, size, freedom, KIND, BLOCK)
    factor = GAIN / tl.sqrt(variance + EPS)
    tl.store(means + channel, mean)
    tl.store(factors + channel, factor)
    shift = mean if CENTRE else 0.0
    total = tl.zeros([BLOCK], KIND)
    for start in range(0, size, BLOCK):
        at = start + tl.arange(0, BLOCK)
        effective = tl.load(weight + at, mask=at < size, other=0.0).to(KIND) - shift
        total += tl.where(at < size, tl.abs(effective), 0.0)
        tl.store(out + at, _sign(effective), mask=at < size)
    tl.store(sizes + channel, tl.sum(total) * factor)
    if channel == 0:
        tl.store(sizes + tl.num_programs(0), tl.load(tau).to(KIND))


@triton.jit  # type: ignore[untyped-decorator]
def _weight_gradient(
    weight: tl.tensor,
    gradient: tl.tensor,
    out: tl.tensor,
    means: tl.tensor,
    factors: tl.tensor,
    sizes: tl.tensor,
    size: tl.tensor,
    freedom: tl.tensor,
    GAIN: tl.constexpr,  # noqa: N803
    CENTRE: tl.constexpr,  # noqa: N803
    CLAMP: tl.constexpr,  # noqa: N803
    KIND: tl.constexpr,  # noqa: N803
    BLOCK: tl.constexpr,  # noqa: N803
    CHANNELS: tl.constexpr,  # noqa: N803
) -> None:
    """Gradient of one channel: through the clamp, whose bound is that of the layer, and the standardisation."""
    channel = tl.program_id(0).to(tl.int64)
    weight += channel * size
    gradient += channel * size
    out += channel * size
    mean, factor = tl.load(means + channel), tl.load(factors + channel)
    shift = mean if CENTRE else 0.0
    bound = float("inf")
    if CLAMP:
        count = tl.num_programs(0)
        channels = tl.arange(0, CHANNELS)
        b_hat = tl.sum(tl.load(sizes + channels, mask=channels < count, other=0.0)) / count / size
        tau = tl.load(sizes + count)
        # Eq. 10; infinite at tau = 1.
        bound = tl.where(tau < 1.0, -b_hat * tl.log(2.0 - 2.0 * tau), float("inf"))
    total, product = tl.zeros([BLOCK], KIND), tl.zeros([BLOCK], KIND)
    for start in range(0, size, BLOCK):
        at = start + tl.arange(0, BLOCK)
        effective = tl.load(weight + at, mask=at < size, other=0.0).to(KIND) - shift
        passed = tl.load(gradient + at, mask=at < size, other=0.0).to(KIND)
        passed = tl.where(tl.abs(effective * factor) <= bound, passed, 0.0)
        total += passed
        product += passed * effective
    # With d = sqrt(var + eps): d(1/d)/dw_i = -(w_i - mean) / ((K - 1) d^3), for each channel of K weights.
    pull = tl.sum(product) * factor * factor * factor / (GAIN * GAIN) / freedom
    common = tl.sum(total) * factor / size if CENTRE else 0.0
    for start in range(0, size, BLOCK):
        at = start + tl.arange(0, BLOCK)
        w = tl.load(weight + at, mask=at < size, other=0.0).to(KIND)
        passed = tl.load(gradient + at, mask=at < size, other=0.0).to(KIND)
        passed = tl.where(tl.abs((w - shift) * factor) <= bound, passed, 0.0)
        tl.store(out + at, passed * factor - common - (w - mean) * pull, mask=at < size)


def _kind(dtype: torch.dtype) -> Any:
    """The dtype in which the kernels compute, for torch and for Triton."""
    return (torch.float64, tl.float64) if dtype == torch.float64 else (torch.float32, tl.float32)


class _Inputs(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: torch.Tensor) -> torch.Tensor:
        kept, kind = _kind(values.dtype)
        values = _dense(values)
        out = torch.empty_like(values)
        means = torch.empty(len(values), dtype=kept, device=values.device)
        scales = torch.empty_like(means)
        size = values[0].numel()
        with torch.cuda.device(values.device):
            _input_signs[(len(values),)](
                values, out, means, scales, size, size - 1,
                EPS=EPSILON, KIND=kind, BLOCK=_block(size), num_warps=8,
            )  # fmt: skip
        ctx.save_for_backward(values, means, scales)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        values, means, scales = ctx.saved_tensors
        out = torch.empty_like(values)
        if gradient.stride() != values.stride():
            gradient = torch.empty_like(values).copy_(gradient)
        _, kind = _kind(values.dtype)
        size = values[0].numel()
        with torch.cuda.device(values.device):
            _input_gradient[(len(values),)](
                values, gradient, out, means, scales, size, size - 1, KIND=kind, BLOCK=_block(size), num_warps=8
            )
        return out


def _dense(values: torch.Tensor) -> torch.Tensor:
    """The values, each sample in one piece of memory, in whatever order."""
    if values.is_contiguous() or (values.ndim == 4 and values.is_contiguous(memory_format=torch.channels_last)):
        return values
    return values.contiguous()


class _Weights(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, weight: torch.Tensor, tau: torch.Tensor, centre: bool, target: float, eps: float, clamp: bool
    ) -> torch.Tensor:
        kept, kind = _kind(weight.dtype)
        rows = weight.contiguous()
        out = torch.empty_like(rows)
        channels, size = len(rows), rows[0].numel()
        means = torch.empty(channels, dtype=kept, device=rows.device)
        factors, sizes = torch.empty_like(means), means.new_empty(channels + 1)
        gain = math.sqrt(2.0) * target
        with torch.cuda.device(rows.device):
            _weight_signs[(channels,)](
                rows, out, means, factors, sizes, tau, size, size - 1,
                GAIN=gain, EPS=eps, CENTRE=centre, KIND=kind, BLOCK=_block(size),
            )  # fmt: skip
        ctx.save_for_backward(rows, means, factors, sizes)
        ctx.options = centre, clamp, gain
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        rows, means, factors, sizes = ctx.saved_tensors
        centre, clamp, gain = ctx.options
        _, kind = _kind(rows.dtype)
        out, gradient = torch.empty_like(rows), gradient.contiguous()
        channels, size = len(rows), rows[0].numel()
        with torch.cuda.device(rows.device):
            _weight_gradient[(channels,)](
                rows, gradient, out, means, factors, sizes, size, size - 1, GAIN=gain,
                CENTRE=centre, CLAMP=clamp, KIND=kind, BLOCK=_block(size), CHANNELS=triton.next_power_of_2(channels),
            )  # fmt: skip
        return out, None, None, None, None, None


def sign_scaled(values: torch.Tensor) -> torch.Tensor:
    """What `recu_analysis.nn.signs.sign_scaled` computes."""
    result: torch.Tensor = _Inputs.apply(values)  # type: ignore[no-untyped-call]
    return result


def sign_of_weights(
    weight: torch.Tensor, tau: torch.Tensor, *, centre: bool, target: float, eps: float, clamp: bool
) -> torch.Tensor:
    """Signs of standardised latent weights, with the gradients of the standardisation and of ReCU's clamp.

    What `standardise`, `recu` where asked for, and `sign_straight_through` compute one after another.

    Parameters
    ----------
    weight : Tensor, shape (C_out, ...)
        Latent weights on a CUDA GPU, at least two in each channel.
    tau : Tensor with one element
        Quantile level in (0.5, 1], on the same GPU.
    centre : bool
        Subtract the channel's mean.
    target : float
        The scale b*.
    eps : float
        Added to the variance, in squared units of the weights.
    clamp : bool
        Whether the gradient of weights beyond the fitted Laplace's quantiles is zero.

    Returns
    -------
    Tensor of -1 and +1, shape and dtype of `weight`
    """
    result: torch.Tensor = _Weights.apply(weight, tau, centre, target, eps, clamp)  # type: ignore[no-untyped-call]
    return result
