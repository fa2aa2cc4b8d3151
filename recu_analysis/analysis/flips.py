"""Flips by layer and window: common statistics of flips, the flip law, and how states lock in."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from recu_analysis.analysis.deadness import MOVEMENT, mean, movement
from recu_analysis.analysis.layer_pass import ahead, over
from recu_analysis.analysis.layers import by_window, initial_states, states_at_end
from recu_analysis.analysis.null import MOST_BY_WINDOW, null, null_locking, null_silence, null_sums
from recu_analysis.analysis.query import per_layer, takes_levels
from recu_analysis.analysis.run_arguments import of_each
from recu_analysis.analysis.selection import known_windows, rows_of
from recu_analysis.store.layer_selection import select_layers
from recu_analysis.theory.autocorrelation import autocorrelation, cosine

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from recu_analysis.analysis.deadness import Movement
    from recu_analysis.analysis.layer_pass import Answer
    from recu_analysis.analysis.query import Query
    from recu_analysis.analysis.run_arguments import SeveralRuns
    from recu_analysis.analysis.selection import Windows
    from recu_analysis.store.header import LayerSpec
    from recu_analysis.store.run import Run

    Values = NDArray[np.float64]
    Row = dict[str, Any]

#: Half the width of the strip around z = 0 in which the density is counted, in standard deviations.
STRIP = 0.2
#: Bop adds this before its logarithm, so that a flip ratio of 0 has a finite value.
BOP_FLOOR = math.exp(-9.0)


def flip_table(
    runs: SeveralRuns, *, windows: Windows | None = None, layers: Sequence[str] | str | None = None
) -> pd.DataFrame:
    """How often signs flip in every layer and window, what the flip law predicts, and how many signs are locked in.

    Parameters
    ----------
    runs : run or path, sequence, or mapping of labels to runs
        Of several runs, the tables are below each other, with the labels of the runs in a first column, run.
    windows : int, slice, str or WindowSpan, optional
        Only the rows of these windows, such as "8:13" (without 13); all by default.
    layers : str or sequence of str, optional
        Patterns of layer names.

    Returns
    -------
    DataFrame
        One row per layer and window with updates, since the last gap if windows are missing:

        - layer, window, epoch, update (the last), updates, exact
        - flip_ratio: flips per weight and update; Larq's flip ratio, AdamBNN's FF
        - silent_fraction
        - reversals: flips after the first in the window, per weight; with more than two levels, flips opposite to the
          weight's flip before
        - bop: ln(flip_ratio + e^-9), of Bop
        - c2i, c2i_original: of AdamBNN, 1 less the share of signs that differ from the initial ones, and 1 less twice
          that share; NaN where the run does not hold the initial state, and c2i_original with more than two levels
        - density (of z at the thresholds, 0 for signs, per standard deviation), mobility (standard deviations per
          update)
        - flip_ratio_predicted: density times mobility, the flip law for steps that do not depend on z
        - locked_fraction: weights that do not flip again between the window and the end of the run
        - autocorrelation_to_end: cosine of z at the window's end and at the run's end
        - flip_ratio, silent_fraction, reversals and autocorrelation_to_end with _null: what noise alone would give in
          the window, from its z; locked_fraction_null: from z at the start of the first window, see
          `recu_analysis.analysis.null.null_locking`; NaN if the rates of the updates are not known, where the simulated
          noise moves weights otherwise than the training did, and all but autocorrelation_to_end_null with more than
          two levels

    Raises
    ------
    InputError
        If `windows` is not valid.
    LayerNotFoundError
        If a pattern matches no layer.
    WindowNotFoundError
        If the windows are not there, or the run holds no window with updates.
    """
    return of_each(runs, lambda run: flip_table_query(run, layers).then(lambda table: rows_of(run, table, windows)))


def flip_table_query(run: Run, layers: Sequence[str] | str | None = None) -> Query[pd.DataFrame]:
    """The query of `flip_table`."""
    specs = select_layers(run, layers)
    return per_layer(run, specs, _rows).then(lambda parts: by_window(run, parts, at=2))


@takes_levels
def _rows(run: Run, spec: LayerSpec) -> Answer[list[Row]]:
    windows = known_windows(run)
    initial = yield from initial_states(run, spec)
    last = yield ahead(windows[-1])
    z_last, end = last.z_end, last.deviations_end
    locking = _Locking(spec.weights)
    rows: list[Row] = []
    deviations: list[tuple[Values, Values]] = []
    for at, window in enumerate(windows):
        record = yield over([window], MOVEMENT | {"flips", "reversals"})
        moved = movement(spec, record)
        locking.add(moved)
        deviations.append((record.deviations_start, record.deviations_end))
        if at == 0:
            start = moved.z, moved.channel
        known = {"layer": spec.name, "window": window.number, "update": window.last_update, "updates": window.updates}
        changed = None if initial is None else (states_at_end(spec, record) != initial).reshape(-1)[moved.valid]
        to_end = {"autocorrelation_to_end": autocorrelation(moved.over_layer(moved.z_end), z_last)}
        left = null_sums(run, spec, windows[at + 1 :], record.deviations_end, end)
        to_end["autocorrelation_to_end_null"] = cosine(left)
        rows.append(known | {"exact": window.exact} | _flips(moved, changed) | to_end | _null(run, spec, moved))
    paths = np.array([row["mobility"] * row["updates"] for row in rows])
    nulls = null_locking(run, spec, windows, np.array(deviations), start, paths)
    for row, locked, by_noise in zip(rows, locking.fractions(), nulls, strict=True):
        row.update(locked_fraction=locked, locked_fraction_null=by_noise)
    return rows


def _null(run: Run, spec: LayerSpec, moved: Movement) -> Row:
    """What noise alone would give in one window."""
    found = null(run, spec, moved, MOST_BY_WINDOW)
    ratio = again = math.nan
    if found is not None and found.stands:
        ratio, again = mean(found.flips) / moved.updates, mean(found.reversals)
    silent = null_silence(run, spec, moved, MOST_BY_WINDOW)["silent_fraction_null"]
    return {"flip_ratio_null": ratio, "silent_fraction_null": silent, "reversals_null": again}


def _flips(moved: Movement, changed: NDArray[np.bool_] | None) -> Row:
    """Flips of a layer in one window; `changed` marks signs that differ from the initial ones, if these are known."""
    counted = moved.flips
    ratio = mean(counted) / moved.updates
    density = _density(moved)
    mobility = mean(moved.mobility)
    share = math.nan if changed is None else mean(changed)
    return {
        "flip_ratio": ratio,
        "silent_fraction": mean(moved.silent),
        "reversals": mean(_reversals(moved)),
        "bop": math.log(ratio + BOP_FLOOR),
        "c2i": 1.0 - share,
        "c2i_original": 1.0 - 2.0 * share if moved.record.spec.quantizer.binary else math.nan,
        "density": density,
        "mobility": mobility,
        "flip_ratio_predicted": density * mobility,
        "locked_fraction": math.nan,
        "locked_fraction_null": math.nan,
    }


def _reversals(moved: Movement) -> NDArray[Any]:
    """Flips of each weight that are opposite to its flip before; of signs, every flip after the first in the window."""
    if moved.record.spec.quantizer.binary:
        return np.maximum(moved.flips - 1, 0)
    found: NDArray[Any] = moved.record.reversals.reshape(-1)[moved.valid]
    return found


def _density(moved: Movement) -> float:
    """Density of z at the thresholds, summed over them, mean of start and end of the window."""
    record, quantizer = moved.record, moved.record.spec.quantizer
    if quantizer.binary:
        return (zero_density(moved.z) + zero_density(moved.z_end)) / 2.0
    windows = record.windows[0].before, record.windows[-1]
    ends = (record.deviations_start, record.distance_start), (record.deviations_end, record.distance_end)
    found = []
    for window, (deviations, distance) in zip(windows, ends, strict=True):
        # Strips around two thresholds may touch, but not overlap.
        step: Any = window[record.spec.name].array("step")
        gap = (2.0 if quantizer.kind == "ternary" else 1.0) * step / deviations
        half = np.repeat(np.minimum(STRIP, gap / 2.0), distance.size // gap.size)[moved.valid]
        found.append(mean((distance.reshape(-1)[moved.valid] < half) / (2.0 * half)))
    return sum(found) / 2.0


class _Locking:
    """The share of one layer's weights that do not flip again after each window; known after the last window."""

    def __init__(self, weights: int) -> None:
        self._last = np.full(weights, -1, dtype=np.int32)  # place of the last window in which each weight flipped
        self._left_out: list[NDArray[np.int64]] = []

    def add(self, moved: Movement) -> None:
        """Note which weights flipped in the next window, and which have no finite record in it."""
        self._last[(moved.record.flips.reshape(-1) > 0) & moved.valid] = len(self._left_out)
        self._left_out.append(np.flatnonzero(~moved.valid))

    def fractions(self) -> list[float]:
        """The share after every window, of the weights with a finite record in it."""
        quiet = np.cumsum(np.bincount(self._last + 1, minlength=len(self._left_out) + 1))[1:]
        result = []
        for place, out in enumerate(self._left_out):
            counted = self._last.size - out.size
            locked = int(quiet[place]) - np.count_nonzero(self._last[out] <= place)
            result.append(locked / counted if counted else math.nan)
        return result


def zero_density(z: Values) -> float:
    """Density of standard scores at 0, per standard deviation: the share in a strip over its width."""
    return mean(np.abs(z) < STRIP) / (2.0 * STRIP)
