"""Queries: values that describe what to compute from the layers of runs; one pass over each run answers several."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from inspect import isgeneratorfunction
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from recu_analysis.analysis.layer_pass import answers_of_layer
from recu_analysis.analysis.parallel import by_layer
from recu_analysis.errors import QueryError, SignsOnlyError

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Mapping, Sequence
    from concurrent.futures import Executor

    from recu_analysis.analysis.layer_pass import Answer
    from recu_analysis.store.header import LayerSpec
    from recu_analysis.store.run import Run

Result = TypeVar("Result")
Other = TypeVar("Other")
First = TypeVar("First")
Second = TypeVar("Second")
Key = TypeVar("Key")
Task = TypeVar("Task", bound=Callable[..., Any])
Failure = TypeVar("Failure", bound=Exception)


@dataclass(frozen=True, slots=True)
class Leaf:
    """A task for layers of a run: `task(run, layer, *arguments)` finds the answer for one layer.

    Attributes
    ----------
    run : Run
    layers : tuple of LayerSpec
    task : callable
        A generator function of a module, so that other processes find it. It yields requests made by `over` or `ahead`
        of `recu_analysis.analysis.layer_pass`, and gets records.
    arguments : tuple
        Hashable: leaves with the same task, arguments and layer share one answer.
    """

    run: Run
    layers: tuple[LayerSpec, ...]
    task: Callable[..., Answer[Any]]
    arguments: tuple[Any, ...] = ()

    def __post_init__(self) -> None:
        strangers = [layer.name for layer in self.layers if layer.name not in self.run.layer_names]
        if strangers:
            raise QueryError(f"{self.run.path} has no layer {strangers[0]!r}; give layers of this run")
        if not getattr(self.task, "takes_levels", False):
            require_signs(self.layers)
        name = getattr(self.task, "__name__", repr(self.task))
        if not isgeneratorfunction(self.task) or "<locals>" in self.task.__qualname__:
            raise QueryError(
                f"{name} must be a generator function of a module, so that other processes find it by its name; it "
                "yields over(...) or ahead(...)"
            )
        try:
            hash(self.arguments)
        except TypeError as error:
            raise QueryError(
                f"the arguments of {name} must be hashable, since they identify its answers; use tuples, for example: "
                f"{error}"
            ) from None

    def key(self, layer: LayerSpec) -> Hashable:
        """The key of the answer for one layer."""
        return self.run, layer.name, self.task, _typed(self.arguments)


def _typed(argument: Any) -> Hashable:
    """An argument as a key that keeps 1, True and 1.0 apart, which are equal in Python."""
    if isinstance(argument, tuple):
        return tuple(map(_typed, argument))
    return type(argument), repr(argument) if isinstance(argument, float) else argument


def require_signs(layers: Iterable[LayerSpec]) -> None:
    """Raise SignsOnlyError, which names the first such layer, if a layer has more than two levels."""
    for layer in layers:
        if not layer.quantizer.binary:
            raise SignsOnlyError(layer.name, layer.quantizer.count)


def require_one_kind(layers: Iterable[LayerSpec]) -> None:
    """Raise SignsOnlyError if layers with more than two levels are beside binary ones.

    A median over both would stand beside what noise alone gives for the binary ones.
    """
    specs = tuple(layers)
    if any(layer.quantizer.binary for layer in specs):
        require_signs(specs)


def takes_levels(task: Task) -> Task:
    """Declare that a task holds for weights with more than two levels too; other tasks refuse such layers."""
    task.takes_levels = True  # type: ignore[attr-defined]
    return task


class Answers:
    """The answers to some leaves."""

    def __init__(self, found: Mapping[Hashable, Any]) -> None:
        self._found = found

    def of(self, leaf: Leaf) -> list[Any]:
        """The answer for each of a leaf's layers, in their order.

        Raises
        ------
        RecuError
            The error that the task raised for one of the layers.
        """
        answers = [self._found[leaf.key(layer)] for layer in leaf.layers]
        for each in answers:
            if isinstance(each, Exception):
                raise each
        return answers


@dataclass(frozen=True, slots=True)
class Query(Generic[Result]):
    """Questions about the layers of runs, and a function that builds a result from the answers.

    Attributes
    ----------
    leaves : tuple of Leaf
        The questions.
    build : callable
        Builds the result from the answers, in the caller's process. It reads nothing and does not change the answers,
        since other queries may share them.
    """

    leaves: tuple[Leaf, ...]
    build: Callable[[Answers], Result]

    def then(self, function: Callable[[Result], Other]) -> Query[Other]:
        """The query whose result is a function of this query's result."""
        return Query(self.leaves, lambda answers: function(self.build(answers)))

    def run(self, executor: Executor | None = None) -> Result:
        """Read each array of each window once, and build the result.

        Parameters
        ----------
        executor : concurrent.futures.Executor, optional
            Works on the layers; by default that of `recu_analysis.analysis.parallel.workers`, or without one this
            thread. The numbers are bit-identical.

        Raises
        ------
        RecuError
            The errors of tasks and of `build`.
        """
        return self.build(answer(self.leaves, executor))


