"""record(): an optimizer hook that accounts for every update, and windows that go to disk."""

from __future__ import annotations

import contextlib
import platform
import signal
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import torch

from recu_analysis import __version__
from recu_analysis.capture.adapters import BinaryLayer, binary_layers
from recu_analysis.capture.effective import layer_accumulator
from recu_analysis.errors import InputError, RecorderError
from recu_analysis.store.format import LayerWindow
from recu_analysis.store.writer import LayerState, RunWriter, window_bytes

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping, Sequence
    from types import TracebackType

    from recu_analysis.capture.accumulate import Accumulator

#: Models of at least this many latent weights are accounted for by several threads, each a layer at a time.
THREADED_WEIGHTS = 1_000_000

_recorded: weakref.WeakSet[torch.optim.Optimizer] = weakref.WeakSet()


@dataclass(slots=True)
class _Track:
    """A layer while it is recorded: whose updates it follows, and its sums over the open window."""

    layer: BinaryLayer
    optimizer: int
    group: int
    accumulator: Accumulator
    first_update: int
    updates: int = 0
    lr: float = 0.0
    lr_decay: float = 0.0
    decay_time: float = 0.0

    def count(self, group: Mapping[str, Any]) -> None:
        """Add one update of a parameter group to the sums."""
        lr, decay = float(group["lr"]), float(group.get("weight_decay", 0.0))
        self.updates += 1
        self.lr += lr
        self.lr_decay += lr * decay
        kept = 1.0 - float(group.get("momentum", 0.0))
        self.decay_time += lr * decay / kept if kept > 0.0 else float("inf")

    def take(self) -> LayerState:
        """The open window's state, handed over; a new window begins."""
        tau = self.layer.tau
        summary = LayerWindow(self.first_update, self.updates, self.lr, self.lr_decay, self.decay_time, tau)
        self.first_update += self.updates
        self.updates, self.lr, self.lr_decay, self.decay_time = 0, 0.0, 0.0, 0.0
        return LayerState(**self.accumulator.take(), scale=self.layer.scale, summary=summary)


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
    ) -> None:
        if every is not None and every < 1:
            raise InputError(f"every must be at least 1 update, not {every}")
        self._optimizers = [optimizer] if isinstance(optimizer, torch.optim.Optimizer) else list(optimizer)
        self._every = every
        self._updates = [resume or 0] * len(self._optimizers)
        self._window_start = list(self._updates)
        self._unmarked: int | None = None
        self._closed = False
        self._refuse_second_recording()
        self._tracks = [self._track(layer) for layer in binary_layers(model, layers)]
        specs = [track.layer.spec for track in self._tracks]
        self._pool = self._make_pool(sum(spec.weights for spec in specs))
        self._writer = RunWriter(
            Path(run_dir),
            specs,
            configuration=configuration or {},
            environment=environment(),
            resume=resume,
        )
        self.window_bytes = window_bytes(specs)
        self._write_window()
        self._handles = [each.register_step_post_hook(self._hook(index)) for index, each in enumerate(self._optimizers)]
        _recorded.update(self._optimizers)

    @property
    def update(self) -> int:
        """Number of the last update seen."""
        return max(self._updates)

    @property
    def lr(self) -> float:
        """Learning rate that the first binary layer's parameter group has now."""
        track = self._tracks[0]
        return float(self._optimizers[track.optimizer].param_groups[track.group]["lr"])

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
        line = {"lr": self.lr} | {name: _plain(name, value) for name, value in metrics.items()}
        with _interrupts_deferred():
            # A window that `every` or `cut` has just closed is the one that is meant.
            number = self._write_window() if self._open else self._unmarked
            self._unmarked = None
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
        with _interrupts_deferred():
            if self._open:
                self._unmarked = self._write_window()

    def flush(self) -> None:
        """Return when every marked window is on disk.

        Raises
        ------
        StoreError
            If one could not be written.
        """
        self._refuse_closed()
        self._writer.flush()

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
        _recorded.difference_update(self._optimizers)
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
        return self._updates != self._window_start

    def _refuse_closed(self) -> None:
        if self._closed:
            raise RecorderError("the recording is closed; call mark() and flush() inside its with block")

    def _refuse_second_recording(self) -> None:
        if not self._optimizers:
            raise InputError("recording needs at least one optimizer")
        if any(optimizer in _recorded for optimizer in self._optimizers):
            raise RecorderError("this optimizer is being recorded already; close that recording first")

    def _track(self, layer: BinaryLayer) -> _Track:
        for index, optimizer in enumerate(self._optimizers):
            for number, group in enumerate(optimizer.param_groups):
                if any(parameter is layer.parameter for parameter in group["params"]):
                    sums = layer_accumulator(layer)
                    return _Track(layer, index, number, sums, first_update=self._updates[index] + 1)
        raise RecorderError(
            f"the optimizer does not hold the weight of binary layer {layer.name!r}; create it from the model's "
            "parameters, after the model was moved to its device, or leave the layer out with layers=[...]"
        )

    def _make_pool(self, weights: int) -> ThreadPoolExecutor | None:
        """Threads for the kernel, which releases the interpreter lock; none where they would not pay."""
        on_cpu = all(track.layer.weight.device.type == "cpu" for track in self._tracks)
        threads = torch.get_num_threads()
        return ThreadPoolExecutor(threads) if on_cpu and threads > 1 and weights >= THREADED_WEIGHTS else None

    def _hook(self, index: int) -> Any:
        def after_step(optimizer: torch.optim.Optimizer, *_: Any) -> None:
            with _interrupts_deferred():
                self._advance(index, optimizer)
                self._unmarked = None
                if self._every and self._updates[index] - self._window_start[index] >= self._every:
                    self._unmarked = self._write_window()

        return after_step

    def _advance(self, index: int, optimizer: torch.optim.Optimizer) -> None:
        self._updates[index] += 1
        update = self._updates[index]
        tracks = [track for track in self._tracks if track.optimizer == index]
        for track in tracks:
            track.count(optimizer.param_groups[track.group])

        def step(track: _Track) -> None:
            track.accumulator.advance(track.layer.weight, update)

        for _ in (self._pool.map if self._pool else map)(step, tracks):
            pass

    def _write_window(self, *, partial: bool = False) -> int:
        states = {track.layer.name: track.take() for track in self._tracks}
        first, last = min(self._window_start) + 1, max(self._updates)
        self._window_start = list(self._updates)
        return self._writer.write_window(states, first_update=first, last_update=last, partial=partial)


