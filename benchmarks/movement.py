"""What recorded runs carry of docs/noise.md: forecasts, nulls and the restored fraction; by default the shipped runs.

python -m benchmarks.movement [--short] [RUN...]
"""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

import recu_analysis as ra
from recu_analysis.analysis.channel_errors import channel_errors_query, standard_errors
from recu_analysis.analysis.deadness import MOVEMENT, mean, movement
from recu_analysis.analysis.final_windows import choose
from recu_analysis.analysis.flips import zero_density
from recu_analysis.analysis.layer_pass import over
from recu_analysis.analysis.mobility import forecast
from recu_analysis.analysis.null import null, null_autocorrelation
from recu_analysis.analysis.query import per_layer
from recu_analysis.analysis.rates import kept_part
from recu_analysis.analysis.selection import known_windows, select_windows
from recu_analysis.theory.equilibrium import flips_per_update

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from recu_analysis.analysis.deadness import Mask, Movement
    from recu_analysis.analysis.layer_pass import Answer
    from recu_analysis.store.header import LayerSpec
    from recu_analysis.store.run import Run

    Values = NDArray[np.float64]
    Row = dict[str, Any]

#: The normal score of the upper end of a 95 % interval.
NORMAL = 1.96
SHIPPED = Path(__file__).parents[1] / "checkpoints" / "fashion"
ARMS = ("baseline", "recu", "random")
#: Groups of weights: tail or core at the start of a window, silent or flipped in the window before.
GROUPS = ("all", "tail-silent", "tail-flipped", "core-silent", "core-flipped")
#: Headings of the table of an arm: column, title, digits.
SHOWN = (
    ("equilibrium", "mob./equil.", 2),
    ("between", "mob./norms", 2),
    ("flips", "flips/law", 2),
    ("autocorrelation", "autocorr.", 3),
    ("autocorrelation_null", " null", 3),
    ("silence", "silent tail", 3),
    ("silence_null", " null", 3),
)


def main(arguments: Sequence[str]) -> None:
    """Print the tables of the given runs, by default of the shipped ones; --short takes one seed of each arm."""
    short = "--short" in arguments
    paths = [Path(each) for each in arguments if each != "--short"]
    seeds = (0,) if short else (0, 1, 2)
    paths = paths or [SHIPPED / f"{arm}-{seed}" for arm in ARMS for seed in seeds]
    arms: dict[str, list[pd.DataFrame]] = {}
    seeds_of: dict[str, list[Run]] = {}
    for path in paths:
        arm = path.name.rpartition("-")[0] or path.name
        arms.setdefault(arm, []).append(facts(path))
        seeds_of.setdefault(arm, []).append(ra.open_run(path))
    print("mobility, measured / forecast: by the equilibrium alone (equil.), and by the norms at both ends")
    print("flips, measured / (density at 0 x mobility); silence of the tail and autocorrelation, each with its null")
    print("restored fraction of all weights, and of groups chosen before the window (approximate, without momentum)")
    print("means over layers and seeds")
    for arm, tables in arms.items():
        show(arm, pd.concat(tables))
    print("final windows: standard deviation over seeds / standard error over channels of one run, rms over layers")
    for arm, runs in seeds_of.items():
        if len(runs) > 1:
            print(f"  {arm:10}" + "".join(f"  {name} {value:.2f}" for name, value in spread(runs).items()))


def facts(path: Path, *, by_window: bool = True) -> pd.DataFrame:
    """One row for each layer over the final windows, after one for each layer and window if `by_window`."""
    run = ra.open_run(path)
    finals = (False, True) if by_window else (True,)
    found = [per_layer(run, run.header.layers, layer_rows, final).run() for final in finals]
    return pd.DataFrame([row for rows in found for layer in rows for row in layer])


def layer_rows(run: Run, spec: LayerSpec, final: bool) -> Answer[list[Row]]:
    """The facts of one layer in each of its windows, or in the final windows, merged into one."""
    rows: list[Row] = []
    silent = None
    for windows in [select_windows(run, choose(run, None))] if final else [[each] for each in known_windows(run)]:
        record = yield over(windows, MOVEMENT | {"flips"})
        moved = movement(spec, record)
        known = {
            "first": spec.name == run.layer_names[0],
            "updates": f"{windows[0].first_update}-{windows[-1].last_update}",
            "decay_time": record.summary.decay_time,
        }
        rows.append(known | forecasts(run, spec, moved) | nulls(run, spec, moved) | restored(run, moved, spec, silent))
        silent = moved.over_layer(moved.silent) == 1.0
    return rows


