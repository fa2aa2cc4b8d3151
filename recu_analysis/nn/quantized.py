"""QuantizedConv2d and TernaryLinear: torch's layers with ternary weights or steps of a learned size."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional

from recu_analysis.errors import InputError
from recu_analysis.nn.layers import binary_modules
from recu_analysis.nn.signs import sign_polynomial, sign_scaled
from recu_analysis.nn.sizes import check_channels, check_geometry
from recu_analysis.theory.levels import Quantizer

if TYPE_CHECKING:
    from torch.autograd.function import FunctionCtx

#: Numbers of bits with steps of a learned size.
BITS = (2, 3, 4)
#: Largest state of an activation of 8 bits, and the least maximum that a token is divided by.
_MOST, _LEAST = 127, 1e-5


class _StraightThrough(torch.autograd.Function):
    """Other values in place of a tensor, with the gradient of the tensor itself."""

    @staticmethod
    def forward(ctx: FunctionCtx, values: torch.Tensor, used: torch.Tensor) -> torch.Tensor:
        return used.view_as(used)

    @staticmethod
    def backward(ctx: FunctionCtx, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        return gradients[0], None


class _LearnedStep(torch.autograd.Function):
    """s clamp(round(w / s), low, high), with the gradients of Esser et al., Eq. 3 and 5."""

    @staticmethod
    def forward(ctx: Any, weight: torch.Tensor, step: torch.Tensor, low: int, high: int) -> torch.Tensor:
        units = weight / step
        states = units.round().clamp(low, high)
        ctx.save_for_backward(units, states)
        ctx.low, ctx.high = low, high
        return states * step

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None, None]:
        units, states = ctx.saved_tensors
        inside = (units > ctx.low) & (units < ctx.high)
        of_step = (gradients[0] * torch.where(inside, states - units, states)).sum()
        return gradients[0] * inside, of_step / math.sqrt(units.numel() * ctx.high), None, None


def absmean_ternary(weight: torch.Tensor) -> torch.Tensor:
    """The ternary weights of BitNet b1.58: clamp(round(w / mean abs(w)), -1, 1) times that mean.

    Parameters
    ----------
    weight : Tensor, any shape
        All its weights share one scale. Its gradient is that of the result: straight-through, also at clamped weights.

    Returns
    -------
    Tensor, shape and dtype of `weight`

    Notes
    -----
    The arithmetic is that of AutoBitLinear of transformers, to the bit: it multiplies by 1 / mean.
    """
    rule = Quantizer.bitnet()
    with torch.no_grad():
        inverse = 1.0 / weight.abs().mean().clamp(min=rule.least)
        used = (weight * inverse).round().clamp(rule.low, rule.high) / inverse
    return _applied(_StraightThrough, weight, used)


def eight_bits(values: torch.Tensor) -> torch.Tensor:
    """Activations of 8 bits, with one scale a token: round(x 127 / max abs(x)) over that factor; straight-through.

    Parameters
    ----------
    values : Tensor, shape (..., features)

    Returns
    -------
    Tensor, shape and dtype of `values`
    """
    with torch.no_grad():
        factor = _MOST / values.abs().amax(dim=-1, keepdim=True).clamp(min=_LEAST)
        used = (values * factor).round().clamp(-_MOST - 1, _MOST) / factor
    return _applied(_StraightThrough, values, used)


def learned_steps(weight: torch.Tensor, step: torch.Tensor, low: int, high: int) -> torch.Tensor:
    """Uniform steps of a learned size s (LSQ): s clamp(round(w / s), low, high).

    Parameters
    ----------
    weight : Tensor, any shape
        Its gradient is that of the result where low < w / s < high, else 0.
    step : Tensor, scalar
        s. Its gradient is multiplied by 1 / sqrt(N high), with N weights.
    low, high : int
        The first and the last state.

    Returns
    -------
    Tensor, shape and dtype of `weight`

    Notes
    -----
    Source: Esser et al., ICLR 2020 (arXiv:1902.08153).
    """
    return _applied(_LearnedStep, weight, step, low, high)


def _applied(function: type[torch.autograd.Function], *arguments: Any) -> torch.Tensor:
    result: torch.Tensor = function.apply(*arguments)  # type: ignore[no-untyped-call]
    return result


def quantizer_of(levels: int, bits: int) -> Quantizer | None:
    """The rule of weights with so many levels or bits; None for signs (2 levels, 1 bit).

    Raises
    ------
    InputError
        If there is no such rule, or both are asked for.
    """
    if levels not in (2, 3):
        raise InputError(f"weights have 2 levels (signs) or 3 (ternary), not {levels!r:.40}; for more, give bits")
    if bits != 1 and bits not in BITS:
        raise InputError(f"weights have 1 bit (signs) or {BITS[0]} to {BITS[-1]} bits, not {bits!r:.40}")
    if levels == 3 and bits != 1:
        raise InputError(f"weights have 3 levels or {bits} bits, not both; omit one of the two")
    if levels == 3:
        return Quantizer.bitnet()
    return None if bits == 1 else Quantizer.of_bits(bits)


class QuantizedConv2d(nn.Conv2d):
    """A torch.nn.Conv2d with quantized weights, and signs of its activations as in `BinaryConv2d`.

    The weights are ternary (`absmean_ternary`), or have uniform steps of a learned size (`learned_steps`), one for the
    layer. They are initialized Kaiming normal, and the step as Esser et al. do: 2 mean abs(w) / sqrt(high).

    Parameters
    ----------
    in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, device, dtype
        As in torch.nn.Conv2d; padding is with zeros.
    quantizer : Quantizer
        `Quantizer.bitnet()`, or `Quantizer.of_bits(bits)`.

    Attributes
    ----------
    weight : Parameter, shape (C_out, C_in / groups, ...)
        Latent weights.
    step : Parameter or None, scalar
        The learned step, in the unit of the weights.

    Raises
    ------
    InputError
        If the quantizer is another one, or the sizes are not valid.
    """

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
        device: torch.device | str | int | None = None,
        dtype: torch.dtype | None = None,
        *,
        quantizer: Quantizer,
    ) -> None:
        learned = quantizer.kind == "uniform" and quantizer.rule == "given" and quantizer.group == "tensor"
        if not (learned and quantizer.high > 0) and quantizer != Quantizer.bitnet():
            raise InputError(f"a quantized layer takes Quantizer.bitnet() or Quantizer.of_bits(bits), not {quantizer}")
        check_channels(in_channels, out_channels, groups)
        check_geometry(kernel_size, stride, padding, dilation, "zeros")
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, "zeros", device, dtype
        )
        self._rule = replace(quantizer, step=None, zero=None)
        self.step = nn.Parameter(self.weight.new_empty(())) if learned else None
        nn.init.kaiming_normal_(self.weight)
        self.reset_step()

    @torch.no_grad()
    def reset_step(self) -> None:
        """Begin with the step of the present weights: 2 mean abs(w) / sqrt(high)."""
        if self.step is not None:
            self.step.copy_(2.0 * self.weight.abs().mean() / math.sqrt(self._rule.high))

    @property
    def quantizer(self) -> Quantizer:
        """The rule from latent weights to states, with the present step."""
        return self._rule if self.step is None else replace(self._rule, step=self.step)

    def quantized_weight(self) -> torch.Tensor:
        """The weights that the forward pass uses, shape of `weight`."""
        if self.step is None:
            return absmean_ternary(self.weight)
        return learned_steps(self.weight, self.step, self._rule.low, self._rule.high)

    def forward(self, input: torch.Tensor) -> torch.Tensor:  # noqa: A002
        """Output of shape (batch, C_out, H', W') for activations of shape (batch, C_in, H, W)."""
        signs = sign_scaled(input) if self.training else sign_polynomial(input)
        output: torch.Tensor = self._conv_forward(signs, self.quantized_weight(), self.bias)
        return output

    def extra_repr(self) -> str:
        """Torch's text of the layer, and the number of its levels."""
        return f"{super().extra_repr()}, levels={self._rule.count}"  # type: ignore[no-untyped-call]


