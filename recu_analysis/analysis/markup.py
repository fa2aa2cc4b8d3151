"""Tables in Markdown and HTML, and the parts of a table that all formats share."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence


class Words(str):
    """A text of the vocabulary: its symbols and powers may be set as mathematics, unlike those of names from runs."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Caption, label and notes of a table.

    Attributes
    ----------
    caption : str
        What the table shows, of which runs, in one sentence.
    label : str
        Label in LaTeX.
    notes : sequence of str
        What a reader must know, one sentence each.
    """

    caption: str = ""
    label: str = ""
    notes: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Grid:
    """Headings and cells of a table as texts.

    Attributes
    ----------
    heads : list of str
        One heading per column.
    rows : list of list of str
        One text per column.
    right : list of bool
        Whether a column is set to the right, as numbers are.
    ruled : tuple of int
        Rows that have a rule above them.
    """

    heads: list[str]
    rows: list[list[str]]
    right: list[bool]
    ruled: tuple[int, ...] = ()


def in_mathtext(text: str) -> str:
    """Words of the vocabulary for matplotlib and LaTeX: powers, symbols and bars as mathematics."""
    return _MARKS.sub(lambda found: f"${_mathematics(found)}$", text)


_SYMBOLS: Final = {"w~": r"\tilde{w}", "b_hat": r"\hat{b}", "b*": "b^*", "tau": r"\tau", "rho": r"\rho"}
#: Powers of ten, symbols with or without a power, the absolute value of a letter, other bars.
_MARKS: Final = re.compile(r"(10)\^(-?\d+)|(w~|b_hat|b\*|\btau\b|\brho\b)(?:\^(\d+))?|\|\w\||\|")


def _mathematics(found: re.Match[str]) -> str:
    base, power = found[1] or _SYMBOLS.get(found[3], ""), found[2] or found[4]
    return (base or found[0]) + (f"^{{{power}}}" if power else "")


def in_unicode(text: str) -> str:
    """Words of the vocabulary with powers as superscript digits, for HTML and Markdown."""
    return re.sub(r"\^(-?\d+)", lambda found: found[1].translate(_RAISED), text)


_RAISED: Final = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def markdown(grid: Grid, around: Surroundings) -> str:
    """A table with pipes, as GitHub and most programs read it; caption and notes are a list below."""
    head = [_markdown_text(name) for name in grid.heads]
    rules = ["---:" if each else ":---" for each in grid.right]
    lines = [head, rules, *([_markdown_text(cell) for cell in row] for row in grid.rows)]
    notes = [f"- {_markdown_text(note)}" for note in (around.caption, *around.notes) if note]
    return "\n".join([*(f"| {' | '.join(line)} |" for line in lines), *([""] if notes else []), *notes])


def _markdown_text(text: str) -> str:
    """A text escaped for Markdown, and for HTML within it."""
    marked = re.sub(r"([\\`*_\[\]|~$])", r"\\\1", _in_words(text))
    return html.escape(marked, quote=False)


def _in_words(text: str) -> str:
    return in_unicode(text) if isinstance(text, Words) else text


def page_table(grid: Grid, around: Surroundings) -> str:
    """A table element of HTML with its caption; numbers are set right, and notes are paragraphs below."""
    looks = [' style="text-align: right"' if each else "" for each in grid.right]

    def line(tag: str, texts: Sequence[str]) -> str:
        inside = (f"<{tag}{look}>{_html_text(text)}</{tag}>" for look, text in zip(looks, texts, strict=True))
        return f"<tr>{''.join(inside)}</tr>"

    caption = [f"<caption>{_html_text(around.caption)}</caption>"] if around.caption else []
    body = [line("td", row) for row in grid.rows]
    table = ["<table>", *caption, f"<thead>{line('th', grid.heads)}</thead>", "<tbody>", *body, "</tbody>", "</table>"]
    return "\n".join([*table, *(f"<p>{_html_text(note)}</p>" for note in around.notes)])


def _html_text(text: str) -> str:
    return html.escape(_in_words(text))
