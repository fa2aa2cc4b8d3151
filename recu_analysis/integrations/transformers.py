"""The callback for the Trainer of transformers that records latent weights; needs the extra `transformers`."""

from __future__ import annotations

import atexit
import math
from typing import TYPE_CHECKING, Any, Self

from recu_analysis.integrations.callback_base import CallbackRecording, scalars_of
from recu_analysis.integrations.extra import missing

try:
    from transformers import TrainerCallback
    from transformers.trainer_callback import ExportableState
except ImportError as error:
    raise missing("transformers", error) from None

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence
    from types import TracebackType

    import torch

#: Logged once, when the training is over; no window's business.
SUMMARY = "train_runtime"


class RecordLatentWeights(TrainerCallback, ExportableState):
    """Record the latent weights of a model in `Trainer.train`.

    A window ends with each training epoch and carries the epoch (from 0), the learning rate of its last
    update and the last value of each scalar that was logged since the mark before, those of the epoch's evaluation
    among them. Each checkpoint ends a window too, so that ``trainer.train(resume_from_checkpoint=...)`` goes on with
    the run. Updates are steps of the optimizer that accelerate wraps: batches whose gradients are accumulated and
    steps that a gradient scaler skips do not count. Of several processes the first one records.

    The Trainer does not tell its callbacks of an exception or Ctrl-C: the open window is then written, marked
    partial, when the ``with`` block of the callback ends, at the next training, or when Python exits.

    Parameters
    ----------
    run_dir : str or path-like
        New or empty folder, unless the training is resumed.
    layers : sequence of str, optional
        Patterns of the names of the layers to record instead of those found.
    every : int, optional
        Close a window after this many updates, too.
    anew : bool
        What is done where the Trainer begins again by itself, as with ``auto_find_batch_size``: by default the run goes
        on at the update where the weights stand; with True a run of its own begins in a folder beside, such as
        ``runs/a-2``, and the run stays as it is. The same is done, with a warning, where the Trainer went back to other
        weights. Where no update had been recorded the run begins in its own folder.

    Raises
    ------
    MissingExtraError
        On import, if transformers is not installed.
    RecuError
        From `Trainer.train`, as `recu_analysis.record` does.

    Examples
    --------
    >>> with RecordLatentWeights("runs/a") as recording:  # doctest: +SKIP
    ...     Trainer(model, arguments, train_dataset=images, callbacks=[recording]).train()
    """

    def __init__(
        self,
        run_dir: str | os.PathLike[str],
        layers: Sequence[str] | None = None,
        every: int | None = None,
        anew: bool = False,
    ) -> None:
        self._recording = CallbackRecording(run_dir, layers, every)
        self._layers, self._every, self._anew = layers, every, anew
        self._metrics: dict[str, float] = {}
        self._ended: int | None = None

    def on_train_begin(
        self,
        args: Any,
        state: Any,
        control: Any,
        *,
        model: torch.nn.Module,
        optimizer: torch.optim.Optimizer,
        **_: Any,
    ) -> None:
        """Begin: a checkpoint is restored, model and optimizer are prepared; begin again where nothing had ended."""
        stopped = self._recording.update
        self.close()
        self._metrics, self._ended = {}, None
        if state.is_world_process_zero:
            position = self._position(state)
            if stopped is not None and position is None:
                self._recording.begin_again(model, [optimizer], stopped, anew=self._anew)
            else:
                self._recording.begin(model, [optimizer], position)
            atexit.register(self.close)
        # The Trainer saves the state only of callbacks that the checkpoint knows that it resumes from.
        state.stateful_callbacks.setdefault(type(self).__name__, self.state())

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps: the arguments, and the update at which it stands."""
        layers = None if self._layers is None else list(self._layers)
        arguments = {
            "run_dir": str(self._recording.run_dir),
            "layers": layers,
            "every": self._every,
            "anew": self._anew,
        }
        return {"args": arguments, "attributes": {"update": self._recording.update}}

    def on_pre_optimizer_step(self, *_: Any, **__: Any) -> None:
        """Note the learning rate."""
        self._recording.before_step()

    def on_log(self, args: Any, state: Any, control: Any, *, logs: dict[str, Any] | None = None, **_: Any) -> None:
        """Keep the scalars for the next mark."""
        if logs and SUMMARY not in logs:
            self._metrics |= scalars_of(logs)

    def on_epoch_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Note that the epoch has ended; its logs and its evaluation are still to come."""
        # At the end of the first epoch the Trainer says 1; stopped within the second it says 1.4.
        self._ended = math.ceil(state.epoch - 1e-6) - 1

    def on_epoch_begin(self, *_: Any, **__: Any) -> None:
        """Mark the epoch before."""
        self._mark_epoch()

    def on_save(self, *_: Any, **__: Any) -> None:
        """Let the run reach as far as the checkpoint."""
        self._mark_epoch()
        self._recording.save()

    def on_train_end(self, *_: Any, **__: Any) -> None:
        """Mark the last epoch and close."""
        self.close()

    def close(self) -> None:
        """End the recording; the open window is marked partial unless its epoch was over. May be repeated."""
        self._close(None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close(error)

    def _close(self, error: BaseException | None) -> None:
        atexit.unregister(self.close)
        try:
            self._mark_epoch()
        finally:
            self._recording.close(error)

    def _mark_epoch(self) -> None:
        if self._ended is not None:
            self._recording.mark(epoch=self._ended, **self._metrics)
            self._metrics, self._ended = {}, None

    def _position(self, state: Any) -> int | None:
        """The update at which the Trainer's step stood: less than the step where a gradient scaler skipped some."""
        if state.global_step == 0 or not self._recording.holds_run():
            return None
        saved = state.stateful_callbacks.get(type(self).__name__, {})
        update = saved.get("attributes", {}).get("update") if isinstance(saved, dict) else None
        return int(state.global_step if update is None else update)
