"""Environment of a recording for run.json: versions, machine, command, model and optimizers."""

from __future__ import annotations

import platform
import sys
from importlib.metadata import version
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import torch

from recu_analysis.version import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Lists in a parameter group's settings, such as betas, are stored if they are shorter than this.
MOST_LISTED = 10


def environment() -> dict[str, Any]:
    """Versions, machine and command, with which a run can be repeated, without personal data."""
    packages = ("torch", "numpy", "numba", "safetensors")
    return {
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "versions": {"recu-analysis": __version__} | {name: version(name) for name in packages},
        "threads": torch.get_num_threads(),
        "command": _command(sys.argv),
    }


def _command(words: Sequence[str]) -> list[str]:
    """The words of our own command, with paths cut to their last part; for other programs, only the script's name."""
    program = PurePath(words[0])
    ours = program.name == "recu-analyze" or program.parent.name == "recu_analysis"
    return ["recu-analyze", *(PurePath(word).name for word in words[1:])] if ours else [program.name]


def what_trains(model: torch.nn.Module, optimizers: Sequence[torch.optim.Optimizer]) -> dict[str, Any]:
    """Classes of the model and the optimizers, and the current settings of every parameter group."""
    return {
        "model": _class(model),
        "optimizers": [
            {"class": _class(each), "groups": [_settings(group) for group in each.param_groups]} for each in optimizers
        ],
    }


def _class(instance: object) -> str:
    return f"{type(instance).__module__}.{type(instance).__qualname__}"


def _settings(group: dict[str, Any]) -> dict[str, Any]:
    """The settings of a parameter group that are numbers, text or short lists."""
    settings = {name: _plain(value) for name, value in group.items() if name not in {"params", "param_names"}}
    return {name: value for name, value in settings.items() if isinstance(value, (bool, int, float, str, list))}


def _plain(value: Any) -> Any:
    """Convert one-element tensors and short lists to plain numbers; other values stay unchanged."""
    if isinstance(value, torch.Tensor) and value.numel() == 1 and not value.is_meta:
        return value.item()
    short = isinstance(value, (list, tuple)) and len(value) < MOST_LISTED
    return [float(each) for each in value if isinstance(each, (int, float, torch.Tensor))] if short else value
