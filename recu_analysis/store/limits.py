"""Refuse, before recording, a run that readers would refuse: its names, header sizes and JSON values."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from recu_analysis.errors import DamagedError, InputError
from recu_analysis.store import format as names
from recu_analysis.store.header import LayerWindow, RunHeader
from recu_analysis.store.quantities import LAYER_NUMBERS, LENGTHS, tensors_of
from recu_analysis.store.shard import ShardHeader

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from recu_analysis.store.header import LayerSpec
    from recu_analysis.store.quantities import Quantity

MIB = 2**20
#: A number larger than any count of updates and any offset in a file.
_LARGE = 10**15
#: A float whose text has the maximal length.
_LONG = -1.2345678901234567e-300


def check_recordable(header: RunHeader) -> None:
    """Check that a run with this header can be read again.

    Raises
    ------
    InputError
        If two layers have the same name, a name cannot be encoded, the configuration cannot be stored as JSON, or
        run.json or the header of a window would be larger than readers accept.
    """
    _check_names([layer.name for layer in header.layers])
    try:
        size = len(header.to_json())
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(
            f"the configuration cannot be stored in {names.RUN_FILE}: {error}; use only values that JSON has"
        ) from None
    if size > names.MAX_HEADER_BYTES:
        raise InputError(
            f"{names.RUN_FILE} would be larger than {names.MAX_HEADER_BYTES // MIB} MiB, the limit of readers; record "
            "fewer layers or a shorter configuration"
        )
    try:
        RunHeader.from_json(header.to_json(), names.RUN_FILE)
    except DamagedError as error:
        raise InputError(f"the run cannot be recorded, because readers would refuse it: {error}") from None
    size = shard_header_bytes(header.layers, header.quantities)
    if size > names.MAX_HEADER_BYTES:
        raise InputError(
            f"the header of a window of {len(header.layers)} layers could be larger than "
            f"{names.MAX_HEADER_BYTES // MIB} MiB, the limit of readers; record fewer layers or give them shorter names"
        )


def _check_names(layers: Sequence[str]) -> None:
    for name in layers:
        try:
            name.encode()
        except UnicodeEncodeError:
            raise InputError(
                f"the layer name {name!r:.80} cannot be written to a file as UTF-8; rename the layer"
            ) from None
    twice = [name for name in layers if layers.count(name) > 1]
    if twice:
        raise InputError(f"two layers have the name {twice[0]!r:.80}; give each layer its own name")


def shard_header_bytes(layers: Sequence[LayerSpec], quantities: Mapping[str, Quantity]) -> int:
    """Maximal size in bytes of the header of a window's file."""
    longest = LayerWindow(_LARGE, _LARGE, _LONG, _LONG, _LONG, _LONG, _longest_numbers(quantities))
    kinds = [name for optional in (False, True) for name in tensors_of(quantities, optional=optional)]
    tensors = {f"{kind}/{layer.name}": len(layer.shape) for layer in layers for kind in kinds}
    header = ShardHeader(
        run_id="0" * 16,
        segment=_LARGE,
        window=_LARGE,
        first_update=_LARGE,
        last_update=_LARGE,
        exact=False,
        partial=False,
        layers={layer.name: longest for layer in layers},
        digests=dict.fromkeys(tensors, "0" * 32),
    )
    entries = {
        name: {"dtype": "F32", "shape": [_LARGE] * axes, "data_offsets": [_LARGE, _LARGE]}
        for name, axes in tensors.items()
    }
    padding = 8
    return padding + len(json.dumps({"__metadata__": header.to_metadata()} | entries, ensure_ascii=False).encode())


def _longest_numbers(quantities: Mapping[str, Quantity]) -> dict[str, Any]:
    """The optional numbers of a layer that the run keeps, each with its longest value."""
    longest = {"int": _LARGE, "number": _LONG, "bool": False, "list": [_LARGE, _LARGE]}
    longest |= {"matrix": [[_LONG] * 2] * 2, "numbers": [_LONG] * max(LENGTHS.values())}
    numbers = (row for row in quantities.values() if row.of == "layer" and row.name not in LAYER_NUMBERS)
    return {row.name: longest[row.dtype] for row in numbers}
