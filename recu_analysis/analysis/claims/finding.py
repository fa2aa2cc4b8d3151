"""What runs show about one claim, and the rules for its verdict."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from recu_analysis.theory.intervals import FEWEST_CHANNELS, Interval, over_layers, standard_error, student

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    Values = NDArray[np.float64]
    #: Patterns of the names of layers; None for all layers.
    Patterns = Sequence[str] | str | None

Verdict = Literal["supported", "contradicted", "intermediate", "undecided", "algebra", "cannot tell"]

#: A claim about trainings, not about one network, needs at least this many seeds for a verdict.
FEWEST_SEEDS = 3


#: Why two groups of runs cannot be compared.
NEEDS_PAIRS = "needs runs without clamp and with the same seeds to compare with; give them as --baseline"


@dataclass(frozen=True, slots=True)
class Finding:
    """What some runs show about a claim.

    Attributes
    ----------
    value : Interval
        The claim's statistic, with its 95 % interval.
    verdict : str
    why : str
        The reason; without a verdict, also what would allow one.
    """

    value: Interval
    verdict: Verdict
    why: str


NOTHING = Interval(math.nan, math.nan, math.nan)


def cannot_tell(why: str, value: Interval = NOTHING) -> Finding:
    """A finding without a verdict; `why` says what would allow one."""
    return Finding(value, "cannot tell", why)


def judge(
    value: Interval,
    *,
    supported: tuple[float, float],
    contradicted: Sequence[tuple[float, float]],
    shown: str,
) -> Finding:
    """The verdict of an interval.

    Supported or contradicted if all of it lies in such a range; intermediate if all of it lies outside all of them;
    undecided if it lies in more than one place.

    Parameters
    ----------
    value : Interval
    supported : pair of float
        Range that supports the claim.
    contradicted : sequence of pairs of float
        Ranges that contradict it.
    shown : str
        What the value is, as the first part of the reason.
    """
    if math.isnan(value.low) or math.isnan(value.high):
        few = f"an interval needs a layer with {FEWEST_CHANNELS} channels, all with a value, or {FEWEST_SEEDS} seeds"
        return cannot_tell(f"{shown}: {few if math.isfinite(value.estimate) else 'no value'}", value)
    if _inside(value, supported):
        return Finding(value, "supported", f"{shown}: the interval lies {_range(supported)}")
    for bounds in contradicted:
        if _inside(value, bounds):
            return Finding(value, "contradicted", f"{shown}: the interval lies {_range(bounds)}")
    if not any(_meets(value, bounds) for bounds in (supported, *contradicted)):
        between = " or ".join(_range(bounds) for bounds in (supported, *contradicted))
        return Finding(value, "intermediate", f"{shown}: the interval lies in between, not {between}")
    return Finding(value, "undecided", f"{shown}: the interval does not lie fully {_range(supported)}")


def _meets(value: Interval, bounds: tuple[float, float]) -> bool:
    return value.low < bounds[1] and bounds[0] < value.high


def _inside(value: Interval, bounds: tuple[float, float]) -> bool:
    return bounds[0] < value.low and value.high < bounds[1]


def _range(bounds: tuple[float, float]) -> str:
    low, high = bounds
    if math.isinf(low):
        return f"below {high:g}"
    return f"above {low:g}" if math.isinf(high) else f"between {low:g} and {high:g}"


@dataclass(frozen=True, slots=True)
class Median:
    """The median of a statistic over the layers of a run, and how many layers were left out.

    Attributes
    ----------
    value : Interval
        Without bounds if no layer has `FEWEST_CHANNELS` channels.
    layers, small, without : int
        The number of layers; how many are left out because they have fewer channels than that while others have enough;
        how many are left out because they have no value.
    """

    value: Interval
    layers: int
    small: int
    without: int


def enough(channels: Sequence[int]) -> list[int]:
    """Positions of the layers with enough channels for an interval; all positions if no layer has enough.

    A small layer has no interval. If it were included, the median over layers would have none either.
    """
    return [at for at, count in enumerate(channels) if count >= FEWEST_CHANNELS] or list(range(len(channels)))


def median_of(layers: Sequence[Values | None], statistic: Callable[[int, Values], Values]) -> Median:
    """The median over layers of a statistic, its interval over their channels; see `over_layers`.

    Parameters
    ----------
    layers : sequence of ndarray of float64, shape (channels, K)
        The terms of each channel in the sums that the statistic needs; None for a layer with nothing to measure.
    statistic : callable
        From a layer's position and totals of shape (R, K) to values of shape (R,).
    """
    known = [(at, sums) for at, sums in enumerate(layers) if sums is not None]
    used = [known[position] for position in enough([len(sums) for _, sums in known])]
    values = [float(statistic(at, sums.sum(axis=0, keepdims=True))[0]) for at, sums in used]
    found = over_layers([sums for _, sums in used], lambda position, totals: statistic(used[position][0], totals))
    nothing = len(layers) - len(known) + sum(map(math.isnan, values))
    return Median(found, len(layers), len(known) - len(used), nothing)


def omitted_layers(medians: Sequence[Median]) -> str:
    """A clause that says over how many layers of some runs a median is; empty if over all."""
    total, small, without = (sum(getattr(each, name) for each in medians) for name in ("layers", "small", "without"))
    kinds = ((small, f"with fewer than {FEWEST_CHANNELS} channels"), (without, "without a value"))
    listed = "; ".join(f"{count} {what}" for count, what in kinds if count)
    return f" of {total - small - without} (left out: {listed})" if listed else ""


def pooled(medians: Sequence[Median]) -> Interval:
    """One interval for a statistic of several runs: over channels for one run, over seeds for three or more.

    For two runs it is the union of their intervals, since two seeds say almost nothing about the spread between seeds.
    It has no bounds if one of these intervals has none. Over seeds it is never narrower than the noise between the
    channels of the seeds allows, see `student`.
    """
    values = [each.value for each in medians]
    if len(values) == 1:
        return values[0]
    if len(values) == 2:
        middle = (values[0].estimate + values[1].estimate) / 2.0
        # numpy, because its minimum of NaN and any number is NaN.
        return Interval(middle, float(np.min([v.low for v in values])), float(np.max([v.high for v in values])))
    return student([value.estimate for value in values], errors=list(map(standard_error, values)))
