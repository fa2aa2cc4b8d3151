"""Small multiples of all layers: silent weights of tail and core over the epochs, a panel a layer."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, NamedTuple

from recu_analysis.analysis.query import gathered
from recu_analysis.analysis.run_arguments import concat_runs
from recu_analysis.figures.layer_choice import cut_sentence, evenly
from recu_analysis.figures.shared import Colored
from recu_analysis.figures.silence import silence_query, unknown_silence
from recu_analysis.figures.spec import OWN_CHOICE, FigureSpec
from recu_analysis.figures.window_notes import NOISE_ALONE, PALE_WINDOWS, length_sentence
from recu_analysis.plots.arm_colors import of_runs

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd
    from matplotlib.figure import Figure

    from recu_analysis.analysis.query import Query
    from recu_analysis.figures.shared import Timed
    from recu_analysis.figures.spec import Asked, Runs

#: Panels of a figure.
MOST_PANELS: Final = 18


class Layers(NamedTuple):
    """The table of all runs, their colors, and sentences for the caption."""

    colored: Colored
    shown: list[str]
    by_epoch: bool
    note: str


def query(runs: Runs, asked: Asked = OWN_CHOICE) -> Query[Layers]:
    """The columns of `layer_table` about silence, for the windows with updates of each run."""
    tables = gathered({label: silence_query(run, asked) for label, run in runs.items()})
    return tables.then(lambda found: _layers(found, Colored(_joined(found), of_runs(runs)).painted(asked.palette)))


def _joined(tables: Mapping[str, Timed]) -> pd.DataFrame:
    return concat_runs({label: timed.table for label, timed in tables.items()})


def _layers(tables: Mapping[str, Timed], colored: Colored) -> Layers:
    """Choose the layers that fit, evenly spaced in depth."""
    known = list(dict.fromkeys(colored.table["layer"]))
    shown = evenly(known, MOST_PANELS)
    cut = f"Shown are {len(shown)} of {len(known)} layers, evenly spaced in depth." if len(shown) < len(known) else ""
    parts = (cut, length_sentence(tables), unknown_silence(tables), cut_sentence(shown))
    by_epoch = all(timed.by_epoch for timed in tables.values())
    return Layers(colored, shown, by_epoch, " ".join(part for part in parts if part))


def draw(data: Layers, _asked: Asked = OWN_CHOICE) -> tuple[Figure, pd.DataFrame]:
    """A panel a layer, on the same axes, with one legend."""
    from recu_analysis.figures.grid import figure_width, grid, label_once, layer_titles, legend_once
    from recu_analysis.plots.silence_by_run import silence_by_run

    table = data.colored.table[data.colored.table["layer"].isin(data.shown)]
    # Names of layers need more room than a sixth of a column.
    widest = 6 if figure_width() > 5.0 else 3
    columns = next(count for count in (1, 2, 3, 6) if len(data.shown) <= count * count or count == widest)
    rows = math.ceil(len(data.shown) / columns)
    figure, cells = grid(rows, columns)
    titles = layer_titles(data.shown, 0.9 * figure.get_figwidth() / columns)
    axes = [ax for row in cells for ax in row]
    for ax in axes[len(data.shown) :]:
        ax.remove()
    axes = axes[: len(data.shown)]
    first, last = table["epoch"].min(), table["epoch"].max()
    for ax, layer in zip(axes, data.shown, strict=True):
        silence_by_run(table[table["layer"] == layer], ax, data.colored.palette)
        ax.set_xlim(first - 0.05 * (last - first or 1.0), last + 0.05 * (last - first or 1.0))
        ax.set_title(titles[layer], fontsize="small")
        if not data.by_epoch:
            ax.set_xlabel("window")
    label_once(figure, axes)
    legend_once(figure, axes)
    return figure, table


def note(data: Layers) -> str:
    """Which layers are shown, and how long a window is."""
    return f"{data.note} {PALE_WINDOWS}"


FIGURE = FigureSpec(
    query,
    draw,
    "silent weights of tail and core over the epochs, a panel a layer",
    "Share of the weights whose sign did not change in a window, for the tail (solid) and the core (dashed) of every "
    "layer. The tail is the 30 % of the layer's weights with the largest $|z|$ at the start of the window. A marker is "
    f"the end of a window. {NOISE_ALONE}",
    takes=("layers", "windows", "palette"),
    note=note,
)
