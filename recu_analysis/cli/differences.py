"""The views of `compare --by-layer` and `compare --curves`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import rich_click as click

from recu_analysis.analysis.rendering import Column, heading, shown, shown_with_interval
from recu_analysis.cli.output import View, table_lines, wrapped
from recu_analysis.cli.window_notes import OVER_CHANNELS
from recu_analysis.store.labels import together

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

#: Columns of the formats for readers; `_in_units` makes statistic, values and difference texts.
_COLUMNS = tuple(
    map(Column, ("run", "reference", "layer", "statistic", "value", "reference_value", "difference", "interval_over"))
)
#: Columns of a paragraph of the text, which shows one layer of a group.
_PARAGRAPH = (
    Column("statistic"),
    Column("value", width=6),
    Column("reference_value", "reference", width=6),
    Column("difference", "difference (95 % interval)", width=26),
)


def layers_view(table: pd.DataFrame, above: Sequence[str]) -> View:
    """Differences of groups from the first group, by layer and statistic, below sentences about the windows."""
    names = dict.fromkeys([*table["reference"], *table["run"]])
    return View(
        table,
        _COLUMNS,
        _in_units(table),
        f"Differences from {table['reference'].iloc[0]}, layer by layer.",
        list(names),
        "by-layer",
        above=[*above, *_compared_with(table)],
        below=[f"difference: value minus reference{_over(table)}", *_channels(table), *_whole(table)],
        explained=[Column(name) for name in dict.fromkeys(table["statistic"])],
        lines=lambda width: _paragraphs(table, width),
    )


def _paragraphs(table: pd.DataFrame, width: int | None) -> list[str]:
    """One paragraph per group and layer: value, reference, and the difference with its interval."""
    lines: list[str] = []
    several = len(table["run"].unique()) > 1
    rows = _in_units(table).assign(statistic=[Column(name).title for name in table["statistic"]])
    for (run, row, layer), part in rows.groupby(["run", "row", "layer"], sort=False):
        of = "all layers" if row == "total" else str(layer)
        title = [click.style(line, bold=True) for line in wrapped([f"{of}: {run}" if several else of], width)]
        lines += [*([""] if lines else []), *title, *(f"  {line}" for line in table_lines(part, _PARAGRAPH))]
    return lines


def _compared_with(table: pd.DataFrame) -> list[str]:
    """The runs of the reference, and those of the values if these are the same everywhere."""
    run, *others = table["run"].unique()
    return [
        *([] if others else [f"value: {run}"]),
        f"reference: {table['reference'].iloc[0]}",
    ]


def _whole(table: pd.DataFrame) -> list[str]:
    """What the rows for all layers are, if there are any."""
    if not (table["row"] == "total").any():
        return []
    return ["all layers: means over their weights; of mobility ratio and O/E, the median over layers"]


def _over(table: pd.DataFrame) -> str:
    """What the intervals are over, or that there is none; with the runs if these differ."""
    rows = table.groupby("run", sort=False).first()
    kinds = [_kind(over, pairs) for over, pairs in zip(rows["interval_over"], rows["pairs"], strict=True)]
    if len(set(kinds)) == 1:
        return kinds[0].rstrip(",")
    return "".join(
        f"{kind} for {' and '.join(run for run, each in zip(rows.index, kinds, strict=True) if each == kind)}"
        for kind in dict.fromkeys(kinds)
    )


def _channels(table: pd.DataFrame) -> list[str]:
    """What intervals over channels cover, if there are any."""
    return [OVER_CHANNELS] if (table["interval_over"] == "channels").any() else []


def _kind(over: str, pairs: int) -> str:
    """A clause about the intervals of one group."""
    from recu_analysis.analysis.paired import FEWEST_PAIRS

    if over == "seeds" and pairs < FEWEST_PAIRS:
        return f", without an interval, which needs {FEWEST_PAIRS} pairs of seeds,"
    return f", with its 95 % interval over {over}"


def _in_units(table: pd.DataFrame) -> pd.DataFrame:
    """The table with labels of statistics, and with values and differences as texts in the unit of their statistic."""
    import pandas as pd

    rows: list[Any] = table.to_dict(orient="records")
    values = {name: [shown(row["statistic"], row[name]) for row in rows] for name in ("value", "reference_value")}
    differences = [shown_with_interval(row["statistic"], row["difference"], row["low"], row["high"]) for row in rows]
    labels = pd.Series([heading(row["statistic"]) for row in rows], table.index, dtype=object)  # keeps them Words
    return table.assign(statistic=labels, **values, difference=differences)


#: Columns of `curves`; those that were not logged are left out.
_CURVES = (
    Column("val_top1", width=6),
    Column("train_loss", width=6),
    Column("silent_fraction_tail", width=6),
    Column("silent_fraction_core", width=6),
    Column("mobility_tail", width=6),
    Column("mobility_core", width=6),
    Column("autocorrelation", width=6),
)


def curves_view(table: pd.DataFrame) -> View:
    """One row per run and window."""
    runs = [str(run) for run in dict.fromkeys(table["run"])]
    columns = (Column("run"), Column("window", width=6), *(each for each in _CURVES if each.name in table))
    return View(table, columns, caption=f"Curves of {together(runs)}, window by window.", runs=runs, kind="curves")
