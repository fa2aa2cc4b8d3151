"""Labels of several runs: from a list of runs, or the shortest distinct ends of their paths."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recu_analysis.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from recu_analysis.store.run import Run


def folder_names(paths: Sequence[Path]) -> list[str]:
    """The shortest ends of paths that distinguish them: recu, or a/recu and b/recu.

    Parameters
    ----------
    paths : sequence of Path

    Returns
    -------
    list of str

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
    raise InputError(f"{twice} is given twice; give every run once")


def together(labels: Iterable[str]) -> str:
    """Labels in a row, separated by commas, or by semicolons if a label holds a comma."""
    known = list(labels)
    return ("; " if any("," in label for label in known) else ", ").join(known)


def labels_of(runs: Sequence[Run]) -> list[str]:
    """Labels of runs: the label from a list of runs, otherwise the shortest distinct end of the folder's path.

    Parameters
    ----------
    runs : sequence of Run

    Returns
    -------
    list of str

    Raises
    ------
    InputError
        If a folder is given twice, or two runs have the same label.
    """
    ends = folder_names([run.path for run in runs])
    labels = [run.label or end for run, end in zip(runs, ends, strict=True)]
    twice = next((label for label in labels if labels.count(label) > 1), None)
    if twice is not None:
        raise InputError(f"two runs have the label {twice!r}; give each run its own label")
    return labels
