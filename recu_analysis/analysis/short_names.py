"""Names for narrow terminals: their width, their common prefix, and short forms that stay distinct."""

from __future__ import annotations

import re
from itertools import takewhile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence


#: Letters of a short name of a layer in figures.
IN_FIGURES = 14
#: How many times wider than asked short forms may be; beyond that, they are numbered.
WIDEST = 2


def cells(text: str) -> int:
    """The width of a text in terminal columns: two for a wide character, none for a combining one."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def to_left(text: str, width: int) -> str:
    """A text padded with spaces on the right to a width in terminal columns."""
    return text + " " * (width - cells(text))


def to_right(text: str, width: int) -> str:
    """A text padded with spaces on the left to a width in terminal columns."""
    return " " * (width - cells(text)) + text


def shorten(text: str, width: int) -> str:
    """A text of at most `width` columns; a longer text loses its middle, and two thirds of the rest are its end."""
    return _shortened(text, width, (width - 1) * 2 // 3)


def _shortened(text: str, width: int, tail: int) -> str:
    """`shorten` with `tail` columns kept at the end."""
    if cells(text) <= width:
        return text
    return f"{_fitting(text, width - 1 - tail)}…{_fitting(text[::-1], tail)[::-1]}"


def _fitting(text: str, width: int) -> str:
    """The longest beginning of a text that fits in `width` columns."""
    end = min(len(text), max(width, 0))
    while cells(text[:end]) > width:
        end -= 1
    return text[:end]


def common_prefix(names: Iterable[str]) -> str:
    """The common beginning of all names, up to and with a dot or slash; it is never a whole name."""
    parts = (re.findall(r"[^./]*[./]+|[^./]+", name)[:-1] for name in names)
    return "".join(same[0] for same in takewhile(lambda each: len(set(each)) == 1, zip(*parts, strict=False)))


def distinct(names: Sequence[str], width: int) -> tuple[str, list[str]]:
    """Short forms of names, all different.

    Parameters
    ----------
    names : sequence of str
        Equal names get equal short forms.
    width : int
        Terminal columns for a name.

    Returns
    -------
    prefix : str
        The text cut from the beginning of every name; empty if all names fit or have no common beginning.
    short : list of str
        One per name; wider than `width` if no narrower forms differ, and numbered if those would be too wide.
    """
    if all(cells(name) <= width for name in names):
        return "", list(names)
    prefix = common_prefix(names)
    rests = list(dict.fromkeys(name.removeprefix(prefix) for name in names))
    short = dict(zip(rests, _told_apart(rests, max(width, 3)), strict=True))
    return prefix, [short[name.removeprefix(prefix)] for name in names]


def _told_apart(names: Sequence[str], width: int) -> list[str]:
    """Names shortened to a width, or to the smallest larger width at which all differ."""
    for room in range(width, WIDEST * width + 1):
        for short in _candidates(names, room):
            if len(set(short)) == len(names) and all(cells(form) <= room for form in short):
                return short
    ends = [f"#{number}" for number in range(1, len(names) + 1)]
    return [shorten(name, max(width - cells(end), 1)) + end for name, end in zip(names, ends, strict=True)]


def _candidates(names: Sequence[str], width: int) -> Iterator[list[str]]:
    """Ways to shorten names: in the middle, within each part, nearer to either end, then around what differs."""
    usual = (width - 1) * 2 // 3
    yield [_shortened(name, width, usual) for name in names]
    for ends in ("[./]", "[./_]"):
        parts = _without_common([re.split(f"(?<={ends})", name) for name in names])
        for room in range(width, 1, -1):
            yield ["".join(shorten(part, room) for part in each) for each in parts]
    for tail in (*range(usual + 1, width), *range(usual - 1, -1, -1)):
        yield [_shortened(name, width, tail) for name in names]
    begin, end = _alike(names), _alike([name[::-1] for name in names])
    differ = max((len(name) - end for name in names), default=0) - begin
    first = max(begin - max(width - differ - 2, 0), 0)
    yield [f"{'…' * (first > 0)}{name[first : len(name) - end]}{'…' * (end > 0)}" for name in names]


def _alike(names: Sequence[str]) -> int:
    """How many characters at the beginning are the same in all names."""
    return sum(1 for _ in takewhile(lambda each: len(set(each)) == 1, zip(*names, strict=False)))


def _without_common(parts: Sequence[list[str]]) -> list[list[str]]:
    """Parts of names; parts that are the same in all names become a mark, if all names have equally many parts."""
    if len({len(each) for each in parts}) != 1:
        return list(parts)
    same = [len(set(column)) == 1 for column in zip(*parts, strict=True)]
    return [["…." if alike else part for part, alike in zip(each, same, strict=True)] for each in parts]
