"""A table in LaTeX, with the rules of booktabs, as floats that fit a page of article or two columns."""

from __future__ import annotations

import math
import re
import textwrap
from dataclasses import dataclass, replace
from itertools import groupby, zip_longest
from typing import TYPE_CHECKING, Final

from recu_analysis.analysis.markup import Grid, Words, in_mathtext
from recu_analysis.analysis.short_names import distinct

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from recu_analysis.analysis.markup import Surroundings

#: Width in points of one of two columns; of a page of article, and of both columns; with a margin for narrower venues.
_COLUMN, _PAGES = 230.0, (335.0, 480.0)
#: Characters per line of a heading; a longer word has its own line.
_HEAD = 10
#: Least width in points of a column of texts in lines.
_TEXT = 40.0


@dataclass(frozen=True, slots=True)
class _Size:
    """A font size: name in LaTeX, points per digit, between two columns, and per line."""

    name: str
    character: float
    between: float
    line: float


_SIZES: Final = (_Size("footnotesize", 4.3, 6.0, 9.5), _Size("scriptsize", 4.0, 4.0, 8.0))
#: Height in points of a page of article, with a margin; space around a row of several lines; a line of a caption.
_TALL, _SPACE, _CAPTION = 520.0, 8.0, 14.0
#: Height in points of headings and rules.
_HEADS = 60.0
#: Most lines of a name.
_NAME = 2
#: Widths of letters relative to a digit, in Computer Modern; all others count as 1.
_NARROWEST = 0.7
_NARROW, _WIDE = dict.fromkeys(" .,:;()[]/|'!ijlftr-", _NARROWEST), dict.fromkeys("mwMW", 1.6) | {"…": 2.6}
_CAPITAL = 1.4
#: Short names count characters; this many digits are as wide as a character.
_MARGIN = 1.4


def latex(grid: Grid, around: Surroundings) -> str:
    """The tabular; with a caption, floats of one column or of the page, with notes below the first."""
    table, blocks = _blocks(grid)
    if not around.caption:
        return "\n".join(_tabular(table, _sides(table), blocks))
    fitting, size, places, told = _fitted(table)
    notes = (*around.notes, *told)
    parts = _parts(_heights(fitting, size, places, blocks), fitting.ruled, blocks, _around(around.caption, notes, size))
    lines = [r"% \usepackage{booktabs}"]
    for at, (first, end) in enumerate(parts):
        ruled = tuple(row - first for row in fitting.ruled if row > first)
        part = replace(fitting, rows=fitting.rows[first:end], ruled=ruled)
        above = {row - first: text for row, text in blocks.items() if first < row < end}
        above |= {0: blocks[max(row for row in blocks if row <= first)]} if blocks else {}
        caption = f"{around.caption} Part {at + 1} of {len(parts)}." if parts[1:] else around.caption
        label = f"{around.label}-{at + 1}" if at else around.label
        lines += _float(_tabular(part, places, above), size, _width(fitting, size), caption, label, notes * (at == 0))
    return "\n".join(lines)


def _float(
    tabular: Sequence[str], size: _Size, width: float, caption: str, label: str, notes: Sequence[str]
) -> list[str]:
    """The lines of a float of one column or of the page."""
    name = "table" if width <= _COLUMN else "table*"
    told = _BREAK.join(_kept(_escaped(note)) for note in notes)
    return [
        rf"\begin{{{name}}}",
        r"\centering",
        rf"\caption{{{_escaped(caption)}}}",
        rf"\label{{{label}}}",
        r"\smallskip",
        rf"\{size.name}",
        rf"\setlength{{\tabcolsep}}{{{size.between / 2:g}pt}}",
        *tabular,
        *([rf"\par\smallskip\parbox{{\linewidth}}{{\raggedright {told}}}"] if told else []),
        rf"\end{{{name}}}",
    ]


