"""Tables as CSV: names stay as they are, unless the user asks for cells that no spreadsheet runs."""

from __future__ import annotations

import csv
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd

#: First characters of a cell that spreadsheets take for a formula; those of full width too.
FORMULA: Final = "=+-@\uff1d\uff0b\uff0d\uff20"
_SAFE: ContextVar[bool] = ContextVar("safe", default=False)


@contextmanager
def safe_cells(*, safe: bool = True) -> Iterator[None]:
    """Within it, `csv_text` defuses cells that a spreadsheet would run."""
    before = _SAFE.set(safe)
    try:
        yield
    finally:
        _SAFE.reset(before)


def csv_text(table: pd.DataFrame) -> str:
    """A table as CSV with 9 significant digits, with a line break at its end.

    With a carriage return somewhere, which csv does not quote, all cells are quoted.
    """
    if _SAFE.get():
        table = table.map(defused).set_axis([defused(name) for name in table.columns], axis=1)
    text: str = table.to_csv(index=False, float_format="%.9g", lineterminator="\n")
    if "\r" in text:
        text = table.to_csv(index=False, float_format="%.9g", lineterminator="\n", quoting=csv.QUOTE_ALL)
    return text


def defused(value: Any) -> Any:
    """A cell that no spreadsheet runs: a text that it would take for a formula begins with an apostrophe.

    Numbers are unchanged, also those that are written as texts.
    """
    if not isinstance(value, str) or _is_number(value):
        return value
    # Spreadsheets pass over what is not shown before the first character.
    shown = "".join(each for each in value if each.isprintable()).lstrip()
    return f"'{value}" if shown.startswith(tuple(FORMULA)) or value[:1] in {"\t", "\r", "\n"} else value


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return text == "-"
    return text.isascii() and "_" not in text
