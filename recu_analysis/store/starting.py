"""Checks before a recording begins in a folder or continues the run in it, and deletion of leftover files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from recu_analysis.errors import InputError, RunExistsError, StoreError
from recu_analysis.store import format as names
from recu_analysis.store.durable import as_store_error, delete, resolved
from recu_analysis.store.joined import ROWS
from recu_analysis.store.object_path import ObjectPath
from recu_analysis.store.opening import complete, open_window
from recu_analysis.store.quantities import requests_of
from recu_analysis.store.run import read_header
from recu_analysis.store.sealing import digest, unsealed
from recu_analysis.store.segments import numbered, read_marks, read_segment
from recu_analysis.store.tensors import read_small

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from recu_analysis.store.header import LayerSpec, RunHeader
    from recu_analysis.store.quantities import Quantity
    from recu_analysis.store.state import LayerState
    from recu_analysis.store.window import Window


def refuse_existing(path: Path, resume: int | None) -> None:
    """Check that a recording can begin in a folder, or continue there at an update.

    Raises
    ------
    RunExistsError
        If the path is a file, or a new recording finds a folder that is not empty or lies inside another run.
    StoreError
        If there is no run to continue.
    """
    if path.exists() and not path.is_dir():
        raise RunExistsError(f"{path} is a file; a run needs its own folder")
    if resume is None:
        refuse_inside_run(path)
    if resume is None and path.is_dir() and not is_unused(path):
        raise RunExistsError(f"{path} exists and is not empty; choose another folder, or resume the run in it")
    if resume is not None and not path.is_dir():
        raise StoreError(f"{path} does not exist, so there is no run to resume")


def refuse_inside_run(path: Path) -> None:
    """Raise RunExistsError if a new run would lie inside the folder of another one, which it would change."""
    with as_store_error(path, "cannot be written"):
        place = resolved(path)
    for folder in place.parents:
        if (folder / names.RUN_FILE).is_file() and (folder / names.HISTORY).is_dir():
            raise RunExistsError(f"{path} lies inside the run {folder}; choose a folder outside of it")


def is_unused(path: Path) -> bool:
    """Whether a folder holds at most the files of a recording that was killed or refused before any update.

    In an object store, where nothing can be moved away and put back, whether it holds nothing.
    """
    if isinstance(path, ObjectPath):
        return False
    entries = {entry.name for entry in path.iterdir()} - {names.LOCK_FILE}
    history = path / names.HISTORY
    if names.HISTORY in entries and (history.is_symlink() or not history.is_dir()):
        return False
    if entries <= {names.HISTORY}:
        # run.json is written last; without it, no segment has begun.
        return all(_never_began(item) for item in _lasting(history))
    return entries <= {names.HISTORY, names.RUN_FILE, names.REFUSED_FILE} and _was_refused_at_once(path)


def _lasting(folder: Path) -> list[Path]:
    """The entries of a folder without the temporary ones of a recorder; none if the folder does not exist."""
    return [item for item in folder.iterdir() if not names.PART_NAME.fullmatch(item.name)] if folder.is_dir() else []


def _beside_staging(segment: Path) -> list[Path]:
    """The entries of a segment, without a staging folder that has only temporary files."""
    staging = segment / names.STAGING
    idle = staging.is_dir() and not staging.is_symlink() and not _lasting(staging)
    return [item for item in segment.iterdir() if not (idle and item.name == names.STAGING)]


def _never_began(item: Path) -> bool:
    """Whether an entry of history is a segment whose start was killed."""
    if item.is_symlink() or not item.is_dir() or not names.SEGMENT_NAME.fullmatch(item.name):
        return False
    return all(_is_file(each) and each.name == names.SEGMENT_FILE for each in _beside_staging(item))


def _is_file(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _was_refused_at_once(path: Path) -> bool:
    """Whether a run was refused before it had a window with updates; only intact files count as evidence."""
    file, history = path / names.REFUSED_FILE, path / names.HISTORY
    try:
        if not isinstance(unsealed(read_small(file, str(file)), str(file)).get("reason"), str):
            return False
        segments = _lasting(history)
        if not segments:
            return True  # a start was killed while it replaced this run
        header = read_header(path)
        return all(_holds_states_only(item, header) for item in segments)
    except (OSError, StoreError):
        return False


def _holds_states_only(item: Path, header: RunHeader) -> bool:
    """Whether an entry of history is a segment with only windows without updates, and only marks of these."""
    if item.is_symlink() or not names.SEGMENT_NAME.fullmatch(item.name):
        return False
    segment = read_segment(item, int(item.name.partition("-")[2]), header.version)
    specs = {layer.name: layer for layer in header.layers}
    states = dict(numbered(item, names.WINDOW_NAME))
    own = {names.SEGMENT_FILE, names.METRICS_FILE, names.END_FILE, *(folder.name for folder in states.values())}
    marked = {mark.get("window") for mark in read_marks(item, header.version)} - {None}
    return (
        {entry.name for entry in _beside_staging(item)} <= own
        and marked <= states.keys()
        and all(open_window(number, each, segment, header, specs).header.is_state for number, each in states.items())
        and all(len(list(folder.iterdir())) == len(complete(folder)) for folder in states.values())
    )


def sweep(history: Path, *, keep: Path | None = None) -> None:
    """Delete temporary files of recorders, such as unfinished files after a crash; links are not followed.

    Those of the segment `keep` stay: other processes write to it now.
    """
    segments = [segment for _, segment in numbered(history, names.SEGMENT_NAME) if segment != keep]
    for folder in (history, *(segment / names.STAGING for segment in segments)):
        if folder.is_dir() and not folder.is_symlink():
            for item in folder.iterdir():
                if names.PART_NAME.fullmatch(item.name):
                    delete(item)


def check_resumable(header: RunHeader, path: Path) -> None:
    """Raise StoreError if a run has an earlier format, which can be read but not written."""
    if header.version != names.FORMAT_VERSION:
        raise StoreError(
            f"{path} has format {header.version}, which can be read but not continued; record into another folder"
        )


def check_same_quantities(recorded: Mapping[str, Quantity], given: Mapping[str, Quantity], path: Path) -> None:
    """Raise StoreError unless both keep the same quantities of every layer; optional quantities may differ."""
    kept, now = ({name for name, row in rows.items() if not row.optional} for rows in (recorded, given))
    if kept != now:
        raise StoreError(
            f"{path} keeps the quantities {_listed(requests_of(recorded))} and cannot be resumed with "
            f"{_listed(requests_of(given))}; request the same quantities (they differ in {_listed(sorted(kept ^ now))})"
        )


def _listed(quantities: Sequence[str]) -> str:
    return ", ".join(quantities) or "(none)"


def check_same_channels(recorded: Sequence[LayerSpec], given: Sequence[LayerSpec], path: Path) -> None:
    """Raise StoreError, which names a layer, if a run records other channels of a layer that is given."""
    now = {layer.name: layer.channels for layer in given}
    for layer in recorded:
        kept, wanted = layer.channels, now.get(layer.name, layer.channels)
        if kept != wanted:
            had, has = (each or "all channels" for each in (kept, wanted))
            again = "leave out channels=" if kept is None else f"give {kept}"
            raise StoreError(
                f"{path} was recorded with {had}, and cannot be resumed with {has} (layer {layer.name!r:.80}); {again}"
            )


def check_same_layers(recorded: Sequence[LayerSpec], given: Sequence[LayerSpec], path: Path) -> None:
    """Raise StoreError, which names the differences, unless a run has exactly these layers."""
    if tuple(recorded) == tuple(given):
        return
    before, now = {layer.name: layer for layer in recorded}, {layer.name: layer for layer in given}
    different = [name for name in sorted(before.keys() | now.keys()) if before.get(name) != now.get(name)]
    listed = ", ".join(different[:5]) or "their order"
    raise StoreError(f"{path} is a run of another model and cannot be resumed with this one; they differ in {listed}")


def check_same_weights(ended: Window, start: Mapping[str, LayerState], path: Path) -> None:
    """Raise StoreError, which names a layer, unless these are the final weights of a window."""
    for name, state in start.items():
        if not _has_weights(ended, name, state):
            raise StoreError(
                f"{path} cannot be resumed at update {ended.last_update}: the weights of layer {name!r:.80} differ "
                "from those recorded at that update; load the checkpoint of that update first, or record into another "
                "folder"
            )


def _has_weights(ended: Window, name: str, state: LayerState) -> bool:
    """Whether a state of a layer, or of the rows of one shard, has the final weights of a window."""
    tensor, rows = f"weight/{name}", state.summary.more.get(ROWS)
    weight = state.tensors(name)[tensor]
    if rows is None and not ended.header.joins(name):
        return digest(tensor, weight) == ended.header.digests.get(tensor)
    stored: NDArray[Any] = ended[name].weight
    return weight.tobytes() == (stored if rows is None else stored[slice(*rows)]).tobytes()


def window_at(windows: Sequence[Window], update: int, path: Path) -> Window | None:
    """The last window of a run up to an update; raise InputError if nothing was recorded there."""
    last = max((window.last_update for window in windows), default=0)
    if not 0 <= update <= last:
        raise InputError(f"{path} cannot be resumed at update {update}: it was recorded up to update {last}")
    kept = [window for window in windows if window.last_update <= update]
    return kept[-1] if kept else None