def _around(caption: str, notes: Sequence[str], size: _Size) -> float:
    """The approximate height in points of a caption and of notes below a table of the page."""
    lines = sum(math.ceil(size.character * _digits(note) / _PAGES[0]) for note in notes)
    return _CAPTION * math.ceil(5 * _digits(caption) / _PAGES[0]) + size.line * lines


def _heights(grid: Grid, size: _Size, places: Sequence[str], blocks: Mapping[int, str]) -> list[float]:
    """The approximate height in points of each row, with the line above it if a block begins."""
    rows = [max(_count_lines(*each, size) for each in zip(row, places, strict=True)) for row in grid.rows]
    space = _SPACE if max(rows, default=1) > 1 else 1.0
    return [size.line * (lines + (at in blocks)) + space * (1 + (at in blocks)) for at, lines in enumerate(rows)]


def _count_lines(text: str, place: str, size: _Size) -> int:
    """How many lines a cell has."""
    room, lines, used = _room(place, size), text.count("\n") + 1, 0.0
    for width in map(_digits, _BREAKS.split(text)):
        if used and used + width > room:
            lines, used = lines + 1, 0.0
        used += width
    return lines


def _parts(
    heights: Sequence[float], ruled: Sequence[int], blocks: Mapping[int, str], around: float
) -> list[tuple[int, int]]:
    """First row and end of every part that fits a page.

    A block is divided only if it does not fit a page, and a total is never alone.
    """
    tall = _TALL - _HEADS
    parts, begin, left = [], 0, tall - around
    starts = sorted({0, *blocks})
    for start, end in zip(starts, [*starts[1:], len(heights)], strict=True):
        whole = sum(heights[start:end]) <= tall
        for at in range(start, end):
            needed = sum(heights[start:end]) if at == start and whole else heights[at]
            if needed > left and at > begin:
                cut = at - 1 if at in ruled and at not in blocks and at - 1 > begin else at
                parts.append((begin, cut))
                begin, left = cut, tall - sum(heights[cut:at])
            left -= heights[at]
    return [*parts, (begin, len(heights))]


def _blocks(grid: Grid) -> tuple[Grid, dict[int, str]]:
    """The table without a first column whose texts repeat, and these texts by the row that they are above."""
    starts, at = {}, 0
    for text, rows in groupby(row[0] for row in grid.rows):
        starts[at] = text
        at += len(list(rows))
    named = len(set(starts.values())) == len(starts) and all(starts.values())
    if len(grid.heads) < 3 or grid.right[0] or not named or 2 * len(starts) > len(grid.rows):
        return grid, {}
    return replace(grid, heads=grid.heads[1:], rows=[row[1:] for row in grid.rows], right=grid.right[1:]), starts


def _fitted(grid: Grid) -> tuple[Grid, _Size, list[str], list[str]]:
    """The first form that fits a page: unchanged, smaller, intervals below numbers, texts in lines, short names.

    Returns the table, its size, alignments of its columns, and sentences about names that were shortened.
    """
    stacked, smallest = _stacked(grid), _SIZES[-1]
    for page in _PAGES:
        for tried in (grid, stacked):
            for size in _SIZES:
                if _width(tried, size) <= page:
                    return tried, size, _sides(tried), []
        if _left(stacked, smallest, page) >= _TEXT or page == _PAGES[-1]:
            break
    places = _broken(stacked, smallest, page)
    short, told = _short_names(stacked, smallest, places)
    return short, smallest, places, told


def _width(grid: Grid, size: _Size) -> float:
    return sum(_widths(grid, size))


def _widths(grid: Grid, size: _Size) -> list[float]:
    """The approximate width of each column in points."""
    texts = (
        [*_lines(head), *(line for row in grid.rows for line in row[at].split("\n"))]
        for at, head in enumerate(grid.heads)
    )
    return [size.character * max(map(_digits, each), default=0) + size.between for each in texts]


def _digits(text: str) -> float:
    """The width of a text in digits."""
    return sum(_NARROW.get(each) or _WIDE.get(each) or (_CAPITAL if each.isupper() else 1.0) for each in text)


