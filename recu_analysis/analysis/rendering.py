"""Tables, numbers and intervals as text, from one vocabulary: on the terminal, as CSV and JSON, and in `markup`."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from recu_analysis.analysis.latex import latex
from recu_analysis.analysis.markup import Grid, Surroundings, Words, markdown, page_table
from recu_analysis.analysis.short_names import cells, to_left, to_right
from recu_analysis.analysis.vocabulary import SHORT, SPREADS, group_of, is_known, statistic, with_unit
from recu_analysis.errors import unknown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

    Row = Mapping[Any, Any]

#: How a table can be written.
FORMATS: Final = ("table", "csv", "json", "latex", "markdown", "html")
#: Those for programs, which hold every column as it is.
DATA_FORMATS: Final = ("csv", "json")
#: The column that tells the row of a layer from the total, and what it holds there.
ROW, TOTAL = "row", "total"
#: Digits of numbers that the vocabulary leaves open, all of them counted; with so many after the point, see `fitting`.
SIGNIFICANT: Final = 4


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a printed table.

    Attributes
    ----------
    name : str
        In the DataFrame; factor, digits, label, unit and meaning follow from it, see `vocabulary.statistic`.
    heading : str
        On the terminal; by default the short one of the vocabulary, tail or core below the group.
    width : int
        Characters that a number has on the terminal; it gets fewer digits where it is longer. 0 does not limit it.
    ends : int
        Characters of a column behind it with the two ends of its interval, on the terminal; 0 makes none.
    group : str
        Stands over columns beside each other that have the same; by default of the tail and the core the statistic.
    meaning : str
        A sentence; by default that of the vocabulary.
    mark : str
        Stands behind the heading, in every format that is to be read, as that of a footnote.
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
        """What stands over the heading; empty for nothing."""
        of = group_of(self.name)
        return self.group or (_short(self.name.removesuffix(f"_{of}")) if of else "")

    @property
    def title(self) -> str:
        """What stands over the heading, and the heading."""
        return f"{self.over} {self.head}".strip()

    @property
    def explanation(self) -> str:
        """The title, the unit where it does not say it, and the meaning; empty where nothing is known."""
        known = statistic(self.name) if is_known(self.name) else None
        meaning = self.meaning or (known.meaning if known else "")
        unit = known.unit if known and not self.meaning and known.unit not in self.title else ""
        return f"{with_unit(self.title, unit)}: {meaning}" if meaning else ""


def _short(name: str) -> str:
    """The heading of a column where there is little room."""
    return SHORT.get(name) or (statistic(name).label if is_known(name) else printable(name.replace("_", " ")))


def number(value: float, spec: str) -> str:
    """A number in a format such as ".2f"; a dash for NaN."""
    return "-" if math.isnan(value) else f"{value:{spec}}"


def with_interval(value: float, low: float, high: float, spec: str = ".3g") -> str:
    """An estimate with its interval in parentheses; the estimate alone where an end is not known."""
    ends = "" if math.isnan(low) or math.isnan(high) else f" ({low:{spec}} to {high:{spec}})"
    return f"{number(value, spec)}{ends}"


def of_claim(value: float, low: float, high: float) -> str:
    """The value of a claim, in three digits; nothing where it has none, no interval where it is a count."""
    if math.isnan(value):
        return ""
    return with_interval(value, low, high) if low != high else number(value, ".3g")


def count(value: float) -> str:
    """A count in at most six characters."""
    if value < 10**6:
        return f"{value:.0f}"
    return f"{value / 1e6:.4g}M" if value < 10**9 else f"{value / 1e9:.4g}G"


def printable(text: str) -> str:
    """A text without characters that a terminal would obey, or could not show: names from files may hold any."""
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)


def shown(name: str, value: Any, width: int = 0) -> str:
    """A value of a column as tables print it: times its factor, with its digits, a dash where it is not known.

    Parameters
    ----------
    name : str
        Of the column; what the vocabulary does not have is printed as it is, floats with four digits.
    value : Any
        A number, a truth value or a text.
    width : int, optional
        Characters that there are for a number.
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
    return fitting(known.factor * value, known.digits, width)


