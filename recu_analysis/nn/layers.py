"""BinaryConv2d and BinaryLinear: torch's layers with binary weights and activations."""

from __future__ import annotations

import math
from dataclasses import fields
from inspect import signature
from typing import TYPE_CHECKING, Any, Literal, cast

import torch
from torch import nn
from torch.nn import functional

from recu_analysis.errors import InputError, unknown
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
    zero_at_zero,
)
from recu_analysis.nn.sizes import check_channels, check_features, check_geometry, check_shape, pair
from recu_analysis.theory.laplace import check_tau
from recu_analysis.theory.validation import real

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

    from recu_analysis.theory.standardize import WeightTransform

#: Quantile level of a new layer; a schedule sets it, see `set_tau`.
INITIAL_TAU = 0.85


class _Binary(nn.Module):
    """The part that binary layers add to torch's layers: ingredients, alpha, tau, and the binary weight.

    It is the first base class of a layer, before nn.Conv2d or nn.Linear.

    Attributes
    ----------
    weight : Parameter, shape (C_out, ...)
        Latent weights.
    bias : Parameter or None, shape (C_out,)
        Real values that are added to the output, after alpha.
    alpha : Parameter or None, shape (C_out, 1, 1) for convolutions, (C_out,) for linear layers
        Learned factor of the output (Eq. 3), initialized uniform on [0, 1); None if it is not learned.
    tau : Tensor, scalar
        Quantile level (a buffer; saved files also hold it with shape (1,)).
    binarizer : Binarizer
        The layer's ingredients.
    """

    weight: nn.Parameter
    bias: nn.Parameter | None
    alpha: nn.Parameter | None
    tau: torch.Tensor
    steepness: torch.Tensor
    binarizer: Binarizer

    def reset_parameters(self) -> None:
        """Draw alpha, the weight (Kaiming normal) and the bias (as torch does) again, and reset tau."""
        if "tau" not in self._buffers:
            return  # torch's constructor calls this before alpha exists, and alpha must be drawn first
        self._reset_ingredients()
        nn.init.kaiming_normal_(self.weight)
        if self.bias is not None:
            bound = 1.0 / math.sqrt(math.prod(self.weight.shape[1:]))
            nn.init.uniform_(self.bias, -bound, bound)

    def _add_ingredients(self, binary: Binarizer) -> None:
        """Add what a layer of torch lacks, on the device and in the dtype of its weight."""
        self.binarizer = binary
        self._channel_shape = (len(self.weight), *[1] * (self.weight.ndim - 2))  # one number per channel of the output
        alpha = nn.Parameter(self.weight.new_empty(self._channel_shape)) if binary.alpha == "learned" else None
        self.register_parameter("alpha", alpha)
        self.register_buffer("tau", self.weight.new_empty(()))
        if binary.decays:
            # Not saved: files of the method do not hold it, and a training sets it in every epoch.
            self.register_buffer("steepness", self.weight.new_empty(()), persistent=False)

    @torch.no_grad()
    def _reset_ingredients(self) -> None:
        if self.alpha is not None:
            self.alpha.uniform_()
        self.tau.fill_(INITIAL_TAU)
        if self.binarizer.decays:
            self.steepness.fill_(steepness_at(0.0))

    @property
    def weight_transform(self) -> WeightTransform:
        """The transform of the latent weights before their sign, for numpy code."""
        return self.binarizer.transform()

    def binary_weight(self) -> torch.Tensor:
        """Signs of the standardized and clamped weight, shape of `weight`: -1 and +1, also 0 with zero="authors"."""
        return self._signs(self.standardized_weight())

    def standardized_weight(self) -> torch.Tensor:
        """The weight centered and scaled as the ingredients say, before clamp and sign; shape of `weight`."""
        options = self.binarizer
        return standardize(self.weight, center=options.center, target=options.scale, eps=options.eps)

    def binary_input(self, values: torch.Tensor) -> torch.Tensor:
        """Signs of the activations: -1 and +1, also 0 with zero="authors".

        In training mode the authors' scaling (`scale_activations`) changes only the gradient.
        """
        options = self.binarizer
        scaled = self.training and options.scale_activations
        if options.input_gradient == "polynomial":
            signs = sign_scaled(values) if scaled else sign_polynomial(values)
        else:
            divided = divided_by_deviation(values) if scaled else values
            clipped = options.input_gradient == "clipped"
            signs = sign_clipped(divided) if clipped else sign_decaying(divided, self.steepness)
        return signs if options.zero == "plus" else zero_at_zero(signs, values)

    def extra_repr(self) -> str:
        """Torch's text of the layer, and the ingredients that differ from ReCU as published."""
        changed = [f"{name}={value!r}" for name, value in self.binarizer.differences().items()]
        return ", ".join([super().extra_repr(), *changed])

    def _signs(self, values: torch.Tensor) -> torch.Tensor:
        """Signs of standardized weights, with the gradients of the clamp and of the estimator."""
        options = self.binarizer
        if options.clamp:
            values = (recu if options.mask == "clamped" else mask_random)(values, self.tau, options.quantile)
        if options.weight_gradient == "identity":
            signs = sign_straight_through(values)
        else:
            clipped = options.weight_gradient == "clipped"
            signs = sign_clipped(values) if clipped else sign_decaying(values, self.steepness)
        return signs if options.zero == "plus" else zero_at_zero(signs, values)

    def _factor(self, values: torch.Tensor) -> torch.Tensor | None:
        """Factor of the output, from standardized weights if it is not learned; None for 1."""
        options = self.binarizer
        if options.alpha == "analytic":
            bound = clamp_bound(values, self.tau, options.quantile) if options.clamp else None
            return clamped_mean(values, bound).expand(self._channel_shape)
        if options.alpha == "power-of-two":
            return powers_of_two(values).view(self._channel_shape)
        if options.alpha in ("mean", "mean-detached"):
            means = channel_means(values if options.alpha == "mean" else values.detach())
            return means.view(self._channel_shape)
        return self.alpha

    def _operands(self, values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
        """Signs of activations, signs of weights, and the factor of their product."""
        fused = fused_for(self.weight) if self.binarizer.fusible else None
        if fused:
            return self.binary_input(values), fused.sign_of_weights(self.weight, self.tau, self.binarizer), self.alpha
        standardized = self.standardized_weight()
        return self.binary_input(values), self._signs(standardized), self._factor(standardized)

    def _output(self, product: torch.Tensor, factor: torch.Tensor | None) -> torch.Tensor:
        """A product of signs times its factor, plus the bias."""
        scaled = product if factor is None else product * factor
        return scaled if self.bias is None else scaled + self.bias.view(self._channel_shape)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *arguments: Any) -> None:
        # The authors' training gives every layer a tau of shape (1,). Both shapes can be loaded into both.
        tau, own = state_dict.get(f"{prefix}tau"), self._buffers["tau"]
        if isinstance(tau, torch.Tensor) and own is not None and tau.numel() == own.numel() == 1:
            state_dict[f"{prefix}tau"] = tau.reshape(own.shape)
        super()._load_from_state_dict(state_dict, prefix, *arguments)


