"""Common part of the callbacks: a recorder that starts and resumes with a training, and marks logged metrics."""

from __future__ import annotations

import contextlib
import math
import warnings
from itertools import count
from typing import TYPE_CHECKING, Any

from recu_analysis.capture.rank_zero import is_fully_sharded
from recu_analysis.capture.record import record
from recu_analysis.errors import RecorderError, StoreError
from recu_analysis.store.format import RUN_FILE
from recu_analysis.store.locked_folder import absolute
from recu_analysis.store.object_path import ObjectPath
from recu_analysis.store.places import as_place

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import torch

    from recu_analysis.capture.recorder import Recorder
    from recu_analysis.capture.traces import TracesArgument

#: Names of metrics that a mark sets itself.
RESERVED = frozenset({"window", "update", "epoch", "lr"})


def scalars_of(logged: Mapping[str, Any]) -> dict[str, float]:
    """The numbers among logged metrics, also from zero-dimensional tensors and numpy, without reserved names."""
    values: dict[str, float] = {}
    for name, value in logged.items():
        single = value.item() if getattr(value, "ndim", None) == 0 else value
        if name not in RESERVED and isinstance(single, (int, float)) and not isinstance(single, bool):
            values[name] = single if math.isfinite(single) else math.nan
    return values


def _free_beside(path: Path) -> Path:
    """The first of path-2, path-3, ... that does not exist."""
    return next(each for number in count(2) if not (each := path.parent / f"{path.name}-{number}").exists())


class CallbackRecording:
    """A recording that is driven by the callback of a training library.

    Parameters
    ----------
    run_dir, layers, every, traces
        As for `recu_analysis.record`.
    """

    def __init__(
        self,
        run_dir: str | os.PathLike[str],
        layers: Sequence[str] | None = None,
        every: int | None = None,
        traces: TracesArgument = None,
    ) -> None:
        self.run_dir = as_place(run_dir)
        self._options: dict[str, Any] = {"layers": layers, "every": every, "traces": traces}
        self._recorder: Recorder | None = None
        self._lr: float | None = None

    @property
    def update(self) -> int | None:
        """Number of the last recorded update; None while nothing is recorded."""
        return None if self._recorder is None else self._recorder.update

    def holds_run(self) -> bool:
        """Whether there is a run to resume."""
        return (absolute(self.run_dir) / RUN_FILE).exists()

    def require_whole(self, model: torch.nn.Module) -> None:
        """Raise RecorderError in every process if a model is sharded: a callback records in one process alone."""
        if is_fully_sharded(model):
            raise RecorderError(
                "this callback cannot record a model that fully_shard has sharded, because all processes must record "
                "it; call ra.record in a training loop of your own, with accelerate or without, or train with "
                "DistributedDataParallel"
            )

    def begin(
        self,
        model: torch.nn.Module,
        optimizers: Sequence[torch.optim.Optimizer],
        resume: int | None = None,
        state: Mapping[str, torch.Tensor] | None = None,
    ) -> None:
        """Start recording; raises the errors of `recu_analysis.record`."""
        self.close()
        self._recorder = record(model, optimizers, self.run_dir, resume=resume, state=state, **self._options)
        self._lr = None

    def begin_again(
        self, model: torch.nn.Module, optimizers: Sequence[torch.optim.Optimizer], update: int, *, anew: bool
    ) -> None:
        """Start recording again, after the library restarted the training by itself at an update.

        The run continues at that update. With `anew`, or if the library changed the weights, a new run begins in a
        folder beside the old one. If nothing had been recorded, the same folder is used.
        """
        self.close()
        why = "the training was restarted"
        if not anew or update == 0:
            try:
                self.begin(model, optimizers, update)
            except StoreError as error:
                why = str(error)
            else:
                return
        self.run_dir = _free_beside(absolute(self.run_dir))
        warnings.warn(f"{why}; the recording continues as a new run in {self.run_dir}", stacklevel=2)
        self.begin(model, optimizers)

    def state(self) -> dict[str, torch.Tensor]:
        """State for a checkpoint, from which `begin` can continue within a window; empty while nothing is recorded."""
        with self._outliving():
            return {} if self._recorder is None else self._recorder.state_dict()

    def before_step(self) -> None:
        """Note the learning rate of the next update, because the scheduler changes it before the mark."""
        if self._recorder is not None:
            self._lr = self._recorder.lr

    def mark(self, **metrics: Any) -> None:
        """Close the open window with these metrics and the learning rate of its last update."""
        if self._recorder is not None:
            self._recorder.mark(**({} if self._lr is None else {"lr": self._lr}) | metrics)

    def save(self) -> None:
        """Close the window and write it before a checkpoint, because a resumption continues from a window's end."""
        if self._recorder is not None:
            self._recorder.close_window()
            with self._outliving():
                self._recorder.flush()

    def _outliving(self) -> contextlib.AbstractContextManager[None]:
        """A context in which an object store that fails does not end the training; the recorder has warned of it."""
        return contextlib.suppress(StoreError) if isinstance(self.run_dir, ObjectPath) else contextlib.nullcontext()

    def close(self, error: BaseException | None = None) -> None:
        """End the recording and mark the open window as partial; `error`, which ended the training, is not replaced."""
        recorder, self._recorder = self._recorder, None
        if recorder is not None:
            recorder.__exit__(type(error) if error else None, error, None)
