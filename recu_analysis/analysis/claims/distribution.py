"""Claims about the distribution of weights: Laplace, its scale, quantization error and entropy over tau."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING

import pandas as pd

from recu_analysis.analysis.channels import by_blocks, measured_channels
from recu_analysis.analysis.claims.finding import (
    Finding,
    Median,
    cannot_tell,
    judge,
    median_of,
    omitted_layers,
    pooled,
)
from recu_analysis.analysis.final_windows import LONG_ENOUGH, null_query
from recu_analysis.analysis.fits import window_at
from recu_analysis.analysis.layer_pass import ahead
from recu_analysis.analysis.measured import measured_layers_query
from recu_analysis.analysis.query import attempt, gather, per_layer, value
from recu_analysis.errors import InputError
from recu_analysis.store.layer_selection import select_layers
from recu_analysis.theory import gennorm
from recu_analysis.theory.entropy import CRITICAL_SCALE
from recu_analysis.theory.fit import laplace_sums
from recu_analysis.theory.intervals import Interval
from recu_analysis.theory.standardize import standard_scores

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from recu_analysis.analysis.claims.finding import Patterns
    from recu_analysis.analysis.layer_pass import Answer
    from recu_analysis.analysis.query import Query
    from recu_analysis.analysis.selection import Windows
    from recu_analysis.store.header import LayerSpec
    from recu_analysis.store.run import Run

    Values = NDArray[np.float64]
    #: `gennorm.score_sums` of z, or `laplace_sums` of w~; None for a layer with nothing to measure.
    Shape = tuple[Values, float] | None
    Scale = Values | None

#: Shapes that count as Laplace (exactly 1), and the shape above which weights are closer to normal (2).
LAPLACE: tuple[float, float] = (0.8, 1.25)
NOT_LAPLACE: float = 1.6
#: b_hat / b* that counts as held; outside the second range it counts as not held.
HELD: tuple[float, float] = (0.95, 1.05)
NOT_HELD: tuple[float, float] = (0.9, 1.1)
#: The minimum of the printed Eq. 14, and the levels at which the error is measured.
PRINTED_MINIMUM = 0.82
LEVELS, POINTS = (0.55, 0.99), 45
#: Steps of the curve that is quoted in a sentence.
CURVE_POINTS = 4
#: First and last level of the paper's schedule.
SCHEDULE = (0.85, 0.99)


def laplace(runs: Sequence[Run], layers: Patterns = None, windows: Windows | None = None) -> Query[Finding]:
    """C2: shape of the generalized normal fitted to z, if little is left of the initial weights."""
    each = (gather(_initial_null(run, layers, windows), shape_query(run, layers, windows)) for run in runs)
    found = gather(*each)
    return found.then(lambda each: _laplace(runs, each))


def _initial_null(run: Run, layers: Patterns, windows: Windows | None) -> Query[float]:
    """What noise alone leaves of the initial weights at the end of some windows; infinite if the run lacks them."""
    if run.windows[0].last_update != 0:
        return value(math.inf)
    last = window_at(run, windows).number
    return null_query(run, select_layers(run, layers), run.windows[0].number, last)


def _laplace(runs: Sequence[Run], found: Sequence[tuple[float, list[Shape]]]) -> Finding:
    values = []
    for run, (null, shapes) in zip(runs, found, strict=True):
        if math.isinf(null):
            return cannot_tell(f"{run.name} does not hold its initial weights; record from the first update")
        values.append(median_shape(_some(run, shapes)))  # first, since it raises an error if nothing can be measured
        if math.isnan(null):
            return cannot_tell(
                f"{run.name} began with weights that have no z, such as constant weights, so it is unknown how much is "
                "left of the initialization"
            )
        if null > LONG_ENOUGH:
            return cannot_tell(
                f"the null autocorrelation of the initial weights is {null:.2f} in {run.name}, above 1/2, so the "
                "shape is still that of the initialization; train longer"
            )
    estimate = pooled(values)
    shown = (
        f"shape of the generalized normal of z (1 Laplace, 2 normal), median layer{omitted_layers(values)}, at the end"
    )
    if not gennorm.within_range(estimate.estimate):
        near = "large shapes, which tend to the uniform distribution" if estimate.estimate else "the smallest shapes"
        return cannot_tell(
            f"{shown}: the likelihood is greatest at {near}, far from Laplace, but without an interval", estimate
        )
    return judge(estimate, supported=LAPLACE, contradicted=[(NOT_LAPLACE, math.inf)], shown=shown)


def _shape_sums(run: Run, spec: LayerSpec, number: int) -> Answer[Shape]:
    rows = measured_channels((yield ahead(run.window(number))).scored).rows
    if not rows.size:
        return None
    return gennorm.score_sums(by_blocks(rows, lambda block: standard_scores(block, center=spec.center)))


def _scale_sums(run: Run, spec: LayerSpec, number: int) -> Answer[Scale]:
    rows = measured_channels((yield ahead(run.window(number))).operand).rows
    if not rows.size or spec.transform is None or spec.transform.target is None:
        return None
    return laplace_sums(by_blocks(rows, spec.transform.standardized))


def shape_query(run: Run, layers: Patterns = None, windows: Windows | None = None) -> Query[list[Shape]]:
    """Sums for the shape of z at the end of a run, or of some windows, by layer."""
    return per_layer(run, select_layers(run, layers), _shape_sums, window_at(run, windows).number)


def _some(run: Run, shapes: list[Shape]) -> list[Shape]:
    """The same shapes; InputError if no layer could be measured."""
    if all(shape is None for shape in shapes):
        raise InputError(f"no layer of {run.name} has finite, varying weights at the end")
    return shapes


def over_tau_query(run: Run, layers: Patterns = None, windows: Windows | None = None) -> Query[pd.DataFrame]:
    """Rows of `measured_tradeoff` at levels 0.01 apart, for the layers that can be measured."""
    each = (
        attempt(partial(measured_layers_query, run, [spec], LEVELS, POINTS, windows), InputError)
        for spec in select_layers(run, layers)
    )
    return gather(shape_query(run, layers, windows), gather(*each)).then(lambda found: _over_tau(run, *found))


def _over_tau(run: Run, shapes: list[Shape], tables: Sequence[list[pd.DataFrame] | InputError]) -> pd.DataFrame:
    known: list[pd.DataFrame] = []
    for shape, found in zip(_some(run, shapes), tables, strict=True):
        if shape is None:
            continue
        if isinstance(found, InputError):
            raise found
        known += found
    return pd.concat(known, ignore_index=True)


def median_shape(shapes: Sequence[Shape]) -> Median:
    """Median over layers of the shape of z at the end of a run; 0 and infinite for layers that no shape fits."""

    def shape(at: int, totals: Values) -> Values:
        found = shapes[at]
        assert found is not None  # noqa: S101 - only called for layers with sums
        return gennorm.roots(totals, found[1])

    return median_of([None if each is None else each[0] for each in shapes], shape)


def scale_held(runs: Sequence[Run], layers: Patterns = None, windows: Windows | None = None) -> Query[Finding]:
    """C5: b_hat / b* of the standardized weights."""
    found = (gather(shape_query(run, layers, windows), _scales(run, layers, windows)) for run in runs)
    return gather(*found).then(lambda each: _scale_held(runs, layers, each))


def _scales(run: Run, layers: Patterns, windows: Windows | None) -> Query[list[Scale]]:
    return per_layer(run, select_layers(run, layers), _scale_sums, window_at(run, windows).number)


def _scale_held(runs: Sequence[Run], layers: Patterns, found: Sequence[tuple[list[Shape], list[Scale]]]) -> Finding:
    values = []
    for run, (shapes, sums) in zip(runs, found, strict=True):
        specs = select_layers(run, layers)
        measurable = [shape is not None for shape in _some(run, shapes)]
        targets = [spec.transform.target if spec.transform else None for spec in specs]
        free = [spec.name for spec, target, can in zip(specs, targets, measurable, strict=True) if can and not target]
        if free:
            return cannot_tell(f"layer {free[0]} of {run.name} does not standardize its weights")
        values.append(median_of(sums, lambda at, totals, t=targets: totals[:, 0] / totals[:, 1] / t[at]))  # type: ignore[misc]
    shown = f"b_hat / b* (equal to sqrt(2) E|z|), median layer{omitted_layers(values)}, at the end"
    ranges = [(-math.inf, NOT_HELD[0]), (NOT_HELD[1], math.inf)]
    return judge(pooled(values), supported=HELD, contradicted=ranges, shown=shown)


def error_falls(table: pd.DataFrame) -> Finding:
    """C3a: ReCU lowers the quantization error, true for all weights; from `over_tau_query`, like the claims below."""
    at = table[table["tau"] == table["tau"].max()]
    share = (at["qe_measured"] / (at["b"] ** 2)).median()
    return Finding(
        Interval(float(share), math.nan, math.nan),
        "algebra",
        "a clamp can only lower the variance of |w|, so the error falls as tau falls; the estimate is the measured "
        f"error over b_hat^2 at tau {LEVELS[1]:g}, median layer",
    )


def least_error(table: pd.DataFrame) -> Finding:
    """C3b: the level of the least quantization error; the paper's algebra gives 0.82."""
    best = table.loc[table.groupby("layer", sort=False)["qe_measured"].idxmin(), "tau"]
    value = Interval(float(best.median()), float(best.min()), float(best.max()))
    return Finding(
        value,
        "algebra",
        f"the algebra contradicts it: the minimum at {PRINTED_MINIMUM} comes from a wrong sign in Eq. 14; the "
        "exact error rises with tau, and the "
        f"measured error is least at the lowest level measured ({LEVELS[0]:g}); the interval is the range over layers; "
        f"measured error over b_hat^2, median layer: {_curve(table)}",
    )


