"""Tables, numbers and intervals as text: for the terminal, as CSV and JSON, and through `markup` and `latex`."""

from __future__ import annotations

import json
import math
import re
import sys
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from recu_analysis.analysis.column_names import SPREADS, group_of, is_known, statistic
from recu_analysis.analysis.csv_text import csv_text
from recu_analysis.analysis.latex import latex
from recu_analysis.analysis.markup import Grid, Surroundings, Words, markdown, page_table
from recu_analysis.analysis.short_headings import SHORT
from recu_analysis.analysis.short_names import cells, to_left, to_right
from recu_analysis.analysis.statistic import with_unit
from recu_analysis.errors import printable, unknown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

    Row = Mapping[Any, Any]

#: The formats of a table.
FORMATS: Final = ("table", "csv", "json", "latex", "markdown", "html")
#: The formats for programs, which hold every column unchanged.
DATA_FORMATS: Final = ("csv", "json")
#: The column that marks totals, and its value in their rows.
ROW, TOTAL = "row", "total"
#: Significant digits of numbers for which the vocabulary gives none; `fitting` uses it too.
SIGNIFICANT: Final = 4


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a printed table.

    Attributes
    ----------
    name : str
        Name in the DataFrame; `vocabulary.statistic` gives factor, digits, label, unit and meaning.
    heading : str
        Heading on the terminal; by default the short one of the vocabulary, or tail or core.
    width : int
        Characters for a number on the terminal; a longer number gets fewer digits. 0: no limit.
    ends : int
        Characters for the interval, in a column of its own on the terminal. 0: no such column.
    group : str
        Heading over neighbouring columns of the same group; by default, over tail and core, the statistic.
    meaning : str
        Meaning in one sentence; by default the one of the vocabulary.
    mark : str
        Mark after the heading, as of a footnote, in all formats but CSV and JSON.
    """

    name: str
    heading: str = ""
    width: int = 0
    ends: int = 0
    group: str = ""
    meaning: str = ""
    mark: str = ""

    @property
    def head(self) -> str:
        """The heading on the terminal."""
        return (self.heading or group_of(self.name) or _short(self.name)) + self.mark

    @property
    def over(self) -> str:
        """The heading of the group; may be empty."""
        of = group_of(self.name)
        return self.group or (_short(self.name.removesuffix(f"_{of}")) if of else "")

    @property
    def title(self) -> str:
        """The heading of the group and the heading."""
        return f"{self.over} {self.head}".strip()

    @property
    def explanation(self) -> str:
        """Title, unit (unless the title has it) and meaning; empty if there is no meaning."""
        known = statistic(self.name) if is_known(self.name) else None
        meaning = self.meaning or (known.meaning if known else "")
        unit = known.unit if known and not self.meaning and known.unit not in self.title else ""
        return f"{with_unit(self.title, unit)}: {meaning}" if meaning else ""


def _short(name: str) -> str:
    """The short heading of a column."""
    return SHORT.get(name) or (statistic(name).label if is_known(name) else printable(name.replace("_", " ")))


def number(value: float, spec: str) -> str:
    """A number in a format such as ".2f"; a dash for NaN."""
    return "-" if math.isnan(value) else f"{value:z{spec}}"


def with_interval(value: float, low: float, high: float, spec: str = ".3g") -> str:
    """An estimate with its interval in parentheses; the estimate alone if an end is NaN."""
    ends = "" if math.isnan(low) or math.isnan(high) else f" ({number(low, spec)} to {number(high, spec)})"
    return f"{number(value, spec)}{ends}"


def of_claim(value: float, low: float, high: float) -> str:
    """The value of a claim in three digits; empty if it is NaN, without an interval if it is a count."""
    if math.isnan(value):
        return ""
    return with_interval(value, low, high) if low != high else number(value, ".3g")


def count(value: float) -> str:
    """A count in at most six characters."""
    if value < 10**6:
        return f"{value:.0f}"
    return f"{value / 1e6:.4g}M" if value < 10**9 else f"{value / 1e9:.4g}G"


def shown(name: str, value: Any, width: int = 0, most: int | None = None) -> str:
    """A value of a column as tables print it: times its factor, with its digits; a dash for NaN and None.

    Parameters
    ----------
    name : str
        Name of the column. Without an entry in the vocabulary, floats have four digits.
    value : Any
        A number, a truth value or a text.
    width : int, optional
        Characters for a number.
    most : int, optional
        Most digits after the point.
    """
    if isinstance(value, Words):
        return value
    value = value.item() if hasattr(value, "item") else value
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, int | float):
        return printable(str(value))
    known = statistic(name) if is_known(name) else None
    if known is None or known.digits is None:
        return str(value) if isinstance(value, int) else f"{value:.{SIGNIFICANT}g}"
    if abs(value) > sys.float_info.max:  # a whole number from a file may be larger than any float
        value = math.inf if value > 0 else -math.inf
    return fitting(known.factor * value, known.digits if most is None else min(most, known.digits), width)


def shown_alike(name: str, values: Sequence[Any], width: int) -> list[str]:
    """Values of a column as `shown`, with equally many digits after the point, unless a number would look like 0."""
    texts = [shown(name, value, width) for value in values]
    digits = [len(text.partition(".")[2]) for text in texts if _PLAIN.fullmatch(text)]
    if len({*digits}) < 2:
        return texts
    alike = [shown(name, value, width, min(digits)) for value in values]
    vanish = any(_is_zero(new) and not _is_zero(old) for new, old in zip(alike, texts, strict=True))
    return texts if vanish else alike


#: A number with all digits before the point.
_PLAIN: Final = re.compile(r"-?\d+(\.\d+)?")


def _is_zero(text: str) -> bool:
    return bool(re.fullmatch(r"[0.]+", text))


def fitting(value: float, digits: int, width: int = 0) -> str:
    """A number with `digits` after the point, or fewer if it does not fit in `width` characters.

    Without a width, numbers with four digits or more after the point are written with powers of ten if they are very
    small or very large. If not even the digits before the point fit, the number is in millions (M) or 10^9 (G), or
    `>` with the largest number that fits.
    """
    if not width:
        plain = digits < SIGNIFICANT or value == 0.0 or 10.0**-digits <= abs(value) < 10.0**SIGNIFICANT
        return f"{value:z.{digits}f}" if plain else f"{value:.2e}"
    texts = [f"{value:z.{fewer}f}" for fewer in range(digits, -1, -1)]
    short = [*texts, *([count(value)] if value >= 10**6 else [])]
    return next((text for text in short if len(text) <= width), f">{10 ** (width - 1) - 1}" if value > 0 else short[-1])


def shown_with_interval(name: str, value: Any, low: float, high: float) -> str:
    """A value of a column with its interval in parentheses; the value alone if an end is NaN."""
    text = shown(name, value)
    return text if math.isnan(low) or math.isnan(high) else f"{text} ({shown(name, low)} to {shown(name, high)})"


def estimate(row: Row, name: str) -> str:
    """A value of a row, with its interval and its standard deviation over seeds if the row has them."""
    found = (row.get(f"{name}_{end}") for end in SPREADS)
    low, high, std = (each if isinstance(each, int | float) else math.nan for each in found)  # a metric may be a text
    text = shown_with_interval(name, row[name], low, high)
    return text if math.isnan(std) else f"{text}, std {shown(name, std)}"


def heading(name: str) -> str:
    """Label and unit of a column; its name in words if the vocabulary has no entry."""
    return Words(statistic(name).heading) if is_known(name) else printable(name.replace("_", " "))


def render(
    table: pd.DataFrame,
    table_format: str,
    columns: Sequence[Column] = (),
    around: Surroundings = Surroundings(),  # noqa: B008 - frozen
) -> str:
    """A table as text.

    Parameters
    ----------
    table : DataFrame
        Rows with total in column `row` are totals; they are the last.
    table_format : {"table", "csv", "json", "latex", "markdown", "html"}
        CSV and JSON hold every column unchanged, for programs. The other formats are for readers: headings are labels
        and units of the vocabulary, and each number has its digits, and its interval if the table has one.
    columns : sequence of Column, optional
        Columns of the formats for readers; by default all, with intervals beside their numbers.
    around : Surroundings, optional
        Caption, label and notes of LaTeX, Markdown and HTML.

    Returns
    -------
    str
        Without a line break at its end. LaTeX is a tabular with the rules of booktabs, in a float if there is a
        caption; HTML is a table element. LaTeX, HTML and Markdown escape names from runs.

    Raises
    ------
    InputError
        If there is no such format.
    """
    if table_format not in FORMATS:
        raise unknown("format of a table", table_format, FORMATS)
    if table_format in DATA_FORMATS:
        return csv_text(table).removesuffix("\n") if table_format == "csv" else _json(table)
    if table_format == "table":
        return "\n".join(laid_out(table, columns or columns_of(table)).lines())
    return _WRITERS[table_format](_grid(table, columns or columns_of(table)), _printable(around))


_WRITERS: Final = {"latex": latex, "markdown": markdown, "html": page_table}


def _printable(around: Surroundings) -> Surroundings:
    return Surroundings(printable(around.caption), around.label, [printable(note) for note in around.notes])


def columns_of(table: pd.DataFrame) -> list[Column]:
    """The columns of a table without ends of intervals, standard deviations and column `row`."""
    left_out = {ROW} | {f"{name}_{end}" for name in table for end in SPREADS}
    return [Column(str(name)) for name in table if name not in left_out]


def _grid(table: pd.DataFrame, columns: Sequence[Column]) -> Grid:
    """Columns as texts under their labels."""
    names = [column.name for column in columns]
    some = any(column.ends for column in columns)  # then only these columns have intervals, as on the terminal
    rows = [
        [shown(each.name, row[each.name]) if some and not each.ends else estimate(row, each.name) for each in columns]
        for row in table.to_dict(orient="records")
    ]
    right = [_is_numbers(table[name], [row[at] for row in rows]) for at, name in enumerate(names)]
    return Grid([_marked(column) for column in columns], rows, right, _ruled(table))


def _marked(column: Column) -> str:
    head = heading(column.name)
    return type(head)(f"{head}{column.mark}")  # Words stay Words


def _ruled(table: pd.DataFrame) -> tuple[int, ...]:
    """Rows that have a rule above them: the first of totals, and the first after totals."""
    if ROW not in table:
        return ()
    totals = [False, *(table[ROW] == TOTAL)]
    return tuple(at for at, (before, here) in enumerate(pairwise(totals)) if before != here)


def totals_in(table: pd.DataFrame) -> int:
    """The number of totals, which are the last rows of a table."""
    return int((table[ROW] == TOTAL).sum()) if ROW in table else 0


@dataclass(frozen=True, slots=True)
class Layout:
    """A table on the terminal: headings of groups, headings, cells, widths, and which columns are set right."""

    over: list[str]
    heads: list[str]
    rows: list[list[str]]
    widths: list[int]
    right: list[bool]

    def lines(self) -> list[str]:
        """The line of groups if there are any, the line of headings, and the rows."""
        groups = [_groups(self.over, self.widths)] if any(self.over) else []
        return [*groups, *(self._line(texts) for texts in (self.heads, *self.rows))]

    def _line(self, texts: Sequence[str]) -> str:
        placed = (
            (to_right if right else to_left)(printable(text), width)
            for text, width, right in zip(texts, self.widths, self.right, strict=True)
        )
        return " ".join(placed).rstrip()


def laid_out(table: pd.DataFrame, columns: Sequence[Column]) -> Layout:
    """Headings, cells and widths of a table on the terminal."""
    over, heads, texts, rooms, right = [], [], [], [], []
    records = table.to_dict(orient="records")
    for column in columns:
        found = shown_alike(column.name, [row[column.name] for row in records], column.width)
        parts = [(column.head, found, column.width, _is_numbers(table[column.name], found))]
        if column.ends:
            parts.append(("95 %", _ends(records, column), column.ends, True))
        for head, cell, width, is_right in parts:
            over.append(column.over)
            heads.append(head)
            texts.append(cell)
            rooms.append(max([cells(head), width, *map(cells, cell)]))
            right.append(is_right)
    return Layout(over, heads, [list(row) for row in zip(*texts, strict=True)], _spanned(over, rooms), right)


def _spans(over: Sequence[str]) -> list[tuple[str, int, int]]:
    """Headings of groups, each with its first column and the one after its last."""
    spans: list[tuple[str, int, int]] = []
    for at, title in enumerate(over):
        if spans and spans[-1][0] == title:
            spans[-1] = (title, spans[-1][1], at + 1)
        else:
            spans.append((title, at, at + 1))
    return spans


def _spanned(over: Sequence[str], widths: Sequence[int]) -> list[int]:
    """Widths at which the headings of groups fit; the first column of a group is widened."""
    wide = list(widths)
    for title, first, end in _spans(over):
        wide[first] += max(cells(title) - (sum(wide[first:end]) + end - first - 1), 0)
    return wide


def _groups(over: Sequence[str], widths: Sequence[int]) -> str:
    """The line of groups."""
    parts = [title.center(sum(widths[first:end]) + end - first - 1) for title, first, end in _spans(over)]
    return " ".join(parts).rstrip()


def _ends(rows: Sequence[Row], column: Column) -> list[str]:
    """The two ends of the interval of each row; a dash if one is NaN or infinite."""
    pairs = [tuple(row[f"{column.name}_{end}"] for end in ("low", "high")) for row in rows]
    known = [pair for pair in pairs if all(map(math.isfinite, pair))]
    texts = iter(shown_alike(column.name, [end for pair in known for end in pair], (column.ends - 1) // 2))
    return [f"{next(texts)} {next(texts)}" if pair in known else "-" for pair in pairs]


def explanations(columns: Sequence[Column]) -> list[str]:
    """A sentence for every column with a meaning, and one for the intervals."""
    told = dict.fromkeys(column.explanation for column in columns)
    interval = ["95 %: The 95 % interval of the column before it."] if any(column.ends for column in columns) else []
    return [text for text in told if text] + interval


def _json(table: pd.DataFrame) -> str:
    """A list of objects, one per row; NaN is null."""
    rows = [{str(key): _plain(value) for key, value in row.items()} for row in table.to_dict(orient="records")]
    return json.dumps(rows, indent=2, allow_nan=False)


def _plain(value: Any) -> Any:
    value = value.item() if hasattr(value, "item") else value
    return None if isinstance(value, float) and not math.isfinite(value) else value


#: A number, with or without interval and standard deviation.
_NUMBER: Final = re.compile(r"[-<>]?\d[\d.]*([eE][-+]\d+)?[MG]?( \(.* to .*\))?(, std .*)?$|inf$")


def _is_numbers(column: pd.Series[Any], texts: Sequence[str]) -> bool:
    """Whether a column holds numbers, or numbers as texts, and so is set to the right."""
    if column.dtype.kind in "iuf":
        return True
    known = [text for text in texts if text not in {"-", ""}]
    return bool(known) and all(_NUMBER.match(text) for text in known)
