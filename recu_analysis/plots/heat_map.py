"""Heat maps: a statistic of every layer over the epochs, the first layer on top."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from matplotlib.collections import PolyCollection
from matplotlib.colors import LogNorm, Normalize
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from recu_analysis.analysis.column_names import is_known, statistic
from recu_analysis.analysis.final_windows import LONG_ENOUGH
from recu_analysis.analysis.short_names import IN_FIGURES, distinct
from recu_analysis.errors import unknown
from recu_analysis.plots._axes import epochs, heading_of, require, restyle, target
from recu_analysis.plots.arm_colors import color_map
from recu_analysis.plots.names import text_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.collections import QuadMesh
    from matplotlib.colorbar import Colorbar

    Limits = tuple[float, float]

# What is no statistic of a layer, but says which window and weights a row describes.
_NO_STATISTICS: Final = ("run", "window", "epoch", "layer", "exact", "partial")
#: Statistics of silence and death, which windows that are too short cannot tell.
_OF_SILENCE: Final = ("silent", "dead", "still", "died", "revived")
# The smallest range of the colors, relative to the values, so that a rounding difference does not fill it.
_NARROWEST: Final = 0.05


def heat_map(
    data: pd.DataFrame,
    *,
    quantity: str,
    ax: Axes | None = None,
    palette: Sequence[Any] | None = None,
    label: str | None = None,
    **properties: Any,
) -> Axes:
    """A statistic of every layer (rows, the first on top) and window (columns), with its color bar.

    Shares have colors from 0 to 100 %. Other statistics have the range of the data, on a logarithmic scale if it spans
    more than a decade. Hatched: the window is too short to tell dead weights from slow ones.

    Parameters
    ----------
    data : DataFrame
        One row per layer and window: `layer`, `epoch` of the window's end, and the statistic. NaN leaves a cell white.
        With the column `autocorrelation_null`, cells of silence and death are hatched where it is above 1/2.
    quantity : str
        Any column of `recu_analysis.layer_table` with numbers, such as dead_fraction, mobility or gennorm_shape.
    ax : Axes, optional
        By default pyplot's current Axes.
    palette : sequence of colors, optional
        Colors from the lowest value to the highest, blended. By default the color map cividis.
    label : str, optional
        The title. By default the quantity and its unit.
    **properties
        Properties of the image, as `matplotlib.collections.QuadMesh` has them.

    Returns
    -------
    Axes

    Raises
    ------
    InputError
        If the quantity is unknown, a column is missing, there is no row, or the palette or a property does not fit.
    """
    axes = target(ax)
    mesh = draw_cells(data, axes, quantity, limits_of(data, quantity), palette)
    restyle(mesh, properties)
    names = list(dict.fromkeys(map(str, data["layer"])))
    name_rows(axes, distinct(names, IN_FIGURES)[1], len(names))
    axes.set_title(heading_of(quantity) if label is None else text_of(label))
    bar = axes.figure.colorbar(mesh, ax=axes, pad=0.02, aspect=30)
    tidy(bar, mesh)
    return axes


def limits_of(data: pd.DataFrame, quantity: str) -> Limits:
    """The values of the darkest and the brightest color, in the unit of the column.

    Raises
    ------
    InputError
        If the quantity is no statistic of a layer, or is not in the table.
    """
    require(data, ("layer", "epoch"))
    numbers = map(str, data.select_dtypes("number"))
    known = [name for name in numbers if name not in _NO_STATISTICS and is_known(name)]
    if quantity not in known:
        raise unknown("quantity to draw", quantity, known)
    if statistic(quantity).is_share:
        return 0.0, 1.0
    finite = data[quantity].to_numpy(dtype=np.float64)
    finite = finite[np.isfinite(finite)]
    if not finite.size:
        return 0.0, 1.0
    low, high = float(finite.min()), float(finite.max())
    short = (_NARROWEST * max(abs(low), abs(high)) or 1.0) - (high - low)
    return (low - short / 2.0, high + short / 2.0) if short > 0 else (low, high)


def draw_cells(
    data: pd.DataFrame, axes: Axes, quantity: str, limits: Limits, palette: Sequence[Any] | None = None
) -> QuadMesh:
    """The cells of `heat_map`, without names of layers, title and color bar."""
    table = _cells(data, quantity)
    factor = statistic(quantity).factor
    low, high = limits
    # Mobility falls with the learning rate, in a long training by orders of magnitude.
    scale = LogNorm if 0 < 10 * low < high else Normalize
    ends = _ends(table.columns.to_numpy(dtype=float))
    colors = scale(factor * low, factor * high)
    mesh = axes.pcolormesh(ends, np.arange(len(table) + 1), factor * table, cmap=color_map(palette), norm=colors)
    if "autocorrelation_null" in data and quantity.startswith(_OF_SILENCE):
        _hatch(axes, ends, _cells(data, "autocorrelation_null").to_numpy(dtype=np.float64) > LONG_ENOUGH)
    axes.set_xlim(ends[0], ends[-1])
    axes.set_ylim(len(table), 0)
    axes.tick_params(axis="y", length=0.0)
    axes.spines[:].set_visible(False)
    epochs(axes)
    return mesh


def tidy(bar: Colorbar, mesh: QuadMesh) -> None:
    """A color bar without a frame; a logarithmic one with plain numbers."""
    bar.outline.set_visible(False)
    if isinstance(mesh.norm, LogNorm):
        axis = bar.ax.xaxis if bar.orientation == "horizontal" else bar.ax.yaxis
        narrow = float(mesh.norm.vmax or 1.0) < 100 * float(mesh.norm.vmin or 1.0)
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if narrow else (1.0,)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())


def name_rows(axes: Axes, names: Sequence[str], most: int) -> None:
    """Names of at most so many rows, evenly spaced."""
    step = max(1, int(np.ceil(len(names) / max(most, 1))))
    shown = range(0, len(names), step)
    axes.set_yticks([at + 0.5 for at in shown], [text_of(names[at]) for at in shown])


def binned(data: pd.DataFrame, columns: Iterable[str], most: int) -> tuple[pd.DataFrame, int]:
    """Means over neighboring layers, so that at most so many rows remain; and how many layers a row holds.

    A row has the name of its first layer.
    """
    names = list(dict.fromkeys(data["layer"]))
    size = int(np.ceil(len(names) / max(most, 1)))
    if size <= 1:
        return data, 1
    first = {name: names[at - at % size] for at, name in enumerate(names)}
    groups = data.assign(layer=data["layer"].map(first)).groupby(["layer", "epoch"], sort=False)
    return groups[list(columns)].mean().reset_index(), size


def _cells(data: pd.DataFrame, quantity: str) -> pd.DataFrame:
    """Layers by epochs."""
    table = data.pivot_table(index="layer", columns="epoch", values=quantity, sort=False, dropna=False)
    # Layers in which nothing is known stay as white rows.
    return table.reindex(list(dict.fromkeys(data["layer"]))).sort_index(axis=1)


def _ends(epochs_of_ends: np.ndarray[Any, np.dtype[Any]]) -> np.ndarray[Any, np.dtype[Any]]:
    """Where cells begin and end: a window reaches from the epoch after the one before it to its own epoch."""
    steps = np.diff(epochs_of_ends)
    step = float(steps.min()) if len(steps) else 1.0
    return np.append(epochs_of_ends[0] - step, epochs_of_ends) + 0.5


def _hatch(axes: Axes, ends: np.ndarray[Any, np.dtype[Any]], short: np.ndarray[Any, np.dtype[Any]]) -> None:
    """Make cells pale and hatched; neighbors in a row are one piece."""
    pieces = []
    for row, marked in enumerate(short):
        changes = np.flatnonzero(np.diff(np.concatenate([[False], marked, [False]])))
        for first, last in zip(ends[changes[::2]], ends[changes[1::2]], strict=True):
            pieces.append([(first, row), (last, row), (last, row + 1), (first, row + 1)])
    if pieces:
        axes.add_collection(
            PolyCollection(
                pieces, facecolor=(1.0, 1.0, 1.0, 0.35), edgecolor="0.2", linewidth=0.0, hatch="/////", zorder=2.0
            ),
            autolim=False,
        )
