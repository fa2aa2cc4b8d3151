"""One layer of one window as it is written to disk, and its size on disk."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from recu_analysis.store.quantities import TABLE, rows_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from recu_analysis.store.header import LayerSpec, LayerWindow
    from recu_analysis.store.quantities import Quantity

#: Fraction of a layer's weights that flip in a window, for the estimated size; 4 to 10 % were measured.
EXPECTED_FLIPPED = 0.1

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, slots=True)
class LayerState:
    """One layer of one window, as it is written to disk.

    Attributes
    ----------
    summary : LayerWindow
    arrays : mapping of str to ndarray
        Tensors by the names of their rows in `store.quantities`, with the dtypes and shapes of these rows. Quantities
        that the run does not keep, or the layer does not have, are absent.
    """

    summary: LayerWindow
    arrays: Mapping[str, Array]

    def __getitem__(self, name: str) -> Array:
        return self.arrays[name]

    def tensors(self, layer: str) -> dict[str, Array]:
        """The arrays under their names in a shard."""
        return {f"{name}/{layer}": np.ascontiguousarray(array) for name, array in self.arrays.items()}


def nothing(quantity: Quantity, spec: LayerSpec) -> Array:
    """The value of a layer's quantity before any update."""
    shapes = {
        "weights": spec.shape,
        "channels": spec.shape[:1],
        "groups": (spec.quantizer.groups(spec.shape),),
        "states": (spec.quantizer.count,) * 2,
        "traced": (0, len(spec.traced)),
    }
    return np.zeros(shapes.get(quantity.of, (0,)), quantity.dtype_in(spec.dtype))


def window_bytes(layers: Sequence[LayerSpec], requests: Sequence[str]) -> int:
    """Estimated bytes on disk of one window with these quantities, if a tenth of the weights flip."""
    rows = rows_of(requests, levels=any(not spec.quantizer.binary for spec in layers)).values()
    return sum(_bytes(spec, row) for spec in layers for row in rows) + 1024 * len(layers)


def _bytes(spec: LayerSpec, quantity: Quantity) -> int:
    if quantity.of == "layer" or (quantity is TABLE["effective"] and spec.transform is not None):
        return 0
    if quantity.kept == "levels" and spec.quantizer.binary:
        return 0
    counts = {"weights": spec.weights, "flipped": int(spec.weights * EXPECTED_FLIPPED)}
    return counts.get(quantity.of, 0) * quantity.dtype_in(spec.dtype).itemsize
