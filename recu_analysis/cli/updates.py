"""recu-analyze updates: how tail and core of every layer move, and whether the tail is stuck or only far."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import rich_click as click

from recu_analysis.analysis.rendering import Column
from recu_analysis.cli import options
from recu_analysis.cli.output import table_lines, write_table
from recu_analysis.cli.window_notes import choice, too_short

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from recu_analysis.analysis.final_windows import FinalWindows

_LAYER = 14
_COLUMNS = (
    Column("layer"),
    Column("mobility_tail", "tail", 4),
    Column("mobility_core", "core", 4),
    Column("mobility_ratio", "t/c", 4, ends=9),
    Column("flip_probability_tail", "tail", 4),
    Column("flip_risk_ratio", "t/c", 4, ends=9),
    Column("distance_ratio_tail", "O/E", 4, ends=9),
    Column("autocorrelation", "ac", 4),
)
_NOTES = (
    "* mean |change of z| per update, in 1/1000 of a standard deviation; t/c: tail to",
    "core. flips: per cent of the tail with at least one; t/c: risk, tail to core.",
    "O/E: sign changes of the tail from start to end, over those that steps of the",
    "layer's own size would make from where each weight stood: below 0.5 the tail is",
    "stuck, about 1 it is only far. Raw update magnitudes: --format csv.",
)


@click.command("updates", epilog="Example: recu-analyze updates runs/demo/baseline --layer 'layer3.*'")
@options.run_argument
@options.layer_option
@options.windows_option
@options.tail_tau_option
@options.table_output
@options.common
@options.jobs
def command(
    run: Path,
    layers: tuple[str, ...],
    windows: slice | None,
    tail_tau: float | str,
    table_format: str,
    output: Path | None,
) -> None:
    """Show how the tail and the core of every layer of RUN move, side by side, with 95 % intervals over channels.

    The tail is that of when the windows begin. The last columns ask whether it is stuck or merely far from zero.
    """
    from recu_analysis.analysis.distance import tails_query
    from recu_analysis.analysis.final_windows import choose, final_windows

    opened = options.opened(run)
    final = final_windows(opened) if windows is None else None
    chosen = choose(opened, windows)
    level: Any = tail_tau
    table = options.answered(tails_query(opened, chosen, level, layers or None), [opened])
    write_table(table, table_format, output, lambda frame: as_text(frame, final), columns=_COLUMNS)


def as_text(table: pd.DataFrame, final: FinalWindows | None = None) -> str:
    """The table in 80 columns, with what its columns mean."""
    first = table.iloc[0]
    seen = "every update seen" if first["exact"] else "sampled from checkpoints: movement is net"
    head = f"windows {first['first_window']}:{first['last_window'] + 1}, {first['updates']} updates, {seen}"
    above = " " * 15 + "mobility*".center(24) + " " + "flips".center(19)
    lines = table_lines(table, _COLUMNS, _LAYER, above=[above.rstrip()])
    return "\n".join([head, *choice(final), "", *lines, "", *_NOTES, *too_short(table["autocorrelation"])])
