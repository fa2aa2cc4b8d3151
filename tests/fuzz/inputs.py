"""What the fuzzer begins with: small whole runs of every origin, checkpoints, and data sets."""

import json
import warnings
from pathlib import Path

import numpy as np
import torch
import torch.distributed.checkpoint
from PIL import Image
from safetensors.torch import save_file
from torch import nn

import recu_analysis as ra
from recu_analysis.nn import BinaryLinear
from recu_analysis.testing import random_walk, synthetic_run
from tests.capture.level_layers import tiny
from tests.editing import marks_of, write_marks
from tests.store.recording import record
from tests.store.sharding import cut
from tests.training import cifar_files

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
        _train(model, optimizer, recorder, 6)
    return path / "sampled"


def _ternary(path: Path) -> Path:
    model = tiny("bitnet")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    with ra.record(model, optimizer, path / "ternary") as recorder:
        _train(model, optimizer, recorder, model[0].in_features)
    return path / "ternary"


def _train(model: nn.Module, optimizer: torch.optim.Optimizer, recorder: ra.Recorder, inputs: int) -> None:
    for at in range(4):
        optimizer.zero_grad()
        model(torch.randn(8, inputs)).square().mean().backward()
        optimizer.step()
        recorder.mark(epoch=at)


def _photographs(path: Path) -> None:
    """Two classes in train and in val, of four images each."""
    for part in ("train", "val"):
        for number, name in enumerate(("cat", "dog")):
            (path / part / name).mkdir(parents=True)
            for image in range(4):
                pixels = np.random.default_rng([number, image]).integers(0, 256, (20, 24, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(path / part / name / f"{image}.png")


def _archives(path: Path) -> None:
    """CIFAR-10 of a few images."""
    path.mkdir()
    cifar_files.write(path, "cifar10", python=True)


def _checkpoints(path: Path) -> Path:
    folder = path / "checkpoints"
    folder.mkdir()
    for at in range(3):
        torch.manual_seed(at)
        torch.save({"state_dict": nn.Sequential(BinaryLinear(6, 4)).state_dict(), "epoch": at}, folder / f"e{at}.pth")
    return folder


def _distributed(path: Path) -> None:
    """A folder of torch.distributed.checkpoint, and a model in safetensors with an index."""
    state = nn.Sequential(BinaryLinear(6, 4)).state_dict()
    torch.distributed.checkpoint.save({"model": state, "epoch": 3}, checkpoint_id=path / "distributed", no_dist=True)
    save_file(state, path / "distributed" / "a.safetensors")
    index = {"weight_map": dict.fromkeys(state, "a.safetensors")}
    (path / "distributed" / "a.safetensors.index.json").write_text(json.dumps(index))


def make(path: Path) -> dict[str, Path]:
    """Write every input into a folder, and return them by their names."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        walked, checkpoints = _marked(path), _checkpoints(path)
        _distributed(path)
        record(path / "resumed", (1, 4), (5, 8), metrics=True)
        record(path / "resumed", (7, 9), resume=6, metrics=True)
        ra.thin(walked, windows=KEPT, output=path / "thinned")
        ra.import_checkpoints(checkpoints, path / "imported")
        _sampled(path)
        _ternary(path)
        cut(synthetic_run(path / "sharded", walks(7), windows=4).path, 2)
        _archives(path / "cifar10")
        _photographs(path / "image-folder")
        synthetic_run(path / "statistics", walks(5), windows=2, gradient_stats=True)
    return {file.name: file for file in sorted(path.iterdir())}
