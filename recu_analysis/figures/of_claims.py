"""The claims as a figure: which runs they are tested on, and the thresholds that decide them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pandas as pd

from recu_analysis.analysis.arms import arm_and_baseline
from recu_analysis.analysis.claims import asked_claims, claims
from recu_analysis.analysis.claims.distribution import HELD, LAPLACE, NOT_HELD, NOT_LAPLACE
from recu_analysis.analysis.claims.movement import ALIKE, BARELY, NOT_REVIVED, REVIVED
from recu_analysis.errors import InputError
from recu_analysis.figures.entry import Entry

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from recu_analysis.analysis.arms import Arm
    from recu_analysis.analysis.engine import Asked
    from recu_analysis.figures.entry import Runs
    from recu_analysis.store.run import Run

# Inches, without which claims and verdicts leave no room between them.
_NARROWEST = 4.8
_NONE = (math.nan, math.nan, math.nan, math.nan)
_RATIO = (-math.inf, BARELY, math.nan, ALIKE)
# Claims that a threshold decides: the range that supports, and what lies beyond the ones that contradict.
_THRESHOLDS = {
    "C1a": _RATIO,
    "C1b": _RATIO,
    "C2": (*LAPLACE, math.nan, NOT_LAPLACE),
    "C5": (*HELD, *NOT_HELD),
    "C6": (REVIVED, math.inf, NOT_REVIVED, math.nan),
    "C7": (-math.inf, 0.0, math.nan, 0.0),
}


def plot_claims(runs: Runs, ax: Axes | None = None) -> Axes:
    """The paper's claims as a forest: estimates with 95 % intervals against the thresholds, verdicts as text.

    Parameters
    ----------
    runs : mapping of str to Run
        Runs by their labels. The first arm that clamps is tested, over its seeds; runs without clamp are its baseline.
    ax : Axes, optional

    Returns
    -------
    Axes
    """
    from recu_analysis.plots.claims import forest

    return forest(claims_data(runs), ax)


def claims_data(runs: Runs) -> pd.DataFrame:
    """`recu_analysis.claims` of the arm tested, with the runs, their baseline and the thresholds.

    Raises
    ------
    InputError
        If there are no runs.
    """
    tested, baseline = _sides(runs)
    table = claims(*_tested(tested, baseline))
    names = ["supports_low", "supports_high", "refutes_below", "refutes_above"]
    thresholds = pd.DataFrame([_THRESHOLDS.get(name, _NONE) for name in table["id"]], columns=names)
    said = " ".join(baseline.runs) if baseline else ""
    return pd.concat([table, thresholds], axis=1).assign(runs=" ".join(tested.runs), baseline=said)


def _tested(tested: Arm, baseline: Arm | None) -> tuple[list[Run], list[Run] | None]:
    return list(tested.runs.values()), list(baseline.runs.values()) if baseline else None


def _asked(runs: Runs) -> list[Asked[Any]]:
    return asked_claims(*_tested(*_sides(runs)))


def _sides(runs: Runs) -> tuple[Arm, Arm | None]:
    """The arm that is tested and its baseline; InputError where there are no runs."""
    if not runs:
        raise InputError("the figure of the claims shows runs; name at least one run directory")
    return arm_and_baseline(runs)


def _claims(runs: Runs) -> tuple[Figure, pd.DataFrame]:
    from recu_analysis.plots.claims import forest
    from recu_analysis.plots.style import current_venue, panels

    figure, (axes,) = panels(1)
    if figure.get_figwidth() < _NARROWEST:
        raise InputError(f"the figure of the claims needs {_NARROWEST:g} inches; give --width page, or {_NARROWEST:g}")
    data = claims_data(runs)
    # Two lines of text and the thresholds below them in every row.
    figure.set_figheight(len(data) * current_venue().font_size * 3.4 / 72.0)
    forest(data, axes)
    return figure, data


CLAIMS_FIGURES: dict[str, Entry] = {
    "claims": Entry(
        _claims,
        "the paper's claims, with intervals and verdicts",
        "Claims of the paper against runs: estimate and 95 % interval, each row on a scale of its own, against its "
        "thresholds; rows without any have none. A verdict may ask for more than its threshold, such as enough seeds, "
        "or that distance from zero does not explain it: the data beside the figure says why, and which runs. By "
        "construction: algebra alone decides.",
        asks=_asked,
    ),
}
