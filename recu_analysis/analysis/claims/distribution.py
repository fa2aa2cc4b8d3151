"""Claims about the distribution of weights: Laplace, its scale, quantisation error and entropy over tau."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from recu_analysis.analysis.channels import by_blocks, measured_channels
from recu_analysis.analysis.claims.finding import Finding, cannot_tell, judge, pooled
from recu_analysis.analysis.engine import Asked, ahead, ask
from recu_analysis.analysis.horizon import LONG_MEMORY, asked_memory, memory_between
from recu_analysis.analysis.measured import asked_measured
from recu_analysis.errors import InputError
from recu_analysis.theory import gennorm
from recu_analysis.theory.entropy import CRITICAL_SCALE
from recu_analysis.theory.fit import laplace_sums
from recu_analysis.theory.intervals import Interval, over_layers
from recu_analysis.theory.standardize import standard_scores

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from recu_analysis.analysis.engine import Answer
    from recu_analysis.store.header import LayerSpec
    from recu_analysis.store.run import Run

    Values = NDArray[np.float64]
    #: `gennorm.channel_sums` of z, or `laplace_sums` of w~; None of a layer with nothing to measure.
    Shape = tuple[Values, Values | None] | None
    Scale = Values | None

#: Shapes that count as Laplace (whose shape is 1), and those beyond which weights are nearer to normal (2).
LAPLACE, NOT_LAPLACE = (0.8, 1.25), 1.6
#: b_hat / b* that counts as held, and as not held.
HELD, NOT_HELD = (0.95, 1.05), (0.9, 1.1)
#: The minimum that the printed Eq. 14 has, and the levels at which the measured error is looked at.
PRINTED_MINIMUM = 0.82
LEVELS, POINTS = (0.55, 0.99), 45
#: Steps of the curve that a sentence gives.
CURVE_POINTS = 4
#: The levels between which the paper's schedule goes.
SCHEDULE = (0.85, 0.99)


def asked(runs: Sequence[Run]) -> list[Asked[Any]]:
    """What the claims of this file ask of runs, the measured error and entropy of the first one alone."""
    wanted: list[Asked[Any]] = [_asked_over_tau(runs[0])]
    for run in runs:
        wanted += [Asked(run, run.header.layers, _shape_sums), Asked(run, run.header.layers, _scale_sums)]
        if run.windows[0].last_update == 0:
            wanted.append(asked_memory(run, run.header.layers, run.windows[0].number, run.windows[-1].number))
    return wanted


def laplace(runs: Sequence[Run]) -> Finding:
    """C2: shape of the generalised normal fitted to z, once little is left of the initial weights."""
    values = []
    for run in runs:
        if run.windows[0].last_update != 0:
            return cannot_tell(f"{run.path.name} does not hold its initial weights; record it from the first update on")
        memory = memory_between(run, run.header.layers, run.windows[0].number, run.windows[-1].number)
        if memory > LONG_MEMORY:  # NaN: the layers say below why they cannot be measured
            return cannot_tell(
                f"memory of the initial weights is {memory:.2f} in {run.path.name}, above 1/2: "
                "the shape is still that of the initialisation; train longer"
            )
        values.append(median_shape(run))
    value = pooled(values)
    shown = "shape of the generalised normal of z (1 Laplace, 2 normal), median layer, at the end"
    if math.isinf(value.estimate):
        return cannot_tell(
            f"{shown}: flatter than uniform, far from Laplace, but no shape has an interval there", value
        )
    return judge(value, supported=LAPLACE, contradicted=[(NOT_LAPLACE, math.inf)], shown=shown)


def _shape_sums(run: Run, spec: LayerSpec) -> Answer[Shape]:
    rows = measured_channels((yield ahead(run.windows[-1])).scored).rows
    if not rows.size:
        return None
    return gennorm.channel_sums(by_blocks(rows, lambda block: standard_scores(block, centre=spec.centre)))


def _scale_sums(run: Run, spec: LayerSpec) -> Answer[Scale]:
    rows = measured_channels((yield ahead(run.windows[-1])).operand).rows
    if not rows.size or spec.transform is None or spec.transform.target is None:
        return None
    return laplace_sums(by_blocks(rows, spec.transform.standardised))


def _measurable(run: Run) -> list[tuple[LayerSpec, tuple[Values, Values | None]]]:
    """The layers that can be measured at the end of a run, with their `_shape_sums`; InputError if none can."""
    shapes = ask(Asked(run, run.header.layers, _shape_sums))
    found = [(spec, shape) for spec, shape in zip(run.header.layers, shapes, strict=True) if shape is not None]
    if not found:
        raise InputError(f"no layer of {run.path.name} has weights at the end that are numbers and differ")
    return found


def over_tau(run: Run) -> pd.DataFrame:
    """What those layers measure at the levels looked at, 0.01 apart."""
    layers = tuple(spec for spec, _ in _measurable(run))
    tables = ask(replace(_asked_over_tau(run), layers=layers))
    return pd.concat(tables, ignore_index=True)


def _asked_over_tau(run: Run) -> Asked[pd.DataFrame]:
    return asked_measured(run, LEVELS, POINTS)


def median_shape(run: Run) -> Interval:
    """Median over layers of the shape of z at the end of a run; infinite for layers flatter than any shape."""
    shapes = [shape for _, shape in _measurable(run)]

    def shape(at: int, totals: Values) -> Values:
        grid = shapes[at][1]
        return np.full(len(totals), math.inf) if grid is None else gennorm.roots(totals, grid)

    return over_layers([sums for sums, _ in shapes], shape)


def scale_held(runs: Sequence[Run]) -> Finding:
    """C5: b_hat / b* of the standardised weights."""
    values = []
    for run in runs:
        scales = dict(zip(run.layer_names, ask(Asked(run, run.header.layers, _scale_sums)), strict=True))
        tables, targets = [], []
        for spec, _ in _measurable(run):
            sums = scales[spec.name]
            if sums is None or spec.transform is None or spec.transform.target is None:
                return cannot_tell(f"layer {spec.name} of {run.path.name} does not standardise its weights")
            targets.append(spec.transform.target)
            tables.append(sums)
        values.append(over_layers(tables, lambda at, totals, t=targets: totals[:, 0] / totals[:, 1] / t[at]))  # type: ignore[misc]
    shown = "b_hat / b*, which is sqrt(2) E|z|, median layer, at the end"
    ranges = [(-math.inf, NOT_HELD[0]), (NOT_HELD[1], math.inf)]
    return judge(pooled(values), supported=HELD, contradicted=ranges, shown=shown)


def error_falls(table: pd.DataFrame) -> Finding:
    """C3a: ReCU lowers the quantisation error, which no weights can contradict; from `over_tau`, as all below."""
    at = table[table["tau"] == table["tau"].max()]
    share = (at["qe_measured"] / (at["b"] ** 2)).median()
    return Finding(
        Interval(float(share), math.nan, math.nan),
        "by construction",
        f"a clamp can only lower the variance of |w|, so the error falls as tau falls; measured over b_hat^2 at "
        f"{LEVELS[1]:g}, median layer",
    )


def least_error(table: pd.DataFrame) -> Finding:
    """C3b: the level at which the quantisation error is least, for which the paper's algebra gives 0.82."""
    best = table.loc[table.groupby("layer", sort=False)["qe_measured"].idxmin(), "tau"]
    value = Interval(float(best.median()), float(best.min()), float(best.max()))
    return Finding(
        value,
        "contradicted",
        f"the minimum at {PRINTED_MINIMUM} comes from a wrong sign in Eq. 14; the exact error rises with tau, and the "
        f"measured one is least at the lowest level looked at ({LEVELS[0]:g}); the interval is the range over layers. "
        f"Measured over b_hat^2, median layer: {_curve(table)}",
    )


