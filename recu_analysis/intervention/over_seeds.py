"""The rise of the loss in several trainings: of each run, and means over the seeds of each experiment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pandas as pd

from recu_analysis.analysis.arms import arms, comparable
from recu_analysis.analysis.run_arguments import as_runs
from recu_analysis.analysis.seed_means import seed_means
from recu_analysis.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from recu_analysis.analysis.run_arguments import SeveralRuns

#: Columns that name a row of `recu_analysis.intervene`, those with a mean and an interval, and those with a mean alone.
_KEYS: Final = ("row", "layer", "group", "reference", "batch_norm")
_VALUES: Final = ("rise", "accuracy_change")
_PLAIN: Final = ("negated", "negated_fraction", "images", "repeats", "loss", "predicted_rise")


def rises_over_seeds(runs: SeveralRuns, tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Tables of `intervene` of several runs below each other, with means over the seeds of each experiment.

    Parameters
    ----------
    runs : run or path, sequence, or mapping of labels to runs
        Runs that differ only in their seed are one experiment, see `recu_analysis.analysis.arms.arms`.
    tables : mapping of str to DataFrame
        The table of `recu_analysis.intervene` of each run, by the labels of the runs, in their order. Without labels of
        your own, these are the names of their folders.

    Returns
    -------
    DataFrame
        One row per run and row of its table, and one per experiment and row that all its seeds have:

        - arm: name of the experiment in a list of runs, else the labels of its runs
        - run: its label; None in rows of means
        - seeds: 1, or how many
        - the columns of `recu_analysis.intervene`, without image_error and draw_error in rows of means

        Means are of the layers in which weights of the group were negated in every seed. Their intervals are Student's
        over the seeds, never narrower than the images and draws of each seed allow, and NaN for one seed.

    Raises
    ------
    InputError
        If the labels of runs and tables differ, or a run, or a seed of an experiment, is given twice.
    """
    opened = as_runs(runs)
    if list(opened) != list(tables):
        raise InputError(
            f"the tables are of {', '.join(tables)}, and the runs are {', '.join(opened)}; give the same labels"
        )
    found = [arm for group in comparable(arms(opened)) for arm in group]
    each = [
        tables[label].assign(arm=arm.label, run=label, seeds=1)[["arm", "run", "seeds", *tables[label]]]
        for arm in found
        for label in arm.runs
    ]
    negated = {label: table[table["negated"] > 0] for label, table in tables.items()}
    means = seed_means(found, negated, [*_KEYS], _VALUES, _PLAIN).assign(run=None)
    return pd.concat([*each, means], ignore_index=True)
