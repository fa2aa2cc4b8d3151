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
WEIGHTED = frozenset({"linear", "convolution", "_convolution"}) | {
    f"conv{kind}{axes}d" for kind in ("", "_transpose") for axes in (1, 2, 3)
}
PLAIN = frozenset(
    {"matmul", "__matmul__", "__rmatmul__", "mm", "bmm", "mv", "addmm", "addmv", "addbmm", "baddbmm", "einsum"}
) | {"tensordot", "chain_matmul", "multi_dot", "bilinear"}

#: The rounding of float32.
SINGLE = torch.finfo(torch.float32).eps
#: A sign may be decided by rounding where abs(effective weight) is below so many units of float32 of the mean size.
ROUNDINGS = 16.0
#: Sizes of a channel's weights that differ by no more than this share are one: a straight-through estimator that adds
#: and subtracts the latent weight leaves its rounding.
ONE_SIZE = 0.01
#: Share of the weights whose state must be beyond doubt for a verdict.
ENOUGH = 0.5
#: Least abs(cosine) of an operand and a layer's weights from which it is taken to be made of them; ternary weights have
#: about 0.8, operands that only have as many numbers about 0.
RESEMBLES = 0.3
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
        if torch.compiler.is_compiling():
            return func(*args, **(kwargs or {}))
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
    effective, latent : Tensor of float64
        The state is -1 where the effective weight is negative.
    near : Tensor of bool
        Whether the effective weight is so near 0 that rounding decides its sign, or not finite.
    unit : float
        The rounding of the latent weights' dtype.
    """

    effective: torch.Tensor
    latent: torch.Tensor
    near: torch.Tensor
    unit: float

    @classmethod
    def of(cls, layer: BinaryLayer) -> States:
        """Those of a layer now."""
        weight = layer.weight.detach()
        unit = torch.finfo(weight.dtype).eps
        latent = weight.reshape(len(weight), -1).double()
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
        """Whether the states of enough weights are beyond doubt."""
        return bool((~self.near).double().mean() >= ENOUGH)


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


def compare(used: torch.Tensor, states: States, *, one_size: bool) -> Comparison | None:
    """The best comparison of a product's operand, as it is or transposed; None where it is not the layer's weight.

    An operand is only said to differ where it is made of the layer's weights, in their order.
    """
    if not states.enough:
        return None
    found = [_compared(rows, states, one_size) for rows in _as_rows(used, states)]
    best = min(found, key=lambda pair: pair[0].share, default=None)
    return None if best is None or (best[0].share and best[1] < RESEMBLES) else best[0]


def _as_rows(used: torch.Tensor, states: States) -> Iterator[torch.Tensor]:
    """An operand with one row an output channel, whichever of its first two axes that is."""
    while used.ndim > 2 and used.shape[0] == 1 != len(states.effective):
        used = used[0]
    for each in (used, used.transpose(0, 1)) if used.ndim > 1 else ():
        if len(each) == len(states.effective):
            yield each.reshape(states.effective.shape).to(states.effective.device)


def _compared(used: torch.Tensor, states: States, one_size: bool) -> tuple[Comparison, float]:
    """The comparison with rows of a product's operand, and how much these resemble the layer's weights."""
    values = used.double()
    unlike = (values < 0) != (states.effective < 0)
    # A channel may have a scale that is negative, or 0.
    turned = (unlike & ~states.near).sum(1, keepdim=True) == (~states.near).sum(1, keepdim=True)
    none = (values == 0).all(dim=1, keepdim=True)
    wrong = (unlike ^ turned) | (values == 0)
    if one_size:
        wrong |= _of_another_size(used, values, states)
    wrong &= ~states.near & ~none
    share = float(wrong.double().mean())
    looks = _looks(values, states.latent) if share else ""
    return Comparison(share, looks, torch.equal(values, states.latent)), _resemblance(values, states)


def _of_another_size(used: torch.Tensor, values: torch.Tensor, states: States) -> torch.Tensor:
    """Which weights of a channel are larger or smaller than its others, by more than rounding leaves."""
    rounding = max(4.0 * torch.finfo(used.dtype).eps if used.is_floating_point() else 0.0, 4.0 * states.unit)
    sizes = values.abs()
    usual = sizes.masked_fill(states.near | (values == 0), torch.nan).nanmedian(dim=1, keepdim=True).values
    return (sizes - usual).abs() > max(ONE_SIZE, rounding) * usual + rounding * states.latent.abs()


def _resemblance(values: torch.Tensor, states: States) -> float:
    """The largest abs(cosine) of an operand and the layer's weights, effective, latent or centred."""
    centered = states.latent - states.latent.mean(dim=1, keepdim=True)
    candidates = [torch.nan_to_num(each).flatten() for each in (states.effective, states.latent, centered)]
    return max(
        float(torch.cosine_similarity(torch.nan_to_num(values).flatten(), each, dim=0).abs()) for each in candidates
    )


def _looks(values: torch.Tensor, latent: torch.Tensor) -> str:
    """How many values a used weight has in a channel, and of what its signs are."""
    most = values[:MOST_CHANNELS].abs().amax(dim=1, keepdim=True).clamp(min=torch.finfo(torch.float64).tiny)
    scaled = (values[:MOST_CHANNELS] / most * 1e4).round()
    counts = max(len(row.unique()) for row in scaled)
    if counts > MOST_VALUES or FEW < counts == scaled.shape[1]:
        return "is real"
    has_zero = bool((scaled == 0).any())
    words = {1: "one value", 2: "two values", 3: "three values"}
    text = f"has {words.get(counts, f'{counts} values')} a channel" + (", zero among them" if has_zero else "")
    return text + _signs_text(values, latent)


def _signs_text(values: torch.Tensor, latent: torch.Tensor) -> str:
    """Whether the signs are those of the weights as they are, or centred; nothing where they are neither."""
    candidates = {
        "the latent weights": latent,
        "the latent weights less their channel's mean": latent - latent.mean(dim=1, keepdim=True),
        "the latent weights less the layer's mean": latent - latent.mean(),
    }
    for text, centered in candidates.items():
        if bool((((values < 0) == (centered < 0)) | (values == 0)).all()):
            return f", and the signs of {text}"
    return ""
