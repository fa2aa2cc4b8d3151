"""The color and the marker of every arm, the same in all figures and in the report: by its kind, then by order."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from recu_analysis.analysis.arms import Arm, arm_numbers
from recu_analysis.analysis.kinds import Kind, kind_of
from recu_analysis.plots.palette import RUN_COLORS, RUN_MARKERS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from recu_analysis.store.run import Run

# Which of the colors and markers a kind has; arms of another kind, and a second one of the same, take those behind.
_PLACES: Final = {Kind.NO_CLAMP: 0, Kind.RECU: 1, Kind.RANDOM_MASK: 2}
_FIRST_FREE: Final = len(_PLACES)
# Two more, since a report may show many arms.
_COLORS: Final = (*RUN_COLORS, "#332288", "#999933")


class Look(NamedTuple):
    """How a line is drawn."""

    color: str
    marker: str


#: The look of every run or arm, by its label.
Palette: TypeAlias = Mapping[str, Look]


def of_runs(runs: Mapping[str, Run]) -> dict[str, Look]:
    """The looks of runs: seeds of one experiment share the color of their arm, each has a marker of its own.

    Parameters
    ----------
    runs : mapping of str to Run
        Runs by their labels.
    """
    numbers = arm_numbers(runs)
    members = [[label for label in runs if numbers[label] == number] for number in sorted(set(numbers.values()))]
    places = _places([kind_of(runs[labels[0]]) for labels in members])
    found = {
        label: Look(_color(place), _marker(place, seed))
        for labels, place in zip(members, places, strict=True)
        for seed, label in enumerate(labels)
    }
    return {label: found[label] for label in runs}


def of_arms(named: Mapping[str, Arm]) -> dict[str, Look]:
    """The looks of arms, by their names."""
    places = _places([kind_of(arm.first) for arm in named.values()])
    return {name: Look(_color(place), _marker(place)) for name, place in zip(named, places, strict=True)}


def by_order(labels: Iterable[str]) -> dict[str, Look]:
    """The looks of lines of which nothing is known but their order."""
    return {
        label: Look(RUN_COLORS[place % len(RUN_COLORS)], RUN_MARKERS[place % len(RUN_MARKERS)])
        for place, label in enumerate(labels)
    }


def _places(kinds: Sequence[Kind]) -> list[int]:
    """A place for each arm: that of its kind if it is the first of it, else the next free one."""
    free = count(_FIRST_FREE)
    places: list[int] = []
    for kind in kinds:
        place = _PLACES.get(kind)
        places.append(next(free) if place is None or place in places else place)
    return places


def _color(place: int) -> str:
    """Those of the kinds are never given to another."""
    others = _COLORS[_FIRST_FREE:]
    return _COLORS[place] if place < _FIRST_FREE else others[(place - _FIRST_FREE) % len(others)]


def _marker(place: int, seed: int = 0) -> str:
    return RUN_MARKERS[(place + seed) % len(RUN_MARKERS)]
