"""The claims over the length T of the trainings: which verdicts change with it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pandas as pd

from recu_analysis.analysis.arms import arms
from recu_analysis.analysis.query import gathered
from recu_analysis.analysis.run_arguments import as_runs
from recu_analysis.analysis.selection import decay_time
from recu_analysis.errors import InputError, unknown
from recu_analysis.figures import claims
from recu_analysis.figures.spec import OWN_CHOICE, Asked, FigureSpec
from recu_analysis.store.labels import together

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from recu_analysis.analysis.query import Query
    from recu_analysis.analysis.run_arguments import SeveralRuns
    from recu_analysis.figures.spec import Runs
    from recu_analysis.plots.arm_colors import AnyPalette

#: The claims in a few words, for titles.
_SHORT = {
    "C1a": "still tail",
    "C1b": "steady signs",
    "C2": "Laplace",
    "C5": "b is b*",
    "C6": "revived",
    "C7": "faster",
}
#: Trainings whose T differ by less than this factor have one length.
_ALIKE = 1.1


def plot_length(
    data: SeveralRuns | pd.DataFrame,
    *,
    ax: Axes | None = None,
    palette: AnyPalette | None = None,
    label: str | None = None,
    claim: str = "C1b",
    layers: Sequence[str] | str | None = None,
    **properties: Any,
) -> Axes:
    """One of the paper's claims over the length T of trainings: estimates with 95 % intervals against its thresholds.

    Parameters
    ----------
    data : path, sequence, or mapping of labels to runs, or DataFrame
        Runs of at least two lengths, as `recu_analysis.plot_claims` takes those of one. Or a table of the rows of
        `recu_analysis.claims` of each length, with a column `decay_time`.
    ax : Axes, optional
        By default pyplot's current Axes.
    palette : mapping of str to color, or sequence of colors, optional
        The colors of supports (the range that supports the claim) and estimate, by these names or in this order.
    label : str, optional
        The name of the estimates in the legend.
    claim : str
        One that a threshold decides: C1a, C1b, C2, C5, C6 or C7.
    layers : str or sequence of str, optional
        Patterns of layer names.
    **properties
        Properties of the markers, as `matplotlib.lines.Line2D` has them: color, alpha and so on.

    Returns
    -------
    Axes

    Raises
    ------
    InputError
        If the trainings have one length, the claim is another, `data` is of another type or lacks a column, or the
        palette, the label or a property does not fit.
    LayerNotFoundError
        If a pattern matches no layer.
    """
    from recu_analysis.plots.length import over_length

    if claim not in claims.THRESHOLDS:
        raise unknown("claim with a threshold", claim, list(claims.THRESHOLDS))
    if isinstance(data, pd.DataFrame):
        table = claims.with_thresholds(data)
    else:
        table = query(as_runs(data), Asked(layers)).run()
    return over_length(table[table["id"] == claim], ax=ax, palette=palette, label=label, **properties)


def query(runs: Runs, asked: Asked = OWN_CHOICE) -> Query[pd.DataFrame]:
    """The claims at each length, as `recu_analysis.figures.claims.query` gives them, with a column decay_time.

    Raises
    ------
    InputError
        If the trainings have one length, or T of one is not known.
    """
    lengths = _by_length(runs)
    if len(lengths) < 2:
        raise InputError(
            "the figure length needs trainings of at least two lengths T, each with ReCU's clamp and without it; "
            f"there {'is' if lengths else 'are'} {together(f'{time:.3g}' for time in lengths) or 'none'}"
        )
    tables = {time: claims.query(group, asked) for time, group in lengths.items()}
    return gathered(tables).then(
        lambda found: pd.concat([table.assign(decay_time=time) for time, table in found.items()], ignore_index=True)
    )


def _by_length(runs: Runs) -> dict[float, Runs]:
    """Runs by their T, the shortest first; arms of about one length have that of the first of them."""
    found: dict[float, dict[str, Any]] = {}
    times = [(decay_time(arm.first), arm) for arm in arms(runs)]
    for time, arm in times:
        if not time > 0.0 or math.isinf(time):
            raise InputError(f"T of {arm.label} is not known or 0, so its claims have no place in the figure length")
    for time, arm in sorted(times, key=lambda each: each[0]):
        length = next((length for length in found if time < _ALIKE * length), time)
        found.setdefault(length, {}).update(arm.runs)
    # The order of the runs tells which arm is tested.
    return {time: {label: run for label, run in runs.items() if label in group} for time, group in found.items()}


def draw(data: pd.DataFrame, _asked: Asked = OWN_CHOICE) -> tuple[Figure, pd.DataFrame]:
    """A panel for each claim that has an estimate and a threshold, on the same axis of T."""
    from recu_analysis.figures.grid import legend_once, panel_each
    from recu_analysis.plots._axes import heading_of
    from recu_analysis.plots.length import over_length

    shown = [name for name in claims.THRESHOLDS if data.loc[data["id"] == name, "estimate"].notna().any()]
    if not shown:
        raise InputError("no claim with a threshold has an estimate at any length; choose other runs")
    figure, axes = panel_each([f"{name}: {_SHORT[name]}" for name in shown])
    for ax, name in zip(axes, shown, strict=True):
        over_length(data[data["id"] == name], ax=ax)
        ax.set_xlabel("")
    figure.supxlabel(heading_of("decay_time"), fontsize="medium")
    legend_once(figure, axes)
    return figure, data


def note(data: pd.DataFrame) -> str:
    """The claims of the panels in words, and the runs at each length."""
    words = data.drop_duplicates("id").set_index("id")["claim"]
    listed = "; ".join(f"{name}, {words[name]}" for name in claims.THRESHOLDS if name in words.index)
    return f"The claims: {listed}."


FIGURE = FigureSpec(
    query,
    draw,
    "the paper's claims over the length of the training",
    "The claims of the paper on trainings of several lengths T: estimates with 95 % intervals. T says how many times "
    "decay could have replaced the weights. A filled marker has a verdict, supported or contradicted; an open one "
    "has none, because the interval holds a threshold, or the claim needs more than a threshold, such as more seeds. "
    "Where a panel has no marker, the claim cannot be told at that length. The lengths also differ in data and "
    "number of updates, which the configurations of the runs say.",
    takes=("layers",),
    note=note,
)
