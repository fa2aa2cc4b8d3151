"""The files of a figure for a paper: drawing, data, LaTeX and provenance, with the same bytes each time."""

from __future__ import annotations

import json
import re
import shutil
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any, Final

import matplotlib as mpl
from matplotlib.transforms import Bbox

from recu_analysis.analysis.csv_text import csv_text
from recu_analysis.errors import InputError, StoreError, unknown
from recu_analysis.figures.captions import escape_latex
from recu_analysis.figures.print.style import OUTPUT, current_venue
from recu_analysis.store.durable import replace_file
from recu_analysis.store.places import local

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping, Sequence

    import pandas as pd
    from matplotlib.figure import Figure

# Format: the metadata field for the provenance, and the fields that would hold a date.
_FORMATS: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "pdf": ("Keywords", ("CreationDate",)),
    "png": ("Description", ()),
    "svg": ("Description", ("Date",)),
    # LaTeX itself draws it. The provenance is a comment, because pgf has no metadata.
    "pgf": ("", ()),
}
# A text column of a paper has room for six short columns, or for fewer of this many letters; a gap is two letters wide.
_MOST_COLUMNS, _MOST_LETTERS = 6, 55
# What a row of a tabular does not show as letters.
_COMMANDS: Final = re.compile(r"\\[a-z]+(?:\{\w+\}\{\w\})?|[\s${}&\\]")
_LATEX_PROGRAMS: Final = ("pdflatex", "lualatex", "xelatex")


def export(
    figure: Figure,
    data: pd.DataFrame,
    stem: str,
    directory: str | os.PathLike[str],
    *,
    formats: Sequence[str] = ("pdf", "png"),
    caption: str,
    label: str,
    provenance: Mapping[str, Any],
) -> tuple[Path, ...]:
    r"""Write a figure in some formats, with its data, the LaTeX that includes it, and its provenance.

    Call it within the `style` in which the figure was drawn. The same figure gives the same bytes: no file holds a
    date. Each file is complete or absent. An existing file is replaced.

    Parameters
    ----------
    figure : Figure
        Saved at exactly its size; PNG at 300 dots per inch.
    data : DataFrame
        The drawn data. `stem`.csv holds them with 9 significant digits.
    stem : str
        Name of the files without their endings: letters, digits, dots, dashes and underscores.
    directory : path
        Created if it does not exist.
    formats : sequence of {"pdf", "png", "svg", "pgf"}
        pgf needs LaTeX.
    caption : str
        Plain text with mathematics between dollar signs. Special characters of LaTeX outside of mathematics are
        escaped.
    label : str
        For \ref; characters other than letters, digits and ``:._-`` become dashes.
    provenance : mapping
        Values for JSON: run ids, command, versions; no dates and no absolute paths. They are written to `stem`.json and
        into the metadata of every drawing.

    Returns
    -------
    tuple of Path
        The files, drawings first.

    Raises
    ------
    InputError
        If a format is unknown, the format is pgf without LaTeX on the machine, or the stem is not a plain file name.
    StoreError
        If a file cannot be written.
    """
    check_formats(formats)
    if not re.fullmatch(r"\w[\w.-]*", stem, flags=re.ASCII):
        raise InputError(f"a figure's files need a name of letters, digits, dots, dashes and underscores, not {stem!r}")
    with _laid_out(figure):
        files = {f"{stem}.{name}": _drawing(figure, name, stem, provenance) for name in formats}
    files |= _beside(stem, data, _latex(figure, stem, formats, caption, label), provenance)
    return tuple(_write(Path(directory) / name, content) for name, content in files.items())


def export_table(
    tabular: str,
    data: pd.DataFrame,
    stem: str,
    directory: str | os.PathLike[str],
    *,
    caption: str,
    label: str,
    provenance: Mapping[str, Any],
) -> tuple[Path, ...]:
    """Write a table as LaTeX, with its data and its provenance.

    Parameters
    ----------
    tabular : str
        The tabular environment, which needs the package booktabs.
    data, stem, directory, caption, label, provenance
        As for `export`.

    Returns
    -------
    tuple of Path
        CSV, LaTeX and JSON.

    Raises
    ------
    StoreError
        If a file cannot be written.
    """
    lines = tabular.splitlines()
    columns = max(line.count("&") for line in lines) + 1
    letters = max(len(_COMMANDS.sub("", line)) for line in lines if "&" in line)
    wide = columns > _MOST_COLUMNS or letters + 2 * columns > _MOST_LETTERS
    environment = "table*" if wide else "table"
    indented = "\n".join(f"  {line}" for line in lines)
    latex = (
        "% needs \\usepackage{booktabs}\n"
        f"\\begin{{{environment}}}[t]\n"
        "  \\centering\n"
        f"  \\caption{{{escape_latex(caption)}}}\n"
        f"  \\label{{{_label(label)}}}\n"
        "  \\par\\smallskip\\footnotesize\n"
        "  \\setlength{\\tabcolsep}{4pt}\n"
        f"{indented}\n"
        f"\\end{{{environment}}}\n"
    )
    files = _beside(stem, data, latex, provenance)
    return tuple(_write(Path(directory) / name, content) for name, content in files.items())