def entropy_rises(table: pd.DataFrame) -> Finding:
    """C4: entropy rises with tau if b > 1/e."""
    shown = _above_critical(table)
    if shown.empty:
        return cannot_tell(_ALL_BELOW)
    entropies = _between(shown, *SCHEDULE).groupby("layer", sort=False)["entropy_measured"]
    rise = (entropies.last() - entropies.first()) / (SCHEDULE[1] - SCHEDULE[0])
    return Finding(
        Interval(float(rise.median()), float(rise.min()), float(rise.max())),
        "algebra",
        "Eq. 17 rises with tau for b > 1/e, and b* sets b where a layer standardizes; 1/e depends on the unit of the "
        "weights; the estimate is the measured rise in nats per unit of tau, 0.85 to 0.99, median "
        f"layer{_left_out(table, shown)}; the interval is the range over layers",
    )


_ALL_BELOW = "no layer has b above 1/e, so the condition does not hold; below 1/e the entropy falls as tau rises"


def _curve(table: pd.DataFrame) -> str:
    """The measured error over b_hat^2 of the median layer at some levels, as text."""
    relative = (table["qe_measured"] / table["b"] ** 2).groupby(table["tau"]).median()
    some = relative.iloc[:: (POINTS - 1) // CURVE_POINTS]
    return ", ".join(f"{error:.3g} at {level:.2f}" for level, error in some.items())


def _above_critical(table: pd.DataFrame) -> pd.DataFrame:
    """The layers whose scale b is above 1/e."""
    return table[table["b"] > CRITICAL_SCALE]


def _left_out(table: pd.DataFrame, shown: pd.DataFrame) -> str:
    """A clause that says how many layers fulfil the condition; empty if all do."""
    layers, left = table["layer"].nunique(), shown["layer"].nunique()
    return f" of the {left} of {layers} with b > 1/e" if left < layers else ""


def tension(table: pd.DataFrame, run: Run, layers: Patterns = None) -> Finding:
    """C8: along the run's schedule, quantization error and entropy rise together."""
    shown_layers = _above_critical(table)
    if shown_layers.empty:
        return cannot_tell(_ALL_BELOW)
    specs = select_layers(run, layers)
    levels = [window[spec.name].summary.tau for window in run.windows for spec in specs]
    known = [level for level in levels if level is not None]
    low, high = (min(known), max(known)) if known else (1.0, 1.0)
    own = _between(table, low, high)["tau"].nunique() >= 3
    rows = _between(shown_layers, *((low, high) if own else SCHEDULE))
    shown = f"{rows['tau'].min():.2f} to {rows['tau'].max():.2f}"
    columns = ["qe_measured", "entropy_measured"]
    together = pd.Series([layer[columns].corr().iloc[0, 1] for _, layer in rows.groupby("layer", sort=False)])
    whose = "the run's own tau" if own else "the paper's tau, since the run's tau does not change"
    return Finding(
        Interval(float(together.median()), float(together.min()), float(together.max())),
        "algebra",
        "both rise with tau for b > 1/e; the estimate is the correlation of measured error and entropy over "
        f"{whose}, {shown}, median layer{_left_out(table, shown_layers)}; the interval is the range over layers",
    )


def _between(table: pd.DataFrame, low: float, high: float) -> pd.DataFrame:
    """The rows with levels from `low` to `high`, each rounded to the nearest measured level."""
    half = (LEVELS[1] - LEVELS[0]) / (POINTS - 1) / 2.0
    return table[table["tau"].between(low - half, high + half)]