def entropy_rises(table: pd.DataFrame) -> Finding:
    """C4: entropy rises with tau where b > 1/e."""
    shown = _above_critical(table)
    if shown.empty:
        return cannot_tell(_ALL_BELOW)
    entropies = _between(shown, *SCHEDULE).groupby("layer", sort=False)["entropy_measured"]
    rise = (entropies.last() - entropies.first()) / (SCHEDULE[1] - SCHEDULE[0])
    return Finding(
        Interval(float(rise.median()), float(rise.min()), float(rise.max())),
        "by construction",
        "Eq. 17 rises with tau for b > 1/e, and b* sets b where a layer standardises; 1/e depends on the unit of the "
        f"weights. Measured rise in nats per unit of tau, 0.85 to 0.99, median layer{_left_out(table, shown)}; the "
        "interval is the range over layers",
    )


_ALL_BELOW = "no layer has b above 1/e, so that the condition does not hold: there the entropy falls as tau rises"


def _curve(table: pd.DataFrame) -> str:
    """The measured error over b_hat^2 of the median layer at some of the levels."""
    relative = (table["qe_measured"] / table["b"] ** 2).groupby(table["tau"]).median()
    some = relative.iloc[:: (POINTS - 1) // CURVE_POINTS]
    return ", ".join(f"{error:.3g} at {level:.2f}" for level, error in some.items())


def _above_critical(table: pd.DataFrame) -> pd.DataFrame:
    """The layers whose scale b is above 1/e."""
    return table[table["b"] > CRITICAL_SCALE]


def _left_out(table: pd.DataFrame, shown: pd.DataFrame) -> str:
    """How many layers the condition leaves out, for a sentence; nothing where none."""
    layers, left = table["layer"].nunique(), shown["layer"].nunique()
    return f" of the {left} of {layers} with b > 1/e" if left < layers else ""


def tension(table: pd.DataFrame, run: Run) -> Finding:
    """C8: along the run's schedule, quantisation error and entropy rise together."""
    shown_layers = _above_critical(table)
    if shown_layers.empty:
        return cannot_tell(_ALL_BELOW)
    levels = [window[spec.name].summary.tau for window in run.windows for spec in run.header.layers]
    known = [level for level in levels if level is not None]
    low, high = (min(known), max(known)) if known else (1.0, 1.0)
    own = _between(table, low, high)["tau"].nunique() >= 3
    rows = _between(shown_layers, *((low, high) if own else SCHEDULE))
    shown = f"{rows['tau'].min():.2f} to {rows['tau'].max():.2f}"
    columns = ["qe_measured", "entropy_measured"]
    together = pd.Series([layer[columns].corr().iloc[0, 1] for _, layer in rows.groupby("layer", sort=False)])
    whose = "the run's own tau" if own else "the paper's tau, since the run's does not change"
    return Finding(
        Interval(float(together.median()), float(together.min()), float(together.max())),
        "by construction",
        "both are functions of tau that rise for b > 1/e; correlation of the measured error and entropy over "
        f"{whose}, {shown}, median layer{_left_out(table, shown_layers)}; the interval is the range over layers",
    )


def _between(table: pd.DataFrame, low: float, high: float) -> pd.DataFrame:
    """The rows at the levels from one to another, to the nearest of those looked at."""
    half = (LEVELS[1] - LEVELS[0]) / (POINTS - 1) / 2.0
    return table[table["tau"].between(low - half, high + half)]