def binarizer_of(caller: Callable[..., Any], method: str | Binarizer, ingredients: dict[str, Any]) -> Binarizer:
    """The ingredients of new layers. The error for an unknown name also suggests the caller's own arguments."""
    known = [field.name for field in fields(Binarizer)]
    for name in ingredients:
        if name not in known:
            raise unknown("option of a binary layer", name, [*list(signature(caller).parameters)[:-1], *known])
    return make_binarizer(method, **ingredients)


class BinaryConv2d(_Binary, nn.Conv2d):
    """A torch.nn.Conv2d whose weights and activations are binary, as the authors of ReCU compute it.

    Forward: standardize, clamp, sign of weights and inputs, convolve, times alpha (Eq. 3), plus the bias. The clamp
    cannot change the output: it acts on the gradient of the weights. No step waits for the device. Gradients are of
    first order, by autograd. The transforms of torch.func (grad, vmap) do not work on the layer.

    Padding works as in torch, on the signs. The mode zeros pads with 0, which is neither -1 nor +1. The other modes
    repeat signs. In torch.autocast only the convolution is cast, and alpha and the bias are not: the output has their
    dtype, usually float32, where nn.Conv2d gives bfloat16. A sum of residuals thus keeps its precision.

    Parameters
    ----------
    in_channels, out_channels, kernel_size, stride, padding, dilation, groups, padding_mode, device, dtype
        As in torch.nn.Conv2d.
    bias : bool
        As in torch.nn.Conv2d: one real value per channel, trained like any parameter and initialized as torch does. It
        is added after alpha, because alpha scales only the binary product. So the bias of a real layer keeps its
        meaning. The authors' networks have no bias.
    binarizer : str or Binarizer
        The method: recu, bnn, xnor, bi-real or ir-net.
    **ingredients
        Ingredients to change, by their names in `Binarizer`: ``scale=None``, ``clamp=False``, ``mask="random"``, ...

    Raises
    ------
    InputError
        If a name is unknown, an argument has a wrong value, or the sizes allow no standard deviation.

    Examples
    --------
    >>> layer = BinaryConv2d(16, 32, 3, stride=2, padding=1, bias=False)
    >>> layer(torch.randn(1, 16, 8, 8)).shape
    torch.Size([1, 32, 4, 4])
    """

    weight: nn.Parameter
    bias: nn.Parameter | None

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: str | int | tuple[int, int] = 0,
        dilation: int | tuple[int, int] = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: Literal["zeros", "reflect", "replicate", "circular"] = "zeros",
        device: torch.device | str | int | None = None,
        dtype: torch.dtype | None = None,
        *,
        binarizer: str | Binarizer = "recu",
        **ingredients: Any,
    ) -> None:
        binary = binarizer_of(BinaryConv2d, binarizer, ingredients)
        check_channels(in_channels, out_channels, groups)
        check_geometry(kernel_size, stride, padding, dilation, padding_mode)
        check_shape((out_channels, in_channels // groups, *pair(kernel_size)))
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, padding_mode, device, dtype
        )
        self._add_ingredients(binary)
        self.reset_parameters()

    def forward(self, input: torch.Tensor) -> torch.Tensor:  # noqa: A002
        """Output of shape (batch, C_out, H', W') for activations of shape (batch, C_in, H, W); also without batch."""
        if input.ndim == 3:
            unbatched: torch.Tensor = self.forward(input.unsqueeze(0)).squeeze(0)
            return unbatched
        if input.ndim != 4:
            raise InputError(
                f"a binary convolution takes activations of shape (N, C, H, W) or (C, H, W), not {tuple(input.shape)}"
            )
        if self.training and self.binarizer.scale_activations and math.prod(input.shape[1:]) == 1:
            raise InputError(
                f"activations of shape {tuple(input.shape)} have one value per sample, and so no standard "
                "deviation; give the layer larger images, or scale_activations=False"
            )
        fused = self._convolution_for(input)
        if fused:
            geometry = self.stride, self.padding, self.dilation, self.groups
            product = fused.convolve(input, self.weight, self.alpha, self.tau, self.binarizer, geometry)
            return self._output(product, None)
        signs, weight, factor = self._operands(input)
        return self._output(self._conv_forward(signs, weight, None), factor)

    def _convolution_for(self, values: torch.Tensor) -> ModuleType | None:
        """`recu_analysis.nn.fused` if it can do all operations of the layer, which is only in training; else None."""
        options = self.binarizer
        scaled = self.training and options.scale_activations and options.input_gradient == "polynomial"
        plain = self.padding_mode == "zeros" and not isinstance(self.padding, str)
        if not (scaled and plain and options.fusible and values.device == self.weight.device):
            return None
        return fused_for(values)


class BinaryLinear(_Binary, nn.Linear):
    """A torch.nn.Linear whose weights and activations are binary; the linear counterpart of `BinaryConv2d`.

    Parameters
    ----------
    in_features, out_features, bias, device, dtype
        As in torch.nn.Linear; the bias as in `BinaryConv2d`.
    binarizer, **ingredients
        As in `BinaryConv2d`. The first axis counts samples: `scale_activations` divides each by its deviation.
    """

    weight: nn.Parameter
    bias: nn.Parameter | None  # type: ignore[assignment]  # torch itself puts None there

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        device: torch.device | str | int | None = None,
        dtype: torch.dtype | None = None,
        *,
        binarizer: str | Binarizer = "recu",
        **ingredients: Any,
    ) -> None:
        binary = binarizer_of(BinaryLinear, binarizer, ingredients)
        check_features(in_features, out_features)
        check_shape((out_features, in_features))
        super().__init__(in_features, out_features, bias, device, dtype)
        self._add_ingredients(binary)
        self.reset_parameters()

    def forward(self, input: torch.Tensor) -> torch.Tensor:  # noqa: A002
        """Output of shape (batch, ..., out_features) for activations (batch, ..., in_features); also without batch."""
        if input.ndim == 1:
            unbatched: torch.Tensor = self.forward(input.unsqueeze(0)).squeeze(0)
            return unbatched
        signs, weight, factor = self._operands(input)
        return self._output(functional.linear(signs, weight), factor)


