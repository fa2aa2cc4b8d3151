"""The content that a new recording replaces: kept until the start has succeeded, put back if it fails."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recu_analysis.store import format as names
from recu_analysis.store.durable import sync_directory
from recu_analysis.store.places import lexists
from recu_analysis.store.segments import numbered

if TYPE_CHECKING:
    from pathlib import Path


class Replaced:
    """The folder in which a start keeps the content that it replaces, as `starting.is_unused` allows.

    It is a folder in history that readers ignore; `starting.sweep` deletes it.
    """

    def __init__(self) -> None:
        self._name = names.part_name()
        self._new_history = False

    def take(self, root: Path) -> None:
        """Move the segments, run.json and refused.json away, in an order that lets others start after a crash."""
        history = root / names.HISTORY
        self._new_history = not history.exists()
        history.mkdir(exist_ok=True)
        place = history / self._name
        segments = [segment for _, segment in numbered(history, names.SEGMENT_NAME)]
        # refused.json goes last, because without it nobody may replace the rest.
        for item in (*segments, root / names.RUN_FILE, root / names.REFUSED_FILE):
            if lexists(item):
                place.mkdir(exist_ok=True)
                item.rename(place / item.name)
                sync_directory(item.parent)

    def put_back(self, root: Path) -> None:
        """Move everything back; the new content must already be deleted."""
        history = root / names.HISTORY
        place = history / self._name
        if place.is_dir():
            for name in (names.REFUSED_FILE, names.RUN_FILE):
                if lexists(place / name):
                    (place / name).rename(root / name)
            for segment in place.iterdir():
                segment.rename(history / segment.name)
            place.rmdir()
        if self._new_history and history.is_dir():
            history.rmdir()
