"""The windows of a table as text for its heading: their numbers, epochs and updates."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from recu_analysis.analysis.logged import logged
from recu_analysis.analysis.selection import select_windows, window_epochs
from recu_analysis.store.layer_selection import numbers_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from recu_analysis.analysis.selection import WindowSpan
    from recu_analysis.store.run import Run
    from recu_analysis.store.window import Window


def windows_text(run: Run, span: WindowSpan) -> str:
    """The windows of a span that hold updates, such as "windows 8 and 12, epochs 4 to 11, 3,752 updates".

    Of imported checkpoints, which do not tell how many updates were between them, the steps from one to the next count.
    Epochs are those whose marks lie in the windows, as the metrics count them; they are omitted if none was logged.

    Raises
    ------
    WindowNotFoundError
        If the span has no window with updates.
    """
    windows = select_windows(run, span)
    updates = sum(window.updates for window in windows)
    exact = all(window.exact for window in windows)
    counted = ("update", "updates") if exact else ("step between checkpoints", "steps between checkpoints")
    return ", ".join(
        [
            chosen_text(run, span),
            *epochs_text(run, windows),
            f"{updates:,} {counted[updates != 1]}",
        ]
    )


def windows_of_runs(runs: Mapping[str, Run], spans: Mapping[str, WindowSpan]) -> str:
    """`windows_text` of several runs by their labels: one text if it is the same for all, else one text a run."""
    texts = {label: windows_text(run, spans[label]) for label, run in runs.items()}
    same = len(set(texts.values())) == 1
    return next(iter(texts.values())) if same else "; ".join(f"{label}: {text}" for label, text in texts.items())


def period_text(runs: Mapping[str, Run], spans: Mapping[str, WindowSpan]) -> str:
    """The windows of some runs in a few words, such as "epochs 4 to 11": epochs if logged, else numbers of windows."""
    texts = set()
    for label, run in runs.items():
        epochs = epochs_text(run, select_windows(run, spans[label]))
        texts.add(epochs[0] if epochs else chosen_text(run, spans[label]))
    return texts.pop() if len(texts) == 1 else "their windows"


def chosen_text(run: Run, span: WindowSpan) -> str:
    """The windows of a span that hold updates, such as "windows 8 and 12"; WindowNotFoundError if there is none."""
    return f"window{'s' * (len(select_windows(run, span)) > 1)} {numbers_of(run, span)}"


def numbers_of(run: Run, span: WindowSpan) -> str:
    """The numbers of the windows of a span that hold updates, such as "8 and 12"; errors as in `chosen_text`."""
    return numbers_text([window.number for window in select_windows(run, span)])


def moment_text(run: Run, number: int) -> str:
    """The end of a window in a few words, such as "epoch 11", or "window 12" where no epoch was logged."""
    epoch = window_epochs(run).get(number)
    return f"window {number}" if epoch is None else f"epoch {epoch:g}"


def end_text(run: Run, number: int) -> str:
    """The end of a window, such as "window 12, epoch 11, update 5,628"."""
    window = run.window(number)
    epoch = window_epochs(run).get(number)
    return ", ".join(
        [f"window {number}", *([] if epoch is None else [f"epoch {epoch:g}"]), f"update {window.last_update:,}"]
    )


def epochs_text(run: Run, windows: Sequence[Window]) -> list[str]:
    """The epochs whose marks lie in some windows, such as "epochs 4 to 11", in a list; empty if none was logged."""
    marks = logged(run, "update", "epoch").astype(float)
    within = (marks["update"] >= windows[0].first_update) & (marks["update"] <= windows[-1].last_update)
    epochs = marks.loc[within & np.isfinite(marks["epoch"]), "epoch"]
    if epochs.empty:
        return []
    first, last = epochs.min(), epochs.max()
    return [f"epoch {first:g}" if first == last else f"epochs {first:g} to {last:g}"]
