"""Which layers figures of weights with more than two levels show, and their tables by run and layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pandas as pd

from recu_analysis.analysis.levels import level_layers
from recu_analysis.figures.layer_choice import LayerChoice, evenly, named_layers, short_names

if TYPE_CHECKING:
    from collections.abc import Sequence

    from recu_analysis.figures.spec import Runs

#: Panels of one run.
MOST = 4


class LevelTables(NamedTuple):
    """Tables by the label of a run and the name of a layer, and the choice of these layers."""

    tables: dict[tuple[str, str], pd.DataFrame]
    choice: LayerChoice

    def titles(self) -> list[str]:
        """A title for each table: the run, the layer, or both, as needed to tell them apart."""
        short = short_names(name for _, name in self.tables)
        if self.choice.columns == 1 and self.choice.alike:
            return [label for label, _ in self.tables]
        one = len(self.choice.layers) == 1
        return [short[name] if one else f"{label}, {short[name]}" for label, name in self.tables]

    def by_run(self) -> dict[str, pd.DataFrame]:
        """The tables of each run below each other."""
        parts = {label: [self.tables[label, name] for name in names] for label, names in self.choice.layers.items()}
        return {label: pd.concat(tables, ignore_index=True) for label, tables in parts.items()}

    def sentence(self) -> str:
        """The sentence of a caption about the layers."""
        return self.choice.sentence


def level_choice(runs: Runs, patterns: Sequence[str] | str | None) -> LayerChoice:
    """The layers with more than two levels that are shown of each run: those asked for, else the one in the middle.

    Raises
    ------
    InputError
        If a run has none.
    LayerNotFoundError
        If a pattern matches no layer.
    """
    known = {label: [spec.name for spec in level_layers(run, patterns)] for label, run in runs.items()}
    if patterns is None:
        chosen = {label: [names[len(names) // 2]] for label, names in known.items()}
        return LayerChoice(chosen, f"{named_layers(chosen)}, in the middle of those with more than two levels.")
    chosen = {label: evenly(names, MOST) for label, names in known.items()}
    return LayerChoice(chosen, f"{named_layers(chosen)}.")
