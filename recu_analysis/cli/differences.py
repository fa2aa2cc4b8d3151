"""What `compare --by-layer` and `compare --curves` print."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import rich_click as click

from recu_analysis.analysis.rendering import Column, heading, shown, shown_with_interval
from recu_analysis.cli.output import table_lines

if TYPE_CHECKING:
    import pandas as pd

#: How the terminal calls what `layer_differences` compares.
_SHORT = {
    "silent_fraction_tail": "silent tail, %",
    "silent_fraction_core": "silent core, %",
    "mobility_tail": "mobility of the tail, 1e-3",
    "mobility_core": "mobility of the core, 1e-3",
    "mobility_ratio": "mobility, tail to core",
    "distance_ratio_tail": "tail's sign changes, O/E",
}
_VALUES = "value - reference"
#: Of the formats that are to be read; the statistic and what follows are texts of `with_differences`.
DIFFERENCES = tuple(map(Column, ("run", "reference", "layer", "statistic", _VALUES, "difference", "interval_over")))


def layers_text(table: pd.DataFrame) -> str:
    """A paragraph a group and layer: value, reference, and the difference with its interval."""
    lines: list[str] = []
    for (run, reference, layer), rows in table.groupby(["run", "reference", "layer"], sort=False):
        lines += [*([""] if lines else []), click.style(f"{layer}: {run} less {reference}", bold=True)]
        for _, row in rows.iterrows():
            lines.append(f"  {_SHORT[row['statistic']]:26} {_values(row):>16}  {_difference(row)}")
    return "\n".join([*lines, "", f"value - reference: difference (95 % interval, over {_over(table)})."])


def _over(table: pd.DataFrame) -> str:
    """Over what the intervals are; which runs' where it is not the same for all."""
    runs = table.groupby("run", sort=False)["interval_over"].first()
    if len(runs.unique()) == 1:
        return str(runs.iloc[0])
    return ", over ".join(f"{over} for {' and '.join(runs.index[runs == over])}" for over in runs.unique())


def _values(row: pd.Series[Any]) -> str:
    return " - ".join(shown(row["statistic"], row[name]) for name in ("value", "reference_value"))


def _difference(row: pd.Series[Any]) -> str:
    return shown_with_interval(row["statistic"], row["difference"], row["low"], row["high"])


def with_differences(table: pd.DataFrame) -> pd.DataFrame:
    """Values and differences as texts, each in the unit of its row's statistic."""
    rows = [row for _, row in table.iterrows()]
    return table.assign(
        **{
            "statistic": [heading(row["statistic"]) for row in rows],
            _VALUES: [_values(row) for row in rows],
            "difference": [_difference(row) for row in rows],
        }
    )


#: Of `curves`, where it was logged.
_CURVES = (
    Column("val_top1", "val. %", 6),
    Column("train_loss", "loss", 6),
    Column("silent_fraction_tail", "tail %", 6),
    Column("silent_fraction_core", "core %", 6),
    Column("mobility_tail", "tail", 6),
    Column("mobility_core", "core", 6),
    Column("autocorrelation", "ac", 6),
)


_CURVE_NOTES = (
    "tail, core %: silent in the window. tail, core: mean movement per update in",
    "1/1000 std. ac: autocorrelation of the window.",
)


def curves_text(table: pd.DataFrame) -> str:
    """A row a run and window."""
    columns = [Column("run"), Column("window", width=6), *(each for each in _CURVES if each.name in table)]
    first = max(8, min(20, int(table["run"].str.len().max())))
    return "\n".join([*table_lines(table, columns, first), "", *_CURVE_NOTES])
