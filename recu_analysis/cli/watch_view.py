"""The view of a watched run as lines of text: its position, one line with bars per layer, and warnings."""

from __future__ import annotations

import math
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import numpy as np
import rich_click as click

from recu_analysis.analysis.final_windows import LONG_ENOUGH
from recu_analysis.analysis.rendering import shown
from recu_analysis.analysis.short_names import cells, distinct, shorten, to_left
from recu_analysis.analysis.window_text import epochs_text
from recu_analysis.errors import RecuError, printable
from recu_analysis.store.layer_selection import numbers_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import pandas as pd

    from recu_analysis.cli.watched import Watched
    from recu_analysis.store.run import Run
    from recu_analysis.store.window import Window

#: The columns of a layer, by their names in the vocabulary, with their headings.
COLUMNS = {
    "mobility": "mobility",
    "flip_ratio": "flips",
    "silent_fraction_tail": "silent tail",
    "silent_fraction_core": "silent core",
}
#: Heights of a bar; the mark of a window whose value is unknown or not read yet.
BARS, UNKNOWN = "▁▂▃▄▅▆▇█", "·"
#: Characters of the number after the bars, and between two columns.
NUMBER, BETWEEN = 4, 2
#: Least width of a name, and its width before bars take more room; least and most bars.
LEAST_NAME, NAME, LEAST_BARS, MOST_BARS = 8, 16, 4, 40
#: Warnings on a screen, and lines of each; lines of metrics.
WARNINGS, WARNING_LINES, METRIC_LINES = 2, 3, 2
#: This many layers have priority over the legend.
LAYERS = 6
#: A window is late, and its age is shown, after this multiple of the usual time of a window.
LATE = 2.0


def bars_in(width: int) -> int:
    """How many windows a line shows at a width of the terminal."""
    column = (width - NAME) // len(COLUMNS) - BETWEEN - 1 - NUMBER
    return min(max(column, LEAST_BARS), MOST_BARS)


def room_for_names(width: int) -> int:
    """The terminal columns that the bars leave for the names of the layers."""
    return max(width - len(COLUMNS) * (BETWEEN + bars_in(width) + 1 + NUMBER), LEAST_NAME)


def bars(values: Sequence[float], top: float, length: int) -> str:
    """Values as a row of bars from 0 to `top`, set right."""
    return "".join(_bar(value, top) for value in values).rjust(length)


def _bar(value: float, top: float) -> str:
    if not math.isfinite(value):
        return UNKNOWN
    return BARS[min(max(int(value / top * len(BARS)), 0), len(BARS) - 1)] if top > 0 else BARS[0]


def duration(seconds: float) -> str:
    """A time in at most two units."""
    if seconds < 60:
        return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if seconds < 600:
        return f"{round(seconds) // 60} min {round(seconds) % 60} s"
    if minutes < 60:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min" if minutes < 48 * 60 else f"{minutes / 1440:.1f} days"


def whole(watched: Watched, width: int, names: int | None) -> list[str]:
    """All lines of the view, for files and pipes; the caller prints warnings.

    Parameters
    ----------
    watched : Watched
    width : int
        Columns of the terminal.
    names : int or None
        Terminal columns for names of layers; None does not shorten them.
    """
    count = bars_in(width)
    legend = [line for text in _legend(watched, count, names) for line in wrap(text, width)]
    return [printable(str(watched.path)), *_facts(watched, width), "", *_layers(watched, count, names), "", *legend]


def screen(watched: Watched, width: int, height: int, every: float) -> list[str]:
    """Lines that fit a terminal, with warnings; layers that do not fit are counted."""
    stay = f" (looks every {every:g} s; Ctrl-C ends)"
    named = shorten(printable(str(watched.path)), max(width - len(stay), 1))
    title = click.style(named, bold=True) + stay
    if watched.run is None:
        return [title, *wrap(f"waiting for the run: {printable(str(watched.absent))}", width)][:height]
    count, names = bars_in(width), room_for_names(width)
    above = [title, *_facts(watched, width, METRIC_LINES), *_warnings(watched, count, width), ""]
    head, *layers = _layers(watched, count, names)
    free = height - len(above) - 2
    legend = _cut(wrap(" ".join(_legend(watched, count, names)), width), max(free - min(len(layers), LAYERS), 1), width)
    room = max(free - len(legend), 2)
    if len(layers) > room:
        hidden = len(layers) - room + 1
        layers = [
            *layers[: room - 1],
            f"and {hidden} more layers: use a taller terminal or --layer",
        ]
    return [*above, head, *layers, "", *legend][:height]


