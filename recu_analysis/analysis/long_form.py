"""The long form of a table of layers: a row a layer, window and group of weights, as seaborn wants it."""

from __future__ import annotations

import math
from typing import Final

import pandas as pd

#: Groups of weights, by what ends the names of their columns in the wide form.
GROUPS: Final = {"all": "", "tail": "_tail", "core": "_core"}
# Of the dead, which are in the tail: without an ending, but not of all weights.
_OF_THE_TAIL: Final = frozenset({"revived_fraction"})


def long_form(table: pd.DataFrame) -> pd.DataFrame:
    """A table with a row a group of weights (all, tail, core) in place of columns that end in _tail and _core.

    Parameters
    ----------
    table : DataFrame
        Wide, such as `layer_table` and `dead_weights` give it. It stays as it is.

    Returns
    -------
    DataFrame
        Three rows for each of `table`, all, tail and core, with a column `group` after layer. A statistic of groups
        has one column, NaN for a group of which the wide form does not have it. Every other column is the same in the
        three rows, so that it can be an axis, a facet or a style in each: take the rows where group is "all" to count
        or to add.

    Examples
    --------
    >>> seaborn.relplot(long_form(table), x="epoch", y="mobility", hue="group", kind="line")  # doctest: +SKIP
    """
    table = table.reset_index(drop=True)
    names = [str(name).removesuffix("_core") for name in table if str(name).endswith("_core")]
    grouped = {f"{name}{ending}" for name in names for ending in GROUPS.values()}
    alike = table[[name for name in table if name not in grouped]]
    parts = [alike.assign(group=group, **{name: _of_group(table, name, group) for name in names}) for group in GROUPS]
    rows = pd.concat(parts).sort_index(kind="stable", ignore_index=True)
    first = [name for name in ("window", "epoch", "layer") if name in alike]
    return rows[[*first, "group", *(name for name in rows if name not in {*first, "group"})]]


def _of_group(table: pd.DataFrame, name: str, group: str) -> pd.Series[float] | float:
    """A statistic of one group of weights; NaN where the table does not have it."""
    if name in _OF_THE_TAIL and group != "core":
        return table[name] if group == "tail" else math.nan
    return table.get(f"{name}{GROUPS[group]}", math.nan)
