"""Movement and flips against distance abs(z): measured, and as noise alone would make them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from recu_analysis.analysis.magnitude import by_magnitude_query
from recu_analysis.analysis.query import gathered
from recu_analysis.analysis.run_arguments import concat_runs
from recu_analysis.figures.shared import colored, shown
from recu_analysis.figures.spec import OWN_CHOICE, Asked, FigureSpec
from recu_analysis.figures.window_notes import NOISE_ALONE, spans_of, spans_sentence, unknown_noise

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from recu_analysis.analysis.query import Query
    from recu_analysis.analysis.run_arguments import SeveralRuns
    from recu_analysis.analysis.selection import Windows
    from recu_analysis.figures.shared import Colored
    from recu_analysis.figures.spec import Runs
    from recu_analysis.plots.arm_colors import AnyPalette


def plot_by_magnitude(
    data: SeveralRuns | pd.DataFrame,
    *,
    ax: Axes | None = None,
    palette: AnyPalette | None = None,
    label: str | None = None,
    windows: Windows | None = None,
    layers: Sequence[str] | str | None = None,
    quantity: str = "mobility",
    **properties: Any,
) -> Axes:
    """Movement, flips or gradient against abs(z), one line per run; pale dashed: noise alone.

    Parameters
    ----------
    data : run or path, sequence, mapping of labels to runs, or DataFrame
        Runs; the legend shows their labels. Or a table as `recu_analysis.by_magnitude` gives it. Its column run, if
        there is one, names the lines.
    ax : Axes, optional
        By default pyplot's current Axes.
    palette : mapping of str to color, or sequence of colors, optional
        The color of each run, by its label or in order. By default the color of its arm in all figures.
    label : str, optional
        The name of the run in the legend, if there is only one.
    windows : int, slice, str or WindowSpan, optional
        Windows by their numbers, such as "8:13" (without 13). By default the final windows, with the same number of
        updates for all runs if possible.
    layers : str or sequence of str, optional
        Patterns of layer names.
    quantity : {"mobility", "flip_probability", "sign_changes", "gradient"}
    **properties
        Properties of the measured lines, as `matplotlib.lines.Line2D` has them: color, alpha, linewidth and so on.

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
    from recu_analysis.plots.dynamics import by_magnitude

    found = shown(data, lambda runs: query(runs, Asked(layers, windows)), palette)
    return by_magnitude(found.table, quantity=quantity, ax=ax, palette=found.palette, label=label, **properties)


def query(runs: Runs, asked: Asked = OWN_CHOICE) -> Query[Colored]:
    """`by_magnitude` of all runs. The default is final windows with the same number of updates if possible."""
    spans = spans_of(runs, asked.windows)
    tables = {label: by_magnitude_query(run, spans[label], layers=asked.layers) for label, run in runs.items()}
    note = spans_sentence(runs, spans, final=asked.windows is None)
    return colored(runs, gathered(tables).then(concat_runs), note)


def draw(data: Colored, asked: Asked = OWN_CHOICE) -> tuple[Figure, pd.DataFrame]:
    """Three quantities side by side, over one axis, with one legend."""
    from recu_analysis.figures.print.fitting import legend_above, share_x_label
    from recu_analysis.figures.print.style import panels
    from recu_analysis.plots.dynamics import by_magnitude
    from recu_analysis.plots.noise import noise_entry

    data = data.painted(asked.palette)
    figure, axes = panels(3, aspect=0.95, together=3)
    for ax, quantity in zip(axes, ("mobility", "flip_probability", "sign_changes"), strict=True):
        by_magnitude(data.table, quantity=quantity, ax=ax, palette=data.palette).legend([], [])
    share_x_label(figure, axes)
    handles, _ = axes[0].get_legend_handles_labels()
    known = data.table["mobility_null"].notna().any()
    legend_above(figure, [*handles, *([noise_entry()] if known else [])])
    return figure, data.table


def note(data: Colored) -> str:
    """Which windows are shown, and for which runs noise alone is not known."""
    nulls = dict(iter(data.table.groupby("run", sort=False)["mobility_null"]))
    return " ".join(part for part in (data.note, unknown_noise(nulls)) if part)


FIGURE = FigureSpec(
    query,
    draw,
    "mobility and flip probability against distance",
    "Movement against distance from zero, in the windows named below. Mobility: mean absolute change of $z$ per "
    "update. Flip probability: share of the weights whose sign changes at least once. Last panel: share of the weights "
    "whose sign differs between start and end. Every point is a twentieth of each layer's weights, by $|z|$ at the "
    f"start, averaged over the layers. Bands: 95 % intervals over output channels. {NOISE_ALONE}",
    takes=("layers", "windows", "palette"),
    note=note,
)
