"""recu-analyze dead-weights: which latent weights of a run are dead, a row a layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import rich_click as click

from recu_analysis.analysis.rendering import Column, shown
from recu_analysis.cli import options
from recu_analysis.cli.output import View, write_table
from recu_analysis.cli.target import table_target
from recu_analysis.cli.window_notes import choice, too_short

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from recu_analysis.analysis.final_windows import FinalWindows
    from recu_analysis.cli.target import Target
    from recu_analysis.store.run import Run

#: Name, weights, the five criteria, silence, mobility, autocorrelation.
COLUMNS = (
    Column("layer"),
    Column("weights", width=6),
    Column("tail_fraction", "tail", 4, group="%"),
    Column("silent_fraction", "silent", 6, group="%"),
    Column("still_fraction", "still", 5, group="%"),
    Column("tail_silent_fraction", "silent", 6, group="% tail and"),
    Column("tail_still_fraction", "still", 5, group="% tail and"),
    Column("silent_fraction_tail", width=5),
    Column("silent_fraction_core", width=5),
    Column("mobility_tail", width=4),
    Column("mobility_core", width=4),
    Column("autocorrelation", width=4),
)


@click.command(
    "dead-weights",
    epilog="Example: recu-analyze dead-weights runs/demo/recu --layer 'layer2.*' --format latex",
)
@options.run_argument
@options.layer_option
@options.windows_option
@options.tail_tau_option
@click.option(
    "--criterion",
    type=click.Choice(["tail-silent", "tail", "silent", "still", "tail-still"]),
    default="tail-silent",
    show_default=True,
    help="What dead means in the footer and in column dead_fraction.",
)
@table_target
@options.common
@options.jobs
def command(
    run: Path,
    layers: tuple[str, ...],
    windows: slice | None,
    tail_tau: float | str,
    criterion: str,
    target: Target,
) -> None:
    """Show which latent weights of RUN are dead, layer by layer.

    Tail: the weights farthest from the mean of their channel, in its standard deviations, when the windows
    begin. Silent: no change of sign in the windows. Still: moves less than a tenth of its layer's median.

    The last row is of all layers. In CSV and JSON, column row tells it from the others: layer or total.
    """
    from recu_analysis.analysis.deadness import dead_weights
    from recu_analysis.analysis.final_windows import choose, final_windows

    opened = options.opened(run)
    final = final_windows(opened) if windows is None else None
    chosen = choose(opened, windows)
    table = dead_weights(opened, windows=chosen, layers=layers or None, tail_tau=tail_tau, criterion=criterion)  # type: ignore[arg-type]
    for row in table[table["counted"] < table["weights"]].to_dict(orient="records"):
        omitted = row["weights"] - row["counted"]
        bad = f"{row['nonfinite']} weights are" if row["nonfinite"] else "weights were for a while"
        options.warn(
            f"layer {row['layer']}: {bad} NaN or infinite in windows {chosen}; they and their channels are left out, "
            f"{omitted} weights in all"
        )
    write_table(view(opened, table, criterion, tail_tau, final), target)


def view(
    run: Run, table: pd.DataFrame, criterion: str, tail_tau: float | str, final: FinalWindows | None = None
) -> View:
    """The table with the row of all layers, with what it means above and totals below."""
    from recu_analysis.analysis.deadness import totals, with_totals
    from recu_analysis.store.labels import labels_of

    labels = labels_of([run])
    return View(
        with_totals(table),
        COLUMNS,
        caption=f"Dead latent weights of {labels[0]}, layer by layer.",
        runs=labels,
        above=_heading(table, tail_tau, final),
        below=_footer(run, table, totals(table), criterion),
    )


def _heading(table: pd.DataFrame, tail_tau: float | str, final: FinalWindows | None) -> list[str]:
    first = table.iloc[0]
    seen = "every update seen" if first["exact"] else "sampled from checkpoints: flips between them are unseen"
    share = "2 (1 - tau) at each layer's own tau" if tail_tau == "window" else f"{200 * (1 - float(tail_tau)):.3g} %"
    return [
        f"windows {first['first_window']}:{first['last_window'] + 1}, {first['updates']} updates, {seen}",
        *choice(final),
        f"tail: the {share} of a layer's weights with the largest |z| when they begin",
    ]


def _footer(run: Run, table: pd.DataFrame, total: pd.Series[Any], criterion: str) -> list[str]:
    from recu_analysis.analysis.selection import decay_time

    share = shown("dead_fraction", total["dead"] / total["counted"] if total["counted"] else float("nan"))
    return [
        f"dead ({criterion}): {total['dead']} of {total['counted']} weights, {share} %",
        f"T = sum of lr x weight decay / (1 - momentum): {table['decay_time'].max():.3g} here, "
        f"{decay_time(run):.3g} in the run"
        if table["decay_time"].notna().all()
        else "T, which sums learning rates, is not known here: checkpoints do not hold them",
        *too_short(table["autocorrelation"]),
    ]
