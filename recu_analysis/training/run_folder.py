"""The folder of a training: held while a resumption reads it; free, and with room, before one begins."""

from __future__ import annotations

import contextlib
import os
import shutil
from typing import TYPE_CHECKING

from recu_analysis.errors import DamagedError, RunExistsError, StoreError
from recu_analysis.store.durable import as_store_error, check_room, lock_directory
from recu_analysis.store.format import CHECKPOINTS, HISTORY, LOCK_FILE, RUN_FILE, SEGMENT_NAME
from recu_analysis.store.header import RunHeader
from recu_analysis.store.starting import is_unused
from recu_analysis.training.checkpoint import NAME

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: What a training writes into its folder, in the order in which it can be deleted: what a kill leaves is still a run.
OWN = (HISTORY, CHECKPOINTS, RUN_FILE, LOCK_FILE)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Within this context no other process goes on with the run in a folder.

    Raises
    ------
    StoreError
        If another one does, or the folder cannot be written.
    """
    with as_store_error(folder, "cannot be written"):
        descriptor = lock_directory(folder)
    try:
        yield
    finally:
        os.close(descriptor)


def make_ready(folder: Path, needed: int, what: str, *, new: bool, overwrite: bool) -> None:
    """Make sure that a folder has room and, for a new run, that it is there and empty.

    Parameters
    ----------
    folder : Path
    needed : int
        Bytes that will be written.
    what : str
        What they are, for the error.
    new : bool
        Whether a run begins there, and does not go on.
    overwrite : bool
        Whether a run that is there is deleted; nothing else is.

    Raises
    ------
    RunExistsError
        If it holds a run and `overwrite` is not given, or holds something else.
    NoRoomError
        If the disk is too small; then nothing is deleted.
    StoreError
        If it cannot be written or deleted.
    """
    # Before anything is deleted: a run must not be lost to one that then cannot start.
    check_room(folder, needed, what)
    if new:
        _make_way(folder, overwrite=overwrite)
        with as_store_error(folder, "cannot be written"):
            folder.mkdir(parents=True, exist_ok=True)


def _make_way(folder: Path, *, overwrite: bool) -> None:
    """Refuse a folder that holds something, or delete the run in it where the user asked for that."""
    if not folder.exists() or (folder.is_dir() and is_unused(folder)):
        return
    if not _is_run(folder):
        raise RunExistsError(f"{folder} exists already and is not a run directory, so it is left alone; choose another")
    if not overwrite:
        raise RunExistsError(f"{folder} exists already; go on with it by --resume, or replace it by --overwrite")
    if folder.is_symlink():
        raise RunExistsError(f"{folder} is a link, so --overwrite leaves it alone; name the folder it leads to")
    foreign = _foreign(folder)
    if foreign:
        raise RunExistsError(
            f"{folder} holds {foreign[0]}, which no training wrote, so --overwrite leaves it alone; move that elsewhere"
        )
    # Refuses while something still records there.
    with locked(folder):
        clear(folder)


def _is_run(folder: Path) -> bool:
    """Whether a folder holds a run, be it a damaged one; a file of the name run.json is not enough."""
    path = folder / RUN_FILE
    if not path.is_file():
        return False
    if any(SEGMENT_NAME.fullmatch(entry.name) for entry in (folder / HISTORY).glob("*")):
        return True
    try:
        RunHeader.from_json(path.read_bytes(), str(path))
    except (OSError, DamagedError):
        return False
    return True


def _foreign(folder: Path) -> list[str]:
    """What lies in the folder of a run, or in that of its checkpoints, where people put their own, and is no run's."""
    found = [entry.name for entry in folder.iterdir() if entry.name not in OWN]
    found += [f"{CHECKPOINTS}/{entry.name}" for entry in (folder / CHECKPOINTS).glob("*") if entry.name != NAME]
    return sorted(found)


def clear(folder: Path) -> None:
    """Delete what a training wrote into a folder; the folder itself, which may be a link or a volume, stays.

    Raises
    ------
    StoreError
        If something cannot be deleted.
    """
    with as_store_error(folder, "cannot be emptied"):
        for entry in (folder / name for name in OWN):
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink(missing_ok=True)


def discard(folder: Path) -> None:
    """Delete a run that came to nothing, as far as that can be, and its folder where nothing else is in it."""
    with contextlib.suppress(StoreError, OSError):
        clear(folder)
        folder.rmdir()
