"""Statistic: the meaning of a column of the public tables, and how its values are printed."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Statistic:
    """The meaning of a column of the public tables, and how its values are printed.

    Attributes
    ----------
    name : str
        The column's name in a DataFrame.
    label : str
        The name in words, for axes, headings and LaTeX.
    meaning : str
        One sentence: what it is, over which weights.
    unit : str
        Unit of the printed number, such as "%" or "10^-3 std per update"; empty if it has none.
    factor : float
        The printed number divided by the value in the column.
    digits : int or None
        Digits after the point; None for texts, and for numbers of unknown size.
    """

    name: str
    label: str
    meaning: str
    unit: str = ""
    factor: float = 1.0
    digits: int | None = None

    @property
    def heading(self) -> str:
        """Label and unit, as on an axis or over a column."""
        return with_unit(self.label, self.unit)

    @property
    def is_share(self) -> bool:
        """Whether the column's value is a share from 0 to 1 that is printed in per cent."""
        return self.unit == "%" and self.factor == 100.0

    @property
    def limits(self) -> tuple[float, float]:
        """Least and largest possible value of the column: 0 and 100 % of a share or an accuracy, else infinite."""
        return (0.0, 100.0 / self.factor) if self.unit == "%" else (-math.inf, math.inf)


def with_unit(label: str, unit: str) -> str:
    """A label with its unit: "flips per weight", otherwise in parentheses."""
    if not unit:
        return label
    return f"{label} {unit}" if unit.startswith("per ") else f"{label} ({unit})"
