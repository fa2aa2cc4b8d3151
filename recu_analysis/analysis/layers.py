"""Tables with one row per layer and window: the state at the window's end and the movement in it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from recu_analysis.analysis.channels import measured_channels
from recu_analysis.analysis.deadness import MOVEMENT, TAIL_TAU, mean, movement
from recu_analysis.analysis.layer_pass import ahead, over
from recu_analysis.analysis.long_form import long_form
from recu_analysis.analysis.network import network_table
from recu_analysis.analysis.null import null_autocorrelation
from recu_analysis.analysis.query import per_layer
from recu_analysis.analysis.run_arguments import of_each
from recu_analysis.analysis.selection import (
    select_windows,
    span_of,
    with_epochs,
)
from recu_analysis.store.chain import start_known
from recu_analysis.store.layer_selection import select_layers
from recu_analysis.theory import gennorm, quantization
from recu_analysis.theory.empirical import quantized, sign_entropy
from recu_analysis.theory.entropy import clamped_entropy, laplace_bound
from recu_analysis.theory.fit import ks_laplace
from recu_analysis.theory.laplace import scale_estimate
from recu_analysis.theory.standardize import WeightTransform

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from recu_analysis.analysis.deadness import Mask, Movement, TailTau
    from recu_analysis.analysis.layer_pass import Answer
    from recu_analysis.analysis.query import Query
    from recu_analysis.analysis.run_arguments import SeveralRuns
    from recu_analysis.analysis.selection import Windows, WindowSpan
    from recu_analysis.store.header import LayerSpec
    from recu_analysis.store.record import MergedRecord
    from recu_analysis.store.run import Run
    from recu_analysis.store.window import Window

    Array = NDArray[Any]

Row = dict[str, Any]


def layer_table(
    runs: SeveralRuns,
    *,
    windows: Windows | None = None,
    layers: Sequence[str] | str | None = None,
    tail_tau: TailTau = TAIL_TAU,
    network: bool = False,
    long: bool = False,
) -> pd.DataFrame:
    """State and movement of every layer, in every window or in some windows merged into one.

    Parameters
    ----------
    runs : run or path, sequence, or mapping of labels to runs
        Of several runs, the tables are below each other, with the labels of the runs in a first column, run.
    windows : int, slice, str or WindowSpan, optional
        Merge these windows, such as "8:13" (without 13), into one row per layer. By default every window has its own
        row.
    layers : str or sequence of str, optional
        Patterns of layer names.
    tail_tau : float or "window"
        Level of the tail: the fraction 2 (1 - tail_tau) of a layer's weights with the largest abs(z) at the window's
        start. "window" takes each layer's own tau.
    network : bool
        One row per window for all these layers together, instead of one per layer; see
        `recu_analysis.analysis.network.network_table`.
    long : bool
        One row per group of weights (column group: all, tail, core) in place of columns that end in _tail and _core,
        for seaborn; see `recu_analysis.analysis.long_form.long_form`.

    Returns
    -------
    DataFrame
        One row per layer and window. Identity:

        - window (the last one), epoch, layer, weights, updates, exact, partial

        State at the end, of the channels that are finite and not constant (see `recu_analysis.analysis.channels`); NaN
        where there is none:

        - constant_channels (left out), measured (weights of the other channels)
        - of the standardized weights w~: tau (1 where the layer does not clamp), b_hat (mean abs(w~), Eq. 11 of ReCU),
          quantile (Eq. 10), clamped_fraction, alpha (mean abs of clamped w~), qe_measured; sign_entropy (nats)
        - of a Laplace distribution of scale b_hat at tau: qe_exact, qe_printed (see
          `recu_analysis.theory.quantization`); entropy (Eq. 17) and its bound entropy_bound (nats)
        - of z: gennorm_shape (1 Laplace, 2 normal, NaN where none fits), ks_laplace (see `recu_analysis.theory.fit`)

        Movement; NaN without updates, and after a missing window:

        - update_magnitude (unit of the weights per update), mobility (standard deviations per update), flip_ratio (per
          update), silent_fraction: each also with _tail and _core
        - still_fraction, tail_fraction, dead_fraction (tail and silent)
        - revived_fraction, revived_fraction_core: of the dead weights, or the silent core weights, of the previous
          window, those that flipped in this one; NaN for merged windows
        - autocorrelation, autocorrelation_null (what noise alone would leave), net_displacement (unit of the weights)
        - c2i: 1 less the share of signs that differ from the initial ones
        - lr, lr_decay, decay_time: sums over the updates with a gradient
        - nonfinite: weights that are NaN or infinite
        - counted: weights with a finite record; means are over these

    Raises
    ------
    InputError
        If `windows` or `tail_tau` is not valid.
    LayerNotFoundError
        If a pattern matches no layer.
    WindowNotFoundError
        If the run has none of the windows, or they hold no updates.
    """

    def query(run: Run) -> Query[pd.DataFrame]:
        span = None if windows is None else span_of(run, windows)
        table = layer_table_query(run, tail_tau, window=span, layers=layers)
        table = table.then(network_table) if network else table
        return table.then(long_form) if long else table

    return of_each(runs, query)


def layer_table_query(
    run: Run,
    tail_tau: TailTau = TAIL_TAU,
    *,
    window: WindowSpan | None = None,
    numbers: Sequence[int] | None = None,
    layers: Sequence[str] | str | None = None,
) -> Query[pd.DataFrame]:
    """The query of `layer_table`; `numbers` selects windows that each have their own row."""
    chosen = tuple(each.number for each in run.windows) if numbers is None else tuple(numbers)
    rows = per_layer(run, select_layers(run, layers), _rows, tail_tau, chosen if window is None else window)
    return rows.then(lambda parts: by_window(run, parts, empty=COLUMNS))


def by_window(run: Run, parts: Iterable[list[Row]], at: int = 1, empty: Sequence[str] = ("window",)) -> pd.DataFrame:
    """The table of the layers' rows, by window, with the epoch as column number `at`; without rows, columns `empty`."""
    rows = [row for part in parts for row in part]
    table = with_epochs(run, pd.DataFrame(rows) if rows else pd.DataFrame(columns=list(empty)), at)
    return table.sort_values("window", kind="stable", ignore_index=True)