def _cut(lines: list[str], most: int, width: int) -> list[str]:
    """The first lines, with dots if there are more."""
    if len(lines) <= most:
        return lines
    return [*lines[: most - 1], f"{lines[most - 1][: width - 4]} ..."]


def _facts(watched: Watched, width: int, most: int | None = None) -> list[str]:
    """Position and speed of the run, and its last metrics in at most `most` lines."""
    run = _run(watched)
    metrics = _flow(_metrics(run), width, "  ")
    if most is not None:
        metrics = _cut(metrics, most, width)
    gone = wrap(f"run not readable: {printable(str(watched.absent))}; waiting for it", width) if watched.absent else []
    return [*gone, *_flow(_position(watched, run), width, " | "), *metrics]


def _position(watched: Watched, run: Run) -> list[str]:
    """Position and speed of the run, in short texts."""
    epoch, planned = watched.epochs
    done = int(epoch) + 1 if math.isfinite(epoch) else 0
    state = "being recorded" if watched.recording else "no recording process seen"
    if planned is not None and done >= planned:
        state = "complete"
    parts = [state]
    if done:
        parts.append(f"epoch {epoch:g} (the first is 0)" + (f", {done} of {planned} done" if planned else ""))
    if len(run.windows):
        parts += [f"window {run.windows[-1].number}", f"update {run.windows[-1].last_update:,}"]
    else:
        parts.append("no window yet")
    pace, age = watched.pace, watched.age
    if pace is not None:
        parts.append(f"{pace.updates:.3g} updates/s, {duration(pace.seconds)} {_article(pace.step)} ({pace.source})")
        if planned is not None and done < planned and watched.recording:
            left = (planned - done) * pace.seconds - (age or 0.0)
            parts.append(f"about {duration(max(left, 0.0))} left")
    if age is not None and (pace is None or age > LATE * pace.seconds):
        parts.append(f"last window {duration(age)} ago")
    return parts


def _article(step: str) -> str:
    return f"an {step}" if step == "epoch" else f"a {step}"


def _metrics(run: Run) -> list[str]:
    """The last logged value of each metric."""
    try:
        metrics = run.metrics
    except RecuError:  # among the problems of the run
        return []
    last = {str(name): metrics[name].dropna().iloc[-1] for name in metrics if name not in {"window", "update", "epoch"}}
    return [f"{printable(name)} {_value(value)}" for name, value in last.items()]


