"""The first part of a page: what was trained and recorded, and warnings."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from recu_analysis.analysis.arms import apart, sampled
from recu_analysis.analysis.logged import logged
from recu_analysis.analysis.selection import decay_time
from recu_analysis.errors import InputError
from recu_analysis.store.labels import together
from recu_analysis.store.notes import notes, sampled_channels

if TYPE_CHECKING:
    import pandas as pd

    from recu_analysis.report.lines import Line
    from recu_analysis.report.sampling import Sample
    from recu_analysis.store.run import Run

#: Limits of a page: rows of settings and of metrics, damaged windows, characters of a text.
MAX_ROWS = 200
MAX_PROBLEMS = 10
MAX_TEXT = 300

Row = tuple[str, list[str]]


def recorded(samples: Mapping[str, Sample], lines: Sequence[Line]) -> list[Row]:
    """The rows of what was recorded: a name, and one text per line of the page."""
    columns = {label: _recorded(each.run, each.layers) for label, each in samples.items()}
    return _rows([_merged([columns[label] for label in line.runs]) for line in lines])


def _recorded(run: Run, layers: int) -> dict[str, str]:
    windows = run.windows
    moving = [window for window in windows if window.updates]
    facts = {
        "run id": run.id,
        "binary layers": str(layers),
        "latent weights": f"{sum(spec.weights for spec in run.header.layers):,}",
        "windows with updates": str(len(moving)),
        "updates": f"{sum(window.updates for window in moving):,}",
        "movement": _seen(run),
        "T (see Words)": number(decay_time(run)),
        "starts of the process": str(len(run.segments)),
    }
    facts["versions"] = _versions(run.header.environment.get("versions"))
    metrics = run.metrics
    logged = [name for name in metrics if name not in {"window", "update"}][:MAX_ROWS]
    facts |= {value_text(f"last {name}"): _last(metrics[name]) for name in logged}
    return facts


def _versions(versions: Any) -> str:
    return ", ".join(f"{name} {value}" for name, value in versions.items()) if isinstance(versions, Mapping) else ""


def _last(column: pd.Series[Any]) -> str:
    known = column.dropna()
    return value_text(known.iloc[-1]) if len(known) else ""


def configuration(runs: Mapping[str, Run], lines: Sequence[Line]) -> list[tuple[str, list[str], bool]]:
    """The rows of settings: a name, one text per line of the page, and whether the runs differ."""
    columns = {
        label: {value_text(name): value_text(value) for name, value in list(run.configuration.items())[:MAX_ROWS]}
        for label, run in runs.items()
    }
    rows = _rows([_merged([columns[label] for label in line.runs]) for line in lines])
    return [(name, texts, len({column.get(name) for column in columns.values()}) > 1) for name, texts in rows]


def _merged(columns: Sequence[dict[str, str]]) -> dict[str, str]:
    """The texts of several runs as one column: each text once."""
    names = dict.fromkeys(name for column in columns for name in column)
    texts = {name: dict.fromkeys(column.get(name, "-") for column in columns) for name in names}
    return {name: value_text("; ".join(each)) for name, each in texts.items()}


def _rows(columns: list[dict[str, str]]) -> list[Row]:
    names = dict.fromkeys(name for column in columns for name in column)
    return [(name, [column.get(name, "-") for column in columns]) for name in names]


def value_text(value: Any) -> str:
    """A setting or metric as readable text of at most MAX_TEXT characters."""
    value = value.item() if hasattr(value, "item") else value
    text = number(value) if isinstance(value, float) else value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= MAX_TEXT else f"{text[: MAX_TEXT - 1]}…"


def number(value: float) -> str:
    """A number with at most 6 digits; a dash if it is unknown."""
    return f"{value:.6g}" if math.isfinite(value) else "-"


def warnings(samples: Mapping[str, Sample], nonfinite: Mapping[str, int], constant: Mapping[str, int]) -> list[str]:
    """Warnings about the runs, one sentence each; a sentence that holds for several runs is there once.

    Parameters
    ----------
    samples : mapping of str to Sample
    nonfinite : mapping of str to int
        Number of weights that are NaN or infinite in the windows of the tables, by run.
    constant : mapping of str to int
        Number of channels that are constant at the end, by run.
    """
    labels: dict[str, list[str]] = {}
    for label, each in samples.items():
        for text in _warnings(each, nonfinite[label], constant[label]):
            labels.setdefault(text, []).append(label)
    found = [f"{together(of)}: {text}" for text, of in labels.items()]
    if len({sampled(each.run) for each in samples.values()}) > 1:
        found.append("Some of these runs recorded every update, others were sampled: do not compare their movement.")
    return found


def _warnings(each: Sample, nonfinite: int, constant: int) -> list[str]:
    """Warnings about one run."""
    problems = each.run.problems
    found = [f"{value_text(problem)}." for problem in problems[:MAX_PROBLEMS]]
    if len(problems) > MAX_PROBLEMS:
        found.append(f"{len(problems) - MAX_PROBLEMS} more windows are damaged; list them with recu-analyze verify.")
    found += [f"{text}." for text in (*notes(each.run), *sampled_channels({"": each.run}))]
    found += [
        f"{value_text(gap)}; tables, claims and figures use only the updates after the gap." for gap in each.every.gaps
    ]
    found += [*_movement(each.run), *_unfinished(each.run), *_left_out(each)]
    if nonfinite:
        found.append(f"{nonfinite:,} weights are NaN or infinite; all numbers leave them out.")
    if constant:
        found.append(
            f"{constant:,} channels are constant at the end; measured scales, errors and entropies leave them out."
        )
    return found


def unlike(runs: Mapping[str, Run]) -> list[str]:
    """A sentence if the claims pool runs that are not seeds of one experiment."""
    with suppress(InputError):  # a seed is given twice; the claims refuse that
        why = apart(runs)
        return (
            [f"The claims pool {together(runs)}, but {value_text(why)}; make a report of each experiment."]
            if why
            else []
        )
    return []


def _seen(run: Run) -> str:
    if sampled(run):
        return "sampled from checkpoints"
    return "exact, except updates that are in no window" if run.gaps else "exact: every update seen"


def _movement(run: Run) -> list[str]:
    if not sampled(run):
        return []
    return ["sampled from checkpoints: movement between two checkpoints is net, and flips are missed."]


def _unfinished(run: Run) -> list[str]:
    found = []
    partial = [str(window.number) for window in run.windows if window.partial]
    if partial:
        found.append(f"recording stopped before the mark of window {', '.join(partial)}, which is therefore shorter.")
    planned = run.configuration.get("epochs")
    epochs = logged(run, "epoch")["epoch"]
    if isinstance(planned, int) and len(epochs):
        done = int(epochs.max()) + 1
        if done < planned:
            found.append(f"unfinished: {done} of {planned} epochs were recorded when this page was made.")
    return found


def _left_out(each: Sample) -> list[str]:
    found = []
    shown, layers = len(each.shown), len(each.every.layer_names)
    if shown < each.windows:
        found.append(f"charts show {shown} of {each.windows} windows, evenly spaced.")
    if layers < each.layers:
        found.append(f"layer table and charts show {layers} of {each.layers} layers, evenly spaced.")
    return found
