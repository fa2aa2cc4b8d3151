"""Figures of all layers of runs, and of the distribution of one: maps, quantisation errors, standard scores."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pandas as pd

from recu_analysis.analysis.layers import asked_layer_table, layer_table
from recu_analysis.analysis.measured import asked_measured, measured_tradeoff
from recu_analysis.analysis.scores import asked_score_histogram, score_histogram
from recu_analysis.figures.entry import Entry
from recu_analysis.figures.of_runs import FIG2_LAYER

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from recu_analysis.analysis.engine import Asked
    from recu_analysis.figures.entry import Runs
    from recu_analysis.store.run import Run

_MAPS = ("dead_fraction", "silent_fraction", "mobility")
# From just above 0.5, where everything is clamped to 0, to where next to nothing is.
_LEVELS, _POINTS = (0.51, 0.995), 40


def plot_heat_map(run: Run, quantity: str = "dead_fraction", ax: Axes | None = None) -> Axes:
    """Dead or silent share, or mobility, of every layer (rows) in every epoch (columns).

    Parameters
    ----------
    run : Run
    quantity : {"dead_fraction", "silent_fraction", "mobility"}
    ax : Axes, optional

    Returns
    -------
    Axes
    """
    from recu_analysis.plots.layers import heat_map

    return heat_map(map_data({"run": run}), quantity, ax)


def plot_layer_errors(run: Run, ax: Axes | None = None, *, layers: Sequence[str] | str | None = None) -> Axes:
    """Quantisation error of a run's layers over tau: measured, exact for Laplace weights, and as printed in Eq. 14.

    Parameters
    ----------
    run : Run
        Its weights at the end of the last window.
    ax : Axes, optional
    layers : str or sequence of str, optional
        Patterns of layer names.

    Returns
    -------
    Axes
    """
    from recu_analysis.plots.layers import layer_errors

    return layer_errors(measured_tradeoff(run, _LEVELS, _POINTS, layers=layers), ax)


def plot_scores(run: Run, layer: str = FIG2_LAYER, window: int | None = None, ax: Axes | None = None) -> Axes:
    """Density of a layer's standard scores with the Laplace, normal and generalised normal fitted to them.

    Parameters
    ----------
    run : Run
    layer : str
    window : int, optional
        Number of the window at whose end they are taken; the last one by default.
    ax : Axes, optional

    Returns
    -------
    Axes
    """
    from recu_analysis.plots.scores import score_density

    number = window if window is not None or not len(run.windows) else run.windows[-1].number
    return score_density(score_histogram(run, layer, None if number is None else [number]), ax)


def map_data(runs: Runs) -> pd.DataFrame:
    """Rows of `layer_table` with updates: run, window, epoch (or window, where none was marked), layer, the maps."""
    tables = []
    for label, run in runs.items():
        table = layer_table(run)
        table = table[table["updates"] > 0]
        epoch = table["epoch"] if table["epoch"].notna().any() else table["window"].astype(float)
        tables.append(table.assign(run=label, epoch=epoch).dropna(subset="epoch"))
    return pd.concat(tables, ignore_index=True)[["run", "window", "epoch", "layer", *_MAPS]]


def _example(run: Run) -> str:
    """The paper's layer where a run has it, else its middle one."""
    names = run.layer_names
    return FIG2_LAYER if FIG2_LAYER in names else names[len(names) // 2]


def _maps(runs: Runs) -> tuple[Figure, pd.DataFrame]:
    from recu_analysis.figures.print.fitting import outer_labels
    from recu_analysis.figures.print.style import current_venue, panels
    from recu_analysis.plots.layers import heat_map

    data = map_data(runs)
    limits = {name: (float(data[name].min()), float(data[name].max())) for name in _MAPS}
    figure, axes = panels(len(_MAPS) * len(runs), together=len(_MAPS))
    # So high that the layers' names do not touch.
    names = data["layer"].nunique() * current_venue().font_size * 1.05 / 72.0
    figure.set_figheight(len({ax.get_position().y0 for ax in axes}) * (names + 0.45))
    cells = [(label, name) for label in runs for name in _MAPS]
    for ax, (label, name) in zip(axes, cells, strict=True):
        heat_map(data[data["run"] == label], name, ax, limits=limits[name])
        if len(runs) > 1:
            ax.set_title(f"{label}: {ax.get_title()}")
    outer_labels(axes)
    return figure, data


def _errors(runs: Runs) -> tuple[Figure, pd.DataFrame]:
    from recu_analysis.figures.print.fitting import outer_labels
    from recu_analysis.figures.print.style import panels
    from recu_analysis.plots.layers import layer_errors

    tables = {label: measured_tradeoff(run, _LEVELS, _POINTS) for label, run in runs.items()}
    figure, axes = panels(len(tables), "page" if len(tables) > 1 else "column")
    for ax, (label, table) in zip(axes, tables.items(), strict=True):
        layer_errors(table, ax).set_title(label)
    _same_axes(axes)
    outer_labels(axes)
    return figure, _joined(tables, ["layer", "window", "tau", "b", "qe_measured", "qe_exact", "qe_printed"])


def _scores(runs: Runs) -> tuple[Figure, pd.DataFrame]:
    from recu_analysis.figures.print.fitting import outer_labels, shared_legend
    from recu_analysis.figures.print.style import panels
    from recu_analysis.plots.scores import score_density

    tables = {label: score_histogram(run, _example(run)).assign(layer=_example(run)) for label, run in runs.items()}
    cells = [
        (f"{label}, {_moment(rows)}", rows)
        for label, table in tables.items()
        for _, rows in table.groupby("window", sort=False)
    ]
    figure, axes = panels(len(cells), together=len(cells) // len(runs) if len(cells) % len(runs) == 0 else None)
    for ax, (title, rows) in zip(axes, cells, strict=True):
        score_density(rows, ax).set_title(title)
    _same_axes(axes)
    outer_labels(axes)
    shared_legend(figure, axes)
    return figure, _joined(tables, list(next(iter(tables.values())).columns))


def _same_axes(axes: Sequence[Axes]) -> None:
    """The same limits for all panels."""
    limits = [(*ax.get_xlim(), *ax.get_ylim()) for ax in axes]
    left, right, foot, top = zip(*limits, strict=True)
    for ax in axes:
        ax.set_xlim(min(left), max(right))
        ax.set_ylim(max(foot), max(top))


def _moment(rows: pd.DataFrame) -> str:
    window, epoch = rows["window"].iloc[0], rows["epoch"].iloc[0]
    if window == 0:
        return "start"
    return f"window {window}" if math.isnan(epoch) else f"after epoch {epoch:g}"


def _joined(tables: Mapping[str, pd.DataFrame], columns: list[str]) -> pd.DataFrame:
    labelled = [table.assign(run=label) for label, table in tables.items()]
    return pd.concat(labelled, ignore_index=True)[["run", *columns]]


def _ask_maps(runs: Runs) -> list[Asked[Any]]:
    return [asked_layer_table(run) for run in runs.values()]


def _ask_errors(runs: Runs) -> list[Asked[Any]]:
    return [asked_measured(run, _LEVELS, _POINTS) for run in runs.values()]


def _ask_scores(runs: Runs) -> list[Asked[Any]]:
    return [asked_score_histogram(run, _example(run)) for run in runs.values()]


LAYER_FIGURES: dict[str, Entry] = {
    "layermap": Entry(
        _maps,
        "dead and silent weights and mobility, by layer and epoch",
        "Share of dead weights (in the tail and without a change of sign), share of weights without a change of sign, "
        "and mobility (mean absolute change of $z$ per update), of every layer in every epoch. Where an epoch is too "
        "short to tell dead from slow weights, all of the tail, 30 %, counts as dead.",
        asks=_ask_maps,
    ),
    "qe": Entry(
        _errors,
        "quantisation error of the layers over tau: measured, exact, printed",
        r"Quantisation error over the level $\tau$, in units of $\hat b^2$, of weights clamped at the Laplace quantile "
        r"of their own $\hat b$. Thin: a layer at the end of the run, as measured. Solid: exact for Laplace weights. "
        r"Dashed: Eq. 14 as printed, whose minimum (vertical line) comes from a wrong sign.",
        asks=_ask_errors,
    ),
    "scores": Entry(
        _scores,
        "standard scores of a layer over the training, with fitted distributions",
        f"Density of the standard scores $z$ of {FIG2_LAYER} (of a layer in the middle, where a run has none of that "
        "name), with the Laplace, normal and generalised normal distributions of maximum likelihood; the number is the "
        "shape of the last (1 Laplace, 2 normal).",
        asks=_ask_scores,
    ),
}