def _beside(stem: str, data: pd.DataFrame, latex: str, provenance: Mapping[str, Any]) -> dict[str, bytes]:
    """The files of the data, the LaTeX and the provenance."""
    return {
        f"{stem}.csv": csv_text(data).encode(errors="backslashreplace"),
        f"{stem}.tex": latex.encode(errors="backslashreplace"),
        f"{stem}.json": (json.dumps(provenance, indent=2, sort_keys=True) + "\n").encode(),
    }


def check_formats(formats: Sequence[str]) -> None:
    """InputError unless figures can be written in all of these formats on this machine."""
    for name in formats:
        if name not in _FORMATS:
            raise unknown("figure format", name, _FORMATS)
    if "pgf" in formats and not _latex_program():
        raise InputError(
            f"pgf needs LaTeX, and none of {', '.join(_LATEX_PROGRAMS)} is on the PATH; install LaTeX, or choose pdf"
        )


def check_folder(directory: str | os.PathLike[str]) -> None:
    """Create a folder for figures; StoreError if it cannot be created or written to."""
    try:
        local(directory, "a figure").mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=directory):
            pass
    except OSError as error:
        reason = error.strerror or error
        raise StoreError(
            f"figures cannot be written into {directory}: {reason}; choose a directory that can be written"
        ) from error


def _latex_program() -> str | None:
    return next((name for name in _LATEX_PROGRAMS if shutil.which(name)), None)


@contextmanager
def _laid_out(figure: Figure) -> Iterator[None]:
    """Fix the layout of the figure, so that it is the same in every format and at every call."""
    # Each pass starts from the layout before. Three passes agree within 1e-9, and rounding makes them equal.
    for _ in range(3):
        figure.draw_without_rendering()
    engine = figure.get_layout_engine()
    figure.set_layout_engine("none")
    for axes in figure.axes:
        takes_part = axes.get_in_layout()
        axes.set_position(Bbox(axes.get_position().get_points().round(6)))
        axes.set_in_layout(takes_part)
    try:
        yield
    finally:
        figure.set_layout_engine(engine or "none")


def _drawing(figure: Figure, name: str, stem: str, provenance: Mapping[str, Any]) -> bytes:
    """The figure as a file of this format."""
    origin = json.dumps(provenance, sort_keys=True)
    if name == "pgf":
        return _pgf(figure, f"{stem}: {origin}")
    field, dates = _FORMATS[name]
    metadata = {"Title": stem, field: origin, **dict.fromkeys(dates)}
    buffer = BytesIO()
    with mpl.rc_context(OUTPUT):
        figure.savefig(buffer, format=name, metadata=metadata)
    return buffer.getvalue()


def _pgf(figure: Figure, comment: str) -> bytes:
    """The figure as commands of pgf in the fonts of the document that includes it."""
    buffer = BytesIO()
    with mpl.rc_context({"pgf.texsystem": _latex_program(), "pgf.rcfonts": False}):
        figure.savefig(buffer, format="pgf")
    return f"% {comment}\n".encode() + buffer.getvalue()


def _latex(figure: Figure, stem: str, formats: Sequence[str], caption: str, label: str) -> str:
    """A figure environment; one that spans both columns if the figure is wider than a column."""
    width = figure.get_figwidth()
    environment = "figure*" if width > current_venue().column + 1e-6 else "figure"
    end = next((name for name in ("pdf", "pgf", "png") if name in formats), "pdf")
    shown = f"\\includegraphics[width={width:g}in]{{{stem}.{end}}}" if end != "pgf" else f"\\input{{{stem}.pgf}}"
    return (
        f"\\begin{{{environment}}}[t]\n"
        "  \\centering\n"
        f"  {shown}\n"
        f"  \\caption{{{escape_latex(caption)}}}\n"
        f"  \\label{{{_label(label)}}}\n"
        f"\\end{{{environment}}}\n"
    )


def _label(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9:._-]+", "-", text)


def _write(path: Path, content: bytes) -> Path:
    """Write a file, and create its folder if it is missing."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, lambda file: file.write_bytes(content))
    except OSError as error:
        reason = error.strerror or error
        raise StoreError(f"cannot write the figure {path}: {reason}; choose a directory that can be written") from error
    return path
