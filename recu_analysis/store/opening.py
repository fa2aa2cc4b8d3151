"""Opening one window: its shards, all of them or none, and what their headers must say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recu_analysis.errors import DamagedError
from recu_analysis.store import format as names
from recu_analysis.store.consistency import other_updates
from recu_analysis.store.joined import JoinedFile, joined_header
from recu_analysis.store.segments import shards
from recu_analysis.store.shard import ShardHeader
from recu_analysis.store.tensors import TensorFile
from recu_analysis.store.window import Window

if TYPE_CHECKING:
    from pathlib import Path

    from recu_analysis.store.header import LayerSpec, RunHeader
    from recu_analysis.store.segments import Segment


def complete(folder: Path) -> list[str]:
    """Names of the shards of a window, in order; none if a process died before the window had all of them.

    Raises
    ------
    DamagedError
        If the folder cannot be read, or holds all shards of two windows.
    """
    found = set(shards(folder))
    counts = {int(name[9:14]) for name in found}
    wholes = [count for count in counts if len(found) >= count > 0 and found.issuperset(_names(count))]
    if len(wholes) > 1:
        raise DamagedError(f"{folder} is damaged: it holds all of {wholes[0]} shards and all of {wholes[1]}")
    return _names(wholes[0]) if wholes else []


def _names(count: int) -> list[str]:
    return [names.shard_name(rank, count) for rank in range(count)]


def open_window(number: int, folder: Path, segment: Segment, header: RunHeader, specs: dict[str, LayerSpec]) -> Window:
    """A window, not linked to its predecessor; raise DamagedError if its header does not fit its place in the run."""
    present = complete(folder) or [names.shard_name(0, 1)]
    paths = [folder / name for name in present]
    wheres = [f"window {number} ({path})" for path in paths]
    files = [TensorFile(path, where) for path, where in zip(paths, wheres, strict=True)]
    parts = [ShardHeader.from_metadata(file.metadata, file.where, header.version, header.quantities) for file in files]
    for shard, where in zip(parts, wheres, strict=True):
        if (shard.run_id, shard.segment, shard.window) != (header.run_id, segment.number, number):
            raise DamagedError(f"{where} is damaged: its header belongs to another run or to another place in this run")
        odd = other_updates(shard) if segment.one_optimizer else None
        if odd:
            raise DamagedError(f"{where} is damaged: its numbers contradict each other: {odd}")
    single = len(files) == 1
    whole = parts[0] if single else joined_header(parts, specs, wheres)
    missing = [name for name in specs if name not in whole.layers]
    if missing:
        raise DamagedError(f"{wheres[0]} is damaged: it has no layer {missing[0]!r:.80}")
    file = files[0] if single else JoinedFile(files, parts, wheres[0], header.quantities)
    return Window(number, file, whole, wheres[0], specs, header.quantities, None)
