"""One pass over a layer in blocks of whole channels, so that nothing of the size of the layer is copied."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Weights a block: small enough for the processor's cache, large enough to hide the interpreter.
_BLOCK = 1 << 17

Rows = np.ndarray[Any, np.dtype[Any]]


def blocks(rows: Rows) -> Iterator[tuple[int, Rows]]:
    """First row and view of every block of consecutive rows of a matrix; a row is never cut, however long."""
    step = max(1, _BLOCK // max(rows.shape[1], 1))
    for start in range(0, len(rows), step):
        yield start, rows[start : start + step]
