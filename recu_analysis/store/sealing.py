"""JSON texts, their seals, and the digests of tensors; they detect damage, not forgery."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, Final

import xxhash

from recu_analysis.errors import DamagedError
from recu_analysis.store.format import FORMAT_VERSION, MAX_DEPTH

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np


def dump_json(value: Any) -> str:
    """Canonical JSON: sorted keys, no spaces, and null for numbers that are not finite."""
    return json.dumps(finite(value), sort_keys=True, separators=(",", ":"), allow_nan=False)


def finite(value: Any) -> Any:
    """Convert a value to the types of JSON, with None for numbers that are not finite."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return value


def load_json(text: str | bytes, where: str) -> dict[str, Any]:
    """Read a JSON object from untrusted text.

    Raises
    ------
    DamagedError
        If it is not a JSON object, is nested too deeply or has a key twice; the message names `where`.
    """
    try:
        value = json.loads(text, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise DamagedError(f"{where} is damaged: {error}") from None
    if not isinstance(value, dict):
        raise DamagedError(f"{where} is damaged: it is not a JSON object")
    if _is_deep(value):
        raise DamagedError(f"{where} is damaged: it is nested too deeply")
    return value


def _is_deep(value: Any) -> bool:
    """Whether a value is nested more deeply than later recursive code can handle."""
    level = [value]
    for _ in range(MAX_DEPTH):
        parts = (part for each in level for part in (each.values() if isinstance(each, dict) else each))
        level = [part for part in parts if isinstance(part, (dict, list))]
    return bool(level)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a key occurs twice")
    return result


def tensor_hasher(name: str, dtype: np.dtype[Any], shape: tuple[int, ...]) -> xxhash.xxh3_128:
    """A hash of a tensor's name, dtype and shape; after an update with its bytes, its hexdigest is `digest`."""
    return xxhash.xxh3_128(f"{name}\0{dtype.str}\0{shape}\0".encode())


def respelled(text: bytes) -> bool:
    """Whether a text of JSON is spelled otherwise than it was written, with the same values.

    A flipped bit can turn 1e-05 into 1E-05: the seal, which is of the values, still matches.

    Parameters
    ----------
    text : bytes
        A JSON object that `load_json` accepts.
    """
    value = json.loads(text)
    forms = (json.dumps(value, **form) for form in _SPELLINGS)
    return text.decode("utf-8", "surrogatepass").removesuffix("\n") not in forms


#: How Python writes JSON: as run.json, as the other files of a run, and by default.
_SPELLINGS: Final[tuple[dict[str, Any], ...]] = ({"indent": 2}, {"separators": (",", ":")}, {})


def refusal(segment: int, reason: str) -> str:
    """The text of refused.json: why the recording of a segment must not be trusted."""
    return dump_json(sealed({"format": FORMAT_VERSION, "segment": segment, "reason": reason}))


def dump_mark(mark: Mapping[str, Any], number: int) -> str:
    """A line of metrics.jsonl, with its number from 1 and its seal."""
    return dump_json(sealed({"line": number, "mark": dict(mark)})) + "\n"


def load_mark(line: bytes, number: int, where: str, version: int) -> dict[str, Any]:
    """The mark in a line of metrics.jsonl; raise DamagedError if its number or its seal is wrong."""
    if version == 1:
        return load_json(line, where)
    content = unsealed(line, where)
    mark = content.get("mark")
    if content.get("line") != number or not isinstance(mark, dict):
        raise DamagedError(f"{where} is damaged: it was written as line {content.get('line')!r:.20}")
    return mark


def digest(name: str, array: np.ndarray[Any, np.dtype[Any]]) -> str:
    """xxh3_128 of a tensor's name, dtype, shape and bytes."""
    hasher = tensor_hasher(name, array.dtype, array.shape)
    hasher.update(array.data.cast("B") if array.size else b"")
    return str(hasher.hexdigest())


def seal(text: str) -> str:
    """xxh3_128 of a text."""
    return str(xxhash.xxh3_128(text.encode("utf-8", "surrogatepass")).hexdigest())


def sealed(content: Mapping[str, Any]) -> dict[str, Any]:
    """Add a seal to a JSON object; it does not depend on the order of keys or on spaces."""
    return {**content, "seal": seal(dump_json(dict(content)))}


def unsealed(text: str | bytes, where: str) -> dict[str, Any]:
    """Read a JSON object and remove its seal; raise DamagedError if the seal does not match."""
    content = load_json(text, where)
    given = content.pop("seal", None)
    if given != seal(dump_json(content)):
        raise DamagedError(f"{where} is damaged: its content does not match its seal")
    return content
