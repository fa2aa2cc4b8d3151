"""The folder of a run in an object store while this process writes to it, which has no lock and cannot be moved."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from recu_analysis.errors import StoreError
from recu_analysis.store.locked_folder import LockedFolder
from recu_analysis.store.object_path import ObjectPath

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class ObjectFolder:
    """In place of a `LockedFolder`: a segment that only one process can create stands for the lock.

    A process that goes on with the run creates the next segment. What an earlier process writes after that is not
    damaged, but hidden from readers, as after every resumption.

    Parameters
    ----------
    path : ObjectPath
    """

    def __init__(self, path: ObjectPath) -> None:
        self.path: Path = path
        self.root: Path = path
        self._claimed = False

    def claimed(self) -> None:
        """Note that this process has created the segment, so that `undo` may delete it."""
        self._claimed = True

    def follow(self) -> None:
        """Do nothing."""

    def release(self) -> None:
        """Do nothing."""

    def undo(self, names: list[str], put_back: Callable[[Path], object]) -> None:
        """Delete what this process wrote; steps that fail are skipped."""
        for name in names if self._claimed else ():
            place = self.path / name
            with contextlib.suppress(StoreError):
                if isinstance(place, ObjectPath):
                    place.delete_below()


def held(path: Path) -> LockedFolder | ObjectFolder:
    """The folder of a run for writing: locked, or in an object store."""
    return ObjectFolder(path) if isinstance(path, ObjectPath) else LockedFolder(path)
