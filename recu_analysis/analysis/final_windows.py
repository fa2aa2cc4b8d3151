"""How many windows it takes to tell dead weights from slow ones: final windows, and the decorrelation time."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import takewhile
from operator import itemgetter
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
    span_of,
)
from recu_analysis.errors import InputError
from recu_analysis.store.chain import begins_anew, start_known
from recu_analysis.store.layer_selection import select_layers
from recu_analysis.store.run import as_run
from recu_analysis.theory.standardize import cosine, score_products

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

    from recu_analysis.analysis.layer_pass import Answer
    from recu_analysis.analysis.query import Query
    from recu_analysis.analysis.selection import Windows
    from recu_analysis.store.header import LayerSpec
    from recu_analysis.store.run import OneRun, Run
    from recu_analysis.store.window import Window

    #: Totals of `score_products` over a layer, for several pairs of moments.
    Products = list[NDArray[np.float64]]

#: Windows are long enough to tell dead from slow where their autocorrelation is at most this.
LONG_ENOUGH = 0.5


@dataclass(frozen=True, slots=True)
class FinalWindows:
    """Windows, and whether they are long enough.

    Attributes
    ----------
    span : WindowSpan
    autocorrelation : float
        Cosine of z at their start and z at their end over all weights; NaN where none has a z.
    long : bool
        Whether the autocorrelation is at most 1/2, so that dead can be told from slow.
    """

    span: WindowSpan
    autocorrelation: float
    long: bool


def autocorrelation_query(run: Run, specs: Sequence[LayerSpec], first: int, last: int) -> Query[float]:
    """Cosine of z before one window and z after another over some layers.

    Channels that hold NaN or infinity, or that are constant, at either moment are left out.
    """
    return _autocorrelations(per_layer(run, specs, _to_end, (first,), last)).then(itemgetter(0))


def _autocorrelations(layers: Query[list[Products]]) -> Query[list[float]]:
    """The autocorrelation of each of several pairs of moments, from what the layers have; NaN where none has z."""
    return layers.then(lambda found: [cosine(np.sum(pair, axis=0)) for pair in zip(*found, strict=True)])


def _to_end(run: Run, spec: LayerSpec, firsts: tuple[int, ...], last: int) -> Answer[Products]:
    """From the start of each of some windows to the end of one."""
    end = (yield ahead(run.window(last))).scored
    found: Products = []
    for first in firsts:
        start = yield over([run.window(first)], {"start"})
        found.append(_product(spec, start.scored_start, end))
    return found


def _from_start(run: Run, spec: LayerSpec, first: int, lasts: tuple[int, ...]) -> Answer[Products]:
    """From the start of a window to the end of each of some windows, of which it may be the first."""
    record = yield over([run.window(first)], {"start", "end"} if first == lasts[0] else {"start"})
    start = record.scored_start
    found = [_product(spec, start, record.scored)] if first == lasts[0] else []
    for last in lasts[len(found) :]:
        record = yield over([run.window(last)], {"end"})
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


def final_windows(run: Run) -> FinalWindows:
    """The fewest last windows whose autocorrelation is at most 1/2; where there are none, the last half.

    They are those of the whole network, whatever layers are then looked at.

    Parameters
    ----------
    run : Run

    Returns
    -------
    FinalWindows

    Raises
    ------
    WindowNotFoundError
        If the run holds no window with updates.
    """
    # Tables, figures and claims of one run ask again, and a large run takes seconds to answer.
    if run not in _FOUND:
        _FOUND[run] = _find_final_windows(run)
    return _FOUND[run]


def choose(run: Run, windows: Windows | None) -> WindowSpan:
    """The windows that a caller chose, see `span_of`; where that is None, the final windows."""
    return final_windows(run).span if windows is None else span_of(run, windows)


_FOUND: WeakKeyDictionary[Run, FinalWindows] = WeakKeyDictionary()


def _find_final_windows(run: Run) -> FinalWindows:
    windows = known_windows(run)
    last = windows[-1].number
    known: dict[int, float] = {}
    for batch in _batches(windows[::-1]):
        firsts = tuple(window.number for window in reversed(batch))
        autocorrelations = _autocorrelations(per_layer(run, run.header.layers, _to_end, firsts, last)).run()
        known |= zip(firsts, autocorrelations, strict=True)
        for first in reversed(firsts):
            if known[first] <= LONG_ENOUGH:
                return FinalWindows(WindowSpan(first, last + 1), known[first], long=True)
    half = last_half(run)
    return FinalWindows(half, known[half.start], long=False)


def equal_final_windows(runs: Mapping[str, Run]) -> dict[str, WindowSpan]:
    """Final windows of the same number of updates, the fewest that are long enough for every run.

    How many weights are silent, or how far they moved, depends on how many updates were looked at: only windows of
    the same number of updates can be compared.

    Parameters
    ----------
    runs : mapping of str to Run
        Runs by their labels.

    Raises
    ------
    InputError
        If the windows of the runs make no such windows.
    WindowNotFoundError
        If a run holds no window with updates.
    """
    choices = {label: _last_windows(run) for label, run in runs.items()}
    needed = {label: _updates(run, final_windows(run).span) for label, run in runs.items()}
    shared = set.intersection(*(set(lengths) for lengths in choices.values()))
    enough = sorted(length for length in shared if length >= max(needed.values()))
    if not enough:
        lengths = ", ".join(f"{count} in {label}" for label, count in needed.items())
        raise InputError(
            f"the runs have no final windows with the same number of updates ({lengths} at least); "
            "compare runs whose windows have the same length"
        )
    return {
        label: WindowSpan(lengths[enough[0]], moving_windows(runs[label])[-1].number + 1)
        for label, lengths in choices.items()
    }


def _unbroken(windows: Sequence[Window]) -> list[Window]:
    """The first of some windows, and those after it up to a gap."""
    return [*windows[:1], *takewhile(lambda each: start_known(each) and not begins_anew(each), windows[1:])]


def _last_windows(run: Run) -> dict[int, int]:
    """Number of the first of every choice of last windows, by how many updates they hold."""
    lengths, total = {}, 0
    for window in reversed(known_windows(run)):
        total += window.updates
        lengths[total] = window.number
    return lengths


def _updates(run: Run, span: WindowSpan) -> int:
    return sum(window.updates for window in moving_windows(run) if window.number in span)


def common_final_windows(runs: Mapping[str, Run]) -> dict[str, WindowSpan]:
    """Final windows of the same number of updates where the runs' windows make some; else those of each run."""
    try:
        return equal_final_windows(runs) if runs else {}
    except InputError:
        return {label: final_windows(run).span for label, run in runs.items()}


def decorrelation_time(run: OneRun, *, after: int, layers: Sequence[str] | str | None = None) -> int | None:
    """How many windows after one until their autocorrelation is at most 1/2; None where the run ends before.

    Parameters
    ----------
    run : Run or path
    after : int
        Number of the window at whose end they begin.
    layers : str or sequence of str, optional
        Patterns of the layers whose autocorrelation counts; all by default.

    Returns
    -------
    int or None
        A count of windows; None also where a window before is missing, or updates are in no window.

    Raises
    ------
    LayerNotFoundError, WindowNotFoundError
        If a pattern matches nothing, or the run does not have that window, or none with updates.
    """
    run = as_run(run)
    run.window(after)
    specs = select_layers(run, layers)
    later = _unbroken([window for window in moving_windows(run) if window.number > after])
    seen = 0
    for batch in _batches(later):
        first, lasts = later[0].number, tuple(window.number for window in batch)
        for autocorrelation in _autocorrelations(per_layer(run, specs, _from_start, first, lasts)).run():
            seen += 1
            if autocorrelation <= LONG_ENOUGH:
                return seen
    return None
