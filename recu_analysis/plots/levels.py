"""States of weights with more than two levels: how often they change into each other, and their shares over time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import matplotlib as mpl
import numpy as np
from matplotlib.colors import LogNorm, Normalize
from matplotlib.ticker import MaxNLocator

from recu_analysis.errors import InputError, unknown
from recu_analysis.plots._axes import epochs, require, restyle, target
from recu_analysis.plots.arm_colors import color_map
from recu_analysis.plots.heat_map import tidy
from recu_analysis.plots.names import text_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from matplotlib.axes import Axes

    Values = np.ndarray[Any, np.dtype[np.float64]]

#: Columns of a table of `recu_analysis.state_transitions`.
_COLUMNS: Final = ("layer", "state", "next_state", "transitions")
#: Up to so many states, cells have their numbers, and the legend every state.
_FEW: Final = 5
#: Weights that stay are not colored: nearly all do, so the others would all look alike.
_STAYS: Final = "0.9"


def transition_map(
    data: pd.DataFrame,
    *,
    ax: Axes | None = None,
    palette: Sequence[Any] | None = None,
    label: str | None = None,
    layer: str | None = None,
    **properties: Any,
) -> Axes:
    """How often weights go from each state (rows, the lowest at the bottom) to each other state (columns) in an update.

    Parameters
    ----------
    data : DataFrame
        A table of `recu_analysis.state_transitions`; its windows count together.
    ax, palette, label, layer, **properties
        As in `recu_analysis.plot_transitions`.

    Returns
    -------
    Axes

    Raises
    ------
    InputError
        If a column is missing, there is no such layer, or the palette or a property does not fit.
    """
    require(data, _COLUMNS)
    rows = _of_layer(data, layer)
    states = np.union1d(rows["state"], rows["next_state"])
    table = rows.pivot_table(index="state", columns="next_state", values="transitions", aggfunc="sum", fill_value=0)
    counts = table.reindex(index=states, columns=states, fill_value=0).to_numpy(dtype=np.float64)
    with np.errstate(invalid="ignore"):
        shares: Values = 1000.0 * counts / counts.sum(axis=1, keepdims=True)
    moved = np.ma.masked_invalid(np.where(np.eye(len(states), dtype=bool) | (shares == 0.0), np.nan, shares))
    axes, ends = target(ax), np.arange(len(states) + 1)
    most = float(moved.max()) if moved.count() else 1.0
    norm = LogNorm() if moved.count() and most > 10 * moved.min() else Normalize(0.0, most)
    axes.set_facecolor("white")
    mesh = axes.pcolormesh(ends, ends, moved, cmap=color_map(palette), norm=norm)
    for at in range(len(states)):
        axes.add_patch(mpl.patches.Rectangle((at, at), 1.0, 1.0, facecolor=_STAYS, linewidth=0.0))
    restyle(mesh, properties)
    if len(states) <= _FEW:
        _number(axes, shares, mesh)
    step = -(-len(states) // 16)
    places, names = (ends[:-1] + 0.5)[::step], [f"{state:+d}" if state else "0" for state in states][::step]
    axes.set_xticks(places, names)
    axes.set_yticks(places, names)
    axes.tick_params(length=0.0)
    axes.set_aspect("equal")
    axes.spines[:].set_visible(False)
    axes.set_xlabel("state after the update")
    axes.set_ylabel("state before")
    axes.set_title(text_of(label) if label is not None else text_of(str(rows["layer"].iloc[0])))
    bar = axes.figure.colorbar(mesh, ax=axes, pad=0.03, aspect=25)
    bar.set_label("per 1000 and update")
    tidy(bar, mesh)
    return axes


def _number(axes: Axes, shares: Values, mesh: Any) -> None:
    """The number of each cell, black or white as its color asks."""
    for row, column in np.ndindex(shares.shape):
        value = shares[row, column]
        if not np.isfinite(value):
            continue
        red, green, blue, _ = mesh.cmap(mesh.norm(value)) if row != column and value > 0.0 else (1.0, 1.0, 1.0, 1.0)
        bright = 0.3 * red + 0.59 * green + 0.11 * blue > 0.5
        text = "0" if value == 0.0 else f"{value:.3g}"
        axes.text(column + 0.5, row + 0.5, text, color="black" if bright else "white", ha="center", va="center")


def occupancy_over_time(
    data: pd.DataFrame,
    *,
    ax: Axes | None = None,
    palette: Sequence[Any] | None = None,
    label: str | None = None,
    layer: str | None = None,
    **properties: Any,
) -> Axes:
    """The share of the weights in each state over the epochs, stacked, the lowest state at the bottom.

    Parameters
    ----------
    data : DataFrame
        A table of `recu_analysis.state_transitions`, with the column `epoch`.
    ax, palette, label, layer, **properties
        As in `recu_analysis.plot_occupancy`.

    Returns
    -------
    Axes

    Raises
    ------
    InputError
        If a column is missing, there is no such layer, or the palette or a property does not fit.
    """
    require(data, (*_COLUMNS, "epoch"))
    rows = _of_layer(data, layer)
    counts = rows.pivot_table(index="epoch", columns="next_state", values="transitions", aggfunc="sum", fill_value=0)
    shares = 100.0 * counts.div(counts.sum(axis=1), axis=0)
    states, axes = [int(state) for state in counts.columns], target(ax)
    colors = mpl.colormaps.get_cmap(color_map(palette))(np.linspace(0.0, 1.0, len(states)))
    times, heights = shares.index.to_numpy(dtype=float), shares.to_numpy().T
    if len(times) == 1:  # as wide as an epoch, since a band of one time would not be seen
        times, heights = times[0] + np.array([-0.5, 0.5]), heights.repeat(2, axis=1)
    bands = axes.stackplot(times, heights, colors=colors, edgecolor="white", linewidth=0.4)
    for state, band in zip(states, bands, strict=True):
        if len(states) <= _FEW or state in {states[0], 0, states[-1]}:
            band.set_label(f"{state:+d}" if state else "0")
        restyle(band, properties)
    axes.set_ylim(0.0, 100.0)
    axes.set_xlim(float(times[0]), float(times[-1]))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    epochs(axes)
    axes.set_ylabel("weights in the state (%)")
    axes.set_title(text_of(label) if label is not None else text_of(str(rows["layer"].iloc[0])), loc="left")
    axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=_FEW, borderaxespad=0.1)
    return axes


def _of_layer(data: pd.DataFrame, layer: str | None) -> pd.DataFrame:
    """The rows of a layer, by default of the only one."""
    layers = list(dict.fromkeys(map(str, data["layer"])))
    if layer is None and layers[1:]:
        raise InputError(f"the table to draw holds {len(layers)} layers; choose one with layer={layers[0]!r}")
    shown = layers[0] if layer is None else layer
    if shown not in layers:
        raise unknown("layer of the table", shown, layers)
    return data[data["layer"] == shown]
