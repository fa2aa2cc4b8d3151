"""Compare runs: settings that differ, final statistics, and means over seeds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from recu_analysis.analysis.arms import arms, comparable, differing, layers_of, sampled
from recu_analysis.analysis.channel_errors import channel_errors_query, standard_errors
from recu_analysis.analysis.column_names import limits_of
from recu_analysis.analysis.deadness import TAIL_TAU, dead_weights_query, totals
from recu_analysis.analysis.final_windows import equal_windows
from recu_analysis.analysis.logged import last_logged
from recu_analysis.analysis.query import gather, gathered
from recu_analysis.analysis.run_arguments import as_runs
from recu_analysis.analysis.selection import decay_time
from recu_analysis.errors import InputError
from recu_analysis.theory.intervals import student

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from recu_analysis.analysis.arms import Arm
    from recu_analysis.analysis.deadness import TailTau
    from recu_analysis.analysis.query import Query
    from recu_analysis.analysis.run_arguments import SeveralRuns
    from recu_analysis.analysis.selection import Windows, WindowSpan
    from recu_analysis.store.run import Run


def compare(runs: SeveralRuns, *, windows: Windows | None = None, tail_tau: TailTau = TAIL_TAU) -> pd.DataFrame:
    """Compare runs over windows with the same number of updates.

    Parameters
    ----------
    runs : run or path, sequence, or mapping of labels to runs
        Column `run` has the labels of a mapping, else the names of the folders.
    windows : int, slice, str or WindowSpan, optional
        Windows by their numbers, the same in every run, with the same number of updates. By default the final windows,
        with the same number of updates in all runs.
    tail_tau : float or "window"
        Level of the tail.

    Returns
    -------
    DataFrame
        One row per run:

        - run
        - first_window, last_window
        - updates, decay_time (T): of the whole run
        - val_top1: per cent, at the last mark; NaN if none was logged
        - dead_fraction, silent_fraction_tail, silent_fraction_core, mobility_tail, mobility_core (standard deviations
          per update), autocorrelation; of noise alone:
          silent_fraction_tail_null, silent_fraction_core_null, autocorrelation_null: over the windows, means of the
          layers by their weights
        - mobility_ratio: tail to core over the windows, of the median layer
        - exact: whether every update was seen

    Raises
    ------
    IncomparableError
        If the runs have different numbers of updates in `windows`, or no final windows that can be compared; see
        `recu_analysis.analysis.final_windows.equal_final_windows`.
    InputError
        If a run is given twice.
    WindowNotFoundError
        If a run has none of the windows, or they hold no updates.
    """
    return compare_query(as_runs(runs), windows, tail_tau).run()


def compare_query(
    runs: Mapping[str, Run], windows: Windows | None = None, tail_tau: TailTau = TAIL_TAU
) -> Query[pd.DataFrame]:
    """The query of `compare`; it raises the same errors."""
    spans = equal_windows(runs, windows)
    tables = {label: dead_weights_query(run, spans[label], tail_tau=tail_tau) for label, run in runs.items()}
    return gathered(tables).then(lambda found: pd.DataFrame([_row(label, runs[label], found[label]) for label in runs]))


#: Columns of `compare` that have a null.
_WITH_NULL = ("silent_fraction_tail", "silent_fraction_core", "autocorrelation")


def results(runs: Mapping[str, Run]) -> pd.DataFrame:
    """The columns of `compare` that need no common windows: run, updates, decay_time, val_top1, exact."""
    return pd.DataFrame([{"run": label, **_result(run)} for label, run in runs.items()])


def _result(run: Run) -> dict[str, Any]:
    return {
        "updates": sum(window.updates for window in run.windows),
        "decay_time": decay_time(run),
        "val_top1": last_logged(run, "val_top1"),
        "exact": not sampled(run),
    }


def _row(label: str, run: Run, table: pd.DataFrame) -> dict[str, Any]:
    total, result = totals(table), _result(run)
    shown = ("dead_fraction", "silent_fraction_tail", "silent_fraction_core", "mobility_tail", "mobility_core")
    return {
        "run": label,
        "first_window": int(table["first_window"].iloc[0]),
        "last_window": int(table["last_window"].iloc[0]),
        **{name: result[name] for name in ("updates", "decay_time", "val_top1")},
        **{name: total[name] for name in shown},
        "mobility_ratio": float((table["mobility_tail"] / table["mobility_core"]).median()),
        "autocorrelation": total["autocorrelation"],
        **{f"{name}_null": total[f"{name}_null"] for name in _WITH_NULL},
        "exact": result["exact"],
    }


def differing_settings(runs: SeveralRuns) -> pd.DataFrame:
    """Settings that differ between the configurations of runs.

    Parameters
    ----------
    runs : run or path, sequence, or mapping of labels to runs
        Column `run` has the labels of a mapping, else the names of the folders.

    Returns
    -------
    DataFrame
        One row per run, one column per setting that differs; None where a run does not have the setting.
    """
    runs = as_runs(runs)
    different = {name: [run.configuration.get(name) for run in runs.values()] for name in differing(runs.values())}
    return pd.DataFrame(different, index=pd.Index(list(runs), name="run"), dtype=object).reset_index()


def over_seeds(runs: SeveralRuns, *, windows: Windows | None = None, tail_tau: TailTau = TAIL_TAU) -> pd.DataFrame:
    """Means of `compare` over the seeds of each experiment, with Student's 95 % intervals.

    Parameters
    ----------
    runs : run or path, sequence, or mapping of labels to runs
        Runs with the same layers and the same data set (the setting dataset) are compared with each other: their
        windows hold the same number of updates.
    windows : int, slice, str or WindowSpan, optional
        Windows by their numbers, the same in every run. By default the final windows of the runs that are compared.
    tail_tau : float or "window"
        Level of the tail.

    Returns
    -------
    DataFrame
        One row per experiment, see `recu_analysis.analysis.arms.arms`; a run without a seed is an experiment of its
        own:

        - arm: its name in a list of runs, else the labels of its runs
        - dataset: of its configuration; None if unknown
        - seeds: how many
        - each number of `compare`: the mean over seeds, with _low and _high (interval; that of a share or an accuracy
          stays within 0 and 100 %) and _std (n - 1); the last three are NaN for fewer than two seeds, and all are NaN
          if a seed does not have the number

        Intervals of silence and mobility are never narrower than the noise between the channels of each seed allows,
        see `recu_analysis.theory.intervals.student`. `paired_differences` compares experiments seed by seed.

    Raises
    ------
    InputError
        As in `compare`, or if a seed of an experiment is given twice.
    WindowNotFoundError
        As in `compare`.
    """
    return over_seeds_query(as_runs(runs), windows, tail_tau).run()


def over_seeds_query(
    runs: Mapping[str, Run], windows: Windows | None = None, tail_tau: TailTau = TAIL_TAU
) -> Query[pd.DataFrame]:
    """The query of `over_seeds`; it raises the same errors."""
    return compared_query(runs, windows, tail_tau).then(
        lambda groups: pd.DataFrame([_over_seeds(arm, group) for group in groups for arm in group.arms])
    )


@dataclass(frozen=True, slots=True)
class Compared:
    """Experiments that can be compared, with the results of their runs.

    Attributes
    ----------
    arms : sequence of Arm
    rows : DataFrame
        The row of each run in `compare`, indexed by its label.
    errors : mapping of str to mapping of str to float
        By label, the standard errors that are known of the numbers in a row, see `standard_errors`.
    """

    arms: Sequence[Arm]
    rows: pd.DataFrame
    errors: Mapping[str, Mapping[str, float]]

    def error(self, label: str, name: str) -> float:
        """The standard error of a run's number; NaN if unknown."""
        return self.errors[label].get(name, math.nan)


