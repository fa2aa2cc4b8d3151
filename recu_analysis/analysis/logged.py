"""Numeric metrics that runs logged; a mark may hold texts too."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    from recu_analysis.store.run import Run


def logged(run: Run, *names: str) -> pd.DataFrame:
    """The marks of a run at which all given metrics are numbers; empty if one of them was never logged.

    Parameters
    ----------
    run : Run
    *names : str
        Names of metrics: the columns of the table.
    """
    import pandas as pd

    metrics = run.metrics
    if not set(names) <= set(metrics):
        return pd.DataFrame(columns=list(names), dtype=float)
    numbers: pd.DataFrame = metrics[list(names)].apply(pd.to_numeric, errors="coerce").dropna()
    return numbers


def last_logged(run: Run, name: str) -> float:
    """The last number that a run logged under a name; NaN without one."""
    values = logged(run, name)[name]
    return float(values.iloc[-1]) if len(values) else math.nan
