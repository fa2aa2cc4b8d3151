"""One pass over a layer in blocks of whole channels, so that the whole layer is never copied."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Weights per block: few enough for the processor's cache, enough to make the interpreter's overhead negligible.
_BLOCK = 1 << 17

Rows = np.ndarray[Any, np.dtype[Any]]


def blocks(rows: Rows) -> Iterator[tuple[int, Rows]]:
    """Yield the first row and a view of each block of consecutive rows of a matrix; a row is never split."""
    step = max(1, _BLOCK // max(rows.shape[1], 1))
    for start in range(0, len(rows), step):
        yield start, rows[start : start + step]
