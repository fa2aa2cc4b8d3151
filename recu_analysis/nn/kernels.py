"""Triton kernels of a binary layer on a CUDA GPU: the signs of its activations and weights, and their gradients."""

from __future__ import annotations

from typing import Any

import triton
import triton.language as tl


@triton.jit  # type: ignore[untyped-decorator]
def _sign(values: tl.tensor) -> Any:
    return tl.where(values < 0.0, -1.0, 1.0)


@triton.jit  # type: ignore[untyped-decorator]
def _moments(row: tl.tensor, size: tl.tensor, KIND: tl.constexpr, BLOCK: tl.constexpr) -> Any:  # noqa: N803
    """Mean and unbiased variance of one row, computed in the dtype KIND."""
    total = tl.zeros([BLOCK], KIND)
    for start in range(0, size, BLOCK):
        offsets = start + tl.arange(0, BLOCK)
        total += tl.load(row + offsets, mask=offsets < size, other=0.0).to(KIND)
    mean = tl.sum(total) / size
    squared = tl.zeros([BLOCK], KIND)
    for start in range(0, size, BLOCK):
        offsets = start + tl.arange(0, BLOCK)
        difference = tl.load(row + offsets, mask=offsets < size, other=0.0).to(KIND) - mean
        squared += tl.where(offsets < size, difference * difference, 0.0)
    return mean, tl.sum(squared) / (size - 1)


@triton.jit  # type: ignore[untyped-decorator]
def _input_signs(
    values: tl.tensor,
    out: tl.tensor,
    mean_of: tl.tensor,
    scale_of: tl.tensor,
    size: tl.tensor,
    EPS: tl.constexpr,  # noqa: N803
    KIND: tl.constexpr,  # noqa: N803
    BLOCK: tl.constexpr,  # noqa: N803
) -> None:
    """Signs of one sample, with its mean and 1 / sqrt(variance + eps) for the gradient."""
    mean, variance = _moments(values, size, KIND, BLOCK)
    tl.store(mean_of, mean)
    tl.store(scale_of, 1.0 / tl.sqrt(variance + EPS))
    for start in range(0, size, BLOCK):
        offsets = start + tl.arange(0, BLOCK)
        tl.store(out + offsets, _sign(tl.load(values + offsets, mask=offsets < size).to(KIND)), mask=offsets < size)


@triton.jit  # type: ignore[untyped-decorator]
def _input_gradient(
    values: tl.tensor,
    gradient: tl.tensor,
    out: tl.tensor,
    mean: tl.tensor,
    scale: tl.tensor,
    size: tl.tensor,
    KIND: tl.constexpr,  # noqa: N803
    BLOCK: tl.constexpr,  # noqa: N803
) -> None:
    """Gradient of one sample: max(0, 2 - |2a|) at a = x / s, through the division by s as well."""
    total = tl.zeros([BLOCK], KIND)
    for start in range(0, size, BLOCK):
        offsets = start + tl.arange(0, BLOCK)
        x = tl.load(values + offsets, mask=offsets < size, other=0.0).to(KIND)
        inner = tl.maximum(2.0 - 2.0 * tl.abs(x * scale), 0.0) * tl.load(
            gradient + offsets, mask=offsets < size, other=0.0
        )
        total += inner * x
    # d(1/s)/dx_i = -(x_i - mean) / ((N - 1) s^3), for each sample of N values.
    pull = tl.sum(total) * scale * scale * scale / (size - 1)
    for start in range(0, size, BLOCK):
        offsets = start + tl.arange(0, BLOCK)
        x = tl.load(values + offsets, mask=offsets < size, other=0.0).to(KIND)
        inner = tl.maximum(2.0 - 2.0 * tl.abs(x * scale), 0.0) * tl.load(
            gradient + offsets, mask=offsets < size, other=0.0
        )
        tl.store(out + offsets, inner * scale - (x - mean) * pull, mask=offsets < size)


