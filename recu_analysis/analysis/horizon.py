"""How long a stretch of windows must be to tell dead weights from slow ones: memory, the final stretch, the horizon."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from recu_analysis.analysis.engine import WindowRange, last_half, moving_windows, select_layers, window_numbered
from recu_analysis.analysis.parallel import by_layer
from recu_analysis.theory.standardize import score_products

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from recu_analysis.store.format import LayerSpec
    from recu_analysis.store.run import Run
    from recu_analysis.store.window import Window


#: Above this memory a stretch of windows is too short to tell dead from slow.
LONG_MEMORY = 0.5


@dataclass(frozen=True, slots=True)
class Stretch:
    """A range of windows and whether it is long enough.

    Attributes
    ----------
    range : WindowRange
    memory : float
        Mean over the weights of z at its start times z at its end; NaN where no weight is finite.
    long : bool
        Whether the memory is at most 1/2, so that dead can be told from slow.
    """

    range: WindowRange
    memory: float
    long: bool


def memory_between(run: Run, specs: Sequence[LayerSpec], first: int, last: int) -> float:
    """Mean over the weights of some layers of z before one window times z after another, one layer at a time.

    Channels that hold NaN or infinity at either moment are left out.
    """
    sums = by_layer(_products, run, specs, first, last)
    product, count = sum(product for product, _ in sums), sum(weights for _, weights in sums)
    return product / count if count else float("nan")


def _products(run: Run, spec: LayerSpec, first: int, last: int) -> tuple[float, int]:
    """Sum over a layer's weights of z at one moment times z at another, and how many weights there are."""
    start, end = window_numbered(run, first)[spec.name].start, window_numbered(run, last)[spec.name].weight
    sums = score_products(start, end, centre=spec.centre)
    finite = np.isfinite(sums)
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
    specs = run.header.layers
    windows = moving_windows(run)
    for first in reversed(windows):
        if not _connected(first):
            break
        memory = memory_between(run, specs, first.number, windows[-1].number)
        if memory <= LONG_MEMORY:
            return Stretch(WindowRange(first.number, windows[-1].number), memory, long=True)
    half = last_half(run)
    return Stretch(half, memory_between(run, specs, half.first, half.last), long=False)


def common_stretch(runs: Mapping[str, Run]) -> dict[str, WindowRange]:
    """The same final stretch for runs that end with the same window, the longest of theirs; else that of each."""
    own = {label: final_stretch(run).range for label, run in runs.items()}
    if len({stretch.last for stretch in own.values()}) == 1:
        first = min(stretch.first for stretch in own.values())
        return {label: WindowRange(first, stretch.last) for label, stretch in own.items()}
    return own


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


def _connected(window: Window) -> bool:
    """Whether the window before is there, so that the start is known."""
    return window.previous is not None and window.header.follows(window.previous.header)
