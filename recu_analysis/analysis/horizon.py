"""How long a stretch of windows must be to tell dead weights from slow ones: memory, the final stretch, the horizon."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np

from recu_analysis.analysis.engine import (
    WindowRange,
    known_windows,
    last_half,
    moving_windows,
    select_layers,
    window_numbered,
)
from recu_analysis.analysis.parallel import by_layer
from recu_analysis.errors import InputError
from recu_analysis.theory.standardize import score_products

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from recu_analysis.store.format import LayerSpec
    from recu_analysis.store.run import Run


#: Above this memory a stretch of windows is too short to tell dead from slow.
LONG_MEMORY = 0.5


@dataclass(frozen=True, slots=True)
class Stretch:
    """A range of windows and whether it is long enough.

    Attributes
    ----------
    range : WindowRange
    memory : float
        Mean over the weights of z at its start times z at its end; NaN where none has a z.
    long : bool
        Whether the memory is at most 1/2, so that dead can be told from slow.
    """

    range: WindowRange
    memory: float
    long: bool


def memory_between(run: Run, specs: Sequence[LayerSpec], first: int, last: int) -> float:
    """Mean over the weights of some layers of z before one window times z after another, one layer at a time.

    Channels that hold NaN or infinity at either moment are left out, and layers none of whose channels varies.
    """
    sums = by_layer(_products, run, specs, first, last)
    product, count = sum(product for product, _ in sums), sum(weights for _, weights in sums)
    return product / count if count else float("nan")


def _products(run: Run, spec: LayerSpec, first: int, last: int) -> tuple[float, int]:
    """Sum over a layer's weights of z at one moment times z at another, and how many weights there are."""
    start, end = window_numbered(run, first)[spec.name].start, window_numbered(run, last)[spec.name].weight
    sums = score_products(start, end, centre=spec.centre)
    finite = np.isfinite(sums) & sums.any()
    return float(sums[finite].sum()), int(finite.sum()) * (spec.weights // len(sums))


def final_stretch(run: Run) -> Stretch:
    """The shortest final stretch of windows whose memory is at most 1/2; where there is none, the last half.

    It is that of the whole network, whatever layers are then looked at.

    Parameters
    ----------
    run : Run

    Returns
    -------
    Stretch

    Raises
    ------
    WindowNotFoundError
        If the run holds no window with updates.
    """
    # Tables, figures and claims of one run ask again, and a large run takes seconds to answer.
    if run not in _FOUND:
        _FOUND[run] = _find_final_stretch(run)
    return _FOUND[run]


_FOUND: WeakKeyDictionary[Run, Stretch] = WeakKeyDictionary()


def _find_final_stretch(run: Run) -> Stretch:
    specs = run.header.layers
    windows = known_windows(run)
    for first in reversed(windows):
        memory = memory_between(run, specs, first.number, windows[-1].number)
        if memory <= LONG_MEMORY:
            return Stretch(WindowRange(first.number, windows[-1].number), memory, long=True)
    half = last_half(run)
    return Stretch(half, memory_between(run, specs, half.first, half.last), long=False)


def equal_stretches(runs: Mapping[str, Run]) -> dict[str, WindowRange]:
    """Final stretches of the same number of updates, the fewest that are long enough for every run.

    How many weights are silent, or how far they moved, depends on how many updates were looked at: only stretches of
    the same length can be compared.

    Parameters
    ----------
    runs : mapping of str to Run
        Runs by their labels.

    Raises
    ------
    InputError
        If the windows of the runs make no such stretches.
    WindowNotFoundError
        If a run holds no window with updates.
    """
    suffixes = {label: _suffixes(run) for label, run in runs.items()}
    needed = {label: _updates(run, final_stretch(run).range) for label, run in runs.items()}
    shared = set.intersection(*(set(lengths) for lengths in suffixes.values()))
    enough = sorted(length for length in shared if length >= max(needed.values()))
    if not enough:
        lengths = ", ".join(f"{count} in {label}" for label, count in needed.items())
        raise InputError(
            f"the runs have no final stretches of windows with the same number of updates ({lengths} at least); "
            "compare runs whose windows have the same length"
        )
    return {
        label: WindowRange(lengths[enough[0]], moving_windows(runs[label])[-1].number)
        for label, lengths in suffixes.items()
    }


def _suffixes(run: Run) -> dict[int, int]:
    """Number of the first window of every final stretch, by its number of updates."""
    lengths, total = {}, 0
    for window in reversed(known_windows(run)):
        total += window.updates
        lengths[total] = window.number
    return lengths


def _updates(run: Run, stretch: WindowRange) -> int:
    return sum(window.updates for window in moving_windows(run) if stretch.first <= window.number <= stretch.last)


def common_stretch(runs: Mapping[str, Run]) -> dict[str, WindowRange]:
    """Final stretches of the same number of updates where the runs' windows make some; else that of each run."""
    try:
        return equal_stretches(runs) if runs else {}
    except InputError:
        return {label: final_stretch(run).range for label, run in runs.items()}


def horizon(run: Run, after: int, layers: Sequence[str] | str | None = None) -> Stretch | None:
    """The shortest stretch of windows after one whose memory is at most 1/2; None where the run ends before.

    Parameters
    ----------
    run : Run
    after : int
        Number of the window at whose end the stretch begins.
    layers : str or sequence of str, optional
        Patterns of the layers whose memory counts; all by default.

    Returns
    -------
    Stretch or None

    Raises
    ------
    LayerNotFoundError, WindowNotFoundError
        If a pattern matches nothing, or the run holds no window with updates.
    """
    specs = select_layers(run, layers)
    later = [window for window in moving_windows(run) if window.number > after]
    for last in later:
        memory = memory_between(run, specs, later[0].number, last.number)
        if memory <= LONG_MEMORY:
            return Stretch(WindowRange(later[0].number, last.number), memory, long=True)
    return None
