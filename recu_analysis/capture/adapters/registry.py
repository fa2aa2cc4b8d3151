"""The registry of adapters: what says of a module, or of its saved tensors, what the sign is taken of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import torch

from recu_analysis.capture.adapters.modules import undisturbed
from recu_analysis.errors import InputError, unknown
from recu_analysis.theory.standardize import WeightTransform

#: What an adapter's function says: a transform, the effective weight itself, or that the module is another one's.
Meaning = WeightTransform | torch.Tensor | None
Function = TypeVar("Function", bound=Callable[[Any], Meaning])

#: Over what the used weights of a layer have one size each.
SCALES = ("channel", "element")
#: Fewer weights can hold two values by chance.
FEWEST = 8


@dataclass(frozen=True, slots=True)
class Adapter:
    """What is known of one kind of binary layer.

    Attributes
    ----------
    name : str
    classes : tuple of str or type
        The kinds of modules it may be; a name stands for every class of that name.
    function : callable
        See `adapter`.
    weight : str
        Path of the latent parameter from the module, such as weight or conv.weight.
    shape : str or None
        Attribute that holds the shape of the latent weight, first axis the output channel, where the parameter's
        own does not say it.
    fingerprint : bool
        Whether the function knows its layers by their tensors alone, without the class: then it serves checkpoints.
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
        """The first line of the function's docstring, for people."""
        return (self.function.__doc__ or f"adapter {self.name}").strip().splitlines()[0].rstrip(".")

    @property
    def owner(self) -> str:
        """Path from the module to the one that holds the latent parameter."""
        return self.weight.rpartition(".")[0]

    def reason(self, kind: str) -> str:
        """Why a module of that class is taken; a docstring that begins with "Of" goes on where the class ends."""
        return f"{kind} o{self.why[1:]}" if self.why.startswith("Of ") else f"{kind}: {self.why}"

    def fits(self, module: object) -> bool:
        """Whether the module's class, or one that it was derived from, is one of the adapter's."""
        kinds = type(module).__mro__
        return any(kind in kinds or kind in {each.__name__ for each in kinds} for kind in self.classes)

    def meaning(self, source: Any) -> Meaning:
        """What the function says of a module or of a namespace of saved tensors.

        Raises
        ------
        InputError
            If the layer is recognised but cannot be taken, or the function fails or returns something else.
        """
        try:
            with torch.no_grad(), undisturbed(source):
                value = self.function(source)
        except InputError:
            raise
        except Exception as error:
            if isinstance(error, AttributeError) and not isinstance(source, torch.nn.Module):
                return None  # it looked for something that is not among the saved tensors
            raise InputError(f"adapter {self.name!r} fails on it with {type(error).__name__}: {error}") from error
        if value is None or isinstance(value, (WeightTransform, torch.Tensor)):
            return value
        raise InputError(
            f"adapter {self.name!r} must return a WeightTransform, the effective weight as a tensor, or None, not "
            f"{type(value).__name__}"
        )

    def shape_in(self, source: Any, latent: torch.Tensor, value: Meaning) -> tuple[int, ...]:
        """Shape of the latent weight with the output channel first.

        Raises
        ------
        InputError
            If the effective weight has not as many entries as the latent one.
        """
        if isinstance(value, torch.Tensor) and value.numel() != latent.numel():
            raise InputError(
                f"adapter {self.name!r} gives an effective weight of {value.numel()} numbers for {latent.numel()} "
                "latent weights"
            )
        if (
            isinstance(value, torch.Tensor)
            and not self.shape
            and not _in_order(tuple(value.shape), tuple(latent.shape))
        ):
            raise InputError(
                f"adapter {self.name!r} gives an effective weight of shape {'x'.join(map(str, value.shape))} for a "
                f"parameter of shape {'x'.join(map(str, latent.shape))}; its entries must be in the parameter's order"
            )
        shape = getattr(source, self.shape) if self.shape else value.shape if isinstance(value, torch.Tensor) else ()
        shape = tuple(shape) or tuple(latent.shape)
        if torch.Size(shape).numel() != latent.numel():
            raise InputError(
                f"adapter {self.name!r} gives {latent.numel()} latent weights the shape {'x'.join(map(str, shape))}"
            )
        return shape


_registered: list[Adapter] = []


