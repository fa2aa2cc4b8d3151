"""The weight that reaches a layer's convolution or product, and how it compares with the states that are recorded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch.overrides import TorchFunctionMode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from recu_analysis.capture.adapters import BinaryLayer

#: Products by the names of torch's functions, whatever module they are called from; in those of the first set the
#: second operand is the weight, in the others it may be any.
WEIGHTED = frozenset({"linear", "bilinear", "convolution", "_convolution"}) | {
    f"conv{kind}{axes}d" for kind in ("", "_transpose") for axes in (1, 2, 3)
}
PLAIN = frozenset(
    {"matmul", "__matmul__", "__rmatmul__", "mm", "bmm", "mv", "addmm", "addmv", "addbmm", "baddbmm", "einsum"}
) | {"tensordot", "chain_matmul", "multi_dot"}

#: A sign may be decided by rounding where abs(effective weight) is below so many units of rounding of the mean size.
ROUNDINGS = 16.0
#: Sizes of a channel's weights that differ by no more than this share are one: a straight-through estimator that adds
#: and subtracts the latent weight leaves its rounding.
ONE_SIZE = 0.01
#: Values that a description counts before it says that the weight is real, and channels that it looks at.
MOST_VALUES, MOST_CHANNELS = 16, 64
#: In channels of so few weights each may have a value of its own by chance.
FEW = 4


class Products(TorchFunctionMode):
    """While it is entered, shows every operand of a product that may be a weight of so many numbers."""

    def __init__(self, numbers: int, show: Callable[[torch.Tensor], None]) -> None:
        super().__init__()
        self._numbers, self._show = numbers, show

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call the function as it would be called, after its operands were shown."""
        name = getattr(func, "__name__", "").partition(".")[0]
        if name in WEIGHTED or name in PLAIN:
            for operand in _operands(name, args, kwargs or {}):
                if operand.numel() == self._numbers and _has_values(operand):
                    self._show(operand.detach())
        return func(*args, **(kwargs or {}))


def _operands(name: str, args: Any, kwargs: dict[str, Any]) -> Iterator[torch.Tensor]:
    if name in WEIGHTED:
        given = [kwargs["weight"]] if "weight" in kwargs else list(args[1:2])
    else:
        given = [part for each in (*args, *kwargs.values()) for part in (each if isinstance(each, list) else [each])]
    yield from (each for each in given if isinstance(each, torch.Tensor))


def _has_values(operand: torch.Tensor) -> bool:
    """Whether it is an ordinary tensor, whose numbers can be read now."""
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
    """What the recording takes for the states of a layer's weights, one row a channel.

    Attributes
    ----------
    negative : Tensor of bool
        Whether the state is -1.
    near : Tensor of bool
        Whether the effective weight is so near 0 that rounding decides its sign, or not finite.
    unit : float
        The rounding of the latent weights' dtype.
    """

    negative: torch.Tensor
    near: torch.Tensor
    unit: float

    @classmethod
    def of(cls, layer: BinaryLayer) -> States:
        """Those of a layer now."""
        latent = layer.weight.detach()
        unit = torch.finfo(latent.dtype).eps
        size = latent.reshape(len(latent), -1).double().abs().mean(dim=1, keepdim=True)
        effective = _effective(layer, latent).reshape(len(latent), -1)
        if layer.effective is not None:  # it may be in another unit than the latent weights
            size = effective.abs().mean(dim=1, keepdim=True)
        near = ~(effective.abs() > ROUNDINGS * unit * size)
        return cls(effective < 0, near, unit)


def _effective(layer: BinaryLayer, latent: torch.Tensor) -> torch.Tensor:
    if layer.effective is not None:
        with torch.no_grad():
            return layer.effective().to(device=latent.device, dtype=torch.float64)
    rows = latent.reshape(len(latent), -1).double()
    centred = layer.transform is not None and layer.transform.centre
    return rows - rows.mean(dim=1, keepdim=True) if centred else rows


@dataclass(frozen=True, slots=True)
class Comparison:
    """A weight that a product used, against the states that are recorded.

    Attributes
    ----------
    share : float
        Fraction of the weights that have another state in the product: another sign, zero, or another size than the
        others of their channel.
    looks : str
        What the used weight looks like, for people; empty where nothing differs.
    latent : bool
        Whether the product used the latent weights themselves.
    """

    share: float
    looks: str = ""
    latent: bool = False


def compare(used: torch.Tensor, layer: BinaryLayer, states: States, *, one_size: bool) -> Comparison:
    """The better comparison of a product's operand: as it is, or transposed."""
    rows = [used.reshape(states.negative.shape)] if len(used) == len(states.negative) or used.ndim != 2 else []
    if used.ndim == 2 and used.shape[1] == len(states.negative):
        rows.append(used.T.reshape(states.negative.shape))
    if not rows:
        rows = [used.reshape(states.negative.shape)]
    return min((_compared(each.to(states.negative.device), layer, states, one_size) for each in rows), key=_share)


def _share(comparison: Comparison) -> float:
    return comparison.share


def _compared(used: torch.Tensor, layer: BinaryLayer, states: States, one_size: bool) -> Comparison:
    values = used.double()
    wrong = ((values < 0) != states.negative) | (values == 0)
    sizes = values.abs()
    if one_size:
        known = ~states.near & (values != 0)
        tolerance = max(ONE_SIZE, 4 * torch.finfo(used.dtype).eps if used.is_floating_point() else 0.0, 4 * states.unit)
        usual = sizes.masked_fill(~known, torch.nan).nanmedian(dim=1, keepdim=True).values
        wrong |= (sizes - usual).abs() > tolerance * usual
    wrong &= ~states.near
    share = float(wrong.double().mean())
    latent = bool((values == layer.weight.detach().reshape(values.shape).to(values)).all())
    return Comparison(share, _looks(values, layer) if share else "", latent)


def _looks(values: torch.Tensor, layer: BinaryLayer) -> str:
    """How many values a used weight has in a channel, and of what its signs are."""
    most = values[:MOST_CHANNELS].abs().amax(dim=1, keepdim=True).clamp(min=torch.finfo(torch.float64).tiny)
    scaled = (values[:MOST_CHANNELS] / most * 1e4).round()
    counts = max(len(row.unique()) for row in scaled)
    if counts > MOST_VALUES or FEW < counts == scaled.shape[1]:
        return "is real"
    has_zero = bool((scaled == 0).any())
    words = {1: "one value", 2: "two values", 3: "three values"}
    text = f"has {words.get(counts, f'{counts} values')} a channel" + (", zero among them" if has_zero else "")
    return text + _signs_text(values, layer)


def _signs_text(values: torch.Tensor, layer: BinaryLayer) -> str:
    """Whether the signs are those of the weights as they are, or centred; nothing where they are neither."""
    rows = layer.weight.detach().reshape(values.shape).double().to(values.device)
    candidates = {
        "the latent weights": rows,
        "the latent weights less their channel's mean": rows - rows.mean(dim=1, keepdim=True),
        "the latent weights less the layer's mean": rows - rows.mean(),
    }
    for text, centred in candidates.items():
        if bool((((values < 0) == (centred < 0)) | (values == 0)).all()):
            return f", and the signs of {text}"
    return ""
