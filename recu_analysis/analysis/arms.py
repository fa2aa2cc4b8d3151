"""The one place that decides which runs are seeds of one experiment, and which runs of two experiments are a pair."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from recu_analysis.analysis.earlier_settings import configuration_of
from recu_analysis.analysis.kinds import Kind, kind_of, sides, stops_gradients
from recu_analysis.errors import InputError
from recu_analysis.store.labels import labels_of, together

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from recu_analysis.store.run import Run

#: Settings that do not make another experiment: the seed, the device, paths, and what is recorded.
INCIDENTAL = frozenset(
    {
        "seed",
        "device",
        "data_dir",
        "data_file",
        "run_dir",
        "output_dir",
        "log_dir",
        "logging_dir",
        "run_name",
        "quantities",
        "traces",
        "channels",
        "channel_seed",
    }
)
#: Settings of the clamp: an arm with a clamp and its baseline may differ in them.
_OF_THE_CLAMP = frozenset({"recu", "clamp", "mask", "tau", "quantile"})
#: A sentence lists at most this many settings.
MOST_NAMES = 6
_KINDS_DIFFER = "they do not stop the same gradients"
_ABSENT = object()


@dataclass(frozen=True, slots=True)
class Arm:
    """One experiment: runs that differ only in their seed, runs that a list of runs calls one arm, or a single run.

    Attributes
    ----------
    runs : dict of str to Run
        Runs by label; no two have the same seed.
    """

    runs: dict[str, Run]

    @property
    def name(self) -> str | None:
        """The name of the arm in its list of runs; None without one."""
        return self.first.arm

    @property
    def label(self) -> str:
        """The name of the arm in its list of runs; else the labels of its runs."""
        return self.name or together(self.runs)

    @property
    def first(self) -> Run:
        """The first run."""
        return next(iter(self.runs.values()))

    @property
    def configuration(self) -> dict[str, Any]:
        """The configuration of the first run."""
        return self.first.configuration


def arms(runs: Mapping[str, Run]) -> list[Arm]:
    """Group runs into experiments, in order of first appearance.

    Two runs are seeds of one experiment if a list of runs gives them the same arm, see `recu_analysis.open_runs`. Runs
    without an arm are seeds of one experiment if all of this holds:

    - both have a seed
    - all other settings are equal, except those in `INCIDENTAL`
    - their layers have the same names and shapes
    - every update was recorded in both, or in neither
    - they stop the same gradients, or none.

    Parameters
    ----------
    runs : mapping of str to Run
        Runs by their labels.

    Raises
    ------
    InputError
        If a run is given twice, two runs of an experiment have the same seed, or runs that a list puts in one arm
        differ in their layers, in the gradients that they stop, or in how they were recorded.
    """
    check_once(runs.values())
    found = [Arm(group) for group in _grouped(runs)]
    for arm in found:
        _check_stated(arm)
        _check_twins(arm)
    labels = [arm.label for arm in found]
    twice = next((label for label in labels if labels.count(label) > 1), None)
    if twice is not None:
        raise InputError(f"two experiments are called {twice!r}; give each a name of its own in the list of runs")
    return found


def comparable(found: Iterable[Arm]) -> list[list[Arm]]:
    """Group arms that can be compared: they have the same layers and the same data set."""
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
    """The number of each run's experiment, by label, counted from 0; repeated runs and seeds are not checked."""
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
    """The key that all seeds of one experiment share."""
    if run.arm is not None:
        return (run.arm,)
    return settings(run), *_recording(run).values(), seed_of(run) is None


def _recording(run: Run) -> dict[str, object]:
    """Properties that seeds of one experiment must share, each by the clause that reports a difference."""
    return {
        "their layers differ": layers_of(run),
        "only some were sampled from checkpoints": sampled(run),
        _KINDS_DIFFER: kind_of(run) if stops_gradients(run) else None,
    }


def _check_stated(arm: Arm) -> None:
    """Raise InputError if runs that a list puts in one arm cannot be seeds of one experiment."""
    if arm.name is None:
        return
    stated = {
        label: _recording(run) | {"their data sets differ": run.configuration.get("dataset")}
        for label, run in arm.runs.items()
    }
    (first, reference), *others = stated.items()
    for label, each in others:
        reason = next((clause for clause in each if each[clause] != reference[clause]), None)
        if reason:
            raise InputError(
                f"{first} and {label} cannot be seeds of one arm {arm.name!r}, since {reason}; give them different arms"
            )


def _check_twins(arm: Arm) -> None:
    """Raise InputError if two runs of an experiment have the same seed."""
    known: list[tuple[str, Any]] = []
    for label, run in arm.runs.items():
        seed = seed_of(run)
        twin = next((other for other, others in known if seed is not None and others == seed), None)
        if twin is not None:
            same = "configuration" if arm.name is None else "arm"
            raise InputError(
                f"{twin} and {label} have the same {same} and the same seed, {seed}, so they count as one seed; give "
                "only one of them"
            )
        known.append((label, seed))