def compared_query(runs: Mapping[str, Run], windows: Windows | None, tail_tau: TailTau) -> Query[tuple[Compared, ...]]:
    """The results of all runs, in groups of experiments that can be compared."""
    return gather(*(_compared_query(group, windows, tail_tau) for group in comparable(arms(runs))))


def _compared_query(group: Sequence[Arm], windows: Windows | None, tail_tau: TailTau) -> Query[Compared]:
    runs = _runs_of(group)
    spans = equal_windows(runs, windows)
    sums = gathered({label: channel_errors_query(run, spans[label], tail_tau) for label, run in runs.items()})
    return gather(compare_query(runs, windows, tail_tau), sums).then(
        lambda found: Compared(
            group, found[0].set_index("run"), {label: standard_errors(each) for label, each in found[1].items()}
        )
    )


def seeds_windows(runs: Mapping[str, Run], windows: Windows | None = None) -> dict[str, WindowSpan]:
    """The windows of every run that `over_seeds` shows, by its label; it raises the same errors."""
    spans: dict[str, WindowSpan] = {}
    for group in comparable(arms(runs)):
        spans |= equal_windows(_runs_of(group), windows)
    return spans


def _runs_of(group: Sequence[Arm]) -> dict[str, Run]:
    """The runs of several experiments by their labels."""
    return {label: run for arm in group for label, run in arm.runs.items()}


def _over_seeds(arm: Arm, group: Compared) -> dict[str, Any]:
    """The row of an experiment: means over its seeds."""
    rows = group.rows.loc[list(arm.runs)]
    result: dict[str, Any] = {"arm": arm.label, "dataset": arm.configuration.get("dataset"), "seeds": len(rows)}
    for name in rows.columns.drop(["first_window", "last_window", "exact"]):
        errors = [group.error(label, name) for label in arm.runs]
        value = student(rows[name].to_list(), within=limits_of(name), errors=errors)
        result |= {name: value.estimate, f"{name}_low": value.low, f"{name}_high": value.high}
        result[f"{name}_std"] = float(rows[name].std(skipna=False))
    return result


def check_same_layers(runs: Mapping[str, Run]) -> None:
    """Raise InputError unless all runs have layers of the same names and shapes."""
    (first, reference), *others = [(label, layers_of(run)) for label, run in runs.items()]
    for label, layers in others:
        different = sorted(set(reference.items()) ^ set(layers.items()))
        if different:
            raise InputError(
                f"{first} and {label} have different layers, such as {different[0][0]!r}; compare runs of one network"
            )
