"""ReCU's signs and gradients on a CUDA GPU: a Triton kernel each for a whole layer, its activations and weights."""

from __future__ import annotations

import math
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import triton
import triton.language as tl
from torch.autograd.function import once_differentiable

from recu_analysis.nn.functional import EPS as EPSILON

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

#: Values that a program has in hand at a time.
MOST_AT_ONCE = 4096
#: Groups of 32 threads in a program.
WARPS = 8


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
    mean_of: tl.tensor,
    scale_of: tl.tensor,
    size: tl.tensor,
    freedom: tl.tensor,
    EPS: tl.constexpr,  # noqa: N803
    KIND: tl.constexpr,  # noqa: N803
    BLOCK: tl.constexpr,  # noqa: N803
) -> None:
    """Signs of one sample, with its mean and 1 / sqrt(variance + eps) for the gradient."""
    mean, variance = _moments(values, size, freedom, KIND, BLOCK)
    tl.store(mean_of, mean)
    tl.store(scale_of, 1.0 / tl.sqrt(variance + EPS))
    for start in range(0, size, BLOCK):
        at = start + tl.arange(0, BLOCK)
        tl.store(out + at, _sign(tl.load(values + at, mask=at < size)), mask=at < size)


@triton.jit  # type: ignore[untyped-decorator]
def _input_gradient(
    values: tl.tensor,
    gradient: tl.tensor,
    out: tl.tensor,
    mean: tl.tensor,
    scale: tl.tensor,
    size: tl.tensor,
    freedom: tl.tensor,
    KIND: tl.constexpr,  # noqa: N803
    BLOCK: tl.constexpr,  # noqa: N803
) -> None:
    """Gradient of one sample: max(0, 2 - |2a|) at a = x / s, through the division by s as well."""
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
    mean_of: tl.tensor,
    factor_of: tl.tensor,
    sum_of: tl.tensor,
    size: tl.tensor,
    freedom: tl.tensor,
    GAIN: tl.constexpr,  # noqa: N803
    EPS: tl.constexpr,  # noqa: N803
    CENTRE: tl.constexpr,  # noqa: N803
    KIND: tl.constexpr,  # noqa: N803
    BLOCK: tl.constexpr,  # noqa: N803
) -> None:
    """Signs of one channel; its mean, the factor that standardises it, and the sum of abs w~, for the gradient."""
    mean, variance = _moments(weight, size, freedom, KIND, BLOCK)
    factor = GAIN / tl.sqrt(variance + EPS)
    tl.store(mean_of, mean)
    tl.store(factor_of, factor)
    shift = mean if CENTRE else 0.0
    total = tl.zeros([BLOCK], KIND)
    for start in range(0, size, BLOCK):
        at = start + tl.arange(0, BLOCK)
        effective = tl.load(weight + at, mask=at < size, other=0.0).to(KIND) - shift
        total += tl.where(at < size, tl.abs(effective), 0.0)
        tl.store(out + at, _sign(effective), mask=at < size)
    tl.store(sum_of, tl.sum(total) * factor)


@triton.jit  # type: ignore[untyped-decorator]
def _bound(
    sums: tl.tensor,
    channels: tl.tensor,
    size: tl.tensor,
    CLAMP: tl.constexpr,  # noqa: N803
    CHANNELS: tl.constexpr,  # noqa: N803
) -> Any:
    """Q(tau) of the layer (Eq. 10 and 11), from the sums of abs w~ of its channels, behind which tau stands."""
    bound = float("inf")
    if CLAMP:
        at = tl.arange(0, CHANNELS)
        b_hat = tl.sum(tl.load(sums + at, mask=at < channels, other=0.0)) / channels / size
        tau = tl.load(sums + channels)
        bound = tl.where(tau < 1.0, -b_hat * tl.log(2.0 - 2.0 * tau), float("inf"))
    return bound


@triton.jit  # type: ignore[untyped-decorator]
def _weight_gradient(
    weight: tl.tensor,
    gradient: tl.tensor,
    out: tl.tensor,
    mean: tl.tensor,
    factor: tl.tensor,
    bound: tl.tensor,
    size: tl.tensor,
    freedom: tl.tensor,
    GAIN: tl.constexpr,  # noqa: N803
    CENTRE: tl.constexpr,  # noqa: N803
    KIND: tl.constexpr,  # noqa: N803
    BLOCK: tl.constexpr,  # noqa: N803
) -> None:
    """Gradient of one channel: through the clamp, whose bound is that of the layer, and the standardisation."""
    shift = mean if CENTRE else 0.0
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


