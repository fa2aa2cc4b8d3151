"""What run.json says of a run, and the header of a window of each layer; their translation to and from JSON."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self, TypeVar

from recu_analysis.errors import DamagedError, InputError
from recu_analysis.store import format1
from recu_analysis.store.format import FORMAT_VERSION, MAX_WHOLE
from recu_analysis.store.quantities import LAYER_NUMBERS, MOST_ROWS, QUANTITIES, TABLE, Quantity, rows_of
from recu_analysis.store.sealing import finite, load_json, sealed, unsealed
from recu_analysis.theory.standardize import WeightTransform

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import ArrayLike, NDArray

T = TypeVar("T")

#: What a layer's states are in a run of binary weights.
SIGNS = {"kind": "sign", "levels": [-1, 1]}


@dataclass(frozen=True, slots=True)
class LayerSpec:
    """What run.json says of one layer.

    Attributes
    ----------
    name : str
        The module's name in the model.
    shape : tuple of int
        Shape of the latent weight; the first axis is the output channel.
    dtype : str
        numpy's name of the dtype in which the latent weight is stored, float32 or float64.
    adapter : str
        What recognised the layer.
    transform : WeightTransform or None
        What the layer does to its weights before their sign; None where no transform says it.
    verified : bool or None
        Whether the layer's own forward pass was seen to use the states that are recorded; None where that is not said.
    differs : float
        Fraction of the weights that have another state there, where the adapter calls itself approximate.
    in_place : bool
        Whether the layer, or the code that trains it, is known to change the weights outside updates.
    more : dict
        Fields of run.json that this version does not use, which a copy keeps.
    z : str
        Of which weights z and zpath are: effective, or latent where the effective ones tell no more than signs. Empty
        in runs without transform that were recorded before they said so: their zpath is of latent weights.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    adapter: str
    transform: WeightTransform | None
    verified: bool | None = field(default=None, compare=False)
    differs: float = field(default=0.0, compare=False)
    in_place: bool = field(default=False, compare=False)
    more: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)
    z: str = field(default="effective", compare=False)

    @property
    def knows_z(self) -> bool:
        """Whether it says of which weights zpath is."""
        return self.z in {"effective", "latent"}

    @property
    def shape_and_weights(self) -> tuple[str, int]:
        """The shape as tables have it, such as 16x3x3x3, and the number of weights."""
        return "x".join(map(str, self.shape)), self.weights

    @property
    def weights(self) -> int:
        """Number of latent weights."""
        return math.prod(self.shape)

    @property
    def center(self) -> bool:
        """Whether the effective weight is the latent one less its channel's mean."""
        return self.transform is not None and self.transform.center

    def signs(self, weight: ArrayLike) -> NDArray[np.bool_]:
        """Effective signs, True for +1, of what a record calls its operand: the latent or the effective weights."""
        return (self.transform or WeightTransform()).signs(weight)

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON has them."""
        return {
            **self.more,
            "name": self.name,
            "shape": list(self.shape),
            "dtype": self.dtype,
            "adapter": self.adapter,
            "quantizer": SIGNS,
            "transform": None if self.transform is None else self.transform.to_dict(),
            "verified": self.verified,
            "differs": self.differs,
            "in_place": self.in_place,
            **({"z": self.z} if self.transform is None and self.z else {}),
        }

    @classmethod
    def from_dict(cls, entry: Mapping[str, Any], where: str) -> Self:
        """The specification that `to_dict` described; DamagedError if it is none."""
        try:
            fields = dict(entry)
            shape, transform = tuple(fields.pop("shape")), fields.pop("transform")
            name, quantizer = of_type(fields.pop("name"), str), fields.pop("quantizer", SIGNS)
            name.encode()
            spec = cls(
                name=name,
                shape=tuple(of_type(size, int) for size in shape),
                dtype=of_type(fields.pop("dtype"), str),
                adapter=of_type(fields.pop("adapter"), str),
                transform=None if transform is None else WeightTransform.from_dict(of_type(transform, dict)),
                verified=None if (verified := fields.pop("verified", None)) is None else of_type(verified, bool),
                differs=_number(fields.pop("differs", 0.0)),
                z=of_type(fields.pop("z", ""), str) if transform is None else "effective",
                in_place=of_type(fields.pop("in_place", False), bool),
                more=fields,
            )
        except (KeyError, TypeError, ValueError, OverflowError, InputError) as error:
            raise DamagedError(f"{where} describes a layer in a way that cannot be read: {error}") from None
        if spec.dtype not in {"float32", "float64"} or not shape or min(shape) < 1:
            raise DamagedError(f"{where} gives layer {spec.name!r} the shape {shape} and dtype {spec.dtype!r:.40}")
        if quantizer != SIGNS:
            raise DamagedError(
                f"{where} has layer {spec.name!r:.80} with the quantizer {quantizer!r:.80}; this version of "
                "recu-analysis reads signs"
            )
        return spec


@dataclass(frozen=True, slots=True)
class RunHeader:
    """The content of run.json: written once, when the run begins.

    Attributes
    ----------
    run_id : str
    layers : tuple of LayerSpec
    configuration : dict
        What the training was told.
    environment : dict
        Versions, machine, and what trained: the classes of the model and of the optimizers, with their settings.
    quantities : dict of str to Quantity
        The rows of the table that windows of the run may have, by name.
    version : int
        Of the format that was read.
    more : dict
        Fields of run.json that this version does not know, which a copy keeps.
    """

    run_id: str
    layers: tuple[LayerSpec, ...] = field(repr=False)
    configuration: dict[str, Any] = field(repr=False)
    environment: dict[str, Any] = field(repr=False)
    quantities: dict[str, Quantity] = field(default_factory=lambda: rows_of(QUANTITIES), repr=False)
    version: int = FORMAT_VERSION
    more: dict[str, Any] = field(default_factory=dict, repr=False)

    def to_json(self) -> str:
        """The text of run.json, sealed, indented for people; of the format that is written."""
        content = {
            **self.more,
            "format": FORMAT_VERSION,
            "run_id": self.run_id,
            "layers": [layer.to_dict() for layer in self.layers],
            "quantities": [quantity.to_dict() for quantity in self.quantities.values()],
            "configuration": self.configuration,
            "environment": self.environment,
        }
        return json.dumps(sealed(finite(content)), indent=2, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes, where: str) -> Self:
        """The header in the text of run.json; DamagedError if it is none or of a newer version."""
        version = load_json(text, where).get("format")
        if type(version) is not int or version not in {1, FORMAT_VERSION}:
            raise DamagedError(
                f"{where} has format {version!r:.40}; this version of recu-analysis reads 1 and {FORMAT_VERSION}"
            )
        try:
            content = format1.run_header(load_json(text, where)) if version == 1 else unsealed(text, where)
            layers = tuple(LayerSpec.from_dict(entry, where) for entry in of_type(content.pop("layers"), list))
            rows = [Quantity.from_dict(of_type(entry, dict)) for entry in of_type(content.pop("quantities"), list)]
            for name in ("format", "seal"):  # format 1 had no seal, and readers of format 2 would take it for theirs
                content.pop(name, None)
            header = cls(
                run_id=of_type(content.pop("run_id"), str),
                layers=layers,
                configuration=of_type(content.pop("configuration"), dict),
                environment=of_type(content.pop("environment"), dict),
                quantities={row.name: row for row in rows},
                version=version,
                more=content,
            )
        except (KeyError, TypeError, AttributeError, InputError) as error:
            raise DamagedError(f"{where} is not what was written there: {error}") from None
        if not layers or len({layer.name for layer in layers}) != len(layers):
            raise DamagedError(f"{where} names {'a layer twice' if layers else 'no layer'}")
        if len(rows) > MOST_ROWS or len(header.quantities) != len(rows):
            raise DamagedError(
                f"{where} names {'too many quantities' if len(rows) > MOST_ROWS else 'a quantity twice'}"
            )
        missing = [name for name, row in TABLE.items() if row.kept == "always" and name not in header.quantities]
        if missing:
            raise DamagedError(f"{where} is not what was written there: its windows have no {missing[0]}")
        return header


@dataclass(frozen=True, slots=True)
class LayerWindow:
    """What happened to a whole layer in one window, or in several that follow on each other.

    Attributes
    ----------
    first_update : int
        Number of the first update, counted by the layer's own optimizer.
    updates : int
        Updates in the window.
    lr : float
        Sum of the learning rate over the updates.
    lr_decay : float
        Sum of learning rate times weight decay.
    decay_time : float
        Sum of learning rate times weight decay / (1 - momentum): this window's share of T.
    tau : float or None
        The layer's quantile level at the window's end; None where it has none.
    more : dict
        Numbers that only some runs have, by their names in `store.quantities`, and what this version does not know.
    """

    first_update: int
    updates: int
    lr: float
    lr_decay: float
    decay_time: float
    tau: float | None
    more: dict[str, Any] = field(default_factory=dict)

    @property
    def next_update(self) -> int:
        """Number of the update after the window."""
        return self.first_update + self.updates

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON has them."""
        return {**self.more, **{name: getattr(self, name) for name in LAYER_NUMBERS}}

    @classmethod
    def from_dict(cls, entry: Mapping[str, Any], quantities: Mapping[str, Quantity] = TABLE) -> Self:
        """The fields as JSON has them, null for a sum that is not finite; KeyError or TypeError if they are others."""
        rows = {**quantities, **TABLE}
        content = {name: _layer_value(rows.get(name), value) for name, value in entry.items()}
        sums = ("lr", "lr_decay", "decay_time")
        known: dict[str, Any] = {
            name: math.nan if name in sums and content[name] is None else content[name] for name in LAYER_NUMBERS
        }
        return cls(**known, more={name: value for name, value in content.items() if name not in known})

    @classmethod
    def merged(cls, windows: Sequence[LayerWindow], quantities: Mapping[str, Quantity]) -> Self:
        """That of windows that follow on each other, every field by its rule; InputError for one without a rule.

        What several windows agree on may still be a sum of each, so nothing is taken over without a rule.
        """
        content = {name: TABLE[name].merged([getattr(each, name) for each in windows]) for name in LAYER_NUMBERS}
        more: dict[str, Any] = {}
        for name in dict.fromkeys(name for each in windows for name in each.more):
            values = [each.more.get(name) for each in windows]
            row = quantities.get(name, TABLE.get(name))
            if windows[1:] and (row is None or not row.mergeable):
                raise InputError(f"this version of recu-analysis does not know how {name!r:.60} of windows merges")
            whole = values[0] if row is None or not row.mergeable else row.merged(values)
            more |= {} if whole is None else {name: whole}
        return cls(**content, more=more)


