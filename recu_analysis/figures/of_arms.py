"""Figures of arms, seeds as bands: training curves (the paper's Fig. 5), and b* as an initial scale."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

import pandas as pd

from recu_analysis.analysis.arm_names import named_arms, scale_text, told_apart
from recu_analysis.analysis.arms import Arm, arms, settings
from recu_analysis.analysis.kinds import Kind, kind_of
from recu_analysis.analysis.logged import logged
from recu_analysis.errors import InputError
from recu_analysis.figures.entry import Entry

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from recu_analysis.figures.entry import Runs

_ACCURACIES = ("train_top1", "val_top1")


def plot_training(runs: Runs, quantity: str = "val_top1", ax: Axes | None = None) -> Axes:
    """A logged quantity over the epochs, one line an arm, its seeds as a band (the paper's Fig. 5).

    Parameters
    ----------
    runs : mapping of str to Run
        Runs by their labels; seeds of one experiment are one arm, see `recu_analysis.analysis.arms.arms`.
    quantity : {"train_top1", "val_top1", "train_loss", "val_loss"}
    ax : Axes, optional

    Returns
    -------
    Axes
    """
    from recu_analysis.plots.arm_colors import of_arms
    from recu_analysis.plots.training import curves

    found = named_arms(runs)
    return curves(curve_data(found, (quantity,)), quantity, ax, palette=of_arms(found))


def plot_initial_scale(runs: Runs, ax: Axes | None = None) -> Axes:
    """Training loss over the epochs by b* and the scale of the initial weights, seeds as bands.

    Parameters
    ----------
    runs : mapping of str to Run
        Runs by their labels; those with ReCU's clamp that differ in nothing but b*, initial scale and seed are drawn.
    ax : Axes, optional

    Returns
    -------
    Axes
    """
    from recu_analysis.plots.arm_colors import of_arms
    from recu_analysis.plots.training import curves

    found = scale_arms(runs)
    return curves(curve_data(found, ("train_loss",)), "train_loss", ax, palette=of_arms(found))


def curve_data(found: Mapping[str, Arm], quantities: Sequence[str]) -> pd.DataFrame:
    """What runs logged at each epoch: arm, run, epoch, and the quantities.

    Raises
    ------
    InputError
        If a run did not log one of them.
    """
    tables = []
    for name_of_arm, arm in found.items():
        for label, run in arm.runs.items():
            for name in ("epoch", *quantities):
                if logged(run, name).empty:
                    raise InputError(
                        f"run {label} logged no {name}; give it to mark(), as in mark(epoch=3, {name}=...)"
                    )
            tables.append(logged(run, "epoch", *quantities).assign(arm=name_of_arm, run=label))
    return pd.concat(tables, ignore_index=True)[["arm", "run", "epoch", *quantities]]


def scale_arms(runs: Runs) -> dict[str, Arm]:
    """Arms that differ in b* and in the scale of the initial weights alone, by these, b* = 2 first.

    Raises
    ------
    InputError
        If there are not two of them.
    """
    clamped = [
        arm
        for arm in arms(runs)
        if kind_of(arm.first) is Kind.RECU and isinstance(arm.configuration.get("scale"), float | int)
    ]
    own = frozenset({"scale", "initial_scale"})
    rest = [repr(sorted(settings(arm.first, own).items())) for arm in clamped]
    usual = Counter(rest).most_common(1)[0][0] if rest else ""
    chosen = [arm for arm, other in zip(clamped, rest, strict=True) if other == usual]
    if len(chosen) < 2:
        raise InputError(
            "it compares scales b* and needs runs that differ in them alone: train three, with --scale 2, with "
            "--scale 0.70711, and with --scale 0.70711 --initial-scale 0.5946"
        )
    chosen.sort(key=lambda arm: (-arm.configuration["scale"], -_initial(arm)))
    return dict(zip(told_apart([_scale_label(arm) for arm in chosen], chosen), chosen, strict=True))


def _initial(arm: Arm) -> float:
    value = arm.configuration.get("initial_scale", 1.0)
    return float(value) if isinstance(value, float | int) else math.nan


def _scale_label(arm: Arm) -> str:
    start = "" if _initial(arm) == 1.0 else f", initial weights \N{MULTIPLICATION SIGN} {_initial(arm):.3g}"
    return f"b* = {scale_text(arm.configuration['scale'])}{start}"


def _fig5(runs: Runs) -> tuple[Figure, pd.DataFrame]:
    from recu_analysis.plots.arm_colors import of_arms
    from recu_analysis.plots.fitting import shared_legend
    from recu_analysis.plots.style import panels
    from recu_analysis.plots.training import curves

    found = named_arms(runs)
    data = curve_data(found, _ACCURACIES)
    figure, axes = panels(2)
    for ax, name, title in zip(axes, _ACCURACIES, ("(a) training", "(b) validation"), strict=True):
        curves(data, name, ax, palette=of_arms(found)).set_title(title)
    shared_legend(figure, axes)
    return figure, data


def _initial_scale(runs: Runs) -> tuple[Figure, pd.DataFrame]:
    from recu_analysis.plots.arm_colors import of_arms
    from recu_analysis.plots.fitting import shared_legend
    from recu_analysis.plots.style import panels
    from recu_analysis.plots.training import curves

    found = scale_arms(runs)
    data = curve_data(found, ("train_loss",))
    figure, (axes,) = panels(1, "column", 0.8)
    curves(data, "train_loss", axes, palette=of_arms(found))
    shared_legend(figure, [axes])
    return figure, data


_BANDS = "Line: mean over the seeds of an arm; band: from the least to the greatest of them."
ARM_FIGURES: dict[str, Entry] = {
    "fig5": Entry(
        _fig5,
        "training and validation accuracy, seeds as bands (the paper's Fig. 5)",
        f"Training (a) and validation (b) accuracy. {_BANDS} The first epochs lie partly below the axes.",
    ),
    "initscale": Entry(
        _initial_scale,
        "b* is a scale of the initial weights",
        f"Training loss for scales $b^*$ of the standardisation. {_BANDS} The gradient is proportional to $b^*$, so "
        r"that $b^* = \sqrt{2}/2$ with initial weights divided by $\sqrt{2\sqrt{2}}$ follows $b^* = 2$ exactly in "
        "theory; rounding grows, and they part as two seeds do.",
    ),
}
