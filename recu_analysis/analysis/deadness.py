"""Dead weights by several criteria, and how the weights of tail and core moved."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import pandas as pd

from recu_analysis.analysis.final_windows import choose
from recu_analysis.analysis.layer_pass import over
from recu_analysis.analysis.null import null_row
from recu_analysis.analysis.query import per_layer, takes_levels
from recu_analysis.analysis.run_arguments import of_each
from recu_analysis.analysis.selection import select_windows
from recu_analysis.errors import InputError, NotRecordedError, unknown
from recu_analysis.store.layer_selection import select_layers
from recu_analysis.theory.autocorrelation import autocorrelation
from recu_analysis.theory.laplace import check_tau
from recu_analysis.theory.quickselect import median, of_rank

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from recu_analysis.analysis.layer_pass import Answer
    from recu_analysis.analysis.query import Query
    from recu_analysis.analysis.run_arguments import SeveralRuns
    from recu_analysis.analysis.selection import Windows, WindowSpan
    from recu_analysis.store.header import LayerSpec
    from recu_analysis.store.record import MergedRecord
    from recu_analysis.store.run import Run

Criterion = Literal["tail-silent", "tail", "silent", "still", "tail-still"]
CRITERIA: tuple[Criterion, ...] = get_args(Criterion)
NEED_ZPATH: tuple[Criterion, ...] = ("still", "tail-still")
#: The default level of the tail, the same for all windows and runs.
TAIL_TAU = 0.85
#: A weight is still if its mobility is below this share of its layer's median.
STILL_SHARE = 0.1
#: The share of the weights of which a null must be known, where it stands beside a mean over all.
MOST_OF = 0.95
#: The parts of a record that `movement` needs.
MOVEMENT: frozenset[str] = frozenset({"start", "end", "zpath", "silent"})

TailTau = float | Literal["window"]
Mask = np.ndarray[Any, np.dtype[np.bool_]]


@dataclass(frozen=True, eq=False)
class Movement:
    """Movement of one layer's weights over consecutive updates: flat arrays of the weights with a finite record.

    Attributes
    ----------
    z : ndarray of float64
        Standard scores at the start.
    z_end : ndarray of float64
        Standard scores at the end.
    tail, silent : ndarray of bool
        Tail: see `tail_mask`. Silent: no flip.
    mobility : ndarray of float64
        Mean abs(z_u - z_{u-1}), standard deviations per update; NaN where the run was recorded without zpath.
    updates : int
    record : MergedRecord
        The record of all weights of the layer.
    valid : ndarray of bool, all weights of the layer
        Which weights are in the other arrays.
    nonfinite : int
        Latent weights that are NaN or infinite at the start or the end.
    """

    z: NDArray[np.float64]
    z_end: NDArray[np.float64]
    tail: Mask
    silent: Mask
    mobility: NDArray[np.float64]
    updates: int
    record: MergedRecord
    valid: Mask
    nonfinite: int

    @cached_property
    def still(self) -> Mask:
        """Which weights have a mobility of 0, or below a tenth of the layer's median; for runs with zpath."""
        limit = STILL_SHARE * median(self.mobility)
        still: Mask = (self.mobility < limit) | (self.mobility == 0.0)
        return still

    def dead(self, criterion: Criterion) -> Mask:
        """Which weights are dead by a criterion; NotRecordedError if it needs zpath and the run has none."""
        if criterion in NEED_ZPATH and self.record.score_path is None:
            raise NotRecordedError(
                f"the criterion {criterion!r} needs zpath of the effective weights, which was not recorded; choose "
                f"another criterion, such as {CRITERIA[0]!r}"
            )
        masks: list[Mask] = [getattr(self, part) for part in criterion.split("-")]
        return masks[0] if len(masks) == 1 else masks[0] & masks[1]

    def fraction(self, criterion: Criterion) -> float:
        """The share of the weights that is dead by a criterion; NaN if it needs zpath and the run has none."""
        unknown = criterion in NEED_ZPATH and self.record.score_path is None
        return float("nan") if unknown else mean(self.dead(criterion))

    @property
    def distance(self) -> NDArray[np.float64]:
        """abs(z - nearest threshold) at the start; abs(z) for signs."""
        binary = self.record.spec.quantizer.binary
        return np.abs(self.z) if binary else self._of_valid(self.record.distance_start)

    @property
    def offset(self) -> NDArray[np.float64]:
        """The offset, z - nearest threshold at the start; z for signs."""
        return self._of_valid(self.record.offset_start)

    @property
    def edges(self) -> NDArray[np.float64] | None:
        """Between which z the state of the start lies at the end, shape (2, weights); None for signs."""
        record, spec = self.record, self.record.spec
        if spec.quantizer.binary:
            return None
        last = record.windows[-1][spec.name]
        step, zero = last.array("step"), last.array("zero_point")
        ends = spec.quantizer.thresholds(np.asarray(step), 0 if zero is None else zero)
        edges = np.pad(ends / record.deviations_end[:, None], ((0, 0), (1, 1)), constant_values=(-np.inf, np.inf))
        state = self._of_valid(record.states_start) - spec.quantizer.low
        return np.stack([edges[self.scale_group, state], edges[self.scale_group, state + 1]])

    @property
    def changed(self) -> Mask:
        """Which weights have another state at the end than at the start."""
        if self.record.spec.quantizer.binary:
            signs: Mask = (self.z < 0) != (self.z_end < 0)
            return signs
        return self._of_valid(self.record.states_start != self.record.states_end)

    def _of_valid(self, values: NDArray[Any]) -> NDArray[Any]:
        """Values of all weights of the layer, of the valid ones."""
        return values.reshape(-1)[self.valid]

    @property
    def flips(self) -> NDArray[np.int64]:
        """How many updates changed each weight's state."""
        flips: NDArray[np.int64] = self.record.flips.reshape(-1)[self.valid]
        return flips

    @property
    def magnitude(self) -> NDArray[np.float64]:
        """Mean abs(w_u - w_{u-1}), unit of the weights per update; NaN where the run was recorded without path."""
        path = self.record.path
        kept = np.full(self.z.size, np.nan) if path is None else path.reshape(-1)[self.valid]
        result: NDArray[np.float64] = kept / self.updates
        return result

    @property
    def displacement(self) -> NDArray[np.float64]:
        """abs(end - start), unit of the weights, float64."""
        start, end = (weights.reshape(-1)[self.valid] for weights in (self.record.start, self.record.end))
        moved: NDArray[np.float64] = np.abs(end.astype(np.float64) - start)
        return moved

    @property
    def autocorrelation(self) -> float:
        """Cosine of z at the start and at the end: 1 where nothing moved, 0 where nothing is left of the start.

        NaN if every channel is constant.
        """
        return autocorrelation(self.over_layer(self.z), self.over_layer(self.z_end))

    @property
    def channel(self) -> NDArray[np.intp]:
        """Output channel of each weight."""
        return np.flatnonzero(self.valid) // (self.valid.size // len(self.record.start))

    @property
    def scale_group(self) -> NDArray[np.intp]:
        """Scale group of each weight; its output channel for signs."""
        return np.flatnonzero(self.valid) // (self.valid.size // self.record.spec.scale_groups)

    def over_layer(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Values of the valid weights in the layer's shape; NaN for the other weights."""
        if self.valid.all():
            return values.reshape(self.record.start.shape)
        result = np.full(self.record.start.shape, np.nan)
        result.reshape(-1)[self.valid] = values
        return result


def mean(values: NDArray[Any], members: Mask | None = None) -> float:
    """Mean of finite values in float64, of all or of those in a mask; NaN if there are none."""
    count = values.size if members is None else np.count_nonzero(members)
    if not count:
        return float("nan")
    # Counting and multiplying masks is several times faster than indexing with them.
    if values.dtype == np.bool_:
        return np.count_nonzero(values if members is None else values & members) / count
    return float((values if members is None else values * members).sum(dtype=np.float64)) / count


def tail_mask(z: NDArray[np.float64], tail_tau: float) -> Mask:
    """The fraction 2 (1 - tail_tau) of the weights with the largest abs(z), by rank; ties go to the lower index.

    Of weights with more than two levels, z is their distance from the nearest threshold.

    A weight with z = 0, such as one of a constant channel, is never in the tail.

    Parameters
    ----------
    z : ndarray of float64, flat
        Standard scores of a whole layer.
    tail_tau : float
        In (0.5, 1].

    Returns
    -------
    ndarray of bool
    """
    count = round(2.0 * (1.0 - tail_tau) * z.size)
    mask = np.zeros(z.size, dtype=np.bool_)
    if count == 0:
        return mask
    distance = np.abs(z)
    border = of_rank(distance, z.size - count)
    np.greater(distance, border, out=mask)
    ties = np.flatnonzero((distance == border) & (border > 0.0))
    mask[ties[: count - np.count_nonzero(mask)]] = True
    return mask


def movement(spec: LayerSpec, record: MergedRecord, tail_tau: TailTau = TAIL_TAU) -> Movement:
    """Movement of one layer's weights in a record; weights without a finite record are left out and counted.

    Parameters
    ----------
    spec : LayerSpec
    record : MergedRecord
        Of at least one update, with the parts `MOVEMENT`.
    tail_tau : float or "window"
        Level of the tail; "window" takes the layer's own tau at the end of the record.

    Raises
    ------
    InputError
        If the level is out of range, or "window" is given for a layer that does not clamp.
    """
    level = tail_level(spec, record, tail_tau)
    return record.once(("movement", level), lambda: _movement(spec, record, level))


def _movement(spec: LayerSpec, record: MergedRecord, level: float) -> Movement:
    start, end = record.start.reshape(-1), record.end.reshape(-1)
    z, z_end = record.z_start.reshape(-1), record.z_end.reshape(-1)
    finite = np.isfinite(start) & np.isfinite(end)
    path = record.score_path
    sums = np.full(z.size, np.nan) if path is None else path.reshape(-1)
    valid = finite & np.isfinite(z) & np.isfinite(z_end)
    if path is not None:
        valid &= np.isfinite(sums)
    silent = record.silent.reshape(-1)
    # Of signs, the distance from the threshold is abs(z).
    distance = z if spec.quantizer.binary else record.distance_start.reshape(-1)
    if not valid.all():
        z, z_end, sums, silent, distance = (each[valid] for each in (z, z_end, sums, silent, distance))
    return Movement(
        z=z,
        z_end=z_end,
        tail=tail_mask(distance, level),
        silent=silent,
        mobility=sums / record.updates,
        updates=record.updates,
        record=record,
        valid=valid,
        nonfinite=int(valid.size - np.count_nonzero(finite)),
    )


def tail_level(spec: LayerSpec, record: MergedRecord, tail_tau: TailTau) -> float:
    """The level of a layer's tail; with "window" its own tau at the end of the record, which a clamping layer has."""
    if tail_tau != "window":
        return float(check_tau(tail_tau))
    if record.tau is None:
        raise InputError(
            f"layer {spec.name!r} does not clamp, so it has no tau of its own for the tail; give the level of the tail "
            f"as a number, such as {TAIL_TAU}"
        )
    return record.tau


def check_criterion(criterion: str) -> Criterion:
    """Return a criterion by name; InputError if there is none."""
    if criterion not in CRITERIA:
        raise unknown("criterion of deadness", criterion, CRITERIA)
    return criterion


def dead_weights(
    runs: SeveralRuns,
    *,
    windows: Windows | None = None,
    layers: Sequence[str] | str | None = None,
    tail_tau: TailTau = TAIL_TAU,
    criterion: str = "tail-silent",
) -> pd.DataFrame:
    """Dead weights of every layer over some windows, merged into one.

    Parameters
    ----------
    runs : run or path, sequence, or mapping of labels to runs
        Of several runs, the tables are below each other, with the labels of the runs in a first column, run.
    windows : int, slice, str or WindowSpan, optional
        Windows by their numbers, such as "8:13" (without 13); by default the final windows, see
        `recu_analysis.analysis.final_windows`.
    layers : str or sequence of str, optional
        Patterns of layer names.
    tail_tau : float or "window"
        Level of the tail at the start of the windows; "window" takes each layer's own tau.
    criterion : str
        What counts as dead in columns `dead_fraction` and `dead`: tail-silent, tail, silent, still or tail-still.

    Returns
    -------
    DataFrame
        One row per layer:

        - layer, weights, first_window, last_window, updates, exact
        - dead_fraction, dead (a count): by `criterion`
        - tail_fraction, silent_fraction, still_fraction, tail_silent_fraction, tail_still_fraction: by each criterion
        - silent_fraction_tail, silent_fraction_core
        - mobility_tail, mobility_core: standard deviations per update
        - autocorrelation, decay_time (T): of the windows
        - autocorrelation, mobility, silent and tail-silent fractions with _null: what noise alone would give; NaN if
          unknown. Of silence the most that it would leave, where mobility_core is less than 0.8 or more than 1.25 times
          its null, see `recu_analysis.analysis.null.most_silence`
        - nonfinite: weights that are NaN or infinite
        - counted: weights with a finite record; the fractions are of these

    Raises
    ------
    InputError
        If `windows`, `tail_tau` or `criterion` is not valid.
    LayerNotFoundError
        If a pattern matches no layer.
    WindowNotFoundError
        If the run has none of the windows, or they hold no updates.
    NotRecordedError
        If the criterion needs zpath and the run has none.
    """
    return of_each(runs, lambda run: dead_weights_query(run, choose(run, windows), criterion, tail_tau, layers))


def dead_weights_query(
    run: Run,
    window: WindowSpan,
    criterion: str = CRITERIA[0],
    tail_tau: TailTau = TAIL_TAU,
    layers: Sequence[str] | str | None = None,
) -> Query[pd.DataFrame]:
    """The query of `dead_weights` over given windows."""
    specs = select_layers(run, layers)
    return per_layer(run, specs, _row, check_criterion(criterion), tail_tau, window).then(pd.DataFrame)


@takes_levels
def _row(
    run: Run, spec: LayerSpec, criterion: Criterion, tail_tau: TailTau, window: WindowSpan
) -> Answer[dict[str, Any]]:
    windows = select_windows(run, window)
    record = yield over(windows, MOVEMENT)
    moved = movement(spec, record, tail_tau)
    dead = moved.dead(criterion)
    return {
        "layer": spec.name,
        "weights": spec.weights,
        "first_window": windows[0].number,
        "last_window": windows[-1].number,
        "updates": record.updates,
        "exact": record.exact,
        "dead_fraction": mean(dead),
        "dead": int(dead.sum()),
        **{f"{name.replace('-', '_')}_fraction": moved.fraction(name) for name in CRITERIA},
        "silent_fraction_tail": mean(moved.silent, moved.tail),
        "silent_fraction_core": mean(moved.silent, ~moved.tail),
        "mobility_tail": mean(moved.mobility, moved.tail),
        "mobility_core": mean(moved.mobility, ~moved.tail),
        "autocorrelation": moved.autocorrelation,
        **null_row(run, spec, moved),
        "decay_time": record.summary.decay_time,
        "nonfinite": moved.nonfinite,
        "counted": moved.z.size,
    }


def with_totals(table: pd.DataFrame) -> pd.DataFrame:
    """A `dead_weights` table with a last row for all layers; column `row` holds layer or total."""
    rows = pd.DataFrame([*table.to_dict(orient="records"), totals(table).to_dict()])
    rows.insert(0, "row", ["layer"] * len(table) + ["total"])
    return rows


def totals(table: pd.DataFrame) -> pd.Series[Any]:
    """The whole network's row of a `dead_weights` table: sums of counts, means by the weights counted.

    A value that is the same in all layers, such as windows and updates, is kept. A null is NaN unless it is known for
    `MOST_OF` the weights, because it stands beside a mean over all of them.
    """
    weights = table["counted"]
    tail = weights * table["tail_fraction"]
    averaged = [name for name in table if _base(name).endswith(("fraction", "_tail", "_core", "autocorrelation"))]
    alike = {str(name): table[name].iloc[0] for name in table if len(set(table[name])) == 1}
    known = alike | {
        "layer": "all",
        "weights": table["weights"].sum(),
        "counted": weights.sum(),
        "dead": table["dead"].sum(),
        "nonfinite": table["nonfinite"].sum(),
    }
    for name in averaged:
        present = table[name].notna()
        of = tail if _base(name).endswith("_tail") else weights - tail if _base(name).endswith("_core") else weights
        least = MOST_OF * of.sum() if str(name).endswith("_null") else 0.0
        some = of[present].sum() > least
        known[str(name)] = float(np.average(table[name][present], weights=of[present])) if some else float("nan")
    return pd.Series(known)


def _base(column: object) -> str:
    """The name of the statistic of a column, without the ending of its null."""
    return str(column).removesuffix("_null")
