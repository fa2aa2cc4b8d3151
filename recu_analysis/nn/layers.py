"""BinaryConv2d and BinaryLinear: latent weights, ReCU, and the sign of weights and activations."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional

from recu_analysis.errors import InputError
from recu_analysis.nn.functional import (
    EPS,
    mask_random,
    recu,
    sign_polynomial,
    sign_scaled,
    sign_straight_through,
    standardise,
)
from recu_analysis.theory.laplace import check_tau
from recu_analysis.theory.standardize import WeightTransform

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Quantile level of a new layer; a schedule sets it, see `set_tau`.
INITIAL_TAU = 0.85
#: Whose gradient the clamp stops: that of the clamped weights, or, as a control, of a random set of the same size.
MASKS = ("clamped", "random")


class _Binary(nn.Module):
    """What the binary layers share: latent weight, alpha, tau, and the binary weight made of them.

    Attributes
    ----------
    weight : Parameter, shape (C_out, ...)
        Latent weights.
    alpha : Parameter, shape (C_out, 1, 1) for convolutions, (C_out,) for linear layers
        Learned scaling factor of the output (Eq. 3), initialised uniform on [0, 1).
    tau : Tensor, scalar
        Quantile level (a buffer; saved files also hold it with shape (1,)).
    """

    weight: nn.Parameter
    alpha: nn.Parameter
    tau: torch.Tensor

    def __init__(
        self,
        shape: tuple[int, ...],
        alpha_shape: tuple[int, ...],
        scale: float | None,
        centre: bool,
        clamp: bool,
        mask: str,
    ) -> None:
        super().__init__()
        if mask not in MASKS:
            raise InputError(f"mask must be one of {', '.join(MASKS)}, not {mask!r}")
        if min(shape) < 1 or math.prod(shape[1:]) < 2:
            raise InputError(
                "a binary layer needs at least one output channel and two weights in each, for a standard deviation, "
                f"not weights of shape {shape}"
            )
        clamps = clamp and mask == "clamped"
        self._transform = WeightTransform(centre=centre, target=scale, eps=EPS, ddof=1, clamp=clamps)
        self._random = clamp and mask == "random"
        self.weight = nn.Parameter(torch.empty(shape))
        self.alpha = nn.Parameter(torch.rand(alpha_shape))
        self.register_buffer("tau", torch.tensor(INITIAL_TAU))
        nn.init.kaiming_normal_(self.weight)

    @property
    def weight_transform(self) -> WeightTransform:
        """What the layer does to its latent weights before their sign, as numpy code can repeat it."""
        return self._transform

    def binary_weight(self) -> torch.Tensor:
        """-1 and +1 of the layer, shape of `weight`: standardised, clamped, then the sign (straight through)."""
        transform = self._transform
        values = standardise(self.weight, centre=transform.centre, target=transform.target, eps=transform.eps)
        if transform.clamp:
            values = recu(values, self.tau)
        if self._random:
            values = mask_random(values, self.tau)
        return sign_straight_through(values)

    def binary_input(self, values: torch.Tensor) -> torch.Tensor:
        """-1 and +1 of the activations; in training mode with the authors' scaling, which acts on the gradient."""
        return sign_scaled(values) if self.training else sign_polynomial(values)

    def extra_repr(self) -> str:
        """The shape and what stands between weight and sign."""
        t = self._transform
        clamp = "random mask" if self._random else t.clamp
        return f"{', '.join(map(str, self.weight.shape))}, scale={t.target}, centre={t.centre}, clamp={clamp}"

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *arguments: Any) -> None:
        tau = state_dict.get(f"{prefix}tau")
        if isinstance(tau, torch.Tensor) and tau.numel() == 1:
            state_dict[f"{prefix}tau"] = tau.reshape(())
        super()._load_from_state_dict(state_dict, prefix, *arguments)


class BinaryConv2d(_Binary):
    """Convolution of binary activations with binary weights, as the authors of ReCU compute it.

    Forward: standardise, clamp, sign of weights and inputs, convolve, times alpha (Eq. 3). The clamp cannot
    change the output: it acts on the gradient of the weights.

    Parameters
    ----------
    in_channels, out_channels, kernel_size, stride, padding, dilation, groups
        As in torch.nn.Conv2d, integers; there is no bias.
    scale : float or None
        b*, the scale to which weights are standardised; None leaves their scale alone.
    centre : bool
        Subtract the mean of each output channel.
    clamp : bool
        Clamp to the Laplace quantiles at level `tau` (ReCU).
    mask : {"clamped", "random"}
        Which gradients the clamp stops: those of the clamped weights, or, as a control, those of a random set of
        the same size, drawn anew in every pass. Without effect where `clamp` is False.

    Examples
    --------
    >>> layer = BinaryConv2d(16, 32, 3, stride=2, padding=1)
    >>> layer(torch.randn(1, 16, 8, 8)).shape
    torch.Size([1, 32, 4, 4])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        padding: int = 0,
        dilation: int = 1,
        groups: int = 1,
        *,
        scale: float | None = 2.0,
        centre: bool = True,
        clamp: bool = True,
        mask: str = "clamped",
    ) -> None:
        if groups < 1 or in_channels % groups or out_channels % groups:
            raise InputError(f"{in_channels} and {out_channels} channels cannot be divided into {groups} groups")
        shape = (out_channels, in_channels // groups, kernel_size, kernel_size)
        super().__init__(shape, (out_channels, 1, 1), scale, centre, clamp, mask)
        self._geometry = (stride, padding, dilation, groups)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Output of shape (batch, C_out, H', W') for activations of shape (batch, C_in, H, W)."""
        weight = self.binary_weight()
        return functional.conv2d(self.binary_input(values), weight, None, *self._geometry) * self.alpha


class BinaryLinear(_Binary):
    """Product of binary activations with binary weights; the linear counterpart of `BinaryConv2d`.

    Parameters
    ----------
    in_features, out_features : int
        There is no bias.
    scale, centre, clamp, mask
        As in `BinaryConv2d`.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        scale: float | None = 2.0,
        centre: bool = True,
        clamp: bool = True,
        mask: str = "clamped",
    ) -> None:
        super().__init__((out_features, in_features), (out_features,), scale, centre, clamp, mask)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Output of shape (batch, out_features) for activations of shape (batch, in_features)."""
        return functional.linear(self.binary_input(values), self.binary_weight()) * self.alpha


def binary_modules(model: nn.Module) -> Iterator[_Binary]:
    """The binary layers of this package in a model."""
    return (module for module in model.modules() if isinstance(module, _Binary))


def binary_parameters(model: nn.Module) -> list[nn.Parameter]:
    """The latent weights of a model's binary layers, in its order."""
    return [module.weight for module in binary_modules(model)]


def set_tau(model: nn.Module, tau: float) -> None:
    """Give every binary layer of a model this quantile level.

    Raises
    ------
    InputError
        If it lies outside (0.5, 1].
    """
    level = float(check_tau(tau))
    for module in binary_modules(model):
        module.tau.fill_(level)
