"""Plots of the closed forms: quantization errors and entropy over tau (the paper's Fig. 3), and schedules."""

from __future__ import annotations

import math
from itertools import cycle
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from matplotlib.lines import Line2D

from recu_analysis.plots._axes import by_run, heading_of, one_series, require, restyle, target
from recu_analysis.plots.arm_colors import looks_of
from recu_analysis.plots.entropy import MINIMUM, PRINTED_MINIMUM, printed_minimum
from recu_analysis.plots.palette import DASHED

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pandas as pd
    from matplotlib.axes import Axes

    from recu_analysis.plots.arm_colors import AnyPalette

# The three errors: column, name in the legend, dashes and width.
_ERRORS: Final[dict[str, tuple[str, Any, float]]] = {
    "qe_exact": ("exact", "-", 1.3),
    "qe_printed": ("printed (Eq. 14)", DASHED, 1.0),
    "qe_latent": ("against unclamped weights", (0.0, (1.0, 1.3)), 1.0),
}
_DASHES: Final[tuple[Any, ...]] = ("-", DASHED, (0.0, (1.0, 1.3)), (0.0, (5.0, 1.2, 1.0, 1.2)), (0.0, (7.0, 2.0)))
_MEASURED: Final[dict[str, Any]] = {
    "linestyle": "none",
    "marker": "o",
    "markersize": 2.6,
    "markerfacecolor": "none",
    "markeredgecolor": "0.15",
    "markeredgewidth": 0.5,
    "alpha": 0.6,
}
_EPOCH: Final[dict[str, Any]] = {
    "linestyle": "none",
    "marker": "D",
    "markersize": 2.8,
    "markerfacecolor": "white",
    "markeredgewidth": 0.8,
}
_TAU: Final = r"$\tau$"
_EQ_24: Final = {"exponential": "exponential (Eq. 24)"}


def quantization_error(
    data: pd.DataFrame,
    *,
    ax: Axes | None = None,
    palette: AnyPalette | None = None,
    label: str | None = None,
    **properties: Any,
) -> Axes:
    """Quantization error over tau for some scales: exact solid, as printed in Eq. 14 dashed (the paper's Fig. 3).

    Parameters
    ----------
    data : DataFrame
        `tau`, `b`, `qe_exact`, `qe_printed`, as `recu_analysis.tradeoff` gives them.
    ax : Axes, optional
        By default pyplot's current Axes.
    palette : mapping of float to color, or sequence of colors, optional
        The color of each scale, by its b or in order.
    label : str, optional
        The name of the line, if the table has only one scale.
    **properties
        Properties of the lines of the exact error, as `matplotlib.lines.Line2D` has them.

    Returns
    -------
    Axes

    Raises
    ------
    InputError
        If a column is missing, there is no row, or the palette, the label or a property does not fit.
    """
    kinds = ("qe_exact", "qe_printed")
    require(data, ("tau", "b", *kinds))
    axes = target(ax)
    for b, rows, color in _by_scale(data, palette, label):
        line = _error_lines(axes, rows, kinds, color)
        restyle(line, properties)
        axes.annotate(
            scale_label(b) if label is None else label,
            (1.0, rows["qe_exact"].iloc[-1]),
            (3, 0),
            textcoords="offset points",
            color=line.get_color(),
            va="center",
        )
    printed_minimum(axes, "0.35")
    axes.set_xlim(0.5, 1.0)
    axes.set_ylim(0.0, 1.02 * data[list(kinds)].to_numpy().max())
    axes.set_xlabel(_TAU)
    axes.set_ylabel("quantization error")
    minimum = Line2D([], [], color="0.35", **MINIMUM, label=rf"$\tau = {PRINTED_MINIMUM:.2f}$")
    axes.legend(handles=[*_kinds(kinds), minimum], ncols=3, loc="lower left", bbox_to_anchor=(0.0, 1.0))
    return axes


def error_over_tau(
    data: pd.DataFrame,
    *,
    ax: Axes | None = None,
    palette: AnyPalette | None = None,
    label: str | None = None,
    measured: pd.DataFrame | None = None,
    **properties: Any,
) -> Axes:
    """The three quantization errors over tau, one color per scale, with measured points.

    Parameters
    ----------
    data : DataFrame
        `tau`, `b`, `qe_exact`, `qe_printed`, `qe_latent`, as `recu_analysis.tradeoff` gives them.
    ax : Axes, optional
        By default pyplot's current Axes.
    palette : mapping of float to color, or sequence of colors, optional
        The color of each scale, by its b or in order.
    label : str, optional
        The name of the line, if the table has only one scale.
    measured : DataFrame, optional
        `tau`, `qe_measured`, as `recu_analysis.measured_tradeoff` gives them.
    **properties
        Properties of the lines of the exact error, as `matplotlib.lines.Line2D` has them.

    Returns
    -------
    Axes

    Raises
    ------
    InputError
        If a column is missing, there is no row, or the palette, the label or a property does not fit.
    """
    require(data, ("tau", "b", *_ERRORS))
    axes = target(ax)
    for _, rows, color in _by_scale(data, palette, label):
        _named(_error_lines(axes, rows, tuple(_ERRORS), color), label, properties)
    _points(axes, measured, "tau", "qe_measured")
    if data["tau"].min() < PRINTED_MINIMUM < data["tau"].max():
        printed_minimum(axes, "0.35")
    axes.set_ylim(bottom=0.0)
    axes.set_xlabel(_TAU)
    axes.set_ylabel("quantization error")
    return axes


