"""The view of recu-analyze intervene: the rise of the loss by group, and differences between groups."""

from __future__ import annotations

from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import pandas as pd

from recu_analysis.analysis.arms import arms, comparable
from recu_analysis.analysis.final_windows import judged_windows
from recu_analysis.analysis.ground import weakest
from recu_analysis.analysis.rendering import ROW, TOTAL, Column, estimate, shown
from recu_analysis.analysis.verdict_reasons import of_intervention
from recu_analysis.analysis.window_text import windows_of_runs
from recu_analysis.cli.asides import Aside
from recu_analysis.cli.output import View, table_lines, wrapped
from recu_analysis.cli.several_runs import few_seeds
from recu_analysis.cli.window_notes import choice, ground
from recu_analysis.intervention.bench import FIXED
from recu_analysis.intervention.intervene import UNCHANGED
from recu_analysis.intervention.over_seeds import rises_over_seeds
from recu_analysis.store.labels import together
from recu_analysis.theory.intervals import Interval

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from recu_analysis.analysis.arms import Arm
    from recu_analysis.analysis.final_windows import FinalWindows
    from recu_analysis.analysis.selection import WindowSpan
    from recu_analysis.store.run import Run

#: Columns before those of the groups.
_FIRST = (Column("layer"), Column("batch_norm"), Column("negated_fraction", "neg. %", 5))


@dataclass(frozen=True, slots=True)
class Block:
    """One experiment.

    Attributes
    ----------
    arm : Arm
    means : DataFrame
        Its table: of its only run, or means over its seeds.
    seeds : sequence of DataFrame
        The table of each run.
    """

    arm: Arm
    means: pd.DataFrame
    seeds: Sequence[pd.DataFrame]


def rises_view(
    runs: Mapping[str, Run],
    spans: Mapping[str, WindowSpan],
    tables: Mapping[str, pd.DataFrame],
    final: FinalWindows | None,
    *,
    some_layers: bool,
) -> View:
    """The tables of all experiments, with a verdict on each.

    Parameters
    ----------
    runs, spans, tables : mapping
        Of each run by its label: the run, the windows that define the groups, and the table of `intervene`.
    final : FinalWindows or None
        Final windows, if the user chose none and there is one run.
    some_layers : bool
        Whether the user chose layers.
    """
    whole = rises_over_seeds(runs, tables)
    blocks = [
        Block(arm, _table_of(arm, whole, tables), [tables[label] for label in arm.runs])
        for group in comparable(arms(runs))
        for arm in group
    ]
    several = len(blocks) > 1
    wide = [_wide(block.means) for block in blocks]
    if several:
        wide = [rows.assign(arm=block.arm.label) for block, rows in zip(blocks, wide, strict=True)]
    rows = pd.concat(wide, ignore_index=True)
    known = {"row", "arm", *(column.name for column in _FIRST)}
    groups = [_column(str(name)) for name in rows.columns if name not in known]
    named = len(runs) > 1
    verdicts = [_verdict(block, spans, some_layers=some_layers) for block in blocks]
    verdicts = [f"{block.arm.label}: {each}" if named else each for block, each in zip(blocks, verdicts, strict=True)]
    told = [_told(block, spans) for block in blocks]
    return View(
        tables[next(iter(runs))] if len(runs) == 1 else whole,
        (*([Column("arm")] if several else []), *_FIRST, *groups),
        rows=rows,
        caption=f"Rise of the validation loss of {together(block.arm.label for block in blocks)} (nats) if binary "
        "weights of each group are negated.",
        runs=list(runs),
        above=[*map(Aside, verdicts), *choice(next(iter(runs.values())), final)],
        below=[
            "rise of the loss in nats; *: its 95 % interval lies above 0; -: an empty group",
            *(["all layers: those in which every group has weights, at once"] if (rows[ROW] == TOTAL).any() else []),
            _of_intervals(blocks),
            *few_seeds(len(block.arm.runs) for block in blocks),
        ],
        lines=lambda width: [
            line
            for block, sentence, each in zip(blocks, told, wide, strict=True)
            for line in ["", *wrapped([sentence], width), *table_lines(each, (*_FIRST, *groups), width), *_pairs(block)]
        ][1:],
        told_by_lines=[*told, *(line.strip() for block in blocks for line in _pairs(block) if line)],
        explained=_FIRST,
    )


