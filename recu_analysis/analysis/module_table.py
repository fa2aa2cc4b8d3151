"""A table of modules that prints the name, the answers and the whole reason of each in 80 characters a line."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import pandas as pd

from recu_analysis.analysis.short_names import cells, distinct, to_left

if TYPE_CHECKING:
    from collections.abc import Callable

#: Characters of a line, and of a name in it.
WIDTH, NAME = 80, 30
#: Modules that are printed before the rest is counted.
MOST = 60


class ModuleTable(pd.DataFrame):
    """A DataFrame with columns name and why, of which it prints these and the answers: yes, no, or empty if unknown.

    pandas leaves out columns that a line has no room for, and those in the middle first: here the answers. Whatever is
    selected from the table or made of it is a plain DataFrame.
    """

    @property
    def _constructor(self) -> Callable[..., pd.DataFrame]:
        return pd.DataFrame

    def __repr__(self) -> str:
        if self.empty or not {"name", "why"} <= {*self.columns}:  # renamed in place
            return repr(pd.DataFrame(self))
        prefix, names = distinct([str(name) for name in self["name"]], NAME)
        shown = pd.DataFrame({"name": names})
        for column in self.columns.difference(["name", "why"], sort=False):
            if set(self[column]) <= {True, False, None}:
                shown[column] = [{True: "yes", False: "no"}.get(answer, "") for answer in self[column]]
        shown["why"] = [""] * len(shown)
        heading, *lines = _left(shown.head(MOST))
        begin = len(heading) - len("why")
        told = [_with_reason(line, begin, why) for line, why in zip(lines, self["why"], strict=False)]
        above = [f"all names begin with {prefix}"] if prefix else []
        more = [f"and {len(self) - MOST} more modules"] if len(self) > MOST else []
        return "\n".join([*above, heading, *told, *more, f"columns: {', '.join(map(str, self.columns))}"])


def _left(table: pd.DataFrame) -> list[str]:
    """The lines of a table of texts, set to the left, all of the same length."""
    columns = [[str(name), *table[name]] for name in table]
    padded = [[to_left(text, max(map(cells, column))) for text in column] for column in columns]
    return [" ".join(parts) for parts in zip(*padded, strict=True)]


def _with_reason(line: str, begin: int, why: str) -> str:
    """A line with its reason, which continues below itself."""
    blank = "\n" + " " * begin
    return (line[:begin] + blank.join(textwrap.wrap(why, WIDTH - begin))).rstrip()
