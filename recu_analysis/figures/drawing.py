"""From a figure's name to its files: what it shows is read, drawn in print style, and written with its origin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from recu_analysis import __version__
from recu_analysis.analysis.arms import sampled
from recu_analysis.analysis.final_windows import common_final_windows
from recu_analysis.errors import RecuError
from recu_analysis.figures.paper_tables import PaperTable
from recu_analysis.figures.registry import figure_query, known_figure

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from matplotlib.figure import Figure

    from recu_analysis.figures.print.style import Width
    from recu_analysis.figures.spec import Runs
    from recu_analysis.store.run import Run

#: Formats in which figures are written unless told.
FORMATS = ("pdf", "png")


def draw_figure(
    name: str,
    runs: Runs,
    directory: str | Path,
    *,
    command: str,
    formats: Sequence[str] = FORMATS,
    venue: str = "iccv",
    width: Width | None = None,
) -> tuple[Path, ...]:
    """Draw a figure of the registry and write it with its data, LaTeX and provenance.

    Parameters
    ----------
    name : str
        A key of `FIGURES`.
    runs : mapping of str to Run
        Runs by the labels that the figure gives them.
    directory : str or Path
    command : str
        What the user typed, for the provenance.
    formats : sequence of {"pdf", "png", "svg", "pgf"}
    venue : str
        Where it is printed: a key of `recu_analysis.figures.print.style.VENUES`.
    width : {"column", "page"} or float, optional
        Of the whole figure, in inches where a number; its own by default.

    Returns
    -------
    tuple of Path
        The files written, drawings first; of a table CSV, LaTeX and JSON.

    Raises
    ------
    InputError
        If there is no such figure, format or venue, or the runs lack what it shows.
    StoreError
        If a file cannot be written.
    """
    data = figure_query(name, runs).run()
    return write_figure(name, data, runs, directory, command=command, formats=formats, venue=venue, width=width)


def write_figure(
    name: str,
    data: Any,
    runs: Runs,
    directory: str | Path,
    *,
    command: str,
    formats: Sequence[str] = FORMATS,
    venue: str = "iccv",
    width: Width | None = None,
) -> tuple[Path, ...]:
    """Draw what the query of a figure found; an error that it found is raised.

    Parameters
    ----------
    name : str
        A key of `FIGURES`.
    data
        The result of `figure_query`.
    runs, directory, command, formats, venue, width
        As for `draw_figure`.
    """
    if isinstance(data, RecuError):
        raise data
    figure, origin = known_figure(name), provenance(runs, command)
    if isinstance(figure, PaperTable):
        return _write_table(figure, data, name, directory, origin)
    caption = f"{figure.caption}{_sampled(runs) if figure.runs else ''}"
    return save_figure(
        lambda: figure.draw(data), name, directory, caption, origin, formats=formats, venue=venue, width=width
    )


def _write_table(
    table: PaperTable, data: pd.DataFrame, name: str, directory: str | Path, origin: dict[str, Any]
) -> tuple[Path, ...]:
    """Write a table of the paper; its provenance says where the reported values are from."""
    from recu_analysis.figures.latex_table import latex_table
    from recu_analysis.figures.print.export import escape_latex, export_table

    latex, caption = latex_table(table, data, escape_latex)
    origin["reported"] = f"Xu et al., ICCV 2021, arXiv:2103.12369v1, Table {name.removeprefix('table')}"
    return export_table(latex, data, name, directory, caption=caption, label=f"tab:{name}", provenance=origin)


def _sampled(runs: Runs) -> str:
    """What a caption must say of runs whose updates were not all seen."""
    labels = [label for label, run in runs.items() if sampled(run)]
    if not labels:
        return ""
    return f" Sampled from checkpoints, between which movement is net and flips are missed: {', '.join(labels)}."


def save_figure(
    draw: Callable[[], tuple[Figure, pd.DataFrame]],
    stem: str,
    directory: str | Path,
    caption: str,
    origin: Mapping[str, Any],
    *,
    formats: Sequence[str] = FORMATS,
    venue: str = "iccv",
    width: Width | None = None,
) -> tuple[Path, ...]:
    """Draw in print style and write the figure with its data, LaTeX and provenance; see `print.export.export`."""
    from recu_analysis.figures.print.export import check_formats, export
    from recu_analysis.figures.print.fitting import fit_labels
    from recu_analysis.figures.print.style import style

    check_formats(formats)
    with style("page", venue=venue, every=width):
        figure, data = draw()
        fit_labels(figure)
        return export(
            figure,
            data,
            stem,
            directory,
            formats=formats,
            caption=caption,
            label=f"fig:{stem}",
            provenance=origin,
        )


def _stated(run: Run) -> dict[str, Any]:
    """What a list of runs says of one, and where that is; nothing where it is in none."""
    if run.label is None and run.arm is None and run.stated_seed is None:
        return {}
    return {"folder": run.path.name, "arm": run.arm, "seed": run.stated_seed}


def provenance(runs: Runs, command: str) -> dict[str, Any]:
    """Where a figure comes from: runs by label with their ids and windows, the command and the versions."""
    import matplotlib as mpl
    import numpy as np

    spans = common_final_windows(runs)
    used = {
        label: {"id": run.id, "windows": str(spans[label]), "windows_in_run": len(run.windows)} | _stated(run)
        for label, run in runs.items()
    }
    versions = {
        "recu-analysis": __version__,
        "matplotlib": mpl.__version__,
        "numpy": np.__version__,
        "pandas": pd.__version__,
    }
    return {"command": command, "runs": used, "versions": versions}
