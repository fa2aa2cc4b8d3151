"""One layer of one window as it goes to disk, and how large it becomes there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from recu_analysis.store.quantities import DENSE, OPTIONAL, QUANTITIES, SPARSE, kinds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from recu_analysis.store.format import LayerSpec, LayerWindow

#: Fraction of a layer's weights that flips in a window, for the estimate of its size; 4 to 10 % were measured.
EXPECTED_FLIPPED = 0.1


@dataclass(frozen=True, slots=True)
class LayerState:
    """One layer of one window, as it goes to disk.

    Attributes
    ----------
    weight : ndarray of float32 or float64, shape of the layer
        At the window's end.
    path, zpath : ndarray of float32, shape of the layer, or None
        None, here and below, where the run does not keep the quantity.
    flipped, flips, first_flip, last_flip : ndarray of uint32, one entry a weight that flipped
        Flat indices in rising order, and their counts and update numbers; the latter may be None.
    scale : ndarray of float32 or None
        The learned alpha at the window's end.
    summary : LayerWindow
    effective : ndarray of float32 or float64, shape of the layer, or None
        The effective weight at the window's end, where no WeightTransform says it.
    ema, grad : ndarray of float32, shape of the layer, or None
        The flip average at the window's end, and the window's sum of abs(gradient).
    """

    weight: np.ndarray[Any, Any]
    path: np.ndarray[Any, Any] | None
    zpath: np.ndarray[Any, Any] | None
    flipped: np.ndarray[Any, Any]
    flips: np.ndarray[Any, Any]
    first_flip: np.ndarray[Any, Any] | None
    last_flip: np.ndarray[Any, Any] | None
    scale: np.ndarray[Any, Any] | None
    summary: LayerWindow
    effective: np.ndarray[Any, Any] | None = None
    ema: np.ndarray[Any, Any] | None = None
    grad: np.ndarray[Any, Any] | None = None

    def tensors(self, layer: str) -> dict[str, np.ndarray[Any, Any]]:
        """The arrays under their names in a shard."""
        every = (*DENSE, *SPARSE, *OPTIONAL)
        present = {kind: array for kind in every if (array := getattr(self, kind)) is not None}
        return {f"{kind}/{layer}": np.ascontiguousarray(array) for kind, array in present.items()}


def window_bytes(layers: Sequence[LayerSpec], quantities: Sequence[str] = QUANTITIES) -> int:
    """Estimated bytes on disk of one window of these layers, a tenth of the weights having flipped."""
    states = {layer.name: 1 if layer.transform else 2 for layer in layers}  # the effective weight too
    kept = set(kinds(quantities))
    sums = 4 * (len(kept & set(DENSE)) - 1)
    dense = sum(layer.weights * (np.dtype(layer.dtype).itemsize * states[layer.name] + sums) for layer in layers)
    flip = 4 * len(kept & set(SPARSE))
    sparse = sum(int(layer.weights * EXPECTED_FLIPPED) * flip for layer in layers)
    return dense + sparse + 1024 * len(layers)
