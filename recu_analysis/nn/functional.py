"""Operations on latent weights before their sign: standardize, clamp, mask; and scales computed from the weights."""

from __future__ import annotations

import math
from typing import Any

import torch

#: The authors' code adds this to variances, in squared units of the values.
EPS = 1e-5


def standardize(
    weight: torch.Tensor, *, center: bool = True, target: float | None = 2.0, eps: float = EPS
) -> torch.Tensor:
    """Latent weights centered and scaled per output channel (Eq. 18 to 23 of ReCU, Xu et al., ICCV 2021).

    w~ = (w - mean_c) / (sqrt(var_c + eps) / (sqrt(2) b*)), with the unbiased variance, as in the authors' code
    (which fixes b* = 2). The gradient flows through mean and variance.

    Parameters
    ----------
    weight : Tensor, shape (C_out, ...)
    center : bool
        Subtract the channel's mean.
    target : float or None
        The scale b*; None leaves the scale unchanged.
    eps : float
        Added to the variance, in squared units of the weights. If it is 0, a channel of equal weights becomes 0.

    Returns
    -------
    Tensor, shape and dtype of `weight`
    """
    axes = tuple(range(1, weight.ndim))
    centered = weight - weight.mean(dim=axes, keepdim=True) if center else weight
    if target is None:
        return centered
    variance = weight.var(dim=axes, keepdim=True, unbiased=True) + eps
    if eps == 0.0:
        varies = variance > 0.0
        variance = torch.where(varies, variance, 1.0)
        # The value is 0, but the gradient is kept: with it the weights can become different again.
        centered = torch.where(varies, centered, centered - centered.detach())
    return centered / (variance.sqrt() / (math.sqrt(2.0) * target))


@torch.no_grad()
def clamp_bound(weight: torch.Tensor, tau: torch.Tensor, quantile: str = "laplace") -> torch.Tensor:
    """Q(tau), the bound of the clamp of a layer on both sides: a scalar without gradient.

    It does not synchronize with the device.

    Parameters
    ----------
    weight : Tensor, shape (C_out, ...)
        Standardized weights.
    tau : Tensor with one element
        Quantile level in (0.5, 1].
    quantile : {"laplace", "empirical"}
        laplace: the quantile of the Laplace distribution fitted to the layer, -b_hat ln(2 - 2 tau) with b_hat = mean
        |w| (Eq. 10 and 11 of ReCU, Xu et al., ICCV 2021), infinite at tau = 1. empirical: the quantile of |w| at level
        2 tau - 1, linear between order statistics. For any distribution it leaves the share 2 (1 - tau) of the weights
        outside. It is one bound for both sides, so no sign can change.
    """
    magnitudes = weight.abs()
    if quantile == "empirical":
        bound = _quantile(magnitudes.flatten(), 2.0 * tau.double().reshape(()) - 1.0)
    else:
        level = tau.to(weight.dtype).reshape(())
        bound = torch.where(level < 1.0, -magnitudes.mean() * torch.log(2.0 - 2.0 * level), torch.inf)
    # A level just above 0.5 may be 0.5 in the dtype of the weights. A bound of 0 would make every sign +1.
    return bound.clamp_min(torch.finfo(weight.dtype).tiny)


def _quantile(values: torch.Tensor, level: torch.Tensor) -> torch.Tensor:
    """Quantile of any number of values, linear between order statistics; torch.quantile takes 16 million at most."""
    position = level.clamp(0.0, 1.0) * (values.numel() - 1)
    # `gather`, because indexing with a single number would wait for the device.
    around = torch.stack([position.floor(), position.ceil()]).long()
    below, above = values.sort().values.gather(0, around)
    return torch.lerp(below, above, position.frac().to(values.dtype))


def recu(weight: torch.Tensor, tau: torch.Tensor, quantile: str = "laplace") -> torch.Tensor:
    """ReCU: clamp weights to Q(tau) on both sides (Eq. 8), one Q for the layer.

    As in the authors' code, no gradient flows through Q, and the gradient of every clamped weight is zero. ReCU never
    changes a sign: it is a mask on the gradient.

    Parameters
    ----------
    weight : Tensor, shape (C_out, ...)
        Standardized weights.
    tau : Tensor with one element
        Quantile level in (0.5, 1]; at 1 nothing is clamped.
    quantile : {"laplace", "empirical"}
        See `clamp_bound`.

    Returns
    -------
    Tensor, shape and dtype of `weight`
    """
    bound = clamp_bound(weight, tau, quantile)
    return torch.clamp(weight, -bound, bound)


class _KeepGradient(torch.autograd.Function):
    """The identity. Its gradient is kept where `keep` is True, and zero elsewhere."""

    @staticmethod
    def forward(ctx: Any, values: torch.Tensor, keep: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(keep)
        return values.view_as(values)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        (keep,) = ctx.saved_tensors
        return gradient * keep, None


def mask_random(weight: torch.Tensor, tau: torch.Tensor, quantile: str = "laplace") -> torch.Tensor:
    """The control for `recu`: zero the gradient of a random set, as large as the set that `recu` would clamp.

    The set is drawn again in every call, from torch's generator of the weight's device. The values are unchanged.
    `recu` changes no sign either, so the two differ only in the gradients that they stop.

    Parameters
    ----------
    weight : Tensor, shape (C_out, ...)
        Standardized weights.
    tau : Tensor with one element
        Quantile level in (0.5, 1]; at 1 no gradient is stopped.
    quantile : {"laplace", "empirical"}
        See `clamp_bound`.

    Returns
    -------
    Tensor, shape and dtype of `weight`
    """
    with torch.no_grad():
        inside = (weight.abs() <= clamp_bound(weight, tau, quantile)).flatten()
        # `gather`, because torch.compile fails on indexing by a permutation.
        keep = inside.gather(0, torch.randperm(inside.numel(), device=inside.device)).view_as(weight)
    result: torch.Tensor = _KeepGradient.apply(weight, keep)  # type: ignore[no-untyped-call]
    return result


def channel_means(weight: torch.Tensor) -> torch.Tensor:
    """The mean |w| of every output channel, shape (C_out,): the scale that XNOR-Net gives a binary filter.

    The gradient flows through it (Rastegari et al., ECCV 2016, Eq. 6); Bi-Real Net detaches it.
    """
    return weight.abs().flatten(1).mean(dim=1)


@torch.no_grad()
def powers_of_two(weight: torch.Tensor) -> torch.Tensor:
    """2^round(log2 mean |w|) of every output channel, shape (C_out,): IR-Net's scale (Qin et al., CVPR 2020, Eq. 8)."""
    return torch.exp2(torch.log2(channel_means(weight)).round())


@torch.no_grad()
def clamped_mean(weight: torch.Tensor, bound: torch.Tensor | None) -> torch.Tensor:
    """The mean |ReCU(w)| of a layer, a scalar: alpha of Eq. 13 of ReCU, b (2 tau - 1) for Laplace weights."""
    magnitudes = weight.abs()
    return (magnitudes if bound is None else magnitudes.clamp(max=bound)).mean()
