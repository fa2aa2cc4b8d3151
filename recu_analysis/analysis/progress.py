"""The speed of a run, and how its layers moved in the newest windows; each window is read only once."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from recu_analysis.analysis.deadness import MOVEMENT, mean, movement
from recu_analysis.analysis.layer_pass import over
from recu_analysis.analysis.logged import logged
from recu_analysis.analysis.null import null_autocorrelation
from recu_analysis.analysis.query import attempt, gather, per_layer, takes_levels
from recu_analysis.errors import RecuError
from recu_analysis.store.chain import start_known
from recu_analysis.store.layer_selection import select_layers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from recu_analysis.analysis.layer_pass import Answer
    from recu_analysis.analysis.query import Query
    from recu_analysis.store.header import LayerSpec
    from recu_analysis.store.run import Run
    from recu_analysis.store.window import Window

    Row = dict[str, Any]
    Key = tuple[int, int, int]

#: Statistics of one layer in one window; the names are of the vocabulary.
STATISTICS = (
    "mobility",
    "flip_ratio",
    "silent_fraction_tail",
    "silent_fraction_core",
    "autocorrelation",
    "autocorrelation_null",
    "nonfinite",
)
#: A speed is averaged over this many of the newest windows or epochs.
RECENT = 5


@dataclass(frozen=True, slots=True)
class Pace:
    """The speed of a run.

    Attributes
    ----------
    updates : float
        Per second.
    seconds : float
        Per step.
    step : str
        What a step is: window or epoch.
    source : str
        Where the times come from, as a text.
    """

    updates: float
    seconds: float
    step: str
    source: str


def pace_of_files(run: Run) -> Pace | None:
    """The pace by the file times of the newest windows in the newest segment; None if there are fewer than two.

    It has no meaning where the files are copies.
    """
    last = run.windows[-1].header.segment if len(run.windows) else None
    windows = [window for window in run.windows if window.header.segment == last][-RECENT - 1 :]
    try:
        times = [window.file.path.stat().st_mtime for window in windows]
    except OSError:  # the run was removed
        return None
    updates = sum(window.updates for window in windows[1:])
    if len(times) < 2 or times[-1] <= times[0] or not updates:
        return None
    seconds = times[-1] - times[0]
    return Pace(updates / seconds, seconds / (len(times) - 1), "window", "file times")


def pace_logged(run: Run) -> Pace | None:
    """The pace by the metric seconds of the newest epochs, as `recu_analysis.training` logs it; None without it."""
    marks = logged(run, "epoch", "update", "seconds")
    updates = marks["update"].diff().fillna(marks["update"])
    next_epoch = marks["epoch"].diff().fillna(marks["epoch"] + 1) == 1
    known = next_epoch & (updates > 0) & (marks["seconds"] > 0)
    seconds, counts = marks["seconds"][known].tail(RECENT), updates[known].tail(RECENT)
    if not len(seconds):
        return None
    return Pace(float(counts.sum() / seconds.sum()), float(seconds.mean()), "epoch", "logged, without validation")


class NewestWindows:
    """How the layers moved in the newest windows of a run that grows; the run may be opened anew each time.

    Parameters
    ----------
    layers : sequence of str, optional
        Patterns of layer names.

    Attributes
    ----------
    problems : list of str
        A sentence for each layer and window that could not be read.
    """

    def __init__(self, layers: Sequence[str] | None = None) -> None:
        self._layers = layers
        self._found: dict[Key, list[Row]] = {}
        self.problems: list[str] = []

    def shown(self, run: Run, count: int) -> list[Window]:
        """The newest windows that hold updates, at most `count`, the newest last."""
        return [window for window in run.windows if window.updates][-count:]

    def unread(self, run: Run, count: int) -> list[Window]:
        """The newest windows that were not read yet, the newest first."""
        return [window for window in reversed(self.shown(run, count)) if _key(window) not in self._found]

    def read(self, run: Run, window: Window) -> bool:
        """Read a window of a run; False, without keeping anything, if its files were removed.

        Raises
        ------
        LayerNotFoundError
            If a pattern matches no layer.
        """
        specs = select_layers(run, self._layers)
        found = gather(*(_attempted(run, spec, window.number) for spec in specs)).run()
        files = [each.file.path for each in (window.previous, window) if each is not None]
        if not all(file.exists() for file in files):
            return False
        rows = []
        for spec, row in zip(specs, found, strict=True):
            if isinstance(row, RecuError):
                self.problems.append(str(row))
                row = _UNKNOWN
            rows.append({"layer": spec.name, "window": window.number} | row)
        self._found[_key(window)] = rows
        return True

    def table(self, run: Run, count: int) -> pd.DataFrame:
        """What was read of the newest windows; older windows are forgotten.

        Returns
        -------
        DataFrame
            One row per layer and window, window by window:

            - layer, window
            - mobility (standard deviations per update), flip_ratio (flips per weight and update),
              silent_fraction_tail, silent_fraction_core, autocorrelation, autocorrelation_null, nonfinite (weights):
              NaN where the window has no update of the layer, or its start is not known
        """
        keys = [_key(window) for window in self.shown(run, count)]
        self._found = {key: self._found[key] for key in keys if key in self._found}
        rows = [row for rows in self._found.values() for row in rows]
        return pd.DataFrame(rows, columns=["layer", "window", *STATISTICS])


def _key(window: Window) -> Key:
    """The identity of a window in its run; a window that replaces it after a resumption has another."""
    return window.header.segment, window.number, window.last_update


_UNKNOWN: Row = dict.fromkeys(STATISTICS, math.nan)


def _attempted(run: Run, spec: LayerSpec, number: int) -> Query[Any]:
    return attempt(lambda: per_layer(run, [spec], _row, number).then(lambda rows: rows[0]), RecuError)


@takes_levels
def _row(run: Run, spec: LayerSpec, number: int) -> Answer[Row]:
    window = run.window(number)
    if not start_known(window):  # the run itself reports this
        return _UNKNOWN
    record = yield over([window], MOVEMENT | {"flips"})
    if not record.updates:
        return _UNKNOWN
    moved = movement(spec, record)
    return {
        "mobility": mean(moved.mobility),
        "flip_ratio": mean(moved.flips) / moved.updates,
        "silent_fraction_tail": mean(moved.silent, moved.tail),
        "silent_fraction_core": mean(moved.silent, ~moved.tail),
        "autocorrelation": moved.autocorrelation,
        "autocorrelation_null": null_autocorrelation(run, spec, record),
        "nonfinite": moved.nonfinite,
    }
