"""Synthetic runs that say how they were trained."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import recu_analysis as ra
from recu_analysis.figures.layer_choice import FIG2_LAYER
from recu_analysis.testing import DECAY_TIME, random_walk, synthetic_run
from recu_analysis.theory.standardize import WeightTransform
from tests.editing import edit_run, marks_of, write_marks

if TYPE_CHECKING:
    from collections.abc import Callable

    from recu_analysis.store.run import Run

SETTINGS = {
    "network": "resnet20",
    "dataset": "digits",
    "recu": True,
    "mask": "clamped",
    "tau": [0.85, 0.99],
    "scale": 2.0,
    "initial_scale": 1.0,
    "epochs": 4,
    "seed": 0,
}


@pytest.fixture
def trained(tmp_path) -> Callable[..., Run]:
    """Makes a run of 4 epochs from its folder's name, accuracy at the end and settings; losses fall from 2 to 0.5."""

    def make(name: str, top1: float = 90.0, decay_time: float = DECAY_TIME, **settings: Any) -> Run:
        history = {FIG2_LAYER: random_walk((8, 50), 8, seed=settings.get("seed") or 0)}
        transform = WeightTransform(center=True, target=2.0, clamp=settings.get("recu", True))
        path = synthetic_run(tmp_path / "runs" / name, history, transform=transform, decay_time=decay_time).path
        edit_run(path, configuration=SETTINGS | settings)
        marks = []
        for at, mark in enumerate(marks_of(path), start=1):
            logged = {"train_top1": top1 + at, "val_top1": top1 - 4 + at, "train_loss": 2.0 / at}
            marks.append(mark | logged)
        write_marks(path, marks)
        return ra.open_run(path)

    return make


@pytest.fixture
def synthetic_pair(tmp_path) -> dict[str, Run]:
    """Two runs whose configurations say nothing."""
    return {name: ra.open_run(synthetic_run(tmp_path / name, seed=at).path) for at, name in enumerate(("one", "two"))}