def fitting(value: float, digits: int, width: int = 0) -> str:
    """A number with so many digits after the point, or as many of them as there is room for.

    Without such a limit, four digits and more give way to powers of ten where they say nothing or are too many. Where
    not even the digits before the point have room, millions (M) and thousands of millions (G), or that it is larger
    than what has.
    """
    if not width:
        plain = digits < SIGNIFICANT or value == 0.0 or 10.0**-digits <= abs(value) < 10.0**SIGNIFICANT
        return f"{value:.{digits}f}" if plain else f"{value:.2e}"
    texts = [f"{value:.{fewer}f}" for fewer in range(digits, -1, -1)]
    short = [*texts, *([count(value)] if value >= 10**6 else [])]
    return next((text for text in short if len(text) <= width), f">{10 ** (width - 1) - 1}" if value > 0 else short[-1])


def shown_with_interval(name: str, value: Any, low: float, high: float) -> str:
    """A value of a column with its interval in parentheses; alone where an end is not known."""
    text = shown(name, value)
    return text if math.isnan(low) or math.isnan(high) else f"{text} ({shown(name, low)} to {shown(name, high)})"


def estimate(row: Row, name: str) -> str:
    """A value of a row with its interval and its standard deviation over seeds, where the row has these."""
    found = (row.get(f"{name}_{end}") for end in SPREADS)
    low, high, std = (each if isinstance(each, int | float) else math.nan for each in found)  # a mark may hold texts
    text = shown_with_interval(name, row[name], low, high)
    return text if math.isnan(std) else f"{text}, std {shown(name, std)}"


def heading(name: str) -> str:
    """Label and unit of a column; its name in words where the vocabulary does not have it."""
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
        Its last rows are totals where its column `row` says so.
    table_format : {"table", "csv", "json", "latex", "markdown", "html"}
        CSV and JSON hold every column as it is, for programs. The others are to be read: columns under the labels and
        units of the vocabulary, each number with its digits, and with its interval where the table has one.
    columns : sequence of Column, optional
        Of those to be read; by default all columns, and ends of intervals only beside what they are of.
    around : Surroundings, optional
        Caption, label and notes of LaTeX, Markdown and HTML.

    Returns
    -------
    str
        Without a line break at its end. LaTeX is a tabular with the rules of booktabs, in a float where it has a
        caption; HTML a table element. Names from runs are escaped in both, and in Markdown.

    Raises
    ------
    InputError
        If there is no such format.
    """
    if table_format not in FORMATS:
        raise unknown("format of a table", table_format, FORMATS)
    if table_format in DATA_FORMATS:
        return _csv(table) if table_format == "csv" else _json(table)
    if table_format == "table":
        return "\n".join(laid_out(table, columns or columns_of(table)).lines())
    return _WRITERS[table_format](_grid(table, columns or columns_of(table)), _printable(around))


_WRITERS: Final = {"latex": latex, "markdown": markdown, "html": page_table}


def _printable(around: Surroundings) -> Surroundings:
    return Surroundings(printable(around.caption), around.label, [printable(note) for note in around.notes])


def columns_of(table: pd.DataFrame) -> list[Column]:
    """The columns of a table that are no part of another one's interval, nor the mark of totals."""
    left_out = {ROW} | {f"{name}_{end}" for name in table for end in SPREADS}
    return [Column(str(name)) for name in table if name not in left_out]


def _grid(table: pd.DataFrame, columns: Sequence[Column]) -> Grid:
    """Some columns as texts under their labels."""
    names = [column.name for column in columns]
    rows = [[estimate(row, name) for name in names] for row in table.to_dict(orient="records")]
    right = [_is_numbers(table[name], [row[at] for row in rows]) for at, name in enumerate(names)]
    return Grid([_marked(column) for column in columns], rows, right, _ruled(table))


def _marked(column: Column) -> str:
    head = heading(column.name)
    return type(head)(f"{head}{column.mark}")  # words of the vocabulary stay such


