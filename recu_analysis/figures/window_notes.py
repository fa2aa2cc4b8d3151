"""Sentences of captions about windows: which are shown, how long they are, which are too short to tell."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from recu_analysis.analysis.final_windows import (
    LONG_ENOUGH,
    common_final_windows,
    final_windows,
    null_query,
)
from recu_analysis.analysis.query import value
from recu_analysis.analysis.selection import select_windows, span_of
from recu_analysis.analysis.window_text import windows_text
from recu_analysis.figures.captions import quoted
from recu_analysis.figures.shared import FINAL_WINDOWS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from recu_analysis.analysis.query import Query
    from recu_analysis.analysis.selection import Windows, WindowSpan
    from recu_analysis.figures.shared import Timed
    from recu_analysis.figures.spec import Runs
    from recu_analysis.store.run import Run

#: The sentence of a caption about the lines of `recu_analysis.plots.noise`.
NOISE_ALONE = (
    "Dashed, pale: noise alone, that is, weights with the same start that decay and noise of the measured size moved, "
    "under the recorded learning rates."
)
#: The sentence of a caption about pale windows.
PALE_WINDOWS = (
    "Pale: the null autocorrelation is above 1/2, so the window is too short to tell dead weights from slow ones."
)


def spans_of(runs: Runs, windows: Windows | None) -> dict[str, WindowSpan]:
    """The windows of each run that a caller asked for; by default final windows, of equal length if possible."""
    if windows is None:
        return common_final_windows(runs)
    return {label: span_of(run, windows) for label, run in runs.items()}


def short_query(run: Run, span: WindowSpan, windows: Windows | None) -> Query[bool]:
    """Whether windows are too short to tell dead weights from slow ones; `windows` is what a caller asked for."""
    if windows is None:
        return value(not final_windows(run).long)
    first = select_windows(run, span)[0].number
    return null_query(run, run.header.layers, first, span.last).then(lambda found: found > LONG_ENOUGH)


def spans_sentence(runs: Runs, spans: dict[str, WindowSpan], *, final: bool = False) -> str:
    """The windows of each run, for a caption; `final`: they are the final windows, which it then defines."""
    texts = {label: windows_text(run, spans[label]) for label, run in runs.items()}
    if len(set(texts.values())) == 1:
        listed = next(iter(texts.values()))
    else:
        listed = "; ".join(f"{text} ({quoted(label)})" for label, text in texts.items())
    sentence = f"{listed[0].upper()}{listed[1:]}."
    return f"{sentence} {FINAL_WINDOWS}" if final else sentence


def short_sentence(labels: Iterable[str]) -> str:
    """The sentence of a caption about runs whose windows are too short; empty if there are none."""
    named = ", ".join(map(quoted, labels))
    return f"Pale: the windows of {named} are too short to tell dead weights from slow ones." if named else ""


def unknown_noise(nulls: Mapping[str, Iterable[float]]) -> str:
    """The sentence of a caption about runs for which noise alone is not known at all; empty if there are none."""
    named = ", ".join(quoted(label) for label, values in nulls.items() if np.isnan([*values]).all())
    return f"What noise alone would give is not known for {named}, and not shown." if named else ""


def length_sentence(tables: Mapping[str, Timed]) -> str:
    """The sentence of a caption about what a window is on the horizontal axis."""
    if not all(timed.by_epoch for timed in tables.values()):
        return "The axis counts windows where no epochs were logged."
    steps = [np.diff(np.unique(timed.table["epoch"])) for timed in tables.values()]
    lengths = np.unique(np.concatenate(steps)) if steps else np.array([])
    if not len(lengths):
        return ""
    shortest, longest = lengths[0], lengths[-1]
    if shortest == longest == 1:
        return "A window is one epoch."
    return (
        f"A window is {shortest:g} epochs."
        if shortest == longest
        else (f"A window is {shortest:g} to {longest:g} epochs.")
    )
