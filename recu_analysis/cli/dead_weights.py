"""recu-analyze dead-weights: which latent weights of a run are dead, a row a layer."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import rich_click as click

from recu_analysis.cli import options
from recu_analysis.cli.output import aligned, count, deliver, number, terminal_width, three_digits
from recu_analysis.cli.stretches import choice, too_short

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from recu_analysis.analysis.horizon import Stretch
    from recu_analysis.analysis.selection import WindowRange
    from recu_analysis.store.run import Run

#: Widths of the columns beside the layer's name: weights, five criteria, silence, mobility, memory.
WIDTHS = (6, 4, 6, 5, 6, 5, 5, 5, 4, 4, 4)
NAMES = ("weight", "tail", "silent", "still", "silent", "still", "tail", "core", "tail", "core", "mem")
CRITERIA = ("tail", "silent", "still", "tail_silent", "tail_still")


@click.command(
    "dead-weights",
    epilog="Example: recu-analyze dead-weights runs/demo/recu --layer 'layer2.*' --format latex",
)
@options.run_argument
@options.layer_option
@options.window_option
@options.tail_tau_option
@click.option(
    "--criterion",
    type=click.Choice(["tail-silent", "tail", "silent", "still", "tail-still"]),
    default="tail-silent",
    show_default=True,
    help="What dead means in the footer and in column dead_fraction.",
)
@options.table_output
@options.common
@options.jobs
def command(
    run: Path,
    layers: tuple[str, ...],
    window: WindowRange | None,
    tail_tau: float | str,
    criterion: str,
    form: str,
    output: Path | None,
) -> None:
    """Show which latent weights of RUN are dead, layer by layer.

    Tail: the weights farthest from the mean of their channel, in its standard deviations, when the windows
    begin. Silent: no change of sign in the windows. Still: moves less than a tenth of its layer's median.
    """
    from recu_analysis.analysis.deadness import dead_weights
    from recu_analysis.analysis.horizon import final_stretch

    opened = options.opened(run)
    stretch = final_stretch(opened) if window is None else None
    chosen = stretch.range if window is None and stretch else window
    table = dead_weights(opened, criterion, tail_tau, window=chosen, layers=list(layers) or None)  # type: ignore[arg-type]
    for row in table[table["counted"] < table["weights"]].to_dict(orient="records"):
        left_out = row["weights"] - row["counted"]
        bad = f"{row['nonfinite']} weights are" if row["nonfinite"] else "weights were for a while"
        options.warn(
            f"layer {row['layer']}: {bad} NaN or infinite in windows {chosen}; they and their channels are left out, "
            f"{left_out} weights in all"
        )
    text = functools.partial(as_text, opened, criterion=criterion, tail_tau=tail_tau, stretch=stretch)
    deliver(table, form, output, text, printed=_printed)


def as_text(
    run: Run, table: pd.DataFrame, criterion: str, tail_tau: float | str, stretch: Stretch | None = None
) -> str:
    """The table as a terminal of 80 columns shows it, with what it means above and totals below."""
    from recu_analysis.analysis.deadness import totals

    first = max(14, min(int(table["layer"].str.len().max()), terminal_width() - sum(WIDTHS) - len(WIDTHS)))
    total = totals(table)
    rows = _rows(table)
    heading = _heading(table, tail_tau, stretch)
    footer = _footer(run, table, total, criterion)
    lines = aligned(["layer", *NAMES], rows, (first, *WIDTHS), above=_groups(first))
    return "\n".join([*heading, "", *lines, "", *footer])


def _rows(table: pd.DataFrame) -> list[list[str]]:
    """The cells of every layer and of all of them together."""
    from recu_analysis.analysis.deadness import totals

    return [_cells(row) for row in [*table.to_dict(orient="records"), totals(table).to_dict()]]


def _printed(table: pd.DataFrame) -> pd.DataFrame:
    """The columns of the text table, for LaTeX."""
    import pandas as pd

    criteria = [f"{name.replace('_', ' and ')} (%)" for name in CRITERIA]
    names = ["layer", "weights", *criteria, "silent tail (%)", "silent core (%)"]
    names += ["mobility tail (1e-3)", "mobility core (1e-3)", "memory"]
    return pd.DataFrame(_rows(table), columns=names)


def _groups(first: int) -> list[str]:
    """The two lines above the column names, which say what groups of columns are."""
    indent = " " * (first + WIDTHS[0] + 2)
    criteria, silent, mobility = (sum(WIDTHS[a:b]) + b - a - 1 for a, b in ((1, 6), (6, 8), (8, 10)))
    titles = ("dead by criterion, %".center(criteria), "silent, %".center(silent), "mobility*".center(mobility))
    both = sum(WIDTHS[4:6]) + 1
    return [indent + " ".join(titles).rstrip(), indent + " " * (criteria - both) + "tail and".center(both).rstrip()]


def _cells(row: dict[Any, Any]) -> list[str]:
    percent = [f"{name}_fraction" for name in CRITERIA] + ["silent_fraction_tail", "silent_fraction_core"]
    mobility = (row["mobility_tail"], row["mobility_core"])
    return [
        row["layer"],
        count(row["weights"]),
        *(number(100 * row[name], 1) for name in percent),
        *(three_digits(1e3 * value) for value in mobility),
        number(row["memory"], 2),
    ]


def _heading(table: pd.DataFrame, tail_tau: float | str, stretch: Stretch | None) -> list[str]:
    first = table.iloc[0]
    seen = "every update seen" if first["exact"] else "sampled from checkpoints: flips between them are unseen"
    share = "2 (1 - tau) at each layer's own tau" if tail_tau == "window" else f"{200 * (1 - float(tail_tau)):.3g} %"
    return [
        f"windows {first['first_window']}:{first['last_window'] + 1}, {first['updates']} updates, {seen}",
        *choice(stretch),
        f"tail: the {share} of a layer's weights with the largest |z| when they begin",
    ]


def _footer(run: Run, table: pd.DataFrame, total: pd.Series[Any], criterion: str) -> list[str]:
    from recu_analysis.analysis.selection import decay_time

    share = number(100 * total["dead"] / total["counted"] if total["counted"] else float("nan"), 1)
    return [
        "* mean movement per update, in 1/1000 of the standard deviation of the channel",
        f"dead ({criterion}): {total['dead']} of {total['counted']} weights, {share} %",
        f"T = sum of lr x weight decay / (1 - momentum): {table['decay_time'].max():.3g} here, "
        f"{decay_time(run):.3g} in the run"
        if table["decay_time"].notna().all()
        else "T, which sums learning rates, is not known here: checkpoints do not hold them",
        *too_short(table["memory"]),
    ]
