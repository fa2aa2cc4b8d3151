"""recu-analyze levels: how weights with more than two levels use their states, and which stay at zero."""

from __future__ import annotations

from typing import TYPE_CHECKING

import rich_click as click

from recu_analysis.analysis.rendering import Column
from recu_analysis.cli import options
from recu_analysis.cli.asides import Aside
from recu_analysis.cli.output import View, write_table
from recu_analysis.cli.several_runs import below_each_other
from recu_analysis.cli.target import table_target

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from recu_analysis.cli.target import Target
    from recu_analysis.store.run import Run

_COLUMNS = (
    Column("window", width=6),
    Column("epoch", width=5),
    Column("zeros", "%", 4, group="zeros"),
    Column("flip_ratio", "all", 6, group="flips"),
    Column("flip_ratio_threshold", "thr.", 6, group="flips"),
    Column("oscillation_frequency", "flips", 6, group="back"),
    Column("oscillation_frequency_null", "noise", 6, group="back"),
    Column("oscillating_fraction", "osc.", 4, group="weights, %"),
    Column("silent_fraction", "silent", 4, group="weights, %"),
    Column("zero_kept_fraction", "%", 4, group="kept at 0"),
    Column("zero_kept_fraction_null", "noise", 4, group="kept at 0"),
    Column("trapped_fraction", "%", 4, group="trapped"),
    Column("trapped_fraction_null", "noise", 4, group="trapped"),
)
#: Columns of the weights that stay in state 0, and of flips back.
_KEPT = [column.name for column in _COLUMNS if column.group in {"kept at 0", "trapped"}]
_BACK = [column.name for column in _COLUMNS if column.group == "back"]
_NOTES = (
    "each row is the median over layers; back, kept and trapped: over those whose noise is known, if there are any",
    Aside("back: flips opposite to the weight's flip before; thr.: changes of state by moved thresholds", about="flip"),
    Aside("in a window of fewer than 200 updates, one flip back makes a weight oscillating", about="oscillating"),
)


@click.command("levels", epilog="Example: recu-analyze levels runs/ternary --layer 'layer2.*'")
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
    """Show the states of each RUN's weights with more than two levels.

    For every window: how many weights are in state 0, how often states change, by weights and by moved thresholds, how
    often they change back, and how many weights stay in state 0 without direction, beside what noise alone gives.

    Several RUNs are shown below each other. A RUN may also be a list of runs (runs.toml).

    CSV and JSON have one row per window and layer; other formats show the median over layers.
    """
    from recu_analysis.analysis.levels import levels_query
    from recu_analysis.analysis.query import gathered

    opened = options.labeled(runs)
    asked = {label: levels_query(run, layers or None) for label, run in opened.items()}
    tables = options.answered(gathered(asked), opened.values())
    views = {label: _view(run, tables[label], windows) for label, run in opened.items()}
    write_table(below_each_other(views, "States of the weights of {}, median over layers."), target)


def _view(run: Run, every: pd.DataFrame, windows: slice | None) -> View:
    from recu_analysis.analysis.selection import rows_of

    table = rows_of(run, every, windows)
    sampled = [] if table["exact"].all() else ["sampled from checkpoints: flips between two checkpoints were not seen"]
    return View(table, _COLUMNS, _medians(table), above=[Aside(_verdict(table))], below=[*_NOTES, *sampled])


def _medians(table: pd.DataFrame) -> pd.DataFrame:
    """One row per window, the median over layers; of shares with a null, over the layers whose null is known, if any.

    Otherwise a share and its null would be of different layers.
    """
    shown = table.drop(columns=["layer"])
    for null, columns in (("trapped_fraction_null", _KEPT), ("oscillation_frequency_null", _BACK)):
        known = shown[null].notna()
        some = known.groupby(shown["window"]).transform("any")
        shown.loc[some & ~known, columns] = float("nan")
    medians: pd.DataFrame = shown.groupby("window", as_index=False).median(numeric_only=True)
    return medians


def _verdict(table: pd.DataFrame) -> str:
    """How many weights stayed at 0 in the last window, and whether that is more than noise gives."""
    last = table[table["window"] == table["window"].max()]
    known = last.dropna(subset=_KEPT)
    window, count = int(last["window"].iloc[0]), last["layer"].nunique()
    if known.empty:
        return (
            f"In window {window}, {100 * last['zeros'].median():.1f} % of the weights were in state 0; how many noise "
            "alone would keep there is not known."
        )
    kept, noise = (known[f"zero_kept_fraction{end}"].median() for end in ("", "_null"))
    some = "" if len(known) == count else f" (in {len(known)} of {count} layers; of the others this is not known)"
    return (
        f"In window {window}, {100 * kept:.1f} % of the weights of this one training stayed in state 0; noise alone "
        f"would keep {100 * noise:.1f} % there{some}."
    )
