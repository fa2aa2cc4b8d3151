"""recu-analyze compare: runs side by side, the settings in which they differ, and means over seeds."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from recu_analysis.analysis.rendering import Column, estimate
from recu_analysis.cli import options
from recu_analysis.cli.differences import DIFFERENCES, curves_text, layers_text, with_differences
from recu_analysis.cli.output import room_beside, table_lines, write_table

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

    from recu_analysis.store.run import Run

_RUN = Column("run")
_COLUMNS = (
    Column("windows", "windows", 8),
    Column("val_top1", "val. %", 7),
    Column("dead_fraction", "dead %", 6),
    Column("silent_fraction_tail", "tail %", 6),
    Column("silent_fraction_core", "core %", 6),
    Column("mobility_tail", "tail", 5),
    Column("mobility_core", "core", 5),
    Column("mobility_ratio", "ratio", 5),
    Column("autocorrelation", "ac", 4),
    Column("decay_time", "T", 5),
)
_NOTES = (
    "dead: tail and silent. tail, core %: silent. tail, core: mean movement per",
    "update in 1/1000 std; ratio: tail to core, the median layer. windows: the final",
    "ones, as many updates in all runs. ac: autocorrelation, long enough up to 1/2.",
)


@click.command("compare", epilog="Example: recu-analyze compare runs/demo/recu runs/demo/baseline")
@click.argument("runs", metavar="RUN RUN...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--seeds",
    "view",
    flag_value="seeds",
    help="Means, 95 % intervals and std over the seeds of each experiment: runs whose configurations say a "
    "seed and agree in all else.",
)
@click.option("--by-layer", "view", flag_value="layers", help="Differences to the first run, layer by layer.")
@click.option("--curves", "view", flag_value="curves", help="Every window: what was logged, and how weights moved.")
@options.layer_option
@options.tail_tau_option
@options.table_output
@options.common
@options.jobs
def command(
    runs: tuple[Path, ...],
    view: str | None,
    layers: tuple[str, ...],
    tail_tau: float | str,
    table_format: str,
    output: Path | None,
) -> None:
    """Show what runs of one network ended with, side by side, and in which settings they differ.

    Over final windows of the same number of updates. With --by-layer, the seeds of one experiment are one
    group, compared with the first RUN's: intervals are over seeds where both have two or more, else over the output
    channels of each layer. A list of runs (runs.toml), with their labels, arms and seeds, may stand in place of a RUN.
    """
    from recu_analysis.analysis.compare import check_same_layers, compare_query, over_seeds_query
    from recu_analysis.analysis.differences import curves_query, layer_differences_query

    if layers and view != "layers":
        raise click.UsageError("--layer chooses the layers of --by-layer; give both")
    opened = options.labeled(runs)
    if view != "seeds":
        check_same_layers(opened)
    _warn_of_sampled(opened)
    level: Any = tail_tau
    runs_shown = list(opened.values())
    if view == "curves":
        write_table(options.answered(curves_query(opened, level), runs_shown), table_format, output, curves_text)
        return
    if view == "seeds":
        table = options.answered(over_seeds_query(opened, level), runs_shown)
        _warn_of_short(opened)
        _warn_of_seeds(opened)
        write_table(table, table_format, output, _seeds_text, columns=_SEEDS)
    elif view == "layers":
        table = options.answered(layer_differences_query(opened, level, layers or None), runs_shown)
        _warn_of_short(opened)
        write_table(table, table_format, output, layers_text, columns=DIFFERENCES, rows=with_differences)
    else:
        table = options.answered(compare_query(opened, level), runs_shown)
        _warn_of_short(opened)
        text = functools.partial(as_text, opened)
        write_table(table, table_format, output, text, columns=(_RUN, *_COLUMNS), rows=_with_windows)


def _warn_of_sampled(runs: Mapping[str, Run]) -> None:
    from recu_analysis.analysis.arms import sampled

    some = [label for label, run in runs.items() if sampled(run)]
    if some:
        whole = "; do not compare their movement with that of the others" if len(some) < len(runs) else ""
        options.warn(f"{', '.join(some)}: sampled from checkpoints, movement is net and flips are missed{whole}")


def _warn_of_short(runs: Mapping[str, Run]) -> None:
    from recu_analysis.analysis.final_windows import LONG_ENOUGH, final_windows

    short = [label for label, run in runs.items() if final_windows(run).autocorrelation > LONG_ENOUGH]
    if short:
        options.warn(
            f"autocorrelation stays above {LONG_ENOUGH} in {', '.join(short)}: too short to tell dead from slow"
        )


def _warn_of_seeds(runs: Mapping[str, Run]) -> None:
    """Say which runs have no known seed, and which seeds ended at other points."""
    from recu_analysis.analysis.arms import arms, seedless, uneven

    alone = seedless(runs)
    if alone and len(runs) > 1:
        options.warn(
            f"{', '.join(alone)}: no seed in the configuration, so each is an experiment by itself; record with "
            "configuration={'seed': ...} what are seeds of one, or say so in a list of runs"
        )
    for arm in arms(runs):
        if lengths := uneven(arm.runs):
            options.warn(f"seeds of one experiment are not alike, for {lengths}")


def as_text(runs: Mapping[str, Run], table: pd.DataFrame) -> str:
    """The settings that differ, a line each, and a row a run, in 80 columns."""
    from recu_analysis.analysis.compare import differing_settings

    settings = differing_settings(runs)
    names = [name for name in settings if name != "run"]
    lines = [
        f"{name}: {', '.join(f'{value} ({run})' for run, value in zip(settings['run'], settings[name], strict=True))}"
        for name in names
    ]
    if not names:
        known = any(run.configuration for run in runs.values())
        lines = ["no setting differs" if known else "no run says its configuration"]
    first = max(8, min(max(map(len, runs)), room_beside(_COLUMNS)))
    return "\n".join([*lines, "", *table_lines(_with_windows(table), (_RUN, *_COLUMNS), first), "", *_NOTES])


def _with_windows(table: pd.DataFrame) -> pd.DataFrame:
    """The windows of each run in one column."""
    ends = zip(table["first_window"], table["last_window"], strict=True)
    return table.assign(windows=[f"{first}:{last + 1}" for first, last in ends])


#: What is shown of every group, under the heading of the terminal.
_SHOWN = (
    Column("val_top1", "validation accuracy, %"),
    Column("dead_fraction", "dead (tail and silent), %"),
    Column("silent_fraction_tail", "silent tail, %"),
    Column("silent_fraction_core", "silent core, %"),
    Column("mobility_ratio", "mobility, tail to core"),
)
_SEEDS = (Column("group"), Column("seeds"), *_SHOWN)


def _seeds_text(table: pd.DataFrame) -> str:
    """A paragraph a group: its runs, and each number with its interval and standard deviation over seeds."""
    lines = []
    for row in table.to_dict(orient="records"):
        lines.append(f"{row['group']}: {row['seeds']} seed{'s' * (row['seeds'] > 1)}")
        lines += [f"  {column.heading:28}{estimate(row, column.name)}" for column in _SHOWN]
    return "\n".join(lines)