def record(
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer | Sequence[torch.optim.Optimizer],
    run_dir: str | os.PathLike[str],
    *,
    layers: Sequence[str] | None = None,
    every: int | None = None,
    resume: int | None = None,
    configuration: Mapping[str, Any] | None = None,
) -> Recorder:
    """Record the latent weights of a binary network while it trains.

    Every step of the optimizer is accounted for, exactly; training with and without recording gives bitwise
    the same weights. The run directory holds one window a `mark`.

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

    Returns
    -------
    Recorder
        With `mark`, `cut`, `flush` and `close`; also a context manager.

    Raises
    ------
    NoBinaryLayersError
        If the model has no binary layer.
    RecorderError
        If the optimizer does not hold a binary layer's weight, or is being recorded already.
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
    return Recorder(model, optimizer, run_dir, layers=layers, every=every, resume=resume, configuration=configuration)


def environment() -> dict[str, Any]:
    """Versions and machine, for run.json: what one needs to repeat a run, and nothing that names a person."""
    packages = ("torch", "numpy", "numba", "safetensors")
    return {
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "versions": {"recu-analysis": __version__} | {name: version(name) for name in packages},
        "threads": torch.get_num_threads(),
    }


def _plain(name: str, value: Any) -> bool | float | str | None:
    """A metric as JSON has it: one-element tensors and numpy numbers become Python numbers."""
    if name in {"window", "update"}:
        raise InputError(f"mark() gives the metric {name!r} itself; call yours something else")
    single = value.item() if getattr(value, "size", None) == 1 or _is_scalar_tensor(value) else value
    if single is None or isinstance(single, (bool, int, float, str)):
        return single
    raise InputError(f"mark() logs numbers and texts; the metric {name!r} is a {type(value).__name__}")


def _is_scalar_tensor(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.numel() == 1


@contextlib.contextmanager
def _interrupts_deferred() -> Iterator[None]:
    """Let Ctrl-C wait until the block ends, so that no window holds an update of some layers only."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    waiting: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: waiting.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before if before is not None else signal.SIG_DFL)
        if waiting:
            signal.raise_signal(signal.SIGINT)
