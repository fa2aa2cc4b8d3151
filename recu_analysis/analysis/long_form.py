"""The long form of a table of layers, for seaborn: one row per layer, window and group of weights."""

from __future__ import annotations

import math
from typing import Final

import pandas as pd

#: Groups of weights, with the endings of their columns in the wide form.
GROUPS: Final = {"all": "", "tail": "_tail", "core": "_core"}
# Statistics of the dead weights, which are in the tail: their columns have no ending, but are not of all weights.
_OF_THE_TAIL: Final = frozenset({"revived_fraction"})


def long_form(table: pd.DataFrame) -> pd.DataFrame:
    """Make one row per group of weights (all, tail, core) from columns that end in _tail and _core.

    Parameters
    ----------
    table : DataFrame
        Wide, as from `layer_table` or `dead_weights`; it is not changed.

    Returns
    -------
    DataFrame
        Three rows (all, tail, core) for each row of `table`, with a column `group` after layer.

        - A statistic of groups has one column; it is NaN for a group that the wide form does not have.
        - `weights` and `counted` of tail and core are the numbers of counted weights in the group, from
          `tail_fraction`; NaN where it is NaN.
        - Every other column is the same in the three rows, so it can be an axis, a facet or a style. Before counting or
          summing, select the rows where group is "all".

    Examples
    --------
    >>> seaborn.relplot(long_form(table), x="epoch", y="mobility", hue="group", kind="line")  # doctest: +SKIP
    """
    table = table.reset_index(drop=True)
    names = [str(name).removesuffix("_core") for name in table if str(name).endswith("_core")]
    grouped = {f"{name}{ending}" for name in names for ending in GROUPS.values()}
    alike = table[[name for name in table if name not in grouped]]
    parts = [
        alike.assign(group=group, **_counts(table, group), **{name: _of_group(table, name, group) for name in names})
        for group in GROUPS
    ]
    rows = pd.concat(parts).sort_index(kind="stable", ignore_index=True)
    first = [name for name in ("window", "epoch", "layer") if name in alike]
    return rows[[*first, "group", *(name for name in rows if name not in {*first, "group"})]]


def _counts(table: pd.DataFrame, group: str) -> dict[str, pd.Series[float]]:
    """The numbers of weights in a group."""
    if group == "all":
        return {}
    share = table["tail_fraction"] if group == "tail" else 1.0 - table["tail_fraction"]
    known = (share * table["counted"]).round()
    return {"weights": known, "counted": known}


def _of_group(table: pd.DataFrame, name: str, group: str) -> pd.Series[float] | float:
    """A statistic of one group of weights; NaN if the table does not have it."""
    if name in _OF_THE_TAIL and group != "core":
        return table[name] if group == "tail" else math.nan
    return table.get(f"{name}{GROUPS[group]}", math.nan)
