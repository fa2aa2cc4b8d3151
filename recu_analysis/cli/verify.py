"""recu-analyze verify: read every file of a run directory and report damage."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import rich_click as click

from recu_analysis.analysis.rendering import Column
from recu_analysis.cli import options
from recu_analysis.cli.output import View, size, table_lines, write_table
from recu_analysis.cli.target import table_target

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from recu_analysis.cli.target import Target

#: Columns of the text, which has one line for several windows.
_COLUMNS = (
    Column("segment", meaning="Number of the segment; each start or resumption of a recording begins one."),
    Column("windows", meaning="Numbers of the windows, first to last."),
    Column("updates", meaning="Numbers of the updates in the windows, first to last."),
    Column("size", meaning="Size of the files of the windows."),
    Column("verdict", meaning="State of the windows; recu-analyze verify --help explains the words."),
)


@click.command("verify", epilog="Example: recu-analyze verify runs/demo/recu")
@options.run_argument
@table_target
@options.common
def command(run: Path, target: Target) -> None:
    """Read every file of RUN and compare every checksum; the exit code is 1 if anything is torn, damaged or missing.

    Partial: whole, but the recording stopped before the window's mark. Superseded: whole, but replaced by a later
    resumption. Unfinished: being written now, or left by a process that died; it was never part of the run. Torn:
    shorter or longer than it was written.
    """
    from recu_analysis.store.verify import DAMAGE, verify

    table = verify(run)
    view = View(
        table,
        caption=f"Files of {run.name}, and whether they are whole.",
        runs=[run.name],
        below=[_sums(table)],
        explained=_COLUMNS,
        lines=lambda width: _lines(table, width),
    )
    write_table(view, target)
    damaged = table[table["verdict"].isin(DAMAGE)]
    for detail in damaged["detail"]:
        options.fail(detail)
    sys.exit(1 if len(damaged) else 0)


def _lines(table: pd.DataFrame, width: int | None) -> list[str]:
    """One line per group of consecutive windows with one verdict, and other files that are not whole."""
    import pandas as pd

    windows = table[table["window"].notna()]
    others = table[table["window"].isna() & (table["verdict"] != "whole")]
    rows = pd.DataFrame(_rows(windows), columns=[column.name for column in _COLUMNS])
    lines = table_lines(rows, _COLUMNS, width)
    lines += [f"{row.file}: {row.verdict}" for row in others.itertuples()]
    return lines + [
        str(row.detail) for row in windows.itertuples() if row.detail and row.verdict in {"whole", "partial"}
    ]


def _sums(table: pd.DataFrame) -> str:
    """The number of files with each verdict."""
    from recu_analysis.store.verify import VERDICTS

    counts = {verdict: int((table["verdict"] == verdict).sum()) for verdict in VERDICTS}
    sums = ", ".join(f"{number} {verdict}" for verdict, number in counts.items() if number)
    return f"{len(table)} files, {size(table['bytes'].dropna().sum())}: {sums}"


def _rows(windows: pd.DataFrame) -> list[list[str]]:
    """One row per group of consecutive windows with one segment and verdict."""
    groups: list[list[dict[Any, Any]]] = []
    for row in windows.to_dict(orient="records"):
        same = groups and all(groups[-1][-1][key] == row[key] for key in ("segment", "verdict"))
        if same and row["window"] == groups[-1][-1]["window"] + 1:
            groups[-1].append(row)
        else:
            groups.append([row])
    return [_row(group) for group in groups]


def _row(group: list[dict[Any, Any]]) -> list[str]:
    first, last = group[0], group[-1]
    spans = [(row["first_update"], row["last_update"]) for row in group if row["first_update"] is not None]
    updates = _span(spans[0][0], spans[-1][1]) if spans and spans[-1][1] >= spans[0][0] else "none" if spans else "-"
    sizes = [row["bytes"] for row in group if row["bytes"] is not None]
    total = size(sum(sizes)) if sizes else "-"
    return [str(first["segment"]), _span(first["window"], last["window"]), updates, total, first["verdict"]]


def _span(first: int, last: int) -> str:
    return str(first) if first == last else f"{first} to {last}"