def _value(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else shorten(printable(str(value)), NAME)


def _flow(parts: Iterable[str], width: int, between: str) -> list[str]:
    """Short texts in lines, as many in each line as fit."""
    lines: list[str] = []
    for part in parts:
        if lines and len(lines[-1]) + len(between) + len(part) <= width:
            lines[-1] += between + part
        else:
            lines.append(part)
    return [line for long in lines for line in wrap(long, width)]


def _layers(watched: Watched, count: int, room: int | None) -> list[str]:
    """The heading, and one line per layer."""
    run, names = _run(watched), watched.layers
    table = watched.newest.table(run, count)
    numbers = [window.number for window in watched.newest.shown(run, count)]
    if not numbers:
        return [f"{len(names)} layers"]
    short = _prefix_and_names(names, room)[1]
    name = max(map(cells, [*short, "layer"]))
    width = count + 1 + NUMBER
    heading = "".join(" " * BETWEEN + label.ljust(width) for label in COLUMNS.values())
    lines = [click.style(("layer".ljust(name) + heading).rstrip(), bold=True)]
    for each, layer in zip(short, names, strict=True):
        rows = table[table["layer"] == layer].set_index("window").reindex(numbers)
        lines.append(to_left(each, name) + _line(rows, count))
    return lines


def _line(rows: pd.DataFrame, count: int) -> str:
    """The bars of a layer, and the numbers of its newest window."""
    cells = []
    for column in COLUMNS:
        values = rows[column].to_numpy(dtype=np.float64)
        top = 1.0 if column.startswith("silent") else float(values[np.isfinite(values)].max(initial=0.0))
        newest = shown(column, float(values[-1]), NUMBER)
        cells.append(f"{' ' * BETWEEN}{bars(list(values), top, count)} {newest.rjust(NUMBER)}")
    return "".join(cells)


def _prefix_and_names(names: Sequence[str], room: int | None) -> tuple[str, list[str]]:
    """The beginning cut from all names, and the short names; None for room cuts nothing."""
    told = [printable(name) for name in names]
    return ("", told) if room is None else distinct(told, room)


def _legend(watched: Watched, count: int, room: int | None) -> list[str]:
    """Texts on the windows of the bars, on the columns, and on whether silent may mean dead."""
    run = _run(watched)
    windows = watched.newest.shown(run, count)
    if not windows:
        return ["There is nothing to show before the first window with updates is written."]
    prefix = _prefix_and_names(watched.layers, room)[0]
    return [
        f"Bars: {_span(run, windows)}; numbers: the newest window.",
        "mobility: mean |change of z|, 10^-3 std per update; bars: 0 to the row's max.",
        "flips: per 1000 weights and update; bars: 0 to the row's max.",
        "silent: % without a flip in the window, of the tail (the 30 % with the largest |z| at its start) and of the "
        "core (the others); bars: 0 to 100 %.",
        *_cautions(watched.newest.table(run, count), windows),
        *([f"All layer names begin with {prefix}, which is not shown."] if prefix else []),
    ]


def _span(run: Run, windows: Sequence[Window]) -> str:
    """The windows that are shown, the number of all windows, and the epochs."""
    of = sum(window.updates > 0 for window in run.windows)
    which = numbers_text([window.number for window in windows])
    return f"window{'s' if windows[1:] else ''} {which} ({len(windows)} of {of}{_epochs(run, windows)})"


def _epochs(run: Run, windows: Sequence[Window]) -> str:
    """The epochs that were logged within windows; empty if none was."""
    try:
        return "".join(f"; {text}" for text in epochs_text(run, windows))
    except RecuError:  # among the problems of the run
        return ""


def _cautions(table: pd.DataFrame, windows: Sequence[Window]) -> list[str]:
    """Cautions: the newest window is too short to tell dead weights from slow ones; not all updates were seen."""
    newest = table[table["window"] == windows[-1].number]["autocorrelation_null"]
    short = int((newest > LONG_ENOUGH).sum())
    found = []
    if short:
        found.append(
            f"In {short} of {len(newest)} layers, the newest window is too short to tell dead weights from slow ones "
            f"(null autocorrelation above {LONG_ENOUGH})."
        )
    if not all(window.exact for window in windows):
        found.append("Sampled from checkpoints: movement is net, and flips between two checkpoints were not seen.")
    return found


def _warnings(watched: Watched, count: int, width: int) -> list[str]:
    """The first warnings, in a few lines each, and the number of the others."""
    warnings, lines = watched.warnings(count), []
    for text in warnings[:WARNINGS]:
        within = text.replace(f"{_run(watched).path}/", "")
        wrapped = wrap(f"Warning: {printable(within)}", width, break_on_hyphens=False)
        lines += [click.style(line, fg="yellow") for line in _cut(wrapped, WARNING_LINES, width)]
    if len(warnings) > WARNINGS:
        lines.append(f"and {len(warnings) - WARNINGS} more warnings; --once prints all of them in full")
    return lines


def _run(watched: Watched) -> Run:
    if watched.run is None:
        raise ValueError("there is no run to show")
    return watched.run
