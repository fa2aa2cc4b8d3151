"""What `compare --by-layer` and `compare --curves` print."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import rich_click as click

from recu_analysis.cli.output import aligned, number, with_interval

if TYPE_CHECKING:
    import pandas as pd

#: Of `layer_differences`: statistic, name, factor and digits.
_STATISTICS: dict[str, tuple[str, float, int]] = {
    "silent_fraction_tail": ("silent tail, %", 100, 1),
    "silent_fraction_core": ("silent core, %", 100, 1),
    "mobility_tail": ("mobility of the tail, 1e-3", 1e3, 2),
    "mobility_core": ("mobility of the core, 1e-3", 1e3, 2),
    "mobility_ratio": ("mobility, tail to core", 1, 3),
    "distance_ratio_tail": ("tail's sign changes, O/E", 1, 3),
}


def layers_text(table: pd.DataFrame) -> str:
    """A paragraph a group and layer: value, reference, and the difference with its interval."""
    lines: list[str] = []
    for (run, reference, layer), rows in table.groupby(["run", "reference", "layer"], sort=False):
        lines += [*([""] if lines else []), click.style(f"{layer}: {run} less {reference}", bold=True)]
        for _, row in rows.iterrows():
            shown, values, found = _difference(row)
            lines.append(f"  {shown:26} {values:>16}  {found}")
    return "\n".join([*lines, "", f"value - reference: difference (95 % interval, over {_over(table)})."])


def _over(table: pd.DataFrame) -> str:
    """Over what the intervals are; which runs' where it is not the same for all."""
    runs = table.groupby("run", sort=False)["interval_over"].first()
    if len(runs.unique()) == 1:
        return str(runs.iloc[0])
    return ", over ".join(f"{over} for {' and '.join(runs.index[runs == over])}" for over in runs.unique())


def _difference(row: pd.Series[Any]) -> tuple[str, str, str]:
    shown, factor, digits = _STATISTICS[row["statistic"]]
    values = " - ".join(number(factor * row[name], digits) for name in ("value", "reference_value"))
    middle, low, high = (factor * row[name] for name in ("difference", "low", "high"))
    return shown, values, with_interval(middle, low, high, digits)


def layers_printed(table: pd.DataFrame) -> pd.DataFrame:
    """A row a layer and statistic, for LaTeX."""
    import pandas as pd

    cells = [(row["layer"], *_difference(row)) for _, row in table.iterrows()]
    return pd.DataFrame(cells, columns=["layer", "statistic", "value - reference", "difference (95 % interval)"])


#: Of `curves`: column, name, factor and digits.
_CURVES: tuple[tuple[str, str, float, int], ...] = (
    ("val_top1", "val. %", 1, 2),
    ("train_loss", "loss", 1, 3),
    ("silent_fraction_tail", "tail %", 100, 1),
    ("silent_fraction_core", "core %", 100, 1),
    ("mobility_tail", "tail", 1e3, 2),
    ("mobility_core", "core", 1e3, 2),
    ("memory", "memory", 1, 3),
)


def curves_text(table: pd.DataFrame) -> str:
    """A row a run and window."""
    shown = [each for each in _CURVES if each[0] in table]
    names = ["run", "window", *(name for _, name, _, _ in shown)]
    rows = [
        [str(row["run"]), str(row["window"]), *(number(factor * row[key], digits) for key, _, factor, digits in shown)]
        for row in table.to_dict(orient="records")
    ]
    widths = (max(8, min(20, max(len(row[0]) for row in rows))), *(max(6, len(name)) for name in names[1:]))
    notes = "tail, core %: silent in the window. tail, core: mean movement per update in\n1/1000 std."
    return "\n".join([*aligned(names, rows, widths), "", notes])
