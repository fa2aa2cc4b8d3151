"""The run directory's names, versions and headers, and their translation to and from JSON."""

from __future__ import annotations

import json
import math
import re
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any, Self, TypeVar

import xxhash

from recu_analysis.errors import DamagedError, InputError
from recu_analysis.store import format1
from recu_analysis.store.quantities import LAYER_NUMBERS, QUANTITIES, TABLE, Quantity, rows_of
from recu_analysis.theory.standardize import WeightTransform

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import ArrayLike, NDArray

T = TypeVar("T")

#: What is written; format 1 is read too.
FORMAT_VERSION = 2
SHARD_FORMAT = "recu-analysis-window/"
MAX_HEADER_BYTES = 16 * 2**20
#: metrics.jsonl grows with every mark.
MAX_METRICS_BYTES = 2**30

RUN_FILE = "run.json"
LOCK_FILE = "lock"
HISTORY = "history"
STAGING = "staging"
SEGMENT_FILE = "segment.json"
METRICS_FILE = "metrics.jsonl"
REFUSED_FILE = "refused.json"
CHECKPOINTS = "checkpoints"

SEGMENT_NAME = re.compile(r"segment-(\d{4}|[1-9]\d{4,})", re.ASCII)
WINDOW_NAME = re.compile(r"window-(\d{6}|[1-9]\d{6,})", re.ASCII)
SHARD_NAME = re.compile(r"(\d{5})-of-(\d{5})\.safetensors", re.ASCII)


def segment_name(number: int) -> str:
    """Folder of the segment of that number."""
    return f"segment-{number:04d}"


def window_name(number: int) -> str:
    """Folder of the window of that number."""
    return f"window-{number:06d}"


def shard_name(rank: int, world_size: int) -> str:
    """File of one rank's part of a window; ranks count from 0, file names from 1."""
    return f"{rank + 1:05d}-of-{world_size:05d}.safetensors"


