"""The method on tensors: standardise, clamp, binarise, and the gradients of each."""

from __future__ import annotations

import math
from typing import Any

import torch

#: Added to variances by the authors' code, in squared units of what varies.
EPS = 1e-5


def standardise(
    weight: torch.Tensor, *, centre: bool = True, target: float | None = 2.0, eps: float = EPS
) -> torch.Tensor:
    """Latent weights centred and scaled per output channel (Eq. 18 to 23 of ReCU, Xu et al., ICCV 2021).

    w~ = (w - mean_c) / (sqrt(var_c + eps) / (sqrt(2) b*)), with the unbiased variance, as in the authors' code
    (which fixes b* = 2). The gradient flows through mean and variance.

    Parameters
    ----------
    weight : Tensor, shape (C_out, ...)
    centre : bool
        Subtract the channel's mean.
    target : float or None
        The scale b*; None leaves the scale alone.
    eps : float
        Added to the variance, in squared units of the weights.

    Returns
    -------
    Tensor, shape and dtype of `weight`
    """
    axes = tuple(range(1, weight.ndim))
    centred = weight - weight.mean(dim=axes, keepdim=True) if centre else weight
    if target is None:
        return centred
    deviation = (weight.var(dim=axes, keepdim=True, unbiased=True) + eps).sqrt()
    return centred / (deviation / (math.sqrt(2.0) * target))


@torch.no_grad()
def laplace_bound(weight: torch.Tensor, tau: torch.Tensor) -> torch.Tensor:
    """Q(tau) = -b_hat ln(2 - 2 tau) with b_hat = mean |w| of the layer (Eq. 10 and 11): a scalar without gradient.

    Infinite at tau = 1; no device synchronisation.
    """
    level = tau.to(weight.dtype).reshape(())
    bound = torch.where(level < 1.0, -weight.abs().mean() * torch.log(2.0 - 2.0 * level), torch.inf)
    # A level just above 0.5 may be 0.5 in the dtype at hand; a bound of 0 would make every sign +1.
    return bound.clamp_min(torch.finfo(weight.dtype).tiny)


def recu(weight: torch.Tensor, tau: torch.Tensor) -> torch.Tensor:
    """ReCU: clamp weights to their Laplace quantiles (Eq. 8 and 10), Q from one b_hat = mean |w| of the layer.

    As in the authors' code no gradient flows through Q, and that of every clamped weight is zero: ReCU never
    changes a sign, it is a mask on the gradient.

    Parameters
    ----------
    weight : Tensor, shape (C_out, ...)
        Standardised weights.
    tau : Tensor with one element
        Quantile level in (0.5, 1]; at 1 nothing is clamped.

    Returns
    -------
    Tensor, shape and dtype of `weight`
    """
    bound = laplace_bound(weight, tau)
    return torch.clamp(weight, -bound, bound)


class _KeepGradient(torch.autograd.Function):
    """The identity, with the gradient kept where told and zero elsewhere."""

    @staticmethod
    def forward(ctx: Any, values: torch.Tensor, keep: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(keep)
        return values.view_as(values)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        (keep,) = ctx.saved_tensors
        return gradient * keep, None


def mask_random(weight: torch.Tensor, tau: torch.Tensor) -> torch.Tensor:
    """The control to `recu`: the gradient of a random set is zeroed, as large as the set that `recu` would clamp.

    The set is drawn anew in every call, from torch's generator of the weight's device. The values are unchanged;
    `recu` changes no sign either, so the two differ in which gradients they stop, and in nothing else.

    Parameters
    ----------
    weight : Tensor, shape (C_out, ...)
        Standardised weights.
    tau : Tensor with one element
        Quantile level in (0.5, 1]; at 1 no gradient is stopped.

    Returns
    -------
    Tensor, shape and dtype of `weight`
    """
    with torch.no_grad():
        inside = (weight.abs() <= laplace_bound(weight, tau)).flatten()
        keep = inside[torch.randperm(inside.numel(), device=inside.device)].view_as(weight)
    result: torch.Tensor = _KeepGradient.apply(weight, keep)  # type: ignore[no-untyped-call]
    return result


def signs(values: torch.Tensor) -> torch.Tensor:
    """-1 where a value is below 0, else +1 (Eq. 2), in the dtype of the values.

    The authors' code uses torch.sign, which is 0 at 0; the paper's sign, and this one, is never zero. A NaN gives the
    sign of its sign bit.
    """
    # A fifth of the time of torch.where; adding 0 turns -0 into 0, whose sign is +1.
    return torch.copysign(values.new_ones(()), values + 0.0)


class _StraightThrough(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: torch.Tensor) -> torch.Tensor:
        return signs(values)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        return gradient


class _Polynomial(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(values)
        return signs(values)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        (values,) = ctx.saved_tensors
        return gradient * polynomial_slope(values)


class _ScaledPolynomial(torch.autograd.Function):
    """sign(x / s) with s = sqrt(var(x) + eps) of each sample: scale and sign in one, the variance computed once."""

    @staticmethod
    def forward(ctx: Any, values: torch.Tensor) -> torch.Tensor:
        axes = tuple(range(1, values.ndim))
        variance, mean = torch.var_mean(values, dim=axes, keepdim=True, unbiased=True)
        scale = (variance + EPS).rsqrt()
        ctx.save_for_backward(values, mean, scale)
        return signs(values)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        values, mean, scale = ctx.saved_tensors
        axes = tuple(range(1, values.ndim))
        inner = gradient * polynomial_slope(values * scale)
        # d(1/s)/dx_i = -(x_i - mean) / ((N - 1) s^3), for each sample of N values.
        freedom = values[0].numel() - 1
        pull = (inner * values).sum(dim=axes, keepdim=True) * scale.pow(3) / freedom
        result: torch.Tensor = inner * scale - (values - mean) * pull
        return result


def polynomial_slope(values: torch.Tensor) -> torch.Tensor:
    """Slope of the polynomial that stands in for the sign of activations: max(0, 2 - |2a|) (Eq. 6 and 7)."""
    return torch.relu(2.0 - 2.0 * values.abs())


def sign_straight_through(values: torch.Tensor) -> torch.Tensor:
    """Sign of weights with the identity as gradient (Eq. 2 and 5).

    Parameters
    ----------
    values : Tensor

    Returns
    -------
    Tensor of -1 and +1, shape and dtype of `values`; sign(0) = +1
    """
    result: torch.Tensor = _StraightThrough.apply(values)  # type: ignore[no-untyped-call]
    return result


def sign_polynomial(values: torch.Tensor) -> torch.Tensor:
    """Sign of activations with the gradient max(0, 2 - |2a|) (Eq. 2, 6 and 7).

    Parameters
    ----------
    values : Tensor

    Returns
    -------
    Tensor of -1 and +1, shape and dtype of `values`; sign(0) = +1
    """
    result: torch.Tensor = _Polynomial.apply(values)  # type: ignore[no-untyped-call]
    return result


def sign_scaled(values: torch.Tensor) -> torch.Tensor:
    """Sign of activations after each sample is divided by its standard deviation, as the authors train.

    The sign is that of the activations themselves; the gradient is that of `sign_polynomial` at
    a = x / sqrt(var(x) + 1e-5), with the unbiased variance of the sample, through which it flows as well. The
    authors' code does this in training mode only and the paper does not mention it.

    Parameters
    ----------
    values : Tensor, shape (batch, ...)

    Returns
    -------
    Tensor of -1 and +1, shape and dtype of `values`; sign(0) = +1
    """
    result: torch.Tensor = _ScaledPolynomial.apply(values)  # type: ignore[no-untyped-call]
    return result
