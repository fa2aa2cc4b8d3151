"""The closed forms drawn: quantisation errors and entropy over tau (the paper's Fig. 3), and schedules."""

from __future__ import annotations

import math
from itertools import cycle
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from matplotlib.lines import Line2D

from recu_analysis.plots._axes import heading_of, require, target
from recu_analysis.plots.entropy import MINIMUM, PRINTED_MINIMUM, printed_minimum
from recu_analysis.plots.palette import DASHED, RUN_COLORS

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd
    from matplotlib.axes import Axes

# The three errors: column, what the legend calls it, dashes and width.
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


def quantization_error(data: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Quantisation error over tau for some scales: exact solid, as printed in Eq. 14 dashed (the paper's Fig. 3).

    Parameters
    ----------
    data : DataFrame
        `tau`, `b`, `qe_exact`, `qe_printed`, as `recu_analysis.tradeoff` gives them.
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
    kinds = ("qe_exact", "qe_printed")
    require(data, ("tau", "b", *kinds))
    axes = target(ax)
    for b, rows, color in _by_scale(data):
        _error_lines(axes, rows, kinds, color)
        axes.annotate(
            scale_label(b),
            (1.0, rows["qe_exact"].iloc[-1]),
            (3, 0),
            textcoords="offset points",
            color=color,
            va="center",
        )
    printed_minimum(axes, "0.35")
    axes.set_xlim(0.5, 1.0)
    axes.set_ylim(0.0, 1.02 * data[list(kinds)].to_numpy().max())
    axes.set_xlabel(_TAU)
    axes.set_ylabel("quantisation error")
    minimum = Line2D([], [], color="0.35", **MINIMUM, label=rf"$\tau = {PRINTED_MINIMUM:.2f}$")
    axes.legend(handles=[*_kinds(kinds), minimum], ncols=3, loc="lower left", bbox_to_anchor=(0.0, 1.0))
    return axes


def error_over_tau(data: pd.DataFrame, ax: Axes | None = None, measured: pd.DataFrame | None = None) -> Axes:
    """The three quantisation errors over tau, one colour a scale, with measured points.

    Parameters
    ----------
    data : DataFrame
        `tau`, `b`, `qe_exact`, `qe_printed`, `qe_latent`, as `recu_analysis.tradeoff` gives them.
    ax : Axes, optional
        pyplot's current one by default.
    measured : DataFrame, optional
        `tau`, `qe_measured`, as `recu_analysis.measured_tradeoff` gives them.

    Returns
    -------
    Axes

    Raises
    ------
    InputError
        If a column is missing or there is no row.
    """
    require(data, ("tau", "b", *_ERRORS))
    axes = target(ax)
    for _, rows, color in _by_scale(data):
        _error_lines(axes, rows, tuple(_ERRORS), color)
    _points(axes, measured, "tau", "qe_measured")
    if data["tau"].min() < PRINTED_MINIMUM < data["tau"].max():
        printed_minimum(axes, "0.35")
    axes.set_ylim(bottom=0.0)
    axes.set_xlabel(_TAU)
    axes.set_ylabel("quantisation error")
    return axes


def entropy_over_tau(data: pd.DataFrame, ax: Axes | None = None, measured: pd.DataFrame | None = None) -> Axes:
    """Entropy after ReCU (Eq. 17) over tau, one colour a scale, with measured points.

    Parameters
    ----------
    data : DataFrame
        `tau`, `b`, `entropy`, as `recu_analysis.tradeoff` gives them.
    ax : Axes, optional
        pyplot's current one by default.
    measured : DataFrame, optional
        `tau`, `entropy_measured`, as `recu_analysis.measured_tradeoff` gives them.

    Returns
    -------
    Axes

    Raises
    ------
    InputError
        If a column is missing or there is no row.
    """
    require(data, ("tau", "b", "entropy"))
    axes = target(ax)
    for _, rows, color in _by_scale(data):
        axes.plot(rows["tau"], rows["entropy"], color=color, linewidth=1.3)
    _points(axes, measured, "tau", "entropy_measured")
    axes.set_xlabel(_TAU)
    axes.set_ylabel(heading_of("entropy"))
    return axes


def error_over_entropy(
    data: pd.DataFrame,
    ax: Axes | None = None,
    measured: pd.DataFrame | None = None,
    epochs: pd.DataFrame | None = None,
) -> Axes:
    """Quantisation error against entropy: every point of a line is a level tau.

    Parameters
    ----------
    data : DataFrame
        `tau`, `b`, `entropy`, `qe_exact`, `qe_printed`, `qe_latent`, as `recu_analysis.tradeoff` gives them.
    ax : Axes, optional
        pyplot's current one by default.
    measured : DataFrame, optional
        `entropy_measured`, `qe_measured`, as `recu_analysis.measured_tradeoff` gives them.
    epochs : DataFrame, optional
        `epoch`, `b`, `entropy`, `qe_exact`: the levels of a schedule; some epochs are marked, the first and the last
        with their numbers, on the curve of the largest scale.

    Returns
    -------
    Axes

    Raises
    ------
    InputError
        If a column is missing or there is no row.
    """
    require(data, ("tau", "b", "entropy", *_ERRORS))
    axes = target(ax)
    for _, rows, color in _by_scale(data):
        _error_lines(axes, rows, tuple(_ERRORS), color, over="entropy")
    _points(axes, measured, "entropy_measured", "qe_measured")
    if epochs is not None:
        _mark_epochs(axes, epochs)
    axes.set_ylim(bottom=0.0)
    axes.set_xlabel(heading_of("entropy"))
    axes.set_ylabel("quantisation error")
    return axes


def tradeoff_legend(data: pd.DataFrame, measured: pd.DataFrame | None, epochs: pd.DataFrame | None) -> list[Line2D]:
    """What the lines and points of the three panels mean, for one legend of the figure."""
    scales = [Line2D([], [], color=color, label=scale_label(b)) for b, _, color in _by_scale(data)]
    handles = [*(scales if len(scales) > 1 else []), *_kinds(tuple(_ERRORS))]
    if epochs is not None:
        handles.append(Line2D([], [], color="0.25", label="epochs", **_EPOCH))
    if measured is not None:
        layers = measured["layer"].nunique()
        label = f"measured ({layers} layer{'s' * (layers > 1)})"
        handles.append(Line2D([], [], **_MEASURED, label=label))
    return handles


def schedules(data: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Quantile level over the epochs, one line a schedule.

    Parameters
    ----------
    data : DataFrame
        `schedule` (name), `epoch`, `tau`.
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
    require(data, ("schedule", "epoch", "tau"))
    axes = target(ax)
    for (name, rows), color, dashes in zip(
        data.groupby("schedule", sort=False), cycle(RUN_COLORS), cycle(_DASHES), strict=False
    ):
        style: Any = "steps-post" if name == "step" else "default"
        label = _EQ_24.get(str(name), str(name))
        axes.plot(rows["epoch"], rows["tau"], color=color, linestyle=dashes, drawstyle=style, label=label)
    axes.set_xlim(0, data["epoch"].max())
    axes.set_xlabel(heading_of("epoch"))
    axes.set_ylabel(_TAU)
    axes.legend()
    return axes


def scale_label(b: float) -> str:
    """A scale as the paper writes it."""
    return r"$b = \sqrt{2}/2$" if math.isclose(b, math.sqrt(0.5), rel_tol=1e-3) else f"$b = {b:g}$"


def _by_scale(data: pd.DataFrame) -> Iterator[tuple[float, pd.DataFrame, str]]:
    for (b, rows), color in zip(data.groupby("b", sort=False), cycle(RUN_COLORS), strict=False):
        yield float(str(b)), rows.sort_values("tau"), color


def _error_lines(axes: Axes, rows: pd.DataFrame, kinds: tuple[str, ...], color: str, over: str = "tau") -> None:
    for kind in kinds:
        _, dashes, width = _ERRORS[kind]
        axes.plot(rows[over], rows[kind], color=color, linestyle=dashes, linewidth=width)


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


def _mark_epochs(axes: Axes, epochs: pd.DataFrame) -> None:
    for _, rows, color in _by_scale(epochs):
        ordered = rows.sort_values("epoch")
        chosen = ordered.iloc[np.unique(np.linspace(0, len(ordered) - 1, _MARKED).round().astype(int))]
        (marks,) = axes.plot(chosen["entropy"], chosen["qe_exact"], color=color, **_EPOCH)
        marks.set_clip_on(False)
        if rows["b"].iloc[0] == epochs["b"].max():
            _number_ends(axes, chosen)


def _number_ends(axes: Axes, chosen: pd.DataFrame) -> None:
    """The first and the last epoch's number, where the other curves are not: right below, and left above the mark."""
    first, last = chosen.iloc[0], chosen.iloc[-1]
    near = first["qe_exact"] < 0.07 * axes.get_ylim()[1]  # no room between the mark and the axis
    low: dict[str, Any] = {"va": "top", "xytext": (3, -2)}
    high: dict[str, Any] = {"va": "bottom", "xytext": (-3, 2), "ha": "right"}
    for row, place in ((first, high if near else low), (last, high)):
        at, text = (row["entropy"], row["qe_exact"]), f"{row['epoch']:.0f}"
        axes.annotate(text, at, textcoords="offset points", fontsize="x-small", **place)
