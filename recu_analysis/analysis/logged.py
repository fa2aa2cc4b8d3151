"""Numeric metrics that runs logged; a mark may hold any value of JSON, such as texts, lists and huge numbers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import pandas as pd

    from recu_analysis.store.run import Run

#: Whole numbers from here on become floats: not all of them are exact, and arithmetic on integers would overflow.
_EXACT: Final = 2**53


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
    return as_numbers(metrics[list(names)]).dropna()


def as_numbers(metrics: pd.DataFrame) -> pd.DataFrame:
    """Columns of metrics as numbers; NaN for what is not a finite number."""
    import pandas as pd

    numbers: pd.DataFrame = metrics.apply(lambda column: pd.to_numeric(column.map(_number), errors="coerce"))
    return numbers


def _number(value: Any) -> Any:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan
    if not math.isfinite(number):
        return math.nan
    return number if isinstance(value, bool) or abs(number) >= _EXACT else value


def last_logged(run: Run, name: str) -> float:
    """The last number that a run logged under a name; NaN without one."""
    values = logged(run, name)[name]
    return float(values.iloc[-1]) if len(values) else math.nan
