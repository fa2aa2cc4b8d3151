"""Which runs are seeds of one experiment, and which runs of two experiments are a pair: decided here for everything."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from recu_analysis.analysis.kinds import Kind, kind_of, sides, stops_gradients
from recu_analysis.errors import InputError
from recu_analysis.store.labels import labels_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from recu_analysis.store.run import Run

#: Settings that make no other experiment: the seed, where it ran, where its files are, what was recorded of it.
INCIDENTAL = frozenset(
    {"seed", "device", "data_dir", "run_dir", "output_dir", "log_dir", "logging_dir", "run_name", "quantities"}
)
#: Settings of the clamp, in which an arm with it and an arm without it may differ.
_OF_THE_CLAMP = frozenset({"recu", "mask", "tau", "quantile"})
#: Names of settings that a sentence still lists.
MOST_NAMES = 6
_KINDS_DIFFER = "they do not stop the same gradients"
_ABSENT = object()


@dataclass(frozen=True, slots=True)
class Arm:
    """One experiment: runs that differ in their seed alone, or that a list calls so, or a single run that says none.

    Attributes
    ----------
    runs : dict of str to Run
        By their labels, each with a seed of its own.
    """

    runs: dict[str, Run]

    @property
    def name(self) -> str | None:
        """What a list of runs calls it; None where none does."""
        return self.first.arm

    @property
    def label(self) -> str:
        """What a list of runs calls it; else the labels of its runs."""
        return self.name or ", ".join(self.runs)

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

    Two runs are seeds of one experiment if a list of runs gives them the same arm, see `recu_analysis.open_runs`. Where
    it gives them none, they are only where the configuration of either says a seed and all else in it but `INCIDENTAL`
    agrees, their layers have the same names and shapes, both or none saw every update, and both or none clamp.

    Parameters
    ----------
    runs : mapping of str to Run
        Runs by their labels.

    Raises
    ------
    InputError
        If a run is there twice, two runs of an experiment have the same seed, so that they are one seed and not two, or
        a list of runs says that runs are one arm which have other layers, kinds or recordings.
    """
    check_once(runs.values())
    found = [Arm(group) for group in _grouped(runs)]
    for arm in found:
        _check_stated(arm)
        _check_twins(arm)
    return found


def comparable(found: Iterable[Arm]) -> list[list[Arm]]:
    """Arms grouped into those that can be compared: of a network with the same layers, on the same data set."""
    groups: list[tuple[object, list[Arm]]] = []
    for arm in found:
        key = layers_of(arm.first), arm.configuration.get("dataset")
        group = next((group for other, group in groups if other == key), None)
        if group is None:
            groups.append((key, [arm]))
        else:
            group.append(arm)
    return [group for _, group in groups]


def arm_numbers(runs: Mapping[str, Run]) -> dict[str, int]:
    """To which experiment each run belongs, by its label, counted from 0; no run and no seed is once too often here."""
    return {label: number for number, group in enumerate(_grouped(runs)) for label in group}


def _grouped(runs: Mapping[str, Run]) -> list[dict[str, Run]]:
    groups: list[tuple[object, dict[str, Run]]] = []
    for label, run in runs.items():
        shared = _shared(run)
        alone = run.arm is None and seed_of(run) is None
        group = None if alone else next((group for other, group in groups if other == shared), None)
        if group is None:
            groups.append((shared, {label: run}))
        else:
            group[label] = run
    return [group for _, group in groups]


def _shared(run: Run) -> tuple[object, ...]:
    """What two seeds of one experiment have in common."""
    if run.arm is not None:
        return (run.arm,)
    return settings(run), *_recording(run).values(), seed_of(run) is None


def _recording(run: Run) -> dict[str, object]:
    """What no two seeds of one experiment differ in, whatever is said of them, by the clause that says that they do."""
    return {
        "their layers differ": layers_of(run),
        "some were sampled from checkpoints": sampled(run),
        _KINDS_DIFFER: kind_of(run) if stops_gradients(run) else None,
    }


