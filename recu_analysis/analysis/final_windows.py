"""How many windows are needed to tell dead weights from slow ones: final windows and decorrelation time."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import takewhile
from operator import itemgetter
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np

from recu_analysis.analysis.arms import arm_numbers
from recu_analysis.analysis.layer_pass import ahead, over
from recu_analysis.analysis.null import null_sums
from recu_analysis.analysis.query import per_layer, takes_levels
from recu_analysis.analysis.selection import (
    WindowSpan,
    known_windows,
    moving_windows,
    select_windows,
    span_of,
    span_text,
)
from recu_analysis.errors import IncomparableError, InputError
from recu_analysis.store.chain import begins_anew, start_known
from recu_analysis.store.labels import together
from recu_analysis.store.layer_selection import select_layers
from recu_analysis.store.run import as_run
from recu_analysis.theory.autocorrelation import cosine

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from recu_analysis.analysis.layer_pass import Answer
    from recu_analysis.analysis.query import Query
    from recu_analysis.analysis.selection import Windows
    from recu_analysis.store.header import LayerSpec
    from recu_analysis.store.run import OneRun, Run
    from recu_analysis.store.window import Window

    Values = NDArray[np.float64]
    #: Totals of `null_sums`, for several pairs of times.
    Products = list[Values]

#: Windows are long enough to tell dead from slow weights if their null autocorrelation is at most this.
LONG_ENOUGH = 0.5
#: Windows of several runs are compared only if their null autocorrelations differ by at most this.
NULL_TOLERANCE = 0.1


@dataclass(frozen=True, slots=True)
class FinalWindows:
    """Windows, and whether they are long enough.

    Attributes
    ----------
    span : WindowSpan
    null : float
        Null autocorrelation over all weights: the cosine of z at their start and z at their end that noise alone would
        leave under the rates of the optimizer and the measured spread of the weights. NaN if no weight has a z, or the
        rates are not known.
    long : bool
        Whether the null autocorrelation is at most 1/2, so that dead weights can be told from slow ones.
    """

    span: WindowSpan
    null: float
    long: bool


def null_query(run: Run, specs: Sequence[LayerSpec], first: int, last: int) -> Query[float]:
    """Null autocorrelation from the start of one window to the end of another over some layers.

    It depends on the schedule and on the spread of the weights, not on where the weights went. If it depended on the
    measured autocorrelation, windows would be chosen by what is then tested. Channels that are constant, or hold NaN or
    infinity, at either time are left out.
    """
    return _nulls(per_layer(run, specs, _to_end, (first,), last)).then(itemgetter(0))


def _nulls(layers: Query[list[Products]]) -> Query[list[float]]:
    """The null autocorrelation of each pair of times over all layers; NaN if no layer has z."""
    return layers.then(lambda found: [cosine(np.sum(pair, axis=0)) for pair in zip(*found, strict=True)])


@takes_levels
def _to_end(run: Run, spec: LayerSpec, firsts: tuple[int, ...], last: int) -> Answer[Products]:
    """Products from the start of each window of `firsts` to the end of window `last`."""
    end = (yield ahead(run.window(last))).deviations_end
    found: Products = []
    for first in firsts:
        start = yield over([run.window(first)], {"start"})
        found.append(_product(run, spec, (first, last), start.deviations_start, end))
    return found


@takes_levels
def _from_start(run: Run, spec: LayerSpec, first: int, lasts: tuple[int, ...]) -> Answer[Products]:
    """Products from the start of window `first` to the end of each window of `lasts`, which may start with it."""
    record = yield over([run.window(first)], {"start", "end"} if first == lasts[0] else {"start"})
    start = record.deviations_start
    found = [_product(run, spec, (first, first), start, record.deviations_end)] if first == lasts[0] else []
    for last in lasts[len(found) :]:
        record = yield over([run.window(last)], {"end"})
        found.append(_product(run, spec, (first, last), start, record.deviations_end))
    return found


def _product(run: Run, spec: LayerSpec, ends: tuple[int, int], before: Values, after: Values) -> Values:
    """Sums over a layer for its null autocorrelation from the start of one window to the end of another."""
    windows = select_windows(run, WindowSpan(ends[0], ends[1] + 1))
    return null_sums(run, spec, windows, before, after)


def _batches(windows: Sequence[Window]) -> Iterator[Sequence[Window]]:
    """Batches of 1, 2, 4, ... windows: few windows are read in vain, and the reference state is read few times."""
    at, size = 0, 1
    while at < len(windows):
        yield windows[at : at + size]
        at, size = at + size, 2 * size


def final_windows(run: Run) -> FinalWindows:
    """The fewest last windows with a null autocorrelation of at most 1/2; if there are none, all known windows.

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
    if windows is None or windows == final_windows(run).span:
        return final_windows(run)
    span = span_of(run, windows)
    moving = select_windows(run, span)
    found = null_query(run, run.header.layers, moving[0].number, moving[-1].number).run()
    return FinalWindows(span, found, long=found <= LONG_ENOUGH)


