"""The claims as a figure: which runs they are tested on, and the thresholds that decide them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pandas as pd

from recu_analysis.analysis.arms import arm_and_baseline
from recu_analysis.analysis.claims import claims_query
from recu_analysis.analysis.claims.distribution import HELD, LAPLACE, NOT_HELD, NOT_LAPLACE
from recu_analysis.analysis.claims.movement import ALIKE, BARELY, NOT_REVIVED, REVIVED
from recu_analysis.analysis.run_arguments import as_runs
from recu_analysis.analysis.selection import span_of
from recu_analysis.analysis.window_text import chosen_text
from recu_analysis.errors import InputError
from recu_analysis.figures.spec import OWN_CHOICE, Asked, FigureSpec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from recu_analysis.analysis.arms import Arm
    from recu_analysis.analysis.query import Query
    from recu_analysis.analysis.run_arguments import SeveralRuns
    from recu_analysis.analysis.selection import Windows
    from recu_analysis.figures.spec import Runs
    from recu_analysis.plots.arm_colors import AnyPalette

_NONE = ("", math.nan, math.nan, math.nan, math.nan)
_RATIO = (-math.inf, BARELY, math.nan, ALIKE)
#: Claims that a threshold decides: the quantity, the range that supports one, and the bounds beyond which a value
#: contradicts it.
THRESHOLDS = {
    "C1a": ("mobility, tail / core, over noise", *_RATIO),
    "C1b": ("sign changes, O/E, over noise", *_RATIO),
    "C2": ("shape: 1 Laplace, 2 normal", *LAPLACE, math.nan, NOT_LAPLACE),
    "C5": (r"$\hat{b}$ / $b^{*}$", *HELD, *NOT_HELD),
    "C6": ("flips of the tail, ReCU / baseline", REVIVED, math.inf, NOT_REVIVED, math.nan),
    "C7": ("epochs, ReCU minus baseline", -math.inf, 0.0, math.nan, 0.0),
}


def plot_claims(
    data: SeveralRuns | pd.DataFrame,
    *,
    ax: Axes | None = None,
    palette: AnyPalette | None = None,
    label: str | None = None,
    windows: Windows | None = None,
    layers: Sequence[str] | str | None = None,
    **properties: Any,
) -> Axes:
    """The paper's claims as a forest: estimates with 95 % intervals against the thresholds, verdicts as text.

    Parameters
    ----------
    data : run or path, sequence, mapping of labels to runs, or DataFrame
        Runs. The first arm with a clamp is tested, over its seeds. Runs without a clamp are its baseline. Or a table as
        `recu_analysis.claims` gives it.
    ax : Axes, optional
        By default pyplot's current Axes.
    palette : mapping of str to color, or sequence of colors, optional
        The colors of supports (the range that supports a claim) and estimate, by these names or in this order.
    label : str, optional
        The name of the estimates in the legend. By default the legend leaves them out.
    windows : int, slice, str or WindowSpan, optional
        Windows by their numbers, as `recu_analysis.claims` takes them.
    layers : str or sequence of str, optional
        Patterns of layer names.
    **properties
        Properties of the marks of the estimates, as `matplotlib.lines.Line2D` has them: color, alpha and so on.

    Returns
    -------
    Axes

    Raises
    ------
    InputError
        If `data` is of another type or lacks a column, or the palette, the label or a property does not fit.
    LayerNotFoundError, WindowNotFoundError
        If a pattern matches no layer, or there is no window with updates.
    """
    from recu_analysis.plots.claims import forest

    asked = Asked(layers, windows)
    table = with_thresholds(data) if isinstance(data, pd.DataFrame) else query(as_runs(data), asked).run()
    return forest(table, ax=ax, palette=palette, label=label, **properties)


def query(runs: Runs, asked: Asked = OWN_CHOICE) -> Query[pd.DataFrame]:
    """`recu_analysis.claims` of the tested arm, with columns for thresholds, runs and baseline.

    Raises
    ------
    InputError
        If there are no runs.
    """
    tested, baseline = _sides(runs)
    others = baseline.runs if baseline else {}
    table = claims_query(list(tested.runs.values()), list(others.values()), asked.windows, asked.layers)
    columns = {"runs": " ".join(tested.runs), "baseline": " ".join(others)}
    if asked.windows is not None:
        columns["windows"] = chosen_text(tested.first, span_of(tested.first, asked.windows))
    return table.then(lambda found: with_thresholds(found).assign(**columns))


def with_thresholds(table: pd.DataFrame) -> pd.DataFrame:
    """A table of claims with the quantity and the thresholds of each; InputError if it has no column id."""
    if "id" not in table:
        raise InputError("the table to draw lacks the column id; give a table from ra.claims, or runs")
    if "measure" in table:
        return table
    names = ["measure", "supports_low", "supports_high", "refutes_below", "refutes_above"]
    thresholds = pd.DataFrame([THRESHOLDS.get(name, _NONE) for name in table["id"]], table.index, names)
    return pd.concat([table, thresholds], axis=1)


def _sides(runs: Runs) -> tuple[Arm, Arm | None]:
    """The tested arm and its baseline; InputError if there are no runs."""
    if not runs:
        raise InputError("the figure claims needs runs; give at least one run directory")
    return arm_and_baseline(runs)


def draw(data: pd.DataFrame, _asked: Asked = OWN_CHOICE) -> tuple[Figure, pd.DataFrame]:
    """One panel, one row per claim that a threshold decides; all claims if there is none."""
    from recu_analysis.figures.print.style import current_venue, panels, rows_do_not_fit
    from recu_analysis.plots.claims import forest, is_narrow

    figure, (axes,) = panels(1)
    drawn = data[_decided(data)] if _decided(data).any() else data
    # Lines of text in every row, with the numbers of its axis.
    lines, venue = 6.6 if is_narrow(axes) else 4.5, current_venue()
    height = (len(drawn) + 0.4) * venue.font_size * lines / 72.0
    # Beside the rows, texts leave some room between their lines; above them, they leave none.
    if venue.height < (1.0 if is_narrow(axes) else 0.85) * height:
        raise rows_do_not_fit(len(drawn))
    figure.set_figheight(min(height, venue.height))
    forest(drawn, ax=axes)
    return figure, data


def _decided(data: pd.DataFrame) -> pd.Series[bool]:
    """Which claims have an estimate and thresholds."""
    return data["estimate"].notna() & data["measure"].ne("")


def note(data: pd.DataFrame) -> str:
    """The windows that a caller chose, and the claims that are not drawn, with their verdicts."""
    sentences = []
    if "windows" in data:
        sentences.append(f"Movement is measured over {data['windows'].iloc[0]}, and distributions at their end.")
    others = data[~_decided(data)]
    if 0 < len(others) < len(data):
        listed = "; ".join(f"{row.id}, {row.claim}: {row.verdict}" for row in others.itertuples())
        sentences.append(f"Without an estimate or a threshold, and not drawn: {listed}.")
    return " ".join(sentences)


FIGURE = FigureSpec(
    query,
    draw,
    "the paper's claims, with intervals and verdicts",
    "The claims of the paper, tested on runs: estimates with 95 % intervals, and thresholds in black. Each row has an "
    "axis of its own. A verdict may need more than its threshold, such as enough seeds, or an effect that distance "
    "from zero does not explain. The data file of the figure names reasons and runs. By construction: algebra alone "
    "decides.",
    takes=("layers", "windows"),
    note=note,
)
