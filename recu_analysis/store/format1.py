"""Format 1, which is read for ever: its run.json in the words of format 2."""

from __future__ import annotations

from typing import Any

from recu_analysis.store.quantities import requested, rows_of

#: What a run kept where its run.json does not say it.
_KEPT = ["path", "zpath", "flip_times"]
#: Words that have another spelling since: of transforms, and of the settings of a training.
RENAMED = {"binariser": "binarizer", "centre": "center"}


def run_header(content: dict[str, Any]) -> dict[str, Any]:
    """The content of run.json, which said of what is kept the names alone, as format 2 has it.

    Raises
    ------
    KeyError, TypeError, AttributeError, InputError
        If it is not what format 1 has there.
    """
    rows = rows_of(requested(only=[*content.get("quantities", _KEPT)]))
    return content | {
        "layers": [layer | {"transform": _transform(layer["transform"])} for layer in content["layers"]],
        "quantities": [row.to_dict() for row in rows.values()],
        "configuration": _configuration(content["configuration"]),
    }


def _transform(entry: dict[str, Any] | None) -> dict[str, Any] | None:
    return entry if entry is None else {RENAMED.get(name, name): value for name, value in entry.items()}


def _configuration(entries: dict[str, Any]) -> dict[str, Any]:
    """The settings of a training by their names of today; what a user's own training was told stays as it is."""
    ours = {"network", "dataset", "recu", "tau"} <= entries.keys()
    return {RENAMED.get(name, name) if ours else name: value for name, value in entries.items()}
