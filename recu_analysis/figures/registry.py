"""The registry of figures: every figure by name, and how one is drawn and written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from recu_analysis import __version__
from recu_analysis.analysis.horizon import common_stretch
from recu_analysis.errors import InputError, RecuError, unknown
from recu_analysis.figures.entry import Entry, TableEntry
from recu_analysis.figures.of_arms import ARM_FIGURES
from recu_analysis.figures.of_claims import CLAIMS_FIGURES
from recu_analysis.figures.of_layers import LAYER_FIGURES
from recu_analysis.figures.of_mask import MASK_FIGURES
from recu_analysis.figures.of_runs import RUN_FIGURES
from recu_analysis.figures.of_theory import THEORY_FIGURES
from recu_analysis.figures.tables import TABLES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from matplotlib.figure import Figure

    from recu_analysis.analysis.engine import Asked
    from recu_analysis.figures.entry import Runs
    from recu_analysis.figures.print.style import Width

#: Formats in which figures are written unless told.
FORMATS = ("pdf", "png")
FIGURES: dict[str, Entry | TableEntry] = {
    **RUN_FIGURES,
    **ARM_FIGURES,
    **LAYER_FIGURES,
    **MASK_FIGURES,
    **CLAIMS_FIGURES,
    **THEORY_FIGURES,
    **{name: TableEntry(table.title) for name, table in TABLES.items()},
}


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
    entry = known_figure(name)
    if entry.runs and not runs:
        raise InputError(f"the figure {name} shows runs; name at least one run directory")
    if isinstance(entry, TableEntry):
        return _save_table(name, runs, directory, provenance(runs, command))
    caption = f"{entry.caption}{_sampled(runs) if entry.runs else ''}"
    origin = provenance(runs, command)
    return save_figure(
        lambda: entry.draw(runs), name, directory, caption, origin, formats=formats, venue=venue, width=width
    )


def asked_figure(name: str, runs: Runs) -> list[Asked[Any]]:
    """What a figure asks of runs; nothing where they cannot give it, which drawing it says."""
    entry = FIGURES.get(name)
    if not isinstance(entry, Entry) or not runs:
        return []
    try:
        return entry.asks(runs)
    except RecuError:
        return []


def _save_table(name: str, runs: Runs, directory: str | Path, origin: dict[str, Any]) -> tuple[Path, ...]:
    """Write a table of the paper; its provenance says where the reported values are from."""
    from recu_analysis.figures.print.export import escape_latex, export_table
    from recu_analysis.figures.tabular import table_of

    data, latex, caption = table_of(name, runs, escape_latex)
    origin["reported"] = f"Xu et al., ICCV 2021, arXiv:2103.12369v1, Table {name.removeprefix('table')}"
    return export_table(latex, data, name, directory, caption=caption, label=f"tab:{name}", provenance=origin)


def known_figure(name: str) -> Entry | TableEntry:
    """The figure of that name; InputError with the nearest names where there is none."""
    if name not in FIGURES:
        raise unknown("figure", name, FIGURES)
    return FIGURES[name]


def _sampled(runs: Runs) -> str:
    """What a caption must say of runs whose updates were not all seen."""
    labels = [label for label, run in runs.items() if not all(window.exact for window in run.windows)]
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


def provenance(runs: Runs, command: str) -> dict[str, Any]:
    """Where a figure comes from: runs by label with their ids and windows, the command and the versions."""
    import matplotlib as mpl
    import numpy as np

    stretches = common_stretch(runs)
    used = {
        label: {"id": run.id, "windows": str(stretches[label]), "windows_in_run": len(run.windows)}
        for label, run in runs.items()
    }
    versions = {
        "recu-analysis": __version__,
        "matplotlib": mpl.__version__,
        "numpy": np.__version__,
        "pandas": pd.__version__,
    }
    return {"command": command, "runs": used, "versions": versions}
