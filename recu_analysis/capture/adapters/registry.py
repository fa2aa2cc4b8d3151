"""The registry of adapters, which tell the effective weight of a module or of its saved tensors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import torch

from recu_analysis.capture.adapters.modules import undisturbed
from recu_analysis.capture.adapters.placement import held_values, local_part
from recu_analysis.errors import InputError, unknown
from recu_analysis.theory.levels import Quantizer
from recu_analysis.theory.standardize import WeightTransform

#: Result of an adapter's function: a transform, a quantizer with more than two levels, the effective weight, or None
#: for a module of another kind.
Meaning = WeightTransform | Quantizer | torch.Tensor | None
Function = TypeVar("Function", bound=Callable[[Any], Meaning])

#: Groups of used weights that have the same size: an output channel, or each weight alone.
SCALES = ("channel", "element")
#: Fewer weights than this may have two values by chance.
FEWEST = 8


@dataclass(frozen=True, slots=True)
class Adapter:
    """Description of one kind of binary layer.

    Attributes
    ----------
    name : str
    classes : tuple of str or type
        Classes of the layer; a name stands for every class with that name.
    function : callable
        See `adapter`.
    weight : str
        Path of the latent parameter from the module, such as weight or conv.weight.
    shape : str or None
        Attribute with the shape of the latent weight, (C_out, ...), if the parameter has another shape.
    fingerprint : bool
        Whether the function recognizes its layers by their tensors alone, without the class, as in checkpoints.
    approximate, in_place, scale
        See `adapter`.
    """

    name: str
    classes: tuple[str | type, ...]
    function: Callable[[Any], Meaning]
    weight: str = "weight"
    shape: str | None = None
    fingerprint: bool = False
    approximate: bool = False
    in_place: bool = False
    scale: str = "channel"

    @property
    def why(self) -> str:
        """The first line of the function's docstring, for tables and messages."""
        return (self.function.__doc__ or f"adapter {self.name}").strip().splitlines()[0].rstrip(".")

    @property
    def owner(self) -> str:
        """Path from the module to the submodule with the latent parameter."""
        return self.weight.rpartition(".")[0]

    def reason(self, kind: str) -> str:
        """Why a module of a class is binary; a docstring that begins with "Of" continues after the class name."""
        return f"{kind} o{self.why[1:]}" if self.why.startswith("Of ") else f"{kind}: {self.why}"

    def fits(self, module: object) -> bool:
        """Whether the class of the module or of its weight, or a base class, is one of the adapter's classes."""
        latent = getattr(module, "_parameters", {}).get(self.weight)
        kinds = (*type(module).__mro__, type(latent))
        return any(kind in kinds or kind in {each.__name__ for each in kinds} for kind in self.classes)

    def meaning(self, source: Any) -> Meaning:
        """The function's result for a module or for a namespace of saved tensors.

        Raises
        ------
        InputError
            If the layer is recognized but cannot be recorded, or the function fails or returns a wrong type.
        """
        try:
            with torch.no_grad(), undisturbed(source):
                value = self.function(source)
        except InputError:
            raise
        except Exception as error:
            if isinstance(error, AttributeError) and not isinstance(source, torch.nn.Module):
                return None  # the function needs an attribute that is not among the saved tensors
            raise InputError(f"adapter {self.name!r} fails with {type(error).__name__}: {error}") from error
        if isinstance(value, Quantizer) and value.binary:
            return WeightTransform()
        if isinstance(value, torch.Tensor) and not value.is_floating_point() and (value.abs() != 1).any():
            raise InputError(
                f"adapter {self.name!r} returns states other than -1 and +1; of weights with more than two levels, let "
                "it return a Quantizer, which tells their thresholds too"
            )
        if value is None or isinstance(value, (WeightTransform, Quantizer, torch.Tensor)):
            return value
        raise InputError(
            f"adapter {self.name!r} must return a WeightTransform, a Quantizer, the effective weight as a tensor, or "
            f"None, not {type(value).__name__}"
        )

    def shape_in(self, source: Any, latent: torch.Tensor, value: Meaning) -> tuple[int, ...]:
        """Shape of the latent weight, output channel first.

        Raises
        ------
        InputError
            If the effective weight does not fit the latent weight in size or in order.
        """
        if isinstance(value, torch.Tensor) and value.numel() != latent.numel():
            raise InputError(
                f"adapter {self.name!r} returns an effective weight of {value.numel()} numbers for {latent.numel()} "
                "latent weights; return one number per latent weight"
            )
        if (
            isinstance(value, torch.Tensor)
            and not self.shape
            and not _in_order(tuple(value.shape), tuple(latent.shape))
        ):
            raise InputError(
                f"adapter {self.name!r} returns an effective weight of shape {'x'.join(map(str, value.shape))} for a "
                f"parameter of shape {'x'.join(map(str, latent.shape))}; its entries must be in the parameter's order"
            )
        shape = getattr(source, self.shape) if self.shape else value.shape if isinstance(value, torch.Tensor) else ()
        shape = tuple(shape) or tuple(latent.shape)
        if torch.Size(shape).numel() != latent.numel():
            raise InputError(
                f"adapter {self.name!r} gives the shape {'x'.join(map(str, shape))} for {latent.numel()} latent "
                "weights, which does not fit"
            )
        return shape


_registered: list[Adapter] = []


