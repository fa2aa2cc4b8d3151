"""How long a stretch of windows must be to tell dead weights from slow ones: memory, the final stretch, the horizon."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np

from recu_analysis.analysis.layer_pass import ahead, over
from recu_analysis.analysis.query import per_layer
from recu_analysis.analysis.selection import (
    WindowSpan,
    known_windows,
    last_half,
    moving_windows,
    window_numbered,
)
from recu_analysis.errors import InputError
from recu_analysis.store.chain import begins_anew, start_known
from recu_analysis.store.layer_selection import select_layers
from recu_analysis.theory.standardize import cosine, score_products

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

    from recu_analysis.analysis.layer_pass import Answer
    from recu_analysis.analysis.query import Query
    from recu_analysis.store.header import LayerSpec
    from recu_analysis.store.run import Run
    from recu_analysis.store.window import Window

    #: Totals of `score_products` over a layer, for several pairs of moments.
    Products = list[NDArray[np.float64]]

#: Above this memory a stretch of windows is too short to tell dead from slow.
LONG_MEMORY = 0.5


@dataclass(frozen=True, slots=True)
class Stretch:
    """A span of windows and whether it is long enough.

    Attributes
    ----------
    span : WindowSpan
    memory : float
        Cosine of z at its start and z at its end over all weights; NaN where none has a z.
    long : bool
        Whether the memory is at most 1/2, so that dead can be told from slow.
    """

    span: WindowSpan
    memory: float
    long: bool


def memory_between(run: Run, specs: Sequence[LayerSpec], first: int, last: int) -> float:
    """Cosine of z before one window and z after another over some layers, one layer at a time.

    Channels that hold NaN or infinity, or that are constant, at either moment are left out.
    """
    return memory_query(run, specs, first, last).run()


def memory_query(run: Run, specs: Sequence[LayerSpec], first: int, last: int) -> Query[float]:
    """The query of `memory_between`."""
    return _memories(per_layer(run, specs, _to_end, (first,), last)).then(lambda memories: memories[0])


def _memories(layers: Query[list[Products]]) -> Query[list[float]]:
    """The memory between each of several pairs of moments, from what the layers have of them; NaN where none has z."""
    return layers.then(lambda found: [cosine(np.sum(pair, axis=0)) for pair in zip(*found, strict=True)])


def _to_end(run: Run, spec: LayerSpec, firsts: tuple[int, ...], last: int) -> Answer[Products]:
    """From the start of each of some windows to the end of one."""
    end = (yield ahead(window_numbered(run, last))).scored
    found: Products = []
    for first in firsts:
        start = yield over([window_numbered(run, first)], {"start"})
        found.append(_product(spec, start.scored_start, end))
    return found


def _from_start(run: Run, spec: LayerSpec, first: int, lasts: tuple[int, ...]) -> Answer[Products]:
    """From the start of a window to the end of each of some windows, of which it may be the first."""
    record = yield over([window_numbered(run, first)], {"start", "end"} if first == lasts[0] else {"start"})
    start = record.scored_start
    found = [_product(spec, start, record.scored)] if first == lasts[0] else []
    for last in lasts[len(found) :]:
        record = yield over([window_numbered(run, last)], {"end"})
        found.append(_product(spec, start, record.scored))
    return found


def _product(spec: LayerSpec, start: ArrayLike, end: ArrayLike) -> NDArray[np.float64]:
    sums = score_products(start, end, center=spec.center)
    total: NDArray[np.float64] = sums[np.isfinite(sums).all(axis=1)].sum(axis=0)
    return total


def _batches(windows: Sequence[Window]) -> Iterator[Sequence[Window]]:
    """1, 2, 4, ... of the windows: few are read in vain, and few times the one moment that all are compared with."""
    at, size = 0, 1
    while at < len(windows):
        yield windows[at : at + size]
        at, size = at + size, 2 * size


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


def choose(run: Run, window: WindowSpan | None) -> WindowSpan:
    """The windows that the caller named; where none were, the final stretch."""
    return final_stretch(run).span if window is None else window


_FOUND: WeakKeyDictionary[Run, Stretch] = WeakKeyDictionary()


def _find_final_stretch(run: Run) -> Stretch:
    windows = known_windows(run)
    last = windows[-1].number
    known: dict[int, float] = {}
    for batch in _batches(windows[::-1]):
        firsts = tuple(window.number for window in reversed(batch))
        memories = _memories(per_layer(run, run.header.layers, _to_end, firsts, last)).run()
        known |= zip(firsts, memories, strict=True)
        for first in reversed(firsts):
            if known[first] <= LONG_MEMORY:
                return Stretch(WindowSpan(first, last + 1), known[first], long=True)
    half = last_half(run)
    return Stretch(half, known[half.start], long=False)


def equal_stretches(runs: Mapping[str, Run]) -> dict[str, WindowSpan]:
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
    needed = {label: _updates(run, final_stretch(run).span) for label, run in runs.items()}
    shared = set.intersection(*(set(lengths) for lengths in suffixes.values()))
    enough = sorted(length for length in shared if length >= max(needed.values()))
    if not enough:
        lengths = ", ".join(f"{count} in {label}" for label, count in needed.items())
        raise InputError(
            f"the runs have no final stretches of windows with the same number of updates ({lengths} at least); "
            "compare runs whose windows have the same length"
        )
    return {
        label: WindowSpan(lengths[enough[0]], moving_windows(runs[label])[-1].number + 1)
        for label, lengths in suffixes.items()
    }


def _unbroken(windows: Sequence[Window]) -> list[Window]:
    """The first of some windows, and those after it up to a gap."""
    return [*windows[:1], *takewhile(lambda each: start_known(each) and not begins_anew(each), windows[1:])]


def _suffixes(run: Run) -> dict[int, int]:
    """Number of the first window of every final stretch, by its number of updates."""
    lengths, total = {}, 0
    for window in reversed(known_windows(run)):
        total += window.updates
        lengths[total] = window.number
    return lengths


def _updates(run: Run, stretch: WindowSpan) -> int:
    return sum(window.updates for window in moving_windows(run) if window.number in stretch)


def common_stretch(runs: Mapping[str, Run]) -> dict[str, WindowSpan]:
    """Final stretches of the same number of updates where the runs' windows make some; else that of each run."""
    try:
        return equal_stretches(runs) if runs else {}
    except InputError:
        return {label: final_stretch(run).span for label, run in runs.items()}


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
    later = _unbroken([window for window in moving_windows(run) if window.number > after])
    for batch in _batches(later):
        first, lasts = later[0].number, tuple(window.number for window in batch)
        memories = _memories(per_layer(run, specs, _from_start, first, lasts)).run()
        for last, memory in zip(lasts, memories, strict=True):
            if memory <= LONG_MEMORY:
                return Stretch(WindowSpan(first, last + 1), memory, long=True)
    return None
