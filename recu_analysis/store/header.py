"""The content of run.json and the header of each layer's window, with their translation to and from JSON."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Self, TypeVar

import numpy as np

from recu_analysis.errors import DamagedError, InputError, SignsOnlyError
from recu_analysis.store import format1
from recu_analysis.store.channels import Sample
from recu_analysis.store.consistency import is_negative
from recu_analysis.store.format import FORMAT_VERSION, MAX_WHOLE
from recu_analysis.store.quantities import LAYER_NUMBERS, LENGTHS, MOST_ROWS, QUANTITIES, TABLE, Quantity, rows_of
from recu_analysis.store.sealing import finite, load_json, sealed, unsealed
from recu_analysis.theory.levels import Quantizer
from recu_analysis.theory.standardize import WeightTransform

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class LayerSpec:
    """The entry of one layer in run.json.

    Attributes
    ----------
    name : str
        Name of the module in the model.
    shape : tuple of int
        Shape of the recorded latent weights; the first axis is the output channel.
    dtype : str
        numpy name of the dtype in which the latent weight is stored, float32 or float64.
    adapter : str
        Name of the adapter that recognized the layer.
    transform : WeightTransform or None
        Transform from latent to effective weights; None if the effective weights are recorded instead.
    verified : bool or None
        Whether the layer's own forward pass was seen to use the recorded states; None if this is not known.
    differs : float
        Fraction of the weights with another state in the forward pass, for an adapter that is approximate.
    in_place : bool
        Whether the layer, or its training code, is known to change the weights outside updates.
    more : dict
        Fields of run.json that this version does not use; a copy of the run keeps them.
    z : str
        The weights of z and zpath: "effective", or "latent" if the effective weights are only signs. Empty in runs
        without transform from before this field existed; their zpath is of latent weights.
    traced : tuple of int
        Flat indices of the weights whose values are recorded after every update, ascending.
    channels : Sample or None
        The recorded output channels; None if all are recorded.
    quantizer : Quantizer
        The function from effective weights to states; the sign for binary layers.
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
    traced: tuple[int, ...] = field(default=(), compare=False)
    channels: Sample | None = None
    quantizer: Quantizer = field(default_factory=Quantizer)

    def with_verdict(self, new: LayerSpec) -> LayerSpec:
        """The entry with the verification result of another one, if that has one."""
        if new.verified is None:
            return self
        return replace(self, verified=new.verified, differs=new.differs, more={**self.more, **new.more})

    @property
    def knows_z(self) -> bool:
        """Whether it is known of which weights zpath is."""
        return self.z in {"effective", "latent"}

    @property
    def shape_and_weights(self) -> tuple[str, int]:
        """The shape as tables have it, such as 16x3x3x3, and the number of weights."""
        return "x".join(map(str, self.shape)), self.weights

    @property
    def weights(self) -> int:
        """Number of recorded latent weights."""
        return math.prod(self.shape)

    @property
    def whole_shape(self) -> tuple[int, ...]:
        """Shape of the layer's weight in the model."""
        return self.shape if self.channels is None else (self.channels.of, *self.shape[1:])

    @property
    def channel_numbers(self) -> NDArray[np.int64]:
        """Numbers of the recorded output channels, one for each row of the recorded weights."""
        return np.arange(self.shape[0]) if self.channels is None else np.array(self.channels.recorded)

    def places(self, flat: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
        """Flat indices in the whole layer of weights with these flat indices among the recorded ones."""
        width = self.weights // self.shape[0]
        result: NDArray[np.int64] = self.channel_numbers[flat // width] * width + flat % width
        return result

    @property
    def center(self) -> bool:
        """Whether the effective weight is the latent weight minus the mean of its channel."""
        return self.transform is not None and self.transform.center

    @property
    def scale_groups(self) -> int:
        """Number of groups of weights over whose standard deviation z is computed: the rows of the recorded weights."""
        return self.quantizer.groups(self.shape)

    def signs(self, weight: ArrayLike) -> NDArray[np.bool_]:
        """Effective signs, True for +1, of a record's `operand`: latent weights, or recorded effective weights.

        Raises
        ------
        SignsOnlyError
            If the layer has more than two levels.
        """
        if not self.quantizer.binary:
            raise SignsOnlyError(self.name, self.quantizer.count)
        return (self.transform or WeightTransform()).signs(weight)

    def to_dict(self) -> dict[str, Any]:
        """The fields, as stored in JSON."""
        return {
            **self.more,
            "name": self.name,
            "shape": list(self.shape),
            "dtype": self.dtype,
            "adapter": self.adapter,
            "quantizer": self.quantizer.to_dict(),
            "transform": None if self.transform is None else self.transform.to_dict(),
            "verified": self.verified,
            "differs": self.differs,
            "in_place": self.in_place,
            **({"z": self.z} if self.transform is None and self.z else {}),
            **({"traced": list(self.traced)} if self.traced else {}),
            **({} if self.channels is None else {"channels": self.channels.to_dict()}),
        }

    @classmethod
    def from_dict(cls, entry: Mapping[str, Any], where: str) -> Self:
        """The specification with the fields of `to_dict`; raise DamagedError if they are not valid."""
        try:
            fields = dict(entry)
            shape, transform, sample = tuple(fields.pop("shape")), fields.pop("transform"), fields.pop("channels", None)
            name, quantizer = of_type(fields.pop("name"), str), fields.pop("quantizer", Quantizer().to_dict())
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
                traced=tuple(of_type(place, int) for place in of_type(fields.pop("traced", []), list)),
                channels=None if sample is None else Sample.from_dict(of_type(sample, dict)),
                quantizer=Quantizer.from_dict(of_type(quantizer, dict)),
                more=fields,
            )
            _ = spec.scale_groups if shape else 0
        except (KeyError, TypeError, ValueError, OverflowError, InputError) as error:
            raise DamagedError(f"{where} is damaged: the entry of a layer cannot be read: {error}") from None
        if spec.dtype not in {"float32", "float64"} or not shape or min(shape) < 1:
            raise DamagedError(
                f"{where} is damaged: layer {spec.name!r} has shape {shape} and dtype {spec.dtype!r:.40}"
            )
        if spec.channels is not None and len(spec.channels.recorded) != shape[0]:
            raise DamagedError(
                f"{where} is damaged: layer {spec.name!r} has shape {shape}, but records {len(spec.channels.recorded)} "
                "channels"
            )
        bounds = (-1, *spec.traced, math.prod(shape))
        if not all(before < place for before, place in pairwise(bounds)):
            raise DamagedError(
                f"{where} is damaged: the traced weights of layer {spec.name!r} are not ascending indices"
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
        Settings of the training.
    environment : dict
        Versions, machine, and the classes and settings of the model and the optimizers.
    quantities : dict of str to Quantity
        Name -> row of `store.quantities` that the windows of the run may have.
    version : int
        Version of the format that was read.
    more : dict
        Fields of run.json that this version does not know; a copy of the run keeps them.
    """

    run_id: str
    layers: tuple[LayerSpec, ...] = field(repr=False)
    configuration: dict[str, Any] = field(repr=False)
    environment: dict[str, Any] = field(repr=False)
    quantities: dict[str, Quantity] = field(default_factory=lambda: rows_of(QUANTITIES), repr=False)
    version: int = FORMAT_VERSION
    more: dict[str, Any] = field(default_factory=dict, repr=False)

    def to_json(self) -> str:
        """The text of run.json in the current format, sealed and indented."""
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
        """The header in the text of run.json; raise DamagedError if it is not valid or of a newer format."""
        version = load_json(text, where).get("format")
        if type(version) is not int or version not in {1, FORMAT_VERSION}:
            raise DamagedError(
                f"{where} has format {version!r:.40}; this version of recu-analysis reads formats 1 and "
                f"{FORMAT_VERSION}"
            )
        try:
            content = format1.run_header(load_json(text, where)) if version == 1 else unsealed(text, where)
            layers = tuple(LayerSpec.from_dict(entry, where) for entry in of_type(content.pop("layers"), list))
            rows = [Quantity.from_dict(of_type(entry, dict)) for entry in of_type(content.pop("quantities"), list)]
            for name in ("format", "seal"):  # format 1 has no seal; a field of that name must not be copied
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
            raise DamagedError(f"{where} is damaged: {error}") from None
        if not layers or len({layer.name for layer in layers}) != len(layers):
            raise DamagedError(f"{where} is damaged: it names {'a layer twice' if layers else 'no layer'}")
        if len(rows) > MOST_ROWS or len(header.quantities) != len(rows):
            raise DamagedError(
                f"{where} is damaged: it names {'too many quantities' if len(rows) > MOST_ROWS else 'a quantity twice'}"
            )
        missing = [name for name, row in TABLE.items() if row.kept == "always" and name not in header.quantities]
        if missing:
            raise DamagedError(f"{where} is damaged: its windows have no {missing[0]}")
        return header


@dataclass(frozen=True, slots=True)
class LayerWindow:
    """Numbers of a whole layer over one window, or over several consecutive windows.

    Attributes
    ----------
    first_update : int
        Number of the first update, counted by the layer's own optimizer.
    updates : int
        Number of updates in the window.
    lr : float
        Sum of the learning rate over the updates in which the weights had a gradient.
    lr_decay : float
        Sum of learning rate times weight decay.
    decay_time : float
        Sum of learning rate times weight decay times (1 - dampening) / (1 - momentum), or 1 for decoupled decay: the
        contribution of the window to T.
    tau : float or None
        Quantile level of the layer at the end of the window; None if the layer has none.
    more : dict
        Numbers that only some runs have, by their names in `store.quantities`, and fields that this version does not
        know.
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
        """The fields, as stored in JSON."""
        return {**self.more, **{name: getattr(self, name) for name in LAYER_NUMBERS}}

    @classmethod
    def from_dict(cls, entry: Mapping[str, Any], quantities: Mapping[str, Quantity] = TABLE) -> Self:
        """The layer window with the fields of `to_dict`; raise KeyError or TypeError if they are not valid.

        A sum that is null in JSON becomes NaN.
        """
        rows = {**quantities, **TABLE}
        content = {name: _layer_value(rows.get(name), value) for name, value in entry.items()}
        sums = ("lr", "lr_decay", "decay_time")
        known: dict[str, Any] = {
            name: math.nan if name in sums and content[name] is None else content[name] for name in LAYER_NUMBERS
        }
        return cls(**known, more={name: value for name, value in content.items() if name not in known})

    @classmethod
    def merged(cls, windows: Sequence[LayerWindow], quantities: Mapping[str, Quantity]) -> Self:
        """Merge consecutive windows, every field by its rule; raise InputError for a field without a rule.

        A field that is equal in all windows may still be a sum, so no field is copied without a rule.
        """
        content = {name: TABLE[name].merged([getattr(each, name) for each in windows]) for name in LAYER_NUMBERS}
        more: dict[str, Any] = {}
        for name in dict.fromkeys(name for each in windows for name in each.more):
            values = [each.more.get(name) for each in windows]
            row = quantities.get(name, TABLE.get(name))
            if windows[1:] and (row is None or not row.mergeable):
                raise InputError(
                    f"windows cannot be merged: this version of recu-analysis has no rule for their field {name!r:.60}"
                )
            whole = values[0] if row is None or not row.mergeable else row.merged(values)
            more |= {} if whole is None else {name: whole}
        return cls(**content, more=more)


def _layer_value(row: Quantity | None, value: Any) -> Any:
    """A layer's value, checked to have the type of its row; raise TypeError otherwise."""
    if row is None or row.of != "layer":
        return value
    match row.dtype:
        case "int":
            if of_type(value, int) < 0 and row.merge == "count":
                raise TypeError(f"{row.name} is negative: {value}")
            return value
        case "number":
            if value is not None and is_negative(row.name, np.array(_number(value))):
                raise TypeError(f"{row.name} is negative: {value}")
            return value
        case "bool":
            return of_type(value, bool)
        case "list":
            return [of_type(each, int) for each in of_type(value, list)]
        case "numbers":
            return _of_length(row.name, [_finite(each) for each in of_type(value, list)])
    rows = [[_finite(each) for each in of_type(line, list)] for line in of_type(value, list)]
    if not rows or any(len(line) != len(rows) for line in rows):
        raise TypeError(f"{value!r:.60} is not a square matrix")
    return _of_length(row.name, rows)


def _of_length(name: str, value: list[Any]) -> list[Any]:
    """A list, checked to have the length on which readers rely; raise TypeError otherwise."""
    if len(value) != LENGTHS.get(name, len(value)):
        raise TypeError(f"{name} has length {len(value)}, not {LENGTHS[name]}")
    return value


def of_type(value: Any, kind: type[T]) -> T:
    """A value from a file, checked to have a type; raise TypeError otherwise, or for too large a whole number."""
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise TypeError(f"{value!r:.60} is not of type {kind.__name__}")
    if isinstance(value, int) and abs(value) > MAX_WHOLE:
        raise TypeError("a whole number is larger than the format allows")
    return value


def _number(value: Any) -> float:
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise TypeError(f"{value!r:.60} is not a number")
    if isinstance(value, int) and abs(value) > MAX_WHOLE:
        raise TypeError("a whole number is larger than the format allows")
    return value


def _finite(value: Any) -> float:
    if not math.isfinite(_number(value)):
        raise TypeError(f"{value!r:.60} is not a finite number")
    return float(value)
