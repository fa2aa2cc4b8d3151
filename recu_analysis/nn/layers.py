"""BinaryConv2d and BinaryLinear: latent weights, what binarises them, and the product of signs."""

from __future__ import annotations

import math
from numbers import Integral
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional

from recu_analysis.errors import InputError
from recu_analysis.nn.binarizer import Binarizer
from recu_analysis.nn.binarizer import binarizer as make_binarizer
from recu_analysis.nn.functional import (
    channel_means,
    clamp_bound,
    clamped_mean,
    mask_random,
    powers_of_two,
    recu,
    standardize,
)
from recu_analysis.nn.fused_dispatch import fused_for
from recu_analysis.nn.signs import (
    divided_by_deviation,
    sign_clipped,
    sign_decaying,
    sign_polynomial,
    sign_scaled,
    sign_straight_through,
    steepness_at,
)
from recu_analysis.theory.laplace import check_tau
from recu_analysis.theory.validation import real

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

    from recu_analysis.theory.standardize import WeightTransform

#: Quantile level of a new layer; a schedule sets it, see `set_tau`.
INITIAL_TAU = 0.85


class _Binary(nn.Module):
    """What the binary layers share: latent weight, alpha, tau, and the binary weight made of them.

    Attributes
    ----------
    weight : Parameter, shape (C_out, ...)
        Latent weights.
    alpha : Parameter or None, shape (C_out, 1, 1) for convolutions, (C_out,) for linear layers
        Learned factor of the output (Eq. 3), initialised uniform on [0, 1); None where it is not learned.
    tau : Tensor, scalar
        Quantile level (a buffer; saved files also hold it with shape (1,)).
    binarizer : Binarizer
        The layer's ingredients.
    """

    weight: nn.Parameter
    alpha: nn.Parameter | None
    tau: torch.Tensor
    steepness: torch.Tensor

    def __init__(self, shape: tuple[int, ...], alpha_shape: tuple[int, ...], binary: Binarizer) -> None:
        super().__init__()
        if min(shape) < 1 or math.prod(shape[1:]) < 2:
            raise InputError(
                "a binary layer needs at least one output channel and two weights in each, for a standard deviation, "
                f"not weights of shape {shape}"
            )
        self.binarizer = binary
        self._alpha_shape = alpha_shape
        self.weight = nn.Parameter(torch.empty(shape))
        self.alpha = nn.Parameter(torch.rand(alpha_shape)) if binary.alpha == "learned" else None
        self.register_buffer("tau", torch.tensor(INITIAL_TAU))
        if binary.decays:
            # Not saved: a method's files do not hold it, and a training sets it in every epoch.
            self.register_buffer("steepness", torch.tensor(steepness_at(0.0)), persistent=False)
        nn.init.kaiming_normal_(self.weight)

    @property
    def weight_transform(self) -> WeightTransform:
        """What the layer does to its latent weights before their sign, as numpy code can repeat it."""
        return self.binarizer.transform()

    def binary_weight(self) -> torch.Tensor:
        """-1 and +1 of the layer, shape of `weight`: standardised, clamped, signed."""
        return self._signs(self._standardized())

    def binary_input(self, values: torch.Tensor) -> torch.Tensor:
        """-1 and +1 of the activations; in training mode with the authors' scaling, which acts on the gradient."""
        options = self.binarizer
        scaled = self.training and options.scale_activations
        if options.input_gradient == "polynomial":
            return sign_scaled(values) if scaled else sign_polynomial(values)
        values = divided_by_deviation(values) if scaled else values
        return sign_clipped(values) if options.input_gradient == "clipped" else sign_decaying(values, self.steepness)

    def extra_repr(self) -> str:
        """The shape and what differs from ReCU as published."""
        changed = [f"{name}={value!r}" for name, value in self.binarizer.differences().items()]
        return ", ".join([*map(str, self.weight.shape), *changed])

    def _standardized(self) -> torch.Tensor:
        options = self.binarizer
        return standardize(self.weight, center=options.center, target=options.scale, eps=options.eps)

    def _signs(self, values: torch.Tensor) -> torch.Tensor:
        """Signs of standardised weights, with the gradients of the clamp and of the estimator."""
        options = self.binarizer
        if options.clamp:
            values = (recu if options.mask == "clamped" else mask_random)(values, self.tau, options.quantile)
        if options.weight_gradient == "identity":
            return sign_straight_through(values)
        return sign_clipped(values) if options.weight_gradient == "clipped" else sign_decaying(values, self.steepness)

    def _factor(self, values: torch.Tensor) -> torch.Tensor | None:
        """Factor of the output, from standardised weights where it is not learned; None for 1."""
        options = self.binarizer
        if options.alpha == "analytic":
            bound = clamp_bound(values, self.tau, options.quantile) if options.clamp else None
            return clamped_mean(values, bound).expand(self._alpha_shape)
        if options.alpha == "power-of-two":
            return powers_of_two(values).view(self._alpha_shape)
        if options.alpha in ("mean", "mean-detached"):
            means = channel_means(values if options.alpha == "mean" else values.detach())
            return means.view(self._alpha_shape)
        return self.alpha

    def _operands(self, values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
        """Signs of activations, signs of weights, and the factor of their product."""
        fused = fused_for(self.weight) if self.binarizer.fusible else None
        if fused:
            return self.binary_input(values), fused.sign_of_weights(self.weight, self.tau, self.binarizer), self.alpha
        standardized = self._standardized()
        return self.binary_input(values), self._signs(standardized), self._factor(standardized)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *arguments: Any) -> None:
        # The authors' training gives every layer a new tau, of shape (1,): either shape goes into either.
        tau, own = state_dict.get(f"{prefix}tau"), self._buffers["tau"]
        if isinstance(tau, torch.Tensor) and own is not None and tau.numel() == own.numel() == 1:
            state_dict[f"{prefix}tau"] = tau.reshape(own.shape)
        super()._load_from_state_dict(state_dict, prefix, *arguments)


