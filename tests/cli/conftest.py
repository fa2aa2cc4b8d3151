"""What the tests of several commands are given: a real small training, a damaged run, and saved networks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from recu_analysis.interop.official import save_official
from recu_analysis.nn import build_network
from recu_analysis.training import checkpoint
from recu_analysis.training.config import TrainingConfig
from tests.cli_runner import Done, run_program
from tests.run_files import window_file

if TYPE_CHECKING:
    from pathlib import Path

#: Options of a training that takes seconds.
SMALL_TRAINING = ("--epochs", 2, "--warm-up", 1, "--batch-size", 256, "--seed", 3)


@pytest.fixture(scope="session")
def training_options() -> tuple[object, ...]:
    """Options of `train` with which it takes seconds."""
    return SMALL_TRAINING


@pytest.fixture(scope="session")
def training(tmp_path_factory) -> tuple[Path, Done]:
    """The run directory of a real small training, and what the command said."""
    path = tmp_path_factory.mktemp("training") / "run"
    done = run_program("train", "--run-dir", path, *SMALL_TRAINING)
    assert done.exit_code == 0, done.stderr
    return path, done


@pytest.fixture(scope="session")
def trained_run(training) -> Path:
    """The run directory of a real small training, to be read only."""
    return training[0]


@pytest.fixture
def damaged_path(synthetic_path) -> Path:
    """A synthetic run whose window 1 is cut short."""
    shard = window_file(synthetic_path, 1)
    shard.write_bytes(shard.read_bytes()[:-5])
    return synthetic_path


@pytest.fixture(scope="session")
def saved_networks(tmp_path_factory) -> Path:
    """A run's checkpoint and files of the authors, all of untrained networks, and files that are none."""
    path = tmp_path_factory.mktemp("checkpoints")
    torch.manual_seed(0)
    model = build_network("resnet20")
    (path / "run").mkdir()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    checkpoint.save(path / "run", model, optimizer, checkpoint.TrainingPosition(0, 0, TrainingConfig()))
    save_official(path / "model_best.pth.tar", model, epoch=7, name="resnet20_1w1a", best_top1=12.5)
    nan = build_network("resnet20")
    with torch.no_grad():
        nan.layer1[0].conv1.weight.fill_(torch.nan)
    save_official(path / "nan.pth.tar", nan, epoch=7, name="n", best_top1=1.0)
    tau = build_network("resnet20")
    tau.layer1[0].conv1.tau.fill_(torch.nan)
    save_official(path / "tau.pth.tar", tau, epoch=7, name="n", best_top1=1.0)
    negative = build_network("resnet20")
    negative.bn1.running_var.mul_(-1)
    save_official(path / "negative.pth.tar", negative, epoch=7, name="n", best_top1=1.0)
    sparse = build_network("resnet20").state_dict()
    torch.save({"state_dict": sparse | {"linear.weight": sparse["linear.weight"].to_sparse()}}, path / "sparse.pth.tar")
    torch.save({"state_dict": {"a": torch.ones(2)}}, path / "a.pth")
    save_official(path / "three.pth.tar", build_network("resnet20", 3), epoch=7, name="n", best_top1=1.0)
    save_official(path / "vgg.pth.tar", build_network("vgg_small"), epoch=7, name="n", best_top1=1.0)
    torch.save({"weights": 3}, path / "other.pth")
    (path / "text.pth").write_text("no checkpoint")
    return path
