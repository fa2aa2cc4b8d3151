"""On what a run was recorded: versions and the machine, for run.json."""

from __future__ import annotations

import platform
from importlib.metadata import version
from typing import Any

import torch

from recu_analysis import __version__


def environment() -> dict[str, Any]:
    """Versions and machine, for run.json: what one needs to repeat a run, and nothing that names a person."""
    packages = ("torch", "numpy", "numba", "safetensors")
    return {
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "versions": {"recu-analysis": __version__} | {name: version(name) for name in packages},
        "threads": torch.get_num_threads(),
    }
