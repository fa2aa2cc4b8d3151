"""Differences between experiments, seed by seed: of each pair of runs with the same seed, and their mean."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pandas as pd

from recu_analysis.analysis.arms import pairs
from recu_analysis.analysis.compare import compared_query
from recu_analysis.analysis.deadness import TAIL_TAU
from recu_analysis.analysis.run_arguments import as_runs
from recu_analysis.theory.intervals import Interval, student

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from recu_analysis.analysis.arms import Arm
    from recu_analysis.analysis.compare import Compared
    from recu_analysis.analysis.deadness import TailTau
    from recu_analysis.analysis.query import Query
    from recu_analysis.analysis.run_arguments import SeveralRuns
    from recu_analysis.analysis.selection import Windows
    from recu_analysis.store.run import Run

#: Fewer pairs than this have no interval: Student's interval of two is as wide as 13 standard errors to a side.
FEWEST_PAIRS = 3
#: The numbers of `compare` that are outcomes of a training.
OUTCOMES = (
    "val_top1",
    "dead_fraction",
    "silent_fraction_tail",
    "silent_fraction_core",
    "mobility_tail",
    "mobility_core",
    "mobility_ratio",
    "autocorrelation",
)


def over_pairs(differences: Sequence[float], errors: Sequence[float] = ()) -> Interval:
    """Mean of the differences of pairs of runs, with Student's interval for at least `FEWEST_PAIRS` pairs.

    Parameters
    ----------
    differences : sequence of float
    errors : sequence of float
        Standard error of each difference, see `recu_analysis.theory.intervals.student`.
    """
    value = student(differences, errors=errors)
    return value if len(differences) >= FEWEST_PAIRS else Interval(value.estimate, math.nan, math.nan)


def paired_differences(
    runs: SeveralRuns, *, windows: Windows | None = None, tail_tau: TailTau = TAIL_TAU
) -> pd.DataFrame:
    """Differences of each experiment from the first one, seed by seed.

    Runs with the same seed usually begin with the same weights and see the same batches. What a seed changes in both
    alike is not in their difference, so differences of pairs can be more precise than a difference of two means.

    Parameters
    ----------
    runs : run or path, sequence, or mapping of labels to runs
        Experiments with the same layers and the same data set (the setting dataset) are compared: each with the first.
    windows : int, slice, str or WindowSpan, optional
        Windows by their numbers, the same in every run. By default the final windows of the runs that are compared.
    tail_tau : float or "window"
        Level of the tail.

    Returns
    -------
    DataFrame
        For each experiment that shares two or more seeds with the first: one row per pair of runs, and one for the mean
        of the pairs:

        - run, reference: the labels of the pair; in the row of the mean, those of the experiments
        - dataset: of their configuration; None if unknown
        - pairs: 1, or in the row of the mean how many
        - val_top1, dead_fraction, silent_fraction_tail, silent_fraction_core, mobility_tail, mobility_core,
          mobility_ratio, autocorrelation: as in `compare`, run minus reference; with _low and _high, Student's 95 %
          interval over the pairs, NaN for fewer than three

        Intervals of silence and mobility are never narrower than the noise between the channels of each run allows,
        see `recu_analysis.theory.intervals.student`. Accuracies have no such noise of their own: their interval takes
        the validation images as given.

    Raises
    ------
    InputError, WindowNotFoundError
        As in `over_seeds`.
    """
    return paired_differences_query(as_runs(runs), windows, tail_tau).run()


def paired_differences_query(
    runs: Mapping[str, Run], windows: Windows | None = None, tail_tau: TailTau = TAIL_TAU
) -> Query[pd.DataFrame]:
    """The query of `paired_differences`; it raises the same errors."""
    ends = [f"{name}{end}" for name in OUTCOMES for end in ("", "_low", "_high")]
    columns = ["run", "reference", "dataset", "pairs", *ends]
    return compared_query(runs, windows, tail_tau).then(
        lambda groups: pd.DataFrame([row for group in groups for row in _rows(group)], columns=columns)
    )


def _rows(group: Compared) -> list[dict[str, Any]]:
    """The rows of every experiment of a group except the first."""
    reference, *others = group.arms
    return [row for arm in others for row in _rows_of(arm, reference, group)]


def _rows_of(arm: Arm, reference: Arm, group: Compared) -> list[dict[str, Any]]:
    """The rows of one experiment: of its pairs, and of their mean; none for fewer than two pairs."""
    labels = {run.id: label for each in (arm, reference) for label, run in each.runs.items()}
    matched = [(labels[ours.id], labels[theirs.id]) for ours, theirs in shared_seeds(arm, reference)]
    if not matched:
        return []
    dataset = arm.configuration.get("dataset")
    rows: list[dict[str, Any]] = [
        {"run": ours, "reference": theirs, "dataset": dataset, "pairs": 1} for ours, theirs in matched
    ]
    mean: dict[str, Any] = {"run": arm.label, "reference": reference.label, "dataset": dataset, "pairs": len(matched)}
    for name in OUTCOMES:
        values = group.rows[name]
        differences = [float(values[ours] - values[theirs]) for ours, theirs in matched]
        errors = [math.hypot(*(group.error(label, name) for label in pair)) for pair in matched]
        for row, each in zip(rows, differences, strict=True):
            row[name] = each
        found = over_pairs(differences, errors)
        mean |= {name: found.estimate, f"{name}_low": found.low, f"{name}_high": found.high}
    return [*rows, mean]


def shared_seeds(arm: Arm, reference: Arm) -> list[tuple[Run, Run]]:
    """The pairs of runs with the same seed if there are two or more, else none."""
    found = pairs(arm.runs.values(), reference.runs.values())
    return found if len(found) > 1 else []
