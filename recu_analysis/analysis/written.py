"""How an estimate and its interval are written, for tables, sentences, figures and pages alike."""

from __future__ import annotations

import math


def number(value: float, form: str) -> str:
    """A number in a format such as ".2f"; a dash for NaN."""
    return "-" if math.isnan(value) else f"{value:{form}}"


def with_interval(value: float, low: float, high: float, form: str = ".3g") -> str:
    """An estimate with its interval in brackets; the estimate alone where an end is not known."""
    ends = "" if math.isnan(low) or math.isnan(high) else f" ({low:{form}} to {high:{form}})"
    return f"{number(value, form)}{ends}"


def of_claim(value: float, low: float, high: float) -> str:
    """The value of a claim, in three digits; nothing where it has none, no interval where it is a count."""
    if math.isnan(value):
        return ""
    return with_interval(value, low, high) if low != high else number(value, ".3g")
