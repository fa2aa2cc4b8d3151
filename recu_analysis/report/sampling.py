"""Which windows and layers of large runs a page shows, evenly spaced."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from recu_analysis.analysis.selection import span_of
from recu_analysis.store.chain import start_known
from recu_analysis.store.layer_selection import select_layers

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from recu_analysis.analysis.selection import Windows
    from recu_analysis.store.header import LayerSpec
    from recu_analysis.store.run import Run

Item = TypeVar("Item")

#: A chart shows at most this many windows of a run.
MAX_WINDOWS = 60
#: At most this many layers of all runs, and layers times windows: this keeps the page below 8 MB.
MAX_LAYERS = 400
MAX_CELLS = 6_000
#: At most this many weights times windows of all runs: the page is then made in minutes.
MAX_WEIGHTS = 300_000_000


@dataclass(frozen=True, slots=True)
class Sample:
    """A run, and the part of it that a page shows.

    Attributes
    ----------
    every : Run
        The run with the layers that are shown, and every window.
    run : Run
        The same, with only the windows since the last gap.
    shown : tuple of int
        Numbers of the windows in charts.
    layers, windows : int
        How many could be shown.
    """

    every: Run
    run: Run
    shown: tuple[int, ...]
    layers: int
    windows: int

    @property
    def whole(self) -> bool:
        """Whether nothing was left out."""
        return (len(self.every.layer_names), len(self.shown)) == (self.layers, self.windows)


def sample(
    runs: Mapping[str, Run], windows: Windows | None = None, layers: Sequence[str] | str | None = None
) -> dict[str, Sample]:
    """Select what a page shows: all of a small run, evenly spaced layers and windows of a large one.

    Parameters
    ----------
    runs : mapping of str to Run
    windows : int, slice, str or WindowSpan, optional
        Only these windows of charts.
    layers : str or sequence of str, optional
        Only the layers whose names match these patterns.

    Returns
    -------
    dict of str to Sample
        Windows whose start is unknown, because the one before is missing, are left out.

    Raises
    ------
    InputError
        If `windows` or `layers` is not valid.
    LayerNotFoundError
        If a pattern matches no layer of a run.
    WindowNotFoundError
        If a run has none of the windows.
    """
    chosen = {label: _with_layers(run, select_layers(run, layers)) for label, run in runs.items()}
    fewer = {label: _some_layers(run, MAX_LAYERS // len(runs)) for label, run in chosen.items()}
    total = sum(len(run.layer_names) for run in fewer.values())
    weights = sum(spec.weights for run in fewer.values() for spec in run.header.layers)
    limit = max(2, min(MAX_WINDOWS, MAX_CELLS // max(1, total), MAX_WEIGHTS // max(1, weights)))
    result = {}
    for label, run in fewer.items():
        span = None if windows is None else span_of(run, windows)
        usable = [each for each in run.windows if start_known(each) and (span is None or each.number in span)]
        shown = tuple(each.number for each in evenly(usable, limit))
        result[label] = Sample(run, _since_gap(run), shown, len(chosen[label].layer_names), len(usable))
    return result


def _with_layers(run: Run, layers: Sequence[LayerSpec]) -> Run:
    """The run with only these layers."""
    if len(layers) == len(run.header.layers):
        return run
    return replace(run, header=replace(run.header, layers=tuple(layers)))


def _some_layers(run: Run, limit: int) -> Run:
    return _with_layers(run, evenly(run.header.layers, limit))


def _since_gap(run: Run) -> Run:
    """The run since its last gap: since a window with an unknown start, or a state after unrecorded updates."""
    begun = [at for at, each in enumerate(run.windows) if each.header.is_state or not start_known(each)]
    return replace(run, windows=run.windows[begun[-1] :]) if begun and begun[-1] else run


def evenly(items: Sequence[Item], limit: int) -> list[Item]:
    """At most `limit` of the items (at least 2), evenly spaced, with the first and the last."""
    if len(items) <= limit:
        return list(items)
    return [items[index * (len(items) - 1) // (limit - 1)] for index in range(limit)]
