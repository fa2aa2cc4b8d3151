"""The Lightning callback that records latent weights; needs the extra `lightning`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from recu_analysis.integrations.callback_base import CallbackRecording, scalars_of
from recu_analysis.integrations.extra import missing

try:
    from lightning.pytorch import Callback
except ImportError as error:
    raise missing("lightning", error) from None

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    import torch

    from recu_analysis.capture.traces import TracesArgument

#: Name of the entry with the recording's state in a checkpoint.
KEY = "recu_analysis.latent_weights"


class RecordLatentWeights(Callback):
    """Record the latent weights of a LightningModule in every `Trainer.fit`.

    A window ends with each training epoch. Its mark has the epoch, the learning rate of the last update and the scalars
    that were logged in the epoch, including those of validation. Checkpoints keep the open window (8 bytes per weight),
    so ``trainer.fit(model, ckpt_path=...)`` continues the run even within an epoch. After an exception or Ctrl-C, the
    open window is written and marked as partial. Updates are optimizer steps: accumulated batches, steps that a
    gradient scaler skips and the sanity check do not count. With several processes, rank 0 records.

    Parameters
    ----------
    run_dir : str or path-like
        New or empty folder, unless the training is resumed.
    layers : sequence of str, optional
        Patterns of the names of the layers to record instead of those found; names are those in the module.
    every : int, optional
        Also close a window after this many updates.
    resume : int, optional
        The update at which the module was saved, if it is loaded in another way than by ``ckpt_path``.
    traces : int or mapping, optional
        Weights whose value is recorded after every update, as for `recu_analysis.record`.

    Raises
    ------
    MissingExtraError
        On import, if Lightning is not installed.
    RecuError
        From `Trainer.fit`, as `recu_analysis.record` does.

    Examples
    --------
    >>> trainer = Trainer(callbacks=[RecordLatentWeights("runs/a")])  # doctest: +SKIP
    >>> trainer.fit(module, loader)  # doctest: +SKIP
    """

    def __init__(
        self,
        run_dir: str | os.PathLike[str],
        layers: Sequence[str] | None = None,
        every: int | None = None,
        resume: int | None = None,
        traces: TracesArgument = None,
    ) -> None:
        self._recording = CallbackRecording(run_dir, layers, every, traces)
        self._resume = resume
        self._loaded: dict[str, torch.Tensor] = {}
        self._last: dict[str, torch.Tensor] = {}
        self._before: dict[str, torch.Tensor] = {}
        self._ended: int | None = None

    def on_train_start(self, trainer: Any, pl_module: torch.nn.Module) -> None:
        """Begin to record: optimizers exist, the module is on its device, and a checkpoint is restored."""
        self._ended = None
        self._recording.require_whole(pl_module)
        # A trainer that has trained before continues from there.
        state = self._loaded or (self._last if trainer.global_step else {})
        stopped = self._recording.update  # not None if Lightning restarted without an end or an exception
        if stopped is not None and not state:
            self._recording.begin_again(pl_module, trainer.optimizers, stopped, anew=False)
        elif trainer.is_global_zero:
            self._recording.begin(pl_module, trainer.optimizers, None if state else self._resume, state or None)
        self._resume, self._loaded = None, {}

    def on_train_batch_start(self, *_: Any) -> None:
        """Note the learning rate."""
        self._recording.before_step()

    def on_train_epoch_end(self, trainer: Any, pl_module: torch.nn.Module) -> None:
        """Note that the epoch has ended; the module logs its last metrics after this hook."""
        self._ended = trainer.current_epoch

    def on_train_epoch_start(self, trainer: Any, pl_module: torch.nn.Module) -> None:
        """Mark the previous epoch."""
        self._mark_epoch(trainer)
        self._before = dict(trainer.callback_metrics)

    def on_train_end(self, trainer: Any, pl_module: torch.nn.Module) -> None:
        """Mark the last epoch and close."""
        self._end(trainer)

    def on_exception(self, trainer: Any, pl_module: torch.nn.Module, exception: BaseException) -> None:
        """Close; the open window is marked as partial unless its epoch had ended."""
        self._end(trainer, exception)

    def _end(self, trainer: Any, error: BaseException | None = None) -> None:
        try:
            self._mark_epoch(trainer)
            self._last = self._recording.state() or self._last
        finally:
            self._recording.close(error)

    # Not state_dict(): Lightning calls it earlier, when the window of the finished epoch is still unmarked.
    def on_save_checkpoint(self, trainer: Any, pl_module: torch.nn.Module, checkpoint: dict[str, Any]) -> None:
        """Save the state of the recording, including the open window."""
        self._mark_epoch(trainer)
        checkpoint[KEY] = self._recording.state() or self._last

    def on_load_checkpoint(self, trainer: Any, pl_module: torch.nn.Module, checkpoint: dict[str, Any]) -> None:
        """Load the state from which the next `fit` continues; without a run in the folder, a new run begins."""
        if self._recording.holds_run():
            self._loaded = checkpoint.get(KEY, {})

    def _mark_epoch(self, trainer: Any) -> None:
        if self._ended is not None:
            logged = trainer.callback_metrics
            # Lightning keeps the metrics of earlier epochs.
            fresh = {name: value for name, value in logged.items() if value is not self._before.get(name)}
            self._recording.mark(epoch=self._ended, **scalars_of(fresh))
            self._ended = None
