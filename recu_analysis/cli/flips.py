"""recu-analyze flips: how often signs flip, what the flip law predicts, and how many are locked in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import rich_click as click

from recu_analysis.analysis.rendering import Column
from recu_analysis.cli import options
from recu_analysis.cli.output import table_lines, write_table

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

_NOTES = (
    "Each row is the median over layers; --format csv has every layer. flips: per",
    "1000 weights and update (Larq's flip ratio, AdamBNN's FF). law: density of z at",
    "0 times mobility. silent: no flip in the window. c2i: 0 where the signs know",
    "nothing of the initial ones. locked: no flip after the window, as far as the run",
    "goes. ac end: autocorrelation to the run's end; near 1, locked says little.",
)


@click.command("flips", epilog="Example: recu-analyze flips runs/demo/recu --layer 'layer2.*'")
@options.run_argument
@options.layer_option
@options.windows_option
@options.table_output
@options.common
@options.jobs
def command(run: Path, layers: tuple[str, ...], windows: slice | None, table_format: str, output: Path | None) -> None:
    """Show how the signs of RUN's weights flip from window to window."""
    from recu_analysis.analysis.flips import flip_table_query
    from recu_analysis.analysis.selection import known_windows, moving_windows, rows_of

    opened = options.opened(run)
    table = options.answered(flip_table_query(opened, layers or None), [opened])
    if windows is not None:
        table = rows_of(opened, table, windows)
    first = known_windows(opened)[0].number
    if first > moving_windows(opened)[0].number:
        options.warn(f"windows before {first} are left out: what happened between them and the later ones is lost")
    write_table(table, table_format, output, as_text, columns=_COLUMNS, rows=_medians)


_COLUMNS = (
    Column("window", "window", 6),
    Column("epoch", "epoch", 5),
    Column("update", "update", 7),
    Column("flip_ratio", "flips", 7),
    Column("flip_ratio_predicted", "law", 7),
    Column("silent_fraction", "silent %", 8),
    Column("reversals", "revers.", 7),
    Column("c2i_original", "c2i", 6),
    Column("locked_fraction", "locked %", 8),
    Column("autocorrelation_to_end", "ac end", 6),
)


def _medians(table: pd.DataFrame) -> pd.DataFrame:
    """One row a window, the median over layers."""
    medians: pd.DataFrame = table.drop(columns=["layer"]).groupby("window", as_index=False).median(numeric_only=True)
    return medians


def as_text(table: pd.DataFrame) -> str:
    """One row a window, the median over layers, with what its columns mean."""
    note = [] if table["exact"].all() else ["Sampled from checkpoints: flips between them are unseen."]
    return "\n".join([*table_lines(_medians(table), _COLUMNS), "", *_NOTES, *note])
