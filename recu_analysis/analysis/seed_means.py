"""Means over the seeds of each experiment of tables that have a row for each thing in every run."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pandas as pd

from recu_analysis.analysis.column_names import limits_of
from recu_analysis.theory.intervals import Interval, standard_error, student

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from recu_analysis.analysis.arms import Arm


def seed_means(
    found: Sequence[Arm],
    tables: Mapping[str, pd.DataFrame],
    keys: list[str],
    values: Sequence[str],
    plain: Sequence[str] = (),
) -> pd.DataFrame:
    """Means over the seeds of each experiment, of the rows that all its seeds have.

    Parameters
    ----------
    found : sequence of Arm
    tables : mapping of str to DataFrame
        The table of each run by its label.
    keys : list of str
        Columns that name a row.
    values : sequence of str
        Columns with a mean and an interval. The standard errors of the seeds are known where the tables have intervals.
    plain : sequence of str
        Columns with a mean alone, of those that the tables have.
    """
    rows: list[dict[str, Any]] = []
    for arm in found:
        several = pd.concat([tables[label] for label in arm.runs], ignore_index=True)
        for _, seeds in several.groupby(keys, sort=False):
            if len(seeds) < len(arm.runs):
                continue
            row: dict[str, Any] = {"arm": arm.label, "seeds": len(seeds)} | {name: seeds[name].iloc[0] for name in keys}
            row |= {name: float(seeds[name].mean()) for name in plain if name in seeds}
            for name in values:
                mean = student(list(seeds[name]), within=limits_of(name), errors=_errors(seeds, name))
                row |= {name: mean.estimate, f"{name}_low": mean.low, f"{name}_high": mean.high}
            rows.append(row)
    return pd.DataFrame(rows)


def _errors(seeds: pd.DataFrame, name: str) -> list[float]:
    """The standard error of each seed's value; NaN if it has no interval."""
    if f"{name}_low" not in seeds:
        return [math.nan] * len(seeds)
    columns = [name, f"{name}_low", f"{name}_high"]
    return [standard_error(Interval(*each)) for each in seeds[columns].itertuples(index=False)]
