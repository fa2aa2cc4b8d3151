"""The training loop: it trains and records a network epoch by epoch, and can be resumed bitwise exactly."""

from __future__ import annotations

import contextlib
import math
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

from recu_analysis.capture.adapters import binary_layers
from recu_analysis.capture.record import record
from recu_analysis.capture.recorded_rows import recorded_spec
from recu_analysis.errors import InputError
from recu_analysis.nn import set_progress, set_tau
from recu_analysis.nn.quantized import bad_steps
from recu_analysis.store.channels import sampling_of
from recu_analysis.store.format import RUN_FILE
from recu_analysis.store.locked_folder import absolute
from recu_analysis.store.places import local
from recu_analysis.store.quantities import requested
from recu_analysis.store.run import read_header
from recu_analysis.store.starting import check_resumable
from recu_analysis.store.state import window_bytes
from recu_analysis.store.writer import LEAST_WINDOWS
from recu_analysis.training import checkpoint, run_folder
from recu_analysis.training.data import Dataset, Text, batches, epoch_seed, load_dataset
from recu_analysis.training.distributed import Processes, SharedError, process_group
from recu_analysis.training.evaluation import not_finite
from recu_analysis.training.optim import build
from recu_analysis.training.revive import revive
from recu_analysis.training.step import CompilationError, Part, Step, in_updates

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from recu_analysis.capture.recorder import Recorder
    from recu_analysis.training.config import TrainingConfig


