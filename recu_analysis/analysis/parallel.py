"""Several workers for one analysis: each works on one layer at a time; results keep the order of the layers."""

from __future__ import annotations

import contextlib
import platform
import threading
from concurrent.futures import BrokenExecutor, CancelledError, Executor, ThreadPoolExecutor, as_completed
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from recu_analysis.analysis.cluster import executor_of
from recu_analysis.errors import DamagedError, InputError, NotARunError, kind_of_value
from recu_analysis.store.run import open_run
from recu_analysis.store.window import Windows
from recu_analysis.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from concurrent.futures import Future
    from contextlib import AbstractContextManager

    from distributed import Client

    from recu_analysis.store.header import LayerSpec
    from recu_analysis.store.run import Run
    from recu_analysis.store.window import Window

    Tell = Callable[[int, int], None]

Result = TypeVar("Result")
Argument = TypeVar("Argument")

_EXECUTOR: ContextVar[Executor | None] = ContextVar("recu_executor", default=None)
_TELL: ContextVar[Tell | None] = ContextVar("recu_tell", default=None)
_STOP: ContextVar[threading.Event | None] = ContextVar("recu_stop", default=None)


@contextlib.contextmanager
def workers(of: int | Executor | Client, *, on_layer: Tell | None = None) -> Iterator[None]:
    """Let several workers share the layers in the analyses in this context; the numbers are bit-identical.

    Workers outside this process read the run themselves, under the same path. They need the same versions of
    recu-analysis and numpy.

    Parameters
    ----------
    of : int, concurrent.futures.Executor or dask.distributed.Client
        Number of threads of this process; 1 uses only the caller's. Or who works instead.
    on_layer : callable, optional
        Called as ``on_layer(done, total)`` after each layer of a pass over a run, with numbers of layers.

    Raises
    ------
    InputError
        If `of` is none of these, or the number is below 1.
    """
    with _executor(of) as executor:
        tokens = _EXECUTOR.set(executor), _TELL.set(on_layer)
        try:
            yield
        finally:
            _EXECUTOR.reset(tokens[0])
            _TELL.reset(tokens[1])


def _executor(of: Any) -> AbstractContextManager[Executor | None]:
    if isinstance(of, Executor):
        return contextlib.nullcontext(of)
    if hasattr(of, "get_executor"):
        return executor_of(of)
    if isinstance(of, bool) or not isinstance(of, int):
        raise InputError(
            "the workers must be a whole number of threads, such as 4, an executor of concurrent.futures or a dask "
            f"Client, not {kind_of_value(of)}"
        )
    if of < 1:
        raise InputError(f"an analysis needs at least 1 thread, not {of}")
    return contextlib.nullcontext() if of == 1 else ThreadPoolExecutor(of)


def by_layer(
    task: Callable[[Run, LayerSpec, Argument], Result],
    run: Run,
    layers: Sequence[LayerSpec],
    arguments: Sequence[Argument],
    executor: Executor | None = None,
) -> list[Result]:
    """Call `task(run, layer, argument)` for every layer and its argument; results keep the order of the layers.

    Parameters
    ----------
    task : callable
        A function of a module, so that other processes find it; its arguments and results are pickled for them.
    run : Run
    layers : sequence of LayerSpec
    arguments : sequence
        One per layer.
    executor : concurrent.futures.Executor, optional
        By default that of the context, see `workers`; without one, this thread.

    Raises
    ------
    DamagedError
        If a worker was lost, does not see the run, or the run changed while it was read.
    InputError
        If a worker has another version of recu-analysis or numpy, or none.
    """
    executor = executor or _EXECUTOR.get()
    if executor is None or len(layers) < 2:
        return [task(run, layer, argument) for layer, argument in zip(layers, arguments, strict=True)]
    shared, tell = _Shared(_View.of(run), run), _TELL.get()
    order = sorted(range(len(layers)), key=lambda index: -layers[index].weights)  # the longest work starts first
    futures: dict[int, Future[Result]] = {}
    try:
        for index in order:
            futures[index] = executor.submit(_work, task, shared, layers[index].name, arguments[index])
        for done, future in enumerate(as_completed(futures.values()), 1):
            future.result()  # an error ends the pass now
            if tell is not None:
                tell(done, len(layers))
        return [futures[index].result() for index in range(len(layers))]
    except BrokenExecutor:
        raise DamagedError(
            f"a process that read {run.path} was killed, perhaps for lack of memory; use fewer processes"
        ) from None
    except CancelledError:
        raise DamagedError(f"the connection to the workers that read {run.path} was lost; try again") from None
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("recu_analysis"):
            raise
        raise InputError(
            f"a worker has no module {error.name}; install recu-analysis {__version__} where workers run"
        ) from None
    finally:
        shared.stop.set()
        for future in futures.values():
            future.cancel()  # after a failure: those that have not started


def check_going_on() -> None:
    """In a thread that works on a layer: raise CancelledError if nobody waits for the result any longer."""
    stop = _STOP.get()
    if stop is not None and stop.is_set():
        raise CancelledError


@dataclass(frozen=True, slots=True)
class _View:
    """A run as the first process sees it.

    Attributes
    ----------
    path : str
    marks : tuple of tuple of int
        Segment, number and last update of every window that counts.
    label, arm, seed
        From the list of runs.
    versions : str
        Of what decides the numbers.
    """

    path: str
    marks: tuple[tuple[int, int, int], ...]
    label: str | None
    arm: str | None
    seed: Any
    versions: str

    @classmethod
    def of(cls, run: Run) -> _View:
        """The view of a run."""
        path = str(run.path.absolute())
        return cls(path, tuple(map(_mark, run.windows)), run.label, run.arm, run.stated_seed, _versions())


class _Shared:
    """What the workers of a pass share: the run, and whether to stop. Pickled, it is only how to open the run."""

    def __init__(self, view: _View, run: Run | None = None) -> None:
        self.view, self.run, self.stop = view, run, threading.Event()

    def __reduce__(self) -> tuple[Any, ...]:
        return _Shared, (self.view,)


def _mark(window: Window) -> tuple[int, int, int]:
    return window.header.segment, window.number, window.last_update


def _versions() -> str:
    return f"recu-analysis {__version__} with numpy {np.__version__}"


def _work(
    task: Callable[[Run, LayerSpec, Argument], Result], shared: _Shared, layer: str, argument: Argument
) -> Result:
    """Work on one layer as a worker, with the run as the first process saw it."""
    run = _opened(shared.view) if shared.run is None else shared.run
    token = _STOP.set(shared.stop)
    try:
        return task(run, next(spec for spec in run.header.layers if spec.name == layer), argument)
    finally:
        _STOP.reset(token)


@lru_cache(maxsize=2)
def _opened(view: _View) -> Run:
    """The run with the windows that the first process saw, without newer ones; cached for other layers."""
    here = f"a worker on {platform.node()}"
    if view.versions != _versions():
        raise InputError(
            f"{here} has {_versions()}, this process {view.versions}; install the same versions, since numbers may "
            "differ otherwise"
        )
    try:
        run = open_run(view.path)
    except NotARunError:
        raise DamagedError(
            f"{here} does not see the run {view.path}; put it into a folder that every worker sees under this path"
        ) from None
    there = {_mark(window): window for window in run.windows}
    if not there.keys() >= set(view.marks):
        raise DamagedError(f"windows of {view.path} were removed while they were read; try again")
    windows = Windows([there[mark] for mark in view.marks])
    return replace(run, windows=windows, label=view.label, arm=view.arm, stated_seed=view.seed)
