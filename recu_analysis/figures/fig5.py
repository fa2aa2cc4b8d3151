"""The paper's Fig. 5: training and validation accuracy over the epochs, seeds as bands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from recu_analysis.analysis.arm_names import MOST_RUNS, experiments, named_arms
from recu_analysis.analysis.logged import logged
from recu_analysis.analysis.query import value
from recu_analysis.analysis.run_arguments import concat_runs
from recu_analysis.errors import InputError
from recu_analysis.figures.shared import Colored, colored, shown
from recu_analysis.figures.spec import OWN_CHOICE, FigureSpec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from recu_analysis.analysis.arms import Arm
    from recu_analysis.analysis.query import Query
    from recu_analysis.analysis.run_arguments import SeveralRuns
    from recu_analysis.figures.spec import Asked, Runs
    from recu_analysis.plots.arm_colors import AnyPalette
    from recu_analysis.store.run import Run

_TITLES = {"train_top1": "training", "val_top1": "validation"}
_ACCURACIES = tuple(_TITLES)
#: The sentences of a caption about lines and bands.
BANDS = "Line: mean over the seeds of an arm. Band: from the lowest to the highest seed."


def plot_training(
    data: SeveralRuns | pd.DataFrame,
    *,
    ax: Axes | None = None,
    palette: AnyPalette | None = None,
    label: str | None = None,
    quantity: str = "val_top1",
    **properties: Any,
) -> Axes:
    """A logged quantity over the epochs, one line per arm, with its seeds as a band (the paper's Fig. 5).

    Parameters
    ----------
    data : run or path, sequence, mapping of labels to runs, or DataFrame
        Runs. Seeds of one experiment are one arm, see `recu_analysis.analysis.arms.arms`. Or a table as `Run.metrics`
        gives it. Its column arm or run, if there is one, names the lines.
    ax : Axes, optional
        By default pyplot's current Axes.
    palette : mapping of str to color, or sequence of colors, optional
        The color of each arm, by its label or in order. By default the color of the arm in all figures.
    label : str, optional
        The name of the arm in the legend, if there is only one.
    quantity : {"val_top1", "train_top1", "val_loss", "train_loss"}
    **properties
        Properties of the lines, as `matplotlib.lines.Line2D` has them: color, alpha, linewidth and so on.

    Returns
    -------
    Axes

    Raises
    ------
    InputError
        If `data` is of another type or lacks a column, or the palette, the label or a property does not fit.
    """
    from recu_analysis.plots.training import curves

    found = shown(data, lambda runs: value(curve_data(named_arms(runs), (quantity,))), palette)
    table = found.table if "arm" in found.table else found.table.assign(arm=found.table["run"])
    return curves(table, quantity=quantity, ax=ax, palette=found.palette, label=label, **properties)


def plot_accuracy(
    data: SeveralRuns | pd.DataFrame,
    *,
    ax: Axes | None = None,
    palette: AnyPalette | None = None,
    label: str | None = None,
    **properties: Any,
) -> Axes:
    """Training and validation accuracy over the epochs, one color per run; of more than six runs, one per arm.

    Parameters
    ----------
    data : run or path, sequence, mapping of labels to runs, or DataFrame
        Runs; the legend shows their labels. Or a table as `Run.metrics` gives it. Its column run, if there is one,
        names the lines.
    ax : Axes, optional
        By default pyplot's current Axes.
    palette : mapping of str to color, or sequence of colors, optional
        The color of each run or arm, by its label or in order. By default the color of the arm in all figures.
    label : str, optional
        The name of the run or arm in the legend, if there is only one.
    **properties
        Properties of the lines of validation accuracy, as `matplotlib.lines.Line2D` has them: color and so on.

    Returns
    -------
    Axes

    Raises
    ------
    InputError
        If `data` is of another type or lacks a column, or the palette, the label or a property does not fit.
    """
    from recu_analysis.plots.training import accuracy

    found = shown(data, _accuracies, palette)
    return accuracy(found.table, ax=ax, palette=found.palette, label=label, **properties)


def _accuracies(runs: Runs) -> Query[Colored]:
    from recu_analysis.plots.arm_colors import of_arms

    table = concat_runs({label: _logged(label, run, "epoch", _ACCURACIES) for label, run in runs.items()})
    if len(runs) <= MOST_RUNS:
        return colored(runs, value(table))
    found = experiments(runs)
    names = {label: name for name, arm in found.items() for label in arm.runs}
    return value(Colored(table.assign(arm=table["run"].map(names)), of_arms(found)))


def curve_data(found: Mapping[str, Arm], quantities: Sequence[str]) -> Colored:
    """The logged quantities of runs (columns arm, run, epoch, and the quantities), and the look of each arm.

    If a run logged no epochs, the column mark takes their place: marks counted from 0.

    Raises
    ------
    InputError
        If a run did not log one of the quantities.
    """
    from recu_analysis.plots.arm_colors import of_arms

    each = [(name, label, run) for name, arm in found.items() for label, run in arm.runs.items()]
    time = "mark" if any(logged(run, "epoch").empty for _, _, run in each) else "epoch"
    tables = [_logged(label, run, time, quantities).assign(arm=name, run=label) for name, label, run in each]
    table = pd.concat(tables, ignore_index=True)[["arm", "run", time, *quantities]]
    return Colored(table, of_arms(found))


def _logged(label: str, run: Run, time: str, quantities: Sequence[str]) -> pd.DataFrame:
    """The logged quantities of a run at its epochs, or at its marks, which are counted."""
    for name in quantities if time == "mark" else (time, *quantities):
        if logged(run, name).empty:
            raise InputError(f"run {label} logged no {name}; give it to mark(), as in mark(epoch=3, {name}=...)")
    if time == "mark":
        return logged(run, *quantities).reset_index(names="mark")
    return logged(run, time, *quantities)


def query(runs: Runs, _asked: Asked = OWN_CHOICE) -> Query[Colored]:
    """The accuracies that all of the runs logged."""
    known = [name for name in _ACCURACIES if not any(logged(run, name).empty for run in runs.values())]
    return value(curve_data(named_arms(runs), known or ["val_top1"]))


def draw(data: Colored, asked: Asked = OWN_CHOICE) -> tuple[Figure, pd.DataFrame]:
    """Training and validation side by side, on one scale; only one of them if the other was not logged."""
    from recu_analysis.figures.print.fitting import outer_labels, shared_legend
    from recu_analysis.figures.print.style import panels
    from recu_analysis.plots.training import curves, limits_of

    data = data.painted(asked.palette)
    shown = _shown(data.table)
    figure, axes = panels(len(shown), "page" if len(shown) > 1 else "column")
    limits = limits_of(data.table, list(shown))
    for ax, (name, title) in zip(axes, shown.items(), strict=True):
        curves(data.table, quantity=name, ax=ax, palette=data.palette).set_title(title)
        ax.set_ylim(limits)
    outer_labels(axes)
    shared_legend(figure, axes)
    return figure, data.table


def _shown(table: pd.DataFrame) -> dict[str, str]:
    """The accuracies of a table and the titles of their panels."""
    return {name: title for name, title in _TITLES.items() if name in table}


def note(data: Colored) -> str:
    """Which epochs have values below the axes."""
    from recu_analysis.plots.training import limits_of, time_of

    columns, time = list(_shown(data.table)), time_of(data.table)
    low, _ = limits_of(data.table, columns) or (0.0, 0.0)
    cut = data.table.loc[(data.table[columns] < low).any(axis=1), time]
    sentences = ["The axis counts marks, because no epochs were logged."] if time == "mark" else []
    sentences += [
        f"Not every run logged its {_TITLES[name]} accuracy, so that is not shown."
        for name in _ACCURACIES
        if name not in columns
    ]
    if len(cut):
        lowest = f"The axes begin at the lowest accuracy after {time} {cut.max():g}: earlier values are partly below."
        sentences.append(lowest)
    return " ".join(sentences)


FIGURE = FigureSpec(
    query,
    draw,
    "training and validation accuracy, seeds as bands (the paper's Fig. 5)",
    f"Accuracy on the images of the training and of the validation. {BANDS}",
    takes=("palette",),
    note=note,
)
