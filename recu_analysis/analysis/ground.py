"""What decides how much a verdict may say, and the sentence that says no more."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from recu_analysis.analysis.final_windows import LONG_ENOUGH
from recu_analysis.analysis.selection import begins_training, select_windows
from recu_analysis.analysis.window_text import period_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from recu_analysis.analysis.selection import WindowSpan
    from recu_analysis.store.run import Run
    from recu_analysis.theory.intervals import Interval

UNSEEN = "; changes between checkpoints were not seen"
SHORT = "are too short to tell dead weights from slow ones"


@dataclass(frozen=True, slots=True)
class Ground:
    """What decides how much a sentence may say.

    Attributes
    ----------
    where : str
        The windows in words, such as "epochs 4 to 11", or of a state, "epoch 11".
    null : float
        Null autocorrelation of the windows; NaN if it is not known. See `weakest` for several runs.
    exact : bool
        Whether every update was seen.
    trainings : int
        Number of runs.
    some_layers : bool
        Whether a caller chose layers.
    from_start : bool
        Whether the windows of a run begin with its training, where the size of the gradients changes most.
    levels : bool
        Whether weights of a run have more than two levels.
    """

    where: str
    null: float = math.nan
    exact: bool = True
    trainings: int = 1
    some_layers: bool = False
    from_start: bool = False
    levels: bool = False

    @property
    def short(self) -> bool:
        """Whether the windows are too short to tell dead weights from slow ones."""
        return self.null > LONG_ENOUGH

    @property
    def of(self) -> str:
        """Whose weights: one training says nothing of others."""
        runs = "this one training" if self.trainings == 1 else f"these {self.trainings} trainings"
        return f"the chosen layers of {runs}" if self.some_layers else runs

    @property
    def tells(self) -> bool:
        """Whether numbers of these windows may be compared with noise."""
        return self.exact and self.null <= LONG_ENOUGH


def ground_of(
    runs: Mapping[str, Run], spans: Mapping[str, WindowSpan], nulls: Iterable[float], *, some_layers: bool = False
) -> Ground:
    """What some windows of runs, by their labels, carry together; `nulls` are their null autocorrelations."""
    chosen = [select_windows(run, spans[label]) for label, run in runs.items()]
    exact = all(window.exact for windows in chosen for window in windows)
    from_start = any(begins_training(windows) for windows in chosen)
    levels = any(not spec.quantizer.binary for run in runs.values() for spec in run.header.layers)
    return Ground(period_text(runs, spans), weakest(nulls), exact, len(runs), some_layers, from_start, levels)


def weakest(nulls: Iterable[float]) -> float:
    """The null autocorrelation that decides for several runs: the largest, or NaN if one that is not known could be."""
    each = list(nulls)
    known = [null for null in each if not math.isnan(null)]
    largest = max(known, default=math.nan)
    return largest if len(known) == len(each) or largest > LONG_ENOUGH else math.nan


def told_of(measured: str, noise: str, ground: Ground, *, unseen: str = UNSEEN, which: str = "The windows") -> str:
    """The sentence of what was measured and its null, with what limits it."""
    length = ""
    if math.isnan(ground.null):
        length = "; it is not known whether the windows are long enough"
    limit = "" if ground.exact else unseen
    if not ground.short:
        return f"{measured}{limit}{noise}{length}."
    return f"{which} {SHORT}: {measured[0].lower()}{measured[1:]}{limit}{noise}."


def is_bounded(value: Interval) -> bool:
    """Whether both ends of an interval are known."""
    return math.isfinite(value.low) and math.isfinite(value.high)


def median_of(layers: int) -> str:
    """What to say behind a value that is the median of so many layers."""
    return f" (median of {layers} layers)" if layers > 1 else ""


def layers_text(count: int) -> str:
    """A number of layers in words."""
    return f"{count} layer{'s' * (count != 1)}"