def _stacked(grid: Grid) -> Grid:
    """The grid with every interval and standard deviation on a line below its number."""
    return replace(
        grid,
        rows=[
            [_INTERVAL.sub("\n", text) if right else text for text, right in zip(row, grid.right, strict=True)]
            for row in grid.rows
        ],
    )


#: Where a cell in lines may be broken.
_BREAKS: Final = re.compile(r"(?<=[./_\s])")
_INTERVAL: Final = re.compile(r",? (?=\(|std )")


def _sides(grid: Grid) -> list[str]:
    return ["r" if right else "l" for right in grid.right]


def _left(grid: Grid, size: _Size, page: float) -> float:
    """The width in points that columns of numbers leave for columns of texts."""
    widths = zip(_widths(grid, size), grid.right, strict=True)
    return page - sum(width for width, right in widths if right)


def _broken(grid: Grid, size: _Size, page: float) -> list[str]:
    """Alignments: columns of texts share the width that numbers leave, and none is wider than its texts."""
    widths, left = _widths(grid, size), _left(grid, size, page)
    places = _sides(grid)
    texts = sorted((at for at, right in enumerate(grid.right) if not right), key=lambda at: widths[at])
    for done, at in enumerate(texts):
        share = left / (len(texts) - done)
        if widths[at] > share:
            places[at] = f"p{{{max(share - size.between, _TEXT):.0f}pt}}"
        left -= min(widths[at], share)
    return places


def _short_names(grid: Grid, size: _Size, places: Sequence[str]) -> tuple[Grid, list[str]]:
    """The table with names that do not fit their column in lines shortened, and a sentence for each such column."""
    columns, told = [list(column) for column in zip(*grid.rows, strict=True)], []
    for at, place in enumerate(places):
        long = [text for text in columns[at] if _is_long(text, place, size)]
        if long:
            prefix, forms = _longest_forms(long, place, size)
            columns[at] = [forms.get(text, text) for text in columns[at]]
            begin = f"; all of these begin with {prefix}" if prefix else ""
            told.append(f"long names in column {grid.heads[at]} are shortened: … is what is left out{begin}")
    return replace(grid, rows=[list(row) for row in zip(*columns, strict=True)]), told


def _longest_forms(names: Sequence[str], place: str, size: _Size) -> tuple[str, dict[str, str]]:
    """The beginning cut from names, and the longest short forms of them that fit a column in lines."""
    room = _room(place, size)
    narrowest = int(room / _MARGIN)
    for width in range(int(_NAME * room / _NARROWEST), narrowest, -1):
        prefix, short = distinct(names, width)
        if not any(_is_long(form, place, size) for form in short):
            return prefix, dict(zip(names, short, strict=True))
    prefix, short = distinct(names, narrowest)
    return prefix, dict(zip(names, short, strict=True))


def _is_long(text: str, place: str, size: _Size) -> bool:
    """Whether a column in lines is too narrow for a word, or for a name in `_NAME` lines."""
    if max(map(_digits, _BREAKS.split(text))) > _room(place, size):
        return True
    return not re.search(r"\s", text) and _count_lines(text, place, size) > _NAME


def _room(place: str, size: _Size) -> float:
    """The width of a line of a column in digits; infinite in columns without lines."""
    return float(place[2:-3]) / size.character if place.startswith("p") else math.inf


def _tabular(grid: Grid, places: Sequence[str], blocks: Mapping[int, str]) -> list[str]:
    """The lines of the tabular; a block has its text above its first row."""
    end = r" \tabularnewline" if any(place.startswith("p") for place in places) else r" \\"
    between = [r"\addlinespace"] if any("\n" in text for row in grid.rows for text in row) else []
    body: list[str] = []
    for at, row in enumerate(grid.rows):
        body += [r"\midrule"] if at in grid.ruled or (at and at in blocks) else between if at else []
        if at in blocks:
            body += [rf"\multicolumn{{{len(places)}}}{{l}}{{{_escaped(blocks[at])}}}{end}", *between]
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
