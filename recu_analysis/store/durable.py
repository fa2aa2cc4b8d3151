"""Files and folders that are there whole and durable or not at all, and the lock and the room that a writer needs."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import shutil
import stat
from typing import TYPE_CHECKING

from safetensors import SafetensorError

from recu_analysis.errors import NoRoomError, RecuError, StoreError
from recu_analysis.store.format import LOCK_FILE, part_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

#: Bytes a file system must have beyond what is about to be written.
SPARE_BYTES = 4 * 2**20


def check_room(path: Path, needed: int, what: str, *, root: Path | None = None) -> None:
    """NoRoomError if the file system of `path` has less than `needed` bytes and a little to spare.

    StoreError if it cannot be asked, as where a name is too long. `root` leads there where `path` is only its name.
    """
    asked = root or path
    with as_store_error(path, "cannot be used"):
        existing = next(folder for folder in (asked, *asked.absolute().parents) if folder.exists())
        free = shutil.disk_usage(existing).free
    if free < needed + SPARE_BYTES:
        raise NoRoomError(
            f"no room for {what}: {path} has {free / 2**20:.0f} MiB free and needs "
            f"{(needed + SPARE_BYTES) / 2**20:.0f}; free some space or choose another folder"
        )


def sync_directory(path: Path) -> None:
    """Make the entries of a directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def commit(staging: Path, final: Path, save: Callable[[Path], object]) -> None:
    """Put a file in its place whole and durable, or not at all.

    Parameters
    ----------
    staging : Path
        Folder of the same file system in which `save` writes.
    final : Path
        Where the file belongs; its folder exists.
    save : callable
        Writes the path that it is given.

    Raises
    ------
    OSError
        Whatever writing, syncing or renaming met; nothing is left behind.
    """
    # A folder, as what saves may make files of its own beside the one that it is told.
    room = staging / part_name()
    temporary = room / "file.part"  # with an ending, as torch wants one
    try:
        room.mkdir()
        # The mode that a new file gets here; asking the umask itself would change it for other threads.
        mode = stat.S_IMODE(_create(temporary))
        save(temporary)
        temporary.chmod(mode)
        descriptor = os.open(temporary, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        temporary.rename(final)
    finally:
        try:
            room.rmdir()  # empty where all went well
        except OSError:
            delete(room)
    sync_directory(final.parent)


def append(path: Path, text: str) -> None:
    """Put a text at the end of a file, which is made where it is not there; durable, and perhaps torn by a crash."""
    is_new = not path.exists()
    with path.open("a", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    if is_new:
        sync_directory(path.parent)


def replace_file(path: Path, save: Callable[[Path], object]) -> None:
    """Put a file where a user wants it, whole and durable or not at all: a table, a figure, a page, a checkpoint.

    A link stays, and what it leads to is replaced; a pipe or a device is written to.

    Parameters
    ----------
    path : Path
        Its folder exists.
    save : callable
        Writes the path that it is given.

    Raises
    ------
    OSError
        Whatever writing, syncing or renaming met; nothing is left behind.
    """
    if path.exists() and not (path.is_file() or path.is_dir()):
        save(path)
    else:
        place = path.resolve()
        commit(place.parent, place, save)


@contextlib.contextmanager
def whole_folder(final: Path) -> Iterator[Path]:
    """Where to make a folder that becomes `final` when all went well and else is gone.

    Parameters
    ----------
    final : Path
        Not there yet, or empty; missing folders above it are made.

    Yields
    ------
    Path
        Not there yet, on the same file system.

    Raises
    ------
    StoreError
        If something cannot be written, within the context too.
    """
    with as_store_error(final, "cannot be written"):
        home = next(parent for parent in final.absolute().parents if parent.exists())
        if not home.is_dir():
            raise StoreError(f"{final} cannot be written: {home} is not a folder")
        staging = home / f".unfinished-{secrets.token_hex(8)}"
        try:
            yield staging
            final.parent.mkdir(parents=True, exist_ok=True)
            staging.rename(final)
            sync_directory(final.parent)
        finally:
            shutil.rmtree(staging, ignore_errors=True)  # gone already where all went well


def delete(path: Path) -> None:
    """Delete a file, a link or a folder, of a folder as much as can be deleted."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _create(path: Path) -> int:
    """Make an empty file and return its mode."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        return os.fstat(descriptor).st_mode
    finally:
        os.close(descriptor)


def lock_directory(path: Path) -> int:
    """Take a run directory for this process; closing the descriptor, or the process's end, releases it.

    Raises
    ------
    StoreError
        If another recording has it.
    """
    while True:
        descriptor = os.open(path / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_file(path / LOCK_FILE, descriptor):
                return descriptor
            os.close(descriptor)  # deleted meanwhile by a start that failed: others would take the new one
        except OSError as error:
            os.close(descriptor)
            if error.errno in {errno.EAGAIN, errno.EACCES}:
                raise StoreError(
                    f"another process is recording into {path}; wait for it or choose another folder"
                ) from None
            raise


def _is_file(path: Path, descriptor: int) -> bool:
    """Whether a path leads to an open file."""
    try:
        return os.path.samestat(path.lstat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


@contextlib.contextmanager
def as_store_error(path: Path, what: str) -> Iterator[None]:
    """Within it, an error of the file system is a StoreError that says so of `path`."""
    try:
        yield
    except RecuError:
        raise
    except (OSError, SafetensorError) as error:
        # safetensors adds the name of a file of its own.
        reason = getattr(error, "strerror", None) or str(error).partition(" at path ")[0]
        raise StoreError(f"{path} {what}: {reason}") from error
