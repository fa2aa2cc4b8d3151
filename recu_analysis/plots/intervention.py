"""The rise of the loss by group of negated weights: a marker with its interval for each treatment of batch norm."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from recu_analysis.errors import InputError, unknown
from recu_analysis.plots._axes import by_run, heading_of, require, restyle, target
from recu_analysis.plots.palette import MARKER_RIM

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from recu_analysis.plots.arm_colors import AnyPalette

#: What the rises are measured from that are drawn: the network without negated weights.
_UNCHANGED: Final = "unchanged"
#: Distance between the markers of a group, where 1 is the distance between groups.
_APART: Final = 0.24


def rises_by_group(
    data: pd.DataFrame,
    *,
    ax: Axes | None = None,
    palette: AnyPalette | None = None,
    label: str | None = None,
    layer: str | None = None,
    **properties: Any,
) -> Axes:
    """Rise of the loss with 95 % intervals, a row a group, a marker for each treatment of batch normalization.

    Parameters
    ----------
    data : DataFrame
        One row per layer, group and treatment: `row`, `layer`, `group`, `reference`, `batch_norm`, `rise`,
        `rise_low`, `rise_high` (nats). Only rises from the unchanged network are drawn.
    ax, palette, label, layer, **properties
        As in `recu_analysis.plot_intervention`.

    Returns
    -------
    Axes

    Raises
    ------
    InputError
        If a column is missing, there is no such layer, or the palette, the label or a property does not fit.
    """
    require(data, ("row", "layer", "group", "reference", "batch_norm", "rise", "rise_low", "rise_high"))
    one = _one_experiment(data)
    rows = _rows(one[one["reference"] == _UNCHANGED], layer)
    groups = list(rows["group"].unique())
    count = rows["batch_norm"].nunique()
    axes = target(ax)
    axes.axvline(0.0, color="0.8", linewidth=0.6, zorder=0.9)
    for index, (name, some, color, marker) in enumerate(by_run(rows, "group", "batch_norm", palette, label)):
        heights = [groups.index(group) + _APART * (index - (count - 1) / 2) for group in some["group"]]
        axes.hlines(heights, some["rise_low"], some["rise_high"], color=color, linewidth=0.9)
        (line,) = axes.plot(some["rise"], heights, marker, color=color, markersize=4.0, label=name, **MARKER_RIM)
        restyle(line, properties)
    axes.set_yticks(range(len(groups)), groups)
    axes.set_ylim(len(groups) - 0.5, -0.5)  # the first group is at the top
    axes.set_xlabel(heading_of("rise"))
    if count > 1 or label is not None:
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    return axes


def _one_experiment(data: pd.DataFrame) -> pd.DataFrame:
    """A table of one run, or of several runs its means; InputError if it holds several experiments."""
    if "arm" not in data:
        return data
    arms = list(data["arm"].unique())
    if len(arms) > 1:
        raise InputError(
            f"the table holds {len(arms)} experiments: {'; '.join(arms)}; draw each by itself, with "
            f"table[table['arm'] == {arms[0]!r}]"
        )
    return data[data["run"].isna()]


def _rows(data: pd.DataFrame, layer: str | None) -> pd.DataFrame:
    """The rows of a layer; without a name those of all layers at once, or of the only or the first layer."""
    together = data["row"] == "total"
    if layer is None and together.any():
        return data[together]
    alone = data[~together]
    layers = list(alone["layer"].unique())
    shown = layers[0] if layer is None else layer
    if shown not in layers:
        raise unknown("layer of the table", shown, layers)
    return alone[alone["layer"] == shown]