def per_layer(
    run: Run, layers: Iterable[LayerSpec], task: Callable[..., Answer[Result]], *arguments: Hashable
) -> Query[list[Result]]:
    """The query for the answers of a task to some layers, in their order; see `Leaf`.

    Raises
    ------
    QueryError
        If the task, a layer or an argument cannot be used; see `Leaf`.
    """
    leaf = Leaf(run, tuple(layers), task, arguments)
    return Query((leaf,), lambda answers: answers.of(leaf))


def value(result: Result) -> Query[Result]:
    """The query that reads nothing and has this result."""
    return Query((), lambda _: result)


@overload
def gather(first: Query[First], second: Query[Second], /) -> Query[tuple[First, Second]]: ...
@overload
def gather(*queries: Query[Any]) -> Query[tuple[Any, ...]]: ...
def gather(*queries: Query[Any]) -> Query[tuple[Any, ...]]:
    """The results of several queries, answered in one pass over each run."""
    leaves = tuple(leaf for query in queries for leaf in query.leaves)
    return Query(leaves, lambda answers: tuple(query.build(answers) for query in queries))


def gathered(queries: Mapping[Key, Query[Result]]) -> Query[dict[Key, Result]]:
    """The results of several queries by the keys of the queries."""
    return gather(*queries.values()).then(lambda results: dict(zip(queries, results, strict=True)))


def attempt(make: Callable[[], Query[Result]], *errors: type[Failure]) -> Query[Result | Failure]:
    """The query that `make` returns; if `make` or its build raises one of these errors, the error is the result.

    One claim, figure or layer can then fail while the others are answered. From a task, only a `RecuError` becomes a
    result; any other exception is a bug and ends the pass.
    """
    try:
        query = make()
    except errors as error:
        return value(error)

    def build(answers: Answers) -> Result | Failure:
        try:
            return query.build(answers)
        except errors as error:
            return error

    return Query(query.leaves, build)


def answer(leaves: Iterable[Leaf], executor: Executor | None = None) -> Answers:
    """The answers to leaves, in one pass over each run.

    Raises
    ------
    DamagedError
        If a worker of the executor was lost, or a run changed while it was read.
    """
    by_run: dict[Run, list[Leaf]] = {}
    for leaf in leaves:
        by_run.setdefault(leaf.run, []).append(leaf)
    found: dict[Hashable, Any] = {}
    for run, asked in by_run.items():
        found |= _answers(run, asked, executor)
    return Answers(found)


def _answers(run: Run, leaves: Sequence[Leaf], executor: Executor | None) -> dict[Hashable, Any]:
    """The answers to leaves of one run, by their keys."""
    wanted: dict[str, dict[Hashable, Leaf]] = {layer: {} for layer in run.layer_names}
    for leaf in leaves:
        for layer in leaf.layers:
            wanted[layer.name][leaf.key(layer)] = leaf
    layers = [layer for layer in run.header.layers if wanted[layer.name]]
    tasks = [[(leaf.task, leaf.arguments) for leaf in wanted[layer.name].values()] for layer in layers]
    answers = by_layer(answers_of_layer, run, layers, tasks, executor=executor)
    return {
        key: found
        for layer, results in zip(layers, answers, strict=True)
        for key, found in zip(wanted[layer.name], results, strict=True)
    }
