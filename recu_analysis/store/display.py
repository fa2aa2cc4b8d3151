"""How a run, a window or a recording shows itself where its name is typed: one line of text, and tables of HTML."""

from __future__ import annotations

from html import escape
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from recu_analysis.errors import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

#: Rows of a list that are shown before it says how many more there are.
SHOWN = 30
#: Characters of a text that are shown.
LONGEST = 60
#: What is in every line of metrics, and so says least of a training.
_USUAL = frozenset({"window", "update", "lr", "tau"})


def count(number: int, what: str) -> str:
    """A number of things, such as "1 layer" or "1,200 layers"."""
    return f"{number:,} {what}{'s' * (number != 1)}"


def plain_text(value: Any) -> str:
    """A value in one short line, whatever is in it: names of layers and metrics are data. Of a long path, its end."""
    if isinstance(value, float):
        return f"{value:.6g}"
    text = str(value)
    if len(text) > LONGEST:
        text = f"...{text[-LONGEST:]}" if isinstance(value, PurePath) else f"{text[:LONGEST]}..."
    return printable(text)


def mark_text(mark: Mapping[str, Any], most: int = 3) -> str:
    """What a mark says, such as "epoch 12, val_top1 91.2": its epoch, then validation, then what else has room."""
    told = [(name, value) for name, value in mark.items() if name not in _USUAL and value is not None]
    told.sort(key=lambda pair: (pair[0] != "epoch", not pair[0].startswith("val")))
    return ", ".join(f"{plain_text(name)} {plain_text(value)}" for name, value in told[:most])


def html_facts(title: str, facts: Mapping[str, Any]) -> str:
    """A table with a row a fact; everything is escaped."""
    rows = "".join(
        f"<tr><th style='text-align:left'>{escape(plain_text(name))}</th>"
        f"<td style='text-align:left'>{escape(plain_text(value))}</td></tr>"
        for name, value in facts.items()
    )
    return f"<table><caption style='text-align:left'>{escape(plain_text(title))}</caption>{rows}</table>"


def html_rows(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table with some columns and its first rows; everything is escaped."""
    every = list(rows)
    head = "".join(f"<th>{escape(name)}</th>" for name in columns)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(plain_text(cell))}</td>" for cell in row) + "</tr>" for row in every[:SHOWN]
    )
    more = len(every) - SHOWN
    rest = f"<tr><td colspan='{len(columns)}'>and {more:,} more</td></tr>" if more > 0 else ""
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}{rest}</tbody></table>"
