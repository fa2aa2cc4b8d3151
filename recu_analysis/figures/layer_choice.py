"""Which layers and moments a figure shows, by a rule that its caption states, and short names of layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np

from recu_analysis.analysis.selection import span_of
from recu_analysis.analysis.short_names import IN_FIGURES, distinct
from recu_analysis.figures.captions import quoted
from recu_analysis.store.layer_selection import select_layers

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from recu_analysis.analysis.selection import Windows
    from recu_analysis.figures.spec import Runs
    from recu_analysis.store.run import Run

    Item = TypeVar("Item")

#: The layer of the paper's Fig. 2.
FIG2_LAYER = "layer2.0.conv2"
#: Layers side by side.
MOST_LAYERS = 4


class LayerChoice(NamedTuple):
    """The layers of each run, by its label, and the sentence of the caption about them."""

    layers: dict[str, list[str]]
    sentence: str

    @property
    def columns(self) -> int:
        """How many layers stand side by side."""
        return max(map(len, self.layers.values()))

    @property
    def alike(self) -> bool:
        """Whether all runs show the same layers."""
        return len({tuple(names) for names in self.layers.values()}) == 1


def evenly(items: Sequence[Item], most: int) -> list[Item]:
    """At most so many items, evenly spaced, the first and the last among them."""
    at = np.linspace(0, len(items) - 1, min(most, len(items))).round().astype(int)
    return [items[each] for each in at]


def moments(run: Run, windows: Windows | None, most: int) -> list[int]:
    """Numbers of at most so many windows, evenly spaced over the run or over those that a caller asked for.

    One window is the last.

    Raises
    ------
    WindowNotFoundError
        If the run has none of them.
    """
    known = [window.number for window in run.windows]
    span = span_of(run, slice(None) if windows is None else windows)
    inside = [number for number in known if number in span]
    return inside[-1:] if most == 1 else evenly(inside, most)


def default_layer(run: Run) -> str:
    """The layer of the paper's Fig. 2; if the network has no such layer, the one in its middle."""
    return _default(run.layer_names)


def _default(names: Sequence[str]) -> str:
    return FIG2_LAYER if FIG2_LAYER in names else names[len(names) // 2]


def choose_layers(runs: Runs, patterns: Sequence[str] | str | None) -> LayerChoice:
    """The layers of each run: those that a caller asked for, at most `MOST_LAYERS`; else one, the same if possible.

    Raises
    ------
    LayerNotFoundError
        If a pattern matches no layer of a run.
    """
    if patterns is None:
        return _own_choice(runs)
    matched = {label: [spec.name for spec in select_layers(run, patterns)] for label, run in runs.items()}
    chosen = {label: evenly(names, MOST_LAYERS) for label, names in matched.items()}
    most = max(map(len, matched.values()))
    cut = f" Shown are {MOST_LAYERS} of {most} layers, evenly spaced in depth." if most > MOST_LAYERS else ""
    return LayerChoice(chosen, f"{named_layers(chosen)}.{cut}")


def _own_choice(runs: Runs) -> LayerChoice:
    known = [run.layer_names for run in runs.values()]
    common = [name for name in known[0] if all(name in names for names in known)]
    chosen = {label: [_default(common or run.layer_names)] for label, run in runs.items()}
    if all(names == [FIG2_LAYER] for names in chosen.values()):
        rule = ", as in the paper"
    else:
        rule = f", in the middle of the {'common ' if common and len(runs) > 1 else ''}binary layers"
    return LayerChoice(chosen, f"{named_layers(chosen)}{rule}.")


def named_layers(chosen: dict[str, list[str]]) -> str:
    """The names of the layers of each run, for a caption."""
    lists = {label: ", ".join(map(quoted, names)) for label, names in chosen.items()}
    several = "s" * any(len(names) > 1 for names in chosen.values())
    if len(set(lists.values())) == 1:
        return f"Layer{several}: {next(iter(lists.values()))}"
    return "Layers: " + "; ".join(f"{names} ({quoted(label)})" for label, names in lists.items())


def short_names(names: Iterable[str]) -> dict[str, str]:
    """Short forms of names, all different."""
    known = list(dict.fromkeys(names))
    return dict(zip(known, distinct(known, IN_FIGURES)[1], strict=True))


def cut_sentence(names: Iterable[str]) -> str:
    """The sentence of a caption about the beginning that the short names lack; empty if they lack none."""
    prefix, _ = distinct(list(dict.fromkeys(names)), IN_FIGURES)
    return f"The names lack their common beginning, {quoted(prefix)}" if prefix else ""
