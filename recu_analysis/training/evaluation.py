"""Evaluation of a saved network, from this trainer or from ReCU's authors, on a data set's validation images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from recu_analysis.errors import CheckpointError, InputError
from recu_analysis.interop.official import load_into, load_official
from recu_analysis.nn import build_network
from recu_analysis.store.format import CHECKPOINTS
from recu_analysis.training import checkpoint
from recu_analysis.training.optim import build

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

#: Number of guesses for top-5 accuracy.
GUESSES = 5


@dataclass(frozen=True, slots=True)
class Scores:
    """Loss and accuracies of a network.

    Attributes
    ----------
    images : int
        Number of images, or of bytes that are predicted.
    loss : float
        Mean cross-entropy, in nats.
    top1, top5 : float
        Per cent of the images whose label is the most likely class, or among the five most likely.
    """

    images: int
    loss: float
    top1: float
    top5: float


@torch.inference_mode()
def score(model: torch.nn.Module, batches: Iterable[tuple[torch.Tensor, torch.Tensor]]) -> Scores:
    """Loss and accuracies in evaluation mode; the model's mode is restored.

    Parameters
    ----------
    model : torch.nn.Module
    batches : iterable of (Tensor of shape (N, 3, H, W), Tensor of int64 of shape (N,))
    """
    mode = model.training
    model.eval()
    images, loss, first, among = 0, 0.0, 0, 0
    for values, labels in batches:
        logits = model(values)
        loss += float(functional.cross_entropy(logits, labels, reduction="sum"))
        right = logits.topk(min(GUESSES, logits.shape[1]), dim=1).indices == labels[:, None]
        first, among, images = first + int(right[:, 0].sum()), among + int(right.sum()), images + labels.numel()
    model.train(mode)
    return Scores(images, loss / images, 100 * first / images, 100 * among / images)


def not_finite(model: torch.nn.Module) -> list[str]:
    """Names of a model's tensors with NaN or infinite values, which the signs of binary weights would hide.

    tau is not checked, because it changes no output.
    """
    return [
        name
        for name, value in model.state_dict().items()
        if not name.endswith(".tau") and not torch.isfinite(value).all()
    ]


def run_of(path: Path) -> Path | None:
    """The run directory of a path to it or to the checkpoint in it; None for another checkpoint.

    Raises
    ------
    CheckpointError
        If the folder has no checkpoint of a training, or the file is not in a run directory.
    """
    try:
        is_folder = path.is_dir()
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}") from None
    if is_folder:
        if not (path / CHECKPOINTS / checkpoint.NAME).is_file():
            raise CheckpointError(
                f"{path} has no {CHECKPOINTS}/{checkpoint.NAME}; name a run of recu-analyze train, or a .pth.tar file"
            )
        return path
    if path.suffix != ".safetensors":
        return None
    if (path.parent.name, path.name) != (CHECKPOINTS, checkpoint.NAME):
        raise CheckpointError(f"{path} is not the {CHECKPOINTS}/{checkpoint.NAME} of a run directory; name the run")
    return path.parent.parent


def load_trained(run_dir: Path, classes: int) -> torch.nn.Module:
    """The network of a run directory in the state of its last checkpoint.

    Raises
    ------
    StoreError
        If the checkpoint is missing or damaged, or has another number of classes.
    """
    model, optimizer = build(checkpoint.load_position(run_dir).config, classes, torch.device("cpu"))
    checkpoint.load_state(run_dir, model, optimizer)
    return model


def load_authors(path: Path, network: str, *, unsafe_load: bool = False) -> tuple[torch.nn.Module, int]:
    """The network of a checkpoint of ReCU's authors, and its number of classes.

    Raises
    ------
    CheckpointError
        If the file cannot be read, or has the state of another network.
    InputError
        If no network has that name.
    """
    saved = load_official(path, unsafe_load=unsafe_load)
    if saved.classes is None:
        raise CheckpointError(f"{path} has no last layer named linear or fc, so its number of classes is not known")
    model = build_network(network, saved.classes)
    try:
        load_into(model, saved)
    except CheckpointError as error:
        raise CheckpointError(f"{path} is not a checkpoint of {network}: {error}") from None
    return model, saved.classes


def check_classes(path: Path, classes: int, dataset: str, expected: int) -> None:
    """Raise InputError unless a network and a data set have the same number of classes."""
    if classes != expected:
        raise InputError(
            f"{path} has {classes} classes, but {dataset} has {expected}; name the data set it was trained on"
        )
