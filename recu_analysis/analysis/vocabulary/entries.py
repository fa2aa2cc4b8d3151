"""Entries of counts and shares, and units that several entries have."""

from __future__ import annotations

from recu_analysis.analysis.statistic import Statistic


def count(name: str, label: str, meaning: str) -> Statistic:
    """A number of things."""
    return Statistic(name, label, meaning, digits=0)


def share(name: str, label: str, meaning: str, digits: int = 1) -> Statistic:
    """A share, shown in percent."""
    return Statistic(name, label, meaning, "%", 100.0, digits)


STEP = "10^-3 std per update"
FLIPS = "per 1000 weights and update"
WEIGHT = "squared unit of w~"
LATENT = "squared unit of w"