def _is_whole(size: Any) -> bool:
    return isinstance(size, Integral) and not isinstance(size, bool)


def _scaled(product: torch.Tensor, factor: torch.Tensor | None) -> torch.Tensor:
    return product if factor is None else product * factor


class BinaryConv2d(_Binary):
    """Convolution of binary activations with binary weights, as the authors of ReCU compute it.

    Forward: standardise, clamp, sign of weights and inputs, convolve, times alpha (Eq. 3). The clamp cannot
    change the output: it acts on the gradient of the weights. No step waits for the device. Gradients are of first
    order, by autograd; torch.func's transforms (grad, vmap) do not take the layer.

    Parameters
    ----------
    in_channels, out_channels, kernel_size, stride, padding, dilation, groups
        As in torch.nn.Conv2d, integers; there is no bias.
    binarizer : str or Binarizer
        recu, or what people compare it with: bnn, xnor, bi-real, ir-net.
    **ingredients
        What to change of it, by the names of `Binarizer`: ``scale=None``, ``clamp=False``, ``mask="random"``, ...

    Raises
    ------
    InputError
        If a name or an ingredient is unknown or cannot be, or the sizes allow no standard deviation.

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
        binarizer: str | Binarizer = "recu",
        **ingredients: Any,
    ) -> None:
        sizes = (in_channels, out_channels, kernel_size, stride, padding, dilation, groups)
        if not all(map(_is_whole, sizes)):
            raise InputError(
                f"channels, kernel size and geometry of a binary convolution are whole numbers, not {sizes}"
            )
        if min(stride, dilation) < 1 or padding < 0:
            raise InputError(
                f"stride and dilation are at least 1 and padding at least 0, not {stride}, {dilation} and {padding}"
            )
        if groups < 1 or in_channels % groups or out_channels % groups:
            raise InputError(f"{in_channels} and {out_channels} channels cannot be divided into {groups} groups")
        shape = (out_channels, in_channels // groups, kernel_size, kernel_size)
        super().__init__(shape, (out_channels, 1, 1), make_binarizer(binarizer, **ingredients))
        self._geometry = (stride, padding, dilation, groups)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Output of shape (batch, C_out, H', W') for activations of shape (batch, C_in, H, W)."""
        if values.ndim != 4:
            raise InputError(f"a binary convolution takes a batch, of shape (N, C, H, W), not {tuple(values.shape)}")
        if self.training and self.binarizer.scale_activations and math.prod(values.shape[1:]) == 1:
            raise InputError(
                f"activations of shape {tuple(values.shape)} have one value a sample and so no standard deviation to "
                "be scaled by; scale_activations=False leaves that out"
            )
        fused = self._convolution_for(values)
        if fused:
            result: torch.Tensor = fused.convolve(
                values, self.weight, self.alpha, self.tau, self.binarizer, self._geometry
            )
            return result
        signs, weight, factor = self._operands(values)
        return _scaled(functional.conv2d(signs, weight, None, *self._geometry), factor)

    def _convolution_for(self, values: torch.Tensor) -> ModuleType | None:
        """`recu_analysis.nn.fused` where it can do all that the layer does, which is what trains."""
        options = self.binarizer
        scaled = self.training and options.scale_activations and options.input_gradient == "polynomial"
        if not (scaled and options.fusible and values.device == self.weight.device):
            return None
        return fused_for(values)


