"""A table of modules that prints the name, the answers and the reason of each in 80 characters a line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

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
        shown = pd.DataFrame({"name": [_end(name, NAME) for name in self["name"]]})
        for column in self.columns.difference(["name", "why"], sort=False):
            if set(self[column]) <= {True, False, None}:
                shown[column] = [{True: "yes", False: "no"}.get(answer, "") for answer in self[column]]
        room = WIDTH - max(map(len, shown.to_string(index=False).split("\n"))) - 2
        shown["why"] = [why if len(why) <= room else why[: room - 3] + "..." for why in self["why"]]
        left = shown.apply(lambda texts: texts.str.ljust(texts.str.len().max()))
        lines = left.head(MOST).to_string(index=False, justify="left").split("\n")
        more = [f"and {len(self) - MOST} more modules"] if len(self) > MOST else []
        return "\n".join([*map(str.rstrip, lines), *more, f"columns: {', '.join(map(str, self.columns))}"])


def _end(text: str, length: int) -> str:
    """The end of a name, which tells modules apart, or all of it."""
    return text if len(text) <= length else f"...{text[3 - length :]}"
