"""Several processes for one analysis: each works on a layer at a time, results come in the order of the layers."""

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

Result = TypeVar("Result")
Argument = TypeVar("Argument")

_POOL: ContextVar[ProcessPoolExecutor | None] = ContextVar("recu_pool", default=None)


@contextlib.contextmanager
def processes(count: int) -> Iterator[None]:
    """Let the analyses within this context use several processes; the numbers are the same to the bit.

    A script that does so must be importable: it starts what it does below ``if __name__ == "__main__":``.

    Parameters
    ----------
    count : int
        Of processes; 1 uses none but this one.

    Raises
    ------
    InputError
        If the count is no whole number, or less than 1.
    """
    if isinstance(count, bool) or not isinstance(count, int):
        raise InputError(f"the number of processes is a whole number, such as 4, not {kind_of_value(count)}")
    if count < 1:
        raise InputError(f"an analysis needs at least 1 process, not {count}")
    if count == 1:
        yield
        return
    # spawn: a fork would copy the locks of whatever threads there are.
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
    """`task(run, layer, argument)` for every layer and its argument; results in the layers' order.

    Parameters
    ----------
    task : callable
        A function of a module, since other processes must find it; what it takes and returns is pickled.
    run : Run
    layers : sequence of LayerSpec
    arguments : sequence
        One a layer.
    executor : concurrent.futures.Executor, optional
        By default the pool of the context, see `processes`; without one, this process.

    Raises
    ------
    DamagedError
        If a process was killed, or the run changed while it was read.
    """
    executor = executor or _POOL.get()
    if executor is None or len(layers) < 2:
        return [task(run, layer, argument) for layer, argument in zip(layers, arguments, strict=True)]
    view = _View.of(run)
    order = sorted(range(len(layers)), key=lambda index: -layers[index].weights)  # the longest work is not the last
    futures: dict[int, Future[Result]] = {}
    try:
        with _ctrl_c_waits():
            for index in order:
                futures[index] = executor.submit(_work, task, view, layers[index].name, arguments[index])
        return [futures[index].result() for index in range(len(layers))]
    except BrokenExecutor:
        raise DamagedError(
            f"a process that read {run.path} was killed, perhaps for want of memory; ask for fewer processes"
        ) from None
    finally:
        for future in futures.values():
            future.cancel()  # those that have not begun, where one failed


class _View(NamedTuple):
    """A run as the first process sees it.

    Attributes
    ----------
    path : str
    marks : tuple of tuple of int
        Segment, number and last update of every window that counts.
    label, arm, seed
        What a list of runs says of it.
    """

    path: str
    marks: tuple[tuple[int, int, int], ...]
    label: str | None
    arm: str | None
    seed: Any

    @classmethod
    def of(cls, run: Run) -> _View:
        """That of a run."""
        path = os.fspath(run.path.absolute())
        return cls(path, tuple(map(_mark, run.windows)), run.label, run.arm, run.stated_seed)


def _mark(window: Window) -> tuple[int, int, int]:
    return window.header.segment, window.number, window.last_update


def _work(task: Callable[[Run, LayerSpec, Argument], Result], view: _View, layer: str, argument: Argument) -> Result:
    """In a process of the executor: one layer of the run as the first process saw it."""
    run = _opened(view)
    return task(run, next(spec for spec in run.header.layers if spec.name == layer), argument)


@lru_cache(maxsize=2)
def _opened(view: _View) -> Run:
    """The run with the windows that the first process saw, whatever has been written since; kept for other layers."""
    run = open_run(view.path)
    there = {_mark(window): window for window in run.windows}
    if not there.keys() >= set(view.marks):
        raise DamagedError(f"windows of {view.path} went away while they were read; try again")
    windows = Windows([there[mark] for mark in view.marks])
    return replace(run, windows=windows, label=view.label, arm=view.arm, stated_seed=view.seed)


@contextlib.contextmanager
def _ctrl_c_waits() -> Iterator[None]:
    """Hold Ctrl-C back; processes that start meanwhile never see it, since the first one answers it and ends them."""
    resource_tracker.ensure_running()  # starting it later would let Ctrl-C through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start() -> None:
    """In a new process of the pool: end with the first one, however that ends."""
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _end(pool: ProcessPoolExecutor) -> None:
    """End the pool's processes now, in the middle of what they do: they only read."""
    for process in list((pool._processes or {}).values()):
        process.terminate()
