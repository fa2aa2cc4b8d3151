"""Cohorts: tail and core of one window, followed through later windows; and the rates of dying and reviving."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from recu_analysis.analysis.deadness import MOVEMENT, TAIL_TAU, mean, movement
from recu_analysis.analysis.layer_pass import over
from recu_analysis.analysis.query import per_layer
from recu_analysis.analysis.run_arguments import of_each
from recu_analysis.analysis.selection import (
    known_windows,
    rows_of,
    select_windows,
    span_of,
    with_epochs,
)
from recu_analysis.store.chain import check_connected
from recu_analysis.store.layer_selection import select_layers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from recu_analysis.analysis.deadness import Mask, Movement, TailTau
    from recu_analysis.analysis.layer_pass import Answer
    from recu_analysis.analysis.query import Query
    from recu_analysis.analysis.run_arguments import SeveralRuns
    from recu_analysis.analysis.selection import Windows
    from recu_analysis.store.header import LayerSpec
    from recu_analysis.store.run import Run

    Row = dict[str, Any]


def cohorts(
    runs: SeveralRuns,
    *,
    windows: Windows | None = None,
    layers: Sequence[str] | str | None = None,
    tail_tau: TailTau = TAIL_TAU,
) -> pd.DataFrame:
    """Follow the weights that are in the tail and in the core at the start of a window.

    Parameters
    ----------
    runs : run or path, sequence, or mapping of labels to runs
        Of several runs, the tables are below each other, with the labels of the runs in a first column, run.
    windows : int, slice, str or WindowSpan, optional
        The windows to follow, such as "8:". Tail and core are drawn once, at the start of the first window with
        updates. The default is all windows since the last gap.
    layers : str or sequence of str, optional
        Patterns of layer names.
    tail_tau : float or "window"
        Level of the tail.

    Returns
    -------
    DataFrame
        One row per layer, window and cohort:

        - layer, window, epoch, update (the last), cohort (tail or core), weights
        - silent_fraction: no flip in this window
        - untouched_fraction: no flip since tail and core were drawn
        - mobility: standard deviations per update
        - distance: mean abs(z) at the end of the window
        - tail_fraction: in the tail at the start of this window

    Raises
    ------
    InputError
        If `windows` or `tail_tau` is not valid.
    LayerNotFoundError
        If a pattern matches no layer.
    WindowNotFoundError
        If the windows are not there, or updates between them are in no window.
    """

    def query(run: Run) -> Query[pd.DataFrame]:
        followed = known_windows(run) if windows is None else select_windows(run, span_of(run, windows))
        check_connected(followed)
        numbers = tuple(window.number for window in followed)
        parts = per_layer(run, select_layers(run, layers), _followed, numbers, tail_tau)
        return parts.then(lambda found: _table(run, found))

    return of_each(runs, query)


def _table(run: Run, parts: Sequence[list[Row]], columns: list[str] | None = None) -> pd.DataFrame:
    """The rows of all layers, with the epoch of each window as the third column."""
    return with_epochs(run, pd.DataFrame([row for rows in parts for row in rows], columns=columns), at=2)


def _followed(run: Run, spec: LayerSpec, numbers: tuple[int, ...], tail_tau: TailTau) -> Answer[list[Row]]:
    """Rows of one layer, window by window; a weight is left out of windows in which it is not finite."""
    tail: Mask = np.zeros(spec.weights, dtype=np.bool_)
    touched = np.zeros(spec.weights, dtype=np.bool_)
    rows: list[Row] = []
    for number in numbers:
        window = run.window(number)
        moved = movement(spec, (yield over([window], MOVEMENT)), tail_tau)
        if number == numbers[0]:
            tail[moved.valid] = moved.tail
        touched[moved.valid] |= ~moved.silent
        known = {"layer": spec.name, "window": window.number, "update": window.last_update}
        for name, members in (("tail", tail[moved.valid]), ("core", ~tail[moved.valid])):
            rows.append(known | {"cohort": name} | _cohort(moved, members, touched[moved.valid]))
    return rows


def _cohort(moved: Movement, members: Mask, touched: Mask) -> Row:
    return {
        "weights": int(members.sum()),
        "silent_fraction": mean(moved.silent[members]),
        "untouched_fraction": mean(~touched[members]),
        "mobility": mean(moved.mobility[members]),
        "distance": mean(np.abs(moved.z_end[members])),
        "tail_fraction": mean(moved.tail[members]),
    }


def transitions(
    runs: SeveralRuns,
    *,
    windows: Windows | None = None,
    layers: Sequence[str] | str | None = None,
    tail_tau: TailTau = TAIL_TAU,
) -> pd.DataFrame:
    """Rates at which silent weights revive and others fall silent from one window to the next, of tail and core.

    Parameters
    ----------
    runs : run or path, sequence, or mapping of labels to runs
        Of several runs, the tables are below each other, with the labels of the runs in a first column, run.
    windows : int, slice, str or WindowSpan, optional
        Only the rows of these windows, such as "8:13" (without 13); all by default.
    layers : str or sequence of str, optional
        Patterns of layer names.
    tail_tau : float or "window"
        Level of the tail, drawn at the start of the earlier window.

    Returns
    -------
    DataFrame
        One row per layer and pair of adjacent windows, since the last gap if windows are missing:

        - layer, window (the later one), epoch
        - died_fraction: of the tail weights that flipped in the earlier window, those silent in the later one
        - revived_fraction: of the tail weights silent in the earlier window, those that flipped in the later one
        - died_fraction_core, revived_fraction_core: the same for the core

    Raises
    ------
    InputError
        If `windows` or `tail_tau` is not valid.
    LayerNotFoundError
        If a pattern matches no layer.
    WindowNotFoundError
        If the windows are not there, or the run holds no window with updates.
    """
    columns = ["layer", "window", *(f"{k}_fraction{p}" for p in ("", "_core") for k in ("died", "revived"))]

    def query(run: Run) -> Query[pd.DataFrame]:
        parts = per_layer(run, select_layers(run, layers), _changes, tail_tau)
        return parts.then(lambda found: rows_of(run, _table(run, found, columns), windows))

    return of_each(runs, query)


def _changes(run: Run, spec: LayerSpec, tail_tau: TailTau) -> Answer[list[Row]]:
    rows: list[Row] = []
    before: Movement | None = None
    for window in known_windows(run):
        moved = movement(spec, (yield over([window], MOVEMENT)), tail_tau)
        if before is not None:
            row = {"layer": spec.name, "window": window.number}
            rows.append(row | _transition(before, moved))
        before = moved
    return rows


def _transition(before: Movement, moved: Movement) -> Row:
    """The rates over the weights that are finite in both windows."""
    flipped, still = ~moved.record.silent.reshape(-1)[before.valid], moved.valid[before.valid]
    row = {}
    for part, members in (("", before.tail & still), ("_core", ~before.tail & still)):
        row[f"died_fraction{part}"] = mean(~flipped[members & ~before.silent])
        row[f"revived_fraction{part}"] = mean(flipped[members & before.silent])
    return row
