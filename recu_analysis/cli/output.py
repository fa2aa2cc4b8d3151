"""Tables on standard output or in a file."""

from __future__ import annotations

import re
import shutil
import sys
import textwrap
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import rich_click as click

from recu_analysis.analysis import rendering
from recu_analysis.analysis.markup import Surroundings
from recu_analysis.analysis.rendering import Column
from recu_analysis.analysis.short_names import distinct
from recu_analysis.analysis.vocabulary import PROSE
from recu_analysis.cli.asides import in_latex
from recu_analysis.cli.options import color, discard_output, note, quiet, sampled_notes
from recu_analysis.errors import StoreError, printable, unknown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    import pandas as pd

    from recu_analysis.cli.target import Target

#: Characters per line of prose if standard output is not a terminal.
PROSE_WIDTH = 80
#: The mark of a cut in a short name, and how many cuts leave it readable.
GAP, MOST_GAPS = "…", 1
#: Most runs in the label of a table in LaTeX.
LABELED = 4


@dataclass(frozen=True, slots=True)
class View:
    """A command's table, with the texts around it.

    Attributes
    ----------
    table : DataFrame
        The table for CSV and JSON.
    columns : sequence of Column
        Columns of the formats for readers; empty for all.
    rows : DataFrame or None
        Rows of the formats for readers if they differ from `table`, such as medians over layers.
    caption : str
        What the table shows, in one sentence.
    runs : sequence of str
        Labels of the runs, for the label in LaTeX.
    kind : str
        A word for the label in LaTeX if a command has several tables of the same runs.
    above, below : sequence of str
        What the reader must know, one sentence each: above and below the text; other formats have both below.
    lines : callable or None
        Makes the text for a width in columns (None: unlimited) if the text is not simply one line per row.
    told_by_lines : sequence of str
        Sentences that `lines` contain, so that only the other formats need them as notes.
    explained : sequence of Column or None
        Columns that are explained below the text; None for `columns`.
    """

    table: pd.DataFrame
    columns: Sequence[Column] = ()
    rows: pd.DataFrame | None = None
    caption: str = ""
    runs: Sequence[str] = ()
    kind: str = ""
    above: Sequence[str] = ()
    below: Sequence[str] = ()
    lines: Callable[[int | None], list[str]] | None = None
    told_by_lines: Sequence[str] = ()
    explained: Sequence[Column] | None = None


def terminal_width() -> int | None:
    """Columns of the terminal; None if standard output is not a terminal, since a pipe gets full names and lines."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def write_table(view: View, target: Target) -> None:
    """Write a table to the place and in the format that the user chose.

    Raises
    ------
    BadParameter
        If the table lacks a column of --columns.
    StoreError
        If the file or standard output cannot be written.
    """
    view = replace(view, below=[*view.below, *sampled_notes()])
    shown = _chosen(view, target.columns) if target.columns else view
    if target.table_format == "table":
        text = as_text(shown, None if target.path else terminal_width())
    elif target.table_format in rendering.DATA_FORMATS:
        text = rendering.render(shown.table, target.table_format)
    else:
        notes = [*shown.told_by_lines, *shown.above, *shown.below]
        rows = shown.table if shown.rows is None else shown.rows
        columns = shown.columns or rendering.columns_of(rows)
        if target.table_format == "latex" and not target.columns:
            columns = [column for column in columns if column.name not in PROSE]
        notes = in_latex(notes, rows, columns) if target.table_format == "latex" else notes
        around = Surroundings(shown.caption, _label(shown), notes)
        text = rendering.render(rows, target.table_format, columns, around)
    data = target.table_format in rendering.DATA_FORMATS  # which keep every character of a name
    if target.path is None:
        if data and sys.stdout.isatty():  # a terminal obeys control characters, a program keeps them
            text = "\n".join(map(printable, text.split("\n")))
        _show(text, colored=not sys.stdout.isatty() if data else color())
        return
    write_text(target.path, (text if data else click.unstyle(text)) + "\n")
    note(f"wrote {target.path}")


def _chosen(view: View, names: Sequence[str]) -> View:
    """The view with the columns that the user chose; its rows are those of the table if `rows` lacks a column."""
    for name in names:
        if name not in view.table:
            raise click.BadParameter(
                str(unknown("column of this table", name, map(str, view.table))), param_hint="--columns"
            )
    known = {column.name: column for column in view.columns}
    has_all = view.rows is not None and all(name in view.rows for name in names)
    rows = view.rows if has_all else view.table
    columns = [known.get(name, Column(name)) for name in names]
    above = (*view.told_by_lines, *view.above)
    below = view.below
    for mark in {column.mark for column in view.columns} - {column.mark for column in columns}:
        # a note on a column that is not shown
        below = [each.removeprefix(f"{mark} ") if each.startswith(f"{mark} ") else each for each in below]
    return View(view.table[[*names]], columns, rows, view.caption, view.runs, view.kind, above, below)


def _label(view: View) -> str:
    """The label of a table in LaTeX: command, kind of the table and runs; of many runs the first and how many."""
    context = click.get_current_context(silent=True)
    runs = view.runs if len(view.runs) <= LABELED else (*view.runs[: LABELED - 1], str(len(view.runs)))
    words = [context.info_name or "" if context else "", view.kind, *runs]
    return "tab:" + re.sub(r"[^A-Za-z0-9.]+", "-", "-".join(word for word in words if word)).strip("-")


def as_text(view: View, width: int | None = None) -> str:
    """The table as text, with its notes and one sentence per column.

    Parameters
    ----------
    view : View
    width : int, optional
        Columns of the terminal; None does not shorten names.
    """
    columns = view.columns or rendering.columns_of(view.table if view.rows is None else view.rows)
    lines = lines_of(view, width)
    told = [] if quiet() else rendering.explanations(columns if view.explained is None else view.explained)
    parts = (wrapped(view.above, width), lines, wrapped(view.below, width), wrapped(told, width))
    return "\n\n".join("\n".join(part) for part in parts if part)


def lines_of(view: View, width: int | None) -> list[str]:
    """The lines of a view's table, without the sentences above and below it."""
    if view.lines:
        return view.lines(width)
    rows = view.table if view.rows is None else view.rows
    return table_lines(rows, view.columns or rendering.columns_of(rows), width)