def dump_json(value: Any) -> str:
    """Canonical JSON: sorted keys, no spaces, and null for the numbers that JSON does not have."""
    return json.dumps(_finite(value), sort_keys=True, separators=(",", ":"), allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return value


def load_json(text: str | bytes, where: str) -> dict[str, Any]:
    """The JSON object in a text from elsewhere.

    Raises
    ------
    DamagedError
        If it is no JSON object, is nested too deeply or has a key twice; the text names `where`.
    """
    try:
        value = json.loads(text, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise DamagedError(f"{where} is not what was written there: {error}") from None
    if not isinstance(value, dict):
        raise DamagedError(f"{where} is not what was written there: it holds no JSON object")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a key occurs twice")
    return result


def tensor_hasher(name: str, dtype: np.dtype[Any], shape: tuple[int, ...]) -> xxhash.xxh3_128:
    """The hash of a tensor before its bytes; `digest` is its hexdigest after them."""
    return xxhash.xxh3_128(f"{name}\0{dtype.str}\0{shape}\0".encode())


def dump_mark(mark: Mapping[str, Any], number: int) -> str:
    """A line of metrics.jsonl, with its number from 1 and its seal."""
    return dump_json(sealed({"line": number, "mark": dict(mark)})) + "\n"


def load_mark(line: bytes, number: int, where: str, version: int) -> dict[str, Any]:
    """What was logged in a line of metrics.jsonl; DamagedError if it is another line or its seal is broken."""
    if version == 1:
        return load_json(line, where)
    content = unsealed(line, where)
    mark = content.get("mark")
    if content.get("line") != number or not isinstance(mark, dict):
        raise DamagedError(f"{where} is damaged: it is line {content.get('line')!r:.20} of those that were written")
    return mark


def digest(name: str, array: np.ndarray[Any, np.dtype[Any]]) -> str:
    """xxh3_128 of a tensor's name, dtype, shape and bytes: against damage, not against forgery."""
    hasher = tensor_hasher(name, array.dtype, array.shape)
    hasher.update(array.data.cast("B") if array.size else b"")
    return str(hasher.hexdigest())


def seal(text: str) -> str:
    """xxh3_128 of a text."""
    return str(xxhash.xxh3_128(text.encode("utf-8", "surrogatepass")).hexdigest())


def sealed(content: Mapping[str, Any]) -> dict[str, Any]:
    """A JSON object with the seal of all else in it, whatever the order of its keys and its spaces."""
    return {**content, "seal": seal(dump_json(dict(content)))}


def unsealed(text: str | bytes, where: str) -> dict[str, Any]:
    """The JSON object that `sealed` sealed, without its seal; DamagedError where it is another."""
    content = load_json(text, where)
    given = content.pop("seal", None)
    if given != seal(dump_json(content)):
        raise DamagedError(f"{where} is damaged: its content does not match its seal")
    return content


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
    more : dict
        Fields of run.json that this version does not use, which a copy keeps.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    adapter: str
    transform: WeightTransform | None
    more: dict[str, Any] = field(default_factory=dict, compare=False)

    @property
    def weights(self) -> int:
        """Number of latent weights."""
        return math.prod(self.shape)

    @property
    def centre(self) -> bool:
        """Whether the effective weight is the latent one less its channel's mean."""
        return self.transform is not None and self.transform.centre

    def signs(self, weight: ArrayLike) -> NDArray[np.bool_]:
        """Effective signs, True for +1, of what a record calls its operand: the latent or the effective weights."""
        return (self.transform or WeightTransform()).signs(weight)

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON has them."""
        transform = None if self.transform is None else asdict(self.transform)
        if transform is not None:
            transform = {"center": transform.pop("centre"), **transform}
        return {
            **self.more,
            "name": self.name,
            "shape": list(self.shape),
            "dtype": self.dtype,
            "adapter": self.adapter,
            "quantizer": SIGNS,
            "transform": transform,
        }

    @classmethod
    def from_dict(cls, entry: Mapping[str, Any], where: str) -> Self:
        """The specification that `to_dict` described; DamagedError if it is none."""
        try:
            known = dict(entry)
            shape, transform = tuple(known.pop("shape")), known.pop("transform")
            name, quantizer = _kind(known.pop("name"), str), known.pop("quantizer", SIGNS)
            name.encode()
            spec = cls(
                name=name,
                shape=tuple(_kind(size, int) for size in shape),
                dtype=_kind(known.pop("dtype"), str),
                adapter=_kind(known.pop("adapter"), str),
                transform=None if transform is None else _transform(_kind(transform, dict)),
                more=known,
            )
        except (KeyError, TypeError, ValueError, InputError) as error:
            raise DamagedError(f"{where} describes a layer in a way that cannot be read: {error}") from None
        if spec.dtype not in {"float32", "float64"} or not shape or min(shape) < 1:
            raise DamagedError(f"{where} gives layer {spec.name!r} the shape {shape} and dtype {spec.dtype!r:.40}")
        if quantizer != SIGNS:
            raise DamagedError(
                f"{where} has layer {spec.name!r:.80} with the quantizer {quantizer!r:.80}; this version of "
                "recu-analysis reads signs"
            )
        return spec


def _transform(entry: dict[str, Any]) -> WeightTransform:
    return WeightTransform.from_dict({"centre" if name == "center" else name: value for name, value in entry.items()})


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
    layers: tuple[LayerSpec, ...]
    configuration: dict[str, Any]
    environment: dict[str, Any]
    quantities: dict[str, Quantity] = field(default_factory=lambda: rows_of(QUANTITIES))
    version: int = FORMAT_VERSION
    more: dict[str, Any] = field(default_factory=dict)

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
        return json.dumps(sealed(_finite(content)), indent=2, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes, where: str) -> Self:
        """The header in the text of run.json; DamagedError if it is none or of a newer version."""
        version = load_json(text, where).get("format")
        if version not in {1, FORMAT_VERSION} or isinstance(version, bool):
            raise DamagedError(
                f"{where} has format {version!r:.40}; this version of recu-analysis reads 1 and {FORMAT_VERSION}"
            )
        try:
            content = format1.run_header(load_json(text, where)) if version == 1 else unsealed(text, where)
            layers = tuple(LayerSpec.from_dict(entry, where) for entry in _kind(content.pop("layers"), list))
            rows = [Quantity.from_dict(_kind(entry, dict)) for entry in _kind(content.pop("quantities"), list)]
            content.pop("format")
            header = cls(
                run_id=_kind(content.pop("run_id"), str),
                layers=layers,
                configuration=_kind(content.pop("configuration"), dict),
                environment=_kind(content.pop("environment"), dict),
                quantities={row.name: row for row in rows},
                version=version,
                more=content,
            )
        except (KeyError, TypeError, AttributeError, InputError) as error:
            raise DamagedError(f"{where} is not what was written there: {error}") from None
        if len({layer.name for layer in layers}) != len(layers):
            raise DamagedError(f"{where} names a layer twice")
        missing = [name for name in rows_of(()) if name not in header.quantities]
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
    def from_dict(cls, entry: Mapping[str, Any]) -> Self:
        """The fields as JSON has them, null for a sum that is not finite; KeyError or TypeError if they are others."""
        content = {name: _layer_value(name, value) for name, value in entry.items()}
        sums = ("lr", "lr_decay", "decay_time")
        known: dict[str, Any] = {
            name: math.nan if name in sums and content[name] is None else content[name] for name in LAYER_NUMBERS
        }
        return cls(**known, more={name: value for name, value in content.items() if name not in known})

    @classmethod
    def merged(cls, windows: Sequence[LayerWindow], quantities: Mapping[str, Quantity]) -> Self:
        """That of windows that follow on each other, every field by its rule; InputError for one without a rule."""
        known = {name: TABLE[name].merged([getattr(each, name) for each in windows]) for name in LAYER_NUMBERS}
        more: dict[str, Any] = {}
        for name in dict.fromkeys(name for each in windows for name in each.more):
            values = [each.more.get(name) for each in windows]
            row = quantities.get(name, TABLE.get(name))
            if windows[1:] and (row is None or not row.mergeable) and any(value != values[0] for value in values):
                raise InputError(f"this version of recu-analysis does not know how {name!r:.60} of windows merges")
            whole = values[0] if row is None or not row.mergeable else row.merged(values)
            more |= {} if whole is None else {name: whole}
        return cls(**known, more=more)


def _layer_value(name: str, value: Any) -> Any:
    """A number of a layer of the type that the table says; TypeError if it is another."""
    row = TABLE.get(name)
    if row is None:
        return value
    match row.dtype:
        case "int":
            return _kind(value, int)
        case "number":
            return None if value is None else _number(value)
        case "bool":
            return _kind(value, bool)
        case "list":
            return [_kind(each, int) for each in _kind(value, list)]
    rows = [[_number(each) for each in _kind(line, list)] for line in _kind(value, list)]
    if not rows or any(len(line) != len(rows) for line in rows):
        raise TypeError(f"{value!r:.60} is not a square matrix")
    return rows


@dataclass(frozen=True, slots=True)
class ShardHeader:
    """The sealed header of one shard of a window.

    `first_update` is one past `last_update` in a window without updates; `more` are fields that this version does not
    know, which a copy keeps.
    """

    run_id: str
    segment: int
    window: int
    first_update: int
    last_update: int
    exact: bool
    partial: bool
    layers: dict[str, LayerWindow]
    digests: dict[str, str]
    more: dict[str, Any] = field(default_factory=dict)

    def to_metadata(self) -> dict[str, str]:
        """The safetensors metadata that carries the header, sealed."""
        own = {each.name: getattr(self, each.name) for each in fields(self) if each.name not in {"layers", "more"}}
        layers = {name: layer.to_dict() for name, layer in self.layers.items()}
        header = dump_json({**self.more, **own, "layers": layers})
        return {"format": f"{SHARD_FORMAT}{FORMAT_VERSION}", "header": header, "seal": seal(header)}

    def follows(self, other: ShardHeader) -> bool:
        """Whether every layer's updates go on where they ended in another window of the same layers."""
        ends = {name: layer.next_update for name, layer in other.layers.items()}
        return ends == {name: layer.first_update for name, layer in self.layers.items()}

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str], where: str, version: int = FORMAT_VERSION) -> Self:
        """The header in the metadata of a file of a run of that format; DamagedError if its seal is broken."""
        header = metadata.get("header", "")
        if metadata.get("format") != f"{SHARD_FORMAT}{version}":
            raise DamagedError(f"{where} is not a window of a run: its format is {metadata.get('format')!r:.60}")
        if seal(header) != metadata.get("seal"):
            raise DamagedError(f"{where} is damaged: its header does not match its seal")
        content = load_json(header, where)
        try:
            layers = {name: LayerWindow.from_dict(entry) for name, entry in content.pop("layers").items()}
            own = {each.name: content.pop(each.name) for each in fields(cls) if each.name not in {"layers", "more"}}
            for name in ("segment", "window", "first_update", "last_update"):
                _kind(own[name], int)
            for name in ("exact", "partial"):
                _kind(own[name], bool)
            _kind(own["digests"], dict)
            return cls(layers=layers, **own, more=content)
        except (KeyError, TypeError, AttributeError) as error:
            raise DamagedError(f"{where} has a header that cannot be read: {error}") from None


def _kind(value: Any, kind: type[T]) -> T:
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise TypeError(f"{value!r:.60} is not of type {kind.__name__}")
    return value


def _number(value: Any) -> float:
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise TypeError(f"{value!r:.60} is not a number")
    return value