def _layer_value(row: Quantity | None, value: Any) -> Any:
    """A number of a layer of the type that its row says; TypeError if it is another."""
    if row is None or row.of != "layer":
        return value
    match row.dtype:
        case "int":
            if of_type(value, int) < 0 and row.merge == "count":
                raise TypeError(f"{value} {row.name} are fewer than none")
            return value
        case "number":
            return None if value is None else _number(value)
        case "bool":
            return of_type(value, bool)
        case "list":
            return [of_type(each, int) for each in of_type(value, list)]
    rows = [[_number(each) for each in of_type(line, list)] for line in of_type(value, list)]
    if not rows or any(len(line) != len(rows) for line in rows):
        raise TypeError(f"{value!r:.60} is not a square matrix")
    return rows


def of_type(value: Any, kind: type[T]) -> T:
    """A value from elsewhere; TypeError if it is of another type, or a whole number that is never written."""
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise TypeError(f"{value!r:.60} is not of type {kind.__name__}")
    if isinstance(value, int) and abs(value) > MAX_WHOLE:
        raise TypeError("a whole number is larger than any that is written there")
    return value


def _number(value: Any) -> float:
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise TypeError(f"{value!r:.60} is not a number")
    if isinstance(value, int) and abs(value) > MAX_WHOLE:
        raise TypeError("a whole number is larger than any that is written there")
    return value