@dataclass(frozen=True, slots=True)
class Progress:
    """Progress of a training: the epoch (from 0), the batch in it (from 1), and the means over the epoch so far.

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
    """Result of a training.

    Attributes
    ----------
    epochs : int
        Number of finished epochs, including those before a resumption.
    stopped : bool
        Whether the training was stopped before the last epoch.
    val_top1 : float
        Validation accuracy in per cent after the last finished epoch; NaN if this call finished none.
    first : bool
        Whether this process has rank 0, which records; under torchrun the other processes only compute.
    """

    epochs: int
    stopped: bool
    val_top1: float
    first: bool = True


def train(
    config: TrainingConfig,
    run_dir: str | Path,
    *,
    resume: bool = False,
    overwrite: bool = False,
    on_start: Callable[[int], object] = lambda _: None,
    on_batch: Callable[[Progress], object] = lambda _: None,
    on_epoch: Callable[[Mapping[str, Any]], object] = lambda _: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Result:
    """Train and record a network; a real-valued twin (NAME-real) is trained only.

    Each epoch ends with a mark, and with a checkpoint when its window is on disk. The first checkpoint is that of the
    initial state. A resumed training continues after the last finished epoch. With a single process, its final weights
    are bitwise identical to those of a training that never stopped.

    Under torchrun every process calls this function and gets a share of every batch. The gradient is the mean over the
    whole batch; batch normalization uses only the share. Rank 0 records, validates and calls `on_start`, `on_batch` and
    `on_epoch`.

    Parameters
    ----------
    config : TrainingConfig
    run_dir : str or Path
        New or empty folder, unless `resume` or `overwrite` is given.
    resume : bool
        Continue the training in `run_dir`.
    overwrite : bool
        Delete the run in `run_dir` first.
    on_start : callable
        Called with the estimated bytes of the windows, after a check that they fit on the disk.
    on_batch : callable
        Called with a `Progress` after every batch.
    on_epoch : callable
        Called after every epoch with the logged metrics (epoch, tau, lr, losses, accuracies in per cent, seconds, and
        bits per byte of a text).
    should_stop : callable
        Called after every batch; if it returns True in one process, all processes stop, and the open window is written
        as partial.

    Returns
    -------
    Result

    Raises
    ------
    RunExistsError
        If `run_dir` is not empty and neither `resume` nor `overwrite` is given.
    InputError, DataError
        If the configuration cannot be trained.
    NoRoomError
        If the disk has too little space for the windows of all epochs.
    StoreError
        If `run_dir` cannot be written, or there is nothing to resume.
    CompilationError
        If torch.compile fails; if this happens at the first update of a new run, no run is left.
    RecuError
        If the loss becomes NaN or infinite, or weights are NaN or infinite at the end of an epoch; earlier updates are
        recorded in a window marked as partial.
    """
    if resume and overwrite:
        raise InputError("resume and overwrite exclude each other; use only one of them")
    folder = absolute(local(run_dir, "a training, which keeps its checkpoints beside the run,"))
    with process_group(config.device) as ours, contextlib.ExitStack() as held:
        _check_batches(config, ours)
        _check_revival(config, ours)
        position = _begun(config, folder, ours, held) if resume else None
        data = load_dataset(config.dataset, config.data_dir, config.image_size, config.data_file)
        if position is not None:
            checkpoint.check_same_data(position, data.fingerprint, folder)
        model, optimizer = build(config, data.classes, ours.device)
        _check_images(config, data, model, ours)
        if position is not None:
            checkpoint.load_state(folder, model, optimizer)
            if position.epochs == config.epochs:
                return Result(position.epochs, stopped=False, val_top1=float("nan"), first=ours.first)
        if ours.first:
            done = position.epochs if position else 0
            expected = _bytes_ahead(config, model, done)
            what = f"the windows of {config.epochs - done} epochs"
            run_folder.make_ready(folder, expected, what, new=position is None, overwrite=overwrite)
            on_start(expected)
        training = _Training(config, data, model, optimizer, ours, on_batch, on_epoch, should_stop)
        held.close()  # the recorder locks the folder itself
        try:
            return training.run(folder, position)
        except CompilationError as error:
            if ours.first and position is None and error.update == 0:
                run_folder.discard(folder)  # it has only the initial state
            raise


def _check_batches(config: TrainingConfig, ours: Processes) -> None:
    if config.batch_size < 2 * ours.count:
        raise InputError(
            f"the batch size must be at least {2 * ours.count}, not {config.batch_size}: batch normalization needs at "
            f"least 2 images in each of the {ours.count} processes"
        )


def _check_revival(config: TrainingConfig, ours: Processes) -> None:
    if config.revive is not None and ours.count > 1:
        raise InputError(
            f"weights can be revived in a training with one process, not with {ours.count}; start it without torchrun"
        )


def _check_images(config: TrainingConfig, data: Dataset | Text, model: torch.nn.Module, ours: Processes) -> None:
    """Check, before there is a run, the number of images and that the network accepts their size."""
    found, needed = len(data.train_labels), 2 * ours.count
    if found < needed:
        raise InputError(
            f"the data set has too few training images ({found}): batch normalization needs at least 2 in each "
            f"process, {needed} in all"
        )
    evaluate(model, [_one_image(config, data, ours)])


def _one_image(config: TrainingConfig, data: Dataset | Text, ours: Processes) -> tuple[torch.Tensor, torch.Tensor]:
    """A validation image or sequence as input of the network, and its label."""
    layout = torch.channels_last if config.channels_last else torch.contiguous_format
    images, labels = next(iter(data.val_batches()))
    images = data.normalized(images[:1].to(ours.device)).to(memory_format=layout)
    return images, labels[:1].to(ours.device)


def _begun(
    config: TrainingConfig, folder: Path, ours: Processes, held: contextlib.ExitStack
) -> checkpoint.TrainingPosition:
    """Position of the training in a folder, which is locked against other processes until `held` is closed."""
    position = _position(config, folder, ours)
    if position.epochs == config.epochs:
        return position  # a finished training does not change, and its folder may be read only
    if ours.first:
        held.enter_context(run_folder.locked(folder))
    ours.wait()
    return _position(config, folder, ours)


def _position(config: TrainingConfig, folder: Path, ours: Processes) -> checkpoint.TrainingPosition:
    """Position of the training in a folder, after a check that it has the same settings."""
    if os.path.exists(folder / RUN_FILE):  # noqa: PTH110 - returns False for a name that is too long
        check_resumable(read_header(folder), folder)
    position = checkpoint.load_position(folder)
    checkpoint.check_same(position, config, ours.count, folder)
    return position


def _bytes_ahead(config: TrainingConfig, model: torch.nn.Module, done: int) -> int:
    """Estimated bytes of the remaining windows after `done` epochs, at least those that a recording needs to start."""
    if config.real:
        return 0
    kept = requested(config.quantities)
    windows = max(config.epochs - done + 1, LEAST_WINDOWS)
    sampling = sampling_of(config.channels, config.channel_seed)
    return windows * window_bytes([recorded_spec(layer, sampling) for layer in binary_layers(model)], kept)


@dataclass(slots=True)
class _Training:
    """A training that is ready to begin, in one of its processes."""

    config: TrainingConfig
    data: Dataset | Text
    model: torch.nn.Module
    optimizer: torch.optim.Optimizer
    ours: Processes
    on_batch: Callable[[Progress], object]
    on_epoch: Callable[[Mapping[str, Any]], object]
    should_stop: Callable[[], bool]

    def run(self, folder: Path, position: checkpoint.TrainingPosition | None) -> Result:
        """Run the remaining epochs, each with its mark and its checkpoint."""
        start, update = (position.epochs, position.update) if position else (0, 0)
        accuracy = float("nan")
        with self._recording(folder, None if position is None else update) as recorder:
            if position is None:
                self._save(folder, 0, 0)
            self.ours.wait()  # the other processes continue only if rank 0 could begin
            step = Step(self.config, self.model, self.optimizer, self.ours, update, self.data.normalized)
            for epoch in range(start, self.config.epochs):
                revived = self._revived(folder, epoch)
                outcome = self._epoch(step, recorder, epoch, revived)
                if outcome is None:
                    return Result(epoch, stopped=True, val_top1=accuracy, first=self.ours.first)
                accuracy = outcome
                if recorder is not None:
                    recorder.flush()
                self._save(folder, epoch + 1, step.update)
        return Result(self.config.epochs, stopped=False, val_top1=accuracy, first=self.ours.first)

    def _recording(self, folder: Path, update: int | None) -> contextlib.AbstractContextManager[Recorder | None]:
        """A recorder in rank 0; None in the other processes, and where there are only real weights."""
        if not self.ours.first or self.config.real:
            return contextlib.nullcontext()
        # The weights of a compiled pass cannot be seen.
        example = _one_image(self.config, self.data, self.ours)[0] if self.config.compile else None
        return record(
            self.model,
            self.optimizer,
            folder,
            resume=update,
            configuration=self.config.to_dict(),
            quantities=self.config.quantities,
            traces=self.config.traces or None,
            channels=self.config.channels,
            channel_seed=self.config.channel_seed,
            example=example,
        )

    def _save(self, folder: Path, epochs: int, update: int) -> None:
        if self.ours.first:
            position = checkpoint.TrainingPosition(epochs, update, self.config, self.ours.count, self.data.fingerprint)
            checkpoint.save(folder, self.model, self.optimizer, position)

    def _revived(self, folder: Path, epoch: int) -> dict[str, int]:
        """Revive weights if it is time; return their number, as a metric."""
        revival = self.config.revival
        if revival is None or epoch not in revival.epochs:
            return {}
        return {"revived": revive(self.config, revival, folder, self.model, self.optimizer, epoch)}

    def _epoch(self, step: Step, recorder: Recorder | None, epoch: int, revived: Mapping[str, int]) -> float | None:
        """Train, validate and mark one epoch; return the validation accuracy, or None if the training was stopped."""
        began = time.perf_counter()
        lr, tau = self.config.learning_rate(epoch), self.config.tau_of(epoch)
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        if tau is not None:
            set_tau(self.model, tau)
        set_progress(self.model, epoch / self.config.epochs)
        trained = self._pass(step, epoch, tau)
        if trained is None:
            return None
        self._check_weights(epoch)
        val_loss, val_top1 = self._validate(step)
        metrics = {
            "epoch": epoch,
            "tau": tau,
            "lr": lr,
            "train_loss": trained[0],
            "train_top1": trained[1],
            "val_loss": val_loss,
            "val_top1": val_top1,
            "seconds": round(time.perf_counter() - began, 3),
            **revived,
        }
        if self.config.dataset == "text":
            metrics["val_bits_per_byte"] = val_loss / math.log(2)
        if recorder is not None:
            recorder.mark(**metrics)
        if self.ours.first:
            self.on_epoch(metrics)
        return val_top1

    def _pass(self, step: Step, epoch: int, tau: float | None) -> tuple[float, float] | None:
        """Make all updates of an epoch; return mean cross-entropy and training accuracy, None if stopped."""
        self.model.train()
        # Random numbers within an epoch depend only on seed and epoch, so that a resumed training repeats them.
        torch.manual_seed(epoch_seed(self.config.seed, epoch))
        parts = self._parts(epoch)
        seen, loss_sum, hits = 0, 0.0, 0
        for number, part in enumerate(parts, start=1):
            loss, correct = step(part, self._share(part, epoch, number))
            seen, loss_sum, hits = seen + len(part.indices) * self.data.labels_each, loss_sum + loss, hits + correct
            if self.ours.first:
                means = (loss_sum / seen, 100 * hits / seen)
                self.on_batch(Progress(epoch, self.config.epochs, number, len(parts), *means, tau))
            if self.ours.any(self.should_stop()):
                return None
        return loss_sum / seen, 100 * hits / seen

    def _check_weights(self, epoch: int) -> None:
        """Raise SharedError if weights are not finite; the loss may stay finite because only signs are used."""
        spoilt, negative = not_finite(self.model), bad_steps(self.model)
        if negative and not spoilt:
            raise SharedError(
                f"{negative[0]}, a learned step, is not positive after epoch {epoch}, so its layer has no states; try "
                "a lower learning rate"
            )
        if self.ours.any(bool(spoilt)):
            name = spoilt[0] if spoilt else "a tensor of another process"
            raise SharedError(
                f"{name} has NaN or infinite values after epoch {epoch}, although the loss is finite; try a lower "
                "learning rate, or weight decay and scales closer to the defaults"
            )

    def _parts(self, epoch: int) -> list[Part]:
        """The batches of an epoch, without a last batch that has fewer than two images per process."""
        index_batches = batches(len(self.data.train_labels), self.config.batch_size, self.config.seed, epoch)
        whole = [each for each in index_batches if len(each) >= 2 * self.ours.count]
        most = self.config.epoch_updates * self.config.accumulate
        return list(in_updates(whole[: most or None], self.config.accumulate))

    def _share(self, part: Part, epoch: int, number: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Images and labels of this process's share of a batch."""
        with self.ours.own_draws(self.config.seed, epoch, number):
            images, labels = self.data.train_batch(self.ours.share(part.indices), augment=self.config.augment)
            if self.config.control == "labels":
                labels = torch.randint(self.data.classes, labels.shape)
            return images, labels

    def _validate(self, step: Step) -> tuple[float, float]:
        """Cross-entropy and accuracy, measured by rank 0 and shared with all processes."""
        measured = (0.0, 0.0)
        if self.ours.first:
            with step.precision():
                measured = evaluate(self.model, step.placed(self.data.val_batches()))
        loss, top1 = self.ours.total(measured)
        return loss, top1


@torch.no_grad()
def evaluate(model: torch.nn.Module, batches: Iterable[tuple[torch.Tensor, torch.Tensor]]) -> tuple[float, float]:
    """Mean cross-entropy (nats) and accuracy (per cent) in evaluation mode; the model's mode is restored.

    Parameters
    ----------
    model : torch.nn.Module
    batches : iterable of (Tensor of shape (N, 3, H, W), Tensor of int64 of shape (N,))
        Or of bytes and labels of shape (N, length), for a network with logits of shape (N, classes, length).
    """
    mode = model.training
    model.eval()
    loss, hits, seen = 0.0, 0, 0
    for images, labels in batches:
        logits = model(images)
        loss += float(functional.cross_entropy(logits.float(), labels, reduction="sum"))
        hits += int((logits.argmax(dim=1) == labels).sum())
        seen += labels.numel()
    model.train(mode)
    return loss / seen, 100 * hits / seen
