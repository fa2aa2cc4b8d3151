"""Several processes for one analysis: each works on one layer at a time; results keep the order of the layers."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor
from contextvars import ContextVar
from dataclasses import replace
from functools import lru_cache
from multiprocessing import resource_tracker
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from recu_analysis.errors import DamagedError, InputError, kind_of_value
from recu_analysis.store.run import open_run
from recu_analysis.store.window import Windows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from concurrent.futures import Executor, Future

    from recu_analysis.store.header import LayerSpec
    from recu_analysis.store.run import Run
    from recu_analysis.store.window import Window

#: More processes than any machine has cores; the system refuses far larger numbers.
MOST_PROCESSES = 1024

Result = TypeVar("Result")
Argument = TypeVar("Argument")

_POOL: ContextVar[ProcessPoolExecutor | None] = ContextVar("recu_pool", default=None)


@contextlib.contextmanager
def processes(count: int) -> Iterator[None]:
    """Let the analyses in this context use several processes; the numbers are bit-identical.

    A script that uses this must be importable: its work starts below ``if __name__ == "__main__":``.

    Parameters
    ----------
    count : int
        Number of processes; 1 uses only this process.

    Raises
    ------
    InputError
        If the count is not a whole number from 1 to 1024.
    """
    if isinstance(count, bool) or not isinstance(count, int):
        raise InputError(f"the number of processes must be a whole number, such as 4, not {kind_of_value(count)}")
    if count < 1:
        raise InputError(f"an analysis needs at least 1 process, not {count}")
    if count > MOST_PROCESSES:
        raise InputError(f"an analysis can use at most {MOST_PROCESSES} processes; give the number of cores")
    if count == 1:
        yield
        return
    # spawn, because a fork would copy the locks of running threads.
    pool = ProcessPoolExecutor(count, multiprocessing.get_context("spawn"), initializer=_start)
    token = _POOL.set(pool)
    try:
        yield
    except BaseException:
        _end(pool)
        raise
    finally:
        _POOL.reset(token)
        pool.shutdown(cancel_futures=True)


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
        A function of a module, so that other processes find it; its arguments and results are pickled.
    run : Run
    layers : sequence of LayerSpec
    arguments : sequence
        One per layer.
    executor : concurrent.futures.Executor, optional
        By default the pool of the context, see `processes`; without a pool, this process.

    Raises
    ------
    DamagedError
        If a process was killed, or the run changed while it was read.
    """
    executor = executor or _POOL.get()
    if executor is None or len(layers) < 2:
        return [task(run, layer, argument) for layer, argument in zip(layers, arguments, strict=True)]
    view = _View.of(run)
    order = sorted(range(len(layers)), key=lambda index: -layers[index].weights)  # the longest work starts first
    futures: dict[int, Future[Result]] = {}
    try:
        with _ctrl_c_waits():
            for index in order:
                futures[index] = executor.submit(_work, task, view, layers[index].name, arguments[index])
        return [futures[index].result() for index in range(len(layers))]
    except BrokenExecutor:
        raise DamagedError(
            f"a process that read {run.path} was killed, perhaps for lack of memory; use fewer processes"
        ) from None
    finally:
        for future in futures.values():
            future.cancel()  # after a failure: those that have not started


class _View(NamedTuple):
    """A run as the first process sees it.

    Attributes
    ----------
    path : str
    marks : tuple of tuple of int
        Segment, number and last update of every window that counts.
    label, arm, seed
        From the list of runs.
    """

    path: str
    marks: tuple[tuple[int, int, int], ...]
    label: str | None
    arm: str | None
    seed: Any

    @classmethod
    def of(cls, run: Run) -> _View:
        """The view of a run."""
        path = os.fspath(run.path.absolute())
        return cls(path, tuple(map(_mark, run.windows)), run.label, run.arm, run.stated_seed)


def _mark(window: Window) -> tuple[int, int, int]:
    return window.header.segment, window.number, window.last_update


def _work(task: Callable[[Run, LayerSpec, Argument], Result], view: _View, layer: str, argument: Argument) -> Result:
    """Work on one layer in a process of the executor, with the run as the first process saw it."""
    run = _opened(view)
    return task(run, next(spec for spec in run.header.layers if spec.name == layer), argument)


@lru_cache(maxsize=2)
def _opened(view: _View) -> Run:
    """The run with the windows that the first process saw, without newer ones; cached for other layers."""
    run = open_run(view.path)
    there = {_mark(window): window for window in run.windows}
    if not there.keys() >= set(view.marks):
        raise DamagedError(f"windows of {view.path} were removed while they were read; try again")
    windows = Windows([there[mark] for mark in view.marks])
    return replace(run, windows=windows, label=view.label, arm=view.arm, stated_seed=view.seed)


@contextlib.contextmanager
def _ctrl_c_waits() -> Iterator[None]:
    """Block Ctrl-C while processes start: only the first process handles it, and then ends the others."""
    resource_tracker.ensure_running()  # if it started later, it would unblock Ctrl-C
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start() -> None:
    """Make a new process of the pool end when its parent ends, for whatever reason."""
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _end(pool: ProcessPoolExecutor) -> None:
    """Terminate the pool's processes at once, even in the middle of a task; this is safe, since they only read."""
    for process in list((pool._processes or {}).values()):
        process.terminate()
