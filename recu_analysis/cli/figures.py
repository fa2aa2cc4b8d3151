"""recu-analyze figures: the figures and tables of the registry, from closed forms and from runs."""

from __future__ import annotations

import contextlib
import shlex
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from recu_analysis.cli import completion, options
from recu_analysis.cli import output as tables

if TYPE_CHECKING:
    from collections.abc import Sequence

    from recu_analysis.figures.print.style import Width
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
@options.common
@options.jobs
def command(
    runs: tuple[Path, ...],
    listing: bool,
    only: str | None,
    venue: str,
    width: str | None,
    formats: str,
    output: Path,
) -> None:
    """Draw figures ready for a paper, each with its data, the LaTeX that includes it, and its provenance.

    Without RUN, only figures of closed forms are drawn. Legends name each RUN by its folder. A RUN may also be a list
    of runs (runs.toml) with labels, arms and seeds. A figure that needs other runs is left out; if --only names it, the
    command draws the other figures and then ends with an error.
    """
    from recu_analysis.figures import FIGURES
    from recu_analysis.figures.registry import known_figure

    if listing:
        _list()
        return
    asked = _names(only) if only else []
    for name in asked:
        known_figure(name)
    opened = _opened(runs)
    chosen = asked or [name for name, entry in FIGURES.items() if runs or not entry.runs]
    missing = _draw(chosen, opened, output, venue, _width(width), _names(formats), strict=bool(asked))
    if asked and missing:
        sys.exit(1)


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
    output: Path,
    venue: str,
    width: Width | None,
    formats: Sequence[str],
    *,
    strict: bool,
) -> list[str]:
    """Draw figures one after another, with a note for each; return the names of those that are left out."""
    from recu_analysis.errors import RecuError
    from recu_analysis.figures import draw_figure
    from recu_analysis.figures.print.export import check_folder, check_formats
    from recu_analysis.figures.print.style import figure_size

    check_formats(formats)
    figure_size("page" if width is None else width, venue=venue)
    made = not output.exists()
    check_folder(output)
    missing = []
    for name, data in _read(chosen, runs).items():
        typed = _typed(runs, name, venue, width, formats)
        try:
            looks: dict[str, Any] = {"formats": formats, "venue": venue, "width": width}
            files = draw_figure(name, runs, directory=output, command=typed, found=data, **looks)
        except RecuError as error:
            missing.append(name)
            (options.fail if strict else options.warn)(f"the figure {name} is left out: {error}")
        else:
            options.note(f"{'wrote' if files[0].suffix == '.csv' else 'drew'} {files[0]}")
    if made and len(missing) == len(chosen):
        with contextlib.suppress(OSError):  # other files may be in the folder by now
            output.rmdir()
    return missing


def _read(chosen: Sequence[str], runs: dict[str, Run]) -> dict[str, Any]:
    """The data of each figure, or the error that prevents it, in one pass over the runs."""
    from recu_analysis.analysis.query import gathered
    from recu_analysis.errors import DamagedError
    from recu_analysis.figures import figure_query

    query = gathered({name: figure_query(name, runs) for name in chosen})
    try:
        return options.answered(query, runs.values(), measured=True)
    except DamagedError:  # in the part that warnings need; each figure reports its own damage
        return query.run()


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


def _typed(runs: dict[str, Run], name: str, venue: str, width: Width | None, formats: Sequence[str]) -> str:
    """The command that draws only this figure, without paths."""
    words = ["recu-analyze figures", *map(shlex.quote, runs), f"--only {name} --venue {venue}"]
    words += [f"--width {width}"] if width is not None else []
    return " ".join([*words, f"--format {','.join(formats)}"])