class TernaryLinear(nn.Linear):
    """A torch.nn.Linear of BitNet b1.58: ternary weights (`absmean_ternary`) and activations of 8 bits a token.

    Parameters and initialization are those of torch.nn.Linear.

    Notes
    -----
    Source: Ma et al., arXiv:2402.17764. Put a normalization before it, such as torch.nn.RMSNorm.
    """

    @property
    def quantizer(self) -> Quantizer:
        """The rule from latent weights to states."""
        return Quantizer.bitnet()

    def quantized_weight(self) -> torch.Tensor:
        """The weights that the forward pass uses, shape of `weight`."""
        return absmean_ternary(self.weight)

    def forward(self, input: torch.Tensor) -> torch.Tensor:  # noqa: A002
        """Output of shape (..., out_features) for activations of shape (..., in_features)."""
        return functional.linear(eight_bits(input), self.quantized_weight(), self.bias)


def reset_steps(model: nn.Module) -> None:
    """Begin with the steps of the present weights in every layer that learns its step."""
    for module in model.modules():
        if isinstance(module, QuantizedConv2d):
            module.reset_step()


def bad_steps(model: nn.Module) -> list[str]:
    """Names of the learned steps of a model that are not positive, with which a layer has no states."""
    learned = ((name, each.step) for name, each in model.named_modules() if isinstance(each, QuantizedConv2d))
    return [f"{name}.step" for name, step in learned if step is not None and not step.item() > 0.0]


def latent_parameters(model: nn.Module) -> list[nn.Parameter]:
    """The latent weights of a model's binary and quantized layers of this package, in the order of the model."""
    ours = {id(module) for module in binary_modules(model)}
    return [
        module.get_parameter("weight")
        for module in model.modules()
        if id(module) in ours or isinstance(module, (QuantizedConv2d, TernaryLinear))
    ]