def _rows(run: Run, spec: LayerSpec, tail_tau: TailTau, chosen: WindowSpan | tuple[int, ...]) -> Answer[list[Row]]:
    rows: list[Row] = []
    initial = yield from initial_states(run, spec)
    before: Movement | None = None
    for windows in _groups(run, chosen):
        known = windows[1:] or start_known(windows[0])
        record = yield over(windows, {*MOVEMENT, "path", "flips"} if known else {"end"})
        moved = movement(spec, record, tail_tau) if record.updates and known else None
        row = _identity(spec, record) | _state(spec, record)
        row |= _moved(run, spec, moved) | _revived(before, moved) | _since_start(spec, record, moved, initial)
        counted = np.count_nonzero(np.isfinite(record.z_end)) if moved is None else moved.z.size
        rows.append(row | {"counted": counted})
        before = moved
    return rows


def _groups(run: Run, chosen: WindowSpan | tuple[int, ...]) -> list[list[Window]]:
    """The windows of every row: a span together, or each window alone."""
    if isinstance(chosen, tuple):
        return [[run.window(number)] for number in chosen]
    return [select_windows(run, chosen)]


def _identity(spec: LayerSpec, record: MergedRecord) -> Row:
    last = record.windows[-1]
    return {
        "window": last.number,
        "layer": spec.name,
        "weights": spec.weights,
        "updates": record.updates,
        "exact": record.exact,
        "partial": last.partial,
    }


def _state(spec: LayerSpec, record: MergedRecord) -> Row:
    transform = spec.transform or WeightTransform()
    channels = measured_channels(record.operand)
    tau = record.tau if transform.clamp and record.tau is not None else 1.0
    row: Row = {"tau": tau} | dict.fromkeys(_STATE, math.nan) | _distribution(record)
    row |= {"constant_channels": channels.constant, "measured": channels.rows.size}
    if not channels.rows.size:
        return row
    # As one channel, so that the layer is summed at once and not channel by channel.
    standardized = transform.standardized(channels.rows).reshape(1, -1)
    found = quantized(standardized, tau, transform.quantile)
    return row | {
        "b_hat": found.b_hat,
        "quantile": found.bound,
        "clamped_fraction": found.clamped_fraction,
        "alpha": found.alpha,
        "qe_measured": found.error,
        **_laplace_state(tau, found.b_hat),
        "sign_entropy": sign_entropy(standardized),
    }


def _distribution(record: MergedRecord) -> Row:
    """Shape and distance to Laplace of a layer's standard scores; empty if no channel has any."""
    scores = measured_channels(record.z_end).rows  # leaves out the channels in which z is NaN or all 0
    if not scores.size:
        return {}
    ordered = np.sort(scores, axis=None)
    distance = ks_laplace(ordered, scale_estimate(ordered))
    return {"gennorm_shape": gennorm.shape_estimate(ordered), "ks_laplace": distance}


