"""recu-analyze compare: runs side by side, the settings in which they differ, and means over seeds."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from recu_analysis.cli import options
from recu_analysis.cli.differences import curves_text, layers_printed, layers_text
from recu_analysis.cli.output import aligned, deliver, number, terminal_width, three_digits, with_interval

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

    from recu_analysis.store.run import Run

_WIDTHS = (8, 7, 6, 6, 6, 5, 5, 5, 4, 5)
_NAMES = ("windows", "val. %", "dead %", "tail %", "core %", "tail", "core", "ratio", "mem", "T")
_NOTES = (
    "dead: tail and silent. tail, core %: silent. tail, core: mean movement per",
    "update in 1/1000 std; ratio: tail to core, the median layer. windows: final",
    "stretches of as many updates, of a memory (mem) of at most 1/2 where there are.",
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
    form: str,
    output: Path | None,
) -> None:
    """Show what runs of one network ended with, side by side, and in which settings they differ.

    Over final stretches of windows of the same number of updates. With --by-layer, the seeds of one experiment are one
    group, compared with the first RUN's: intervals are over seeds where both have two or more, else over the output
    channels of each layer. A list of runs (runs.toml), with their labels, arms and seeds, may stand in place of a RUN.
    """
    from recu_analysis.analysis.compare import check_same_layers, compare_query, over_seeds_query
    from recu_analysis.analysis.differences import curves_query, layer_differences_query

    if layers and view != "layers":
        raise click.UsageError("--layer chooses the layers of --by-layer; give both")
    opened = options.labelled(runs)
    check_same_layers(opened)
    _warn_of_sampled(opened)
    level: Any = tail_tau
    runs_shown = list(opened.values())
    if view == "curves":
        deliver(options.answered(curves_query(opened, level), runs_shown), form, output, curves_text)
        return
    if view == "seeds":
        table = options.answered(over_seeds_query(opened, level), runs_shown)
        _warn_of_short(opened)
        _warn_of_seeds(opened)
        deliver(table, form, output, _seeds_text, printed=_seeds_printed)
    elif view == "layers":
        table = options.answered(layer_differences_query(opened, level, layers or None), runs_shown)
        _warn_of_short(opened)
        deliver(table, form, output, layers_text, printed=layers_printed)
    else:
        table = options.answered(compare_query(opened, level), runs_shown)
        _warn_of_short(opened)
        deliver(table, form, output, lambda shown: as_text(opened, shown), printed=_printed)


def _warn_of_sampled(runs: Mapping[str, Run]) -> None:
    from recu_analysis.analysis.arms import sampled

    some = [label for label, run in runs.items() if sampled(run)]
    if some:
        whole = "; do not compare their movement with that of the others" if len(some) < len(runs) else ""
        options.warn(f"{', '.join(some)}: sampled from checkpoints, movement is net and flips are missed{whole}")


def _warn_of_short(runs: Mapping[str, Run]) -> None:
    from recu_analysis.analysis.horizon import LONG_MEMORY, final_stretch

    short = [label for label, run in runs.items() if final_stretch(run).memory > LONG_MEMORY]
    if short:
        options.warn(
            f"memory stays above {LONG_MEMORY} in {', '.join(short)}: too short to tell dead weights from slow ones"
        )


def _warn_of_seeds(runs: Mapping[str, Run]) -> None:
    """Say which runs are nobody's seeds, and which seeds ended at other points."""
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


#: What the table of groups shows: name, column, factor and digits.
_SHOWN = (
    ("validation accuracy, %", "val_top1", 1, 2),
    ("dead (tail and silent), %", "dead_fraction", 100, 2),
    ("silent tail, %", "silent_fraction_tail", 100, 2),
    ("silent core, %", "silent_fraction_core", 100, 2),
    ("mobility, tail to core", "mobility_ratio", 1, 3),
)


def _seeds_text(table: pd.DataFrame) -> str:
    """A paragraph a group: its runs, and each number with its interval and standard deviation over seeds."""
    lines = []
    for row in table.to_dict(orient="records"):
        lines.append(f"{row['group']}: {row['seeds']} seed{'s' * (row['seeds'] > 1)}")
        lines += [f"  {shown:28}{_seen(row, name, factor, digits)}" for shown, name, factor, digits in _SHOWN]
    return "\n".join(lines)


def _printed(table: pd.DataFrame) -> pd.DataFrame:
    """The columns of the text table, for LaTeX."""
    import pandas as pd

    names = ["windows", "val. (%)", "dead (%)", "silent tail (%)", "silent core (%)"]
    names += ["mobility tail (1e-3)", "mobility core (1e-3)", "tail to core", "memory", "T"]
    rows = table.to_dict(orient="records")
    return pd.DataFrame([[row["run"], *_cells(row)] for row in rows], columns=["run", *names])


def _seeds_printed(table: pd.DataFrame) -> pd.DataFrame:
    """A row a group, each number with its interval and standard deviation over seeds."""
    import pandas as pd

    return pd.DataFrame(
        [
            {"runs": row["group"], "seeds": row["seeds"]}
            | {shown: _seen(row, name, factor, digits) for shown, name, factor, digits in _SHOWN}
            for row in table.to_dict(orient="records")
        ]
    )


def _seen(row: Mapping[Any, Any], name: str, factor: float, digits: int) -> str:
    value, low, high, std = (factor * row[f"{name}{end}"] for end in ("", "_low", "_high", "_std"))
    return with_interval(value, low, high, digits) + ("" if math.isnan(std) else f", std {std:.{digits}f}")
