"""The weight that a layer's convolution or product uses, and its comparison with the recorded states."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch.overrides import TorchFunctionMode

from recu_analysis.capture.level_comparison import LevelStates, level_states

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from recu_analysis.capture.adapters import BinaryLayer

#: Names of torch functions that compute products. In WEIGHTED the second operand is the weight; in PLAIN any operand
#: may be the weight.
WEIGHTED = frozenset({"linear", "convolution", "_convolution"}) | {
    f"conv{kind}{axes}d" for kind in ("", "_transpose") for axes in (1, 2, 3)
}
PLAIN = frozenset(
    {"matmul", "__matmul__", "__rmatmul__", "mm", "bmm", "mv", "addmm", "addmv", "addbmm", "baddbmm", "einsum"}
) | {"tensordot", "chain_matmul", "multi_dot", "bilinear", "_int_mm", "scaled_int8_mm"}

#: The relative rounding of float32.
SINGLE = torch.finfo(torch.float32).eps
#: Rounding may decide a sign if abs(effective weight) is below this many float32 units of the mean size.
ROUNDINGS = 16.0
#: Sizes of a channel's weights count as equal up to this relative difference. A straight-through estimator that adds
#: and subtracts the latent weight leaves rounding errors.
ONE_SIZE = 0.01
#: Share of the weights whose state must be certain for a verdict.
ENOUGH = 0.5
#: Minimal abs(cosine) between an operand and a layer's weights if the operand is computed from them. Ternary weights
#: have about 0.8; unrelated operands of the same size have about 0.
RESEMBLES = 0.3
#: A weight with more values than MOST_VALUES per channel is described as real; only MOST_CHANNELS are examined.
MOST_VALUES, MOST_CHANNELS = 16, 64
#: In channels with so few weights, all weights may differ by chance.
FEW = 4


class Products(TorchFunctionMode):
    """A mode that shows every operand of a product that may be a weight with the given number of elements."""

    def __init__(self, numbers: int, show: Callable[[torch.Tensor], None]) -> None:
        super().__init__()
        self._numbers, self._show, self._inside = numbers, show, False

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Show the operands, then call the function unchanged."""
        if torch.compiler.is_compiling():
            return func(*args, **(kwargs or {}))
        name = getattr(func, "__name__", "").partition(".")[0]
        if name in WEIGHTED or name in PLAIN:
            operands = list(_operands(name, args, kwargs or {}))
            for operand in operands:
                if isinstance(operand, torch.Tensor) and operand.numel() == self._numbers and has_values(operand):
                    self._show(operand.detach())
            own = next((each for each in operands if _multiplies_itself(each)), None)
            if own is not None and not self._inside:
                return self._within(own, func, types, args, kwargs or {})
        return func(*args, **(kwargs or {}))

    def _within(self, operand: Any, func: Any, types: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        """Call what `func` would call for an operand with products of its own, and show the operands of those."""
        self._inside = True
        try:
            with self:
                return type(operand).__torch_function__(func, types, args, kwargs)
        finally:
            self._inside = False


def _operands(name: str, args: Any, kwargs: dict[str, Any]) -> Iterator[Any]:
    if name in WEIGHTED:
        given = [kwargs["weight"]] if "weight" in kwargs else list(args[1:2])
    else:
        given = [part for each in (*args, *kwargs.values()) for part in (each if isinstance(each, list) else [each])]
    yield from (each for each in given if isinstance(each, torch.Tensor) or _multiplies_itself(each))


def _multiplies_itself(operand: Any) -> bool:
    """Whether its class has products of its own: a tensor subclass, or a class that torch treats like one."""
    own = getattr(type(operand), "__torch_function__", torch.Tensor.__torch_function__)
    return own not in (torch.Tensor.__torch_function__, torch._C._disabled_torch_function_impl)


def has_values(operand: torch.Tensor) -> bool:
    """Whether it is an ordinary tensor whose values can be read now."""
    ordinary = type(operand) in {torch.Tensor, torch.nn.Parameter} and operand.layout == torch.strided
    transformed = torch._C._functorch.is_functorch_wrapped_tensor(operand)
    capturing = operand.is_cuda and torch.cuda.is_current_stream_capturing()
    return (
        ordinary
        and not (operand.is_meta or operand.is_complex() or operand.dtype == torch.bool)
        and not (transformed or capturing)
    )


@dataclass(frozen=True, slots=True)
class States:
    """The states of a layer's weights according to the recording, one row per channel.

    Attributes
    ----------
    effective, latent : Tensor of float64
        The state is -1 where the effective weight is negative.
    near : Tensor of bool
        Whether the effective weight is not finite, or so near 0 that rounding decides its sign.
    unit : float
        The relative rounding of the latent weights' dtype.
    levels : LevelStates or None
        The states of a layer with more than two levels.
    """

    effective: torch.Tensor
    latent: torch.Tensor
    near: torch.Tensor
    unit: float
    levels: LevelStates | None = None

    @classmethod
    def of(cls, layer: BinaryLayer) -> States:
        """The current states of a layer."""
        weight = layer.weight.detach()
        # In 16 bits, the forward pass may use rounded weights of which this process keeps the exact ones.
        unit = max(torch.finfo(weight.dtype).eps, torch.finfo(layer.used_dtype).eps)
        latent = weight.reshape(len(weight), -1).double()
        if not layer.quantizer.binary:
            # As if the network computed in 32 bits. If it computes in 16, its states differ, and that must be said.
            levels, near = level_states(layer, ROUNDINGS, SINGLE)
            return cls(latent, latent, near, unit, levels)
        mean = latent.mean(dim=1, keepdim=True)
        coarse = 0.0 if unit <= SINGLE else unit
        if layer.effective is not None:
            with torch.no_grad(), torch.autocast(weight.device.type, enabled=False):
                effective = layer.effective().to(latent).reshape(latent.shape)
            size = effective.abs().mean(dim=1, keepdim=True)
            doubt = 4.0 * coarse * size
        else:
            centered = layer.transform is not None and layer.transform.center
            effective, size = latent - mean if centered else latent, latent.abs().mean(dim=1, keepdim=True)
            doubt = 2.0 * coarse * mean.abs() if centered else torch.zeros_like(mean)
        return cls(effective, latent, ~(effective.abs() > ROUNDINGS * SINGLE * size + doubt), unit)

    @property
    def enough(self) -> bool:
        """Whether the states of enough weights are certain."""
        return bool((~self.near).double().mean() >= ENOUGH)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Comparison of a weight that a product used with the recorded states.

    Attributes
    ----------
    share : float
        Fraction of the weights that have another state in the product: another sign, zero, or another size than the
        other weights of their channel.
    looks : str
        Description of the used weight for messages; empty if nothing differs.
    latent : bool
        Whether the product used the latent weights themselves.
    axis : int
        The axis of the output channels in the weight that the product used.
    """

    share: float
    looks: str = ""
    latent: bool = False
    axis: int = 0


def compare(used: torch.Tensor, states: States, *, one_size: bool) -> Comparison | None:
    """The best comparison of a product's operand, as it is or transposed; None if it is not the layer's weight.

    An operand counts as different only if it is computed from the layer's weights, in their order.
    """
    if not states.enough:
        return None
    found = [_compared(rows, states, one_size, axis) for axis, rows in _as_rows(used, states)]
    best = min(found, key=lambda pair: pair[0].share, default=None)
    return None if best is None or (best[0].share and best[1] < RESEMBLES) else best[0]


def _as_rows(used: torch.Tensor, states: States) -> Iterator[tuple[int, torch.Tensor]]:
    """Yield an operand with one row per output channel, for each of its axes that may be the channels, and the axis.

    These are the first two axes, after axes of length 1.
    """
    first = 0
    while used.ndim - first > 2 and used.shape[first] == 1 != len(states.effective):
        first += 1
    for axis in (first, first + 1) if used.ndim > 1 else ():
        if used.shape[axis] == len(states.effective):
            yield axis, used.movedim(axis, 0).reshape(states.effective.shape).to(states.effective.device)


def _compared(used: torch.Tensor, states: States, one_size: bool, axis: int) -> tuple[Comparison, float]:
    """The comparison with the rows of a product's operand, and their resemblance to the layer's weights."""
    values = used.double()
    if states.levels is not None:
        unit = max(torch.finfo(used.dtype).eps if used.is_floating_point() else 0.0, states.unit)
        return _judged(values, states.levels.wrong(values, unit) & ~states.near, states, axis)
    unlike = (values < 0) != (states.effective < 0)
    # The scale of a channel may be negative or 0.
    turned = (unlike & ~states.near).sum(1, keepdim=True) == (~states.near).sum(1, keepdim=True)
    none = (values == 0).all(dim=1, keepdim=True)
    wrong = (unlike ^ turned) | (values == 0)
    if one_size:
        wrong |= _of_another_size(used, values, states)
    return _judged(values, wrong & ~states.near & ~none, states, axis)


def _judged(values: torch.Tensor, wrong: torch.Tensor, states: States, axis: int) -> tuple[Comparison, float]:
    """The comparison with a used weight, of which a mask marks those in another state, and their resemblance."""
    share = float(wrong.double().mean())
    looks = _looks(values, states.latent) if share else ""
    return Comparison(share, looks, torch.equal(values, states.latent), axis), _resemblance(values, states)


def _of_another_size(used: torch.Tensor, values: torch.Tensor, states: States) -> torch.Tensor:
    """Mask of the weights whose size differs from that of their channel by more than rounding."""
    rounding = max(4.0 * torch.finfo(used.dtype).eps if used.is_floating_point() else 0.0, 4.0 * states.unit)
    sizes = values.abs()
    usual = sizes.masked_fill(states.near | (values == 0), torch.nan).nanmedian(dim=1, keepdim=True).values
    return (sizes - usual).abs() > max(ONE_SIZE, rounding) * usual + rounding * states.latent.abs()


def _resemblance(values: torch.Tensor, states: States) -> float:
    """The largest abs(cosine) between an operand and the layer's effective, latent or centered weights."""
    centered = states.latent - states.latent.mean(dim=1, keepdim=True)
    candidates = [torch.nan_to_num(each).flatten() for each in (states.effective, states.latent, centered)]
    return max(
        float(torch.cosine_similarity(torch.nan_to_num(values).flatten(), each, dim=0).abs()) for each in candidates
    )


def _looks(values: torch.Tensor, latent: torch.Tensor) -> str:
    """Description of a used weight: its number of values per channel, and the source of its signs."""
    most = values[:MOST_CHANNELS].abs().amax(dim=1, keepdim=True).clamp(min=torch.finfo(torch.float64).tiny)
    scaled = (values[:MOST_CHANNELS] / most * 1e4).round()
    counts = max(len(row.unique()) for row in scaled)
    if counts > MOST_VALUES or FEW < counts == scaled.shape[1]:
        return "is real"
    has_zero = bool((scaled == 0).any())
    words = {1: "one value", 2: "two values", 3: "three values"}
    text = f"has {words.get(counts, f'{counts} values')} per channel" + (", one of them zero" if has_zero else "")
    return text + _signs_text(values, latent)


def _signs_text(values: torch.Tensor, latent: torch.Tensor) -> str:
    """Text about the source of the signs: the latent weights, plain or centered; empty if neither fits."""
    candidates = {
        "the latent weights": latent,
        "the latent weights minus the mean of their channel": latent - latent.mean(dim=1, keepdim=True),
        "the latent weights minus the mean of the layer": latent - latent.mean(),
    }
    for text, centered in candidates.items():
        if bool((((values < 0) == (centered < 0)) | (values == 0)).all()):
            return f", and the signs of {text}"
    return ""
