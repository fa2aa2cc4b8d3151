"""What figures call an arm: its kind, and the settings in which it is unlike most others."""

from __future__ import annotations

import json
import math
from collections import Counter
from typing import TYPE_CHECKING, Any

from recu_analysis.analysis.arms import Arm, arms, settings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from recu_analysis.store.run import Run

# Settings whose value says what the arm is; the others are named where they differ.
_KIND = frozenset({"recu", "mask"})


def named_arms(runs: Mapping[str, Run]) -> dict[str, Arm]:
    """The experiments of some runs, in order of appearance, by names that say how they differ.

    Parameters
    ----------
    runs : mapping of str to Run
        Runs by their labels.
    """
    found = arms(runs)
    return dict(zip(told_apart(_labels(found), found), found, strict=True))


def told_apart(labels: Sequence[str], named: Sequence[Arm]) -> list[str]:
    """Names of arms; where two are the same, with the labels of their runs."""
    twice = {label for label, count in Counter(labels).items() if count > 1}
    return [
        f"{label} ({', '.join(arm.runs)})" if label in twice else label
        for label, arm in zip(labels, named, strict=True)
    ]


def _labels(named: Sequence[Arm]) -> list[str]:
    """What each arm is, and the settings in which it is unlike most others."""
    known = [settings(arm.first) for arm in named]
    names = list(dict.fromkeys(name for each in known for name in each if name not in _KIND))
    usual = {name: Counter(json.dumps(each.get(name)) for each in known).most_common(1)[0][0] for name in names}
    labels = []
    for arm, each in zip(named, known, strict=True):
        unusual = [_said(name, each.get(name)) for name in names if json.dumps(each.get(name)) != usual[name]]
        kind = _kind(each)
        labels.append(", ".join([kind, *unusual]) if kind else ", ".join(arm.runs))
    return labels


def _kind(configuration: Mapping[str, Any]) -> str:
    if "recu" not in configuration:
        return ""
    if not configuration["recu"]:
        return "without ReCU"
    return "random mask" if configuration.get("mask") == "random" else "ReCU"


def _said(name: str, value: Any) -> str:
    if name == "scale":
        return f"b* = {scale_text(value)}"
    if name == "initial_scale" and isinstance(value, float | int):
        return f"initial weights \N{MULTIPLICATION SIGN} {value:.3g}"
    return f"{name.replace('_', ' ')} {value}"


def scale_text(value: Any) -> str:
    """A scale b* as people write it; what is no number, as it stands."""
    if not isinstance(value, float | int):
        return str(value)
    return "√2/2" if math.isclose(value, math.sqrt(0.5), rel_tol=1e-3) else f"{value:g}"