def forecasts(run: Run, spec: LayerSpec, moved: Movement) -> Row:
    """Measured over forecast: mobility by the equilibrium and by the norms, flips by the flip law."""
    measured, expected = mean(moved.mobility), forecast(run, spec, moved.record)
    density = (zero_density(moved.z) + zero_density(moved.z_end)) / 2.0
    return {
        "equilibrium": measured / expected.equilibrium,
        "between": measured / expected.norms,
        "flips": mean(moved.flips) / moved.updates / flips_per_update(density, measured),
    }


def nulls(run: Run, spec: LayerSpec, moved: Movement) -> Row:
    """Autocorrelation and silence of tail and core, each with its null, of whatever size its noise is."""
    found = null(run, spec, moved)
    return {
        "autocorrelation": moved.autocorrelation,
        "autocorrelation_null": null_autocorrelation(run, spec, moved.record),
        "silence": mean(moved.silent, moved.tail),
        "silence_null": math.nan if found is None else mean(found.silent, found.tail),
        "silence_core": mean(moved.silent, ~moved.tail),
        "silence_core_null": math.nan if found is None else mean(found.silent, ~found.tail),
    }


def restored(run: Run, moved: Movement, spec: LayerSpec, silent: Mask | None) -> Row:
    """The restored fraction of each group of `GROUPS`, without the term of the momentum; NaN without a window before.

    rho = sum of v0 E / ((1 - a) sum of v0^2): v0: centered weights at the start, E = v1 - a v0: what gradients made.
    """
    record = moved.record
    kept = kept_part(run, record.windows, spec.name)
    start, end = centered(record.start), centered(record.end)
    tail = moved.over_layer(moved.tail).reshape(start.shape) == 1.0
    groups = {"all": np.ones_like(tail)}
    if silent is not None:
        quiet = silent.reshape(start.shape)
        groups |= {"tail-silent": tail & quiet, "tail-flipped": tail & ~quiet}
        groups |= {"core-silent": ~tail & quiet, "core-flipped": ~tail & ~quiet}
    earned = start * (end - kept * start)
    taken = (1.0 - kept) * start**2
    found = {name: earned[group].sum() / taken[group].sum() for name, group in groups.items() if taken[group].any()}
    return dict.fromkeys(GROUPS, math.nan) | found


def spread(runs: Sequence[Run]) -> Row:
    """Standard deviation over seeds over the mean standard error over channels, for the layers but the first."""
    silent = ["silent_fraction_tail", "silent_fraction_core"]
    ratios = ["flip_risk_ratio", "distance_ratio_tail", "distance_ratio_core"]
    values, errors = [], []
    for run in runs:
        dead, tails, span = ra.dead_weights(run), ra.tails(run), choose(run, None)
        values.append(np.concatenate([dead[silent].to_numpy(), tails[ratios].to_numpy()], axis=1)[1:])
        known = pd.DataFrame([standard_errors([sums]) for sums in channel_errors_query(run, span).run()])
        of_ratios = [(tails[f"{name}_high"] - tails[f"{name}_low"]).to_numpy() / (2.0 * NORMAL) for name in ratios]
        errors.append(np.concatenate([known[silent].to_numpy(), np.stack(of_ratios, axis=1)], axis=1)[1:])
    between, within = np.var(values, axis=0, ddof=1), np.mean(np.square(errors), axis=0)
    return dict(zip([*silent, *ratios], np.sqrt(np.mean(between / within, axis=0)), strict=True))


def centered(weights: NDArray[Any]) -> Values:
    """Weights minus the mean of their channel, shape (C_out, weights a channel)."""
    rows = weights.reshape(len(weights), -1).astype(np.float64)
    result: Values = rows - rows.mean(axis=1, keepdims=True)
    return result


def show(arm: str, table: pd.DataFrame) -> None:
    """Print the tables of an arm: layers but the first, then the forecasts of the first layer."""
    one = bool(table["first"].all())
    for first in (True,) if one else (False, True):
        shown, groups = (SHOWN[:3], ()) if first and not one else (SHOWN, GROUPS)
        print(f"{arm}, {'one layer' if one else 'the first layer' if first else 'layers but the first'}")
        heads = [*(title for _, title, _ in shown), *(f"rho {name}" for name in groups)]
        print(f"  {'updates':>11}     T" + "".join(f"  {head}" for head in heads))
        for updates, rows in table[table["first"] == first].groupby("updates", sort=False):
            means = [(rows[name].mean(), digits) for name, _, digits in shown] + [
                (rows[name].mean(), 2) for name in groups
            ]
            cells = ["-" if math.isnan(value) else f"{value:.{digits}f}" for value, digits in means]
            line = "".join(f"  {cell:>{len(head)}}" for cell, head in zip(cells, heads, strict=True))
            print(f"  {updates:>11} {rows['decay_time'].mean():5.2f}{line}")


if __name__ == "__main__":
    main(sys.argv[1:])
