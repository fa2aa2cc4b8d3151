"""Dead weights of several runs: means over the seeds of each experiment, by layer, with intervals."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from recu_analysis.analysis.arms import arms, comparable
from recu_analysis.analysis.channel_errors import channel_errors_query, standard_errors
from recu_analysis.analysis.column_names import limits_of
from recu_analysis.analysis.deadness import TAIL_TAU, dead_weights_query, with_totals
from recu_analysis.analysis.final_windows import equal_final_windows, equal_windows
from recu_analysis.analysis.query import gather, gathered
from recu_analysis.analysis.run_arguments import as_runs
from recu_analysis.theory.intervals import student

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from recu_analysis.analysis.arms import Arm
    from recu_analysis.analysis.deadness import TailTau
    from recu_analysis.analysis.query import Query
    from recu_analysis.analysis.run_arguments import SeveralRuns
    from recu_analysis.analysis.selection import Windows, WindowSpan
    from recu_analysis.store.run import Run

    Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Block:
    """One experiment: its runs, the windows of each by its label, and its rows of `dead_weights_over_seeds`."""

    arm: Arm
    spans: Mapping[str, WindowSpan]
    rows: pd.DataFrame


#: Columns that are the same for all seeds of an experiment.
_OF_THE_LAYER = ("row", "layer", "weights")
#: Columns of the windows: their number if it is the same in all seeds, else none.
_WINDOWS = ("first_window", "last_window")
#: Columns with a mean but no interval: settings and counts, not outcomes.
_SET = ("updates", "decay_time", "nonfinite", "counted")


def dead_weights_over_seeds(
    runs: SeveralRuns,
    *,
    windows: Windows | None = None,
    layers: Sequence[str] | str | None = None,
    tail_tau: TailTau = TAIL_TAU,
    criterion: str = "tail-silent",
) -> pd.DataFrame:
    """Means of `dead_weights` over the seeds of each experiment, with Student's 95 % intervals.

    Parameters
    ----------
    runs : run or path, sequence, or mapping of labels to runs
        Runs that differ only in their seed are one experiment, see `recu_analysis.analysis.arms.arms`.
    windows : int, slice, str or WindowSpan, optional
        Windows by their numbers, the same in every run. By default the final windows, with the same number of updates
        in all runs that have the same layers and the same data set.
    layers : str or sequence of str, optional
        Patterns of layer names.
    tail_tau : float or "window"
        Level of the tail at the start of the windows; "window" takes each layer's own tau.
    criterion : str
        As in `dead_weights`.

    Returns
    -------
    DataFrame
        One row per experiment and layer, and one per experiment for all its layers:

        - arm: its name in a list of runs, else the labels of its runs
        - dataset, seeds (how many), row (layer or total), layer, weights
        - first_window, last_window: NaN if the seeds have windows of different numbers
        - updates, decay_time, nonfinite, counted: means over the seeds
        - every other number of `dead_weights`: the mean, with _low and _high, NaN for a single seed; the interval
          of a share stays within 0 and 1

        Intervals of silence and mobility are never narrower than the noise between the channels of each seed allows,
        see `recu_analysis.theory.intervals.student`.

    Raises
    ------
    InputError
        As in `dead_weights`, or if a run, or a seed of an experiment, is given twice, or runs that are compared have no
        final windows with the same number of updates, or the windows of two seeds have different numbers of updates.
    LayerNotFoundError, WindowNotFoundError, NotRecordedError
        As in `dead_weights`.
    """
    blocks = dead_weights_over_seeds_query(as_runs(runs), windows, layers, tail_tau, criterion).run()
    return pd.concat([block.rows for block in blocks], ignore_index=True)


def dead_weights_over_seeds_query(
    runs: Mapping[str, Run],
    windows: Windows | None = None,
    layers: Sequence[str] | str | None = None,
    tail_tau: TailTau = TAIL_TAU,
    criterion: str = "tail-silent",
) -> Query[list[Block]]:
    """The query of `dead_weights_over_seeds`, one block per experiment; it raises the same errors."""
    groups = comparable(arms(runs))
    spans = spans_of_arms(groups, windows)
    tables = {
        label: dead_weights_query(runs[label], span, criterion, tail_tau, layers) for label, span in spans.items()
    }
    sums = {label: channel_errors_query(runs[label], span, tail_tau, layers) for label, span in spans.items()}
    found = [arm for group in groups for arm in group]
    return gather(gathered(tables), gathered(sums)).then(
        lambda of_runs: [
            _block(arm, spans, of_runs[0], {label: _errors(of_runs[1][label], criterion) for label in arm.runs})
            for arm in found
        ]
    )


def _errors(layers: Sequence[Values], criterion: str) -> list[dict[str, float]]:
    """The standard errors that are known of each row of a run: of its layers, and of the total."""
    return [*(standard_errors([sums], criterion) for sums in layers), standard_errors(layers, criterion)]


def spans_of_arms(groups: Sequence[Sequence[Arm]], windows: Windows | None) -> dict[str, WindowSpan]:
    """The windows of every run by its label: a caller's, equal within an arm, or final windows, equal in a group."""
    spans: dict[str, WindowSpan] = {}
    for group in groups:
        if windows is None:
            spans |= equal_final_windows({label: run for arm in group for label, run in arm.runs.items()})
            continue
        for arm in group:  # the table says the updates of each experiment, so those may differ
            spans |= equal_windows(arm.runs, windows)
    return spans


def _block(
    arm: Arm,
    spans: Mapping[str, WindowSpan],
    tables: Mapping[str, pd.DataFrame],
    errors: Mapping[str, Sequence[Mapping[str, float]]],
) -> Block:
    """The means of one experiment."""
    seeds = [with_totals(tables[label]) for label in arm.runs]
    rows = [
        _row(arm, [table.iloc[at] for table in seeds], [errors[label][at] for label in arm.runs])
        for at in range(len(seeds[0]))
    ]
    return Block(arm, {label: spans[label] for label in arm.runs}, pd.DataFrame(rows))


def _row(arm: Arm, seeds: Sequence[pd.Series[Any]], errors: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    """The means of one row of `dead_weights` over the seeds, from their values and known standard errors."""
    first = seeds[0]
    row = {"arm": arm.label, "dataset": arm.configuration.get("dataset"), "seeds": len(seeds)}
    row |= {name: first[name] for name in _OF_THE_LAYER}
    row |= {name: first[name] if len({each[name] for each in seeds}) == 1 else math.nan for name in _WINDOWS}
    for name in first.index.drop([*_OF_THE_LAYER, *_WINDOWS, "exact"]):
        noise = [each.get(name, math.nan) for each in errors]
        value = student([float(each[name]) for each in seeds], within=limits_of(name), errors=noise)
        row |= {name: value.estimate}
        row |= {} if name in _SET else {f"{name}_low": value.low, f"{name}_high": value.high}
    return row
