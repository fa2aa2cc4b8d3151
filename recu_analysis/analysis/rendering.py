"""Tables, numbers and intervals as text: for the terminal, LaTeX, Markdown, HTML, CSV and JSON, from one vocabulary."""

from __future__ import annotations

import html
import json
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from recu_analysis.analysis.vocabulary import SPREADS, is_known, statistic
from recu_analysis.errors import unknown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

    Row = Mapping[Any, Any]

#: How a table can be written.
FORMATS: Final = ("table", "csv", "json", "latex", "markdown", "html")
#: Those for programs, which hold every column as it is.
DATA_FORMATS: Final = ("csv", "json")
#: Digits of numbers that the vocabulary leaves open, all of them counted; with so many after the point, see `fitting`.
SIGNIFICANT: Final = 4


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a printed table.

    Attributes
    ----------
    name : str
        In the DataFrame; factor, digits, label and unit follow from it, see `vocabulary.statistic`.
    heading : str
        Of the terminal, where label and unit of the vocabulary have no room.
    width : int
        Characters that a number has on the terminal; digits are left away where it is longer. 0 leaves none away.
    ends : int
        Characters of a column behind it with the two ends of its interval, on the terminal; 0 makes none.
    """

    name: str
    heading: str = ""
    width: int = 0
    ends: int = 0


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


class Words(str):
    """A text of the vocabulary, in which symbols and powers may be set as mathematics; names from runs never are."""

    __slots__ = ()


def heading(name: str) -> str:
    """Label and unit of a column; its name in words where the vocabulary does not have it."""
    return Words(statistic(name).heading) if is_known(name) else printable(name.replace("_", " "))


def in_mathtext(text: str) -> str:
    """Words of the vocabulary as matplotlib and LaTeX set them: powers, symbols and bars as mathematics."""
    return _MARKS.sub(lambda found: f"${_mathematics(found)}$", text)


_SYMBOLS: Final = {"w~": r"\tilde{w}", "b_hat": r"\hat{b}", "b*": "b^*", "tau": r"\tau"}
#: Powers of ten, symbols and their powers, the absolute value of a letter, bars around a word.
_MARKS: Final = re.compile(r"(10)\^(-?\d+)|(w~|b_hat|b\*|\btau\b)(?:\^(\d+))?|\|\w\||\|")


def _mathematics(found: re.Match[str]) -> str:
    base, power = found[1] or _SYMBOLS.get(found[3], ""), found[2] or found[4]
    return (base or found[0]) + (f"^{{{power}}}" if power else "")


def in_unicode(text: str) -> str:
    """Words of the vocabulary with raised digits for their powers, for pages and Markdown."""
    return re.sub(r"\^(-?\d+)", lambda found: found[1].translate(_RAISED), text)


_RAISED: Final = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def render(table: pd.DataFrame, table_format: str, columns: Sequence[Column] = ()) -> str:
    """A table as text.

    Parameters
    ----------
    table : DataFrame
    table_format : {"table", "csv", "json", "latex", "markdown", "html"}
        CSV and JSON hold every column as it is, for programs. The others are to be read: columns under the labels and
        units of the vocabulary, each number with its digits, and with its interval where the table has one.
    columns : sequence of Column, optional
        Of those to be read; by default all columns, and ends of intervals only beside what they are of.

    Returns
    -------
    str
        Without a line break at its end. LaTeX is a tabular with the rules of booktabs, HTML a table element; names
        from runs are escaped in both, and in Markdown.

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
        return "\n".join(aligned(*laid_out(table, columns or [Column(str(name)) for name in table])))
    names = [column.name for column in columns] or _without_ends([str(name) for name in table])
    rows = [[estimate(row, name) for name in names] for row in table.to_dict(orient="records")]
    sides = [_is_numbers([row[at] for row in rows]) for at in range(len(names))]
    return _PRINTED[table_format]([heading(name) for name in names], rows, sides)


def _without_ends(names: Sequence[str]) -> list[str]:
    """Columns that are no part of another one's interval."""
    ends = {f"{name}_{end}" for name in names for end in SPREADS}
    return [name for name in names if name not in ends]


def laid_out(table: pd.DataFrame, columns: Sequence[Column]) -> tuple[list[str], list[list[str]], list[int]]:
    """Headings, cells and widths of a table on the terminal."""
    names, cells = [], []
    records = table.to_dict(orient="records")
    for column in columns:
        names.append(column.heading or heading(column.name))
        cells.append([shown(column.name, row[column.name], column.width) for row in records])
        if column.ends:
            names.append("95 %")
            cells.append([_ends(row, column) for row in records])
    room = [width for column in columns for width in (column.width, *([column.ends] if column.ends else []))]
    needed = [width or max(map(len, texts), default=0) for width, texts in zip(room, cells, strict=True)]
    widths = [max(len(name), width) for name, width in zip(names, needed, strict=True)]
    return names, [list(row) for row in zip(*cells, strict=True)], widths


