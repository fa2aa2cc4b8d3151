"""recu-analyze causes: why silent weights stay silent, and what gradients restore of the weights that decay takes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import rich_click as click

from recu_analysis.analysis.rendering import Column, shown
from recu_analysis.cli import options
from recu_analysis.cli.asides import Aside
from recu_analysis.cli.output import View, table_lines, wrapped, write_table
from recu_analysis.cli.several_runs import warn_of_seeds
from recu_analysis.cli.target import table_target
from recu_analysis.cli.window_notes import OF_STATES, all_signs, choice, ground

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import pandas as pd

    from recu_analysis.analysis.arms import Arm
    from recu_analysis.analysis.selection import WindowSpan
    from recu_analysis.cli.target import Target
    from recu_analysis.store.run import Run

#: Each cause: its heading, the width of its column, and its rule.
_CAUSES: Final = {
    "slow channel": ("slow", 4, "The mobility of the weight's channel is below 1/4 of the median of its layer."),
    "masked": ("masked", 6, "The gradient was at most 1/5 of the layer's median in at least half of the updates."),
    "lost to rounding": ("round.", 6, "Rounding kept the value in at least half of the updates."),
    "scheduled": ("sched.", 6, "Out of reach, where the windows have T below 0.1."),
    "out of reach": ("reach", 5, "The path is shorter than the distance to zero."),
    "opposed": ("opp.", 4, "Gradients moved the weight towards zero by more than 1.645 standard errors of noise."),
    "held": ("held", 4, "Gradients moved the weight away from zero by more than that."),
    "undetermined": ("undet.", 6, "No rule explains the silence."),
}
_COLUMNS: Final = (
    Column("layer"),
    Column("weights", width=6, meaning="Number of weights of the tail that were silent in the windows before."),
    *(Column(name, head, width, group="%", meaning=rule) for name, (head, width, rule) in _CAUSES.items()),
)
#: Rows for all layers together: name, group and column of shares.
_TOTALS: Final = (
    ("all", "tail-silent", "share"),
    ("noise alone", "tail-silent", "share_null"),
    ("all, halved", "tail-silent", "share_half"),
    ("all, doubled", "tail-silent", "share_twice"),
    ("all, core", "core-silent", "share"),
)
#: Groups of rho beside all weights, with the headings of their columns.
_GROUPS: Final = {
    "tail": ("all", "tail"),
    "tail-silent": ("silent", "tail"),
    "tail-flipped": ("flip.", "tail"),
    "core": ("all", "core"),
    "core-silent": ("silent", "core"),
    "core-flipped": ("flip.", "core"),
}
_RHO: Final = (
    Column("window", width=6),
    Column("decay_time", "T", 5),
    Column("rho", "rho", 6, ends=13),
    *(Column(name, head, 6, group=over) for name, (head, over) in _GROUPS.items()),
)
_SPLIT: Final = (
    Column("group"),
    Column("weights", width=7),
    Column("rho", "rho", 6),
    Column("autocorrelation", "ac", 6),
    Column("inherited", "inherited", 9),
    Column("momentum", "momentum", 8),
    Column("restored", "restored", 8),
)


@click.command("causes", epilog="Example: recu-analyze causes runs/recu --windows 8:13")
@options.runs_argument
@options.layer_option
@options.windows_option
@options.tail_tau_option
@table_target
@options.common
@options.jobs
def command(
    runs: tuple[Path, ...],
    layers: tuple[str, ...],
    windows: slice | None,
    tail_tau: float | str,
    target: Target,
) -> None:
    """Show why silent weights stay silent, and what gradients restore of what decay takes.

    Weights of the tail that were silent in some windows are tested in the windows after, by default the final windows.
    The first rule that a weight meets is its cause. Below are rho, the part of what decay takes that gradients restore,
    and the autocorrelation by where it comes from. RUNs that differ only in their seed are one experiment.

    The runs must be recorded with gradient-stats: recu-analyze train --record gradient-stats. CSV and JSON have the
    causes, one row for each layer, group and cause.
    """
    opened = options.labeled(runs)
    level: Any = tail_tau
    write_table(view(opened, layers, windows, level), target)


@dataclass(frozen=True, slots=True)
class Block:
    """One experiment: its windows, and its tables of causes, of rho by window and of rho over all windows."""

    arm: Arm
    spans: Mapping[str, WindowSpan]
    causes: pd.DataFrame
    rho: pd.DataFrame
    split: pd.DataFrame


def view(runs: Mapping[str, Run], layers: tuple[str, ...], windows: slice | None, tail_tau: Any) -> View:
    """The tables of all experiments, with a verdict on each."""
    import pandas as pd

    from recu_analysis.analysis.final_windows import final_windows

    blocks, table = _answered(runs, layers, windows, tail_tau)
    warn_of_seeds(runs)
    wide = [_wide(block.causes) for block in blocks]
    several = len(blocks) > 1
    if several:
        wide = [rows.assign(arm=block.arm.label) for block, rows in zip(blocks, wide, strict=True)]
    first = next(iter(runs.values()))
    final = final_windows(first) if windows is None and len(runs) == 1 else None
    tail = "2 (1 - tau) at each layer's own tau" if tail_tau == "window" else f"{200 * (1 - float(tail_tau)):.3g} %"
    return View(
        table,
        (*([Column("arm")] if several else []), *_COLUMNS),
        pd.concat(wide, ignore_index=True),
        caption="Causes of silence, in per cent of the weights of the tail that were silent before, of "
        f"{'; '.join(block.arm.label for block in blocks)}.",
        runs=list(runs),
        above=[*(Aside(_verdict(block, layers, named=len(runs) > 1)) for block in blocks), *choice(first, final)],
        below=[
            f"tail: the {tail} of a layer's weights with the largest |z| where they are chosen",
            *([] if all(all_signs(run, table["layer"]) for run in runs.values()) else [OF_STATES]),
            *_notes(blocks),
        ],
        lines=lambda width: [line for block in blocks for line in _lines(block, width)][1:],
        told_by_lines=[line for block in blocks for line in (_told(block), _rho_text(block))],
        explained=(*_COLUMNS[2:], *_SPLIT[2:]),
    )


def _answered(
    runs: Mapping[str, Run], layers: tuple[str, ...], windows: slice | None, tail_tau: Any
) -> tuple[list[Block], pd.DataFrame]:
    """The blocks of all experiments, and the table of causes."""
    from recu_analysis.analysis.arms import arms, comparable
    from recu_analysis.analysis.causes import causes_query
    from recu_analysis.analysis.causes_over_seeds import means_of_causes, means_of_earned
    from recu_analysis.analysis.dead_over_seeds import spans_of_arms
    from recu_analysis.analysis.earned import each_earned_query, earned_query
    from recu_analysis.analysis.query import gather, gathered
    from recu_analysis.analysis.selection import select_windows

    groups, some = comparable(arms(runs)), layers or None
    spans = spans_of_arms(groups, windows)
    queries = {
        label: gather(
            causes_query(runs[label], span, some, tail_tau),
            each_earned_query(runs[label], select_windows(runs[label], span), some, tail_tau, network=True),
            earned_query(runs[label], span, some, tail_tau, network=True),
        )
        for label, span in spans.items()
    }
    found = options.answered(gathered(queries), runs.values())
    if len(runs) == 1:
        (tables,) = found.values()
        return [Block(groups[0][0], spans, *tables)], tables[0]
    experiments = [arm for group in groups for arm in group]
    of_each = [{label: tables[at] for label, tables in found.items()} for at in range(3)]
    means = [means_of_causes(experiments, of_each[0]), *(means_of_earned(experiments, each) for each in of_each[1:])]
    blocks = [Block(arm, spans, *(each[each["arm"] == arm.label] for each in means)) for arm in experiments]
    return blocks, means[0]


def _wide(causes: pd.DataFrame) -> pd.DataFrame:
    """A row for each layer, and rows for all of them; a column for each cause, in per cent."""
    import pandas as pd

    layers = dict.fromkeys(causes.loc[causes["row"] == "layer", "layer"])
    rows = [("layer", name, name, "tail-silent", "share") for name in layers]
    rows += [("total", title, "all", group, column) for title, group, column in _TOTALS]
    found = []
    for row, title, layer, group, column in rows:
        part = causes[(causes["row"] == row) & (causes["layer"] == layer) & (causes["group"] == group)].set_index(
            "cause"
        )
        cells = {name: shown("share", float(part.loc[name, column])) for name in _CAUSES}
        found.append({"row": row, "layer": title, "weights": round(float(part["weights"].iloc[0]))} | cells)
    return pd.DataFrame(found)


def _by_window(rho: pd.DataFrame) -> pd.DataFrame:
    """A row for each window; rho of all weights with its interval, and a column for each other group."""
    table = rho[rho["group"] == "all"].reset_index(drop=True)
    for name in _GROUPS:
        known = rho[rho["group"] == name].set_index("window")["rho"]
        table[name] = [shown("rho", float(known.get(window, math.nan)), 6) for window in table["window"]]
    return table


def _lines(block: Block, width: int | None) -> list[str]:
    """The tables of one experiment below each other."""
    return [
        "",
        *wrapped([_told(block)], width),
        *table_lines(_wide(block.causes), _COLUMNS, width),
        "",
        *wrapped(["rho of all layers, by window; noise alone gives 0"], width),
        *table_lines(_by_window(block.rho), _RHO, width),
        "",
        *wrapped(["all windows together: rho, and the autocorrelation by where it comes from"], width),
        *table_lines(block.split, _SPLIT, width),
    ]


def _verdict(block: Block, layers: tuple[str, ...], *, named: bool) -> str:
    """The verdict on an experiment, from its rows for all layers."""
    from recu_analysis.analysis.final_windows import judged_windows
    from recu_analysis.analysis.ground import weakest
    from recu_analysis.analysis.verdict_reasons import of_causes

    total = block.causes[(block.causes["row"] == "total") & (block.causes["group"] == "tail-silent")].set_index("cause")
    shares = {name: _interval(total.loc[name], "share") for name in _CAUSES}
    runs = block.arm.runs
    spans = {label: block.spans[label] for label in runs}
    nulls = weakest(judged_windows(run, spans[label]).null for label, run in runs.items()) if layers else None
    silent = float(total["weights"].iloc[0] / total["counted"].iloc[0]) if total["counted"].iloc[0] else 0.0
    carried = ground(runs, spans, nulls)
    sentence = of_causes(silent, shares, float(total["share_null"]["held"]), _chosen(block), carried)
    return f"{block.arm.label}: {sentence}" if named else sentence


def _interval(row: Any, name: str) -> Any:
    from recu_analysis.theory.intervals import Interval

    return Interval(*(float(row.get(each, math.nan)) for each in (name, f"{name}_low", f"{name}_high")))


def _before(block: Block) -> dict[str, WindowSpan]:
    """The windows of each run in which the weights were chosen."""
    from recu_analysis.analysis.causes import chosen_before

    return {label: chosen_before(run, block.spans[label]) for label, run in block.arm.runs.items()}


def _chosen(block: Block) -> str:
    from recu_analysis.analysis.window_text import period_text

    return period_text(block.arm.runs, _before(block))


def _told(block: Block) -> str:
    """The windows of an experiment, in which weights are chosen and tested."""
    from recu_analysis.analysis.window_text import windows_of_runs

    runs = block.arm.runs
    chosen, tested = windows_of_runs(runs, _before(block)), windows_of_runs(runs, block.spans)
    return f"{block.arm.label}: silent weights are chosen in {chosen}; tested in {tested}"


def _rho_text(block: Block) -> str:
    """Rho over all windows in a sentence, for formats with one table."""
    each = ", ".join(f"{row.group} {shown('rho', row.rho)}" for row in block.split.itertuples())
    return f"{block.arm.label}: rho over all tested windows, where noise alone gives 0: {each}"


def _notes(blocks: list[Block]) -> list[str]:
    """What the rows mean, what noise does at other thresholds, and whether single weights can be told."""
    from recu_analysis.analysis.causes import UNTRIED, by_noise, is_untried
    from recu_analysis.analysis.earned import NO_RHO
    from recu_analysis.theory.power import least_decay_time

    least = least_decay_time()
    times = [float(block.split["decay_time"].max()) for block in blocks]
    times = [time for time in times if not math.isnan(time)]  # not known for Adam with L2 decay, for example
    power = (
        "a typical weight that gradients hold is more likely found than not"
        if all(time >= least for time in times)
        else f"below about {least:.0f}, read shares of weights and not single weights"
    )
    untried = [is_untried(block.causes) for block in blocks]
    told = ", ".join(f"{time:.3g}" for time in dict.fromkeys(times))
    no_rho = [block.split["rho"].isna().all() and block.split["inherited"].notna().any() for block in blocks]
    by_chance = (
        f"of the weights that no earlier rule explains, noise alone holds {100 * by_noise():.0f} %, and opposes as "
        f"many; {100 * by_noise(0.5):.0f} % each with the thresholds halved, {100 * by_noise(2.0):.2f} % doubled"
    )
    return [
        "all, core: silent weights of the core, for comparison; halved, doubled: with all thresholds halved or doubled",
        *([UNTRIED] if any(untried) else []),
        *([] if all(untried) else [by_chance]),
        *([NO_RHO] if any(no_rho) else []),
        *([f"T = {told} in the tested windows: {power}"] if times else []),
        *_of_intervals(blocks),
    ]


def _of_intervals(blocks: list[Block]) -> list[str]:
    if any(len(block.arm.runs) > 1 for block in blocks):
        return ["95 %: over seeds, and never narrower than the noise of the minibatches of each seed allows"]
    return [
        "95 %: under noise, from the recorded gradients along the start; the noise of a minibatch is common to all "
        "layers, so their standard errors are added. Groups have no interval from one training; compare seeds"
    ]