_FOUND: WeakKeyDictionary[Run, FinalWindows] = WeakKeyDictionary()


def _find_final_windows(run: Run) -> FinalWindows:
    windows = known_windows(run)
    last = windows[-1].number
    null = math.nan
    for batch in _batches(windows[::-1]):
        firsts = tuple(window.number for window in reversed(batch))
        nulls = _nulls(per_layer(run, run.header.layers, _to_end, firsts, last)).run()
        for first, null in zip(reversed(firsts), reversed(nulls), strict=True):
            if null <= LONG_ENOUGH:
                return FinalWindows(WindowSpan(first, last + 1), null, long=True)
    return FinalWindows(WindowSpan(windows[0].number, last + 1), null, long=False)


def equal_final_windows(runs: Mapping[str, Run]) -> dict[str, WindowSpan]:
    """Final windows of several runs that can be compared: the fewest that are long enough for all.

    How many weights are silent, and how far they moved, depends on the number of updates and on what noise leaves of
    the start. Windows can be compared if they hold the same number of updates, and their null autocorrelations, means
    over the seeds of each experiment, differ by at most `NULL_TOLERANCE`.

    Parameters
    ----------
    runs : mapping of str to Run
        Runs by their labels.

    Raises
    ------
    IncomparableError
        If the runs have no such windows.
    WindowNotFoundError
        If a run holds no window with updates.
    """
    choices = {label: _last_windows(run) for label, run in runs.items()}
    needed = {label: _updates(run, final_windows(run).span) for label, run in runs.items()}
    shared = set.intersection(*(set(lengths) for lengths in choices.values()))
    enough = sorted(length for length in shared if length >= max(needed.values()))
    if not enough:
        lengths = together(f"{count} in {label}" for label, count in needed.items())
        raise IncomparableError(
            f"the runs have no final windows with the same number of updates (needed at least: {lengths}); compare "
            "runs with windows of the same length"
        )
    problem = ""
    for length in enough:
        spans = {
            label: WindowSpan(lengths[length], moving_windows(runs[label])[-1].number + 1)
            for label, lengths in choices.items()
        }
        problem = _unequal_nulls(runs, spans)
        if not problem:
            return spans
    raise IncomparableError(f"{problem}; longer trainings leave less of the start")


def equal_windows(runs: Mapping[str, Run], windows: Windows | None) -> dict[str, WindowSpan]:
    """Windows of several runs that can be compared: those that a caller chose, else `equal_final_windows`.

    Parameters
    ----------
    runs : mapping of str to Run
        Runs by their labels.
    windows : int, slice, str or WindowSpan, optional
        Windows by their numbers, the same in every run.

    Raises
    ------
    IncomparableError
        If the runs have different numbers of updates in these windows, or different null autocorrelations, or no final
        windows that can be compared.
    WindowNotFoundError
        If a run has none of the windows, or they hold no updates.
    """
    if windows is None:
        return equal_final_windows(runs)
    spans = {label: span_of(run, windows) for label, run in runs.items()}
    updates = {label: sum(each.updates for each in select_windows(run, spans[label])) for label, run in runs.items()}
    if len(set(updates.values())) > 1:
        listed = together(f"{count} in {label}" for label, count in updates.items())
        raise IncomparableError(
            f"the windows {span_text(windows)} hold different numbers of updates ({listed}), so the runs cannot be "
            "compared; choose other windows, or none for final windows of the same length"
        )
    if problem := _unequal_nulls(runs, spans):
        raise IncomparableError(f"{problem}; choose more windows, which leave less of the start")
    return spans


def _unequal_nulls(runs: Mapping[str, Run], spans: Mapping[str, WindowSpan]) -> str:
    """Why the null autocorrelations of some windows forbid a comparison; empty if those that are known are alike.

    Those of the seeds of an experiment differ by chance, so the means over seeds are compared.
    """
    if len(runs) < 2:
        return ""
    nulls = {label: judged_windows(run, spans[label]).null for label, run in runs.items()}
    by_arm: dict[int, list[float]] = {}
    for label, arm in arm_numbers(runs).items():
        if not math.isnan(nulls[label]):
            by_arm.setdefault(arm, []).append(nulls[label])
    means = [sum(each) / len(each) for each in by_arm.values()]
    if not means or max(means) - min(means) <= NULL_TOLERANCE:
        return ""
    listed = together(f"{null:.2f} in {label}" for label, null in nulls.items() if not math.isnan(null))
    return (
        f"noise alone would leave different parts of the start in the windows (null autocorrelation {listed}; means of "
        f"experiments at most {NULL_TOLERANCE:g} apart are needed), so silence and sign changes cannot be compared"
    )


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
    """Count the windows after a given one until their null autocorrelation is at most 1/2.

    Parameters
    ----------
    run : one Run or path
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
        for null in _nulls(per_layer(run, specs, _from_start, first, lasts)).run():
            seen += 1
            if null <= LONG_ENOUGH:
                return seen
    return None
