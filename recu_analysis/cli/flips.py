"""recu-analyze flips: how often signs flip, what the flip law predicts, and how many are locked in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import rich_click as click

from recu_analysis.cli import options
from recu_analysis.cli.output import aligned, deliver, number

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

_NOTES = (
    "Each row is the median over layers; --format csv has every layer. flips: per",
    "1000 weights and update (Larq's flip ratio, AdamBNN's FF). law: density of z at",
    "0 times mobility. silent: no flip in the window. c2i: 0 where the signs know",
    "nothing of the initial ones. locked: no flip after the window, as far as the run",
    "goes; memory to its end: near 1, locked says little.",
)


@click.command("flips", epilog="Example: recu-analyze flips runs/demo/recu --layer 'layer2.*'")
@options.run_argument
@options.layer_option
@options.table_output
@options.common
@options.jobs
def command(run: Path, layers: tuple[str, ...], form: str, output: Path | None) -> None:
    """Show how the signs of RUN's weights flip from window to window."""
    from recu_analysis.analysis.flips import flip_table_query
    from recu_analysis.analysis.selection import moving_windows

    opened = options.opened(run)
    table = options.answered(flip_table_query(opened, layers or None), [opened])
    first = table["window"].min()
    if first > moving_windows(opened)[0].number:
        options.warn(f"windows before {first} are left out: what happened between them and the later ones is lost")
    deliver(table, form, output, as_text, printed=_printed)


_NAMES = ("window", "epoch", "update", "flips", "law", "silent %", "oscill.", "c2i", "locked %", "memory")


def _rows(table: pd.DataFrame) -> list[list[str]]:
    """One row a window, the median over layers."""
    middle = table.drop(columns=["layer"]).groupby("window", as_index=False).median(numeric_only=True)
    return [
        [
            f"{row['window']:.0f}",
            number(row["epoch"], 0),
            f"{row['update']:.0f}",
            number(1e3 * row["flip_ratio"], 3),
            number(1e3 * row["flip_ratio_predicted"], 3),
            number(100 * row["silent_fraction"], 1),
            number(row["oscillations"], 2),
            number(row["c2i_original"], 3),
            number(100 * row["locked_fraction"], 1),
            number(row["memory_to_end"], 2),
        ]
        for row in middle.to_dict(orient="records")
    ]


def _printed(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of the text table, for LaTeX."""
    import pandas as pd

    return pd.DataFrame(_rows(table), columns=list(_NAMES))


def as_text(table: pd.DataFrame) -> str:
    """One row a window, the median over layers, with what its columns mean."""
    note = [] if table["exact"].all() else ["Sampled from checkpoints: flips between them are unseen."]
    return "\n".join([*aligned(_NAMES, _rows(table), (6, 5, 7, 7, 7, 8, 7, 6, 8, 6)), "", *_NOTES, *note])