def registered() -> tuple[Adapter, ...]:
    """The adapters in the order in which they are tried: the one registered last comes first."""
    return tuple(_registered)


def adapter(
    name: str,
    *classes: str | type,
    weight: str = "weight",
    shape: str | None = None,
    fingerprint: bool = False,
    approximate: bool = False,
    in_place: bool = False,
    scale: str = "channel",
) -> Callable[[Function], Function]:
    """Decorator that declares the effective weight of a kind of binary layer.

    The decorated function takes the module. It returns one of four values: a WeightTransform from latent to effective
    weights (the fastest to record); a Quantizer, for weights with more than two levels; the effective weight as a
    tensor of shape (C_out, ...), which is computed again after every update; or None for another kind of layer with the
    same class name. A quantizer whose rule is "given" has the module's present steps, and is asked for again after
    every update. If it raises InputError, the layer
    is refused with that message. The first line of its docstring is shown as the reason.

    Parameters
    ----------
    name : str
        Name of the adapter in tables; an earlier adapter with the same name is replaced.
    *classes : type or str
        Class of the layer, or its name if it cannot be imported. Derived classes are included. If the weight is a
        tensor subclass in an ordinary layer, the class of the weight.
    weight : str
        Path of the latent parameter from the module.
    shape : str, optional
        Attribute with the shape of the latent weight, (C_out, ...), if the parameter has another shape.
    fingerprint : bool
        Whether the function recognizes the layer by its tensors alone. It is then used for checkpoints too, and gets an
        object with the saved tensors of the layer as attributes instead of a module.
    approximate : bool
        Whether the forward pass may use other states than the signs of the effective weight, or soft weights for some
        time. The difference is then recorded and shown, and is not an error.
    in_place : bool
        Whether the layer, or its training code, changes the latent parameter outside the optimizer's updates, for
        example by a clamp, or by signs that replace it during the forward pass. Such movement is recorded without a
        warning.
    scale : {"channel", "element"}
        Whether the used weights of a channel have the same size, or each weight its own size.

    Returns
    -------
    callable
        The decorator.

    Raises
    ------
    InputError
        If no class is given, or `scale` is not known.

    Examples
    --------
    >>> @adapter("shifted", "ShiftedConv2d")
    ... def shifted(module):
    ...     "sign of the weight minus a learned offset"
    ...     return module.weight - module.offset
    """
    if not classes and not fingerprint:
        raise InputError(f"adapter {name!r} names no layer class; write @adapter({name!r}, MyBinaryConv2d)")
    if scale not in SCALES:
        raise unknown("scale", scale, SCALES)

    def register(function: Function) -> Function:
        new = Adapter(name, classes, function, weight, shape, fingerprint, approximate, in_place, scale)
        _registered[:] = [new, *(each for each in _registered if (each.name, each.weight) != (name, weight))]
        return function

    return register


def refuse_unusable(latent: torch.Tensor, shape: tuple[int, ...]) -> None:
    """Raise InputError if a tensor has no latent weights: packed, lazy, wrapped, or already binarized."""
    if not latent.is_floating_point():
        kind = str(latent.dtype).removeprefix("torch.")
        raise InputError(f"its weight is packed as {kind}, so it has no latent weights")
    if torch.nn.parameter.is_lazy(latent):
        raise InputError("its weight has no shape yet; pass one batch through the model first")
    if not latent.numel():
        raise InputError(f"its weight of shape {'x'.join(map(str, latent.shape))} is empty")
    held_values(latent)
    if latent.layout == torch.strided and _is_two_valued(latent.detach(), shape):
        if isinstance(getattr(latent, "org", None), torch.Tensor):
            raise InputError(
                "its weight holds the signs of the last forward pass, and the latent weights are in weight.org; "
                "restore them with weight.data.copy_(weight.org), as before each optimizer step, and then record"
            )
        raise InputError(
            "its weight has only two values per channel: it is already binarized and has no latent weights"
        )


def _is_two_valued(latent: torch.Tensor, shape: tuple[int, ...]) -> bool:
    """Whether a latent weight has only two values, as far as this process holds it."""
    held = local_part(latent)
    return two_valued(held_values(held).reshape(shape[0], -1) if held is latent else held.flatten(1))


def scored(meaning: Meaning) -> str:
    """The weights of which z is computed (`LayerSpec.z`): latent if an explicit effective weight is only signs."""
    signs = isinstance(meaning, torch.Tensor) and two_valued(meaning.detach().reshape(len(meaning), -1))
    return "latent" if signs else "effective"


def _in_order(shape: tuple[int, ...], latent: tuple[int, ...]) -> bool:
    """Whether an effective weight of one shape can have the parameter's order of entries; a transposed one cannot."""
    flat = max(latent, default=1) == torch.Size(latent).numel()
    return flat or shape[:1] == latent[:1]


def two_valued(rows: torch.Tensor) -> bool:
    """Whether every channel has only -a and +a, or the whole matrix only two values."""
    if rows.numel() < FEWEST or rows.shape[1] < 2 or rows.is_meta:
        return False
    size = rows.abs()
    low, high = rows.min(), rows.max()
    one_size = (size == size[:, :1]).all() & (size != 0).all() & (low < 0) & (high > 0)
    return bool(one_size | (((rows == low) | (rows == high)).all() & (low < high)))
