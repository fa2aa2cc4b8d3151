"""recu-analyze info: the content and state of a run directory."""

from __future__ import annotations

import math
import sys
import textwrap
from collections import Counter
from typing import TYPE_CHECKING, Any

import rich_click as click

from recu_analysis.analysis.rendering import Column, count
from recu_analysis.cli import options
from recu_analysis.cli.output import View, size, write_table
from recu_analysis.cli.target import table_target
from recu_analysis.errors import printable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pandas as pd

    from recu_analysis.cli.target import Target
    from recu_analysis.store.run import Run

#: Least number of characters per line of a value.
_VALUE = 20


@click.command("info", epilog="Example: recu-analyze info runs/demo/recu")
@options.run_argument
@table_target
@options.common
def command(run: Path, target: Target) -> None:
    """Describe RUN: what was trained and recorded, how many windows it has, and whether it is damaged."""
    import pandas as pd

    from recu_analysis.store.labels import labels_of
    from recu_analysis.store.run import open_run

    opened = open_run(run)
    table = pd.DataFrame(describe(opened).items(), columns=["what", "value"])
    columns = (Column("what"), Column("value"))
    labels = labels_of([opened])
    view = View(
        table,
        columns,
        caption=f"Description of {labels[0]}.",
        runs=labels,
        explained=(),
        lines=lambda width: _lines(table, width),
    )
    write_table(view, target)
    for problem in opened.problems:
        options.fail(problem)
    sys.exit(1 if opened.problems else 0)


def describe(run: Run) -> dict[str, Any]:
    """Facts about a run, by name."""
    from recu_analysis.analysis.selection import decay_time
    from recu_analysis.store.notes import outside_text, sampled_channels, verified_text
    from recu_analysis.store.quantities import requests_of

    weights = sum(spec.weights for spec in run.header.layers)
    windows = run.windows
    disk = sum(file.stat().st_size for file in run.path.rglob("*") if file.is_file() and not file.is_symlink())
    writing = {"state": "being written now; complete windows are shown"} if run.being_written else {}
    facts: dict[str, Any] = {
        "run": str(run.path),
        **writing,
        "id": run.id,
        "format": run.header.version,
        "layers": f"{_kinds(run)}, {count(weights)} weights",
        "windows": f"{len(windows)}, numbers {windows[0].number} to {windows[-1].number}" if len(windows) else "none",
    }
    if len(windows):
        moving = [window for window in windows if window.updates]
        time, one_checkpoint = decay_time(run), not moving and not all(window.exact for window in windows)
        facts |= {
            "updates": f"{sum(window.updates for window in moving)}, up to number {windows[-1].last_update}",
            "recorded": _recorded(run),
            "partial": ", ".join(str(w.number) for w in windows if w.partial) or "no window",
            "T": "not known" if math.isnan(time) or one_checkpoint else f"{time:.4g}",
        }
    if sample := sampled_channels({run.name: run}):
        facts |= {"channels": sample[0]}
    facts |= {"forward pass": verified_text(run), "outside updates": outside_text(run)}
    if run.gaps:
        facts |= {"not recorded": "; ".join(run.gaps)}
    facts |= {"quantities": _quantities(requests_of(run.header.quantities))}
    facts |= {"segments": len(run.segments), "on disk": size(disk)}
    facts |= {f"last {name}": _last(run.metrics[name]) for name in run.metrics if name not in {"window", "update"}}
    facts |= {f"configuration: {name}": value for name, value in run.configuration.items() if value is not None}
    return facts | _environment(run.header.environment)


def _kinds(run: Run) -> str:
    """How many layers have how many levels."""
    counts = Counter(spec.quantizer.count for spec in run.header.layers)
    return ", ".join(
        f"{number} {'binary' if levels == 2 else f'with {levels} levels'}" for levels, number in sorted(counts.items())
    )


def _recorded(run: Run) -> str:
    if not all(window.exact for window in run.windows):
        return "sampled from checkpoints"
    return "exact, except for updates that are in no window" if run.gaps else "exact: every update was seen"


def _environment(environment: dict[str, Any]) -> dict[str, str]:
    """Command, model, optimizers and versions in run.json, which may be from elsewhere and hold any value."""
    command, optimizers, versions = (environment.get(name) for name in ("command", "optimizers", "versions"))
    listed = optimizers if isinstance(optimizers, list) else []
    classes = [str(each.get("class")) for each in listed if isinstance(each, dict)]
    texts = {
        "command": " ".join(map(str, command)) if isinstance(command, list) else "",
        "model": str(environment.get("model") or ""),
        "optimizers": ", ".join(classes),
    }
    known = versions.items() if isinstance(versions, dict) else ()
    return {name: text for name, text in texts.items() if text} | {
        "versions": ", ".join(f"{name} {value}" for name, value in known)
    }


def _quantities(kept: Sequence[str]) -> str:
    from recu_analysis.store.quantities import QUANTITIES

    listed = ", ".join(("flips", *kept))
    without = [name for name in QUANTITIES if name not in kept]
    return f"{listed}; recorded without {', '.join(without)}: statistics that need these are NaN" if without else listed


def _last(column: pd.Series[Any]) -> str:
    known = column.dropna()
    value = known.iloc[-1] if len(known) else float("nan")
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _lines(table: pd.DataFrame, width: int | None) -> list[str]:
    """Two columns: names, and values, which are wrapped on a terminal."""
    first = int(table["what"].str.len().max()) + 2
    lines = []
    for row in table.itertuples():
        value = printable(str(row.value))
        parts = textwrap.wrap(value, max(width - first, _VALUE)) if width else [value]
        lines += [
            f"{name:<{first}}{part}".rstrip()
            for name, part in zip([printable(str(row.what)), *[""] * len(parts)], parts or [""], strict=False)
        ]
    return lines
