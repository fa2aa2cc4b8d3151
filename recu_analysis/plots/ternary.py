"""Plots of ternary weights: quantization error and entropy over the threshold, beside binary weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from matplotlib.lines import Line2D

from recu_analysis.plots._axes import heading_of, one_series, require, restyle, target
from recu_analysis.plots.arm_colors import looks_of
from recu_analysis.plots.palette import DASHED, MARKER_RIM
from recu_analysis.theory.entropy import sign_entropy
from recu_analysis.theory.ternary import ABSMEAN, best_threshold, ternary

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd
    from matplotlib.axes import Axes

    from recu_analysis.plots.arm_colors import AnyPalette

_DOTTED: Final = (0.0, (1.0, 1.3))
#: The lines of a distribution: column, name in the legend, dashes and width.
_ERRORS: Final[dict[str, tuple[str, Any, float]]] = {
    "qe_ternary": ("best scale", "-", 1.3),
    "qe_absmean": ("scale mean $|w|$", DASHED, 1.0),
    "qe_binary": ("signs", _DOTTED, 1.0),
}
#: Other than the colors of runs, which mean runs.
_COLORS: Final = {"laplace": "#2c6e8c", "normal": "#7fb77e"}
_LABELS: Final = {"laplace": "Laplace"}
_BEST: Final[dict[str, Any]] = {"linestyle": "none", "marker": "o", "markersize": 4, **MARKER_RIM}


def error_over_threshold(
    data: pd.DataFrame,
    *,
    ax: Axes | None = None,
    palette: AnyPalette | None = None,
    label: str | None = None,
    **properties: Any,
) -> Axes:
    """Quantization error of ternary weights over the threshold, in squares of the mean of abs(w).

    Parameters
    ----------
    data : DataFrame
        A table as `recu_analysis.ternary_tradeoff` gives it, of one b.
    ax : Axes, optional
        By default pyplot's current Axes.
    palette : mapping of str to color, or sequence of colors, optional
        The color of each distribution, by its name or in order.
    label : str, optional
        The name of the line, if the table has only one distribution.
    **properties
        Properties of the lines of the error with the best scale, as `matplotlib.lines.Line2D` has them.

    Returns
    -------
    Axes

    Raises
    ------
    InputError
        If a column is missing, there is no row, or the palette, the label or a property does not fit.
    """
    require(data, ("distribution", "b", "threshold", *_ERRORS))
    axes = target(ax)
    for name, rows, color in _by_distribution(data, palette, label):
        for column, (_, dashes, width) in _ERRORS.items():
            (line,) = axes.plot(
                rows["threshold"], rows[column] / rows["b"] ** 2, color=color, linestyle=dashes, linewidth=width
            )
            if column == "qe_ternary":
                restyle(line, properties)
        best = best_threshold(name)
        if rows["threshold"].min() <= best <= rows["threshold"].max():
            axes.plot(best, ternary(best, 1.0, name).error, color=color, **_BEST)
    _mark_absmean(axes)
    axes.set_ylim(bottom=0.0)
    axes.set_ylabel(r"quantization error / $(\mathrm{mean}\ |w|)^2$")
    return axes


def entropy_over_threshold(
    data: pd.DataFrame,
    *,
    ax: Axes | None = None,
    palette: AnyPalette | None = None,
    label: str | None = None,
    **properties: Any,
) -> Axes:
    """Entropy of ternary states over the threshold, beside that of signs.

    Parameters
    ----------
    data : DataFrame
        A table as `recu_analysis.ternary_tradeoff` gives it, of one b.
    ax : Axes, optional
        By default pyplot's current Axes.
    palette : mapping of str to color, or sequence of colors, optional
        The color of each distribution, by its name or in order.
    label : str, optional
        The name of the line, if the table has only one distribution.
    **properties
        Properties of the lines, as `matplotlib.lines.Line2D` has them.

    Returns
    -------
    Axes

    Raises
    ------
    InputError
        If a column is missing, there is no row, or the palette, the label or a property does not fit.
    """
    require(data, ("distribution", "threshold", "state_entropy"))
    axes = target(ax)
    for _, rows, color in _by_distribution(data, palette, label):
        (line,) = axes.plot(rows["threshold"], rows["state_entropy"], color=color, linewidth=1.3)
        restyle(line, properties)
    axes.axhline(float(sign_entropy(0.5)), color="0.35", linestyle=_DOTTED, linewidth=1.0)
    _mark_absmean(axes)
    axes.set_ylim(bottom=0.0)
    axes.set_ylabel(heading_of("state_entropy"))
    return axes


def ternary_legend(data: pd.DataFrame, palette: AnyPalette | None = None) -> list[Line2D]:
    """The legend entries of both panels."""
    names = [
        Line2D([], [], color=color, label=_LABELS.get(name, name))
        for name, _, color in _by_distribution(data, palette, None)
    ]
    kinds = [
        Line2D([], [], color="0.25", linestyle=dash, linewidth=w, label=text) for text, dash, w in _ERRORS.values()
    ]
    return [*names, *kinds, Line2D([], [], color="0.25", label="least error", **_BEST)]


def _by_distribution(
    data: pd.DataFrame, palette: AnyPalette | None, label: str | None
) -> Iterator[tuple[str, pd.DataFrame, str]]:
    found = [(str(name), rows.sort_values("threshold")) for name, rows in data.groupby("distribution", sort=False)]
    one_series(len(found), label, "distribution")
    looks = looks_of([name for name, _ in found], _COLORS if palette is None else palette, "distribution")
    for name, rows in found:
        yield name, rows, looks[name].color


def _mark_absmean(axes: Axes) -> None:
    """A line at the threshold of BitNet b1.58, and the label of the axis."""
    axes.axvline(ABSMEAN, color="0.6", linewidth=0.6, zorder=0)
    axes.annotate(
        "BitNet",
        (ABSMEAN, 0.0),
        (2, 3),
        xycoords=axes.get_xaxis_transform(),
        textcoords="offset points",
        color="0.35",
        fontsize="small",
    )
    axes.set_xlabel(r"threshold / mean $|w|$")
    axes.margins(x=0.0)