def arm_and_baseline(runs: Mapping[str, Run]) -> tuple[Arm, Arm | None]:
    """The arm that is tested, and its baseline: the first arm without a clamp, or None.

    The tested arm is the first with ReCU's own clamp; if there is none, the first that is not a baseline.

    Raises
    ------
    InputError
        As in `arms`.
    """
    found = {arm.first: arm for arm in arms(runs)}
    tested, baseline = sides(list(found))
    chosen = next((run for run in tested if kind_of(run) is Kind.RECU), tested[0])
    return found[chosen], found[baseline[0]] if baseline else None


def seed_of(run: Run) -> Any:
    """The seed of a run: from its list of runs, else from its configuration; None if unknown."""
    return run.configuration.get("seed") if run.stated_seed is None else run.stated_seed


def seedless(runs: Mapping[str, Run]) -> list[str]:
    """Labels of runs without a known seed or arm; each is an experiment of its own."""
    return [label for label, run in runs.items() if run.arm is None and seed_of(run) is None]


def settings(run: Run, without: frozenset[str] = frozenset()) -> dict[str, Any]:
    """The configuration of a run, except `INCIDENTAL` settings and those in `without`; see `configuration_of`."""
    return {name: value for name, value in configuration_of(run).items() if name not in INCIDENTAL | without}


def layers_of(run: Run) -> dict[str, tuple[int, ...]]:
    """Shapes of a run's layers by name, also if only some channels are recorded."""
    return {spec.name: spec.whole_shape for spec in run.header.layers}


def sampled(run: Run) -> bool:
    """Whether some updates of a run were not seen; its movement is then net, and flips are missed."""
    return not all(window.exact for window in run.windows)


def check_once(runs: Iterable[Run]) -> None:
    """Raise InputError if a run is given twice, since it would count as two seeds."""
    known: dict[str, Run] = {}
    for run in runs:
        if run.id in known:
            raise InputError(f"{known[run.id].path} and {run.path} are one run; give it once")
        known[run.id] = run


def labeled(runs: Iterable[Run]) -> dict[str, Run]:
    """Runs by label, see `labels_of`; InputError if a run is given twice."""
    several = list(runs)
    check_once(several)
    return dict(zip(labels_of(several), several, strict=True))


def differing(runs: Iterable[Run]) -> list[str]:
    """Names of the settings that differ between runs, incidental ones too, in alphabetical order."""
    configurations = [configuration_of(run) for run in runs]
    names = sorted({name for each in configurations for name in each})
    return [
        name
        for name in names
        if any(each.get(name, _ABSENT) != configurations[0].get(name, _ABSENT) for each in configurations)
    ]


def differing_beside_clamp(runs: Iterable[Run]) -> list[str]:
    """Names of the settings that differ between runs, except incidental ones and those of the clamp."""
    return [name for name in differing(runs) if name not in INCIDENTAL | _OF_THE_CLAMP]


def apart(runs: Mapping[str, Run]) -> str:
    """A clause that says why runs are not seeds of one experiment; empty if they are.

    Raises
    ------
    InputError
        As in `arms`.
    """
    found = arms(runs)
    if len(found) < 2:
        return ""
    listed = "; ".join(together(arm.runs) for arm in found)
    return f"these runs are {len(found)} experiments ({listed}), not seeds of one, since {_reasons(runs)}"


def _reasons(runs: Mapping[str, Run]) -> str:
    stated = [run.arm for run in runs.values()]
    if any(stated):
        return f"their arms are {', '.join(dict.fromkeys(name or 'not given' for name in stated))}"
    names = [name for name in differing(runs.values()) if name not in INCIDENTAL]
    alone = seedless(runs)
    shown = ", ".join(names[:MOST_NAMES]) + (f" and {len(names) - MOST_NAMES} more" if names[MOST_NAMES:] else "")
    recordings = [_recording(run) for run in runs.values()]
    known = {
        f"they differ in {shown}": bool(names),
        f"the configuration of {together(alone)} gives no seed": bool(alone),
    } | {clause: _differ([each[clause] for each in recordings]) for clause in recordings[0]}
    known[_KINDS_DIFFER] &= not names  # the settings show it already
    return " and ".join(reason for reason, holds in known.items() if holds)


def _differ(values: Sequence[object]) -> bool:
    return any(value != values[0] for value in values)


def uneven(runs: Mapping[str, Run]) -> str:
    """A clause that says after how many updates each run ended; empty if all ended after the same number."""
    ends = {label: run.windows[-1].last_update if len(run.windows) else 0 for label, run in runs.items()}
    if not _differ(list(ends.values())):
        return ""
    by_end = {end: together(label for label in ends if ends[label] == end) for end in ends.values()}
    listed = "; ".join(f"{who} after {end}" for end, who in by_end.items())
    return f"they ended after different numbers of updates: {listed}"


def pairs(ours: Iterable[Run], theirs: Iterable[Run]) -> list[tuple[Run, Run]]:
    """Pairs of runs of two experiments with the same seed; two single runs are also a pair if a seed is unknown.

    Raises
    ------
    InputError
        If two runs of one side have the same seed, so that the pairs are ambiguous.
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