def _check_stated(arm: Arm) -> None:
    """InputError where runs that a list calls one arm cannot be seeds of one experiment."""
    if arm.name is None:
        return
    (first, reference), *others = [(label, _recording(run)) for label, run in arm.runs.items()]
    for label, each in others:
        reason = next((clause for clause in each if each[clause] != reference[clause]), None)
        if reason:
            raise InputError(
                f"{first} and {label} are called seeds of the arm {arm.name!r}, which they cannot be, since {reason}; "
                "give them two arms"
            )


def _check_twins(arm: Arm) -> None:
    """InputError where two runs of an experiment have the same seed."""
    known: list[tuple[str, Any]] = []
    for label, run in arm.runs.items():
        seed = seed_of(run)
        twin = next((other for other, others in known if seed is not None and others == seed), None)
        if twin is not None:
            same = "configuration" if arm.name is None else "arm"
            raise InputError(
                f"{twin} and {label} have the same {same} and the same seed, {seed}: they are one seed, not two, so "
                "give one of them"
            )
        known.append((label, seed))


def arm_and_baseline(runs: Mapping[str, Run]) -> tuple[Arm, Arm | None]:
    """The arm on which one test is made, the first with ReCU's own clamp if there is any, and the first without clamp.

    Raises
    ------
    InputError
        As `arms`.
    """
    found = {arm.first: arm for arm in arms(runs)}
    tested, baseline = sides(list(found))
    chosen = next((run for run in tested if kind_of(run) is Kind.RECU), tested[0])
    return found[chosen], found[baseline[0]] if baseline else None


def seed_of(run: Run) -> Any:
    """The seed that a list of runs says, else the one that the run's configuration says; None where none does."""
    return run.configuration.get("seed") if run.stated_seed is None else run.stated_seed


def seedless(runs: Mapping[str, Run]) -> list[str]:
    """Labels of the runs that are experiments by themselves, since nothing says their seed or their arm."""
    return [label for label, run in runs.items() if run.arm is None and seed_of(run) is None]


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


def labeled(runs: Iterable[Run]) -> dict[str, Run]:
    """Runs by what they are called beside one another, see `labels_of`; InputError where one is there twice."""
    several = list(runs)
    check_once(several)
    return dict(zip(labels_of(several), several, strict=True))


def differing(runs: Iterable[Run]) -> list[str]:
    """Names of the settings, incidental ones too, that are not the same in all runs, in alphabetical order."""
    configurations = [run.configuration for run in runs]
    names = sorted({name for each in configurations for name in each})
    return [
        name
        for name in names
        if any(each.get(name, _ABSENT) != configurations[0].get(name, _ABSENT) for each in configurations)
    ]


def differing_beside_clamp(runs: Iterable[Run]) -> list[str]:
    """Names of the settings in which runs differ, those left out that are incidental or of the clamp."""
    return [name for name in differing(runs) if name not in INCIDENTAL | _OF_THE_CLAMP]


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
    stated = [run.arm for run in runs.values()]
    if any(stated):
        return f"their arms are {', '.join(dict.fromkeys(name or 'not said' for name in stated))}"
    names = [name for name in differing(runs.values()) if name not in INCIDENTAL]
    alone = seedless(runs)
    shown = ", ".join(names[:MOST_NAMES]) + (f" and {len(names) - MOST_NAMES} more" if names[MOST_NAMES:] else "")
    recordings = [_recording(run) for run in runs.values()]
    known = {
        f"they differ in {shown}": bool(names),
        f"the configuration of {', '.join(alone)} says no seed": bool(alone),
    } | {clause: _differ([each[clause] for each in recordings]) for clause in recordings[0]}
    known[_KINDS_DIFFER] &= not names  # which say it where there are some
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
            names = " and ".join(labels_of([twin, run]))
            raise InputError(
                f"{names} have the same seed and are on the same side of the comparison; remove one of them"
            )