def entropy_over_tau(
    data: pd.DataFrame,
    *,
    ax: Axes | None = None,
    palette: AnyPalette | None = None,
    label: str | None = None,
    measured: pd.DataFrame | None = None,
    **properties: Any,
) -> Axes:
    """Entropy after ReCU (Eq. 17) over tau, one color per scale, with measured points.

    Parameters
    ----------
    data : DataFrame
        `tau`, `b`, `entropy`, as `recu_analysis.tradeoff` gives them.
    ax : Axes, optional
        By default pyplot's current Axes.
    palette : mapping of float to color, or sequence of colors, optional
        The color of each scale, by its b or in order.
    label : str, optional
        The name of the line, if the table has only one scale.
    measured : DataFrame, optional
        `tau`, `entropy_measured`, as `recu_analysis.measured_tradeoff` gives them.
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
    require(data, ("tau", "b", "entropy"))
    axes = target(ax)
    for _, rows, color in _by_scale(data, palette, label):
        (line,) = axes.plot(rows["tau"], rows["entropy"], color=color, linewidth=1.3)
        _named(line, label, properties)
    _points(axes, measured, "tau", "entropy_measured")
    axes.set_xlabel(_TAU)
    axes.set_ylabel(heading_of("entropy"))
    return axes


def error_over_entropy(
    data: pd.DataFrame,
    *,
    ax: Axes | None = None,
    palette: AnyPalette | None = None,
    label: str | None = None,
    measured: pd.DataFrame | None = None,
    epochs: pd.DataFrame | None = None,
    **properties: Any,
) -> Axes:
    """Quantization error against entropy: every point of a line is a level tau.

    Parameters
    ----------
    data : DataFrame
        `tau`, `b`, `entropy`, `qe_exact`, `qe_printed`, `qe_latent`, as `recu_analysis.tradeoff` gives them.
    ax : Axes, optional
        By default pyplot's current Axes.
    palette : mapping of float to color, or sequence of colors, optional
        The color of each scale, by its b or in order.
    label : str, optional
        The name of the line, if the table has only one scale.
    measured : DataFrame, optional
        `entropy_measured`, `qe_measured`, as `recu_analysis.measured_tradeoff` gives them.
    epochs : DataFrame, optional
        `epoch`, `b`, `entropy`, `qe_exact`: the levels of a schedule. Some epochs are marked. On the curve of the
        largest scale, the first and the last have their numbers.
    **properties
        Properties of the lines of the exact error, as `matplotlib.lines.Line2D` has them.

    Returns
    -------
    Axes

    Raises
    ------
    InputError
        If a column is missing, there is no row, or the palette, the label or a property does not fit.
    """
    require(data, ("tau", "b", "entropy", *_ERRORS))
    axes = target(ax)
    for _, rows, color in _by_scale(data, palette, label):
        _named(_error_lines(axes, rows, tuple(_ERRORS), color, over="entropy"), label, properties)
    _points(axes, measured, "entropy_measured", "qe_measured")
    if epochs is not None:
        _mark_epochs(axes, epochs, palette)
    axes.set_ylim(bottom=0.0)
    axes.set_xlabel(heading_of("entropy"))
    axes.set_ylabel("quantization error")
    return axes


def tradeoff_legend(data: pd.DataFrame, measured: pd.DataFrame | None, epochs: pd.DataFrame | None) -> list[Line2D]:
    """The legend entries of the lines and points of the three panels."""
    scales = [Line2D([], [], color=color, label=scale_label(b)) for b, _, color in _by_scale(data)]
    handles = [*(scales if len(scales) > 1 else []), *_kinds(tuple(_ERRORS))]
    if epochs is not None:
        handles.append(Line2D([], [], color="0.25", label="epochs", **_EPOCH))
    if measured is not None:
        layers = measured["layer"].nunique()
        label = f"measured ({layers} layer{'s' * (layers > 1)})"
        handles.append(Line2D([], [], **_MEASURED, label=label))
    return handles


def schedules(
    data: pd.DataFrame,
    *,
    ax: Axes | None = None,
    palette: AnyPalette | None = None,
    label: str | None = None,
    **properties: Any,
) -> Axes:
    """Quantile level over the epochs, one line per schedule.

    Parameters
    ----------
    data : DataFrame
        `schedule` (name), `epoch`, `tau`.
    ax : Axes, optional
        By default pyplot's current Axes.
    palette : mapping of str to color, or sequence of colors, optional
        The color of each schedule, by its name or in order.
    label : str, optional
        The name of the schedule in the legend, if the table has only one.
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
    require(data, ("schedule", "epoch", "tau"))
    axes = target(ax)
    for (name, rows, color, _), dashes in zip(
        by_run(data, "epoch", "schedule", palette, label), cycle(_DASHES), strict=False
    ):
        style: Any = "steps-post" if (rows["schedule"] == "step").all() else "default"
        (line,) = axes.plot(rows["epoch"], rows["tau"], color=color, linestyle=dashes, drawstyle=style)
        line.set_label(_EQ_24.get(name, name))
        restyle(line, properties)
    axes.set_xlim(0, data["epoch"].max())
    axes.set_xlabel(heading_of("epoch"))
    axes.set_ylabel(_TAU)
    axes.legend()
    return axes


