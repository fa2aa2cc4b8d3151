"""Conversion of the metrics of mark() to numbers and texts of JSON."""

from __future__ import annotations

from typing import Any

import torch

from recu_analysis.errors import InputError

#: Longer whole numbers cannot be read back from JSON.
_DIGITS = 4000
_LIMIT = 10**_DIGITS


def plain(name: str, value: Any) -> bool | float | str | None:
    """Convert a metric to a JSON value: one-element tensors and numpy numbers become Python numbers.

    Raises
    ------
    InputError
        If the metric is neither number nor text, is too long a number, or its name is window or update.
    """
    if name in {"window", "update"}:
        raise InputError(f"mark() sets the metric {name!r} itself; use another name")
    single = value.item() if _is_one_number(value) else value
    if isinstance(single, int) and abs(single) >= _LIMIT:
        raise InputError(f"mark() logs numbers of at most {_DIGITS} digits, but the metric {name!r} has more")
    if single is None or isinstance(single, (bool, int, float, str)):
        return single
    raise InputError(f"mark() logs only numbers and texts, but the metric {name!r} is a {type(value).__name__}")


def _is_one_number(value: Any) -> bool:
    if isinstance(value, torch.Tensor):
        return value.numel() == 1 and not value.is_meta
    return getattr(value, "size", None) == 1 and hasattr(value, "item")  # of numpy, and of what follows it
