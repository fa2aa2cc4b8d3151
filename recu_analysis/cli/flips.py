"""recu-analyze flips: how often signs flip, what the flip law predicts, and how many are locked in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import rich_click as click

from recu_analysis.analysis.rendering import Column
from recu_analysis.cli import options
from recu_analysis.cli.asides import Aside
from recu_analysis.cli.output import View, write_table
from recu_analysis.cli.several_runs import below_each_other
from recu_analysis.cli.target import table_target
from recu_analysis.cli.window_notes import OF_STATES, all_signs

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from recu_analysis.cli.target import Target
    from recu_analysis.store.run import Run

_COLUMNS = (
    Column("window", width=6),
    Column("epoch", width=5),
    Column("update", width=7),
    Column("flip_ratio", "are", 6, group="flips"),
    Column("flip_ratio_predicted", "law", 6, group="flips"),
    Column("flip_ratio_null", "noise", 6, group="flips"),
    Column("silent_fraction", "%", 5, group="silent"),
    Column("silent_fraction_null", "noise", 5, group="silent"),
    Column("c2i_original", "orig.", 5, group="C2I"),
    Column("locked_fraction", "%", 5, group="locked"),
    Column("locked_fraction_null", "noise", 5, group="locked"),
    Column("autocorrelation_to_end_null", "ac noise", 5),
)
#: Columns that only binary layers have.
_OF_SIGNS = ["flip_ratio_null", "silent_fraction_null", "c2i_original", "locked_fraction_null"]
_NOTES = (
    "each row is the median over layers",
    Aside("flips are also AdamBNN's FF"),
    Aside("C2I is 0 if the signs are independent of the initial signs", about="c2i_original"),
)


@click.command("flips", epilog="Example: recu-analyze flips runs/demo/recu --layer 'layer2.*'")
@options.runs_argument
@options.layer_option
@click.option(
    "--windows",
    type=options.WindowsType(),
    help="Only windows from A up to, but not including, B: 8:13, 12:, :8 or 12. Default: all windows.",
)
@table_target
@options.common
@options.jobs
def command(runs: tuple[Path, ...], layers: tuple[str, ...], windows: slice | None, target: Target) -> None:
    """Show how the signs of each RUN's weights flip from window to window.

    Several RUNs are shown below each other. A RUN may also be a list of runs (runs.toml).

    CSV and JSON have one row per window and layer; other formats show the median over layers.
    """
    from recu_analysis.analysis.flips import flip_table_query
    from recu_analysis.analysis.query import gathered

    opened = options.labeled(runs)
    asked = {label: flip_table_query(run, layers or None) for label, run in opened.items()}
    tables = options.answered(gathered(asked), opened.values())
    views = {label: _view(label, run, tables[label], windows) for label, run in opened.items()}
    write_table(below_each_other(views, "Flips of the signs of {}, median over layers."), target)


def _view(label: str, run: Run, every: pd.DataFrame, windows: slice | None) -> View:
    """The table of one run, with a warning of windows before a gap."""
    from recu_analysis.analysis.selection import known_windows, moving_windows, rows_of

    table = rows_of(run, every, windows)
    first = known_windows(run)[0].number
    if first > moving_windows(run)[0].number:
        options.warn(
            f"windows of {label} before {first} are left out: updates between them and the later windows are lost"
        )
    sampled = [] if table["exact"].all() else ["sampled from checkpoints: flips between two checkpoints were not seen"]
    signs = all_signs(run, table["layer"])
    states = [] if signs else [OF_STATES]
    above = [Aside(_verdict(run, table, signs=signs))]
    return View(table, _COLUMNS, _medians(table, signs=signs), above=above, below=[*_NOTES, *states, *sampled])


def _medians(table: pd.DataFrame, *, signs: bool) -> pd.DataFrame:
    """One row per window, the median over layers; nothing of the binary layers alone if there are others."""
    shown = table.drop(columns=["layer"])
    if not signs:
        shown[_OF_SIGNS] = float("nan")
    medians: pd.DataFrame = shown.groupby("window", as_index=False).median(numeric_only=True)
    return medians


def _verdict(run: Run, table: pd.DataFrame, *, signs: bool) -> str:
    """The verdict on the signs after the last window from which the rest of the run is long enough, else the first."""
    from recu_analysis.analysis.final_windows import LONG_ENOUGH
    from recu_analysis.analysis.ground import Ground
    from recu_analysis.analysis.verdict import of_flips
    from recu_analysis.analysis.window_text import moment_text

    nulls = table.groupby("window")["autocorrelation_to_end_null"].median()
    long = nulls[nulls <= LONG_ENOUGH]
    window = int(long.index[-1] if len(long) else nulls.index[0])
    rows = table[table["window"] == window]
    chosen = len(rows) < len(run.header.layers)
    later = all(each.exact for each in run.windows if each.number > window)
    ground = Ground(moment_text(run, window), float(nulls[window]), exact=later, some_layers=chosen)
    return of_flips(
        list(rows["locked_fraction"]),
        list(rows["locked_fraction_null"]),
        ground,
        ended=window == run.windows[-1].number,
        signs=signs,
    )
