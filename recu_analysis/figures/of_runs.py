"""Figures of runs: from a run to its analysis to its plot, with captions; and the ra.plot_* functions for runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from recu_analysis.analysis.deadness import TAIL_TAU
from recu_analysis.analysis.flips import asked_flips, flip_table
from recu_analysis.analysis.histogram import asked_weight_histogram, weight_histogram
from recu_analysis.analysis.horizon import common_stretch
from recu_analysis.analysis.layers import asked_layer_table, layer_table
from recu_analysis.analysis.logged import logged
from recu_analysis.analysis.magnitude import asked_by_magnitude, by_magnitude
from recu_analysis.analysis.selection import window_epochs
from recu_analysis.errors import InputError
from recu_analysis.figures.entry import Entry

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from recu_analysis.analysis.deadness import TailTau
    from recu_analysis.analysis.engine import Asked
    from recu_analysis.analysis.selection import WindowRange
    from recu_analysis.figures.entry import Runs
    from recu_analysis.store.run import Run


#: The layer of the paper's Fig. 2.
FIG2_LAYER = "layer2.0.conv2"


def plot_dead_weights(
    run: Run,
    layer: str = FIG2_LAYER,
    ax: Axes | None = None,
    *,
    tail_tau: TailTau = TAIL_TAU,
    window: WindowRange | None = None,
) -> Axes:
    """Histogram of a layer's latent weights, the tail pale red, tail and silent red (the paper's Fig. 2).

    Parameters
    ----------
    run : Run
    layer : str
    ax : Axes, optional
    tail_tau : float or "window"
    window : WindowRange, optional
        The final stretch with memory of at most 1/2 by default; the weights are those at its start.

    Returns
    -------
    Axes
    """
    from recu_analysis.plots.weights import dead_weight_histogram

    return dead_weight_histogram(weight_histogram(run, layer, tail_tau=tail_tau, window=window), ax)


def plot_by_magnitude(runs: Runs, quantity: str, ax: Axes | None = None, *, window: WindowRange | None = None) -> Axes:
    """What weights do against abs(z), one line a run; dashed: if only distance counted.

    Parameters
    ----------
    runs : mapping of str to Run
        Runs by the labels that the legend gives them.
    quantity : {"mobility", "flip_probability", "sign_changes", "gradient"}
    ax : Axes, optional
    window : WindowRange, optional
        The final stretch with memory of at most 1/2 by default, the same for all runs.

    Returns
    -------
    Axes
    """
    from recu_analysis.plots import dynamics
    from recu_analysis.plots.arm_colors import of_runs

    return dynamics.by_magnitude(magnitude_data(runs, window=window), quantity, ax, palette=of_runs(runs))


def plot_silence(run: Run, ax: Axes | None = None, *, tail_tau: TailTau = TAIL_TAU) -> Axes:
    """Silent fraction of tail and core of every layer over the epochs.

    Parameters
    ----------
    run : Run
    ax : Axes, optional
    tail_tau : float or "window"

    Returns
    -------
    Axes
    """
    from recu_analysis.plots import dynamics

    axes = dynamics.silence(silence_data(run, tail_tau=tail_tau), ax)
    if not window_epochs(run):
        axes.set_xlabel("window")
    return axes


def plot_accuracy(runs: Runs, ax: Axes | None = None) -> Axes:
    """Training and validation accuracy over the epochs, one colour a run.

    Parameters
    ----------
    runs : mapping of str to Run
        Runs by the labels that the legend gives them.
    ax : Axes, optional

    Returns
    -------
    Axes
    """
    from recu_analysis.plots import training
    from recu_analysis.plots.arm_colors import of_runs

    return training.accuracy(accuracy_data(runs), ax, palette=of_runs(runs))


def plot_flip_law(runs: Runs, ax: Axes | None = None) -> Axes:
    """Measured flip ratio of every layer and window against that of the flip law.

    Parameters
    ----------
    runs : mapping of str to Run
        Runs by the labels that the legend gives them.
    ax : Axes, optional

    Returns
    -------
    Axes
    """
    from recu_analysis.plots import flips
    from recu_analysis.plots.arm_colors import of_runs

    return flips.flip_law(flip_data(runs), ax, palette=of_runs(runs))


def plot_lock_in(run: Run, ax: Axes | None = None) -> Axes:
    """Share of the weights that never flip again after each epoch, beside the memory to the end.

    Parameters
    ----------
    run : Run
    ax : Axes, optional

    Returns
    -------
    Axes
    """
    from recu_analysis.plots import flips

    axes = flips.lock_in(flip_data({"run": run}), ax)
    if not window_epochs(run):
        axes.set_xlabel("window")
    return axes


def flip_data(runs: Runs) -> pd.DataFrame:
    """`flip_table` of several runs, with a column run; windows are counted where no epoch was marked."""
    table = _by_run({label: flip_table(run) for label, run in runs.items()})
    known = table["epoch"].notna().any()
    return table.assign(epoch=table["epoch"] if known else table["window"].astype(float)).dropna(subset="epoch")


def magnitude_data(runs: Runs, *, window: WindowRange | None = None) -> pd.DataFrame:
    """`by_magnitude` of several runs, with a column run."""
    chosen = common_stretch(runs) if window is None else dict.fromkeys(runs, window)
    return _by_run({label: by_magnitude(run, window=chosen[label]) for label, run in runs.items()})


def silence_data(run: Run, *, tail_tau: TailTau = TAIL_TAU) -> pd.DataFrame:
    """The rows of `layer_table` that hold updates and an epoch.

    Where no epoch was marked at all, the windows are counted instead.
    """
    table = layer_table(run, tail_tau)
    table = table[table["updates"] > 0]
    epoch = table["epoch"] if table["epoch"].notna().any() else table["window"].astype(float)
    columns = ["window", "epoch", "layer", "silent_fraction_tail", "silent_fraction_core"]
    return table.assign(epoch=epoch)[columns].dropna(subset="epoch")


def accuracy_data(runs: Runs) -> pd.DataFrame:
    """Epoch, train_top1 and val_top1 of several runs, with a column run.

    Raises
    ------
    InputError
        If a run's metrics lack them.
    """
    columns = ["epoch", "train_top1", "val_top1"]
    for label, run in runs.items():
        missing = [name for name in columns if logged(run, name).empty]
        if missing:
            raise InputError(
                f"run {label} logged no {missing[0]}; give it to mark(), as in "
                "mark(epoch=3, train_top1=90.1, val_top1=88.2)"
            )
    return _by_run({label: logged(run, *columns) for label, run in runs.items()})


def _by_run(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    labelled = [table.assign(run=label) for label, table in tables.items()]
    return pd.concat(labelled, ignore_index=True)[["run", *next(iter(tables.values())).columns]]


def _fig2(runs: Runs) -> tuple[Figure, pd.DataFrame]:
    from recu_analysis.plots.style import panels
    from recu_analysis.plots.weights import dead_weight_histogram

    chosen = common_stretch(runs)
    tables = {label: weight_histogram(run, FIG2_LAYER, window=chosen[label]) for label, run in runs.items()}
    figure, axes = panels(len(tables), "page" if len(tables) > 1 else "column")
    for ax, (label, table) in zip(axes, tables.items(), strict=True):
        dead_weight_histogram(table, ax).set_title(label)
    return figure, _by_run(tables)


def _magnitude(runs: Runs) -> tuple[Figure, pd.DataFrame]:
    from recu_analysis.plots.arm_colors import of_runs
    from recu_analysis.plots.dynamics import by_magnitude as draw
    from recu_analysis.plots.dynamics import only_distance
    from recu_analysis.plots.fitting import legend_above
    from recu_analysis.plots.style import panels

    data = magnitude_data(runs)
    figure, axes = panels(3, aspect=0.95, together=3)
    for ax, quantity in zip(axes, ("mobility", "flip_probability", "sign_changes"), strict=True):
        draw(data, quantity, ax, palette=of_runs(runs)).legend([], [])
    handles, _ = axes[0].get_legend_handles_labels()
    legend_above(figure, [*handles, only_distance()])
    return figure, data


def _silence(runs: Runs) -> tuple[Figure, pd.DataFrame]:
    from recu_analysis.plots.style import panels

    figure, axes = panels(len(runs), "page" if len(runs) > 1 else "column")
    for ax, (label, run) in zip(axes, runs.items(), strict=True):
        plot_silence(run, ax).set_title(label)
    return figure, _by_run({label: silence_data(run) for label, run in runs.items()})


def _flip_law(runs: Runs) -> tuple[Figure, pd.DataFrame]:
    from recu_analysis.plots.arm_colors import of_runs
    from recu_analysis.plots.flips import flip_law
    from recu_analysis.plots.style import panels

    data = flip_data(runs)
    figure, axes = panels(1, "column", 0.92)
    flip_law(data, axes[0], palette=of_runs(runs))
    return figure, data


def _lock_in(runs: Runs) -> tuple[Figure, pd.DataFrame]:
    from recu_analysis.plots.flips import lock_in
    from recu_analysis.plots.style import panels

    data = flip_data(runs)
    figure, axes = panels(len(runs), "page" if len(runs) > 1 else "column")
    for ax, (label, rows) in zip(axes, data.groupby("run", sort=False), strict=True):
        lock_in(rows, ax).set_title(str(label))
    return figure, data


def _ask_fig2(runs: Runs) -> list[Asked[Any]]:
    return [asked_weight_histogram(runs[label], FIG2_LAYER, at) for label, at in common_stretch(runs).items()]


def _ask_magnitude(runs: Runs) -> list[Asked[Any]]:
    return [asked_by_magnitude(runs[label], at) for label, at in common_stretch(runs).items()]


def _ask_tables(runs: Runs) -> list[Asked[Any]]:
    return [asked_layer_table(run) for run in runs.values()]


def _ask_flips(runs: Runs) -> list[Asked[Any]]:
    return [asked_flips(run) for run in runs.values()]


RUN_FIGURES: dict[str, Entry] = {
    "fig2": Entry(
        _fig2,
        "dead weights of a layer (the paper's Fig. 2)",
        f"Latent weights of {FIG2_LAYER} when the final stretch of windows with memory of at most 1/2 begins (the "
        "last half of the training where there is none), in standard deviations of their "
        "channel. Pale red: the tail, the 30 % of the weights with the largest $|z|$. Red: those of the tail whose "
        "sign never changes in the rest of the training.",
        asks=_ask_fig2,
    ),
    "magnitude": Entry(
        _magnitude,
        "mobility and flip probability against distance",
        "Movement against distance, in the final stretch of windows with memory of at most 1/2 (the last half where "
        "there is none). Mobility is the mean absolute change of $z$ per update; flip probability the share of the "
        "weights whose sign changes at least once; the last panel the share whose sign at the end is another than at "
        "the start. Every point is a twentieth of each layer's weights, by $|z|$ at the start, averaged over the "
        "layers; bands are 95 % intervals over output channels. Dashed: what they would be if only the distance from "
        "zero counted, that is if every weight of a layer moved alike, wherever it is.",
        asks=_ask_magnitude,
    ),
    "silence": Entry(
        _silence,
        "silent weights of tail and core over the epochs",
        "Share of the weights without a change of sign in an epoch, for the tail (the 30 % of a layer's weights with "
        "the largest $|z|$ when the epoch begins) and the core. Thin: one layer. Thick: the median over layers.",
        asks=_ask_tables,
    ),
    "fliplaw": Entry(
        _flip_law,
        "the flip law: measured against predicted flips",
        "Flips per 1000 weights and update, measured against predicted by the density of $z$ at 0 times the mobility. "
        "A point is a layer in a window; dashed: equal.",
        asks=_ask_flips,
    ),
    "lockin": Entry(
        _lock_in,
        "weights that never flip again, beside memory",
        "Share of the weights that do not change sign again in the rest of the training, after each epoch. Thin: one "
        "layer. Thick: the median over layers. Dashed: cosine of $z$ and $z$ at the end; where it is near 1 nothing "
        "moves any more, and being locked in says little.",
        asks=_ask_flips,
    ),
}
