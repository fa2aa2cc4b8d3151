"""The training loop: a network trained on a data set and recorded, epoch by epoch, bitwise resumable."""

from __future__ import annotations

import math
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from recu_analysis.capture.adapters import binary_layers
from recu_analysis.capture.recorder import record
from recu_analysis.errors import InputError, RecuError, RunExistsError, StoreError
from recu_analysis.nn import binary_parameters, build_network, set_tau
from recu_analysis.store.format import RUN_FILE
from recu_analysis.store.writer import check_room, lock_directory, window_bytes
from recu_analysis.training import checkpoint
from recu_analysis.training.data import Dataset, batches, epoch_seed, load_dataset

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from recu_analysis.capture.recorder import Recorder
    from recu_analysis.training.config import TrainingConfig


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a training is: the epoch (from 0), the batch in it (from 1), and the means over the epoch so far.

    Attributes
    ----------
    epoch, epochs, batch, batches : int
    loss : float
        Mean cross-entropy of the epoch's batches so far, in nats.
    top1 : float
        Training accuracy in per cent, measured while training.
    tau : float or None
    """

    epoch: int
    epochs: int
    batch: int
    batches: int
    loss: float
    top1: float
    tau: float | None


@dataclass(frozen=True, slots=True)
class Result:
    """How a training ended.

    Attributes
    ----------
    epochs : int
        Epochs finished, those before a resumption among them.
    stopped : bool
        Whether it was asked to stop before the last one.
    val_top1 : float
        Validation accuracy in per cent after the last finished epoch; NaN if this call finished none.
    """

    epochs: int
    stopped: bool
    val_top1: float


def train(
    config: TrainingConfig,
    run_dir: str | Path,
    *,
    resume: bool = False,
    overwrite: bool = False,
    on_start: Callable[[int], object] = lambda _: None,
    on_batch: Callable[[Progress], object] = lambda _: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Result:
    """Train and record a network.

    Each epoch ends with a mark, and with a checkpoint once its window is on disk; the first one is that of the
    initial state. A resumed training goes on
    after the last finished epoch and ends with bitwise the weights of one that was never stopped.

    Parameters
    ----------
    config : TrainingConfig
    run_dir : str or Path
        New or empty, unless `resume` or `overwrite` is given.
    resume : bool
        Go on with the training in `run_dir`.
    overwrite : bool
        Delete the run in `run_dir` first.
    on_start : callable
        Given the estimated bytes of the windows that will be written, once it is known that they fit on the disk.
    on_batch : callable
        Given a `Progress` after every batch.
    should_stop : callable
        Asked after every batch; where true, the training stops there, its open window written as partial.

    Returns
    -------
    Result

    Raises
    ------
    RunExistsError
        If `run_dir` holds something and neither `resume` nor `overwrite` is given.
    InputError, DataError
        If the configuration cannot be trained.
    NoRoomError
        If the disk cannot hold the windows of all epochs.
    StoreError
        If `run_dir` cannot be written, or there is nothing to resume.
    RecuError
        If the loss becomes NaN or infinite.
    """
    if resume and overwrite:
        raise InputError("resume and overwrite exclude each other; give one of them")
    folder = Path(run_dir)
    position = checkpoint.load_position(folder) if resume else None
    if position is not None:
        checkpoint.check_same(position.config, config, folder)
    data = load_dataset(config.dataset, config.data_dir)
    model, optimizer = _build(config, data.classes)
    if position is not None:
        checkpoint.load_state(folder, model, optimizer)
        if position.epochs == config.epochs:
            return Result(position.epochs, stopped=False, val_top1=float("nan"))
    start, update = (position.epochs, position.update) if position else (0, None)
    epochs = config.epochs - start
    expected = (epochs + 1) * window_bytes([layer.spec for layer in binary_layers(model)])
    # Before anything is deleted: a run must not be lost to one that then cannot start.
    check_room(folder, expected, f"the windows of {epochs} epochs")
    if position is None:
        _make_way(folder, overwrite=overwrite)
    on_start(expected)
    finished, accuracy = start, float("nan")
    with record(model, optimizer, folder, resume=update, configuration=config.to_dict()) as recorder:
        if position is None:
            checkpoint.save(folder, model, optimizer, checkpoint.Position(0, 0, config))
        for epoch in range(start, config.epochs):
            outcome = _train_epoch(config, data, model, optimizer, recorder, epoch, on_batch, should_stop)
            if outcome is None:
                return Result(finished, stopped=True, val_top1=accuracy)
            accuracy = outcome
            finished = epoch + 1
            recorder.flush()
            checkpoint.save(folder, model, optimizer, checkpoint.Position(finished, recorder.update, config))
    return Result(finished, stopped=False, val_top1=accuracy)


def _make_way(folder: Path, *, overwrite: bool) -> None:
    """Refuse a folder that holds something, or delete the run in it where the user asked for that."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    if not overwrite:
        raise RunExistsError(f"{folder} exists already; go on with it by --resume, or replace it by --overwrite")
    if not (folder / RUN_FILE).is_file():
        raise RunExistsError(f"{folder} is not a run directory, so --overwrite leaves it alone; choose another folder")
    if folder.is_symlink():
        raise RunExistsError(f"{folder} is a link, so --overwrite leaves it alone; name the folder it leads to")
    try:
        # Refuses while something still records there.
        os.close(lock_directory(folder))
        shutil.rmtree(folder)
    except OSError as error:
        raise StoreError(f"{folder} cannot be deleted: {error.strerror}; delete it yourself") from error


