"""What runs are called beside one another: the shortest ends of their folders that tell them apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recu_analysis.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def folder_names(paths: Sequence[Path]) -> list[str]:
    """The shortest ends of some paths that tell them apart: recu, or a/recu and b/recu.

    Raises
    ------
    InputError
        If a folder is named twice.
    """
    parts = [path.resolve().parts for path in paths]
    for length in range(1, max(map(len, parts), default=0) + 1):
        names = ["/".join(each[-length:]) for each in parts]
        if len(set(names)) == len(names):
            return names
    twice = next((path for path, each in zip(paths, parts, strict=True) if parts.count(each) > 1), None)
    if twice is None:
        return []
    raise InputError(f"{twice} is named twice; give every run once")