def _table_of(arm: Arm, whole: pd.DataFrame, tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """The table of an experiment: of its only run, or the means over its seeds."""
    if len(arm.runs) == 1:
        return tables[next(iter(arm.runs))]
    return whole[(whole["arm"] == arm.label) & whole["run"].isna()]


def _wide(table: pd.DataFrame) -> pd.DataFrame:
    """One row per layer and treatment of batch normalization, one column of texts per group."""
    rows: dict[tuple[str, str, str], dict[str, Any]] = {}
    for row in table[table["reference"] == UNCHANGED].to_dict("records"):
        place = row["batch_norm"], row[ROW], row["layer"]
        layer = "all layers" if row[ROW] == TOTAL else row["layer"]
        first = {ROW: row[ROW], "layer": layer, "batch_norm": row["batch_norm"], "negated_fraction": 0.0}
        known = rows.setdefault(place, first)
        known["negated_fraction"] = max(known["negated_fraction"], row["negated_fraction"])
        mark = "*" if row["rise_low"] > 0.0 else " "
        known[row["group"]] = f"{shown('rise', row['rise'])}{mark}" if row["negated"] else "- "
    return pd.DataFrame([rows[place] for place in sorted(rows, key=itemgetter(0))]).fillna("- ")


def _column(group: str) -> Column:
    """The column of a group: of tail-silent, silent under tail."""
    where, dash, what = group.partition("-")
    return Column(group, what, group=where) if dash else Column(group)


def _told(block: Block, spans: Mapping[str, WindowSpan]) -> str:
    """The windows of an experiment, and how it was evaluated."""
    seeds, table = len(block.arm.runs), block.means
    repeats, images = (round(float(table[name].iloc[0])) for name in ("repeats", "images"))
    means = f"means over {seeds} seeds, " if seeds > 1 else ""
    return (
        f"{block.arm.label}: {means}{windows_of_runs(block.arm.runs, spans)}; {images} validation images, {repeats} "
        f"draw{'s' * (repeats > 1)} of each group, loss {shown('loss', float(table['loss'].iloc[0]))}"
    )


def _at_once(table: pd.DataFrame) -> pd.DataFrame:
    """The rows in which weights were negated, of all layers at once, or of the only layer."""
    several = (table[ROW] == TOTAL).any()
    return table[((table[ROW] == TOTAL) == several) & (table["negated"] > 0)]


def _pairs(block: Block) -> list[str]:
    """The differences between groups: mean with interval, and each seed."""
    lines: list[str] = []
    rows = _at_once(block.means)
    for (group, reference), some in rows[rows["reference"] != UNCHANGED].groupby(["group", "reference"], sort=False):
        lines += ["", f"{group} minus {reference}"]
        for row in some.to_dict("records"):
            values = [_same(table, row) for table in block.seeds] if len(block.seeds) > 1 else []
            each = f": {', '.join(shown('rise', value) for value in values)}" if values else ""
            lines.append(f"  {row['batch_norm']:14}{estimate(row, 'rise')}{each}")
    return lines


def _same(table: pd.DataFrame, row: Mapping[Any, Any]) -> float:
    """The rise in the row of a seed that is the same as a row of means."""
    names = (ROW, "layer", "group", "reference", "batch_norm")
    (found,) = table.loc[(table[[*names]] == [row[name] for name in names]).all(axis=1), "rise"]
    return float(found)


def _of_intervals(blocks: Sequence[Block]) -> str:
    if any(len(block.arm.runs) > 1 for block in blocks):
        return "95 %: Student's over the seeds, and never narrower than the images and draws of each seed allow"
    return "95 %: over images and draws of weights of this training; other seeds may differ by more"


def _verdict(block: Block, spans: Mapping[str, WindowSpan], *, some_layers: bool) -> str:
    """The verdict on an experiment, with fixed statistics."""
    rows = _at_once(block.means)
    rows = rows[rows["batch_norm"] == FIXED]
    runs = block.arm.runs
    nulls = weakest(judged_windows(run, spans[label]).null for label, run in runs.items()) if some_layers else None
    carried = ground(runs, {label: spans[label] for label in runs}, nulls)
    found = {
        (row["group"], row["reference"]): Interval(row["rise"], row["rise_low"], row["rise_high"])
        for row in rows.to_dict("records")
    }
    rises = {group: each for (group, reference), each in found.items() if reference == UNCHANGED}
    differences = {pair: each for pair, each in found.items() if pair[1] != UNCHANGED}
    return of_intervention(rises, differences, carried)