@triton.jit  # type: ignore[untyped-decorator]
def _signs(
    values: tl.tensor,
    value_signs: tl.tensor,
    weight: tl.tensor,
    weight_signs: tl.tensor,
    tau: tl.tensor,
    kept: tl.tensor,
    samples: tl.tensor,
    sample_size: tl.tensor,
    sample_freedom: tl.tensor,
    channels: tl.tensor,
    channel_size: tl.tensor,
    channel_freedom: tl.tensor,
    INPUT_EPS: tl.constexpr,  # noqa: N803
    GAIN: tl.constexpr,  # noqa: N803
    EPS: tl.constexpr,  # noqa: N803
    CENTRE: tl.constexpr,  # noqa: N803
    KIND: tl.constexpr,  # noqa: N803
    INPUT_BLOCK: tl.constexpr,  # noqa: N803
    BLOCK: tl.constexpr,  # noqa: N803
) -> None:
    """Signs of a layer, a program for each sample and then for each channel.

    What the gradient needs goes into `kept`: mean and scale of the samples, mean, factor and sum of abs w~ of the
    channels, and tau, so that the gradient is that of the forward pass whatever is done to the layer's tau.
    """
    program = tl.program_id(0).to(tl.int64)
    if program < samples:
        values += program * sample_size
        value_signs += program * sample_size
        kept += program
        _input_signs(
            values, value_signs, kept, kept + samples, sample_size, sample_freedom, INPUT_EPS, KIND, INPUT_BLOCK
        )
    else:
        channel = program - samples
        weight += channel * channel_size
        weight_signs += channel * channel_size
        kept += 2 * samples
        if channel == 0:
            tl.store(kept + 3 * channels, tl.load(tau).to(KIND))
        kept += channel
        _weight_signs(
            weight, weight_signs, kept, kept + channels, kept + 2 * channels, channel_size, channel_freedom,
            GAIN, EPS, CENTRE, KIND, BLOCK,
        )  # fmt: skip


@triton.jit  # type: ignore[untyped-decorator]
def _gradients(
    values: tl.tensor,
    value_gradient: tl.tensor,
    value_out: tl.tensor,
    weight: tl.tensor,
    weight_gradient: tl.tensor,
    weight_out: tl.tensor,
    kept: tl.tensor,
    samples: tl.tensor,
    sample_size: tl.tensor,
    sample_freedom: tl.tensor,
    channels: tl.tensor,
    channel_size: tl.tensor,
    channel_freedom: tl.tensor,
    GAIN: tl.constexpr,  # noqa: N803
    CENTRE: tl.constexpr,  # noqa: N803
    CLAMP: tl.constexpr,  # noqa: N803
    KIND: tl.constexpr,  # noqa: N803
    INPUT_BLOCK: tl.constexpr,  # noqa: N803
    BLOCK: tl.constexpr,  # noqa: N803
    CHANNELS: tl.constexpr,  # noqa: N803
) -> None:
    """Gradients of a layer, a program for each sample and then for each channel."""
    program = tl.program_id(0).to(tl.int64)
    if program < samples:
        values += program * sample_size
        value_gradient += program * sample_size
        value_out += program * sample_size
        mean, scale = tl.load(kept + program), tl.load(kept + samples + program)
        _input_gradient(values, value_gradient, value_out, mean, scale, sample_size, sample_freedom, KIND, INPUT_BLOCK)
    else:
        channel = program - samples
        weight += channel * channel_size
        weight_gradient += channel * channel_size
        weight_out += channel * channel_size
        kept += 2 * samples
        mean, factor = tl.load(kept + channel), tl.load(kept + channels + channel)
        bound = _bound(kept + 2 * channels, channels, channel_size, CLAMP, CHANNELS)
        _weight_gradient(
            weight, weight_gradient, weight_out, mean, factor, bound, channel_size, channel_freedom,
            GAIN, CENTRE, KIND, BLOCK,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Options:
    """What a layer does to its weights; see `layer_signs`."""

    centre: bool
    target: float
    eps: float
    clamp: bool

    @property
    def gain(self) -> float:
        """By what a weight in standard deviations is multiplied."""
        return math.sqrt(2.0) * self.target


class _Signs(torch.autograd.Function):
    """Signs of activations and of weights, either of which may be of size 0."""

    @staticmethod
    def forward(
        ctx: Any, values: torch.Tensor, weight: torch.Tensor, tau: torch.Tensor, options: _Options
    ) -> tuple[torch.Tensor, torch.Tensor]:
        values, weight = _dense(values), _dense(weight)
        signs = torch.empty_like(values), torch.empty_like(weight)
        sizes = *_sizes(values), *_sizes(weight)
        dtype, kind = _kind(values, weight)
        kept = weight.new_empty(2 * len(values) + 3 * len(weight) + 1, dtype=dtype)
        with _on(weight.device):
            _signs[(len(values) + len(weight),)](
                values, signs[0], weight, signs[1], tau, kept, *sizes, INPUT_EPS=EPSILON, GAIN=options.gain,
                EPS=options.eps, CENTRE=options.centre, KIND=kind, INPUT_BLOCK=_block(sizes[1]),
                BLOCK=_block(sizes[4]), num_warps=WARPS,
            )  # fmt: skip
        ctx.save_for_backward(values, weight, kept)
        ctx.options = options
        return signs

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, value_gradient: torch.Tensor, weight_gradient: torch.Tensor
    ) -> tuple[torch.Tensor | None, ...]:
        values, weight, kept = ctx.saved_tensors
        options = ctx.options
        out = torch.empty_like(values), torch.empty_like(weight)
        sizes = *_sizes(values), *_sizes(weight)
        _, kind = _kind(values, weight)
        with _on(weight.device):
            _gradients[(len(values) + len(weight),)](
                values, _laid_out_as(values, value_gradient), out[0],
                weight, _laid_out_as(weight, weight_gradient), out[1], kept, *sizes,
                GAIN=options.gain, CENTRE=options.centre, CLAMP=options.clamp, KIND=kind, INPUT_BLOCK=_block(sizes[1]),
                BLOCK=_block(sizes[4]), CHANNELS=triton.next_power_of_2(max(1, len(weight))), num_warps=WARPS,
            )  # fmt: skip
        gradients = (each if wanted else None for each, wanted in zip(out, ctx.needs_input_grad[:2], strict=True))
        return *gradients, None, None