def _laplace_state(tau: float, b_hat: float) -> Row:
    """The paper's closed forms for weights with this scale; NaN if every weight is 0."""
    names = ("qe_exact", "qe_printed", "entropy", "entropy_bound")
    if b_hat == 0.0:
        return dict.fromkeys(names, math.nan)
    forms = (quantization.exact, quantization.printed, clamped_entropy)
    return dict(zip(names, (*(float(form(tau, b_hat)) for form in forms), float(laplace_bound(b_hat))), strict=True))


_STATE = (
    "b_hat",
    "quantile",
    "clamped_fraction",
    "alpha",
    "qe_measured",
    "qe_exact",
    "qe_printed",
    "entropy",
    "entropy_bound",
    "sign_entropy",
    "gennorm_shape",
    "ks_laplace",
)


def _moved(run: Run, spec: LayerSpec, moved: Movement | None) -> Row:
    """Movement in a window; all columns are NaN if there was no update."""
    if moved is None:
        names = [f"{name}{part}" for name in _QUANTITIES for part in ("", "_tail", "_core")]
        return dict.fromkeys([*names, *_WHOLE], math.nan) | {"nonfinite": math.nan}
    values = {
        "update_magnitude": moved.magnitude,
        "mobility": moved.mobility,
        "flip_ratio": moved.flips / moved.updates,
        "silent_fraction": moved.silent,
    }
    row: Row = {}
    for name in _QUANTITIES:
        row |= {
            name: mean(values[name]),
            f"{name}_tail": mean(values[name], moved.tail),
            f"{name}_core": mean(values[name], ~moved.tail),
        }
    return row | {
        "still_fraction": moved.fraction("still"),
        "tail_fraction": mean(moved.tail),
        "dead_fraction": mean(moved.dead("tail-silent")),
        "autocorrelation": moved.autocorrelation,
        "autocorrelation_null": null_autocorrelation(run, spec, moved.record),
        "net_displacement": mean(moved.displacement),
        "nonfinite": moved.nonfinite,
    }


_QUANTITIES = ("update_magnitude", "mobility", "flip_ratio", "silent_fraction")
_WHOLE = (
    "still_fraction",
    "tail_fraction",
    "dead_fraction",
    "autocorrelation",
    "autocorrelation_null",
    "net_displacement",
)


#: Columns of the table without epoch, in their order, for a run without windows.
COLUMNS = (
    *("window", "layer", "weights", "updates", "exact", "partial", "tau"),
    *_STATE,
    *("constant_channels", "measured"),
    *(f"{name}{part}" for name in _QUANTITIES for part in ("", "_tail", "_core")),
    *_WHOLE,
    *("nonfinite", "revived_fraction", "revived_fraction_core", "c2i", "lr", "lr_decay", "decay_time", "counted"),
)


def _revived(before: Movement | None, moved: Movement | None) -> Row:
    """Fractions of the dead, and of the silent core, weights of the previous window that flipped in this one.

    Only weights that are finite in both windows count.
    """
    if before is None or moved is None or before.record.summary.next_update != moved.record.summary.first_update:
        return {"revived_fraction": math.nan, "revived_fraction_core": math.nan}
    flipped = ~moved.record.silent.reshape(-1)[before.valid]
    still = moved.valid[before.valid]
    return {
        "revived_fraction": mean(flipped[before.dead("tail-silent") & still]),
        "revived_fraction_core": mean(flipped[before.silent & ~before.tail & still]),
    }


def initial_states(run: Run, spec: LayerSpec) -> Answer[Array | None]:
    """States before the first update, or whether signs are +1; None if the run does not begin there."""
    first = run.windows[0] if len(run.windows) else None
    if first is None or first.last_update != 0:
        return None
    return states_at_end(spec, (yield ahead(first)))


def states_at_end(spec: LayerSpec, record: MergedRecord) -> Array:
    """States after the last update of a record; for signs, whether they are +1."""
    return spec.signs(record.operand) if spec.quantizer.binary else record.states_end


def _since_start(spec: LayerSpec, record: MergedRecord, moved: Movement | None, initial: Mask | None) -> Row:
    counted = np.isfinite(record.operand).reshape(-1) if moved is None else moved.valid
    changed = None if initial is None else (spec.signs(record.operand) != initial).reshape(-1)[counted]
    c2i = math.nan if changed is None else 1.0 - mean(changed)
    sums = {name: getattr(record.summary, name) for name in ("lr", "lr_decay", "decay_time")}
    return {"c2i": c2i} | sums
