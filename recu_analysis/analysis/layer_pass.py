"""One pass over the windows of a layer for any number of tasks; data that several tasks need is read once."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from recu_analysis.analysis.parallel import check_going_on
from recu_analysis.errors import DamagedError, QueryError, RecuError, hint
from recu_analysis.store.chain import check_connected
from recu_analysis.store.quantities import TABLE
from recu_analysis.store.record import DERIVED, Ends, MergedRecord, add_window

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from recu_analysis.store.header import LayerSpec
    from recu_analysis.store.run import Run
    from recu_analysis.store.window import Window

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Over:
    """A request of a task: consecutive windows as one record, and parts of it.

    Attributes
    ----------
    windows : tuple of Window
    parts : frozenset of str
        Names of parts of a `recu_analysis.store.record.MergedRecord`.
    ahead : bool
        Whether only the state at the window's end is requested, now, before earlier windows have been read.
    """

    windows: tuple[Window, ...]
    parts: frozenset[str]
    ahead: bool = False


#: A task for one layer: a generator that requests records in the order of the windows, and returns a result.
Answer = Generator[Over, MergedRecord, Result]


def over(windows: Sequence[Window], parts: Iterable[str]) -> Over:
    """Request consecutive windows as one record.

    Raises
    ------
    QueryError
        If there is no window, or a record has no such part.
    WindowNotFoundError
        If a window between them is missing.
    """
    if not windows:
        raise QueryError("a task requests no window; request one or more")
    wanted = _checked(windows[0], parts)
    if windows[1:] or "start" in wanted:
        check_connected(windows)
    return Over(tuple(windows), wanted)


def _checked(window: Window, parts: Iterable[str]) -> frozenset[str]:
    """Names of parts; QueryError for an unknown one, whose value would be None."""
    names = frozenset([parts] if isinstance(parts, str) else parts)
    known = DERIVED | TABLE.keys() | window.quantities.keys()
    for name in names - known:
        raise QueryError(f"a record has no part {name!r}; {hint(name, sorted(known))}")
    return names


def ahead(window: Window, *parts: str) -> Over:
    """Request the state at the end of a window now; it is kept until the pass reaches the window.

    Raises
    ------
    QueryError
        If a state has no such part.
    """
    wanted = _checked(window, parts or ("end",))
    for name in wanted & {"start", "silent"}:
        raise QueryError(f"the state at the end of a window has no {name}; request it with over([window], ...)")
    return Over((window,), wanted, ahead=True)


def answers_of_layer(
    run: Run, layer: LayerSpec, tasks: Sequence[tuple[Callable[..., Any], tuple[Any, ...]]]
) -> list[Any]:
    """The results of tasks for one layer, each array read once; a task that fails has its error as its result.

    Parameters
    ----------
    run : Run
    layer : LayerSpec
    tasks : sequence of (callable, tuple)
        Generator functions and their arguments after run and layer; see `recu_analysis.analysis.query.Leaf`.
    """
    try:
        return _Pass(layer, [task(run, layer, *arguments) for task, arguments in tasks]).over(run.windows)
    except DamagedError as error:
        if not tasks[1:]:
            return [_light(error)]
        # Each task reads alone, to see which of them need the damaged data.
        return [found for task in tasks for found in answers_of_layer(run, layer, [task])]


def _light(error: RecuError) -> RecuError:
    """An error without its traceback and context, which would keep the layer's arrays in memory."""
    error.__context__ = None
    return error.with_traceback(None)


def _out_of_order(answer: Answer[Any], first: int, last: int) -> QueryError:
    task = getattr(answer, "__name__", "a task")
    return QueryError(
        f"{task} requests windows {first} to {last}, which were already read; request windows in their order, or a "
        "state with ahead(window)"
    )


@dataclass(slots=True)
class _Pending:
    """A record that is being read, and the answers that wait for it."""

    record: MergedRecord
    waiting: list[int] = field(default_factory=list)


class _Pass:
    """The answers of one layer; each gets the records it waits for while the windows are read once."""

    def __init__(self, layer: LayerSpec, answers: Sequence[Answer[Any]]) -> None:
        self._layer = layer
        self._answers = answers
        self._results: list[Any] = [None] * len(answers)
        self._pending: dict[tuple[int, int], _Pending] = {}
        self._ends = Ends(layer)
        self._read_up_to = -1  # number of the last window that was read

    def over(self, windows: Sequence[Window]) -> list[Any]:
        """The results of the answers, or the errors that they raise."""
        for index in range(len(self._answers)):
            self._go_on(index, None)
        for window in windows:
            number = window.number
            reading = [each for (first, last), each in self._pending.items() if first <= number <= last]
            if reading:
                check_going_on()
                self._read(window, [each.record for each in reading])
        return self._results

    def _read(self, window: Window, records: Sequence[MergedRecord]) -> None:
        """Add one window to the records that contain it, and deliver those that are complete."""
        self._read_up_to = window.number
        self._ends.forget(before=window.number if window.previous is None else window.previous.number)
        for record in records:
            if record.windows[0] is window:
                record.begin()
        add_window(window[self._layer.name], records)
        done = [key for key in self._pending if key[1] == window.number]
        for finished in [self._pending.pop(key) for key in done]:
            self._finish(finished)

    def _finish(self, finished: _Pending) -> None:
        """Deliver a complete record, or its error."""
        try:
            finished.record.finish()
        except DamagedError:
            raise
        except RecuError as error:
            for index in finished.waiting:
                self._results[index] = _light(error)
            return
        for index in finished.waiting:
            self._go_on(index, finished.record)
        finished.record.release()

    def _go_on(self, index: int, record: MergedRecord | None) -> None:
        """Resume an answer with a record, until it waits for the next one."""
        answer = self._answers[index]
        try:
            wanted = next(answer) if record is None else answer.send(record)
            while wanted.ahead:
                wanted = answer.send(self._state(wanted))
        except StopIteration as finished:
            self._results[index] = finished.value
        except DamagedError:
            raise
        except RecuError as error:
            self._results[index] = _light(error)
        else:
            self._wait(index, wanted)

    def _wait(self, index: int, wanted: Over) -> None:
        key = wanted.windows[0].number, wanted.windows[-1].number
        if key[0] <= self._read_up_to:
            self._results[index] = _out_of_order(self._answers[index], *key)
            return
        if key not in self._pending:
            self._pending[key] = _Pending(MergedRecord(wanted.windows, (), self._ends))
        pending = self._pending[key]
        pending.record.parts |= wanted.parts
        pending.waiting.append(index)

    def _state(self, wanted: Over) -> MergedRecord:
        record = MergedRecord(wanted.windows, wanted.parts, self._ends)
        record.finish()
        return record
