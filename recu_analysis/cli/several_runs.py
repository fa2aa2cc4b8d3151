"""Several runs in one command: their views below each other, and warnings about them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from recu_analysis.analysis.rendering import Column
from recu_analysis.cli import options
from recu_analysis.cli.asides import of_run
from recu_analysis.cli.output import View, lines_of, wrapped
from recu_analysis.store.labels import together

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import pandas as pd

    from recu_analysis.analysis.selection import Windows
    from recu_analysis.store.run import Run


def below_each_other(views: Mapping[str, View], caption: str) -> View:
    """One view of several runs: a block per run, and a column with its label; a single view stays as it is.

    Parameters
    ----------
    views : mapping of str to View
        The view of each run by its label; all have the same columns.
    caption : str
        With a place for the labels.
    """
    first, *others = views.values()
    if not others:
        return replace(first, caption=caption.format(*views), runs=list(views))
    shared = [sentence for sentence in first.below if all(sentence in view.below for view in others)]
    own = {
        label: replace(view, below=[each for each in view.below if each not in shared]) for label, view in views.items()
    }
    return View(
        _joined({label: view.table for label, view in views.items()}),
        (Column("run"), *first.columns),
        None if first.rows is None else _joined({label: view.rows for label, view in views.items()}),
        caption.format(together(views)),
        list(views),
        below=shared,
        lines=lambda width: [line for each in own.items() for line in _block(*each, width)][1:],
        told_by_lines=[
            each if all(each in other.above for other in own.values()) else of_run(label, each)
            for label, view in own.items()
            for each in (*view.above, *view.below)
        ],
        explained=first.columns if first.explained is None else first.explained,
    )


def _joined(tables: Mapping[str, pd.DataFrame | None]) -> pd.DataFrame:
    """Tables below each other, with the label of each in a first column."""
    import pandas as pd

    parts = [table.assign(run=label)[["run", *table]] for label, table in tables.items() if table is not None]
    return pd.concat(parts, ignore_index=True)


def _block(label: str, view: View, width: int | None) -> list[str]:
    """The lines of one run, after an empty one."""
    above, below = wrapped([of_run(label, view.above[0]), *view.above[1:]], width), wrapped(view.below, width)
    return ["", *above, "", *lines_of(view, width), *([""] if below else []), *below]


def warn_of_sampled(runs: Mapping[str, Run]) -> None:
    """Warn which runs were imported from checkpoints."""
    from recu_analysis.analysis.arms import sampled

    some = [label for label, run in runs.items() if sampled(run)]
    if some:
        whole = "; do not compare their movement with that of the other runs" if len(some) < len(runs) else ""
        options.warn(f"{together(some)}: sampled from checkpoints, so movement is net and flips are missed{whole}")


def too_short_runs(runs: Mapping[str, Run], windows: Windows | None = None) -> list[str]:
    """In which runs the windows, or without a choice all windows, are not long enough; empty if in none."""
    from recu_analysis.analysis.final_windows import LONG_ENOUGH, judged_windows

    short = [label for label, run in runs.items() if judged_windows(run, windows).null > LONG_ENOUGH]
    if not short:
        return []
    verb = "stays" if windows is None else "is"
    return [
        f"null autocorrelation {verb} above {LONG_ENOUGH} in {together(short)}: too short to tell dead weights from "
        "slow ones"
    ]


def few_seeds(counts: Iterable[int]) -> list[str]:
    """What an interval over two seeds is worth, if an experiment has so few; empty otherwise."""
    if 2 not in list(counts):
        return []
    return [
        "two seeds are few: with one degree of freedom, Student's interval reaches 12.7 standard errors to each side; "
        "with three seeds it is 4.3"
    ]


def warn_of_seeds(runs: Mapping[str, Run]) -> None:
    """Warn which runs have no known seed, and which seeds of an experiment ended at different points."""
    from recu_analysis.analysis.arms import arms, seedless, uneven

    alone = seedless(runs)
    if alone and len(runs) > 1:
        options.warn(
            f"{together(alone)}: no seed in the configuration, so each run is an experiment by itself; if they are "
            "seeds of one experiment, record them with configuration={'seed': ...}, or use a list of runs"
        )
    for arm in arms(runs):
        if lengths := uneven(arm.runs):
            options.warn(f"seeds of one experiment differ in length: {lengths}")
