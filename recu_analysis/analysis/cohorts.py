"""Cohorts: the tail of one window followed over all later ones, not drawn anew each time; and what dies and revives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from recu_analysis.analysis.deadness import MOVEMENT, TAIL_TAU, mean, movement
from recu_analysis.analysis.layer_pass import over
from recu_analysis.analysis.query import per_layer
from recu_analysis.analysis.selection import (
    known_windows,
    rows_of,
    select_windows,
    span_of,
    with_epochs,
)
from recu_analysis.store.chain import check_connected
from recu_analysis.store.layer_selection import select_layers
from recu_analysis.store.run import as_run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from recu_analysis.analysis.deadness import Mask, Movement, TailTau
    from recu_analysis.analysis.layer_pass import Answer
    from recu_analysis.analysis.selection import Windows
    from recu_analysis.store.header import LayerSpec
    from recu_analysis.store.run import OneRun, Run

    Row = dict[str, Any]


def cohorts(
    run: OneRun,
    *,
    windows: Windows | None = None,
    layers: Sequence[str] | str | None = None,
    tail_tau: TailTau = TAIL_TAU,
) -> pd.DataFrame:
    """What becomes of the weights that are in the tail, and in the core, when a window starts.

    Parameters
    ----------
    run : Run or path
    windows : int, slice, str or WindowSpan, optional
        The windows that are followed, such as "8:". Tail and core are drawn once, at the start of the first that holds
        updates. By default all windows from the last gap on.
    layers : str or sequence of str, optional
        Patterns of layer names.
    tail_tau : float or "window"
        Level of the tail.

    Returns
    -------
    DataFrame
        One row a layer, window and cohort: layer, window, epoch, update (the last), cohort (tail or
        core), weights; silent_fraction (no flip in this window), untouched_fraction (no flip since tail and core
        were drawn), mobility (standard deviations per update), distance (mean abs(z) at the window's end),
        tail_fraction (in the tail that is drawn at this window's start).

    Raises
    ------
    InputError, LayerNotFoundError, WindowNotFoundError
        If the tail, a pattern or the window is not there, or updates after it are in no window.
    """
    run = as_run(run)
    followed = known_windows(run) if windows is None else select_windows(run, span_of(run, windows))
    check_connected(followed)
    numbers = tuple(window.number for window in followed)
    parts = per_layer(run, select_layers(run, layers), _followed, numbers, tail_tau).run()
    return with_epochs(run, pd.DataFrame([row for rows in parts for row in rows]), at=2)


def _followed(run: Run, spec: LayerSpec, numbers: tuple[int, ...], tail_tau: TailTau) -> Answer[list[Row]]:
    """Rows of one layer, window by window; weights that are not finite drop out when they are."""
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
    run: OneRun,
    *,
    windows: Windows | None = None,
    layers: Sequence[str] | str | None = None,
    tail_tau: TailTau = TAIL_TAU,
) -> pd.DataFrame:
    """From one window to the next: tail weights that fall silent or flip again, with the core's rates beside them.

    Parameters
    ----------
    run : Run or path
    windows : int, slice, str or WindowSpan, optional
        Only the rows of these windows, such as "8:13" (without 13); by default of all.
    layers : str or sequence of str, optional
        Patterns of layer names.
    tail_tau : float or "window"
        Level of the tail, drawn at the start of the earlier window.

    Returns
    -------
    DataFrame
        One row a layer and pair of adjacent windows, from the last gap on where windows are missing: layer, window
        (the later one), epoch; died_fraction (of the tail weights that flipped in the earlier window: silent in the
        later one), revived_fraction (of the silent tail weights: flipped in the later one), each with _core.

    Raises
    ------
    InputError, LayerNotFoundError, WindowNotFoundError
        If the tail or a pattern is not there, or the run holds no window with updates.
    """
    run = as_run(run)
    parts = per_layer(run, select_layers(run, layers), _changes, tail_tau).run()
    columns = ["layer", "window", *(f"{k}_fraction{p}" for p in ("", "_core") for k in ("died", "revived"))]
    table = with_epochs(run, pd.DataFrame([row for part in parts for row in part], columns=columns), at=2)
    return table if windows is None else rows_of(run, table, windows)


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
    """Of the weights that are numbers in both windows."""
    flipped, still = ~moved.record.silent.reshape(-1)[before.valid], moved.valid[before.valid]
    row = {}
    for part, members in (("", before.tail & still), ("_core", ~before.tail & still)):
        row[f"died_fraction{part}"] = mean(~flipped[members & ~before.silent])
        row[f"revived_fraction{part}"] = mean(flipped[members & before.silent])
    return row
