"""Arguments for several runs: opened runs, paths, sequences, mappings, or a list of runs; and one table of them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from recu_analysis.analysis.arms import labeled
from recu_analysis.analysis.query import gathered
from recu_analysis.analysis.run_list import is_run_list, open_runs
from recu_analysis.errors import InputError, kind_of_value
from recu_analysis.store.run import OneRun, Run, as_run, open_run

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd

    from recu_analysis.analysis.query import Query

#: Runs: one, a sequence, a mapping of labels to runs, or the path of a list of runs (TOML).
SeveralRuns: TypeAlias = OneRun | Sequence[OneRun] | Mapping[str, OneRun]


def as_runs(runs: SeveralRuns) -> dict[str, Run]:
    """The runs that a caller gave, by their labels.

    The keys of a mapping are the labels. Other runs have the label of their list of runs, or the shortest end of their
    path that is unique.

    Raises
    ------
    InputError
        If a value is not a run or path, there is none, or a run is given twice.
    StoreError
        If a path is not a run directory.
    """
    if isinstance(runs, Run):
        return labeled([runs])
    if isinstance(runs, str | os.PathLike):
        return open_runs(runs) if is_run_list(Path(runs)) else labeled([open_run(runs)])
    if isinstance(runs, Mapping):
        several = {str(label): as_run(run) for label, run in runs.items()}
    elif isinstance(runs, Sequence):
        several = labeled([as_run(run) for run in runs])
    else:
        raise InputError(
            "runs must be one run or path, a sequence of them, or a mapping of labels to them, not "
            f"{kind_of_value(runs)}"
        )
    if not several:
        raise InputError("no run is given; give one or more, opened or as paths")
    return several


def of_each(runs: SeveralRuns, query: Callable[[Run], Query[pd.DataFrame]]) -> pd.DataFrame:
    """The table of one run; of several runs, which a sequence or a list of runs counts as, their tables joined.

    Parameters
    ----------
    runs : run or path, sequence, or mapping of labels to runs
    query : callable
        Makes the query of the table of a run.

    Raises
    ------
    InputError, StoreError
        As in `as_runs`, and the errors of the queries.
    """
    tables = gathered({label: query(run) for label, run in as_runs(runs).items()}).run()
    one = isinstance(runs, Run) or (isinstance(runs, str | os.PathLike) and not is_run_list(Path(runs)))
    return next(iter(tables.values())) if one else concat_runs(tables)


def concat_runs(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """The tables of several runs below each other; their first column, run, holds the labels."""
    import pandas as pd

    labeled = [table.assign(run=label) for label, table in tables.items()]
    return pd.concat(labeled, ignore_index=True)[["run", *next(iter(tables.values())).columns]]
