"""The folder of a training: locked while a resumption reads it, and checked and emptied before a new run."""

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

#: Entries that a training writes, in the order of deletion: after an interruption, the rest is still a run.
OWN = (HISTORY, CHECKPOINTS, RUN_FILE, LOCK_FILE)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Lock the run in a folder against other processes during the context.

    Raises
    ------
    StoreError
        If another process holds the lock, or the folder cannot be written.
    """
    with as_store_error(folder, "cannot be written"):
        descriptor = lock_directory(folder)
    try:
        yield
    finally:
        os.close(descriptor)


def make_ready(folder: Path, needed: int, what: str, *, new: bool, overwrite: bool) -> None:
    """Make sure that a folder has enough space and, for a new run, that it exists and is empty.

    Parameters
    ----------
    folder : Path
    needed : int
        Bytes that will be written.
    what : str
        Name of the data, for the error.
    new : bool
        Whether a new run begins.
    overwrite : bool
        Whether an existing run is deleted; other content is never deleted.

    Raises
    ------
    RunExistsError
        If the folder has a run and `overwrite` is not given, or has other content.
    NoRoomError
        If the disk has too little space; nothing is deleted then.
    StoreError
        If the folder cannot be written or emptied.
    """
    # Check the space first: a run must not be deleted if the new run cannot start.
    check_room(folder, needed, what)
    if new:
        _make_way(folder, overwrite=overwrite)
        with as_store_error(folder, "cannot be written"):
            folder.mkdir(parents=True, exist_ok=True)


def _make_way(folder: Path, *, overwrite: bool) -> None:
    """Refuse a folder that is not empty, or delete the run in it with `overwrite`."""
    if not folder.exists() or (folder.is_dir() and is_unused(folder)):
        return
    if not _is_run(folder):
        raise RunExistsError(f"{folder} already exists and is not a run directory; choose another folder")
    if not overwrite:
        raise RunExistsError(f"{folder} already exists; continue it with --resume, or replace it with --overwrite")
    if folder.is_symlink():
        raise RunExistsError(f"{folder} is a link, which --overwrite does not replace; name the folder it leads to")
    foreign = _foreign(folder)
    if foreign:
        raise RunExistsError(
            f"{folder} has {foreign[0]}, which no training wrote, so --overwrite does not delete the folder; move that "
            "elsewhere"
        )
    # The lock is refused while a process still records there.
    with locked(folder):
        clear(folder)


def _is_run(folder: Path) -> bool:
    """Whether a folder has a run, even a damaged one; a file named run.json alone is not enough."""
    path = folder / RUN_FILE
    if not path.is_file():
        return (folder / CHECKPOINTS / NAME).is_file()  # of a real-valued twin, which is not recorded
    if any(SEGMENT_NAME.fullmatch(entry.name) for entry in (folder / HISTORY).glob("*")):
        return True
    try:
        RunHeader.from_json(path.read_bytes(), str(path))
    except (OSError, DamagedError):
        return False
    return True


def _foreign(folder: Path) -> list[str]:
    """Entries in the folder of a run, or in its checkpoints folder, that do not belong to the run."""
    found = [entry.name for entry in folder.iterdir() if entry.name not in OWN]
    found += [f"{CHECKPOINTS}/{entry.name}" for entry in (folder / CHECKPOINTS).glob("*") if entry.name != NAME]
    return sorted(found)


def clear(folder: Path) -> None:
    """Delete the files of a training in a folder; the folder itself, which may be a link or a volume, stays.

    Raises
    ------
    StoreError
        If a file cannot be deleted.
    """
    with as_store_error(folder, "cannot be emptied"):
        for entry in (folder / name for name in OWN):
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink(missing_ok=True)


def discard(folder: Path) -> None:
    """Delete a failed run as far as possible, and its folder if nothing else is in it."""
    with contextlib.suppress(StoreError, OSError):
        clear(folder)
        folder.rmdir()
