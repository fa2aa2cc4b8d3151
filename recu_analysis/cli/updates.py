"""recu-analyze updates: how tail and core of every layer move, and change their signs, beside noise alone."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import rich_click as click

from recu_analysis.analysis.rendering import Column
from recu_analysis.cli import options
from recu_analysis.cli.asides import Aside
from recu_analysis.cli.output import View, write_table
from recu_analysis.cli.several_runs import below_each_other
from recu_analysis.cli.target import table_target
from recu_analysis.cli.window_notes import OF_STATES, OVER_CHANNELS, all_signs, choice, ground, too_short

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from recu_analysis.analysis.selection import WindowSpan
    from recu_analysis.cli.target import Target
    from recu_analysis.store.run import Run

_COLUMNS = (
    Column("layer"),
    Column("mobility_tail", width=4),
    Column("mobility_ratio", "t/c", 4, group="mobility"),
    Column("mobility_ratio_null", "noise", 4, group="mobility"),
    Column("flip_probability_tail", "%", 4, group="flips"),
    Column("flip_risk_ratio", "t/c", 4, ends=9, group="flips"),
    Column("flip_risk_ratio_null", "noise", 4, group="flips"),
    Column("distance_ratio_tail", width=4, ends=9),
    Column("distance_ratio_tail_null", "noise", 4, group="O/E"),
    Column("autocorrelation_null", "noise", 4, group="ac"),
)


@click.command("updates", epilog="Example: recu-analyze updates runs/demo/baseline --layer 'layer3.*'")
@options.runs_argument
@options.layer_option
@options.windows_option
@options.tail_tau_option
@table_target
@options.common
@options.jobs
def command(
    runs: tuple[Path, ...],
    layers: tuple[str, ...],
    windows: slice | None,
    tail_tau: float | str,
    target: Target,
) -> None:
    """Show how the tail and the core of every layer of each RUN move, side by side, with 95 % intervals over channels.

    Tail and core are chosen at the start of the windows. Column O/E shows whether the tail changes its sign as often as
    its distance from zero predicts. Noise alone gives about 1; below 1/2 the tail is stuck. CSV and JSON have more
    columns, such as what noise alone would give.

    Several RUNs are shown below each other, each over its own final windows; recu-analyze compare shows differences. A
    RUN may also be a list of runs (runs.toml).
    """
    from recu_analysis.analysis.distance import tails_query
    from recu_analysis.analysis.final_windows import choose
    from recu_analysis.analysis.query import gathered

    opened = options.labeled(runs)
    spans = {label: choose(run, windows) for label, run in opened.items()}
    level: Any = tail_tau
    asked = {label: tails_query(run, spans[label], level, layers or None) for label, run in opened.items()}
    tables = options.answered(gathered(asked), opened.values())
    named = windows is not None
    views = {label: _view(run, spans[label], tables[label], named=named) for label, run in opened.items()}
    write_table(below_each_other(views, "How tail and core of every layer of {} move."), target)


def _view(run: Run, span: WindowSpan, table: pd.DataFrame, *, named: bool) -> View:
    """The table of one run, over windows that the user named or over its final windows."""
    from recu_analysis.analysis.final_windows import final_windows
    from recu_analysis.analysis.window_text import windows_text

    seen = "every update seen" if table["exact"].iloc[0] else "sampled from checkpoints: movement is net"
    head = f"{windows_text(run, span)}, {seen}"
    return View(
        table,
        _COLUMNS,
        above=[Aside(_verdict(run, span, table)), head, *choice(run, None if named else final_windows(run))],
        below=[
            *([] if all_signs(run, table["layer"]) else [OF_STATES]),
            OVER_CHANNELS,
            *too_short(table["autocorrelation_null"]),
        ],
    )


def _verdict(run: Run, span: WindowSpan, table: pd.DataFrame) -> str:
    """The verdict on the shown layers."""
    import numpy as np

    from recu_analysis.analysis.verdict import of_updates
    from recu_analysis.theory.intervals import Interval

    of_layers = None
    if len(table) < len(run.header.layers):
        known = table[table["autocorrelation_null"].notna() & (table["weights"] > 0)]
        of_layers = math.nan
        if len(known):
            of_layers = float(np.average(known["autocorrelation_null"], weights=known["weights"]))
    columns = ("distance_ratio_tail", "distance_ratio_tail_low", "distance_ratio_tail_high")
    ratios = [Interval(*row) for row in table[[*columns]].itertuples(index=False)]
    carried = ground({"": run}, {"": span}, of_layers)
    signs = all_signs(run, table["layer"])
    return of_updates(ratios, list(table["distance_ratio_tail_null"]), carried, signs=signs)
