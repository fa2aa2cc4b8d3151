"""What runs show of one claim, and the rules that turn it into a verdict."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from recu_analysis.errors import InputError
from recu_analysis.store.labels import folder_names
from recu_analysis.theory.intervals import FEWEST_CHANNELS, Interval, student

if TYPE_CHECKING:
    from collections.abc import Sequence

    from recu_analysis.store.run import Run

Verdict = Literal["supported", "not supported", "contradicted", "by construction", "cannot tell"]

#: Fewer seeds than this carry no verdict where a claim is about trainings, not about one network.
FEWEST_SEEDS = 3


#: Why two groups of runs cannot be compared.
NEEDS_PAIRS = "needs runs without clamp, of the same seeds, to compare with: give --baseline"


@dataclass(frozen=True, slots=True)
class Finding:
    """What some runs show of a claim.

    Attributes
    ----------
    value : Interval
        Of the claim's statistic, with its 95 % interval.
    verdict : str
    why : str
        The reason, with what would allow a verdict where there is none.
    """

    value: Interval
    verdict: Verdict
    why: str


NOTHING = Interval(math.nan, math.nan, math.nan)


def cannot_tell(why: str, value: Interval = NOTHING) -> Finding:
    """No verdict, and what would allow one."""
    return Finding(value, "cannot tell", why)


def judge(
    value: Interval,
    *,
    supported: tuple[float, float],
    contradicted: Sequence[tuple[float, float]],
    shown: str,
) -> Finding:
    """The verdict of an interval: supported or contradicted where all of it lies in such a range, else neither.

    Parameters
    ----------
    value : Interval
    supported : pair of float
        Range that supports the claim.
    contradicted : sequence of pairs of float
        Ranges that contradict it.
    shown : str
        What the value is, for the reason.
    """
    if math.isnan(value.low) or math.isnan(value.high):
        few = f"an interval needs {FEWEST_CHANNELS} output channels in every layer, or {FEWEST_SEEDS} seeds"
        return cannot_tell(f"{shown}: {few if math.isfinite(value.estimate) else 'no value'}", value)
    if _inside(value, supported):
        return Finding(value, "supported", f"{shown}: the interval lies in {_range(supported)}")
    for bounds in contradicted:
        if _inside(value, bounds):
            return Finding(value, "contradicted", f"{shown}: the interval lies in {_range(bounds)}")
    return Finding(value, "not supported", f"{shown}: the interval does not lie in {_range(supported)}")


def _inside(value: Interval, bounds: tuple[float, float]) -> bool:
    return bounds[0] < value.low and value.high < bounds[1]


def _range(bounds: tuple[float, float]) -> str:
    low, high = bounds
    if math.isinf(low):
        return f"less than {high:g}"
    return f"more than {low:g}" if math.isinf(high) else f"{low:g} to {high:g}"


def pairs(runs: Sequence[Run], baseline: Sequence[Run]) -> list[tuple[Run, Run]]:
    """Runs of two groups that have the same seed in their configuration; in order where one has none.

    Raises
    ------
    InputError
        If two runs of a group have the same seed, so that which belongs to which is not known.
    """
    if any(run.configuration.get("seed") is None for run in (*runs, *baseline)):
        return list(zip(runs, baseline, strict=False))
    ours, theirs = _by_seed(runs), _by_seed(baseline)
    return [(run, theirs[seed]) for seed, run in ours.items() if seed in theirs]


def _by_seed(runs: Sequence[Run]) -> dict[object, Run]:
    found: dict[object, Run] = {}
    for run in runs:
        other = found.setdefault(run.configuration["seed"], run)
        if other is not run:
            names = " and ".join(folder_names([other.path, run.path]))
            raise InputError(f"{names} have the same seed and are taken for one arm; leave one out")
    return found


def pooled(values: Sequence[Interval]) -> Interval:
    """One interval for a statistic of several runs: over channels for one run, over seeds for three or more.

    With two runs, the interval is the union of theirs: two seeds say next to nothing of how seeds differ.
    """
    if len(values) == 1:
        return values[0]
    if len(values) == 2:
        middle = (values[0].estimate + values[1].estimate) / 2.0
        return Interval(middle, float(min(v.low for v in values)), float(max(v.high for v in values)))
    return student([value.estimate for value in values])
