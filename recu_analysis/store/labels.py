"""What runs are called beside one another: as a list of runs says, or by the ends of their folders."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recu_analysis.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from recu_analysis.store.run import Run


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


def labels_of(runs: Sequence[Run]) -> list[str]:
    """What runs are called: the label that a list of runs gives them, else the end of the folder that tells it apart.

    Raises
    ------
    InputError
        If a folder is named twice, or two runs have one label.
    """
    ends = folder_names([run.path for run in runs])
    labels = [run.label or end for run, end in zip(runs, ends, strict=True)]
    twice = next((label for label in labels if labels.count(label) > 1), None)
    if twice is not None:
        raise InputError(f"two runs are called {twice!r}; give each a label of its own")
    return labels