def registered() -> tuple[Adapter, ...]:
    """The adapters in the order in which they are asked: what was registered last comes first."""
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
    """Say what a kind of binary layer does to its latent weights before their sign; a decorator.

    Parameters
    ----------
    name : str
        What tables call the adapter; one of the same name is replaced.
    *classes : type or str
        The layer's class, or its name where it cannot be imported. Derived classes count too.
    weight : str
        Path of the latent parameter from the module.
    shape : str, optional
        Attribute with the shape of the latent weight, (C_out, ...), where the parameter's own does not say it.
    fingerprint : bool
        Whether the function knows the layer by its tensors alone; then checkpoints are recognised by it too. Instead
        of a module it gets an object with the saved tensors of the layer as attributes.
    approximate : bool
        Whether the forward pass may use other states than the sign of what the function says, or soft ones for a
        while. What differs is then recorded and told, and is no error.
    in_place : bool
        Whether the layer, or the code that trains it, changes the latent parameter outside the optimizer's updates, as
        by a clamp or by signs that it puts there for the forward pass. Such movement is recorded without a warning.
    scale : {"channel", "element"}
        Whether the used weights of a channel have one size, or each a size of its own.

    Returns
    -------
    callable
        Takes a function of the module. It returns a WeightTransform where one says the effective weight (recording
        is then fastest), else the effective weight as a tensor of shape (C_out, ...), which is asked for after every
        update; or None if the module is another kind of layer of the same name. An InputError that it raises
        refuses the layer, its text the reason. The first line of its docstring is shown as why.

    Raises
    ------
    InputError
        If no class is given, or another scale.

    Examples
    --------
    >>> @adapter("shifted", "ShiftedConv2d")
    ... def shifted(module):
    ...     "sign of the weight less a learned offset"
    ...     return module.weight - module.offset
    """
    if not classes and not fingerprint:
        raise InputError(f"adapter {name!r} names no class of layers; write @adapter({name!r}, MyBinaryConv2d)")
    if scale not in SCALES:
        raise unknown("scale", scale, SCALES)

    def register(function: Function) -> Function:
        new = Adapter(name, classes, function, weight, shape, fingerprint, approximate, in_place, scale)
        _registered[:] = [new, *(each for each in _registered if (each.name, each.weight) != (name, weight))]
        return function

    return register


def refuse_unusable(latent: torch.Tensor, shape: tuple[int, ...]) -> None:
    """InputError with the reason if a tensor holds no latent weights: packed, not there yet, or already binarised."""
    if not latent.is_floating_point():
        kind = str(latent.dtype).removeprefix("torch.")
        raise InputError(f"its weight is packed as {kind}: no latent weights are left in it")
    if torch.nn.parameter.is_lazy(latent):
        raise InputError("its weight has no shape yet; pass one batch through the model first")
    if latent.layout == torch.strided and two_valued(latent.detach().reshape(shape[0], -1)):
        if isinstance(getattr(latent, "org", None), torch.Tensor):
            raise InputError(
                "its weight holds the signs of the last forward pass, and the latent ones wait in weight.org; put them "
                "back with weight.data.copy_(weight.org), as before each step of the optimizer, and record then"
            )
        raise InputError(
            "its weight holds only two values a channel: it was already binarised, and no latent weights are left"
        )


def scored(meaning: Meaning) -> str:
    """Of which weights z is: latent ones where an explicit effective weight is nothing but signs (`LayerSpec.z`)."""
    signs = isinstance(meaning, torch.Tensor) and two_valued(meaning.detach().reshape(len(meaning), -1))
    return "latent" if signs else "effective"


def _in_order(shape: tuple[int, ...], latent: tuple[int, ...]) -> bool:
    """Whether a weight of one shape may be a view of a parameter of another: transposed ones are none."""
    flat = max(latent, default=1) == torch.Size(latent).numel()
    return flat or shape[:1] == latent[:1]


def two_valued(rows: torch.Tensor) -> bool:
    """Whether every channel holds -a and +a only, or the whole matrix only two numbers."""
    if rows.numel() < FEWEST or rows.shape[1] < 2 or rows.is_meta:
        return False
    size = rows.abs()
    low, high = rows.min(), rows.max()
    one_size = (size == size[:, :1]).all() & (size != 0).all() & (low < 0) & (high > 0)
    return bool(one_size | (((rows == low) | (rows == high)).all() & (low < high)))
