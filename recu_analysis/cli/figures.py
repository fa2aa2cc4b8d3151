"""recu-analyze figures: the figures and tables of the registry, from closed forms and from runs."""

from __future__ import annotations

import contextlib
import shlex
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from recu_analysis.analysis.csv_text import safe_cells
from recu_analysis.cli import completion, options
from recu_analysis.cli import output as tables
from recu_analysis.cli.target import safe_csv_option

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from recu_analysis.figures.drawing import Page
    from recu_analysis.figures.print.style import Width
    from recu_analysis.figures.spec import Asked
    from recu_analysis.store.run import Run


@click.command("figures", epilog="Example: recu-analyze figures --only fig3,fig4 -o figures")
@click.argument("runs", metavar="[RUN]...", nargs=-1, type=click.Path(path_type=Path))
@click.option("--list", "listing", is_flag=True, help="List the figures and exit.")
@click.option(
    "--only", metavar="NAMES", shell_complete=completion.figures, help="Only these figures, separated by commas."
)
@click.option(
    "--venue",
    metavar="NAME",
    shell_complete=completion.venues,
    default="iccv",
    show_default=True,
    help="Venue, for its widths: iccv, cvpr, neurips, icml, iclr, ieee, springer, thesis or talk.",
)
@click.option(
    "--width", metavar="column|page|INCHES", help="Width of every figure; by default each figure has its own."
)
@click.option(
    "--format",
    "formats",
    metavar="NAMES",
    default="pdf,png",
    show_default=True,
    help="Formats, separated by commas: pdf, svg, png and pgf (needs LaTeX).",
)
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("figures"),
    show_default=True,
    help="Folder for drawings, data, LaTeX and provenance.",
)
@click.option("--height", type=float, metavar="INCHES", help="Height of every figure; by default each has its own.")
@click.option("--title", metavar="TEXT", help="A title above every figure; by default there is none.")
@click.option("--panel", type=int, metavar="N", help="Draw panel N alone; 1 is the first.")
@click.option(
    "--style",
    "sheet",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="A style sheet of matplotlib, whose settings replace those of the venue.",
)
@click.option(
    "--label",
    "labels",
    multiple=True,
    metavar="RUN=NAME",
    help="Show NAME instead of the folder name RUN; repeatable.",
)
@click.option(
    "--palette",
    metavar="COLORS",
    help="Colors of the runs or arms in their order, separated by commas, such as tab:blue,#e69f00.",
)
@options.layer_option
@options.windows_option
@safe_csv_option
@options.common
@options.jobs
def command(
    runs: tuple[Path, ...],
    listing: bool,
    only: str | None,
    venue: str,
    width: str | None,
    height: float | None,
    title: str | None,
    panel: int | None,
    sheet: Path | None,
    labels: tuple[str, ...],
    palette: str | None,
    layers: tuple[str, ...],
    windows: slice | None,
    formats: str,
    output: Path,
    safe_csv: bool,
) -> None:
    """Draw figures ready for a paper, each with its data, the LaTeX that includes it, and its provenance.

    Without RUN, only figures of closed forms are drawn. Legends name each RUN by its folder, or as --label says. A RUN
    may also be a list of runs (runs.toml) with labels, arms and seeds. Figures of signs are drawn for runs with binary
    layers, and figures of states for runs with more levels. A figure that needs other runs is left out; if
    --only names it, the command draws the other figures and then ends with an error. --layer, --windows and --palette
    draw only the figures that take them.
    """
    from recu_analysis.figures.drawing import Page
    from recu_analysis.figures.registry import FIGURES, check_asked, fitting
    from recu_analysis.figures.spec import Asked

    if listing:
        _list()
        return
    _check_usage(venue, width, height, _names(formats))
    names = _names(only) if only else []
    asked = Asked(layers or None, windows, _names(palette) if palette else None)
    for name in names:
        check_asked(name, asked)
    opened = _opened(runs)
    chosen = names or [name for name in fitting(opened) if set(asked.given()) <= set(FIGURES[name].takes)]
    page = Page(venue, _width(width), height, title, panel, sheet)
    typed = _typed(opened, labels, asked, page, _names(formats))
    shown = _relabeled(opened, labels)
    with safe_cells(safe=safe_csv):
        missing = _draw(chosen, shown, asked, page, output, _names(formats), typed, strict=bool(names))
    if names and missing:
        sys.exit(1)


def _check_usage(venue: str, width: str | None, height: float | None, formats: Sequence[str]) -> None:
    """Wrong usage if there is no such venue, size or format."""
    from recu_analysis.errors import InputError
    from recu_analysis.figures.print.export import check_formats
    from recu_analysis.figures.print.style import figure_size

    wide = _width(width)
    try:
        check_formats(formats)
        figure_size("page" if wide is None else wide, height, venue=venue)
    except InputError as error:
        raise click.UsageError(str(error)) from None


