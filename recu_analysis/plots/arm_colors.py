"""The color and the marker of every arm, by its kind, then by order; the same in all figures and in the report."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from itertools import count
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias, TypeVar

from recu_analysis.analysis.arms import Arm, arm_numbers
from recu_analysis.analysis.kinds import Kind, kind_of
from recu_analysis.errors import FEW, InputError, kind_of_value, listed
from recu_analysis.plots.palette import RUN_COLORS, RUN_MARKERS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from matplotlib.colors import Colormap

    from recu_analysis.store.run import Run

Label = TypeVar("Label", bound=Hashable)

# The place of each kind among colors and markers. Other arms take the places after these.
_PLACES: Final = {Kind.NO_CLAMP: 0, Kind.RECU: 1, Kind.RANDOM_MASK: 2}
_FIRST_FREE: Final = len(_PLACES)
# Two more, because a report may show many arms.
_COLORS: Final = (*RUN_COLORS, "#332288", "#999933")


class Look(NamedTuple):
    """How a line is drawn."""

    color: str
    marker: str


#: The look of every run or arm, by its label.
Palette: TypeAlias = Mapping[str, Look]
#: A palette that plots take: a color or a look by label, or colors in the order of the labels.
AnyPalette: TypeAlias = Mapping[Any, Any] | Sequence[Any]


def of_runs(runs: Mapping[str, Run]) -> dict[str, Look]:
    """The looks of runs: seeds of one experiment share the color of their arm; each has its own marker.

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


def looks_of(labels: Iterable[Label], palette: AnyPalette | None, kind: str) -> dict[Label, Look]:
    """The looks of some labels, from a palette; without one, by their order.

    Parameters
    ----------
    labels : iterable of str
    palette : mapping of str to color, or sequence of colors, optional
        A color that matplotlib knows, or a `Look`, by label; or colors in the order of the labels.
    kind : str
        The word in messages for a thing with a label, such as run.

    Raises
    ------
    InputError
        If the palette is of another type, lacks a label, has too few colors, or has one that matplotlib does not know.
    """
    names = list(labels)
    looks = by_order(names)
    if palette is None:
        return looks
    if isinstance(palette, Mapping):
        missing = next((name for name in names if name not in palette), None)
        if missing is not None:
            raise InputError(
                f"the palette has no color for the {kind} {missing!r}; give one by label, as in "
                f"{{{missing!r}: 'tab:blue'}}; its labels are {listed([repr(name) for name in palette], FEW) or 'none'}"
            )
        chosen = [palette[name] for name in names]
    else:
        chosen = list(_colors(palette))
        if len(chosen) < len(names):
            raise InputError(f"the palette has {len(chosen)} colors, but {len(names)} are needed; give one per {kind}")
    pairs = zip(names, chosen, strict=False)
    return {name: one if isinstance(one, Look) else Look(_known(one), looks[name].marker) for name, one in pairs}


def color_map(palette: Sequence[Any] | None) -> str | Colormap:
    """A map of blended colors of a palette, from the lowest value to the highest; cividis without a palette.

    Raises
    ------
    InputError
        If the palette is no list of two colors or more that matplotlib knows.
    """
    from matplotlib.colors import LinearSegmentedColormap

    if palette is None:
        return "cividis"
    if isinstance(palette, Mapping) or len(_colors(palette)) < 2:
        raise InputError(
            "the palette of a map must be a list of two colors or more, from the lowest to the highest value"
        )
    colors = list(map(_known, palette))
    return LinearSegmentedColormap.from_list("palette", colors)


def _colors(palette: object) -> Sequence[Any]:
    if isinstance(palette, str | Mapping) or not isinstance(palette, Sequence):
        raise InputError(
            f"a palette must be a mapping of labels to colors, or a list of colors, not {kind_of_value(palette)}"
        )
    return palette


def _known(color: Any) -> Any:
    from matplotlib.colors import is_color_like

    if not is_color_like(color):
        raise InputError(
            f"{color!r:.60} in the palette is no color that matplotlib knows; give one such as 'tab:blue' or '#0072b2'"
        )
    return color


def by_order(labels: Iterable[Label]) -> dict[Label, Look]:
    """The looks of lines by their order alone."""
    return {
        label: Look(RUN_COLORS[place % len(RUN_COLORS)], RUN_MARKERS[place % len(RUN_MARKERS)])
        for place, label in enumerate(labels)
    }


def _places(kinds: Sequence[Kind]) -> list[int]:
    """A place for each arm: the place of its kind for the first arm of a kind, else the next free one."""
    free = count(_FIRST_FREE)
    places: list[int] = []
    for kind in kinds:
        place = _PLACES.get(kind)
        places.append(next(free) if place is None or place in places else place)
    return places


def _color(place: int) -> str:
    """The color of a place. Other arms never get the colors of the three kinds."""
    others = _COLORS[_FIRST_FREE:]
    return _COLORS[place] if place < _FIRST_FREE else others[(place - _FIRST_FREE) % len(others)]


def _marker(place: int, seed: int = 0) -> str:
    return RUN_MARKERS[(place + seed) % len(RUN_MARKERS)]
