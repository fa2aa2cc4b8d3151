"""The sign of weights and activations, and the gradients that replace its own."""

from __future__ import annotations

from typing import Any

import torch

from recu_analysis.nn.functional import EPS
from recu_analysis.nn.fused_dispatch import fused_for


def signs(values: torch.Tensor) -> torch.Tensor:
    """-1 where a value is below 0, else +1 (Eq. 2), in the dtype of the values.

    The authors' code uses torch.sign, which is 0 at 0 (`zero_at_zero`). The paper's sign and this one are never 0. A
    NaN gives the sign of its sign bit.
    """
    # Five times as fast as torch.where. Adding 0 turns -0 into 0, whose sign is +1.
    return torch.copysign(values.new_ones(()), values + 0.0)


def zero_at_zero(signs: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """Signs that are 0 where a value is 0, as torch.sign. Their gradient is unchanged.

    Parameters
    ----------
    signs : Tensor
        -1 and +1, with +1 where a value is 0.
    values : Tensor, shape of `signs`

    Returns
    -------
    Tensor of -1, 0 and +1, shape and dtype of `signs`
    """
    return signs - (values == 0).to(signs.dtype)


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
        return _slope_in_place(values.clone()).mul_(gradient)


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
        # In place if possible: activations are large, and new memory for them is slow.
        inner = _slope_in_place(values * scale).mul_(gradient)
        # d(1/s)/dx_i = -(x_i - mean) / ((N - 1) s^3), for each sample of N values.
        freedom = values[0].numel() - 1
        pull = (inner * values).sum(dim=axes, keepdim=True) * scale.pow(3) / freedom
        return inner.mul_(scale).sub_((values - mean).mul_(pull))


def polynomial_slope(values: torch.Tensor) -> torch.Tensor:
    """Slope of the polynomial that replaces the sign of activations in the gradient: max(0, 2 - |2a|) (Eq. 6 and 7)."""
    return _slope_in_place(values.clone())


def _slope_in_place(values: torch.Tensor) -> torch.Tensor:
    """`polynomial_slope`, written into the memory of the values."""
    return values.abs_().mul_(-2.0).add_(2.0).relu_()


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
    """Sign of activations, each sample divided by its standard deviation, as in the authors' training.

    The division does not change the sign. The gradient is that of `sign_polynomial` at a = x / sqrt(var(x) + 1e-5),
    with the unbiased variance of the sample. It also flows through the variance. The authors' code does this in
    training mode only. The paper does not mention it.

    Parameters
    ----------
    values : Tensor, shape (batch, ...)

    Returns
    -------
    Tensor of -1 and +1, shape and dtype of `values`; sign(0) = +1
    """
    if values.numel() == 0:
        return sign_polynomial(values)  # no sample, no deviation
    fused = fused_for(values)
    result: torch.Tensor = (fused.sign_scaled if fused else _ScaledPolynomial.apply)(values)
    return result


class _Clipped(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(values)
        return signs(values)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        (values,) = ctx.saved_tensors
        kept: torch.Tensor = gradient * (values.abs() <= 1.0)
        return kept


def sign_clipped(values: torch.Tensor) -> torch.Tensor:
    """Sign with the gradient 1 where |x| <= 1 and 0 elsewhere (Hubara et al., NeurIPS 2016, Eq. 4).

    Parameters
    ----------
    values : Tensor

    Returns
    -------
    Tensor of -1 and +1, shape and dtype of `values`; sign(0) = +1
    """
    result: torch.Tensor = _Clipped.apply(values)  # type: ignore[no-untyped-call]
    return result


class _Decaying(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: torch.Tensor, steepness: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(values, steepness)
        return signs(values)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        values, steepness = ctx.saved_tensors
        t = steepness.to(values.dtype)
        slope = torch.clamp(t, min=1.0) * (1.0 - torch.tanh(values * t).square())
        return gradient * slope, None


def sign_decaying(values: torch.Tensor, steepness: torch.Tensor) -> torch.Tensor:
    """Sign with the gradient k t (1 - tanh^2(t x)), k = max(1 / t, 1): the error-decay estimator of IR-Net.

    It is nearly that of the identity at small t, and approaches that of the sign at large t (Qin et al., CVPR 2020, Eq.
    10 to 12).

    Parameters
    ----------
    values : Tensor
    steepness : Tensor with one element
        t, which grows while a network trains; see `steepness_at`.

    Returns
    -------
    Tensor of -1 and +1, shape and dtype of `values`; sign(0) = +1
    """
    result: torch.Tensor = _Decaying.apply(values, steepness)  # type: ignore[no-untyped-call]
    return result


def steepness_at(progress: float) -> float:
    """The t of `sign_decaying` after this share of the epochs, 0 to 1: from 1e-3 to 10, evenly in log t.

    This is as in the code of IR-Net. Its paper starts at 0.1.
    """
    return float(10.0 ** (4.0 * progress - 3.0))


def divided_by_deviation(values: torch.Tensor) -> torch.Tensor:
    """Activations divided by each sample's sqrt(var + 1e-5), unbiased, as the authors of ReCU do while training.

    Parameters
    ----------
    values : Tensor, shape (batch, ...)
    """
    if values.numel() == 0:
        return values
    variance = values.var(dim=tuple(range(1, values.ndim)), keepdim=True, unbiased=True)
    return values / (variance + EPS).sqrt()
