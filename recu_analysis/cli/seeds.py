"""The view of `compare --seeds`: means over seeds, and differences from the first experiment seed by seed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from recu_analysis.analysis.rendering import Column, estimate, shown
from recu_analysis.cli.output import View, wrapped
from recu_analysis.cli.several_runs import few_seeds, too_short_runs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from recu_analysis.store.run import Run

#: Columns that are shown for every experiment.
_SHOWN = (
    Column("val_top1"),
    Column("dead_fraction"),
    Column("silent_fraction_tail"),
    Column("silent_fraction_core"),
    Column("mobility_ratio", "ratio", group="mobility"),
)


def seeds_view(runs: Mapping[str, Run], table: pd.DataFrame, differences: pd.DataFrame, windows: slice | None) -> View:
    """Means over seeds, one row per experiment, and differences, one row per pair of runs and one for their mean.

    Parameters
    ----------
    runs : mapping of str to Run
    table, differences : DataFrame
        Of `over_seeds` and of `paired_differences`.
    windows : slice, optional
        The windows that the user chose.
    """
    groups = list(table["arm"])
    dataset = [Column("dataset")] if len(table["dataset"].unique()) > 1 else []
    means, compared = _seeds_told(runs, table, windows), _compared(runs, differences)
    caption = f"{'Means over the seeds' if (table['seeds'] > 1).any() else 'One seed each'} of {'; '.join(groups)}"
    caption += ", and differences, seed by seed." if len(differences) else "."
    return View(
        _together(table, differences),
        (Column("arm"), *dataset, Column("seeds"), *_SHOWN),
        caption=caption,
        runs=groups,
        kind="seeds",
        explained=_SHOWN,
        lines=lambda width: [*_mean_lines(table, means, width), *_difference_lines(compared, width)],
        above=too_short_runs(runs, windows),
        below=few_seeds(table["seeds"]),
        told_by_lines=[*means, *(sentence for sentence, _ in compared)],
    )


def _together(table: pd.DataFrame, differences: pd.DataFrame) -> pd.DataFrame:
    """Both tables below each other; the column arm says what a difference is of, and seeds how many pairs it has."""
    import pandas as pd

    if differences.empty:
        return table
    names = differences["run"] + " minus " + differences["reference"]
    below = differences.assign(arm=names, seeds=differences["pairs"]).drop(columns=["run", "pairs"])
    return pd.concat([table, below], ignore_index=True)


def _seeds_told(runs: Mapping[str, Run], table: pd.DataFrame, windows: slice | None) -> list[str]:
    """A sentence for every experiment: its runs, how many seeds they are, its data set and its windows."""
    from recu_analysis.analysis.arms import arms
    from recu_analysis.analysis.compare import seeds_windows
    from recu_analysis.analysis.window_text import windows_of_runs

    spans, found = seeds_windows(runs, windows), {arm.label: arm for arm in arms(runs)}
    several = len(table["dataset"].unique()) > 1
    told = []
    for row in table.to_dict(orient="records"):
        of = f" ({row['dataset'] if isinstance(row['dataset'], str) else 'data set not known'})" if several else ""
        seeds = f"{row['seeds']} seeds" if row["seeds"] > 1 else "one seed, no interval"
        told.append(f"{row['arm']}: {seeds}{of}, {windows_of_runs(found[row['arm']].runs, spans)}")
    return told


def _compared(runs: Mapping[str, Run], differences: pd.DataFrame) -> list[tuple[str, list[Any]]]:
    """For every experiment that is compared: how many pairs of seeds, or why none; the rows of the pairs and the mean.

    The rows are empty if there are fewer than two pairs.
    """
    from recu_analysis.analysis.arms import arms, comparable
    from recu_analysis.analysis.paired import FEWEST_PAIRS

    rows: list[Any] = differences.to_dict(orient="records")
    found: list[tuple[str, list[Any]]] = []
    for reference, *others in comparable(arms(runs)):
        for arm in others:
            own = [row for row in rows if row["run"] in {arm.label, *arm.runs}]
            names = f"{arm.label} minus {reference.label}"
            if own:
                few = f", no interval, which needs {FEWEST_PAIRS}" if own[-1]["pairs"] < FEWEST_PAIRS else ""
                found.append((f"{names}: {own[-1]['pairs']} pairs of seeds{few}", own))
            elif min(len(arm.runs), len(reference.runs)) > 1:
                found.append((f"{names}: not shown, since they share fewer than two seeds", []))
    return found


def _mean_lines(table: pd.DataFrame, told: Sequence[str], width: int | None) -> list[str]:
    """One paragraph per experiment: its sentence, and each number with interval and standard deviation over seeds."""
    lines = []
    for sentence, row in zip(told, table.to_dict(orient="records"), strict=True):
        lines += wrapped([sentence], width)
        lines += [f"  {column.title:16}{estimate(row, column.name)}" for column in _SHOWN]
    return lines


def _difference_lines(compared: Sequence[tuple[str, list[Any]]], width: int | None) -> list[str]:
    """One paragraph per difference: its sentence, and each number: mean with interval, and the pairs one by one."""
    lines = []
    for sentence, rows in compared:
        lines += ["", *wrapped([sentence], width)]
        for column in _SHOWN if rows else ():
            *each, mean = rows
            pairs = ", ".join(shown(column.name, row[column.name]) for row in each)
            lines.append(f"  {column.title:16}{estimate(mean, column.name)}: {pairs}")
    return lines
