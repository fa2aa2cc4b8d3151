"""What the fuzzer begins with: small whole runs of every origin, and checkpoints."""

import warnings
from pathlib import Path

import torch
from torch import nn

import recu_analysis as ra
from recu_analysis.nn import BinaryLinear
from recu_analysis.testing import random_walk, synthetic_run
from tests.editing import marks_of, write_marks
from tests.store.recording import record

#: Numbers of windows to keep of a run with five.
KEPT = (0, 2, 4)


def walks(seed: int) -> dict:
    """Two layers that move, one of them much more."""
    slow = random_walk((2, 2, 3), 8, step=0.1, seed=seed + 1)
    return {"a": random_walk((3, 12), 8, step=0.6, seed=seed), "b.c": slow}


def _marked(path: Path, name: str = "walked") -> Path:
    made = synthetic_run(path / name, walks(0), windows=4, traces=2).path
    write_marks(made, [mark | {"epoch": at, "val_top1": 50.0 + at} for at, mark in enumerate(marks_of(made))])
    return made


def _sampled(path: Path) -> Path:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), BinaryLinear(8, 8))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    with ra.record(model, optimizer, path / "sampled", channels=0.5, quantities=("gradient-stats",)) as recorder:
        for at in range(4):
            optimizer.zero_grad()
            model(torch.randn(8, 6)).square().mean().backward()
            optimizer.step()
            recorder.mark(epoch=at)
    return path / "sampled"


def _checkpoints(path: Path) -> Path:
    folder = path / "checkpoints"
    folder.mkdir()
    for at in range(3):
        torch.manual_seed(at)
        torch.save({"state_dict": nn.Sequential(BinaryLinear(6, 4)).state_dict(), "epoch": at}, folder / f"e{at}.pth")
    return folder


def make(path: Path) -> dict[str, Path]:
    """Write every input into a folder, and return them by their names."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        walked, checkpoints = _marked(path), _checkpoints(path)
        record(path / "resumed", (1, 4), (5, 8), metrics=True)
        record(path / "resumed", (7, 9), resume=6, metrics=True)
        ra.thin(walked, windows=KEPT, output=path / "thinned")
        ra.import_checkpoints(checkpoints, path / "imported")
        _sampled(path)
        synthetic_run(path / "statistics", walks(5), windows=2, gradient_stats=True)
    return {file.name: file for file in sorted(path.iterdir())}
