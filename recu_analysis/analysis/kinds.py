"""The kind of training: with ReCU's clamp, with the random mask, or without either; and which runs are tested."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from recu_analysis.store.run import Run


class Kind(Enum):
    """Which gradients a training stops. The values are the names in figures."""

    NO_CLAMP = "no clamp"
    RECU = "ReCU"
    RANDOM_MASK = "random mask"
    #: Another method, or an arm of which only the name is known.
    OTHER = "another method"


#: The kinds of arms with these names, in lower case.
_BY_NAME = {
    "recu": Kind.RECU,
    "random mask": Kind.RANDOM_MASK,
    "without recu": Kind.NO_CLAMP,
    "without clamp": Kind.NO_CLAMP,
    "no clamp": Kind.NO_CLAMP,
    "baseline": Kind.NO_CLAMP,
}


def kind_of(run: Run) -> Kind:
    """The kind of a run: by the name of its arm in a list of runs, else by its configuration and layers."""
    stated = _BY_NAME.get((run.arm or "").casefold())
    if stated is not None:
        return stated
    configuration = run.configuration
    if configuration.get("mask") == "random" and configuration.get("recu", True) is True:
        return Kind.RANDOM_MASK
    if layers_clamp(run):
        return Kind.RECU
    named_only = run.arm is not None and "recu" not in configuration
    return Kind.OTHER if named_only or configuration.get("binarizer", "recu") != "recu" else Kind.NO_CLAMP


def layers_clamp(run: Run) -> bool:
    """Whether any layer clamps its weights in the forward pass; the random mask clamps none."""
    return any(spec.transform is not None and spec.transform.clamp for spec in run.header.layers)


def stops_gradients(run: Run) -> bool:
    """Whether a run stops gradients: by the clamp, or by the random mask that replaces it."""
    return kind_of(run) in {Kind.RECU, Kind.RANDOM_MASK}


def sides(runs: Sequence[Run]) -> tuple[list[Run], list[Run]]:
    """Split runs into those that are tested, which stop gradients, and their baseline, which does not.

    If no run stops gradients, all runs are tested and there is no baseline.
    """
    tested = [run for run in runs if stops_gradients(run)] or list(runs)
    return tested, [run for run in runs if run not in tested]
