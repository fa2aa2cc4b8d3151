"""record(): an optimizer hook that accounts for every update, and windows that go to disk."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, SupportsIndex

import torch

from recu_analysis.capture.accumulate import warn_of_infinite
from recu_analysis.capture.adapters import binary_layers
from recu_analysis.capture.environment import what_trains
from recu_analysis.capture.extras import need_gradients
from recu_analysis.capture.interrupts import interrupts_deferred
from recu_analysis.capture.metrics import plain
from recu_analysis.capture.optimizers import free_optimizers, has_closure, recorded, was_skipped
from recu_analysis.capture.ranks import IdleWriter, is_first
from recu_analysis.capture.resuming import Position, begin
from recu_analysis.capture.tracks import pool_for, track_of
from recu_analysis.errors import InputError, RecorderError
from recu_analysis.store.quantities import requested
from recu_analysis.store.state import window_bytes

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Mapping, Sequence
    from types import TracebackType

    from recu_analysis.store.writer import RunWriter


class Recorder:
    """What `record` returns: a context manager that records until its block ends; see `record`."""

    def __init__(
        self,
        model: torch.nn.Module,
        optimizer: torch.optim.Optimizer | Sequence[torch.optim.Optimizer],
        run_dir: str | os.PathLike[str],
        *,
        layers: Sequence[str] | None = None,
        every: int | None = None,
        resume: int | None = None,
        configuration: Mapping[str, Any] | None = None,
        quantities: Iterable[str] = (),
        only: Iterable[str] | None = None,
        state: Mapping[str, torch.Tensor] | None = None,
    ) -> None:
        if every is not None and (not isinstance(every, int) or every < 1):
            raise InputError(f"every must be a whole number of updates, at least 1, not {every!r:.40}")
        if resume is not None and not isinstance(resume, SupportsIndex):
            raise InputError(f"resume must be the number of an update, not {resume!r:.40}")
        if not isinstance(model, torch.nn.Module):
            raise InputError(f"recording needs a torch model, not {type(model).__name__}")
        self._optimizers = free_optimizers(optimizer)
        self._every = every
        self._quantities = requested(quantities, only)
        self._closed = False
        count = len(self._optimizers)
        self._at = Position([resume or 0] * count, [resume or 0] * count)
        if state is not None:
            self._at = Position.from_state(state, count, resume)
        found = binary_layers(model, layers)  # in every process, so that what is wrong ends all of them
        self._tracks = [
            track_of(layer, self._optimizers, self._at.updates, self._quantities)
            for layer in (found if is_first(model) else [])
        ]
        self._pool = pool_for(self._tracks)
        self.window_bytes = window_bytes([track.spec for track in self._tracks], self._quantities)
        self._writer: RunWriter | IdleWriter = IdleWriter()
        if self._tracks:
            self._writer = begin(
                Path(run_dir),
                self._tracks,
                self._at,
                resume=resume,
                state=state,
                configuration=configuration or {},
                quantities=self._quantities,
                about=what_trains(model, self._optimizers),
            )
        self._handles = [each.register_step_post_hook(self._hook(index)) for index, each in enumerate(self._optimizers)]
        if need_gradients(self._quantities):
            self._handles += [
                each.register_step_pre_hook(self._gradient_hook(index)) for index, each in enumerate(self._optimizers)
            ]
        recorded.update(self._optimizers)

    @property
    def update(self) -> int:
        """Number of the last update seen."""
        return max(self._at.updates)

    @property
    def lr(self) -> float | None:
        """Learning rate that the first layer's parameter group has now, where this process records."""
        return self._tracks[0].learning_rate(self._optimizers) if self._tracks else None

    def mark(self, **metrics: Any) -> None:
        """Close the open window, queue it for the disk and log the metrics; without updates only log.

        Parameters
        ----------
        **metrics
            Numbers and texts for this line of metrics.jsonl, such as ``epoch=3, val_top1=91.2``. ``lr`` is added
            where it is not given, from the first binary layer's parameter group.

        Raises
        ------
        InputError
            If a metric is neither number nor text, or takes the name window or update; the window stays open.
        StoreError
            If a window could not be written.
        """
        self._refuse_closed()
        line = {"lr": self.lr} | {name: plain(name, value) for name, value in metrics.items()}
        with interrupts_deferred():
            # A window that `every` or `cut` has just closed is the one that is meant.
            number = self._write_window() if self._open else self._at.unmarked
            self._at.unmarked = None
            self._writer.write_metrics({"window": number, "update": self.update} | line)

    def cut(self) -> None:
        """Close the open window, if it has updates, without a line of metrics, as a checkpoint is about to count.

        A mark names this window as its own if no update comes between.

        Raises
        ------
        StoreError
            If a window could not be written.
        """
        self._refuse_closed()
        with interrupts_deferred():
            if self._open:
                self._at.unmarked = self._write_window()

    def flush(self) -> None:
        """Return when every marked window is on disk.

        Raises
        ------
        StoreError
            If one could not be written.
        """
        self._refuse_closed()
        self._writer.flush()

    def state_dict(self) -> dict[str, torch.Tensor]:
        """What the recording needs to go on in another process in the middle of the open window.

        Save it with the model and the optimizer; ``record(..., state=state)`` takes it up, and the windows are then
        bitwise those of a recording that never stopped. At a mark nothing of the kind is needed: ``resume=`` is enough.

        Returns
        -------
        dict of str to Tensor
            Copies on the CPU, about 16 bytes a weight; torch.save and safetensors take them.

        Raises
        ------
        StoreError
            If a window could not be written: it returns when all those before the open one are on disk.
        """
        self.flush()
        layers = {f"{name}/{t.layer.name}": tensor for t in self._tracks for name, tensor in t.state().items()}
        return self._at.tensors() | layers

    def close(self) -> None:
        """Remove the hook, write the open window marked partial, and wait for the disk. May be repeated.

        Raises
        ------
        StoreError
            If a window could not be written.
        """
        if self._closed:
            return
        self._closed = True
        for handle in self._handles:
            handle.remove()
        recorded.difference_update(self._optimizers)
        if self._pool is not None:
            self._pool.shutdown()
        try:
            if self._open:
                self._write_window(partial=True)
        finally:
            self._writer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.close()
        except Exception as failure:
            if error is None:
                raise
            # The error of the training loop is the one that the user must see.
            error.add_note(f"the recording could not be closed either: {failure}")

    @property
    def _open(self) -> bool:
        return self._at.updates != self._at.window_start

    def _refuse_closed(self) -> None:
        if self._closed:
            raise RecorderError("the recording is closed; call mark() and flush() inside its with block")

    def _hook(self, index: int) -> Any:
        def after_step(optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
            if was_skipped(optimizer):
                return
            with interrupts_deferred():
                if has_closure(args, kwargs):
                    self._add_gradients(index, optimizer)
                self._advance(index, optimizer)
                self._at.unmarked = None
                if self._every and self._at.updates[index] - self._at.window_start[index] >= self._every:
                    self._at.unmarked = self._write_window()

        return after_step

    def _gradient_hook(self, index: int) -> Any:
        def before_step(optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
            if not has_closure(args, kwargs) and not was_skipped(optimizer):
                self._add_gradients(index, optimizer)

        return before_step

    def _add_gradients(self, index: int, optimizer: torch.optim.Optimizer) -> None:
        for track in self._tracks:
            if track.optimizer == index:
                track.add_gradient(getattr(optimizer, "grad_scale", None))

    def _advance(self, index: int, optimizer: torch.optim.Optimizer) -> None:
        tracks = [track for track in self._tracks if track.optimizer == index]
        for track in tracks:
            track.require_same_weight()
        self._at.updates[index] += 1
        update = self._at.updates[index]
        for track in tracks:
            track.count(track.group_in(optimizer))

        for _ in (self._pool.map if self._pool else map)(lambda track: track.advance(update), tracks):
            pass

    def _write_window(self, *, partial: bool = False) -> int:
        states = {track.layer.name: track.take() for track in self._tracks}
        first, last = min(self._at.window_start) + 1, max(self._at.updates)
        self._at.window_start = list(self._at.updates)
        number = self._writer.write_window(states, first_update=first, last_update=last, partial=partial)
        warn_of_infinite(states)
        return number


def record(
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer | Sequence[torch.optim.Optimizer],
    run_dir: str | os.PathLike[str],
    *,
    layers: Sequence[str] | None = None,
    every: int | None = None,
    resume: int | None = None,
    configuration: Mapping[str, Any] | None = None,
    quantities: Iterable[str] = (),
    only: Iterable[str] | None = None,
    state: Mapping[str, torch.Tensor] | None = None,
) -> Recorder:
    """Record the latent weights of a binary network while it trains.

    Every step of the optimizer is accounted for, exactly; training with and without recording gives bitwise
    the same weights. The run directory holds one window a `mark`. A step is an update however many batches its
    gradient was accumulated over; one that GradScaler skips is none.

    In several processes (DistributedDataParallel) every one calls this and goes on alike: that of rank 0 records, and
    what the others get takes the same calls, counts the updates and writes nothing.

    Parameters
    ----------
    model : torch.nn.Module
        Its binary layers are found by themselves; `find_binary_layers` says which.
    optimizer : Optimizer or sequence of Optimizer
        What updates the latent weights; each layer belongs to one.
    run_dir : str or path-like
        New or empty folder.
    layers : sequence of str, optional
        Patterns of the names of the layers to record instead.
    every : int, optional
        Close a window by itself after this many updates, beside those that `mark` closes.
    resume : int, optional
        Go on with the run in `run_dir`: the update at which the loaded model and optimizer stood. Windows past
        it are hidden, not deleted.
    configuration : mapping, optional
        What run.json shall say of the training; JSON types.
    quantities : iterable of str
        What is kept of every weight beside the usual: ``"ema"`` (OvSW's moving average of the flips) and ``"grad"``
        (the sum of abs(gradient) before each update). A gradient is counted as the optimizer gets it: clipped where it
        was clipped, without the scale of GradScaler.
    only : iterable of str, optional
        What is kept in place of the usual, which is ``"path"``, ``"zpath"`` and ``"flip_times"`` (the numbers of the
        first and last update that flipped it); state and flips are kept always.
    state : mapping, optional
        What `Recorder.state_dict` gave: go on with the run in `run_dir` in the middle of a window. The model and the
        optimizers must stand where it was taken; `resume` may be left out.

    Returns
    -------
    Recorder
        With `mark`, `cut`, `flush` and `close`; also a context manager.

    Raises
    ------
    InputError
        If there is no such quantity, `every` is below 1, or the state is not that of these layers and weights.
    NoBinaryLayersError
        If the model has no binary layer.
    RecorderError
        If the optimizer does not hold a binary layer's weight, or is being recorded already; if the weight is on the
        meta device or sparse; and, after an update, if the layer has got another parameter meanwhile.
    RunExistsError
        If `run_dir` is not empty and `resume` is not given.
    StoreError
        If `run_dir` cannot be written, or has too little room.

    Examples
    --------
    >>> with record(model, optimizer, "runs/a") as recorder:  # doctest: +SKIP
    ...     for epoch in range(epochs):
    ...         train_one_epoch(model, optimizer)
    ...         recorder.mark(epoch=epoch)
    """
    return Recorder(
        model,
        optimizer,
        run_dir,
        layers=layers,
        every=every,
        resume=resume,
        configuration=configuration,
        quantities=quantities,
        only=only,
        state=state,
    )