def _ends(row: Row, column: Column) -> str:
    """The two ends of an interval; a dash where one of them is not known."""
    low, high = (row[f"{column.name}_{end}"] for end in ("low", "high"))
    if not (math.isfinite(low) and math.isfinite(high)):
        return "-"
    return " ".join(shown(column.name, end, (column.ends - 1) // 2) for end in (low, high))


def aligned(names: Sequence[str], rows: Sequence[Sequence[str]], widths: Sequence[int]) -> list[str]:
    """Lines of a text table: the first column to the left and shortened in its middle, the others to the right.

    Parameters
    ----------
    names : sequence of str
        Of the columns, the first line.
    rows : sequence of rows
        One text a column each.
    widths : sequence of int
        Of every column, without the space between two.
    """

    def line(cells: Sequence[str]) -> str:
        first = shorten(cells[0], widths[0]).ljust(widths[0])
        others = (cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True))
        return " ".join([first, *others]).rstrip()

    return [line(names), *(line([printable(cell) for cell in row]) for row in rows)]


def shorten(text: str, width: int) -> str:
    """A name of at most so many characters, its middle left out where it is longer."""
    if len(text) <= width:
        return text
    tail = (width - 1) * 2 // 3
    return f"{text[: width - 1 - tail]}…{text[len(text) - tail :]}"


def _csv(table: pd.DataFrame) -> str:
    return table.to_csv(index=False, float_format="%.9g").rstrip("\n")


def _json(table: pd.DataFrame) -> str:
    """A list of objects, one a row, NaN as null."""
    rows = [{str(key): _plain(value) for key, value in row.items()} for row in table.to_dict(orient="records")]
    return json.dumps(rows, indent=2, allow_nan=False)


def _plain(value: Any) -> Any:
    value = value.item() if hasattr(value, "item") else value
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _is_numbers(texts: Sequence[str]) -> bool:
    """Whether a column holds numbers, or texts that begin with one; it is set to the right."""
    return all(re.match(r"[->]?(\d|$)|inf", text) for text in texts)


def _latex(names: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[bool]) -> str:
    """A booktabs tabular, to be put inside a table environment."""

    def line(cells: Sequence[str]) -> str:
        return " & ".join(cells) + r" \\"

    sides = "".join("r" if each else "l" for each in right)
    head = line([_latex_text(name) for name in names])
    body = [line(["--" if cell == "-" else _latex_text(cell) for cell in row]) for row in rows]
    return "\n".join(
        [rf"\begin{{tabular}}{{{sides}}}", r"\toprule", head, r"\midrule", *body, r"\bottomrule", r"\end{tabular}"]
    )


_LATEX: Final = {ord(each): f"\\{each}" for each in "&%$#_{}"} | {
    ord("\\"): r"\textbackslash{}",
    ord("~"): r"\textasciitilde{}",
    ord("^"): r"\textasciicircum{}",
    ord("<"): r"\textless{}",
    ord(">"): r"\textgreater{}",
    ord("|"): r"\textbar{}",
}


def _latex_text(text: str) -> str:
    """A text escaped, except for the mathematics in words of the vocabulary."""
    parts = re.split(r"(\$[^$]+\$)", in_mathtext(text)) if isinstance(text, Words) else [text]
    return "".join(part if at % 2 else part.translate(_LATEX) for at, part in enumerate(parts))


def _markdown(names: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[bool]) -> str:
    """A table with pipes, as GitHub and most others read it."""
    head = [_markdown_text(name) for name in names]
    rules = ["---:" if each else "---" for each in right]
    lines = [head, rules, *([_markdown_text(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _markdown_text(text: str) -> str:
    """A text in which Markdown finds nothing to do, nor HTML in it."""
    marked = re.sub(r"([\\`*_\[\]|~$])", r"\\\1", _in_words(text))
    return html.escape(marked, quote=False)


def _in_words(text: str) -> str:
    return in_unicode(text) if isinstance(text, Words) else text


def _html(names: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[bool]) -> str:
    """A table element, its numbers to the right."""
    looks = [' style="text-align: right"' if each else "" for each in right]

    def line(tag: str, cells: Sequence[str]) -> str:
        inside = (
            f"<{tag}{look}>{html.escape(_in_words(cell))}</{tag}>" for look, cell in zip(looks, cells, strict=True)
        )
        return f"<tr>{''.join(inside)}</tr>"

    head = line("th", names)
    body = [line("td", row) for row in rows]
    return "\n".join(["<table>", f"<thead>{head}</thead>", "<tbody>", *body, "</tbody>", "</table>"])


_PRINTED: Final = {"latex": _latex, "markdown": _markdown, "html": _html}