def scale_label(b: float) -> str:
    """A scale as the paper writes it."""
    return r"$b = \sqrt{2}/2$" if math.isclose(b, math.sqrt(0.5), rel_tol=1e-3) else f"$b = {b:g}$"


def _by_scale(
    data: pd.DataFrame, palette: AnyPalette | None = None, label: str | None = None
) -> Iterator[tuple[float, pd.DataFrame, str]]:
    scales = [(float(str(b)), rows.sort_values("tau")) for b, rows in data.groupby("b", sort=False)]
    one_series(len(scales), label, "scale")
    looks = looks_of([b for b, _ in scales], _by_size(scales) if palette is None else palette, "scale")
    for b, rows in scales:
        yield b, rows, looks[b].color


def _by_size(scales: Sequence[tuple[float, Any]]) -> dict[float, Any]:
    """Darker colors for larger scales: the colors of runs mean runs."""
    import seaborn

    return dict(zip(sorted(b for b, _ in scales), seaborn.color_palette("crest", len(scales)), strict=True))


def _error_lines(axes: Axes, rows: pd.DataFrame, kinds: tuple[str, ...], color: str, over: str = "tau") -> Line2D:
    """Draw the errors of one scale. Return the line of the first kind, the exact error."""
    lines = []
    for kind in kinds:
        _, dashes, width = _ERRORS[kind]
        lines += axes.plot(rows[over], rows[kind], color=color, linestyle=dashes, linewidth=width)
    return lines[0]


def _named(line: Line2D, label: str | None, properties: dict[str, Any]) -> None:
    if label is not None:
        line.set_label(label)
    restyle(line, properties)


def _kinds(kinds: tuple[str, ...]) -> list[Line2D]:
    styles = (_ERRORS[kind] for kind in kinds)
    return [
        Line2D([], [], color="0.25", linestyle=dashes, linewidth=width, label=label) for label, dashes, width in styles
    ]


def _points(axes: Axes, measured: pd.DataFrame | None, x: str, y: str) -> None:
    if measured is not None:
        require(measured, (x, y))
        axes.plot(measured[x], measured[y], **_MEASURED, zorder=3)


# Epochs marked on a curve: enough to see their pace, few enough to tell them apart.
_MARKED: Final = 7


def _mark_epochs(axes: Axes, epochs: pd.DataFrame, palette: AnyPalette | None) -> None:
    for _, rows, color in _by_scale(epochs, palette):
        ordered = rows.sort_values("epoch")
        chosen = ordered.iloc[np.unique(np.linspace(0, len(ordered) - 1, _MARKED).round().astype(int))]
        (marks,) = axes.plot(chosen["entropy"], chosen["qe_exact"], color=color, **_EPOCH)
        marks.set_clip_on(False)
        if rows["b"].iloc[0] == epochs["b"].max():
            _number_ends(axes, chosen)


def _number_ends(axes: Axes, chosen: pd.DataFrame) -> None:
    """Write the numbers of the first and the last epoch clear of curves: below the mark, or above it near the axis."""
    first, last = chosen.iloc[0], chosen.iloc[-1]
    near = first["qe_exact"] < 0.07 * axes.get_ylim()[1]  # no room between the mark and the axis
    aside: dict[str, Any] = {"va": "top", "xytext": (3, -2)}
    below: dict[str, Any] = {"va": "top", "xytext": (0, -2), "ha": "center"}
    above: dict[str, Any] = {"va": "bottom", "xytext": (-3, 2), "ha": "right"}
    for row, place in ((first, above if near else below), (last, aside)):
        at, text = (row["entropy"], row["qe_exact"]), f"{row['epoch']:.0f}"
        axes.annotate(text, at, textcoords="offset points", fontsize="x-small", **place)