def _ruled(table: pd.DataFrame) -> tuple[int, ...]:
    """The rows before which a rule stands: totals, and those that follow on totals."""
    if ROW not in table:
        return ()
    totals = [False, *(table[ROW] == TOTAL)]
    return tuple(at for at, (before, here) in enumerate(pairwise(totals)) if before or here)


def totals_in(table: pd.DataFrame) -> int:
    """How many rows of a table are totals; they are its last."""
    return int((table[ROW] == TOTAL).sum()) if ROW in table else 0


@dataclass(frozen=True, slots=True)
class Layout:
    """A table on the terminal: what stands over its headings, headings, cells, widths, and which are set right."""

    over: list[str]
    heads: list[str]
    rows: list[list[str]]
    widths: list[int]
    right: list[bool]

    def lines(self) -> list[str]:
        """The line of the groups where there are any, that of the headings, and the rows."""
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
        found = [shown(column.name, row[column.name], column.width) for row in records]
        parts = [(column.head, found, column.width, _is_numbers(table[column.name], found))]
        if column.ends:
            parts.append(("95 %", [_ends(row, column) for row in records], column.ends, True))
        for head, cell, width, is_right in parts:
            over.append(column.over)
            heads.append(head)
            texts.append(cell)
            rooms.append(max([cells(head), width, *map(cells, cell)]))
            right.append(is_right)
    return Layout(over, heads, [list(row) for row in zip(*texts, strict=True)], _spanned(over, rooms), right)


def _spans(over: Sequence[str]) -> list[tuple[str, int, int]]:
    """What stands over columns, and from which to which."""
    spans: list[tuple[str, int, int]] = []
    for at, title in enumerate(over):
        if spans and spans[-1][0] == title:
            spans[-1] = (title, spans[-1][1], at + 1)
        else:
            spans.append((title, at, at + 1))
    return spans


def _spanned(over: Sequence[str], widths: Sequence[int]) -> list[int]:
    """Widths with which everything that stands over columns has room; the first column of a group gets more."""
    wide = list(widths)
    for title, first, end in _spans(over):
        wide[first] += max(cells(title) - (sum(wide[first:end]) + end - first - 1), 0)
    return wide


def _groups(over: Sequence[str], widths: Sequence[int]) -> str:
    """The line over the headings."""
    parts = [title.center(sum(widths[first:end]) + end - first - 1) for title, first, end in _spans(over)]
    return " ".join(parts).rstrip()


def _ends(row: Row, column: Column) -> str:
    """The two ends of an interval; a dash where one of them is not known."""
    low, high = (row[f"{column.name}_{end}"] for end in ("low", "high"))
    if not (math.isfinite(low) and math.isfinite(high)):
        return "-"
    return " ".join(shown(column.name, end, (column.ends - 1) // 2) for end in (low, high))


def explanations(columns: Sequence[Column]) -> list[str]:
    """A sentence for every column that is shown, and one for their intervals."""
    told = dict.fromkeys(column.explanation for column in columns)
    interval = ["95 %: The 95 % interval of the column before."] if any(column.ends for column in columns) else []
    return [text for text in told if text] + interval


def _csv(table: pd.DataFrame) -> str:
    return table.to_csv(index=False, float_format="%.9g").rstrip("\n")


def _json(table: pd.DataFrame) -> str:
    """A list of objects, one a row, NaN as null."""
    rows = [{str(key): _plain(value) for key, value in row.items()} for row in table.to_dict(orient="records")]
    return json.dumps(rows, indent=2, allow_nan=False)


def _plain(value: Any) -> Any:
    value = value.item() if hasattr(value, "item") else value
    return None if isinstance(value, float) and not math.isfinite(value) else value


#: A number, maybe with its interval and standard deviation.
_NUMBER: Final = re.compile(r"[-<>]?\d[\d.]*([eE][-+]\d+)?[MG]?( \(.* to .*\))?(, std .*)?$|inf$")


def _is_numbers(column: pd.Series[Any], texts: Sequence[str]) -> bool:
    """Whether a column holds numbers, or texts of them; it is set to the right."""
    if column.dtype.kind in "iuf":
        return True
    known = [text for text in texts if text not in {"-", ""}]
    return bool(known) and all(_NUMBER.match(text) for text in known)
