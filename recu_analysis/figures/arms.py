"""Runs that differ in their seed alone, as one arm of an experiment with a name that says how it differs."""

from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from recu_analysis.analysis.compare import INCIDENTAL

if TYPE_CHECKING:
    from collections.abc import Mapping

    from recu_analysis.store.run import Run

# Settings whose value says what the arm is; the others are named where they differ.
_KIND = frozenset({"recu", "mask"})


@dataclass(frozen=True, slots=True)
class Arm:
    """Runs of one configuration.

    Attributes
    ----------
    label : str
    runs : dict of str to Run
        By their own labels.
    """

    label: str
    runs: dict[str, Run]

    @property
    def configuration(self) -> dict[str, Any]:
        """That of the first run; the others differ in what is incidental."""
        return next(iter(self.runs.values())).configuration


def settings(run: Run, without: frozenset[str] = INCIDENTAL) -> dict[str, Any]:
    """The configuration of a run, some settings left out."""
    return {name: value for name, value in run.configuration.items() if name not in without}


def arms(runs: Mapping[str, Run]) -> list[Arm]:
    """Runs grouped by configuration, in order of appearance; a run without a seed stands for itself.

    Parameters
    ----------
    runs : mapping of str to Run
        Runs by their labels.
    """
    groups: dict[str, dict[str, Run]] = {}
    for label, run in runs.items():
        key = json.dumps(settings(run), sort_keys=True, default=str) if "seed" in run.configuration else label
        groups.setdefault(key, {})[label] = run
    labels = _labels(list(groups.values()))
    return [Arm(label, group) for label, group in zip(labels, groups.values(), strict=True)]


def _labels(groups: list[dict[str, Run]]) -> list[str]:
    """What each group is, and the settings in which it is unlike most others."""
    known = [settings(next(iter(group.values()))) for group in groups]
    names = list(dict.fromkeys(name for each in known for name in each if name not in _KIND))
    usual = {name: Counter(json.dumps(each.get(name)) for each in known).most_common(1)[0][0] for name in names}
    labels = []
    for group, each in zip(groups, known, strict=True):
        unusual = [_said(name, each.get(name)) for name in names if json.dumps(each.get(name)) != usual[name]]
        kind = _kind(each)
        labels.append(", ".join([kind, *unusual]) if kind else ", ".join(group))
    twice = {label for label, count in Counter(labels).items() if count > 1}
    return [
        f"{label} ({', '.join(group)})" if label in twice else label
        for label, group in zip(labels, groups, strict=True)
    ]


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
