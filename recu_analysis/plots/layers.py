"""All layers of a run at once: their quantization errors over tau, beside the closed forms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from matplotlib.lines import Line2D

from recu_analysis.plots._axes import label_of, require, restyle, target
from recu_analysis.plots.arm_colors import looks_of
from recu_analysis.plots.entropy import printed_minimum
from recu_analysis.plots.palette import DASHED

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from recu_analysis.plots.arm_colors import AnyPalette

_QUANTITIES: Final = ("dead_fraction", "silent_fraction", "mobility")
# The three errors, as the legend shows them.
_ERRORS: Final[dict[str, dict[str, Any]]] = {
    "qe_measured": {"color": "#56b4e9", "linewidth": 0.9},
    "qe_exact": {"color": "0.1", "linewidth": 1.4, "label": "exact (Laplace)"},
    "qe_printed": {"color": "0.35", "linestyle": DASHED, "linewidth": 1.2, "label": "as printed (Eq. 14)"},
}


def layer_errors(
    data: pd.DataFrame,
    *,
    ax: Axes | None = None,
    palette: AnyPalette | None = None,
    label: str | None = None,
    **properties: Any,
) -> Axes:
    """Quantization error over tau in units of b_hat^2: thin: a layer as measured; thick: the closed forms.

    Parameters
    ----------
    data : DataFrame
        One row per layer and level: `layer`, `tau`, `b`, `qe_measured`, `qe_exact`, `qe_printed`, as
        `recu_analysis.measured_tradeoff` gives them.
    ax : Axes, optional
        By default pyplot's current Axes.
    palette : mapping of str to color, or sequence of colors, optional
        The colors of qe_measured, qe_exact and qe_printed, by these names or in this order.
    label : str, optional
        The name of the measured layers in the legend. By default their number.
    **properties
        Properties of the lines of the layers, as `matplotlib.lines.Line2D` has them.

    Returns
    -------
    Axes

    Raises
    ------
    InputError
        If a column is missing, there is no row, or the palette, the label or a property does not fit.
    """
    require(data, ("layer", "tau", "b", "qe_measured", "qe_exact", "qe_printed"))
    axes = target(ax)
    ordered = data.sort_values("tau")
    looks = dict(_ERRORS)
    if palette is not None:
        own = looks_of(looks, palette, "error")
        looks = {name: look | {"color": own[name].color} for name, look in looks.items()}
    count = data["layer"].nunique()
    legend = [Line2D([], [], **look) for look in looks.values()]
    legend[0].set_label(f"measured ({count} layer{'s' * (count > 1)})" if label is None else label)
    restyle(legend[0], properties)
    for _, rows in ordered.groupby("layer", sort=False, observed=True):
        (line,) = axes.plot(rows["tau"], rows["qe_measured"] / rows["b"] ** 2, **looks["qe_measured"])
        line.set(linewidth=0.6, zorder=2.1, label=None)
        restyle(line, properties)
    # Divided by b^2, the closed forms are the same for every layer.
    one = ordered[ordered["layer"] == ordered["layer"].iloc[0]]
    for name in ("qe_exact", "qe_printed"):
        axes.plot(one["tau"], one[name] / one["b"] ** 2, **looks[name])
    printed_minimum(axes, "0.55")
    axes.set_ylim(bottom=0.0)
    axes.set_xlabel(label_of("tau"))
    axes.set_ylabel(r"quantization error / $\hat b^2$")
    # On white, because the line of the minimum may cross the legend.
    axes.legend(handles=legend, loc="upper right", frameon=True, framealpha=1.0, edgecolor="none")
    return axes
