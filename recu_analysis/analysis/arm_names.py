"""Names of arms: the name in the list of runs, else the kind of training and its unusual settings."""

from __future__ import annotations

import json
import math
from collections import Counter
from typing import TYPE_CHECKING, Any

from recu_analysis.analysis.arms import Arm, arms, settings
from recu_analysis.analysis.kinds import Kind, kind_of
from recu_analysis.errors import InputError
from recu_analysis.store.labels import together

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from recu_analysis.store.run import Run

# Settings that the kind already states; other settings are named where they are unusual.
_KIND = frozenset({"recu", "mask", "binarizer"})


#: More runs than this share the line of their arm.
MOST_RUNS = 6


def named_arms(runs: Mapping[str, Run]) -> dict[str, Arm]:
    """The experiments of some runs, in order of first appearance, by names that show how they differ.

    Parameters
    ----------
    runs : mapping of str to Run
        Runs by their labels.
    """
    found = arms(runs)
    return dict(zip(told_apart(_labels(found), found), found, strict=True))


def told_apart(labels: Sequence[str], named: Sequence[Arm]) -> list[str]:
    """Unique names of arms; equal names get the labels of their runs."""
    twice = {label for label, count in Counter(labels).items() if count > 1}
    return [
        f"{label} ({together(arm.runs)})" if label in twice else label for label, arm in zip(labels, named, strict=True)
    ]


def _labels(named: Sequence[Arm]) -> list[str]:
    """The name of each arm in its list of runs; else its kind and the settings in which it differs from most arms."""
    known = [settings(arm.first) for arm in named if arm.name is None]
    names = list(dict.fromkeys(name for each in known for name in each if name not in _KIND))
    usual = {name: Counter(json.dumps(each.get(name)) for each in known).most_common(1)[0][0] for name in names}
    return [arm.name or _label(arm, usual) for arm in named]


def _label(arm: Arm, usual: Mapping[str, str]) -> str:
    known = settings(arm.first)
    if "recu" not in known:
        return together(arm.runs)
    kind = kind_of(arm.first)
    unusual = [_setting_text(name, known.get(name)) for name in usual if json.dumps(known.get(name)) != usual[name]]
    return ", ".join([str(known.get("binarizer")) if kind is Kind.OTHER else kind.value, *unusual])


def _setting_text(name: str, value: Any) -> str:
    if name == "scale":
        return f"b* = {scale_text(value)}"
    if name == "initial_scale" and isinstance(value, float | int):
        return f"initial weights \N{MULTIPLICATION SIGN} {value:.3g}"
    return f"{name.replace('_', ' ')} {value}"


def scale_text(value: Any) -> str:
    """A scale b* as it is usually written; a value that is not a number is not changed."""
    if not isinstance(value, float | int):
        return str(value)
    return "√2/2" if math.isclose(value, math.sqrt(0.5), rel_tol=1e-3) else f"{value:g}"


def experiments(runs: Mapping[str, Run]) -> dict[str, Arm]:
    """The arms of runs by name; each run alone if two of them have one seed, which no mean over seeds may hold."""
    try:
        return named_arms(runs)
    except InputError:
        return {label: Arm({label: run}) for label, run in runs.items()}
