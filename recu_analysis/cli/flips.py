"""recu-analyze flips: how often signs flip, what the flip law predicts, and how many are locked in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import rich_click as click

from recu_analysis.analysis.rendering import Column
from recu_analysis.cli import options
from recu_analysis.cli.output import View, write_table
from recu_analysis.cli.target import table_target
from recu_analysis.cli.window_notes import tell_cut

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from recu_analysis.cli.target import Target

_COLUMNS = (
    Column("window", width=6),
    Column("epoch", width=5),
    Column("update", width=7),
    Column("flip_ratio", width=7),
    Column("flip_ratio_predicted", width=7),
    Column("silent_fraction", width=8),
    Column("reversals", width=7),
    Column("c2i_original", width=6),
    Column("locked_fraction", width=8),
    Column("autocorrelation_to_end", width=6),
)
_NOTES = (
    "each row is the median over layers",
    "flips are also AdamBNN's FF; C2I is 0 if the signs are independent of the initial signs; if the autocorrelation "
    "to the end is near 1, the weights that never flip again say little",
)


@click.command("flips", epilog="Example: recu-analyze flips runs/demo/recu --layer 'layer2.*'")
@options.run_argument
@options.layer_option
@click.option(
    "--windows",
    type=options.WindowsType(),
    help="Only windows from A up to, but not including, B: 8:13, 12:, :8 or 12. Default: all windows.",
)
@table_target
@options.common
@options.jobs
def command(run: Path, layers: tuple[str, ...], windows: slice | None, target: Target) -> None:
    """Show how the signs of RUN's weights flip from window to window.

    CSV and JSON have one row per window and layer; other formats show the median over layers.
    """
    from recu_analysis.analysis.flips import flip_table_query
    from recu_analysis.analysis.selection import known_windows, moving_windows, rows_of
    from recu_analysis.store.labels import labels_of

    opened = options.opened(run)
    tell_cut([opened], windows)
    table = options.answered(flip_table_query(opened, layers or None), [opened])
    if windows is not None:
        table = rows_of(opened, table, windows)
    first = known_windows(opened)[0].number
    if first > moving_windows(opened)[0].number:
        options.warn(f"windows before {first} are left out: updates between them and the later windows are lost")
    labels = labels_of([opened])
    sampled = [] if table["exact"].all() else ["sampled from checkpoints: flips between two checkpoints were not seen"]
    caption = f"Flips of the signs of {labels[0]}, median over layers."
    write_table(View(table, _COLUMNS, _medians(table), caption, labels, below=[*_NOTES, *sampled]), target)


def _medians(table: pd.DataFrame) -> pd.DataFrame:
    """One row per window, the median over layers."""
    medians: pd.DataFrame = table.drop(columns=["layer"]).groupby("window", as_index=False).median(numeric_only=True)
    return medians
