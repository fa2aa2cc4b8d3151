"""Silent weights of tail and core of one layer over the epochs, a color a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from matplotlib.lines import Line2D

from recu_analysis.plots._axes import by_run, epochs, heading_of, require, target
from recu_analysis.plots.noise import noise_entry, noise_line
from recu_analysis.plots.palette import DASHED
from recu_analysis.plots.too_short import are_too_short, median_line, pale_entry

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from recu_analysis.plots.arm_colors import AnyPalette

_GROUPS: Final[dict[str, Any]] = {"tail": "-", "core": DASHED}


def silence_by_run(data: pd.DataFrame, axes: Axes, palette: AnyPalette | None) -> None:
    """Share of silent weights over the epochs: solid: tail; dashed: core; pale dashed: noise alone.

    A point is pale if its window is too short to tell dead weights from slow ones.

    Parameters
    ----------
    data : DataFrame
        One row per run and window of one layer: `run`, `epoch`, `silent_fraction_tail`, `silent_fraction_core` (0 to
        1), both also with _null, `autocorrelation_null`.
    axes : Axes
    palette : mapping of str to color, or sequence of colors, optional
        The color of each run, by its label or in order.
    """
    shares = [f"silent_fraction_{group}{end}" for group in _GROUPS for end in ("", "_null")]
    require(data, ("run", "epoch", *shares, "autocorrelation_null"))
    target(axes)
    pale = noise = False
    entries = []
    for run, rows, color, marker in by_run(data, "epoch", palette=palette):
        by_epoch = rows.set_index("epoch")
        short = are_too_short(by_epoch["autocorrelation_null"])
        pale |= bool(short.any())
        entries.append(Line2D([], [], color=color, marker=marker, markersize=2.4, markeredgewidth=0.0, label=run))
        for group, dashes in _GROUPS.items():
            values = 100.0 * by_epoch[f"silent_fraction_{group}"]
            median_line(axes, values, short, marker, size=2.4, color=color, linestyle=dashes, linewidth=0.9)
            null = 100.0 * by_epoch[f"silent_fraction_{group}_null"]
            noise |= noise_line(axes, null.index, null, color)
    axes.set_ylim(0.0, 100.0)
    epochs(axes)
    axes.set_ylabel(heading_of("silent_fraction"))
    groups = [_dashed(group, dashes) for group, dashes in _GROUPS.items()]
    noted = [*([noise_entry()] if noise else []), *([pale_entry()] if pale else [])]
    axes.legend(handles=[*entries, *groups, *noted])


def _dashed(group: str, dashes: Any) -> Line2D:
    return Line2D([], [], color="0.3", linestyle=dashes, label=group)
