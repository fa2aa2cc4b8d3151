"""All layers of a run at once: a map over the epochs, and their quantisation errors over tau."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from matplotlib.colors import LogNorm, Normalize
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter

from recu_analysis.analysis.vocabulary import statistic
from recu_analysis.errors import unknown
from recu_analysis.plots._axes import epochs, heading_of, label_of, require, target
from recu_analysis.plots.entropy import printed_minimum
from recu_analysis.plots.palette import DASHED

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

_QUANTITIES: Final = ("dead_fraction", "silent_fraction", "mobility")


def heat_map(
    data: pd.DataFrame, quantity: str, ax: Axes | None = None, *, limits: tuple[float, float] | None = None
) -> Axes:
    """A quantity of every layer (rows, the first on top) and epoch (columns), with its colour bar.

    Parameters
    ----------
    data : DataFrame
        One row a layer and window: `layer`, `epoch`, and the quantity: `dead_fraction`, `silent_fraction` (0 to 1) or
        `mobility` (standard deviations per update, on a logarithmic scale where it spans a decade). NaN leaves a cell
        white.
    quantity : {"dead_fraction", "silent_fraction", "mobility"}
    ax : Axes, optional
        pyplot's current one by default.
    limits : pair of float, optional
        Values of the darkest and the brightest colour, in the unit of the column; by default those of the data.

    Returns
    -------
    Axes

    Raises
    ------
    InputError
        If the quantity is unknown, a column is missing, or there is no row.
    """
    if quantity not in _QUANTITIES:
        raise unknown("quantity to draw", quantity, _QUANTITIES)
    require(data, ("layer", "epoch", quantity))
    factor = statistic(quantity).factor
    axes = target(ax)
    table = data.pivot_table(index="layer", columns="epoch", values=quantity, sort=False, dropna=False)
    table = table.sort_index(axis=1)
    low, high = limits or (float(np.nanmin(table)), float(np.nanmax(table)))
    starts = table.columns.to_numpy(dtype=float)
    step = float(np.diff(starts).min(initial=np.inf)) if len(starts) > 1 else 1.0
    # An epoch's column is centred on its tick.
    ends = np.append(starts, starts[-1] + step) - step / 2.0
    # Mobility falls with the learning rate, in a long training by orders of magnitude.
    scale = LogNorm if quantity == "mobility" and 0 < 10 * low < high else Normalize
    colors = scale(factor * low, factor * high)
    mesh = axes.pcolormesh(ends, np.arange(len(table) + 1), factor * table, cmap="cividis", norm=colors)
    axes.set_ylim(len(table), 0)
    axes.set_yticks(np.arange(len(table)) + 0.5, table.index)
    axes.tick_params(axis="y", length=0.0)
    axes.spines[:].set_visible(False)
    epochs(axes)
    if step > 1:
        # Of a thinned run: what is there, not what lies between.
        axes.xaxis.set_major_locator(FixedLocator(starts.tolist(), nbins=8))
    axes.set_title(heading_of(quantity))
    bar = axes.figure.colorbar(mesh, ax=axes, pad=0.02, aspect=30)
    if isinstance(colors, LogNorm):
        bar.ax.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high < 100 * low else (1.0,)))
        bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        bar.ax.yaxis.set_minor_formatter(NullFormatter())
    bar.outline.set_visible(False)
    return axes


def layer_errors(data: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Quantisation error over tau in units of b_hat^2: thin a layer as measured, thick the closed forms.

    Parameters
    ----------
    data : DataFrame
        One row a layer and level: `layer`, `tau`, `b`, `qe_measured`, `qe_exact`, `qe_printed`, as
        `recu_analysis.measured_tradeoff` gives them.
    ax : Axes, optional
        pyplot's current one by default.

    Returns
    -------
    Axes

    Raises
    ------
    InputError
        If a column is missing or there is no row.
    """
    require(data, ("layer", "tau", "b", "qe_measured", "qe_exact", "qe_printed"))
    axes = target(ax)
    ordered = data.sort_values("tau")
    for _, rows in ordered.groupby("layer", sort=False, observed=True):
        axes.plot(rows["tau"], rows["qe_measured"] / rows["b"] ** 2, color="#56b4e9", linewidth=0.6, zorder=2.1)
    # Over b^2 the closed forms are the same for every layer.
    one = ordered[ordered["layer"] == ordered["layer"].iloc[0]]
    axes.plot(one["tau"], one["qe_exact"] / one["b"] ** 2, color="0.1", linewidth=1.4)
    axes.plot(one["tau"], one["qe_printed"] / one["b"] ** 2, color="0.35", linestyle=DASHED, linewidth=1.2)
    printed_minimum(axes, "0.55")
    axes.set_ylim(bottom=0.0)
    axes.set_xlabel(label_of("tau"))
    axes.set_ylabel(r"quantisation error / $\hat b^2$")
    # On white, since the line of the minimum may run behind it.
    axes.legend(
        handles=_error_kinds(data["layer"].nunique()), loc="upper right", frameon=True, framealpha=1.0, edgecolor="none"
    )
    return axes


def _error_kinds(layers: int) -> list[Line2D]:
    return [
        Line2D([], [], color="#56b4e9", linewidth=0.9, label=f"measured ({layers} layer{'s' * (layers > 1)})"),
        Line2D([], [], color="0.1", linewidth=1.4, label="exact (Laplace)"),
        Line2D([], [], color="0.35", linestyle=DASHED, linewidth=1.2, label="as printed (Eq. 14)"),
    ]
