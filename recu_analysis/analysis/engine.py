"""One pass over the windows of a layer for any number of questions: what several of them want is read once."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from recu_analysis.analysis.parallel import by_layer
from recu_analysis.errors import DamagedError, RecuError
from recu_analysis.store.chain import check_connected
from recu_analysis.store.record import Ends, MergedRecord, add_window

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence

    from recu_analysis.store.header import LayerSpec
    from recu_analysis.store.run import Run
    from recu_analysis.store.window import Window

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Over:
    """What a question wants next: consecutive windows as one record, and which parts of it.

    Attributes
    ----------
    windows : tuple of Window
    parts : frozenset of str
        Of a `recu_analysis.store.record.MergedRecord`.
    ahead : bool
        Whether it is wanted now, though windows before it have not been read: the state at its end alone.
    """

    windows: tuple[Window, ...]
    parts: frozenset[str]
    ahead: bool = False


#: The answer to a question about one layer: it waits for records, one after another in the windows' order.
Answer = Generator[Over, MergedRecord, Result]


def over(windows: Sequence[Window], parts: Iterable[str]) -> Over:
    """Consecutive windows as one record.

    Raises
    ------
    WindowNotFoundError
        If a window between them is missing.
    """
    wanted = frozenset(parts)
    if windows[1:] or "start" in wanted:
        check_connected(windows)
    return Over(tuple(windows), wanted)


def ahead(window: Window, *parts: str) -> Over:
    """The state at the end of a window, whatever was read before: it is kept until the pass comes to the window."""
    return Over((window,), frozenset(parts or ("end",)), ahead=True)


@dataclass(frozen=True, slots=True)
class Asked(Generic[Result]):
    """A question about layers of a run: `task(run, layer, *arguments)` answers it for one of them.

    Attributes
    ----------
    run : Run
    layers : tuple of LayerSpec
    task : callable
        A generator function of a module, since other processes must find it; it yields `Over` and gets the record.
    arguments : tuple
        Hashable: a question that was asked before is known by them.
    """

    run: Run
    layers: tuple[LayerSpec, ...]
    task: Callable[..., Answer[Result]]
    arguments: tuple[Any, ...] = ()

    def key(self, layer: str) -> Hashable:
        """What names the answer for one layer."""
        return self.run, layer, self.task, self.arguments


#: Answers, or the errors that stand for them, by `Asked.key`.
_KNOWN: ContextVar[dict[Hashable, Any] | None] = ContextVar("recu_answers", default=None)


@contextlib.contextmanager
def answering(asked: Iterable[Asked[Any]]) -> Iterator[None]:
    """Answer questions together, in one pass over each run; within the context `ask` knows them.

    Raises
    ------
    DamagedError
        If a file cannot be read.
    """
    known = dict(_KNOWN.get() or {})
    by_run: dict[Run, list[Asked[Any]]] = {}
    for each in asked:
        by_run.setdefault(each.run, []).append(each)
    for run, questions in by_run.items():
        known |= _answers(run, questions, known)
    token = _KNOWN.set(known)
    try:
        yield
    finally:
        _KNOWN.reset(token)


def ask(asked: Asked[Result]) -> list[Result]:
    """The answer for each of the question's layers, in their order.

    Raises
    ------
    RecuError
        What the answer for one of the layers raised.
    """
    with answering([asked]):
        known = _KNOWN.get() or {}
        found: list[Any] = [known[asked.key(layer.name)] for layer in asked.layers]
    for each in found:
        if isinstance(each, RecuError):
            raise each
    return found


def _answers(run: Run, questions: Sequence[Asked[Any]], known: dict[Hashable, Any]) -> dict[Hashable, Any]:
    """What is not known yet of some questions about one run."""
    wanted: dict[str, dict[Hashable, Asked[Any]]] = {layer: {} for layer in run.layer_names}
    for asked in questions:
        for layer in asked.layers:
            key = asked.key(layer.name)
            if key not in known:
                wanted[layer.name][key] = asked
    layers = [layer for layer in run.header.layers if wanted[layer.name]]
    tasks = {name: [(asked.task, asked.arguments) for asked in each.values()] for name, each in wanted.items()}
    found = by_layer(_of_layer, run, layers, tasks)
    return {
        key: answer
        for layer, answers in zip(layers, found, strict=True)
        for key, answer in zip(wanted[layer.name], answers, strict=True)
    }


def _of_layer(run: Run, layer: LayerSpec, tasks: dict[str, list[tuple[Callable[..., Any], tuple[Any, ...]]]]) -> Any:
    """The answers to the questions about one layer."""
    return _Pass(layer, [task(run, layer, *arguments) for task, arguments in tasks[layer.name]]).over(run.windows)


@dataclass(slots=True)
class _Pending:
    """A record that is being read, and which answers wait for it."""

    record: MergedRecord
    waiting: list[int] = field(default_factory=list)


class _Pass:
    """Answers of one layer, each fed with the records that it waits for while the windows go by, once."""

    def __init__(self, layer: LayerSpec, answers: Sequence[Answer[Any]]) -> None:
        self._layer = layer
        self._answers = answers
        self._results: list[Any] = [None] * len(answers)
        self._pending: dict[tuple[int, int], _Pending] = {}
        self._ends = Ends(layer)

    def over(self, windows: Sequence[Window]) -> list[Any]:
        """What the answers return, or the errors that they raise."""
        for index in range(len(self._answers)):
            self._go_on(index, None)
        for window in windows:
            number = window.number
            reading = [each for (first, last), each in self._pending.items() if first <= number <= last]
            if reading:
                self._read(window, [each.record for each in reading])
        assert not self._pending, "an answer waits for windows that went by"  # noqa: S101 - a mistake of ours
        return self._results

    def _read(self, window: Window, records: Sequence[MergedRecord]) -> None:
        """Add one window to the records that hold it, and hand out those that are whole then."""
        self._ends.forget(before=window.number if window.previous is None else window.previous.number)
        for record in records:
            if record.windows[0] is window:
                record.begin()
        add_window(window[self._layer.name], records)
        done = [key for key in self._pending if key[1] == window.number]
        for finished in [self._pending.pop(key) for key in done]:
            finished.record.finish()
            for index in finished.waiting:
                self._go_on(index, finished.record)
            finished.record.release()

    def _go_on(self, index: int, record: MergedRecord | None) -> None:
        """Let an answer go on with a record, up to the next one that it has to wait for."""
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
            self._results[index] = error
        else:
            self._wait(index, wanted)

    def _wait(self, index: int, wanted: Over) -> None:
        key = wanted.windows[0].number, wanted.windows[-1].number
        if key not in self._pending:
            self._pending[key] = _Pending(MergedRecord(wanted.windows, (), self._ends))
        pending = self._pending[key]
        pending.record.parts |= wanted.parts
        pending.waiting.append(index)

    def _state(self, wanted: Over) -> MergedRecord:
        record = MergedRecord(wanted.windows, wanted.parts, self._ends)
        record.finish()
        return record
