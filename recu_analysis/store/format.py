"""The run directory's names, versions and headers, and their translation to and from JSON."""

from __future__ import annotations

import json
import math
import re
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, Self, TypeVar

import xxhash

from recu_analysis.errors import DamagedError, InputError
from recu_analysis.store.quantities import QUANTITIES, checked_quantities
from recu_analysis.theory.standardize import WeightTransform

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import ArrayLike, NDArray

T = TypeVar("T")

FORMAT_VERSION = 1
SHARD_FORMAT = f"recu-analysis-window/{FORMAT_VERSION}"
MAX_HEADER_BYTES = 16 * 2**20
#: metrics.jsonl grows with every mark.
MAX_METRICS_BYTES = 2**30

RUN_FILE = "run.json"
LOCK_FILE = "lock"
HISTORY = "history"
STAGING = "staging"
SEGMENT_FILE = "segment.json"
METRICS_FILE = "metrics.jsonl"
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


def digest(name: str, array: np.ndarray[Any, np.dtype[Any]]) -> str:
    """xxh3_128 of a tensor's name, dtype, shape and bytes: against damage, not against forgery."""
    hasher = tensor_hasher(name, array.dtype, array.shape)
    hasher.update(array.data.cast("B") if array.size else b"")
    return str(hasher.hexdigest())


def seal(header: str) -> str:
    """xxh3_128 of a shard's header."""
    return str(xxhash.xxh3_128(header.encode("utf-8", "surrogatepass")).hexdigest())


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
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    adapter: str
    transform: WeightTransform | None

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
        return asdict(self) | {"shape": list(self.shape)}

    @classmethod
    def from_dict(cls, entry: Mapping[str, Any], where: str) -> Self:
        """The specification that `to_dict` described; DamagedError if it is none."""
        try:
            shape = tuple(entry["shape"])
            transform = entry["transform"]
            name = _kind(entry["name"], str)
            name.encode()
            spec = cls(
                name=name,
                shape=tuple(_kind(size, int) for size in shape),
                dtype=_kind(entry["dtype"], str),
                adapter=_kind(entry["adapter"], str),
                transform=None if transform is None else WeightTransform.from_dict(transform),
            )
        except (KeyError, TypeError, ValueError, InputError) as error:
            raise DamagedError(f"{where} describes a layer in a way that cannot be read: {error}") from None
        if spec.dtype not in {"float32", "float64"} or not shape or min(shape) < 1:
            raise DamagedError(f"{where} gives layer {spec.name!r} the shape {shape} and dtype {spec.dtype!r:.40}")
        return spec


@dataclass(frozen=True, slots=True)
class RunHeader:
    """The content of run.json: written once, when the run begins."""

    run_id: str
    layers: tuple[LayerSpec, ...]
    configuration: dict[str, Any]
    environment: dict[str, Any]
    quantities: tuple[str, ...] = QUANTITIES

    def to_json(self) -> str:
        """The text of run.json, indented for people."""
        content = {
            "format": FORMAT_VERSION,
            "run_id": self.run_id,
            "layers": [layer.to_dict() for layer in self.layers],
            "quantities": list(self.quantities),
            "configuration": self.configuration,
            "environment": self.environment,
        }
        return json.dumps(_finite(content), indent=2, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes, where: str) -> Self:
        """The header in the text of run.json; DamagedError if it is none or of a newer version."""
        content = load_json(text, where)
        version = content.get("format")
        if version != FORMAT_VERSION:
            raise DamagedError(
                f"{where} has format {version!r:.40}; this version of recu-analysis reads {FORMAT_VERSION}"
            )
        try:
            layers = tuple(LayerSpec.from_dict(entry, where) for entry in _kind(content["layers"], list))
            header = cls(
                run_id=_kind(content["run_id"], str),
                layers=layers,
                configuration=_kind(content["configuration"], dict),
                environment=_kind(content["environment"], dict),
                quantities=checked_quantities(_kind(content.get("quantities", list(QUANTITIES)), list)),
            )
        except (KeyError, TypeError, InputError) as error:
            raise DamagedError(f"{where} is not what was written there: {error}") from None
        if len({layer.name for layer in layers}) != len(layers):
            raise DamagedError(f"{where} names a layer twice")
        return header


@dataclass(frozen=True, slots=True)
class LayerWindow:
    """What happened to a whole layer in one window.

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
    """

    first_update: int
    updates: int
    lr: float
    lr_decay: float
    decay_time: float
    tau: float | None

    @property
    def next_update(self) -> int:
        """Number of the update after the window."""
        return self.first_update + self.updates

    @classmethod
    def from_dict(cls, entry: Mapping[str, Any]) -> Self:
        """The fields as JSON has them, null for a sum that is not finite; KeyError or TypeError if they are others."""
        if entry.keys() != {field.name for field in fields(cls)}:
            raise TypeError("other fields than a layer's")
        sums = {
            name: math.nan if entry[name] is None else float(_number(entry[name]))
            for name in ("lr", "lr_decay", "decay_time")
        }
        return cls(
            first_update=_kind(entry["first_update"], int),
            updates=_kind(entry["updates"], int),
            tau=None if entry["tau"] is None else _number(entry["tau"]),
            **sums,
        )


@dataclass(frozen=True, slots=True)
class ShardHeader:
    """The sealed header of one shard of a window.

    `first_update` is one past `last_update` in a window without updates.
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

    def to_metadata(self) -> dict[str, str]:
        """The safetensors metadata that carries the header, sealed."""
        header = dump_json(asdict(self))
        return {"format": SHARD_FORMAT, "header": header, "seal": seal(header)}

    def follows(self, other: ShardHeader) -> bool:
        """Whether every layer's updates go on where they ended in another window of the same layers."""
        ends = {name: layer.next_update for name, layer in other.layers.items()}
        return ends == {name: layer.first_update for name, layer in self.layers.items()}

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str], where: str) -> Self:
        """The header in a safetensors file's metadata; DamagedError if its seal is broken."""
        header = metadata.get("header", "")
        if metadata.get("format") != SHARD_FORMAT:
            raise DamagedError(f"{where} is not a window of a run: its format is {metadata.get('format')!r:.60}")
        if seal(header) != metadata.get("seal"):
            raise DamagedError(f"{where} is damaged: its header does not match its seal")
        content = load_json(header, where)
        try:
            layers = {name: LayerWindow.from_dict(entry) for name, entry in content.pop("layers").items()}
            if set(content) != {field.name for field in fields(cls)} - {"layers"}:
                raise TypeError("other fields than a header's")
            for name in ("segment", "window", "first_update", "last_update"):
                _kind(content[name], int)
            _kind(content["digests"], dict)
            return cls(layers=layers, **content)
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
