"""The arguments of a recording that are checked before anything else is done."""

from __future__ import annotations

import operator
import os
from collections.abc import Mapping
from typing import Any, SupportsIndex

from recu_analysis.capture.adapters import require_model
from recu_analysis.errors import InputError, kind_of_value


def require_arguments(model: Any, run_dir: Any, configuration: Any) -> None:
    """Raise InputError unless they are a torch module, a path, and None or a mapping."""
    require_model(model)
    if not isinstance(run_dir, str | os.PathLike):
        raise InputError(f"run_dir is the path of a new or empty folder, not {kind_of_value(run_dir)}")
    if configuration is not None and not isinstance(configuration, Mapping):
        raise InputError(f"configuration must be a mapping of settings, not {kind_of_value(configuration)}")


def number_of_updates(every: Any) -> int | None:
    """The number of updates after which a window is closed, as int; raise InputError unless it is None or positive."""
    rule = "every must be a whole number of updates, at least 1, not"
    number = _whole(every, f"{rule} {every!r:.40}")
    if number is not None and number < 1:
        raise InputError(f"{rule} {number}")
    return number


def update_to_resume(resume: Any) -> int | None:
    """The number of the update at which a run continues, as int; raise InputError unless it is None or whole."""
    return _whole(resume, f"resume must be the number of an update, not {resume!r:.40}")


def _whole(number: Any, otherwise: str) -> int | None:
    """Convert a whole number of any type to int; None stays None, other values raise InputError."""
    if number is None:
        return None
    if isinstance(number, bool) or not isinstance(number, SupportsIndex):
        raise InputError(otherwise)
    return operator.index(number)
