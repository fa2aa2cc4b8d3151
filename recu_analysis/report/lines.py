"""The lines of a page: every run has its own line, unless there are many; then every arm has one, with a band."""

from __future__ import annotations

import math
import re
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from recu_analysis.analysis.arm_names import MOST_RUNS, experiments
from recu_analysis.analysis.short_names import distinct
from recu_analysis.plots.arm_colors import of_arms, of_runs

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from recu_analysis.store.run import Run

#: Widths of the names of runs and of layers, in letters.
RUN_WIDTH = 32
LAYER_WIDTH = 40

#: Numbers for JSON by name; the ends of the band of `name` are `name_low` and `name_high`.
Lists: TypeAlias = dict[str, list[list[float | None]]]


@dataclass(frozen=True, slots=True)
class Name:
    """A name from a run, and a short form that is distinct on the page."""

    full: str
    short: str

    @property
    def parts(self) -> list[str]:
        """The short form in parts, between which a line may break."""
        return re.findall(r"[^./_ -]*[./_ -]+|[^./_ -]+", self.short)


@dataclass(frozen=True, slots=True)
class Line:
    """What one line of every chart shows: a run, or the seeds of an arm.

    Attributes
    ----------
    name : Name
    color : str
    runs : tuple of str
        Labels of its runs.
    """

    name: Name
    color: str
    runs: tuple[str, ...]


def lines(runs: Mapping[str, Run]) -> list[Line]:
    """A line for every run; for every arm if there are more than `MOST_RUNS` runs."""
    if len(runs) <= MOST_RUNS:
        looks = of_runs(runs)
        return [Line(name, looks[name.full].color, (name.full,)) for name in names(runs, RUN_WIDTH)]
    arms = experiments(runs)
    arm_looks = of_arms(arms)
    return [Line(name, arm_looks[name.full].color, tuple(arms[name.full].runs)) for name in names(arms, RUN_WIDTH)]


def names(full: Iterable[str], width: int) -> list[Name]:
    """Names with short forms of about `width` letters, which all differ."""
    known = list(full)
    return [Name(name, short) for name, short in zip(known, distinct(known, width)[1], strict=True)]


def pooled(name: str, parts: Sequence[NDArray[np.float64]]) -> Lists:
    """The mean of some runs, and the lowest and the highest value where there are several; unknown values are left out.

    Parameters
    ----------
    name : str
    parts : sequence of ndarray, shape (lines, points)
        The numbers of each run.
    """
    stacked = np.stack(parts)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a point that no run has is NaN
        found = {name: np.nanmean(stacked, axis=0)}
        if len(parts) > 1:
            found |= {f"{name}_low": np.nanmin(stacked, axis=0), f"{name}_high": np.nanmax(stacked, axis=0)}
    return {key: [numbers(row) for row in rows] for key, rows in found.items()}


def at(wanted: Sequence[float], known: Sequence[float], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Columns of `values`, which are known at some times, in the order of the wanted times; NaN where not known."""
    if list(wanted) == list(known):
        return values
    places = {time: place for place, time in enumerate(known)}
    result = np.full((len(values), len(wanted)), np.nan)
    for column, time in enumerate(wanted):
        if time in places:
            result[:, column] = values[:, places[time]]
    return result


def numbers(values: Iterable[float]) -> list[float | None]:
    """Numbers for JSON, with 5 digits; None for unknown ones."""
    return [float(f"{value:.5g}") if math.isfinite(value) else None for value in values]
