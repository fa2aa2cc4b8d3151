"""The folder of a run while this process writes to it: locked, found again where it was moved, as it was on request."""

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

if TYPE_CHECKING:
    from collections.abc import Callable


#: Where Linux has what this process has open, under the numbers of the descriptors.
_OPEN = "/proc/self/fd"


class LockedFolder:
    """A folder that is made where it is not there, and that no other process may take until it is released.

    Parameters
    ----------
    path : Path
        As a user gives it: relative, or with ``~``; it is resolved once.

    Attributes
    ----------
    path : Path
        Where the folder is; another one after it was moved and `follow` found it.

    Raises
    ------
    StoreError
        If another recording has it.
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
        """What leads into the folder itself, also while it is renamed, where the system has that; else `path`.

        It is for writing; messages name `path`.
        """
        opened = Path(f"{_OPEN}/{self._folder}")
        return opened if self._folder >= 0 and self._is_at(opened) else self.path

    def follow(self) -> None:
        """Let `path` lead to the folder that is held, wherever it was moved.

        Raises
        ------
        StoreError
            If it was deleted, or the system does not tell where it is.
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
            f"{self.path} {'was deleted' if deleted else 'was moved, and the system does not tell where to'}, while it "
            "was recorded; nothing more can be written there"
        )

    def _is_at(self, path: Path) -> bool:
        try:
            at_path = path.stat()
        except OSError:
            return False
        own = os.fstat(self._folder)
        return (at_path.st_dev, at_path.st_ino) == (own.st_dev, own.st_ino)

    def release(self) -> None:
        """Let other processes take the folder, whatever children of this one still hold."""
        if self._lock >= 0:
            fcntl.flock(self._lock, fcntl.LOCK_UN)
        self.forget()

    def undo(self, names: list[str], put_back: Callable[[Path], object]) -> None:
        """Delete these entries, put back what was there, unmake what making and locking made, and release the folder.

        What cannot be done is left; `put_back` is given the folder.
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
        """Close the descriptors and leave the lock as it is, which a parent process may hold."""
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
    """A path as it stays when the process changes its folder: ``~`` is the home, links are left."""
    return Path(os.path.abspath(os.path.expanduser(path)))  # noqa: PTH100, PTH111 - which leave unknown names alone


def _current_path(descriptor: int) -> Path | None:
    """Where an open folder is now; None where the system does not tell."""
    try:
        return Path(os.readlink(f"{_OPEN}/{descriptor}"))  # noqa: PTH115 - of which only the text counts
    except OSError:
        return None


#: What this process holds: a forked child holds none of it, and its end means nothing.
_LOCKED: WeakSet[LockedFolder] = WeakSet()


def _forget_all() -> None:
    for held in list(_LOCKED):
        held.forget()


os.register_at_fork(after_in_child=_forget_all)
