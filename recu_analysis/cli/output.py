"""Tables on standard output or in a file: aligned text, CSV, JSON, LaTeX."""

from __future__ import annotations

import json
import math
import shutil
from typing import TYPE_CHECKING, Any

import rich_click as click

from recu_analysis.analysis import written
from recu_analysis.cli.options import colour, discard_output, note
from recu_analysis.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import pandas as pd


def terminal_width() -> int:
    """Columns of the terminal; 80 where there is none."""
    return shutil.get_terminal_size((80, 24)).columns


def deliver(
    table: pd.DataFrame,
    form: str,
    output: Path | None,
    as_text: Callable[[pd.DataFrame], str],
    *,
    printed: Callable[[pd.DataFrame], pd.DataFrame] | None = None,
) -> None:
    """Write a table where the user wants it.

    Parameters
    ----------
    table : DataFrame
    form : {"table", "csv", "json", "latex"}
    output : Path or None
        A file, replaced as a whole; standard output where None.
    as_text : callable
        Makes the text of form "table".
    printed : callable, optional
        Chooses and names the columns of form "latex", where the table has more than a page is wide.

    Raises
    ------
    StoreError
        If the file or standard output cannot be written.
    """
    if form == "latex" and printed is not None:
        table = printed(table)
    text = {"table": as_text, "csv": _csv, "json": _json, "latex": _latex}[form](table)
    if output is None:
        _show(text)
        return
    write_text(output, click.unstyle(text) + "\n")
    note(f"wrote {output}")


def _show(text: str) -> None:
    try:
        click.echo(text, color=colour())
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


def _csv(table: pd.DataFrame) -> str:
    return table.to_csv(index=False, float_format="%.9g").rstrip("\n")


def _json(table: pd.DataFrame) -> str:
    """A list of objects, one a row, NaN as null."""
    rows = [{str(key): _plain(value) for key, value in row.items()} for row in table.to_dict(orient="records")]
    return json.dumps(rows, indent=2, allow_nan=False)


def _plain(value: Any) -> Any:
    value = value.item() if hasattr(value, "item") else value
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _latex(table: pd.DataFrame) -> str:
    """A booktabs tabular, to be put inside a table environment."""
    named = table.rename(columns=lambda name: str(name).replace("_", " "))
    sides = "".join("r" if _numbers(table.iloc[:, at]) else "l" for at in range(table.shape[1]))
    text = named.to_latex(index=False, escape=True, float_format="%.4g", na_rep="--", column_format=sides)
    return text.rstrip("\n")


def _numbers(column: pd.Series[Any]) -> bool:
    """Whether a column holds numbers, or texts that begin with one."""
    texts = column.dropna().astype(str)
    return bool(texts.str.match(r"-?(\d|$)").all())


def aligned(
    names: Sequence[str], rows: Sequence[Sequence[str]], widths: Sequence[int], *, above: Sequence[str] = ()
) -> list[str]:
    """Lines of a text table: the first column to the left and shortened in its middle, the others to the right.

    Parameters
    ----------
    names : sequence of str
        Of the columns; bold where the terminal can.
    rows : sequence of rows
        One text a column each.
    widths : sequence of int
        Of every column, without the space between two.
    above : sequence of str
        Lines over the names, bold too.
    """

    def line(cells: Sequence[str]) -> str:
        first = shorten(cells[0], widths[0]).ljust(widths[0])
        others = (cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True))
        return " ".join([first, *others]).rstrip()

    return [*(click.style(text, bold=True) for text in (*above, line(names))), *map(line, rows)]


def shorten(text: str, width: int) -> str:
    """A name of at most so many characters, its middle left out where it is longer."""
    if len(text) <= width:
        return text
    tail = (width - 1) * 2 // 3
    return f"{text[: width - 1 - tail]}…{text[len(text) - tail :]}"


def count(number: float) -> str:
    """A count in at most six characters."""
    if number < 10**6:
        return f"{number:.0f}"
    return f"{number / 1e6:.4g}M" if number < 10**9 else f"{number / 1e9:.4g}G"


def number(value: float, digits: int) -> str:
    """A number with so many digits after the point; a dash for NaN."""
    return written.number(value, f".{digits}f")


def with_interval(value: float, low: float, high: float, digits: int) -> str:
    """A number with its interval behind it, where it has one."""
    return written.with_interval(value, low, high, f".{digits}f")


def ends(low: float, high: float, show: Callable[[float], str]) -> str:
    """The two ends of an interval in a column of their own; a dash where it has none."""
    return f"{show(low)} {show(high)}" if math.isfinite(low) and math.isfinite(high) else "-"


def three_digits(value: float) -> str:
    """A number from 0 to 9999 in at most four characters; a dash for NaN."""
    return number(value, 2 if value < 9.995 else 1 if value < 99.95 else 0)


def size(byte_count: float) -> str:
    """A size in binary units."""
    for unit in ("B", "KiB", "MiB"):
        if byte_count < 1024:
            return f"{byte_count:.0f} {unit}" if unit == "B" else f"{byte_count:.1f} {unit}"
        byte_count /= 1024
    return f"{byte_count:.1f} GiB"