@triton.jit  # type: ignore[untyped-decorator]
def _weight_signs(
    weight: tl.tensor,
    out: tl.tensor,
    scaled: tl.tensor,
    alpha: tl.tensor,
    mean_of: tl.tensor,
    factor_of: tl.tensor,
    sum_of: tl.tensor,
    size: tl.tensor,
    GAIN: tl.constexpr,  # noqa: N803
    EPS: tl.constexpr,  # noqa: N803
    CENTER: tl.constexpr,  # noqa: N803
    SCALED: tl.constexpr,  # noqa: N803
    KIND: tl.constexpr,  # noqa: N803
    BLOCK: tl.constexpr,  # noqa: N803
) -> None:
    """Signs of one channel; its mean, the factor that standardizes it, and the sum of abs w~, for the gradient."""
    mean, variance = _moments(weight, size, KIND, BLOCK)
    factor = GAIN / tl.sqrt(variance + EPS)
    tl.store(mean_of, mean)
    tl.store(factor_of, factor)
    shift = mean if CENTER else 0.0
    total = tl.zeros([BLOCK], KIND)
    for start in range(0, size, BLOCK):
        offsets = start + tl.arange(0, BLOCK)
        effective = tl.load(weight + offsets, mask=offsets < size, other=0.0).to(KIND) - shift
        total += tl.where(offsets < size, tl.abs(effective), 0.0)
        tl.store(out + offsets, _sign(effective), mask=offsets < size)
        if SCALED:
            tl.store(scaled + offsets, _sign(effective) * alpha, mask=offsets < size)
    tl.store(sum_of, tl.sum(total) * factor)


@triton.jit  # type: ignore[untyped-decorator]
def _bound(
    sums: tl.tensor,
    tau: tl.tensor,
    channels: tl.tensor,
    size: tl.tensor,
    CLAMP: tl.constexpr,  # noqa: N803
    CHANNELS: tl.constexpr,  # noqa: N803
) -> Any:
    """Q(tau) of the layer (Eq. 10 and 11), from the sums of abs w~ of its channels."""
    bound = float("inf")
    if CLAMP:
        offsets = tl.arange(0, CHANNELS)
        b_hat = tl.sum(tl.load(sums + offsets, mask=offsets < channels, other=0.0)) / channels / size
        bound = tl.where(tau < 1.0, -b_hat * tl.log(2.0 - 2.0 * tau), float("inf"))
    return bound


@triton.jit  # type: ignore[untyped-decorator]
def _weight_gradient(
    weight: tl.tensor,
    gradient: tl.tensor,
    out: tl.tensor,
    alpha_out: tl.tensor,
    mean: tl.tensor,
    factor: tl.tensor,
    alpha: tl.tensor,
    bound: tl.tensor,
    size: tl.tensor,
    GAIN: tl.constexpr,  # noqa: N803
    CENTER: tl.constexpr,  # noqa: N803
    SCALED: tl.constexpr,  # noqa: N803
    KIND: tl.constexpr,  # noqa: N803
    BLOCK: tl.constexpr,  # noqa: N803
) -> None:
    """Gradient of one channel through alpha, the clamp (with the bound of the layer) and the standardization."""
    shift = mean if CENTER else 0.0
    total, product, agreed = tl.zeros([BLOCK], KIND), tl.zeros([BLOCK], KIND), tl.zeros([BLOCK], KIND)
    for start in range(0, size, BLOCK):
        offsets = start + tl.arange(0, BLOCK)
        effective = tl.load(weight + offsets, mask=offsets < size, other=0.0).to(KIND) - shift
        passed = tl.load(gradient + offsets, mask=offsets < size, other=0.0).to(KIND)
        agreed += passed * _sign(effective)
        passed = tl.where(tl.abs(effective * factor) <= bound, passed * alpha, 0.0)
        total += passed
        product += passed * effective
    if SCALED:
        tl.store(alpha_out, tl.sum(agreed))
    # With d = sqrt(var + eps): d(1/d)/dw_i = -(w_i - mean) / ((K - 1) d^3), for each channel of K weights.
    pull = tl.sum(product) * factor * factor * factor / (GAIN * GAIN) / (size - 1)
    common = tl.sum(total) * factor / size if CENTER else 0.0
    for start in range(0, size, BLOCK):
        offsets = start + tl.arange(0, BLOCK)
        w = tl.load(weight + offsets, mask=offsets < size, other=0.0).to(KIND)
        passed = tl.load(gradient + offsets, mask=offsets < size, other=0.0).to(KIND)
        passed = tl.where(tl.abs((w - shift) * factor) <= bound, passed * alpha, 0.0)
        tl.store(out + offsets, passed * factor - common - (w - mean) * pull, mask=offsets < size)


