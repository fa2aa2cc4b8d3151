"""States of weights with more than two levels: how often they change, from which to which, and their shares."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import matplotlib as mpl
import numpy as np
from matplotlib.colors import LogNorm, Normalize, to_rgba
from matplotlib.ticker import MaxNLocator

from recu_analysis.analysis.column_names import statistic
from recu_analysis.errors import InputError, unknown
from recu_analysis.plots._axes import epochs, part_label, require, restyle, target
from recu_analysis.plots.arm_colors import color_map, looks_of
from recu_analysis.plots.heat_map import tidy
from recu_analysis.plots.names import text_of
from recu_analysis.plots.noise import noise_entry, noise_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from matplotlib.axes import Axes

    from recu_analysis.plots.arm_colors import AnyPalette

    Values = np.ndarray[Any, np.dtype[np.float64]]

#: Columns of a table of `recu_analysis.state_transitions`.
_COLUMNS: Final = ("layer", "state", "next_state", "transitions")
#: Up to so many states, cells have their numbers, and the legend every state.
_FEW: Final = 5
#: Flips over time: color, column, look.
_FLIPS: Final[dict[str, tuple[str, str, dict[str, Any]]]] = {
    "all": ("black", "flip_ratio", {"marker": "o", "markersize": 3.0, "markeredgewidth": 0.0}),
    "back": ("#d55e00", "oscillation_frequency", {"marker": "s", "markersize": 2.5, "markeredgewidth": 0.0}),
    "by thresholds": ("#0072b2", "flip_ratio_threshold", {"linestyle": ":"}),
}
#: Flips back by noise alone, shown where they are known in this share of the layers.
_NULL: Final = "oscillation_frequency_null"
_KNOWN: Final = 0.5
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
    step = -(-len(states) // _room(axes))
    named = [at for at, state in enumerate(states) if state % step == 0]  # 0 is among them
    places, names = ends[named] + 0.5, [f"{states[at]:+d}" if states[at] else "0" for at in named]
    axes.set_xticks(places, names)
    axes.set_yticks(places, names)
    axes.tick_params(length=0.0)
    axes.set_aspect("equal")
    axes.spines[:].set_visible(False)
    axes.set_xlabel("state after the update")
    axes.set_ylabel("state before")
    axes.set_title(text_of(label) if label is not None else text_of(str(rows["layer"].iloc[0])))
    # Beside the square, which is lower than the place of the Axes.
    bar = axes.figure.colorbar(mesh, cax=axes.inset_axes((1.05, 0.0, 0.05, 1.0)))
    bar.set_label("per 1000 and update")
    tidy(bar, mesh)
    return axes


def _room(axes: Axes) -> int:
    """How many names of states have room along the axis."""
    inches = axes.get_window_extent().width / axes.figure.get_dpi()
    letters = 0.6 * 4.0 * float(mpl.font_manager.FontProperties(size=mpl.rcParams["xtick.labelsize"]).get_size()) / 72.0
    return max(3, min(16, int(0.7 * inches / letters)))


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


def oscillation_over_time(
    data: pd.DataFrame,
    *,
    ax: Axes | None = None,
    palette: AnyPalette | None = None,
    label: str | None = None,
    **properties: Any,
) -> Axes:
    """Flips per 1000 weights and update over the epochs: all, those back, and those by thresholds; medians over layers.

    Parameters
    ----------
    data : DataFrame
        A table of `recu_analysis.levels`. NaN leaves a gap.
    ax, palette, label, **properties
        As in `recu_analysis.plot_oscillation`.

    Returns
    -------
    Axes

    Raises
    ------
    InputError
        If a column is missing, there is no row, or the palette, the label or a property does not fit.
    """
    columns = [*(column for _, column, _ in _FLIPS.values()), _NULL]
    require(data, ("layer", "epoch", *columns))
    axes, rows = target(ax), data.sort_values("epoch")
    rows = rows.assign(**{name: statistic(name).factor * rows[name] for name in columns})
    colors: dict[str, Any] = {name: color for name, (color, _, _) in _FLIPS.items()}
    if palette is not None:
        colors = {name: look.color for name, look in looks_of(colors, palette, "line").items()}
    for _, layer in rows.groupby("layer", sort=False, observed=True):
        faint = to_rgba(colors["back"], 0.3)
        axes.plot(layer["epoch"], layer["oscillation_frequency"], color=faint, linewidth=0.5, zorder=1.9)
    middle = rows.groupby("epoch")[columns].median()
    for name, (_, column, look) in _FLIPS.items():
        (line,) = axes.plot(middle.index, middle[column], color=colors[name], label=part_label(name, label), **look)
        if name == "back":
            restyle(line, properties)
    known = rows.groupby("epoch")[_NULL].apply(lambda null: null.notna().mean())
    noise = noise_line(axes, middle.index, middle[_NULL].where(known >= _KNOWN), colors["back"])
    axes.set_ylim(bottom=0.0)
    epochs(axes)
    axes.set_ylabel("flips (per 1000 and update)")
    entries = [*axes.get_legend_handles_labels()[0], *([noise_entry()] if noise else [])]
    title = "median over layers" if len(data["layer"].unique()) > 1 else None
    axes.legend(handles=entries, title=title, alignment="left")
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
