"""Translation of run.json of format 1 to format 2."""

from __future__ import annotations

from typing import Any

from recu_analysis.store.quantities import requested, rows_of

#: The quantities of a run whose run.json does not list them.
_KEPT = ["path", "zpath", "flip_times"]
#: Names of transform fields and training settings whose spelling has changed since.
RENAMED = {"binariser": "binarizer", "centre": "center"}


def run_header(content: dict[str, Any]) -> dict[str, Any]:
    """The content of run.json in format 2. Format 1 listed only the names of the kept quantities.

    Raises
    ------
    KeyError, TypeError, AttributeError, InputError
        If the content is not valid format 1.
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
    """Rename the settings of our own training to their current names; a user's own settings stay unchanged."""
    ours = {"network", "dataset", "recu", "tau"} <= entries.keys()
    return {RENAMED.get(name, name) if ours else name: value for name, value in entries.items()}
