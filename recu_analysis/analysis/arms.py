"""Which runs are seeds of one experiment, and which runs of two experiments are a pair: decided here for everything."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from recu_analysis.errors import InputError
from recu_analysis.store.labels import folder_names

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from recu_analysis.store.run import Run

#: Settings that make no other experiment: the seed, where it ran, where its files are, what was recorded of it.
INCIDENTAL = frozenset(
    {"seed", "device", "data_dir", "run_dir", "output_dir", "log_dir", "logging_dir", "run_name", "quantities"}
)
#: Names of settings that a sentence still lists.
MOST_NAMES = 6
_ABSENT = object()


@dataclass(frozen=True, slots=True)
class Arm:
    """One experiment: runs that differ in their seed alone, or a single run that says none.

    Attributes
    ----------
    runs : dict of str to Run
        By their labels, each with a seed of its own.
    """

    runs: dict[str, Run]

    @property
    def first(self) -> Run:
        """The run that came first."""
        return next(iter(self.runs.values()))

    @property
    def configuration(self) -> dict[str, Any]:
        """That of the first run; the others differ in what is incidental."""
        return self.first.configuration


def arms(runs: Mapping[str, Run]) -> list[Arm]:
    """Runs grouped into experiments, in the order in which they come.

    Two runs are seeds of one experiment only where the configuration of either says a seed and all else in it but
    `INCIDENTAL` agrees, their layers have the same names and shapes, and both or none saw every update.

    Parameters
    ----------
    runs : mapping of str to Run
        Runs by their labels.

    Raises
    ------
    InputError
        If a run is there twice, or two runs of an experiment have the same seed: they are one seed, not two.
    """
    check_once(runs.values())
    groups: list[tuple[object, dict[str, Run]]] = []
    for label, run in runs.items():
        told = _told(run)
        group = next((group for other, group in groups if other == told and seed_of(run) is not None), None)
        if group is None:
            groups.append((told, {label: run}))
            continue
        twin = next((other for other, one in group.items() if seed_of(one) == seed_of(run)), None)
        if twin is not None:
            raise InputError(
                f"{twin} and {label} have the same configuration and the same seed, {seed_of(run)}: they are one seed, "
                "not two, so give one of them"
            )
        group[label] = run
    return [Arm(group) for _, group in groups]


def _told(run: Run) -> tuple[object, ...]:
    """What two seeds of one experiment have in common; a run without a seed has it in common with none."""
    return settings(run), layers_of(run), sampled(run), seed_of(run) is None


def seed_of(run: Run) -> Any:
    """The seed that a run's configuration says; None where it says none."""
    return run.configuration.get("seed")


def settings(run: Run, without: frozenset[str] = frozenset()) -> dict[str, Any]:
    """The configuration of a run, what is incidental and some settings left out."""
    return {name: value for name, value in run.configuration.items() if name not in INCIDENTAL | without}


def layers_of(run: Run) -> dict[str, tuple[int, ...]]:
    """Shapes of a run's layers by their names."""
    return {spec.name: tuple(spec.shape) for spec in run.header.layers}


def sampled(run: Run) -> bool:
    """Whether some updates of a run were not seen, so that its movement is net and flips are missed."""
    return not all(window.exact for window in run.windows)


def check_once(runs: Iterable[Run]) -> None:
    """InputError, naming two, where the same run is given twice: it would count as two seeds."""
    known: dict[str, Run] = {}
    for run in runs:
        if run.id in known:
            raise InputError(f"{known[run.id].path} and {run.path} are one run, and one seed; give it once")
        known[run.id] = run


def labelled(runs: Iterable[Run]) -> dict[str, Run]:
    """Runs by the ends of their folders that tell them apart; InputError where one is there twice."""
    several = list(runs)
    check_once(several)
    return dict(zip(folder_names([run.path for run in several]), several, strict=True))


def differing(runs: Iterable[Run]) -> list[str]:
    """Names of the settings, incidental ones too, that are not the same in all runs, in alphabetical order."""
    told = [run.configuration for run in runs]
    names = sorted({name for each in told for name in each})
    return [name for name in names if any(each.get(name, _ABSENT) != told[0].get(name, _ABSENT) for each in told)]


def apart(runs: Mapping[str, Run]) -> str:
    """A clause that says why runs are not seeds of one experiment; nothing where they are.

    Raises
    ------
    InputError
        As `arms`.
    """
    found = arms(runs)
    if len(found) < 2:
        return ""
    listed = "; ".join(", ".join(arm.runs) for arm in found)
    return f"these runs are {len(found)} experiments ({listed}) and not seeds of one, since {_reasons(runs)}"


def _reasons(runs: Mapping[str, Run]) -> str:
    names = [name for name in differing(runs.values()) if name not in INCIDENTAL]
    seedless = [label for label, run in runs.items() if seed_of(run) is None]
    shown = ", ".join(names[:MOST_NAMES]) + (f" and {len(names) - MOST_NAMES} more" if names[MOST_NAMES:] else "")
    known = {
        f"they differ in {shown}": bool(names),
        f"the configuration of {', '.join(seedless)} says no seed": bool(seedless),
        "their layers differ": _differ([layers_of(run) for run in runs.values()]),
        "some were sampled from checkpoints": _differ([sampled(run) for run in runs.values()]),
    }
    return " and ".join(reason for reason, holds in known.items() if holds)


def _differ(values: Sequence[object]) -> bool:
    return any(value != values[0] for value in values)


def uneven(runs: Mapping[str, Run]) -> str:
    """A clause that says after how many updates runs ended; nothing where all ended after as many."""
    ends = {label: run.windows[-1].last_update if len(run.windows) else 0 for label, run in runs.items()}
    if not _differ(list(ends.values())):
        return ""
    by_end = {end: ", ".join(label for label in ends if ends[label] == end) for end in ends.values()}
    return "they ended after other numbers of updates: " + "; ".join(f"{who} after {n}" for n, who in by_end.items())


def pairs(ours: Iterable[Run], theirs: Iterable[Run]) -> list[tuple[Run, Run]]:
    """Runs of two experiments that have the same seed; also one of either, where one of the two says no seed.

    Raises
    ------
    InputError
        If two runs of a side have the same seed, so that which belongs to which is not known.
    """
    mine, others = list(ours), list(theirs)
    if len(mine) == len(others) == 1 and None in (seed_of(mine[0]), seed_of(others[0])):
        return [(mine[0], others[0])]
    _check_seeds(mine)
    _check_seeds(others)
    seeded = [run for run in mine if seed_of(run) is not None]
    return [(run, other) for run in seeded for other in others if seed_of(other) == seed_of(run)]


def _check_seeds(runs: Sequence[Run]) -> None:
    for at, run in enumerate(runs):
        twin = next((each for each in runs[:at] if seed_of(run) is not None and seed_of(each) == seed_of(run)), None)
        if twin is not None:
            names = " and ".join(folder_names([twin.path, run.path]))
            raise InputError(f"{names} have the same seed and are taken for one arm; leave one out")
