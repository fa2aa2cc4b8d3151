"""Cohorts: the tail of one window followed over all later ones, not drawn anew each time; and what dies and revives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from recu_analysis.analysis.deadness import TAIL_TAU, mean, movement
from recu_analysis.analysis.engine import merged, moving_windows, numbers_text, select_layers, window_epochs
from recu_analysis.analysis.parallel import by_layer
from recu_analysis.errors import WindowNotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from recu_analysis.analysis.deadness import Mask, Movement, TailTau
    from recu_analysis.store.format import LayerSpec
    from recu_analysis.store.run import Run
    from recu_analysis.store.window import Window

    Row = dict[str, Any]


def cohorts(
    run: Run, start: int, *, tail_tau: TailTau = TAIL_TAU, layers: Sequence[str] | str | None = None
) -> pd.DataFrame:
    """What becomes of the weights that are in the tail, and in the core, when a window starts.

    Parameters
    ----------
    run : Run
    start : int
        Number of the window at whose start tail and core are drawn, once.
    tail_tau : float or "window"
        Level of the tail.
    layers : str or sequence of str, optional
        Patterns of layer names.

    Returns
    -------
    DataFrame
        One row a layer, window from `start` on, and cohort: layer, window, epoch, update (the last), cohort (tail or
        core), weights; silent_fraction (no flip in this window), untouched_fraction (no flip since `start`), mobility
        (standard deviations per update), distance (mean abs(z) at the window's end), tail_fraction (in the tail that
        is drawn at this window's start).

    Raises
    ------
    InputError, LayerNotFoundError, WindowNotFoundError
        If the tail, a pattern or the window is not there.
    """
    windows = [window for window in moving_windows(run) if window.number >= start]
    if not windows or windows[0].number != start:
        known = moving_windows(run)
        raise WindowNotFoundError(
            f"{run.path} has the windows {numbers_text([each.number for each in known])} with updates, not {start}"
        )
    parts = by_layer(_followed, run, select_layers(run, layers), start, tail_tau, window_epochs(run))
    return pd.DataFrame([row for rows in parts for row in rows])


def _followed(run: Run, spec: LayerSpec, start: int, tail_tau: TailTau, epochs: dict[int, float]) -> list[Row]:
    windows = [window for window in moving_windows(run) if window.number >= start]
    return list(_follow(spec, windows, tail_tau, epochs))


def _follow(spec: LayerSpec, windows: Sequence[Window], tail_tau: TailTau, epochs: dict[int, float]) -> Iterator[Row]:
    """Rows of one layer, window by window; weights that are not finite drop out when they are."""
    tail: Mask = np.zeros(spec.weights, dtype=np.bool_)
    touched = np.zeros(spec.weights, dtype=np.bool_)
    for window in windows:
        moved = movement(spec, merged([window], spec.name), tail_tau)
        if window is windows[0]:
            tail[moved.valid] = moved.tail
        touched[moved.valid] |= ~moved.silent
        for name, members in (("tail", tail[moved.valid]), ("core", ~tail[moved.valid])):
            yield {
                "layer": spec.name,
                "window": window.number,
                "epoch": epochs.get(window.number, float("nan")),
                "update": window.last_update,
                "cohort": name,
                "weights": int(members.sum()),
                "silent_fraction": mean(moved.silent[members]),
                "untouched_fraction": mean(~touched[moved.valid][members]),
                "mobility": mean(moved.mobility[members]),
                "distance": mean(np.abs(moved.z_end[members])),
                "tail_fraction": mean(moved.tail[members]),
            }


def transitions(run: Run, *, tail_tau: TailTau = TAIL_TAU, layers: Sequence[str] | str | None = None) -> pd.DataFrame:
    """From one window to the next: tail weights that fall silent or flip again, with the core's rates beside them.

    Parameters
    ----------
    run : Run
    tail_tau : float or "window"
        Level of the tail, drawn at the start of the earlier window.
    layers : str or sequence of str, optional
        Patterns of layer names.

    Returns
    -------
    DataFrame
        One row a layer and pair of adjacent windows: layer, window (the later one), epoch; died_fraction (of the tail
        weights that flipped in the earlier window: silent in the later one), revived_fraction (of the silent tail
        weights: flipped in the later one), each with _core.

    Raises
    ------
    InputError, LayerNotFoundError, WindowNotFoundError
        If the tail or a pattern is not there, or the run holds no window with updates.
    """
    parts = by_layer(_changes, run, select_layers(run, layers), tail_tau, window_epochs(run))
    rows = [row for part in parts for row in part]
    columns = ["layer", "window", "epoch", *(f"{k}_fraction{p}" for p in ("", "_core") for k in ("died", "revived"))]
    return pd.DataFrame(rows, columns=columns)


def _changes(run: Run, spec: LayerSpec, tail_tau: TailTau, epochs: dict[int, float]) -> list[Row]:
    rows: list[Row] = []
    before: Movement | None = None
    for window in moving_windows(run):
        record = merged([window], spec.name)
        if before is not None:
            row = {"layer": spec.name, "window": window.number, "epoch": epochs.get(window.number, float("nan"))}
            rows.append(row | _transition(before, record.flips.reshape(-1)[before.valid] > 0))
        before = movement(spec, record, tail_tau)
    return rows


def _transition(before: Movement, flipped: Mask) -> Row:
    row = {}
    for part, members in (("", before.tail), ("_core", ~before.tail)):
        row[f"died_fraction{part}"] = mean(~flipped[members & ~before.silent])
        row[f"revived_fraction{part}"] = mean(flipped[members & before.silent])
    return row
