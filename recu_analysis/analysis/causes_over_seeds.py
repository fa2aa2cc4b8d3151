"""The causes of silence and the restored fraction of several runs: means over the seeds of each experiment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from recu_analysis.analysis.arms import arms, comparable
from recu_analysis.analysis.causes import causes_query
from recu_analysis.analysis.dead_over_seeds import spans_of_arms
from recu_analysis.analysis.deadness import TAIL_TAU
from recu_analysis.analysis.earned import earned_query
from recu_analysis.analysis.query import gathered
from recu_analysis.analysis.run_arguments import as_runs
from recu_analysis.analysis.seed_means import seed_means

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from recu_analysis.analysis.arms import Arm
    from recu_analysis.analysis.deadness import TailTau
    from recu_analysis.analysis.run_arguments import SeveralRuns
    from recu_analysis.analysis.selection import Windows

#: Columns with a mean alone: settings and counts.
_SET: Final = ("counted", "weights", "updates", "decay_time")


def earned_over_seeds(
    runs: SeveralRuns,
    *,
    windows: Windows | None = None,
    layers: Sequence[str] | str | None = None,
    tail_tau: TailTau = TAIL_TAU,
    network: bool = False,
) -> pd.DataFrame:
    """Means of `earned` over the seeds of each experiment, with Student's 95 % intervals.

    Parameters
    ----------
    runs : run or path, sequence, or mapping of labels to runs
        Runs that differ only in their seed are one experiment, see `recu_analysis.analysis.arms.arms`.
    windows, layers, tail_tau, network
        As in `earned`; the windows are the same in every run.

    Returns
    -------
    DataFrame
        One row per experiment, layer, window and group, of the windows that all seeds have:

        - arm: its name in a list of runs, else the labels of its runs
        - seeds (how many), layer, window, group
        - weights, updates, decay_time: means
        - rho, autocorrelation, inherited, momentum, restored: means, with _low and _high, NaN for a single seed. The
          interval of rho of all weights is never narrower than the noise of each seed allows

    Raises
    ------
    InputError
        As in `earned`, or if a run, or a seed of an experiment, is given twice.
    LayerNotFoundError, WindowNotFoundError
        As in `earned`.
    """
    opened = as_runs(runs)
    found = [arm for group in comparable(arms(opened)) for arm in group]
    queries = {label: earned_query(run, windows, layers, tail_tau, network=network) for label, run in opened.items()}
    return gathered(queries).then(lambda tables: means_of_earned(found, tables)).run()


def causes_over_seeds(
    runs: SeveralRuns,
    *,
    windows: Windows | None = None,
    layers: Sequence[str] | str | None = None,
    tail_tau: TailTau = TAIL_TAU,
) -> pd.DataFrame:
    """Means of `causes` over the seeds of each experiment, with Student's 95 % intervals.

    Parameters
    ----------
    runs : run or path, sequence, or mapping of labels to runs
        Runs that differ only in their seed are one experiment, see `recu_analysis.analysis.arms.arms`.
    windows : int, slice, str or WindowSpan, optional
        The tested windows, the same in every run. By default the final windows, with the same number of updates in all
        runs that have the same layers and the same data set.
    layers, tail_tau
        As in `causes`.

    Returns
    -------
    DataFrame
        One row per experiment, layer, group and cause:

        - arm: its name in a list of runs, else the labels of its runs
        - seeds (how many), row, layer, group, cause
        - counted, weights: means
        - share, share_half, share_twice, share_null: means, with _low and _high, NaN for a single seed

    Raises
    ------
    InputError
        As in `causes`, or if a run, or a seed of an experiment, is given twice, or runs that are compared have no final
        windows with the same number of updates.
    LayerNotFoundError, NotRecordedError, WindowNotFoundError
        As in `causes`.
    """
    opened = as_runs(runs)
    groups = comparable(arms(opened))
    spans = spans_of_arms(groups, windows)
    tables = {label: causes_query(opened[label], span, layers, tail_tau) for label, span in spans.items()}
    found = [arm for group in groups for arm in group]
    return gathered(tables).then(lambda answers: means_of_causes(found, answers)).run()


def means_of_earned(found: Sequence[Arm], tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Means over the seeds of each experiment of the tables of `earned`, by the labels of runs."""
    columns = ("rho", "autocorrelation", "inherited", "momentum", "restored")
    return seed_means(found, tables, ["layer", "window", "group"], columns, _SET)


def means_of_causes(found: Sequence[Arm], tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Means over the seeds of each experiment of the tables of `causes`, by the labels of runs."""
    columns = ("share", "share_half", "share_twice", "share_null")
    return seed_means(found, tables, ["row", "layer", "group", "cause"], columns, _SET)
