"""recu-analyze plan: before a training, how far its weights will move, and which windows will be long enough."""

from __future__ import annotations

from typing import TYPE_CHECKING

import rich_click as click

from recu_analysis.analysis.rendering import Column
from recu_analysis.cli import options
from recu_analysis.cli.asides import Aside
from recu_analysis.cli.output import View, write_table
from recu_analysis.cli.target import table_target
from recu_analysis.theory.equilibrium import COMMON_START
from recu_analysis.theory.schedule import RATES

if TYPE_CHECKING:
    import pandas as pd

    from recu_analysis.analysis.plan import Training
    from recu_analysis.cli.target import Target
    from recu_analysis.theory.inheritance import UpdateRule

#: At most this many windows are shown.
MOST_ROWS = 16
_COLUMNS = (
    Column("window", width=6),
    Column("epoch", width=5),
    Column("decay_time", "T", 5),
    Column("norm_forecast", "norm", 5),
    Column("mobility_equilibrium", "equil.", 6, group="mobility"),
    Column("mobility_forecast", "start", 6, group="mobility"),
    Column("flip_ratio_equilibrium", "equil.", 6, group="flips"),
    Column("flip_ratio_forecast", "start", 6, group="flips"),
    Column("decay_time_to_end", "T", 5, group="to the end"),
    Column(
        "autocorrelation_null",
        "ac noise",
        8,
        group="to the end",
        meaning="Autocorrelation that noise alone would leave from the start of the window to the end of the training.",
    ),
    Column("power", "power %", 7, group="to the end"),
)


@click.command(
    "plan", epilog="Example: recu-analyze plan --lr 0.1 --weight-decay 0.01 --epochs 24 --updates-per-epoch 23"
)
@click.option("--lr", type=float, required=True, help="Learning rate after the warm-up, the highest.")
@click.option("--weight-decay", type=float, required=True, help="Weight decay of the latent weights.")
@click.option("--epochs", type=int, required=True, help="Number of epochs.")
@click.option("--updates-per-epoch", type=int, required=True, help="Optimizer steps in an epoch.")
@click.option("--momentum", type=float, help="Momentum of SGD (default: 0.9).")
@click.option("--nesterov", is_flag=True, help="SGD with Nesterov's momentum.")
@click.option("--adamw", is_flag=True, help="AdamW instead of SGD.")
@click.option("--beta1", type=float, help="beta1 of AdamW (default: 0.9).")
@click.option(
    "--schedule",
    type=click.Choice(RATES),
    default=RATES[0],
    show_default=True,
    help="Schedule of the learning rate, as of the command train.",
)
@click.option("--warm-up", type=int, default=0, show_default=True, help="Epochs in which the learning rate rises.")
@click.option("--window-epochs", type=int, default=1, show_default=True, help="Epochs in a window of the record.")
@click.option(
    "--start-norm",
    type=float,
    default=COMMON_START,
    show_default=True,
    help="Norm of the weights at the start, over that in equilibrium at --lr; it depends on the network.",
)
@table_target
@options.common
def command(
    lr: float,
    weight_decay: float,
    epochs: int,
    updates_per_epoch: int,
    momentum: float | None,
    nesterov: bool,
    adamw: bool,
    beta1: float | None,
    schedule: str,
    warm_up: int,
    window_epochs: int,
    start_norm: float,
    target: Target,
) -> None:
    """Forecast how far weights will move in a training, and from which windows dead weights can be told.

    The forecast needs no run: it follows from optimizer and schedule alone. It assumes weights that are standardized,
    gradients that are noise of one size in all epochs, and normal z.
    """
    from recu_analysis.analysis.plan import Training, plan_table, rule_of

    rule = rule_of(momentum, beta1, nesterov=nesterov, adamw=adamw)
    training = Training(rule, lr, weight_decay, epochs, updates_per_epoch, schedule, warm_up)
    table = plan_table(training, window_epochs, start_norm)
    view = View(
        table,
        _COLUMNS,
        _some(table),
        caption="Forecast of a training from its optimizer and schedule.",
        above=[Aside(_verdict(table))],
        below=[*_notes(table, rule), *_of_start(training, window_epochs, start_norm)],
    )
    write_table(view, target)


def _verdict(table: pd.DataFrame) -> str:
    from recu_analysis.analysis.plan import windows_needed
    from recu_analysis.analysis.verdict_reasons import of_plan
    from recu_analysis.theory.causes import THRESHOLDS
    from recu_analysis.theory.power import typical_t

    total = float(table["decay_time"].sum())
    found = float(typical_t(total, len(table))) > THRESHOLDS.pulled
    return of_plan(total, _settled(table), windows_needed(table), found=found)


def _settled(table: pd.DataFrame) -> list[tuple[int, int]]:
    """First and last epoch of each stretch of windows that are in equilibrium."""
    first = (table["epoch"].shift(fill_value=-1) + 1)[table["settled"]]
    last = table["epoch"][table["settled"]]
    stretch = (first != last.shift(fill_value=-1) + 1).cumsum()
    return [(int(first[group.index[0]]), int(group.iloc[-1])) for _, group in last.groupby(stretch)]


def _some(table: pd.DataFrame) -> pd.DataFrame:
    """The table, or `MOST_ROWS` of its windows with the first and the last."""
    if len(table) <= MOST_ROWS:
        return table
    last = len(table) - 1
    return table.iloc[sorted({round(last * step / (MOST_ROWS - 1)) for step in range(MOST_ROWS)})]


def _of_start(training: Training, window_epochs: int, start_norm: float) -> list[str]:
    """What was assumed of the weights at the start, and what follows if they are twice as wide."""
    from recu_analysis.analysis.plan import LARGEST, plan_table, windows_needed

    if training.weight_decay == 0.0 or 2.0 * start_norm > LARGEST:
        return []
    needed = windows_needed(plan_table(training, window_epochs, 2.0 * start_norm))
    wider = "all windows would be too short" if needed is None else f"the last {needed} would be needed"
    return [
        f"start: an assumption, that the norm of the weights before the first update is {start_norm:g} times that in "
        f"equilibrium at the highest learning rate; if it is twice as large, {wider}"
    ]


def _notes(table: pd.DataFrame, rule: UpdateRule) -> list[str]:
    """The totals, and what is shown."""
    total = (table[["flip_ratio_equilibrium", "flip_ratio_forecast"]].mul(table["updates"], axis=0)).sum(skipna=False)
    flips = f"{total.iloc[0]:.3g} flips per weight in equilibrium, {total.iloc[1]:.3g} from the start"
    notes = [
        f"R = {rule.response:.4g}, S/R = {rule.square_response / rule.response:.4g}; "
        f"T = {table['decay_time'].sum():.4g} in {table['updates'].sum()} updates"
        + (f"; {flips}" if total.notna().all() else ""),
    ]
    if len(table) > MOST_ROWS:
        notes.append(f"{MOST_ROWS} of {len(table)} windows are shown; CSV and JSON have all")
    return notes
