"""A finished training, loaded again: its configuration, data, network and optimizer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from recu_analysis.errors import InputError
from recu_analysis.training import checkpoint
from recu_analysis.training.data import load_images
from recu_analysis.training.evaluation import run_of
from recu_analysis.training.optim import build

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from recu_analysis.training.config import TrainingConfig
    from recu_analysis.training.data import Dataset

#: Images that pass through the network at a time.
BATCH = 250


@dataclass(frozen=True, slots=True)
class TrainedRun:
    """A training in the state of its last checkpoint.

    Attributes
    ----------
    config : TrainingConfig
    epochs, update : int
        Number of finished epochs and of updates.
    data : Dataset
    model : torch.nn.Module
    optimizer : torch.optim.Optimizer
    device : torch.device
    """

    config: TrainingConfig
    epochs: int
    update: int
    data: Dataset
    model: torch.nn.Module
    optimizer: torch.optim.Optimizer
    device: torch.device

    def validation(self, images: int) -> Validation:
        """So many of the validation images, evenly spaced in their order, or all if there are fewer."""
        return Validation(self, _spaced(len(self.data.val_labels), images))

    def training_inputs(self, images: int) -> list[torch.Tensor]:
        """Batches of so many training images, evenly spaced in their order and not augmented, as inputs."""
        chosen = _spaced(len(self.data.train_labels), images)
        return [self._input(self.data.train_batch(some)[0]) for some in torch.split(chosen, BATCH) if len(some) > 1]

    def _input(self, images: torch.Tensor) -> torch.Tensor:
        return self.data.normalized(images.to(self.device))


@dataclass(frozen=True, slots=True)
class Validation:
    """Validation images of a training, as `recu_analysis.intervene` evaluates a model on them."""

    of: TrainedRun
    indices: torch.Tensor

    def __call__(self, model: torch.nn.Module) -> Iterator[dict[str, torch.Tensor]]:
        """Yield cross-entropy (nats) and whether the most likely class is right, for the images of each batch."""
        for some in torch.split(self.indices, BATCH):
            labels = self.of.data.val_labels[some].to(self.of.device)
            logits = model(self.of._input(self.of.data.val_images[some])).float()
            losses = functional.cross_entropy(logits, labels, reduction="none")
            yield {"loss": losses, "correct": logits.argmax(dim=1) == labels}


def position_of(path: Path) -> tuple[Path, checkpoint.TrainingPosition]:
    """The folder of a run of the trainer, and the point that its last checkpoint has reached.

    Raises
    ------
    CheckpointError, StoreError
        If there is no checkpoint, or it cannot be read.
    InputError
        If the path is no run directory.
    """
    run_dir = run_of(path)
    if run_dir is None:
        raise InputError(f"{path} is not a run directory of recu-analyze train; give one")
    return run_dir, checkpoint.load_position(run_dir)


def load_trained_run(path: Path, device: torch.device, data_dir: str | None = None) -> TrainedRun:
    """A run of the trainer in the state of its last checkpoint, on a device.

    Parameters
    ----------
    path : Path
        Run directory.
    device : torch.device
    data_dir : str, optional
        Folder of the data set, if it has moved.

    Raises
    ------
    CheckpointError, StoreError
        If there is no checkpoint, or it cannot be read.
    DataError, InputError
        If the data set is not there, or is another one.
    """
    run_dir, position = position_of(path)
    config = position.config
    if not config.signs:
        what = "real weights" if config.real else "weights with more than two levels"
        raise InputError(f"{run_dir} has {what}, and only signs can be changed; give a run of a binary network")
    data = load_images(config.dataset, data_dir or config.data_dir, config.image_size)
    if position.data not in ("", data.fingerprint):
        raise InputError(
            f"{run_dir} was trained with another data set: number, size or labels of the images differ; name the "
            "folder of the same data set with --data-dir"
        )
    model, optimizer = build(config, data.classes, device)
    checkpoint.load_state(run_dir, model, optimizer)
    return TrainedRun(config, position.epochs, position.update, data, model, optimizer, device)


def _spaced(count: int, wanted: int) -> torch.Tensor:
    """Indices of at most so many of `count` things, evenly spaced, in order: data sets may be sorted by class."""
    number = min(count, wanted)
    return torch.arange(number) * count // number
