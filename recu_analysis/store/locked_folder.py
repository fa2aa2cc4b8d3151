"""The folder of a run while this process writes to it: it is locked, followed when moved, and restored on request."""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakSet

from recu_analysis.errors import StoreError
from recu_analysis.store.durable import delete, lock_directory
from recu_analysis.store.format import LOCK_FILE
from recu_analysis.store.object_path import ObjectPath
from recu_analysis.store.places import as_place

if TYPE_CHECKING:
    from collections.abc import Callable


#: Folder in which Linux lists the open files of this process by descriptor number.
_OPEN = "/proc/self/fd"


class LockedFolder:
    """A folder that is created if missing, and locked against other processes until it is released.

    Parameters
    ----------
    path : Path
        The path from the user, may be relative or start with ``~``; it is resolved once.

    Attributes
    ----------
    path : Path
        Current path of the folder; `follow` changes it after the folder was moved.

    Raises
    ------
    StoreError
        If another recording holds the lock.
    """

    def __init__(self, path: Path) -> None:
        self.path = absolute(path)
        self._made: list[Path] = []
        for folder in [*reversed(self.path.parents), self.path]:
            if not folder.is_dir():
                folder.mkdir(exist_ok=True)
                self._made.append(folder)
        self._lock = self._folder = -1
        try:
            self._folder = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            self._new_lock = not os.path.lexists(self.path / LOCK_FILE)
            self._lock = lock_directory(self.path)
        except BaseException:
            self._leave()
            raise
        _LOCKED.add(self)

    @property
    def root(self) -> Path:
        """A path that leads to the folder even while it is renamed, if the system offers one; otherwise `path`.

        Write through this path, but name `path` in messages.
        """
        opened = Path(f"{_OPEN}/{self._folder}")
        return opened if self._folder >= 0 and self._is_at(opened) else self.path

    def claimed(self) -> None:
        """Do nothing: the lock is the claim."""

    def follow(self) -> None:
        """Update `path` after the locked folder was moved.

        Raises
        ------
        StoreError
            If the folder was deleted, or the system does not report its new path.
        """
        if self._is_at(self.path):
            return
        current_path = _current_path(self._folder)
        if current_path is not None and self._is_at(current_path):
            self.path = current_path
            return
        deleted = os.fstat(self._folder).st_nlink == 0 or (
            current_path is not None and current_path.name.endswith(" (deleted)")
        )
        raise StoreError(
            f"{self.path} {'was deleted' if deleted else 'was moved to an unknown path'} during the recording; "
            "nothing more can be written"
        )

    def _is_at(self, path: Path) -> bool:
        try:
            at_path = path.stat()
        except OSError:
            return False
        own = os.fstat(self._folder)
        return (at_path.st_dev, at_path.st_ino) == (own.st_dev, own.st_ino)

    def release(self) -> None:
        """Release the lock, even if child processes still hold its descriptor."""
        if self._lock >= 0:
            with contextlib.suppress(OSError):  # the file system may have no locks
                fcntl.flock(self._lock, fcntl.LOCK_UN)
        self.forget()

    def undo(self, names: list[str], put_back: Callable[[Path], object]) -> None:
        """Delete the named entries, call `put_back` with the folder, delete what the constructor created, and release.

        Steps that fail are skipped.
        """
        with contextlib.suppress(OSError, StoreError):
            self.follow()
            for name in names:
                delete(self.root / name)
            put_back(self.root)
        with contextlib.suppress(OSError):
            if self._new_lock:
                (self.root / LOCK_FILE).unlink()
        self.release()
        self._leave()

    def forget(self) -> None:
        """Close the descriptors without unlocking, because a parent process may hold the same lock."""
        _LOCKED.discard(self)
        for descriptor in (self._lock, self._folder):
            if descriptor >= 0:
                os.close(descriptor)
        self._lock = self._folder = -1

    def _leave(self) -> None:
        self.forget()
        for folder in reversed(self._made):
            with contextlib.suppress(OSError):
                folder.rmdir()


def absolute(path: str | os.PathLike[str]) -> Path:
    """An absolute path with ``~`` expanded and links kept; it stays valid when the process changes its folder.

    A URL becomes an `ObjectPath`.

    Raises
    ------
    StoreError
        If the path is relative and the current folder was deleted.
    """
    place = as_place(path)
    try:
        return place if isinstance(place, ObjectPath) else Path(os.path.abspath(place))  # noqa: PTH100 - keeps ~name
    except FileNotFoundError:
        raise StoreError(
            f"the current folder was deleted, so {place} is nowhere; change into a folder that exists, or give a path "
            "that begins with /"
        ) from None


def _current_path(descriptor: int) -> Path | None:
    """Current path of an open folder; None if the system does not report it."""
    try:
        return Path(os.readlink(f"{_OPEN}/{descriptor}"))  # noqa: PTH115 - only the text of the link is needed
    except OSError:
        return None


#: Folders locked by this process. A forked child holds none of them and must not release them.
_LOCKED: WeakSet[LockedFolder] = WeakSet()


def _forget_all() -> None:
    for held in list(_LOCKED):
        held.forget()


os.register_at_fork(after_in_child=_forget_all)
