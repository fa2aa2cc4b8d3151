"""How many windows are needed to tell dead weights from slow ones: final windows and decorrelation time."""

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
    select_windows,
    span_of,
    span_text,
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

    #: Totals of `score_products` over a layer, for several pairs of times.
    Products = list[NDArray[np.float64]]

#: Windows are long enough to tell dead from slow weights if their autocorrelation is at most this.
LONG_ENOUGH = 0.5


@dataclass(frozen=True, slots=True)
class FinalWindows:
    """Windows, and whether they are long enough.

    Attributes
    ----------
    span : WindowSpan
    autocorrelation : float
        Cosine of z at their start and z at their end over all weights; NaN if no weight has a z.
    long : bool
        Whether the autocorrelation is at most 1/2, so that dead weights can be told from slow ones.
    """

    span: WindowSpan
    autocorrelation: float
    long: bool


def autocorrelation_query(run: Run, specs: Sequence[LayerSpec], first: int, last: int) -> Query[float]:
    """Cosine of z before one window and z after another over some layers.

    Channels that are constant, or hold NaN or infinity, at either time are left out.
    """
    return _autocorrelations(per_layer(run, specs, _to_end, (first,), last)).then(itemgetter(0))


def _autocorrelations(layers: Query[list[Products]]) -> Query[list[float]]:
    """The autocorrelation of each pair of times over all layers; NaN if no layer has z."""
    return layers.then(lambda found: [cosine(np.sum(pair, axis=0)) for pair in zip(*found, strict=True)])


def _to_end(run: Run, spec: LayerSpec, firsts: tuple[int, ...], last: int) -> Answer[Products]:
    """Products from the start of each window of `firsts` to the end of window `last`."""
    end = (yield ahead(run.window(last))).scored
    found: Products = []
    for first in firsts:
        start = yield over([run.window(first)], {"start"})
        found.append(_product(spec, start.scored_start, end))
    return found


def _from_start(run: Run, spec: LayerSpec, first: int, lasts: tuple[int, ...]) -> Answer[Products]:
    """Products from the start of window `first` to the end of each window of `lasts`, which may start with it."""
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
    """Batches of 1, 2, 4, ... windows: few windows are read in vain, and the reference state is read few times."""
    at, size = 0, 1
    while at < len(windows):
        yield windows[at : at + size]
        at, size = at + size, 2 * size


def final_windows(run: Run) -> FinalWindows:
    """The fewest last windows with an autocorrelation of at most 1/2; if there are none, the last half.

    They are of the whole network, also where a table shows only some layers.

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
    # Cached, because tables, figures and claims of one run all need it, and a large run takes seconds.
    if run not in _FOUND:
        _FOUND[run] = _find_final_windows(run)
    return _FOUND[run]


def choose(run: Run, windows: Windows | None) -> WindowSpan:
    """The windows that a caller chose, see `span_of`; the final windows for None."""
    return final_windows(run).span if windows is None else span_of(run, windows)


def judged_windows(run: Run, windows: Windows | None) -> FinalWindows:
    """The windows that `choose` gives, and whether they are long enough; it raises the same errors."""
    if windows is None:
        return final_windows(run)
    span = span_of(run, windows)
    moving = select_windows(run, span)
    found = autocorrelation_query(run, run.header.layers, moving[0].number, moving[-1].number).run()
    return FinalWindows(span, found, long=found <= LONG_ENOUGH)


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
    """Final windows with the same number of updates in every run: the fewest that are long enough for all.

    How many weights are silent, and how far they moved, depends on the number of updates. Only windows with the same
    number of updates can be compared.

    Parameters
    ----------
    runs : mapping of str to Run
        Runs by their labels.

    Raises
    ------
    InputError
        If the runs have no such windows.
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
            f"the runs have no final windows with the same number of updates (needed at least: {lengths}); compare "
            "runs with windows of the same length"
        )
    return {
        label: WindowSpan(lengths[enough[0]], moving_windows(runs[label])[-1].number + 1)
        for label, lengths in choices.items()
    }


def equal_windows(runs: Mapping[str, Run], windows: Windows | None) -> dict[str, WindowSpan]:
    """Windows with the same number of updates in every run: those that a caller chose, else `equal_final_windows`.

    Parameters
    ----------
    runs : mapping of str to Run
        Runs by their labels.
    windows : int, slice, str or WindowSpan, optional
        Windows by their numbers, the same in every run.

    Raises
    ------
    InputError
        If the runs have different numbers of updates in these windows, or no final windows with the same number.
    WindowNotFoundError
        If a run has none of the windows, or they hold no updates.
    """
    if windows is None:
        return equal_final_windows(runs)
    spans = {label: span_of(run, windows) for label, run in runs.items()}
    updates = {label: sum(each.updates for each in select_windows(run, spans[label])) for label, run in runs.items()}
    if len(set(updates.values())) > 1:
        listed = ", ".join(f"{count} in {label}" for label, count in updates.items())
        raise InputError(
            f"the windows {span_text(windows)} hold different numbers of updates ({listed}), so the runs cannot be "
            "compared; choose other windows, or none for final windows of the same length"
        )
    return spans


def _unbroken(windows: Sequence[Window]) -> list[Window]:
    """The windows up to the first gap."""
    return [*windows[:1], *takewhile(lambda each: start_known(each) and not begins_anew(each), windows[1:])]


def _last_windows(run: Run) -> dict[int, int]:
    """For every choice of last windows, the number of the first one, by how many updates they hold."""
    lengths, total = {}, 0
    for window in reversed(known_windows(run)):
        total += window.updates
        lengths[total] = window.number
    return lengths


def _updates(run: Run, span: WindowSpan) -> int:
    return sum(window.updates for window in moving_windows(run) if window.number in span)


def common_final_windows(runs: Mapping[str, Run]) -> dict[str, WindowSpan]:
    """Final windows with the same number of updates, if the runs have such; else the final windows of each run."""
    try:
        return equal_final_windows(runs) if runs else {}
    except InputError:
        return {label: final_windows(run).span for label, run in runs.items()}


def decorrelation_time(run: OneRun, *, after: int, layers: Sequence[str] | str | None = None) -> int | None:
    """Count the windows after a given one until their autocorrelation is at most 1/2.

    Parameters
    ----------
    run : Run or path
    after : int
        Number of a window; the count starts at its end.
    layers : str or sequence of str, optional
        Patterns of layer names; all layers by default.

    Returns
    -------
    int or None
        A number of windows; None if the run ends before, or a window or updates before it are missing.

    Raises
    ------
    LayerNotFoundError
        If a pattern matches no layer.
    WindowNotFoundError
        If the run does not have the window, or has none with updates.
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