class BinaryLinear(_Binary):
    """Product of binary activations with binary weights; the linear counterpart of `BinaryConv2d`.

    Parameters
    ----------
    in_features, out_features : int
        There is no bias.
    binarizer, **ingredients
        As in `BinaryConv2d`.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        binarizer: str | Binarizer = "recu",
        **ingredients: Any,
    ) -> None:
        if not (_is_whole(in_features) and _is_whole(out_features)):
            raise InputError(
                f"features of a binary linear layer are whole numbers, not {in_features!r} and {out_features!r}"
            )
        super().__init__((out_features, in_features), (out_features,), make_binarizer(binarizer, **ingredients))

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Output of shape (batch, ..., out_features) for activations of shape (batch, ..., in_features)."""
        if values.ndim < 2:
            raise InputError(f"a binary linear layer takes a batch, of shape (N, features), not {tuple(values.shape)}")
        signs, weight, factor = self._operands(values)
        return _scaled(functional.linear(signs, weight), factor)


def binary_modules(model: nn.Module) -> Iterator[_Binary]:
    """The binary layers of this package in a model."""
    return (module for module in model.modules() if isinstance(module, _Binary))


def binary_parameters(model: nn.Module) -> list[nn.Parameter]:
    """The latent weights of a model's binary layers, in its order."""
    return [module.weight for module in binary_modules(model)]


def set_tau(model: nn.Module, tau: float) -> None:
    """Give every binary layer of a model this quantile level.

    One that is nearer to one half, or to one, than the buffer's dtype can say becomes the nearest level between them.

    Raises
    ------
    InputError
        If it lies outside (0.5, 1].
    """
    level = real(tau, "tau")
    check_tau(level)
    for module in binary_modules(model):
        step = torch.finfo(module.tau.dtype).eps / 2
        module.tau.fill_(level).clamp_(min=0.5 + step, max=1.0 if level == 1.0 else 1.0 - step)


def set_progress(model: nn.Module, progress: float) -> None:
    """Tell every binary layer of a model whose gradients decay how far the training is (`sign_decaying`).

    Parameters
    ----------
    model : Module
    progress : float
        Share of the epochs that are over, from 0 to 1.

    Raises
    ------
    InputError
        If it lies outside.
    """
    progress = real(progress, "the progress of a training")
    if not 0.0 <= progress <= 1.0:
        raise InputError(f"the progress of a training lies from 0 to 1, not at {progress}")
    for module in binary_modules(model):
        if module.binarizer.decays:
            module.steepness.fill_(steepness_at(progress))
