"""The callback that records latent weights in the Trainer of transformers; needs the extra `transformers`."""

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

    from recu_analysis.capture.traces import TracesArgument

#: A metric that is logged once, at the end of the training; logs with it belong to no window.
SUMMARY = "train_runtime"


class RecordLatentWeights(TrainerCallback, ExportableState):
    """Record the latent weights of a model in `Trainer.train`.

    A window ends with each training epoch. Its mark has the epoch (from 0), the learning rate of the last update and
    the last value of each scalar that was logged since the previous mark, including the epoch's evaluation. Each
    checkpoint also ends a window, so ``trainer.train(resume_from_checkpoint=...)`` continues the run. Updates are steps
    of the optimizer that accelerate wraps: accumulated batches and steps that a gradient scaler skips do not count.
    With several processes, rank 0 records.

    The Trainer does not inform its callbacks about an exception or Ctrl-C. The open window is then written and marked
    as partial when the ``with`` block of the callback ends, at the next training, or when Python exits.

    Parameters
    ----------
    run_dir : str or path-like
        New or empty folder, unless the training is resumed.
    layers : sequence of str, optional
        Patterns of the names of the layers to record instead of those found.
    every : int, optional
        Also close a window after this many updates.
    anew : bool
        Behavior if the Trainer restarts by itself, as with ``auto_find_batch_size``. By default the run continues at
        the update of the current weights. With True, a new run begins in a folder beside it, such as ``runs/a-2``, and
        the first run stays unchanged. The same happens, with a warning, if the Trainer went back to other weights. If
        no update had been recorded, the run begins again in its own folder.
    traces : int or mapping, optional
        Weights whose value is recorded after every update, as for `recu_analysis.record`.

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
        traces: TracesArgument = None,
    ) -> None:
        self._recording = CallbackRecording(run_dir, layers, every, traces)
        self._layers, self._every, self._anew, self._traces = layers, every, anew, traces
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
        """Begin to record: a checkpoint is restored, and model and optimizer are prepared."""
        stopped = self._recording.update
        self.close()
        self._metrics, self._ended = {}, None
        self._recording.require_whole(model)
        if state.is_world_process_zero:
            position = self._position(state)
            if stopped is not None and position is None:
                self._recording.begin_again(model, [optimizer], stopped, anew=self._anew)
            else:
                self._recording.begin(model, [optimizer], position)
            atexit.register(self.close)
        # The Trainer saves only states of callbacks that the checkpoint it resumes from already has.
        state.stateful_callbacks.setdefault(type(self).__name__, self.state())

    def state(self) -> dict[str, Any]:
        """State for a checkpoint: the arguments, and the number of the last update."""
        layers = None if self._layers is None else list(self._layers)
        arguments = {
            "run_dir": str(self._recording.run_dir),
            "layers": layers,
            "every": self._every,
            "anew": self._anew,
            "traces": self._traces,
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
        """Note that the epoch has ended; the Trainer logs and evaluates after this hook."""
        # At the end of the first epoch state.epoch is 1; a stop within the second epoch gives, for example, 1.4.
        self._ended = math.ceil(state.epoch - 1e-6) - 1

    def on_epoch_begin(self, *_: Any, **__: Any) -> None:
        """Mark the previous epoch."""
        self._mark_epoch()

    def on_save(self, *_: Any, **__: Any) -> None:
        """Write the run up to the update of the checkpoint."""
        self._mark_epoch()
        self._recording.save()

    def on_train_end(self, *_: Any, **__: Any) -> None:
        """Mark the last epoch and close."""
        self.close()

    def close(self) -> None:
        """End the recording; the open window is marked as partial unless its epoch had ended. May be called again."""
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
        """The update at the Trainer's step; it is smaller than the step if a gradient scaler skipped steps."""
        if state.global_step == 0 or not self._recording.holds_run():
            return None
        saved = state.stateful_callbacks.get(type(self).__name__, {})
        update = saved.get("attributes", {}).get("update") if isinstance(saved, dict) else None
        return int(state.global_step if update is None else update)