@triton.jit  # type: ignore[untyped-decorator]
def signs(
    values: tl.tensor,
    value_signs: tl.tensor,
    weight: tl.tensor,
    weight_signs: tl.tensor,
    scaled: tl.tensor,
    alpha: tl.tensor,
    tau: tl.tensor,
    kept: tl.tensor,
    samples: tl.tensor,
    sample_size: tl.tensor,
    channels: tl.tensor,
    channel_size: tl.tensor,
    INPUT_EPS: tl.constexpr,  # noqa: N803
    GAIN: tl.constexpr,  # noqa: N803
    EPS: tl.constexpr,  # noqa: N803
    CENTER: tl.constexpr,  # noqa: N803
    SCALED: tl.constexpr,  # noqa: N803
    KIND: tl.constexpr,  # noqa: N803
    INPUT_BLOCK: tl.constexpr,  # noqa: N803
    BLOCK: tl.constexpr,  # noqa: N803
) -> None:
    """Signs of a layer, a program for each sample and then for each channel; with SCALED, alpha times signs too.

    `kept` stores the numbers for the gradient: mean and scale of the samples; mean, factor, sum of abs w~ and alpha of
    the channels; and tau. A later change of the layer's tau therefore does not change the gradient.
    """
    program = tl.program_id(0).to(tl.int64)
    if program < samples:
        values += program * sample_size
        value_signs += program * sample_size
        kept += program
        _input_signs(values, value_signs, kept, kept + samples, sample_size, INPUT_EPS, KIND, INPUT_BLOCK)
    else:
        channel = program - samples
        weight += channel * channel_size
        weight_signs += channel * channel_size
        scaled += channel * channel_size
        factor = tl.load(alpha + channel).to(KIND) if SCALED else 1.0
        kept += 2 * samples
        if channel == 0:
            tl.store(kept + 4 * channels, tl.load(tau).to(KIND))
        kept += channel
        tl.store(kept + 3 * channels, factor)
        _weight_signs(
            weight, weight_signs, scaled, factor, kept, kept + channels, kept + 2 * channels, channel_size,
            GAIN, EPS, CENTER, SCALED, KIND, BLOCK,
        )  # fmt: skip


@triton.jit  # type: ignore[untyped-decorator]
def gradients(
    values: tl.tensor,
    value_gradient: tl.tensor,
    value_out: tl.tensor,
    weight: tl.tensor,
    weight_gradient: tl.tensor,
    weight_out: tl.tensor,
    alpha_out: tl.tensor,
    kept: tl.tensor,
    samples: tl.tensor,
    sample_size: tl.tensor,
    channels: tl.tensor,
    channel_size: tl.tensor,
    GAIN: tl.constexpr,  # noqa: N803
    CENTER: tl.constexpr,  # noqa: N803
    CLAMP: tl.constexpr,  # noqa: N803
    SCALED: tl.constexpr,  # noqa: N803
    KIND: tl.constexpr,  # noqa: N803
    INPUT_BLOCK: tl.constexpr,  # noqa: N803
    BLOCK: tl.constexpr,  # noqa: N803
    CHANNELS: tl.constexpr,  # noqa: N803
) -> None:
    """Gradients of a layer, a program for each sample and then for each channel; with SCALED, those of alpha too.

    With SCALED, the incoming gradient of the weights is that of the product of signs without alpha; that of the
    activations is with alpha.
    """
    program = tl.program_id(0).to(tl.int64)
    if program < samples:
        values += program * sample_size
        value_gradient += program * sample_size
        value_out += program * sample_size
        mean, scale = tl.load(kept + program), tl.load(kept + samples + program)
        _input_gradient(values, value_gradient, value_out, mean, scale, sample_size, KIND, INPUT_BLOCK)
    else:
        channel = program - samples
        weight += channel * channel_size
        weight_gradient += channel * channel_size
        weight_out += channel * channel_size
        kept += 2 * samples
        bound = _bound(kept + 2 * channels, tl.load(kept + 4 * channels), channels, channel_size, CLAMP, CHANNELS)
        kept += channel
        mean, factor, alpha = tl.load(kept), tl.load(kept + channels), tl.load(kept + 3 * channels)
        _weight_gradient(
            weight, weight_gradient, weight_out, alpha_out + channel, mean, factor, alpha, bound, channel_size,
            GAIN, CENTER, SCALED, KIND, BLOCK,
        )  # fmt: skip
