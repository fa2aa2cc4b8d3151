"""Captions: plain text with mathematics between dollar signs, in which names from runs are data."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from recu_analysis.analysis.latex import escape_letters
from recu_analysis.errors import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

_DOLLAR: Final = r"\$"
# Mathematics between two dollar signs that are not escaped.
_MATHEMATICS: Final = re.compile(r"(?<!\\)\$((?:[^$\\]|\\[^$])+)(?<!\\)\$")
# A number and its percent sign stay on one line, with a thin space between them.
_PERCENT: Final = re.compile(r"(?<=\d) (?=\\%)")
_UNICODE: Final = ((r"\tau", "τ"), (r"\ln", "ln"), (r"\sqrt{2}", "√2"), ("^2", "²"), ("^3", "³"))


def quoted(name: str) -> str:
    """A name from a run inside a caption; its dollar signs begin no mathematics, and control characters are shown."""
    return printable(name).replace("$", _DOLLAR)


def escape_latex(caption: str) -> str:
    """A caption for LaTeX on one line: special characters outside of mathematics are escaped."""
    return "".join(
        f"${text}$" if mathematics else _PERCENT.sub(r"\\,", escape_letters(text))
        for mathematics, text in _parts(" ".join(caption.split()))
    )


def in_plain_text(caption: str) -> str:
    """A caption with its mathematics in plain characters."""
    return "".join(_characters(text) if mathematics else text for mathematics, text in _parts(caption))


def _characters(mathematics: str) -> str:
    for written, character in _UNICODE:
        mathematics = mathematics.replace(written, character)
    return mathematics


def _parts(caption: str) -> Iterator[tuple[bool, str]]:
    """The parts of a caption in order, and whether each is mathematics."""
    for number, part in enumerate(_MATHEMATICS.split(caption)):
        mathematics = number % 2 == 1
        yield mathematics, part if mathematics else part.replace(_DOLLAR, "$")
