"""A table in LaTeX, with the rules of booktabs, as a float that fits a two-column page."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import TYPE_CHECKING, Final

from recu_analysis.analysis.markup import Grid, Words, in_mathtext
from recu_analysis.analysis.short_names import cells

if TYPE_CHECKING:
    from collections.abc import Sequence

    from recu_analysis.analysis.markup import Surroundings

#: Width in points of one column and of both, with a margin for venues with narrower pages.
_COLUMN, _PAGE = 230.0, 480.0
#: Characters per line of a heading; a longer word has its own line.
_HEAD = 10
#: Least width in points of a column of texts in lines.
_TEXT = 60.0


@dataclass(frozen=True, slots=True)
class _Size:
    """A font size: name in LaTeX, points per character, points between two columns."""

    name: str
    character: float
    between: float


_SIZES: Final = (_Size("footnotesize", 4.3, 6.0), _Size("scriptsize", 3.8, 4.0))


def latex(grid: Grid, around: Surroundings) -> str:
    """The tabular; with a caption, a float of one column or of the page, with notes below."""
    if not around.caption:
        return "\n".join(_tabular(grid, _sides(grid)))
    fitting, size, places = _fitted(grid)
    float_name = "table" if _width(fitting, size) <= _COLUMN else "table*"
    notes = _BREAK.join(_kept(_escaped(note)) for note in around.notes)
    return "\n".join(
        [
            r"% \usepackage{booktabs}",
            rf"\begin{{{float_name}}}",
            r"\centering",
            rf"\caption{{{_escaped(around.caption)}}}",
            rf"\label{{{around.label}}}",
            r"\smallskip",
            rf"\{size.name}",
            rf"\setlength{{\tabcolsep}}{{{size.between / 2:g}pt}}",
            *_tabular(fitting, places),
            *([rf"\par\smallskip\parbox{{\linewidth}}{{\raggedright {notes}}}"] if notes else []),
            rf"\end{{{float_name}}}",
        ]
    )


def _fitted(grid: Grid) -> tuple[Grid, _Size, list[str]]:
    """The first form that fits a page: unchanged, smaller, intervals below numbers, texts in lines."""
    for tried in (grid, _stacked(grid)):
        for size in _SIZES:
            if _width(tried, size) <= _PAGE:
                return tried, size, _sides(tried)
    return tried, size, _broken(tried, size)


def _width(grid: Grid, size: _Size) -> float:
    return sum(_widths(grid, size))


def _widths(grid: Grid, size: _Size) -> list[float]:
    """The approximate width of each column in points."""
    texts = (
        [*_lines(head), *(line for row in grid.rows for line in row[at].split("\n"))]
        for at, head in enumerate(grid.heads)
    )
    return [size.character * max(map(cells, each), default=0) + size.between for each in texts]


def _stacked(grid: Grid) -> Grid:
    """The grid with every interval and standard deviation on a line below its number."""
    return replace(
        grid,
        rows=[
            [_INTERVAL.sub("\n", text) if right else text for text, right in zip(row, grid.right, strict=True)]
            for row in grid.rows
        ],
    )


_INTERVAL: Final = re.compile(r",? (?=\(|std )")


def _sides(grid: Grid) -> list[str]:
    return ["r" if right else "l" for right in grid.right]


def _broken(grid: Grid, size: _Size) -> list[str]:
    """Alignments: columns of texts share the width that numbers leave, and none is wider than its texts."""
    widths = _widths(grid, size)
    left = _PAGE - sum(width for width, right in zip(widths, grid.right, strict=True) if right)
    places = _sides(grid)
    texts = sorted((at for at, right in enumerate(grid.right) if not right), key=lambda at: widths[at])
    for done, at in enumerate(texts):
        share = left / (len(texts) - done)
        if widths[at] > share:
            places[at] = f"p{{{max(share - size.between, _TEXT):.0f}pt}}"
        left -= min(widths[at], share)
    return places


def _tabular(grid: Grid, places: Sequence[str]) -> list[str]:
    """The lines of the tabular."""
    end = r" \tabularnewline" if any(place.startswith("p") for place in places) else r" \\"
    between = [r"\addlinespace"] if any("\n" in text for row in grid.rows for text in row) else []
    body: list[str] = []
    for at, row in enumerate(grid.rows):
        body += [r"\midrule"] if at in grid.ruled else between if at else []
        body.append(_line([_cell(text, place) for text, place in zip(row, places, strict=True)], end))
    head = _line([_heading(name, place) for name, place in zip(grid.heads, places, strict=True)], end)
    rules = (r"\toprule", r"\midrule", r"\bottomrule")
    return [rf"\begin{{tabular}}{{{''.join(places)}}}", rules[0], head, rules[1], *body, rules[2], r"\end{tabular}"]


def _line(texts: Sequence[str], end: str) -> str:
    return _kept(" & ".join(texts) + end)


def _kept(line: str) -> str:
    """The line, protected so that the line break before it does not read its start as an argument."""
    return f"{{}}{line}" if line.startswith(("[", "*")) else line


def _lines(name: str) -> list[str]:
    """A heading in short lines, so that it does not widen its column."""
    broken = textwrap.wrap(name, _HEAD, break_long_words=False, break_on_hyphens=False) or [name]
    return [Words(line) for line in broken] if isinstance(name, Words) else broken


def _heading(name: str, place: str) -> str:
    """A heading, aligned with the others at its last line."""
    lines = [_escaped(line) for line in _lines(name)]
    return lines[0] if len(lines) == 1 else rf"\shortstack[{'r' if place == 'r' else 'l'}]{{{_BREAK.join(lines)}}}"


def _cell(text: str, place: str) -> str:
    """A cell, aligned with the others at its first line; long names may break after dots, slashes and underscores."""
    if text == "-":
        return "--"
    if place.startswith("p"):
        return r"\raggedright " + re.sub(r"([./_])(?=[^\s\d])", r"\1\\allowbreak{}", _escaped(text))
    lines = [_escaped(line) for line in text.split("\n")]
    if place == "r":
        lines = [re.sub(r"(?<![\w.-])-(?=\d)", "$-$", line) for line in lines]
    return lines[0] if len(lines) == 1 else rf"\begin{{tabular}}[t]{{@{{}}r@{{}}}}{_BREAK.join(lines)}\end{{tabular}}"


_BREAK: Final = r" \\ "
_ESCAPES: Final = {ord(each): f"\\{each}" for each in "&%$#_{}"} | {
    ord("\\"): r"\textbackslash{}",
    ord("~"): r"\textasciitilde{}",
    ord("^"): r"\textasciicircum{}",
    ord("<"): r"\textless{}",
    ord(">"): r"\textgreater{}",
    ord("|"): r"\textbar{}",
}


def escape_letters(text: str) -> str:
    """A text for LaTeX, in which no letter has a meaning."""
    return text.translate(_ESCAPES).replace("--", "-{}-")


def _escaped(text: str) -> str:
    """A text escaped for LaTeX, except for mathematics in words of the vocabulary."""
    parts = re.split(r"(\$[^$]+\$)", in_mathtext(text)) if isinstance(text, Words) else [text]
    plain = (escape_letters(part) for part in parts[::2])
    return "".join(part for pair in zip_longest(plain, parts[1::2], fillvalue="") for part in pair)
