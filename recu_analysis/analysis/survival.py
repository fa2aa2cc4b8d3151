"""Survival of states: how long weights keep their state on the clock T, and the hazard of a first flip."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from recu_analysis.analysis.deadness import MOVEMENT, TAIL_TAU, mean, movement
from recu_analysis.analysis.final_windows import choose
from recu_analysis.analysis.layer_pass import over
from recu_analysis.analysis.null import null
from recu_analysis.analysis.query import per_layer, takes_levels
from recu_analysis.analysis.run_arguments import of_each
from recu_analysis.analysis.selection import select_windows
from recu_analysis.errors import InputError, NotRecordedError
from recu_analysis.store.layer_selection import select_layers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from recu_analysis.analysis.deadness import TailTau
    from recu_analysis.analysis.layer_pass import Answer
    from recu_analysis.analysis.null import Null
    from recu_analysis.analysis.query import Query
    from recu_analysis.analysis.run_arguments import SeveralRuns
    from recu_analysis.analysis.selection import Windows, WindowSpan
    from recu_analysis.store.header import LayerSpec
    from recu_analysis.store.run import Run
    from recu_analysis.store.window import Window

    Values = NDArray[np.float64]
    Row = dict[str, Any]

#: Number of spans of equal T into which the windows are cut by default.
SPANS = 8
#: Columns of what noise alone would give.
NULL = ("survival_fraction_null", "hazard_null")


def survival(
    runs: SeveralRuns,
    *,
    windows: Windows | None = None,
    layers: Sequence[str] | str | None = None,
    tail_tau: TailTau = TAIL_TAU,
    spans: int = SPANS,
) -> pd.DataFrame:
    """How many weights of tail and core have not flipped yet, over the decay time T, and their hazard of a flip.

    First flips are exact, and every weight is followed to the same end. So the survival is a plain share, and the
    estimate of Kaplan and Meier adds nothing. The hazard has no interval here, because the noise of a minibatch is
    common to all weights of a training; compare seeds.

    Parameters
    ----------
    runs : run or path, sequence, or mapping of labels to runs
        Of several runs, the tables are below each other, with the labels of the runs in a first column, run.
    windows : int, slice, str or WindowSpan, optional
        The windows to follow, such as "8:", by default the final windows. Tail and core are chosen once, at their
        start.
    layers : str or sequence of str, optional
        Patterns of layer names.
    tail_tau : float or "window"
        Level of the tail.
    spans : int
        Number of spans of equal T. A span ends with an update, so there are no more spans than updates.

    Returns
    -------
    DataFrame
        One row for each layer, group and span. A layer in which nothing decayed, such as a frozen one, has no rows:

        - layer, group (tail or core), weights
        - update: the last of the span
        - decay_time_past: T from the start of the windows to the end of the span. At the ends of windows it is exact;
          within a window it is interpolated, as if all its updates had the same rates
        - survival_fraction: weights without a flip from the start to the end of the span
        - hazard: first flips per unit of T in the span, of the weights that had none before: minus the change of
          ln(survival_fraction) over the change of T; NaN if no weight is left
        - survival_fraction_null, hazard_null: what noise alone would give; NaN if the rates of the updates are not
          known, or weights have more than two levels. See `recu_analysis.analysis.null`

    Raises
    ------
    InputError
        If `windows`, `tail_tau` or `spans` is not valid, or no layer decayed in the windows, or their T is not known,
        as for imported checkpoints.
    LayerNotFoundError
        If a pattern matches no layer.
    NotRecordedError
        If the run does not keep first flips.
    WindowNotFoundError
        If the windows are not there, or updates between them are in no window.
    """
    return of_each(runs, lambda run: survival_query(run, choose(run, windows), layers, tail_tau, spans))


def survival_query(
    run: Run,
    span: WindowSpan,
    layers: Sequence[str] | str | None = None,
    tail_tau: TailTau = TAIL_TAU,
    spans: int = SPANS,
) -> Query[pd.DataFrame]:
    """The query of `survival`."""
    if spans < 1:
        raise InputError(f"the survival needs at least one span, not {spans}")
    rows = per_layer(run, select_layers(run, layers), _rows, span, tail_tau, spans)
    return rows.then(lambda parts: _table(run, parts))


def _table(run: Run, layers: Sequence[list[Row]]) -> pd.DataFrame:
    rows = [row for each in layers for row in each]
    if not rows:
        raise InputError(f"nothing decayed in the windows of {run.path}, so T = 0; train with weight decay")
    return pd.DataFrame(rows)


@takes_levels
def _rows(run: Run, spec: LayerSpec, span: WindowSpan, tail_tau: TailTau, spans: int) -> Answer[list[Row]]:
    windows = select_windows(run, span)
    past, clock = _clock(run, windows, spec.name)
    if not clock[-1] > 0.0:
        return []  # a frozen layer, for example
    moved = movement(spec, (yield over(windows, MOVEMENT | {"first_flip"})), tail_tau)
    if moved.record.first_flip is None:
        raise NotRecordedError(f"{run.path} does not keep first flips, which the survival needs; record flip_times too")
    first_flip = moved.record.first_flip.reshape(-1)[moved.valid]
    before = windows[0].first_update - 1
    first = np.where(first_flip < 0, 0, first_flip - before)
    noise = null(run, spec, moved)
    ends = np.unique(np.ceil(np.interp(np.linspace(0.0, clock[-1], spans + 1)[1:], clock, past) - 1e-6))
    times = np.interp(ends, past, clock)
    rows: list[Row] = []
    for name, members in (("tail", moved.tail), ("core", ~moved.tail)):
        known = {"layer": spec.name, "group": name, "weights": int(members.sum())}
        columns = {"update": (ends + before).astype(np.int64), "decay_time_past": times}
        columns |= dict(zip(("survival_fraction", "hazard"), _curve(first[members], ends, times), strict=True))
        columns |= dict(zip(NULL, _curve(*_of_null(noise, name, ends, past), times), strict=True))
        rows += [known | dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    return rows


def _of_null(noise: Null | None, group: str, ends: Values, past: Values) -> tuple[NDArray[Any], Values]:
    """First flips of simulated weights, and `ends` as they count updates: only those with a gradient."""
    if noise is None:
        return np.zeros(0), ends
    return noise.first_flip[noise.tail == (group == "tail")], np.interp(ends, past, np.cumsum([0, *noise.updates]))


def _clock(run: Run, windows: Sequence[Window], layer: str) -> tuple[Values, Values]:
    """Updates and T since the start, at the start and at the end of each window.

    Raises
    ------
    InputError
        If T is not known.
    """
    each = [window[layer].summary for window in windows]
    past, clock = (
        np.concatenate([[0.0], np.cumsum([float(getattr(one, name)) for one in each])])
        for name in ("updates", "decay_time")
    )
    if not all(window.exact for window in windows) or not math.isfinite(clock[-1]):
        raise InputError(f"the decay time of {run.path} is not known, so nor is its survival over T; record a training")
    return past, clock


def _curve(first: NDArray[Any], ends: Values, times: Values) -> tuple[Values, Values]:
    """Share of weights without a flip up to each update of `ends`, and the hazard before it; NaN without weights."""
    left = np.array([mean((first == 0) | (first > end)) for end in ends])
    before = np.concatenate([[1.0], left[:-1]])
    with np.errstate(divide="ignore", invalid="ignore"):
        hazard = -np.log(left / before) / np.diff(times, prepend=0.0)
    hazard[~np.isfinite(hazard)] = math.nan
    return left, np.abs(hazard)  # without -0.0
