"""From a figure's name to its files: read the data, draw in print style, write with provenance."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from recu_analysis.analysis.arms import sampled
from recu_analysis.analysis.final_windows import common_final_windows
from recu_analysis.analysis.run_arguments import as_runs
from recu_analysis.errors import InputError, RecuError, kind_of_value
from recu_analysis.figures.captions import quoted
from recu_analysis.figures.paper_tables import PaperTable
from recu_analysis.figures.registry import figure_query, known_figure
from recu_analysis.figures.spec import Asked
from recu_analysis.store.notes import sampled_channels
from recu_analysis.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from matplotlib.figure import Figure

    from recu_analysis.analysis.run_arguments import SeveralRuns
    from recu_analysis.analysis.selection import Windows
    from recu_analysis.figures.print.style import Width
    from recu_analysis.figures.spec import Runs
    from recu_analysis.plots.arm_colors import AnyPalette
    from recu_analysis.store.run import Run

#: The default formats of figures.
FORMATS = ("pdf", "png")


@dataclass(frozen=True, slots=True)
class Page:
    """Where a figure is printed, how large and in which style; see `draw_figure`."""

    venue: str = "iccv"
    width: Width | None = None
    height: float | None = None
    title: str | None = None
    panel: int | None = None
    style: str | os.PathLike[str] | None = None


#: ICCV, in the figure's own size.
OWN_PAGE = Page()


def draw_figure(
    name: str,
    runs: SeveralRuns | None = None,
    *,
    directory: str | os.PathLike[str] = "figures",
    formats: Sequence[str] | str = FORMATS,
    venue: str = "iccv",
    width: Width | None = None,
    height: float | None = None,
    title: str | None = None,
    panel: int | None = None,
    style: str | os.PathLike[str] | None = None,
    windows: Windows | None = None,
    layers: Sequence[str] | str | None = None,
    palette: AnyPalette | None = None,
) -> tuple[Path, ...]:
    """Draw a figure or table of the registry and write it with its data, LaTeX and provenance.

    Parameters
    ----------
    name : str
        A name from ``recu-analyze figures --list``, such as "fig2".
    runs : run or path, sequence, or mapping of labels to runs, optional
        The figure labels them by the keys of a mapping, else by the names of their folders. Closed forms need no runs.
    directory : str or path-like
        The folder of the files. It is created if it does not exist.
    formats : str or sequence of str
        One or more of pdf, png, svg and pgf. pgf needs LaTeX.
    venue : str
        Where the figure is printed: a key of `recu_analysis.figures.print.style.VENUES`, such as "iccv" or "neurips".
    width : {"column", "page"} or float, optional
        The width of the whole figure; a number is in inches. By default the figure's own width.
    height : float, optional
        The height of the whole figure in inches. By default the figure's own height.
    title : str, optional
        A title above the figure. By default there is none, as the caption says what is shown.
    panel : int, optional
        Draw this panel alone; 1 is the first. By default all panels.
    style : path, optional
        A style sheet of matplotlib, whose settings replace those of the venue. By default no settings of yours, from
        matplotlibrc or a style sheet, reach the figure.
    windows : int, slice, str or WindowSpan, optional
        Windows by their numbers, such as "8:13" (without 13). By default the figure's own choice, which its caption
        states.
    layers : str or sequence of str, optional
        Names of layers, or patterns. By default the figure's own choice, which its caption states.
    palette : mapping of str to color, or sequence of colors, optional
        Colors of the runs or arms, by their labels or in their order. By default one color per arm in all figures.

    Returns
    -------
    tuple of Path
        The files, drawings first. The files of a table are CSV, LaTeX and JSON.

    Raises
    ------
    InputError
        If there is no such figure, format, venue or panel, the style sheet cannot be read, the runs lack what the
        figure shows, or it takes no windows, layers or palette.
    StoreError
        If a file cannot be written.
    """
    given = as_runs(runs) if runs else {}
    asked = Asked(layers, windows, palette)
    return write_figure(
        name,
        given,
        figure_query(name, given, asked).run(),
        asked,
        Page(venue, width, height, title, panel, style),
        directory=directory,
        formats=(formats,) if isinstance(formats, str) else formats,
        command=f"recu_analysis.draw_figure({name!r}, {list(given)})",
    )


def write_figure(
    name: str,
    runs: Runs,
    found: Any,
    asked: Asked,
    page: Page,
    *,
    directory: str | os.PathLike[str],
    formats: Sequence[str],
    command: str,
) -> tuple[Path, ...]:
    """`draw_figure` for the result of a figure's `figure_query`; `command` is for the provenance.

    Raises
    ------
    RecuError
        The result of the query, if that is an error. Else as `draw_figure`.
    """
    if isinstance(found, RecuError):
        raise found
    if not isinstance(directory, str | os.PathLike):
        raise InputError(f"directory must be the path of a folder, not {kind_of_value(directory)}")
    figure, origin = known_figure(name), provenance(runs, command)
    if isinstance(figure, PaperTable):
        return _write_table(figure, found, name, directory, origin)
    parts = figure.caption, figure.note(found), _of_states(name, runs), _sampled(runs), channels_sentence(runs)
    caption = " ".join(part for part in parts if part)
    return save_figure(lambda: figure.draw(found, asked), name, directory, caption, origin, formats=formats, page=page)


def _write_table(
    table: PaperTable, data: pd.DataFrame, name: str, directory: str | os.PathLike[str], origin: dict[str, Any]
) -> tuple[Path, ...]:
    """Write a table of the paper. Its provenance names the source of the reported values."""
    from recu_analysis.figures.captions import escape_latex
    from recu_analysis.figures.latex_table import latex_table
    from recu_analysis.figures.print.export import export_table

    latex, caption = latex_table(table, data, escape_latex)
    origin["reported"] = f"Xu et al., ICCV 2021, arXiv:2103.12369v1, Table {name.removeprefix('table')}"
    return export_table(latex, data, name, directory, caption=caption, label=f"tab:{name}", provenance=origin)


def _of_states(name: str, runs: Runs) -> str:
    """The sentence of a caption about the words of figures of signs for weights with more than two levels."""
    more = {
        "fliplaw": ", and the density is that at all thresholds",
        "lockin": ", and noise alone is not known",
        **dict.fromkeys(("magnitude", "survival"), ""),
        **dict.fromkeys(("causes", "rho"), ", and zero for that threshold"),
    }
    if name not in more or all(spec.quantizer.binary for run in runs.values() for spec in run.header.layers):
        return ""
    return (
        "In layers with more than two levels, flips and sign changes are changes of the state, $|z|$ stands for the "
        f"distance from the nearest threshold{more[name]}."
    )


def _sampled(runs: Runs) -> str:
    """The sentence of a caption about sampled runs; empty if there are none."""
    labels = [label for label, run in runs.items() if sampled(run)]
    if not labels:
        return ""
    names = ", ".join(map(quoted, labels))
    return f"Sampled from checkpoints: {names}. Between checkpoints, movement is net and flips are missed."


def channels_sentence(runs: Runs) -> str:
    """The sentences of a caption about runs with sampled channels; empty if there are none."""
    found = sampled_channels({quoted(label): run for label, run in runs.items()})
    return " ".join(f"{text[0].upper()}{text[1:]}." for text in found)


def save_figure(
    draw: Callable[[], tuple[Figure, pd.DataFrame]],
    stem: str,
    directory: str | os.PathLike[str],
    caption: str,
    origin: Mapping[str, Any],
    *,
    formats: Sequence[str] = FORMATS,
    page: Page = OWN_PAGE,
) -> tuple[Path, ...]:
    """Draw in print style and write the figure with its data, LaTeX and provenance; see `print.export.export`."""
    from recu_analysis.figures.print.export import check_formats, export
    from recu_analysis.figures.print.fitting import fit_labels
    from recu_analysis.figures.print.one_panel import keep_panel
    from recu_analysis.figures.print.style import figure_size, style
    from recu_analysis.plots.names import text_of

    check_formats(formats)
    with style("page", venue=page.venue, every=page.width, sheet=page.style):
        figure, data = draw()
        if page.panel is not None:
            keep_panel(figure, page.panel)
            figure.set_size_inches(figure_size(page.width or "column", venue=page.venue))
        if page.height is not None:
            figure.set_figheight(figure_size(figure.get_figwidth(), page.height, venue=page.venue)[1])
        if page.title is not None:
            _set_title(figure, text_of(page.title))
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


def _set_title(figure: Figure, title: str) -> None:
    """A title above all panels; above their common legend, which matplotlib would lay over a title of the figure."""
    from matplotlib.font_manager import FontProperties

    if figure.legends:
        figure.legends[0].set_title(title, FontProperties(size="medium"))
    else:
        figure.suptitle(title)


def _stated(run: Run) -> dict[str, Any]:
    """Folder, arm and seed of a run that is in a list of runs; empty for other runs."""
    if run.label is None and run.arm is None and run.stated_seed is None:
        return {}
    return {"folder": run.path.name, "arm": run.arm, "seed": run.stated_seed}


def provenance(runs: Runs, command: str) -> dict[str, Any]:
    """The provenance of a figure: runs by label with their ids and windows, the command and the versions."""
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
