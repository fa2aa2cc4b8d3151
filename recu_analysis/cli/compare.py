"""recu-analyze compare: runs side by side, the settings that differ, and means over seeds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from recu_analysis.analysis.rendering import Column
from recu_analysis.cli import options
from recu_analysis.cli.differences import curves_view, layers_view
from recu_analysis.cli.output import View, write_table
from recu_analysis.cli.seeds import seeds_view
from recu_analysis.cli.several_runs import too_short_runs, warn_of_sampled, warn_of_seeds
from recu_analysis.cli.target import table_target
from recu_analysis.errors import IncomparableError, InputError
from recu_analysis.store.labels import together

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from recu_analysis.cli.target import Target
    from recu_analysis.store.run import Run

_COLUMNS = (
    Column("run"),
    Column("windows", meaning="The windows; they hold the same number of updates in all runs."),
    Column("val_top1", width=6),
    Column("dead_fraction", width=6, meaning="Weights that are dead: in the tail at the start, and silent."),
    Column("silent_fraction_tail", width=5),
    Column("silent_fraction_core", width=5),
    Column("mobility_tail", width=5),
    Column("mobility_core", width=5),
    Column("mobility_ratio", "ratio", 5, group="mobility"),
    Column("autocorrelation", width=4),
    Column("decay_time", width=5),
)


@click.command("compare", epilog="Example: recu-analyze compare runs/demo/recu runs/demo/baseline")
@click.argument("runs", metavar="RUN RUN...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--seeds",
    "view",
    flag_value="seeds",
    help="Means, 95 % intervals and std over the seeds of each experiment: runs whose configurations differ "
    "only in their seed. Also the differences from the first experiment, seed by seed, with mean and interval.",
)
@click.option(
    "--by-layer", "view", flag_value="layers", help="Differences from the first run, layer by layer and of all layers."
)
@click.option("--curves", "view", flag_value="curves", help="Every window: logged metrics, and how the weights moved.")
@options.layer_option
@options.windows_option
@options.tail_tau_option
@table_target
@options.common
@options.jobs
def command(
    runs: tuple[Path, ...],
    view: str | None,
    layers: tuple[str, ...],
    windows: slice | None,
    tail_tau: float | str,
    target: Target,
) -> None:
    """Show the results of several runs of one network side by side, and the settings that differ.

    The results are over windows with the same number of updates: by default final windows, or all with --curves. With
    --by-layer, the seeds of one experiment are one group, which is compared with the group of the first RUN. Runs with
    the same seed are pairs: differences are over them if both groups share two seeds or more, with an interval from
    three on. Otherwise intervals are over the output channels of each layer. A RUN may also be a list of runs
    (runs.toml) with labels, arms and seeds.
    """
    from recu_analysis.analysis.compare import check_same_layers, over_seeds_query
    from recu_analysis.analysis.differences import curves_query, layer_differences_query
    from recu_analysis.analysis.final_windows import equal_windows
    from recu_analysis.analysis.paired import paired_differences_query
    from recu_analysis.analysis.query import gather
    from recu_analysis.analysis.window_text import windows_of_runs

    if layers and view not in {"layers", "curves"}:
        raise click.UsageError("--layer needs --by-layer or --curves; give both or neither")
    opened = options.labeled(runs)
    if len(opened) == 1 and view in {None, "layers"}:
        raise InputError(f"only {next(iter(opened))} is given, so there is nothing to compare; give two runs or more")
    if view != "seeds":
        check_same_layers(opened)
    warn_of_sampled(opened)
    level: Any = tail_tau
    runs_shown = list(opened.values())
    if view == "curves":
        query = curves_query(opened, windows, layers or None, level)
        write_table(curves_view(options.answered(query, runs_shown)), target)
    elif view == "seeds":
        asked = gather(over_seeds_query(opened, windows, level), paired_differences_query(opened, windows, level))
        table, differences = options.answered(asked, runs_shown)
        warn_of_seeds(opened)
        write_table(seeds_view(opened, table, differences, windows), target)
    elif view == "layers":
        table = options.answered(layer_differences_query(opened, windows, layers or None, level), runs_shown)
        where = windows_of_runs(opened, equal_windows(opened, windows))
        write_table(layers_view(table, [*too_short_runs(opened, windows), where]), target)
    else:
        write_table(_side_by_side(opened, windows, level), target)


def _side_by_side(runs: Mapping[str, Run], windows: slice | None, level: Any) -> View:
    """One row per run; above it, which runs are too short, and the settings that differ."""
    from recu_analysis.analysis.compare import compare_query, results

    try:
        query = compare_query(runs, windows, level)
    except IncomparableError as error:
        options.warn(str(error))
        return replace(_view(runs, results(runs), []), told_by_lines=[str(error)])
    return _view(runs, options.answered(query, runs.values()), too_short_runs(runs, windows))


def _view(runs: Mapping[str, Run], table: pd.DataFrame, short: Sequence[str]) -> View:
    from recu_analysis.analysis.compare import differing_settings

    settings = differing_settings(runs)
    names = [name for name in settings if name != "run"]
    differ = [
        f"{name}: {together(f'{value} ({run})' for run, value in zip(settings['run'], settings[name], strict=True))}"
        for name in names
    ]
    if not names:
        known = any(run.configuration for run in runs.values())
        differ = ["no setting differs" if known else "no run has a configuration"]
    table = _with_windows(runs, table) if "first_window" in table else table
    columns = [each for each in _COLUMNS if each.name in table]
    above = [*short, *differ]
    return View(table, columns, caption=f"{together(runs)} side by side.", runs=list(runs), above=above)


def _with_windows(runs: Mapping[str, Run], table: pd.DataFrame) -> pd.DataFrame:
    """The windows of each run in one column, such as 3 to 6."""
    from recu_analysis.analysis.selection import WindowSpan
    from recu_analysis.analysis.window_text import numbers_of

    ends = zip(table["run"], table["first_window"], table["last_window"], strict=True)
    return table.assign(windows=[numbers_of(runs[run], WindowSpan(first, last + 1)) for run, first, last in ends])
