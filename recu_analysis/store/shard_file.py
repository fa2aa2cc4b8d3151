"""Writing the file of one shard of a window, and where the shards of a segment lie."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from safetensors.numpy import save_file

from recu_analysis.store import format as names
from recu_analysis.store.durable import commit, sync_directory
from recu_analysis.store.sealing import digest

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from recu_analysis.store.shard import ShardHeader
    from recu_analysis.store.state import LayerState


@dataclass(frozen=True, slots=True)
class ShardPlace:
    """Where the shards of a segment are written.

    Attributes
    ----------
    folder : Path
        Folder of the segment.
    run_id : str
    segment : int
        Its number.
    next_window : int
        Number of the first window.
    """

    folder: Path
    run_id: str
    segment: int
    next_window: int


def window_file_bytes(states: Mapping[str, LayerState]) -> int:
    """Bytes of the tensors of a window, or of one shard of it."""
    return sum(array.nbytes for state in states.values() for array in state.arrays.values())


def save_shard(
    segment: Path, header: ShardHeader, states: Mapping[str, LayerState], shard: tuple[int, int] = (0, 1)
) -> None:
    """Write one shard of a window, completely or not at all; the digests of its tensors are added to its header.

    Parameters
    ----------
    segment : Path
        Folder of the segment.
    header : ShardHeader
    states : mapping of str to LayerState
        The layers of which this shard has rows.
    shard : tuple of int
        Its index, and the number of shards of the window.
    """
    tensors = {name: array for layer, state in states.items() for name, array in state.tensors(layer).items()}
    header = replace(header, digests={name: digest(name, array) for name, array in tensors.items()})
    folder = segment / names.window_name(header.window)
    folder.mkdir(exist_ok=True)
    commit(
        segment / names.STAGING,
        folder / names.shard_name(*shard),
        lambda file: save_file(tensors, file, metadata=header.to_metadata()),
    )
    sync_directory(segment)