def _build(config: TrainingConfig, classes: int) -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(config.seed)
    model = build_network(config.network, classes, scale=config.scale, clamp=config.recu, mask=config.mask)
    latent = binary_parameters(model)
    with torch.no_grad():
        for weight in latent:
            weight.mul_(config.initial_scale)
    chosen = {id(parameter) for parameter in latent}
    others = [parameter for parameter in model.parameters() if id(parameter) not in chosen]
    groups = [
        {"params": latent, "weight_decay": config.binary_weight_decay},
        {"params": others, "weight_decay": config.weight_decay},
    ]
    return model, torch.optim.SGD(groups, lr=config.lr, momentum=config.momentum)


def _train_epoch(
    config: TrainingConfig,
    data: Dataset,
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    recorder: Recorder,
    epoch: int,
    on_batch: Callable[[Progress], object],
    should_stop: Callable[[], bool],
) -> float | None:
    """One epoch, its validation and its mark; the validation accuracy, or None if it was asked to stop."""
    began = time.perf_counter()
    lr, tau = config.learning_rate(epoch), config.tau_of(epoch)
    for group in optimizer.param_groups:
        group["lr"] = lr
    if tau is not None:
        set_tau(model, tau)
    model.train()
    # What is random within an epoch depends on seed and epoch only, so that a resumed training repeats it.
    torch.manual_seed(epoch_seed(config.seed, epoch))
    indices = list(batches(len(data.train_labels), config.batch_size, config.seed, epoch))
    seen, loss_sum, hits = 0, 0.0, 0
    for number, batch in enumerate(indices, start=1):
        images, labels = data.train_batch(batch)
        loss, correct = _step(model, optimizer, images, labels, recorder.update + 1)
        seen, loss_sum, hits = seen + len(batch), loss_sum + loss * len(batch), hits + correct
        on_batch(Progress(epoch, config.epochs, number, len(indices), loss_sum / seen, 100 * hits / seen, tau))
        if should_stop():
            return None
    val_loss, val_top1 = evaluate(model, data.val_batches())
    recorder.mark(
        epoch=epoch,
        tau=tau,
        lr=lr,
        train_loss=loss_sum / seen,
        train_top1=100 * hits / seen,
        val_loss=val_loss,
        val_top1=val_top1,
        seconds=round(time.perf_counter() - began, 3),
    )
    return val_top1


def _step(
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    images: torch.Tensor,
    labels: torch.Tensor,
    update: int,
) -> tuple[float, int]:
    """One update; the loss before it, and how many images were classified rightly.

    A loss without value raises RecuError before its gradient reaches the weights.
    """
    optimizer.zero_grad(set_to_none=True)
    logits = model(images)
    loss = functional.cross_entropy(logits, labels)
    value = loss.item()
    if not math.isfinite(value):
        rate = optimizer.param_groups[0]["lr"]
        raise RecuError(f"the loss became {value} at update {update}; a learning rate below {rate:g} may help")
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    return value, int((logits.argmax(dim=1) == labels).sum())


@torch.no_grad()
def evaluate(model: torch.nn.Module, batches: Iterable[tuple[torch.Tensor, torch.Tensor]]) -> tuple[float, float]:
    """Mean cross-entropy (nats) and accuracy (per cent) in evaluation mode; the model's mode is left as it was.

    Parameters
    ----------
    model : torch.nn.Module
    batches : iterable of (Tensor of shape (N, 3, H, W), Tensor of int64 of shape (N,))
    """
    mode = model.training
    model.eval()
    loss, hits, seen = 0.0, 0, 0
    for images, labels in batches:
        logits = model(images)
        loss += float(functional.cross_entropy(logits, labels, reduction="sum"))
        hits += int((logits.argmax(dim=1) == labels).sum())
        seen += len(labels)
    model.train(mode)
    return loss / seen, 100 * hits / seen
