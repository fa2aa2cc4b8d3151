"""Files and folders that are written completely or not at all, and checks of the lock and the free space."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import shutil
import stat
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import SafetensorError

from recu_analysis.errors import NoRoomError, RecordingWarning, RecuError, StoreError
from recu_analysis.store.format import LOCK_FILE, part_name
from recu_analysis.store.object_path import ObjectPath

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: Free bytes that a file system must have beyond the bytes to be written.
SPARE_BYTES = 4 * 2**20
#: Beginning of the names of folders that are not yet whole.
UNFINISHED = ".unfinished-"
#: Errors of a file system, such as one of a network or a container, that does not have an operation.
_NOT_THERE = frozenset({errno.EINVAL, errno.ENOTSUP, errno.ENOSYS, errno.ENOLCK})
#: The warnings about file systems that this process has shown.
_TOLD: set[str] = set()


def check_room(path: Path, needed: int, what: str, *, root: Path | None = None) -> None:
    """Raise NoRoomError if the file system of `path` has less than `needed` free bytes plus a reserve.

    Parameters
    ----------
    path : Path
        The path that messages name. For one in an object store, it is the folder of temporary files.
    needed : int
        Bytes to be written.
    what : str
        Name of the data to be written, for the error.
    root : Path, optional
        The path that is actually checked, if it is not `path`.

    Raises
    ------
    NoRoomError
        If there is too little free space.
    StoreError
        If the file system cannot be queried, for example because a name is too long.
    """
    if isinstance(path, ObjectPath):
        import tempfile  # not loaded for folders

        path, root = Path(tempfile.gettempdir()), None
    asked = root or path
    with as_store_error(path, "cannot be used"):
        existing = next(folder for folder in (asked, *asked.absolute().parents) if folder.exists())
        free = shutil.disk_usage(existing).free
    if free < needed + SPARE_BYTES:
        raise NoRoomError(
            f"not enough disk space for {what}: {path} has {free / 2**20:.0f} MiB free and needs "
            f"{(needed + SPARE_BYTES) / 2**20:.0f} MiB; free some space or choose another folder"
        )


def sync_directory(path: Path) -> None:
    """Make the entries of a directory durable; in an object store they are."""
    if isinstance(path, ObjectPath):
        return
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        _sync(descriptor, path)
    finally:
        os.close(descriptor)


def _sync(descriptor: int, path: Path) -> None:
    """Make a file or the entries of a folder durable, as far as the file system can."""
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NOT_THERE:
            raise
        _tell_once(f"cannot sync files ({error.strerror})", "a power cut may lose the last windows and files", path)


def _tell_once(what: str, weaker: str, path: Path) -> None:
    """Warn of what a file system does not do, and of what is weaker without it, once in a process."""
    if what not in _TOLD:
        _TOLD.add(what)
        warnings.warn(f"the file system of {path.resolve()} {what}; {weaker}", RecordingWarning, stacklevel=2)


def commit(staging: Path, final: Path, save: Callable[[Path], object], *, new: bool = False) -> None:
    """Write a file completely and durably, or not at all.

    Parameters
    ----------
    staging : Path
        Folder on the same file system, in which `save` writes.
    final : Path
        Final path of the file; its folder exists.
    save : callable
        Writes the file at the path that it is given.
    new : bool
        In an object store, which has no locks: whether there must be no such object yet.

    Raises
    ------
    OSError
        If writing, syncing or renaming fails; no partial file is left.
    RunExistsError
        If `new`, and another process has written the object.
    StoreError
        If the object store cannot be reached or refuses.
    """
    if isinstance(final, ObjectPath):
        final.put(save, new=new)
        return
    # A folder of its own, because `save` may create other files beside the given one.
    room = staging / part_name()
    temporary = room / "file.part"  # torch needs a file extension
    try:
        room.mkdir()
        # The mode of a new file here. Reading the umask itself would change it for other threads.
        mode = stat.S_IMODE(_create(temporary))
        save(temporary)
        temporary.chmod(mode)
        descriptor = os.open(temporary, os.O_RDONLY)
        try:
            _sync(descriptor, temporary)
        finally:
            os.close(descriptor)
        temporary.rename(final)
    finally:
        try:
            room.rmdir()  # empty after success
        except OSError:
            delete(room)
    sync_directory(final.parent)


def append(path: Path, text: str) -> None:
    """Append text to a file durably; create the file if it is missing. A crash may leave part of the text."""
    if isinstance(path, ObjectPath):
        path.append(text)
        return
    is_new = not path.exists()
    with path.open("a", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        _sync(file.fileno(), path)
    if is_new:
        sync_directory(path.parent)


def replace_file(path: Path, save: Callable[[Path], object]) -> None:
    """Write a file for the user completely and durably, or not at all: a table, a figure, a page, a checkpoint.

    A link stays, and its target is replaced. A pipe or a device is written to directly.

    Parameters
    ----------
    path : Path
        Path of the file; its folder exists.
    save : callable
        Writes the file at the path that it is given.

    Raises
    ------
    OSError
        If writing, syncing or renaming fails; no partial file is left.
    """
    if path.exists() and not (path.is_file() or path.is_dir()):
        save(path)
    else:
        place = resolved(path)
        commit(place.parent, place, save)


def resolved(path: Path) -> Path:
    """The path of a new file or folder without links; OSError if no file can have it."""
    try:
        return path.resolve()
    except ValueError:
        raise OSError(errno.EINVAL, "its name has a zero byte", str(path)) from None


def write_text(path: Path, text: str) -> None:
    """Write a text for the user as UTF-8, as `replace_file`; what UTF-8 does not have becomes a Python escape.

    Folders with other bytes in their names, and JSON, bring such characters.
    """
    replace_file(path, lambda file: file.write_bytes(text.encode(errors="backslashreplace")))


@contextlib.contextmanager
def whole_folder(final: Path) -> Iterator[Path]:
    """Yield a temporary folder that becomes `final` on success and is deleted on failure.

    Parameters
    ----------
    final : Path
        A path that does not exist or is an empty folder; missing parent folders are created.

    Yields
    ------
    Path
        A path on the same file system, which does not exist yet.

    Raises
    ------
    StoreError
        If writing fails, also inside the context.
    """
    with as_store_error(final, "cannot be written"):
        home = next(parent for parent in final.absolute().parents if parent.exists())
        if not home.is_dir():
            raise StoreError(f"{final} cannot be written: {home} is not a folder")
        _sweep_unfinished(home)
        room = home / f"{UNFINISHED}{secrets.token_hex(8)}"
        room.mkdir()
        descriptor = os.open(room, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            with contextlib.suppress(OSError):  # without locks, what a kill leaves stays
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield room / "folder"
            final.parent.mkdir(parents=True, exist_ok=True)
            (room / "folder").rename(final)
            sync_directory(final.parent)
        finally:
            shutil.rmtree(room, ignore_errors=True)  # empty after success
            os.close(descriptor)


def _sweep_unfinished(home: Path) -> None:
    """Delete what killed processes left of unfinished folders; one that a process holds locked stays."""
    for room in home.glob(f"{UNFINISHED}*"):
        with contextlib.suppress(OSError):
            if not any(room.iterdir()):
                continue  # its process may not have locked it yet
            descriptor = os.open(room, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(room, ignore_errors=True)
            finally:
                os.close(descriptor)


def delete(path: Path) -> None:
    """Delete a file, a link or a folder; of a folder, as much as possible."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _create(path: Path) -> int:
    """Create an empty file and return its mode."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        return os.fstat(descriptor).st_mode
    finally:
        os.close(descriptor)


def lock_directory(path: Path) -> int:
    """Lock a run directory for this process. Closing the descriptor, or the end of the process, releases the lock.

    Parameters
    ----------
    path : Path
        The run directory, which exists.

    Returns
    -------
    int
        Descriptor of the lock file.

    Raises
    ------
    StoreError
        If another recording holds the lock.
    """
    while True:
        descriptor = os.open(path / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
        try:
            _lock(descriptor, path)
            if _is_file(path / LOCK_FILE, descriptor):
                return descriptor
            os.close(descriptor)  # a failed start deleted this file meanwhile; other processes would lock a new one
        except OSError as error:
            os.close(descriptor)
            if error.errno in {errno.EAGAIN, errno.EACCES}:
                raise StoreError(
                    f"another process is recording into {path}; wait for it or choose another folder"
                ) from None
            raise


def _lock(descriptor: int, path: Path) -> None:
    """Lock an open file; without effect on a file system that has no locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in _NOT_THERE:
            raise
        _tell_once(f"has no locks ({error.strerror})", "do not record into one folder with two processes", path)


def _is_file(path: Path, descriptor: int) -> bool:
    """Whether a path is the file of an open descriptor."""
    try:
        return os.path.samestat(path.lstat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


@contextlib.contextmanager
def as_store_error(path: Path, what: str) -> Iterator[None]:
    """Turn file system errors inside the context into StoreErrors that name `path`."""
    try:
        yield
    except RecuError:
        raise
    except (OSError, SafetensorError) as error:
        # safetensors appends the name of its temporary file.
        reason = getattr(error, "strerror", None) or str(error).partition(" at path ")[0]
        raise StoreError(f"{path} {what}: {reason}") from error
