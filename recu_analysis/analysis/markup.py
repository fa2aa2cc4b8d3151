"""Tables in LaTeX, Markdown and HTML, with the mathematics of the vocabulary and every name from a run escaped."""

from __future__ import annotations

import html
import re
import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from recu_analysis.analysis.short_names import cells

if TYPE_CHECKING:
    from collections.abc import Sequence


class Words(str):
    """A text of the vocabulary, in which symbols and powers may be set as mathematics; names from runs never are."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What stands around a table.

    Attributes
    ----------
    caption : str
        What the table shows, of which runs, in a sentence.
    label : str
        Of LaTeX.
    notes : sequence of str
        What its reader must know, a sentence each.
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
        A heading a column.
    rows : list of list of str
        A text a column.
    right : list of bool
        Whether a column is set to the right, as numbers are.
    totals : int
        How many of the last rows are totals.
    """

    heads: list[str]
    rows: list[list[str]]
    right: list[bool]
    totals: int = 0


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

#: Columns of characters in \footnotesize that fit one column, and both, of a page with two.
_NARROW, _WIDE = 50, 112
#: Characters of a line of a heading in LaTeX, and from how many on the text of a cell is broken into lines.
_HEAD, _CELL = 11, 40


def latex(grid: Grid, around: Surroundings) -> str:
    """A booktabs tabular; with its caption a float as wide as one column of a page with two, or as both."""
    if not around.caption:
        return "\n".join(_tabular(grid))
    wide = _characters(grid)
    float_name, size = "table" if wide <= _NARROW else "table*", "footnotesize" if wide <= _WIDE else "scriptsize"
    notes = _BREAK.join(_latex_text(note) for note in around.notes)
    return "\n".join(
        [
            r"% \usepackage{booktabs}",
            rf"\begin{{{float_name}}}",
            r"\centering",
            rf"\caption{{{_latex_text(around.caption)}}}",
            rf"\label{{{around.label}}}",
            rf"\{size}",
            r"\setlength{\tabcolsep}{3pt}",
            *_tabular(grid),
            *([rf"\par\smallskip\parbox{{\linewidth}}{{\raggedright {notes}}}"] if notes else []),
            rf"\end{{{float_name}}}",
        ]
    )


def _tabular(grid: Grid) -> list[str]:
    """The lines of the tabular, a rule before the totals."""
    columns = range(len(grid.heads))
    texts = [[row[at] for row in grid.rows] for at in columns]
    broken = [
        not right and max(map(cells, column), default=0) > _CELL
        for right, column in zip(grid.right, texts, strict=True)
    ]
    sides = ["r" if right else "l" for right in grid.right]
    share = 0.6 / max(sum(broken), 1)
    places = [rf"p{{{share:.2g}\linewidth}}" if each else side for each, side in zip(broken, sides, strict=True)]
    body = [_latex_line(["--" if cell == "-" else _latex_text(cell) for cell in row]) for row in grid.rows]
    if grid.totals:
        body.insert(-grid.totals, r"\midrule")
    head = _latex_line([_latex_heading(name, side) for name, side in zip(grid.heads, sides, strict=True)])
    rules = (r"\toprule", r"\midrule", r"\bottomrule")
    return [rf"\begin{{tabular}}{{{''.join(places)}}}", rules[0], head, rules[1], *body, rules[2], r"\end{tabular}"]


def _latex_line(texts: Sequence[str]) -> str:
    line = " & ".join(texts) + r" \\"
    return f"{{}}{line}" if line.startswith(("[", "*")) else line  # which the end of the line before would take


def _lines(name: str) -> list[str]:
    """A heading in lines of about eleven characters, so that columns are not wider than their numbers."""
    broken = textwrap.wrap(name, _HEAD, break_long_words=False, break_on_hyphens=False)
    return [Words(line) for line in broken] if isinstance(name, Words) else broken


def _latex_heading(name: str, side: str) -> str:
    lines = [_latex_text(line) for line in _lines(name)]
    return lines[0] if len(lines) == 1 else rf"\shortstack[{side}]{{{_BREAK.join(lines)}}}"


_BREAK: Final = r" \\ "


def _characters(grid: Grid) -> float:
    """About how wide a table is, in characters; a broken text may take 40 of them."""
    widths = (
        max(*map(len, _lines(head) or [""]), *(min(cells(row[at]), _CELL) for row in grid.rows), 1)
        for at, head in enumerate(grid.heads)
    )
    return sum(widths) + 1.4 * len(grid.heads)


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


def markdown(grid: Grid, around: Surroundings) -> str:
    """A table with pipes, as GitHub and most others read it; caption and notes are a list below."""
    head = [_markdown_text(name) for name in grid.heads]
    rules = ["---:" if each else ":---" for each in grid.right]
    lines = [head, rules, *([_markdown_text(cell) for cell in row] for row in grid.rows)]
    notes = [f"- {_markdown_text(note)}" for note in (around.caption, *around.notes) if note]
    return "\n".join([*(f"| {' | '.join(line)} |" for line in lines), *([""] if notes else []), *notes])


def _markdown_text(text: str) -> str:
    """A text in which Markdown finds nothing to do, nor HTML in it."""
    marked = re.sub(r"([\\`*_\[\]|~$])", r"\\\1", _in_words(text))
    return html.escape(marked, quote=False)


def _in_words(text: str) -> str:
    return in_unicode(text) if isinstance(text, Words) else text


def page_table(grid: Grid, around: Surroundings) -> str:
    """A table element of HTML, its numbers to the right, with its caption; a paragraph a note below."""
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


#: How a grid is written in each of these formats.
WRITERS: Final = {"latex": latex, "markdown": markdown, "html": page_table}
