"""recu-analyze dead-weights: which latent weights of a run are dead, one row per layer."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import rich_click as click

from recu_analysis.analysis.rendering import Column, shown
from recu_analysis.cli import options
from recu_analysis.cli.asides import Aside
from recu_analysis.cli.output import View, table_lines, wrapped, write_table
from recu_analysis.cli.several_runs import few_seeds, too_short_runs, warn_of_sampled, warn_of_seeds
from recu_analysis.cli.target import table_target
from recu_analysis.cli.window_notes import at_most, choice, ground, too_short
from recu_analysis.errors import listed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    import pandas as pd

    from recu_analysis.analysis.dead_over_seeds import Block
    from recu_analysis.analysis.final_windows import FinalWindows
    from recu_analysis.analysis.selection import WindowSpan
    from recu_analysis.cli.target import Target
    from recu_analysis.store.run import Run

#: Layers that a warning names.
LISTED = 8
#: Name, weights, the criterion, silence and autocorrelation with what noise alone would give, mobility.
COLUMNS = (
    Column("layer"),
    Column("weights", width=6),
    Column("tail_silent_fraction", "silent", 6, group="% tail and"),
    Column("tail_silent_fraction_null", "noise", 5, group="% tail and"),
    Column("silent_fraction_tail", width=5),
    Column("silent_fraction_tail_null", "noise", 5, group="% silent"),
    Column("silent_fraction_core", width=4),
    Column("silent_fraction_core_null", "noise", 5, group="% silent"),
    Column("mobility_tail", width=4),
    Column("mobility_core", width=4),
    Column("autocorrelation", "is", width=4, group="ac"),
    Column("autocorrelation_null", "noise", 4, group="ac"),
)
#: Columns of the other criteria, each shown if it is chosen.
_OF_CRITERIA = {
    "tail": Column("tail_fraction", "tail", 5, group="%"),
    "silent": Column("silent_fraction", "silent", 7, group="%"),
    "still": Column("still_fraction", "still", 6, group="%"),
    "tail-still": Column("tail_still_fraction", "still", 6, group="% tail and"),
}


@click.command(
    "dead-weights",
    epilog="Example: recu-analyze dead-weights runs/demo/recu --layer 'layer2.*' -o dead.tex",
)
@options.runs_argument
@options.layer_option
@options.windows_option
@options.tail_tau_option
@click.option(
    "--criterion",
    type=click.Choice(["tail-silent", "tail", "silent", "still", "tail-still"]),
    default="tail-silent",
    show_default=True,
    help="Which weights count as dead: in the sentence below the table, in column dead_fraction, and in the column "
    "marked with *.",
)
@table_target
@options.common
@options.jobs
def command(
    runs: tuple[Path, ...],
    layers: tuple[str, ...],
    windows: slice | None,
    tail_tau: float | str,
    criterion: str,
    target: Target,
) -> None:
    """Show which latent weights of each RUN are dead, layer by layer.

    Tail: the weights farthest from the mean of their channel, in standard deviations of the channel, at the start of
    the windows. Silent: no change of sign in the windows. Still: moves less than a tenth of its layer's median.

    RUNs that differ only in their seed are one experiment. Each experiment has a block of the table, with means over
    seeds and 95 % intervals. A RUN may also be a list of runs (runs.toml).

    The last row is for all layers. In CSV and JSON, column row marks it: layer or total.
    """
    opened = options.labeled(runs)
    if len(opened) == 1:
        (run,) = opened.values()
        write_table(_of_one(run, layers, windows, tail_tau, criterion), target)
    else:
        write_table(of_seeds(opened, layers, windows, tail_tau, criterion), target)


def _of_one(run: Run, layers: tuple[str, ...], windows: slice | None, tail_tau: Any, criterion: str) -> View:
    """The table of one run, with warnings of weights that are left out."""
    from recu_analysis.analysis.deadness import dead_weights
    from recu_analysis.analysis.final_windows import choose, final_windows
    from recu_analysis.analysis.window_text import chosen_text

    final = final_windows(run) if windows is None else None
    chosen = choose(run, windows)
    table = dead_weights(run, windows=chosen, layers=layers or None, tail_tau=tail_tau, criterion=criterion)
    _warn_of_omitted(table, chosen_text(run, chosen))
    return view(run, table, criterion, tail_tau, final)


def _warn_of_omitted(table: pd.DataFrame, where: str) -> None:
    """Warn in one sentence in which layers weights are left out, and how many."""
    found: dict[tuple[str, int], list[str]] = {}
    for row in table[table["counted"] < table["weights"]].to_dict(orient="records"):
        bad = f"{row['nonfinite']} weights" if row["nonfinite"] else "some weights, for a while,"
        found.setdefault((bad, row["weights"] - row["counted"]), []).append(row["layer"])
    told = [
        f"{bad} {'of each ' * (len(layers) > 1)}of {listed(layers, LISTED)} ({left} left out with their channels)"
        for (bad, left), layers in found.items()
    ]
    if told:
        options.warn(f"NaN or infinite in {where}: {'; '.join(told)}")


def view(
    run: Run, table: pd.DataFrame, criterion: str, tail_tau: float | str, final: FinalWindows | None = None
) -> View:
    """The table with a row for all layers, its windows and tail above, and totals below."""
    from recu_analysis.analysis.deadness import check_criterion, totals, with_totals
    from recu_analysis.analysis.selection import WindowSpan
    from recu_analysis.analysis.verdict import of_dead_weights_row
    from recu_analysis.store.labels import labels_of

    labels = labels_of([run])
    total, first = totals(table), table.iloc[0]
    span = WindowSpan(first["first_window"], first["last_window"] + 1)
    of_layers = total["autocorrelation_null"] if len(table) < len(run.header.layers) else None
    verdict = of_dead_weights_row(
        table, total.to_dict(), check_criterion(criterion), ground({labels[0]: run}, {labels[0]: span}, of_layers)
    )
    return View(
        with_totals(table),
        columns_of(criterion),
        caption=f"Dead latent weights of {labels[0]}, layer by layer.",
        runs=labels,
        above=[Aside(verdict), *_heading(run, span, tail_tau, final, exact=first["exact"])],
        below=_footer(run, table, total, criterion),
    )


def columns_of(criterion: str) -> list[Column]:
    """The columns of the text table, with a star at that of the criterion, which is added if the table lacks it."""
    shown = list(COLUMNS)
    if criterion in _OF_CRITERIA:
        shown.insert(2, _OF_CRITERIA[criterion])
    name = f"{criterion.replace('-', '_')}_fraction"
    return [replace(column, mark="*") if column.name == name else column for column in shown]


def _heading(
    run: Run, span: WindowSpan, tail_tau: float | str, final: FinalWindows | None, *, exact: bool
) -> list[str]:
    from recu_analysis.analysis.window_text import windows_text

    seen = "every update seen" if exact else "sampled from checkpoints: flips between them are unseen"
    return [
        f"{windows_text(run, span)}, {seen}",
        *choice(run, final),
        _tail([run], tail_tau),
    ]


def _tail(runs: Iterable[Run], tail_tau: float | str) -> str:
    share = "2 (1 - tau) at each layer's own tau" if tail_tau == "window" else f"{200 * (1 - float(tail_tau)):.3g} %"
    signs = all(spec.quantizer.binary for run in runs for spec in run.header.layers)
    far = "|z|" if signs else "distance from a threshold"
    return Aside(f"tail: the {share} of a layer's weights with the largest {far} when the windows start", about="tail")


def _decay_time(run: Run, table: pd.DataFrame) -> str:
    """What T is here and in the run, or why it is not known."""
    from recu_analysis.analysis.selection import decay_time

    if table["decay_time"].notna().all():
        whole = decay_time(run)
        here = f"T = sum of lr x weight decay / (1 - momentum): {table['decay_time'].max():.3g} here"
        return here if math.isnan(whole) else f"{here}, {whole:.3g} in the run"
    if table["exact"].all():
        return "T is not known: it is not defined for the optimizer of these updates"
    return "T is not known: it sums learning rates, and checkpoints hold none"


def _footer(run: Run, table: pd.DataFrame, total: pd.Series[Any], criterion: str) -> list[str]:
    if total["counted"]:
        share = shown("dead_fraction", total["dead"] / total["counted"])
        counts = f"{total['dead']:,} of {total['counted']:,} weights, {share} %"
    else:
        counts = "cannot be told, since all weights are left out"
    return [
        f"* dead by the criterion {criterion}: {counts}",
        Aside(_decay_time(run, table), about="decay_time"),
        *at_most(table),
        *too_short(table["autocorrelation_null"]),
    ]


#: Columns for several seeds: means, three of them with intervals.
_OF_SEEDS = (
    Column("layer"),
    Column("dead_fraction", width=4, ends=10),
    Column("silent_fraction_tail", width=5, ends=10),
    Column("silent_fraction_core", width=4, ends=10),
    Column("mobility_tail", width=4),
    Column("mobility_core", width=4),
    Column("autocorrelation", width=4),
)


def of_seeds(
    runs: Mapping[str, Run], layers: tuple[str, ...], windows: slice | None, tail_tau: Any, criterion: str
) -> View:
    """One block per experiment, with means over its seeds, and warnings about the runs."""
    import pandas as pd

    from recu_analysis.analysis.dead_over_seeds import dead_weights_over_seeds_query

    warn_of_sampled(runs)
    query = dead_weights_over_seeds_query(runs, windows, layers or None, tail_tau, criterion)
    blocks = options.answered(query, runs.values())
    warn_of_seeds(runs)
    table = pd.concat([block.rows for block in blocks], ignore_index=True)
    several = any(len(block.arm.runs) > 1 for block in blocks)
    columns = _OF_SEEDS if several else tuple(replace(column, ends=0) for column in _OF_SEEDS)
    tail = [
        _tail(runs.values(), tail_tau),
        f"dead: by the criterion {criterion}{'; means and 95 % intervals over seeds' if several else ''}",
    ]
    short = too_short_runs(runs) if windows is None else []
    below = [
        *few_seeds(len(block.arm.runs) for block in blocks),
        *at_most(table[table["row"] == "layer"]),
        *too_short(table.loc[table["row"] == "layer", "autocorrelation_null"]),
    ]
    return View(
        table,
        (Column("arm"), *columns),
        caption=f"Dead latent weights of {'; '.join(block.arm.label for block in blocks)}.",
        runs=list(runs),
        above=[*(Aside(_verdict(block, criterion)) for block in blocks), *short, *tail],
        below=below,
        explained=columns[1:],
        lines=lambda width: _blocks(blocks, columns, width)[1:],
        told_by_lines=[_told(block) for block in blocks],
    )


def _verdict(block: Block, criterion: str) -> str:
    """The verdict on an experiment, from its row for all layers."""
    from recu_analysis.analysis.deadness import check_criterion
    from recu_analysis.analysis.verdict import of_dead_weights_row

    total = block.rows.iloc[-1]
    chosen = len(block.rows) - 1 < len(block.arm.first.header.layers)
    carried = ground(block.arm.runs, block.spans, total["autocorrelation_null"] if chosen else None)
    told = of_dead_weights_row(block.rows.iloc[:-1], total.to_dict(), check_criterion(criterion), carried)
    return f"{block.arm.label}: {told}"


def _told(block: Block) -> str:
    """The runs of an experiment, its data set, its windows (of each run where they differ), and its nulls."""
    from recu_analysis.analysis.window_text import windows_of_runs

    where = windows_of_runs(block.arm.runs, block.spans)
    count = len(block.arm.runs)
    seeds = f"{count} seeds" if count > 1 else "one seed (no interval)"
    dataset = block.arm.configuration.get("dataset")
    return f"{block.arm.label}: {seeds}{f' on {dataset}' if dataset else ''}, {where}{_noise(block)}"


def _noise(block: Block) -> str:
    """What noise alone would give in all layers, for which the table has no room; empty if it is not known."""
    row = block.rows.iloc[-1]
    tail, core, left = (
        shown(name, row[f"{name}_null"]) for name in ("silent_fraction_tail", "silent_fraction_core", "autocorrelation")
    )
    if row[["silent_fraction_tail_null", "silent_fraction_core_null"]].isna().any():
        return ""
    noise = f"silent tail {tail} %, silent core {core} %, autocorrelation {left} (all layers)"
    return f"; noise alone would give {noise}"


def _blocks(blocks: Sequence[Block], columns: Sequence[Column], width: int | None) -> list[str]:
    """The lines of each experiment: its runs, its windows and its layers."""
    return [
        line
        for block in blocks
        for line in ("", *wrapped([_told(block)], width), *table_lines(block.rows, columns, width))
    ]
