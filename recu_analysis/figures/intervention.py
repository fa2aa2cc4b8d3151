"""The rise of the loss if binary weights of each group are negated."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from recu_analysis.plots.arm_colors import AnyPalette


def plot_intervention(
    data: pd.DataFrame,
    *,
    ax: Axes | None = None,
    palette: AnyPalette | None = None,
    label: str | None = None,
    layer: str | None = None,
    **properties: Any,
) -> Axes:
    """Rise of the loss by group of weights, with 95 % intervals, for fixed and for re-estimated batch normalization.

    Parameters
    ----------
    data : DataFrame
        A table as `recu_analysis.intervene` gives it, or one experiment of the table of
        `recu_analysis.rises_over_seeds`, whose means are drawn. The command intervene writes both as CSV.
    ax : Axes, optional
        By default pyplot's current Axes.
    palette : mapping of str to color, or sequence of colors, optional
        The color of each treatment of batch normalization, "fixed" and "re-estimated", by name or in this order.
    label : str, optional
        Name in the legend of a table with one treatment.
    layer : str, optional
        Name of the layer. By default all layers at once, or the only layer.
    **properties
        Properties of the markers, as `matplotlib.lines.Line2D` has them: markersize, alpha and so on.

    Returns
    -------
    Axes

    Raises
    ------
    InputError
        If a column is missing, there is no such layer, the table holds several experiments, or the palette, the label
        or a property does not fit.
    """
    from recu_analysis.plots.intervention import rises_by_group

    return rises_by_group(data, ax=ax, palette=palette, label=label, layer=layer, **properties)