def become_binary(layer: nn.Conv2d | nn.Linear, binary: Binarizer) -> None:
    """Make a layer of torch into its binary counterpart: the same object with a new class, alpha and tau.

    Its weight, bias, hooks, device, dtype, mode and every reference to it stay as they are. If its weight is frozen,
    alpha is frozen too. The layer's class must be nn.Conv2d or nn.Linear itself.
    """
    layer.__class__ = BinaryConv2d if isinstance(layer, nn.Conv2d) else BinaryLinear
    changed = cast("_Binary", layer)
    changed._add_ingredients(binary)
    changed._reset_ingredients()
    if changed.alpha is not None:
        changed.alpha.requires_grad_(changed.weight.requires_grad)


def binary_modules(model: nn.Module) -> Iterator[_Binary]:
    """The binary layers of this package in a model."""
    return (module for module in model.modules() if isinstance(module, _Binary))


def binary_parameters(model: nn.Module) -> list[nn.Parameter]:
    """The latent weights of a model's binary layers, in the order of the model."""
    return [module.weight for module in binary_modules(model)]


def set_tau(model: nn.Module, tau: float) -> None:
    """Set the quantile level of every binary layer of a model.

    If the buffer's dtype would round a level to 0.5 or to 1, the nearest level between them is set.

    Raises
    ------
    InputError
        If the level is outside (0.5, 1].
    """
    level = real(tau, "tau")
    check_tau(level)
    for module in binary_modules(model):
        step = torch.finfo(module.tau.dtype).eps / 2
        module.tau.fill_(level).clamp_(min=0.5 + step, max=1.0 if level == 1.0 else 1.0 - step)


def set_progress(model: nn.Module, progress: float) -> None:
    """Set the progress of the training in every binary layer whose gradient depends on it (`sign_decaying`).

    Parameters
    ----------
    model : Module
    progress : float
        Share of the epochs that are finished, from 0 to 1.

    Raises
    ------
    InputError
        If the progress is outside 0 to 1.
    """
    progress = real(progress, "the progress of a training")
    if not 0.0 <= progress <= 1.0:
        raise InputError(f"the progress of a training must be from 0 to 1, not {progress}")
    for module in binary_modules(model):
        if module.binarizer.decays:
            module.steepness.fill_(steepness_at(progress))
