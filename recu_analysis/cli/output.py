"""Tables on standard output or in a file."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import rich_click as click

from recu_analysis.analysis import rendering
from recu_analysis.cli.options import color, discard_output, note
from recu_analysis.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import pandas as pd

    from recu_analysis.analysis.rendering import Column


def terminal_width() -> int:
    """Columns of the terminal; 80 where there is none."""
    return shutil.get_terminal_size((80, 24)).columns


def write_table(
    table: pd.DataFrame,
    table_format: str,
    output: Path | None,
    as_text: Callable[[pd.DataFrame], str],
    *,
    columns: Sequence[Column] = (),
    rows: Callable[[pd.DataFrame], pd.DataFrame] | None = None,
) -> None:
    """Write a table where the user wants it.

    Parameters
    ----------
    table : DataFrame
        As CSV and JSON hold it.
    table_format : str
        One of `recu_analysis.analysis.rendering.FORMATS`.
    output : Path or None
        A file, replaced as a whole; standard output where None.
    as_text : callable
        Makes the text of the format "table".
    columns : sequence of Column, optional
        Of the formats that are to be read, where the table has more than a page is wide.
    rows : callable, optional
        Makes the rows of these formats, where they are not those of the table, such as one with totals.

    Raises
    ------
    StoreError
        If the file or standard output cannot be written.
    """
    if table_format == "table":
        text = as_text(table)
    elif table_format in rendering.DATA_FORMATS or rows is None:
        text = rendering.render(table, table_format, columns)
    else:
        text = rendering.render(rows(table), table_format, columns)
    if output is None:
        _show(text)
        return
    write_text(output, click.unstyle(text) + "\n")
    note(f"wrote {output}")


def _show(text: str) -> None:
    try:
        click.echo(text, color=color())
    except BrokenPipeError:
        raise
    except OSError as error:
        discard_output()
        raise StoreError(
            f"the table cannot be written to standard output: {error.strerror}; make room, or send it elsewhere"
        ) from None


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all; StoreError if its folder does not let us."""
    from recu_analysis.store.durable import as_store_error, replace_file

    with as_store_error(path, "cannot be written"):
        replace_file(path, lambda file: file.write_text(text, encoding="utf-8"))


def aligned(
    names: Sequence[str], rows: Sequence[Sequence[str]], widths: Sequence[int], *, above: Sequence[str] = ()
) -> list[str]:
    """Lines of a text table, see `rendering.aligned`, its names bold where the terminal can.

    Parameters
    ----------
    names, rows, widths
        Of the columns.
    above : sequence of str
        Lines over the names, bold too.
    """
    head, *lines = rendering.aligned(names, rows, widths)
    return [*(click.style(text, bold=True) for text in (*above, head)), *lines]


def table_lines(
    table: pd.DataFrame, columns: Sequence[Column], first: int = 0, *, above: Sequence[str] = ()
) -> list[str]:
    """Lines of some columns of a table; the first, the name of the row, has `first` characters where that is said."""
    names, rows, widths = rendering.laid_out(table, columns)
    return aligned(names, rows, [first or widths[0], *widths[1:]], above=above)


def room_beside(columns: Sequence[Column]) -> int:
    """Characters of the terminal that columns leave for a row's name before them."""
    widths = [width for column in columns for width in (column.width, column.ends) if width]
    return terminal_width() - sum(widths) - len(widths)


def size(byte_count: float) -> str:
    """A size in binary units."""
    for unit in ("B", "KiB", "MiB"):
        if byte_count < 1024:
            return f"{byte_count:.0f} {unit}" if unit == "B" else f"{byte_count:.1f} {unit}"
        byte_count /= 1024
    return f"{byte_count:.1f} GiB"
