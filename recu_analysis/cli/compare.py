"""recu-analyze compare: runs side by side, the settings in which they differ, and means over seeds."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from recu_analysis.cli import options
from recu_analysis.cli.output import aligned, deliver, number, terminal_width, three_digits

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

    from recu_analysis.store.run import Run

_WIDTHS = (8, 7, 6, 6, 6, 5, 5, 5, 4, 5)
_NAMES = ("windows", "val. %", "dead %", "tail %", "core %", "tail", "core", "ratio", "mem", "T")
_NOTES = (
    "dead: tail and silent. tail, core %: silent. tail, core: mean movement per",
    "update in 1/1000 std; ratio: tail to core, the median layer. windows: the final",
    "stretch with memory of at most 1/2, the longest of them where runs end alike.",
)


@click.command("compare", epilog="Example: recu-analyze compare runs/demo/recu runs/demo/baseline")
@click.argument("runs", metavar="RUN RUN...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--seeds", is_flag=True, help="Means over the runs that differ in their seed alone, 95 % intervals.")
@options.tail_tau_option
@options.table_output
@options.common
@options.jobs
def command(runs: tuple[Path, ...], seeds: bool, tail_tau: float | str, form: str, output: Path | None) -> None:
    """Show what runs of one network ended with, side by side, and in which settings they differ."""
    from recu_analysis.analysis.compare import check_same_layers, compare, over_seeds
    from recu_analysis.errors import InputError
    from recu_analysis.store.run import open_run

    opened = {path.resolve().name: open_run(path) for path in runs}
    if len(opened) < len(runs):
        raise InputError("two runs have the same folder name, by which the rows tell them apart; rename one")
    check_same_layers(opened)
    if seeds:
        deliver(over_seeds(opened, tail_tau), form, output, _seeds_text)  # type: ignore[arg-type]
    else:
        deliver(compare(opened, tail_tau), form, output, lambda table: as_text(opened, table))  # type: ignore[arg-type]


def as_text(runs: Mapping[str, Run], table: pd.DataFrame) -> str:
    """The settings that differ, a line each, and a row a run, in 80 columns."""
    from recu_analysis.analysis.compare import differing_settings

    settings = differing_settings(runs)
    names = [name for name in settings if name != "run"]
    lines = [
        f"{name}: {', '.join(f'{value} ({run})' for run, value in zip(settings['run'], settings[name], strict=True))}"
        for name in names
    ] or ["no setting differs"]
    first = max(8, min(max(map(len, runs)), terminal_width() - sum(_WIDTHS) - len(_WIDTHS)))
    rows = [[str(row["run"]), *_cells(row)] for row in table.to_dict(orient="records")]
    return "\n".join([*lines, "", *aligned(["run", *_NAMES], rows, (first, *_WIDTHS)), "", *_NOTES])


def _cells(row: Mapping[Any, Any]) -> list[str]:
    percent = (row["dead_fraction"], row["silent_fraction_tail"], row["silent_fraction_core"])
    return [
        f"{row['first_window']}:{row['last_window'] + 1}",
        number(row["val_top1"], 2),
        *(number(100 * value, 1) for value in percent),
        *(three_digits(1e3 * row[name]) for name in ("mobility_tail", "mobility_core")),
        number(row["mobility_ratio"], 2),
        number(row["memory"], 2),
        number(row["decay_time"], 2),
    ]


#: What the table of groups shows: column, name, factor and digits.
_SHOWN = (
    ("val_top1", "validation accuracy, %", 1, 2),
    ("dead_fraction", "dead (tail and silent), %", 100, 2),
    ("silent_fraction_tail", "silent tail, %", 100, 2),
    ("silent_fraction_core", "silent core, %", 100, 2),
    ("mobility_ratio", "mobility, tail to core", 1, 3),
)


def _seeds_text(table: pd.DataFrame) -> str:
    """A paragraph a group: its runs, and each number with its interval."""
    lines = []
    for row in table.to_dict(orient="records"):
        lines.append(f"{row['group']}: {row['seeds']} seed{'s' * (row['seeds'] > 1)}")
        for name, shown, factor, digits in _SHOWN:
            low, high = factor * row[f"{name}_low"], factor * row[f"{name}_high"]
            interval = "" if math.isnan(low) else f" ({low:.{digits}f} to {high:.{digits}f})"
            lines.append(f"  {shown:28}{number(factor * row[name], digits)}{interval}")
    return "\n".join(lines)
