"""What a new recording replaces: it stays until the start is over, and is put back where the start fails."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from recu_analysis.store import format as names
from recu_analysis.store.durable import sync_directory
from recu_analysis.store.segments import numbered

if TYPE_CHECKING:
    from pathlib import Path


class Replaced:
    """The place in a run directory where a start keeps what `starting.is_unused` allowed it to replace.

    It is a folder in history that readers pass over; `starting.sweep` deletes it.
    """

    def __init__(self) -> None:
        self._name = names.part_name()
        self._new_history = False

    def take(self, root: Path) -> None:
        """Move the segments, run.json and refused.json out of the way, that a crash in between lets others start."""
        history = root / names.HISTORY
        self._new_history = not history.exists()
        history.mkdir(exist_ok=True)
        place = history / self._name
        segments = [segment for _, segment in numbered(history, names.SEGMENT_NAME)]
        # The word that it was refused goes last: what is left without it is not for anybody to replace.
        for item in (*segments, root / names.RUN_FILE, root / names.REFUSED_FILE):
            if os.path.lexists(item):
                place.mkdir(exist_ok=True)
                item.rename(place / item.name)
                sync_directory(item.parent)

    def put_back(self, root: Path) -> None:
        """Move everything to where it was; what is there now must be gone."""
        history = root / names.HISTORY
        place = history / self._name
        if place.is_dir():
            for name in (names.REFUSED_FILE, names.RUN_FILE):
                if os.path.lexists(place / name):
                    (place / name).rename(root / name)
            for segment in place.iterdir():
                segment.rename(history / segment.name)
            place.rmdir()
        if self._new_history and history.is_dir():
            history.rmdir()