def _list() -> None:
    """One line per figure; on a terminal, long titles are wrapped."""
    from recu_analysis.figures import FIGURES

    first, width = max(map(len, FIGURES)) + 2, tables.terminal_width()
    for name, entry in FIGURES.items():
        text = f"{name:<{first}}{entry.title}{'; needs RUN' if entry.runs else ''}"
        click.echo("\n".join(textwrap.wrap(text, width, subsequent_indent=" " * first)) if width else text)


def _draw(
    chosen: Sequence[str],
    runs: dict[str, Run],
    asked: Asked,
    page: Page,
    output: Path,
    formats: Sequence[str],
    typed: str,
    *,
    strict: bool,
) -> list[str]:
    """Draw figures one after another, with a note for each; return the names of those that are left out.

    `typed` is the command without the name of the figure.
    """
    from recu_analysis.errors import DamagedError, RecuError, StoreError
    from recu_analysis.figures.drawing import write_figure
    from recu_analysis.figures.print.export import check_folder

    made = not output.exists()
    check_folder(output)
    missing = []
    try:
        for name, data in _read(chosen, runs, asked).items():
            own = f"{typed} --only {name}"
            try:
                files = write_figure(name, runs, data, asked, page, directory=output, formats=formats, command=own)
            except RecuError as error:
                if isinstance(error, StoreError) and not isinstance(error, DamagedError):
                    raise  # such as a full disk, on which no other figure can be written either
                missing.append(name)
                (options.fail if strict else options.warn)(f"the figure {name} is left out: {error}")
            else:
                options.note(f"{'wrote' if files[0].suffix == '.csv' else 'drew'} {files[0]}")
    finally:
        if made:
            with contextlib.suppress(OSError):  # files are in the folder
                output.rmdir()
    return missing


def _read(chosen: Sequence[str], runs: dict[str, Run], asked: Asked) -> dict[str, Any]:
    """The data of each figure, or the error that prevents it, in one pass over the runs."""
    from recu_analysis.analysis.query import gathered
    from recu_analysis.errors import DamagedError
    from recu_analysis.figures import figure_query

    query = gathered({name: figure_query(name, runs, asked) for name in chosen})
    try:
        return options.answered(query, runs.values(), measured=True)
    except DamagedError:  # in the part that warnings need; each figure reports its own damage
        return query.run()


def _relabeled(runs: dict[str, Run], labels: Sequence[str]) -> dict[str, Run]:
    """The runs under the names that the user gave to their folders."""
    from recu_analysis.errors import InputError, unknown

    given = dict(each.rpartition("=")[::2] for each in labels)
    for folder, name in given.items():
        if not folder or not name:
            raise InputError(f"--label takes RUN=NAME, such as recu-0=ReCU, not {folder}={name}")
        if folder not in runs:
            raise unknown("run for --label", folder, runs)
    renamed = {given.get(label, label): run for label, run in runs.items()}
    if len(renamed) < len(runs):
        raise InputError("two runs have the same name; give every --label another NAME")
    return renamed


def _opened(paths: Sequence[Path]) -> dict[str, Run]:
    """The runs by their labels in legends, with a warning for those that are still being written."""
    opened = options.labeled(paths)
    for label, run in opened.items():
        if run.being_written:
            last = run.windows[-1].last_update if len(run.windows) else 0
            options.warn(f"{label} is still being written; figures show it up to update {last}; draw them again later")
    return opened


def _names(text: str) -> list[str]:
    """The words between commas, each once."""
    return list(dict.fromkeys(name for name in (word.strip() for word in text.split(",")) if name))


def _width(text: str | None) -> Width | None:
    """The width as a number or a word; `figure_size` refuses unknown words."""
    if text is None:
        return None
    try:
        return float(text)
    except ValueError:
        return text  # type: ignore[return-value]


def _typed(runs: Iterable[str], labels: Iterable[str], asked: Asked, page: Page, formats: Sequence[str]) -> str:
    """The command that draws these figures, without paths."""
    from recu_analysis.analysis.selection import span_text

    options: dict[str, Any] = {
        "venue": page.venue,
        "width": page.width,
        "height": page.height,
        "title": page.title,
        "panel": page.panel,
        "style": page.style and Path(page.style).name,
        "windows": asked.windows and span_text(asked.windows),
        "palette": asked.palette and ",".join(asked.palette),
        "format": ",".join(formats),
    }
    several = [("label", each) for each in labels] + [("layer", each) for each in asked.layers or ()]
    given = [*several, *((name, value) for name, value in options.items() if value is not None)]
    words = [*map(shlex.quote, runs), *(f"--{name} {shlex.quote(str(value))}" for name, value in given)]
    return " ".join(["recu-analyze figures", *words])
