"""The statistic of a column, from its name: the entry of the vocabulary, and what the endings of the name add."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Final

from recu_analysis.analysis.vocabulary import STATISTICS
from recu_analysis.errors import unknown

if TYPE_CHECKING:
    from recu_analysis.analysis.statistic import Statistic

#: Endings of a name that say over which weights the statistic is taken.
GROUPS: Final = {"tail": "the weights of the tail", "core": "the weights of the core"}
#: Endings after that, for an end of the 95 % interval or the spread, with label and meaning.
SPREADS: Final = {
    "low": ("lower end", "Lower end of the 95 % interval"),
    "high": ("upper end", "Upper end of the 95 % interval"),
    "std": ("std", "Standard deviation over the seeds (n - 1)"),
}
#: The ending of the null of a statistic, its label, and what its meaning adds.
NULL, OF_NULL, SIMULATED = "null", "noise alone", "for simulated weights that noise alone moves"


@cache
def statistic(name: str) -> Statistic:
    """The statistic of a column; its name may have an ending of `GROUPS`, `NULL` and one of `SPREADS`.

    Parameters
    ----------
    name : str
        Such as mobility, mobility_tail or mobility_ratio_low.

    Raises
    ------
    InputError
        If the vocabulary has no such statistic.
    """
    if name in STATISTICS:
        return _over(STATISTICS[name], "the weights")
    base, _, suffix = name.rpartition("_")
    if suffix in GROUPS and base in STATISTICS:
        found = _over(STATISTICS[base], GROUPS[suffix])
        return replace(found, name=name, label=f"{found.label}, {suffix}")
    if suffix == NULL and is_known(base):
        found = statistic(base)
        meaning = f"{found.meaning.removesuffix('.')}; {SIMULATED}."
        return replace(found, name=name, label=f"{found.label}, {OF_NULL}", meaning=meaning)
    if suffix in SPREADS and is_known(base):
        found, (label, meaning) = statistic(base), SPREADS[suffix]
        return replace(found, name=name, label=f"{found.label}, {label}", meaning=f"{meaning} of: {found.meaning}")
    raise unknown("statistic", name, STATISTICS)


def is_known(name: str) -> bool:
    """Whether the vocabulary has the statistic of a column."""
    base, _, suffix = name.rpartition("_")
    return (
        name in STATISTICS
        or (suffix in GROUPS and base in STATISTICS)
        or (suffix in {NULL, *SPREADS} and is_known(base))
    )


def group_of(name: str) -> str:
    """The group of weights of a column's statistic: tail or core; an empty text for all weights."""
    base, _, suffix = name.rpartition("_")
    return suffix if suffix in GROUPS and base in STATISTICS and name not in STATISTICS else ""


def limits_of(name: str) -> tuple[float, float]:
    """The limits of a column, see `Statistic.limits`; infinite if the vocabulary does not have it."""
    return statistic(name).limits if is_known(name) else (-math.inf, math.inf)


def _over(found: Statistic, weights: str) -> Statistic:
    return replace(found, meaning=found.meaning.replace("{weights}", weights))
