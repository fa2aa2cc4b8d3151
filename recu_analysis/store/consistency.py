"""Consistency of a window's numbers: a window whose numbers contradict each other is damaged."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from recu_analysis.store.quantities import TRACES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from recu_analysis.store.header import LayerSpec, LayerWindow
    from recu_analysis.store.quantities import Quantity
    from recu_analysis.store.shard import ShardHeader

#: Sums and norms that are never negative; NaN if a weight was NaN.
NEVER_NEGATIVE = frozenset(
    {"path", "zpath", "grad", "noise", "momentum_norm", "norm_start", "norm_end", "noise_decay", "earned_variance"}
    | {"transitions"}
)
#: |z| up to which a weight may be at the mean of its channel.
AT_THE_MEAN = 1e-6


def contradiction(header: ShardHeader) -> str | None:
    """Which numbers of a header contradict each other, as a clause; None if they are consistent.

    A window may have more updates than any of its layers: an optimizer may hold no recorded layer.
    """
    first, last = header.first_update, header.last_update
    if min(header.segment, header.window, header.marks or 0) < 0 or first < 1 or last < first - 1:
        return f"window {header.window} of segment {header.segment} goes from update {first} to update {last}"
    for name, layer in header.layers.items():
        ends = layer.next_update - 1
        begins_before = last >= first and layer.first_update < first
        if layer.first_update < 1 or ends > last or begins_before or (last < first and layer.updates):
            return (
                f"the window has updates {first} to {last}, but layer {name!r:.80} has {layer.updates} updates from "
                f"update {layer.first_update} on"
            )
    return None


def other_updates(header: ShardHeader) -> str | None:
    """Which layer has other updates than the window, in a run with one optimizer; None if all agree."""
    for name, layer in header.layers.items():
        if (layer.first_update, layer.next_update - 1) != (header.first_update, header.last_update):
            window = f"updates {header.first_update} to {header.last_update}"
            return f"the window has {window}, but layer {name!r:.80} has others"
    return None


def fits_shape(quantity: Quantity, shape: tuple[int, ...], layer: LayerSpec, updates: int) -> bool:
    """Whether the shape of a tensor fits its quantity, its layer and the number of updates."""
    match quantity.of:
        case "weights":
            return shape == layer.shape
        case "channels":  # earlier versions kept one value for a layer with a single scale
            return math.prod(shape) in {1, layer.shape[0]}
        case "states":
            return shape == (layer.quantizer.count,) * 2
        case "groups":
            return shape == (layer.quantizer.groups(layer.shape),)
        case "traced":
            return shape == (updates, len(layer.traced))
    return len(shape) == 1


def is_negative(name: str, values: NDArray[Any]) -> bool:
    """Whether a sum that can never be negative has a negative value."""
    return name in NEVER_NEGATIVE and bool((values < 0).any())


def fits_window(name: str, values: NDArray[Any], layer: LayerWindow) -> bool:
    """Whether the values of the flipped weights are possible in the updates of a layer's window.

    A weight flips at most once per update.
    """
    if not values.size:
        return True
    low, high = int(values.min()), int(values.max())
    if name == "flips":
        return 1 <= low <= high <= layer.updates
    if name == "reversals":
        return 0 <= low <= high <= layer.updates
    if name in {"first_flip", "last_flip"}:
        return layer.first_update <= low <= high < layer.next_update
    return True


def odd_flips(flips: dict[str, NDArray[np.int64]]) -> Iterator[str]:
    """Clauses about flips, reversals, first_flip and last_flip of the same weights that contradict each other."""
    first, last, counts = (flips.get(name) for name in ("first_flip", "last_flip", "flips"))
    reversals = flips.get("reversals")
    if reversals is not None and counts is not None and (reversals > counts).any():
        yield "some weights reversed more often than they flipped"
    if first is None or last is None:
        return
    if (first > last).any():
        yield "the last flip of some weights comes before their first flip"
    elif counts is not None and ((counts == 1) & (first != last)).any():
        yield "some weights that flipped once have two different flip updates"


def odd_transitions(
    transitions: NDArray[np.int64], weights: int, layer: LayerWindow, flips: int, *, exact: bool
) -> Iterator[str]:
    """Clauses about transition counts that contradict the updates of a layer with so many weights and flips.

    Of checkpoints, only the transitions from one to the next are counted.
    """
    seen, rest = divmod(int(transitions.sum()), weights)
    if rest or (seen != layer.updates if exact else not min(layer.updates, 1) <= seen <= layer.updates):
        yield "the transitions do not add up to weights times updates"
    elif int(transitions.sum() - transitions.trace()) != flips:
        yield "the transitions between different states are not as many as the flips"


def odd_traces(
    traced: dict[str, NDArray[Any]], end: NDArray[Any], states: NDArray[np.int16], binary: bool
) -> Iterator[str]:
    """Clauses about traced weights that do not end where the window ends, with these weights and states."""
    value, z, state = (traced[name][-1] for name in TRACES)
    if not np.array_equal(value, end, equal_nan=True):
        yield "the last value of some traced weights is not their weight at the window's end"
    # Rounding decides the sign of a weight at the mean of its channel. States of a quantizer are exact.
    elif (((state > 0) != (states > 0)) & (np.abs(z) > AT_THE_MEAN) if binary else state != states).any():
        yield "the last state of some traced weights is not their state at the window's end"
