"""What mark() may log: numbers and texts, as JSON has them."""

from __future__ import annotations

from typing import Any

import torch

from recu_analysis.errors import InputError


def plain(name: str, value: Any) -> bool | float | str | None:
    """A metric as JSON has it: one-element tensors and numpy numbers become Python numbers."""
    if name in {"window", "update"}:
        raise InputError(f"mark() gives the metric {name!r} itself; call yours something else")
    single = value.item() if getattr(value, "size", None) == 1 or _is_scalar_tensor(value) else value
    if single is None or isinstance(single, (bool, int, float, str)):
        return single
    raise InputError(f"mark() logs numbers and texts; the metric {name!r} is a {type(value).__name__}")


def _is_scalar_tensor(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.numel() == 1