def _kind(values: torch.Tensor, weight: torch.Tensor) -> Any:
    """The dtype in which the kernels compute, for torch and for Triton."""
    double = torch.float64 in (values.dtype, weight.dtype)
    return (torch.float64, tl.float64) if double else (torch.float32, tl.float32)


def _sizes(rows: torch.Tensor) -> tuple[int, int, int]:
    """How many rows there are, the size of each, and its degrees of freedom."""
    size = math.prod(rows.shape[1:])
    return len(rows), size, size - 1


def _on(device: torch.device) -> AbstractContextManager[Any]:
    """Where the kernels start: entering a device takes as long as an operation, and is seldom needed."""
    return nullcontext() if device.index == torch.cuda.current_device() else torch.cuda.device(device)


def _dense(rows: torch.Tensor) -> torch.Tensor:
    """The same values, each row in one piece of memory, in whatever order."""
    if rows.is_contiguous() or (rows.ndim == 4 and rows.is_contiguous(memory_format=torch.channels_last)):
        return rows
    return rows.contiguous()


def _laid_out_as(rows: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
    """The gradient of some rows, in their order."""
    return gradient if gradient.stride() == rows.stride() else torch.empty_like(rows).copy_(gradient)


def layer_signs(
    values: torch.Tensor,
    weight: torch.Tensor,
    tau: torch.Tensor,
    *,
    centre: bool,
    target: float,
    eps: float,
    clamp: bool,
) -> tuple[torch.Tensor, torch.Tensor]:
    """`sign_scaled` of a layer's activations and `sign_of_weights` of its latent weights, in one kernel.

    Returns
    -------
    tuple of two Tensors of -1 and +1, shapes and dtypes of `values` and `weight`
    """
    result: tuple[torch.Tensor, torch.Tensor] = _Signs.apply(values, weight, tau, _Options(centre, target, eps, clamp))  # type: ignore[no-untyped-call]
    return result


def sign_scaled(values: torch.Tensor) -> torch.Tensor:
    """What `recu_analysis.nn.signs.sign_scaled` computes."""
    none = values.new_empty(0, 2)
    return layer_signs(values, none, none, centre=False, target=1.0, eps=EPSILON, clamp=False)[0]


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
    none = weight.new_empty(0, 2)
    return layer_signs(none, weight, tau, centre=centre, target=target, eps=eps, clamp=clamp)[1]