def wrapped(sentences: Iterable[str], width: int | None) -> list[str]:
    """Sentences in lines of `width` or 80 characters; lines after the first of a sentence are indented."""
    return [
        line
        for sentence in sentences
        for line in textwrap.wrap(printable(sentence), width or PROSE_WIDTH, subsequent_indent="  ")
    ]


def make_folder_of(path: Path) -> None:
    """Make the parent folders of a file; StoreError if this fails."""
    from recu_analysis.store.durable import as_store_error

    with as_store_error(path, "cannot be written"):
        path.parent.mkdir(parents=True, exist_ok=True)


def _show(text: str, *, colored: bool | None) -> None:
    try:
        click.echo(text, color=colored)
    except BrokenPipeError:
        raise
    except OSError as error:
        discard_output()
        raise StoreError(
            f"the table cannot be written to standard output: {error.strerror}; free space, or write it elsewhere"
        ) from None


def write_text(path: Path, text: str) -> None:
    """Write a text file completely or not at all, and make its folder; StoreError if this fails."""
    from recu_analysis.store import durable

    make_folder_of(path)
    with durable.as_store_error(path, "cannot be written"):
        durable.write_text(path, text)


def table_lines(table: pd.DataFrame, columns: Sequence[Column], width: int | None = None) -> list[str]:
    """Lines of one table, see `lines_of_tables`."""
    return lines_of_tables([(table, columns)], width)


def lines_of_tables(tables: Sequence[tuple[pd.DataFrame, Sequence[Column]]], width: int | None = None) -> list[str]:
    """Lines of tables below each other, with bold headings.

    If the tables are too wide, the names in the first column, which are the same in all tables, are shortened by
    `short_names.distinct`, and a line above the tables gives their common beginning. Names of which too little would be
    left become numbers, and a list below the tables gives the names.
    """
    told: list[str] = []
    listed: dict[str, None] = {}
    if width is not None:
        room = min(_room(rendering.laid_out(*each), width) for each in tables)
        cut = [_narrowed(table, columns[0].name, room) for table, columns in tables]
        tables = [(table, columns) for (table, _, _), (_, columns) in zip(cut, tables, strict=True)]
        prefixes = {prefix for _, prefix, _ in cut if prefix}
        told = [f"all names in the first column begin with {prefix}" for prefix in prefixes]
        listed = dict.fromkeys(line for _, _, numbered in cut for line in numbered)
    parts = [_bold_heads(rendering.laid_out(*each)) for each in tables]
    below = ["", *wrapped(listed, width)] if listed else []
    return [*wrapped(told, width), *parts[0], *(line for part in parts[1:] for line in ("", *part)), *below]


def _room(layout: rendering.Layout, width: int) -> int:
    """The terminal columns that the other columns leave for the first."""
    return max(width - sum(layout.widths[1:]) - len(layout.widths) + 1, 1)


def _narrowed(table: pd.DataFrame, name: str, room: int) -> tuple[pd.DataFrame, str, list[str]]:
    """The table with short names in a column, except in totals; the beginning that was cut from all; or their list."""
    if table[name].dtype.kind in "iufb":
        return table, "", []
    names = [printable(str(each)) for each in table[name]]
    count = len(names) - rendering.totals_in(table)
    prefix, short = distinct(names[:count], room)
    numbered: list[str] = []
    if any(each.count(GAP) > MOST_GAPS for each in short):
        numbers = {each: f"#{at}" for at, each in enumerate(dict.fromkeys(names[:count]), start=1)}
        prefix, short = "", [numbers[each] for each in names[:count]]
        numbered = [f"{number} is {each}" for each, number in numbers.items()]
    return table.assign(**{name: [*short, *names[count:]]}), prefix, numbered


def _bold_heads(layout: rendering.Layout) -> list[str]:
    lines, heads = layout.lines(), 2 if any(layout.over) else 1
    return [*(click.style(line, bold=True) for line in lines[:heads]), *lines[heads:]]


def size(byte_count: float) -> str:
    """A size in binary units."""
    for unit in ("B", "KiB", "MiB"):
        if byte_count < 1024:
            return f"{byte_count:.0f} {unit}" if unit == "B" else f"{byte_count:.1f} {unit}"
        byte_count /= 1024
    return f"{byte_count:.1f} GiB"
