"""Queries: values that say what to compute from the layers of runs; several are answered in one pass over each run."""

from __future__ import annotations

from dataclasses import dataclass
from inspect import isgeneratorfunction
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from recu_analysis.analysis.layer_pass import answers_of_layer
from recu_analysis.analysis.parallel import by_layer
from recu_analysis.errors import QueryError

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
    from concurrent.futures import Executor

    from recu_analysis.analysis.layer_pass import Answer
    from recu_analysis.store.header import LayerSpec
    from recu_analysis.store.run import Run

Result = TypeVar("Result")
Other = TypeVar("Other")
First = TypeVar("First")
Second = TypeVar("Second")
Key = TypeVar("Key")
Failure = TypeVar("Failure", bound=Exception)


@dataclass(frozen=True, slots=True)
class Leaf:
    """A task for layers of a run: `task(run, layer, *arguments)` finds the answer for one of them.

    Attributes
    ----------
    run : Run
    layers : tuple of LayerSpec
    task : callable
        A generator function of a module, since other processes must find it. It yields what `over` or `ahead` of
        `recu_analysis.analysis.layer_pass` make and gets the record.
    arguments : tuple
        Hashable: two leaves with the same task, arguments and layer have one answer.
    """

    run: Run
    layers: tuple[LayerSpec, ...]
    task: Callable[..., Answer[Any]]
    arguments: tuple[Any, ...] = ()

    def __post_init__(self) -> None:
        strangers = [layer.name for layer in self.layers if layer.name not in self.run.layer_names]
        if strangers:
            raise QueryError(f"{self.run.path} has no layer {strangers[0]!r}; take the layers of the run that is asked")
        name = getattr(self.task, "__name__", repr(self.task))
        if not isgeneratorfunction(self.task) or "<locals>" in self.task.__qualname__:
            raise QueryError(
                f"{name} must be a generator function of a module: it yields over(...) or ahead(...), and other "
                "processes find it by its name"
            )
        try:
            hash(self.arguments)
        except TypeError as error:
            raise QueryError(
                f"the arguments of {name} must be hashable, such as tuples, to name its answers: {error}"
            ) from None

    def key(self, layer: LayerSpec) -> Hashable:
        """What names the answer for one layer."""
        return self.run, layer.name, self.task, _typed(self.arguments)


def _typed(argument: Any) -> Hashable:
    """An argument told apart from those that Python calls equal, such as 1, True and 1.0."""
    if isinstance(argument, tuple):
        return tuple(map(_typed, argument))
    return type(argument), repr(argument) if isinstance(argument, float) else argument


class Answers:
    """What was found for some leaves."""

    def __init__(self, found: Mapping[Hashable, Any]) -> None:
        self._found = found

    def of(self, leaf: Leaf) -> list[Any]:
        """The answer for each of a leaf's layers, in their order.

        Raises
        ------
        RecuError
            What the task raised for one of the layers.
        """
        answers = [self._found[leaf.key(layer)] for layer in leaf.layers]
        for each in answers:
            if isinstance(each, Exception):
                raise each
        return answers


@dataclass(frozen=True, slots=True)
class Query(Generic[Result]):
    """What is asked of the layers of runs, and what is made of the answers.

    Attributes
    ----------
    leaves : tuple of Leaf
        What is read.
    build : callable
        From the answers to the result, in the caller's process. It reads nothing, and changes no answer, since other
        queries have it too.
    """

    leaves: tuple[Leaf, ...]
    build: Callable[[Answers], Result]

    def then(self, function: Callable[[Result], Other]) -> Query[Other]:
        """The query whose result is a function of this one's."""
        return Query(self.leaves, lambda answers: function(self.build(answers)))

    def run(self, executor: Executor | None = None) -> Result:
        """Read each array of each window once, and build the result.

        Parameters
        ----------
        executor : concurrent.futures.Executor, optional
            What works on the layers; by default the pool of `recu_analysis.analysis.parallel.processes`, and without
            one this process. The numbers are the same to the bit.

        Raises
        ------
        RecuError
            What a task or `build` raises.
        """
        return self.build(answer(self.leaves, executor))


def per_layer(
    run: Run, layers: Iterable[LayerSpec], task: Callable[..., Answer[Result]], *arguments: Hashable
) -> Query[list[Result]]:
    """What a task finds for each of some layers, in their order; see `Leaf`.

    Raises
    ------
    QueryError
        If an argument is not hashable.
    """
    leaf = Leaf(run, tuple(layers), task, arguments)
    return Query((leaf,), lambda answers: answers.of(leaf))


def value(result: Result) -> Query[Result]:
    """The query that asks nothing and has this result."""
    return Query((), lambda _: result)


@overload
def gather(first: Query[First], second: Query[Second], /) -> Query[tuple[First, Second]]: ...
@overload
def gather(*queries: Query[Any]) -> Query[tuple[Any, ...]]: ...
def gather(*queries: Query[Any]) -> Query[tuple[Any, ...]]:
    """The results of several queries, which one pass over each run answers."""
    leaves = tuple(leaf for query in queries for leaf in query.leaves)
    return Query(leaves, lambda answers: tuple(query.build(answers) for query in queries))


def gathered(queries: Mapping[Key, Query[Result]]) -> Query[dict[Key, Result]]:
    """The results of several queries by the keys of the queries."""
    return gather(*queries.values()).then(lambda results: dict(zip(queries, results, strict=True)))


def attempt(make: Callable[[], Query[Result]], *errors: type[Failure]) -> Query[Result | Failure]:
    """The query that `make` gives; where making or building it raises one of these errors, the error is its result.

    So one claim, figure or layer of many can fail, and the others are answered. Of a task only a `RecuError` is such a
    result; any other exception is a fault and ends everything.
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
        If a process of the executor was killed, or a run changed while it was read.
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
