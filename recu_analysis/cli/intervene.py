"""recu-analyze intervene: what the binary weights of each group are worth in a trained network."""

from __future__ import annotations

import contextlib
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import rich_click as click

from recu_analysis.analysis.rendering import Column, shown
from recu_analysis.cli import options
from recu_analysis.cli.asides import Aside
from recu_analysis.cli.output import View, write_table
from recu_analysis.cli.target import table_target
from recu_analysis.cli.window_notes import choice, ground

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import pandas as pd

    from recu_analysis.analysis.deadness import TailTau
    from recu_analysis.analysis.ground import Ground
    from recu_analysis.cli.target import Target
    from recu_analysis.store.run import Run
    from recu_analysis.training.trained_run import TrainedRun

#: Columns before those of the groups, for readers.
_FIRST = (Column("layer"), Column("batch_norm"), Column("negated_fraction", "neg. %", 5))


@click.command("intervene", epilog="Example: recu-analyze intervene runs/demo/recu --layer 'layer3.*' --images 360")
@options.run_argument
@options.layer_option
@options.windows_option
@options.tail_tau_option
@click.option(
    "--images",
    type=click.IntRange(min=2),
    default=1000,
    show_default=True,
    help="Validation images to evaluate on, and training images to re-estimate batch normalization on.",
)
@click.option(
    "--repeats", type=click.IntRange(min=1), default=3, show_default=True, help="Draws of weights of each group."
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of the draws.")
@click.option(
    "--continue",
    "epochs",
    type=click.IntRange(min=1),
    metavar="EPOCHS",
    help="Instead: reflect latent weights of each group, train on for EPOCHS, and show how many return.",
)
@click.option(
    "--share",
    type=click.FloatRange(0.0, 1.0, min_open=True, max_open=True),
    default=0.05,
    show_default=True,
    help="With --continue: share of each group to reflect.",
)
@click.option(
    "--lr",
    type=click.FloatRange(min=0.0, min_open=True),
    help="With --continue: learning rate; by default that of the last epoch.",
)
@click.option("--data-dir", metavar="DIR", help="Folder of the data set, if it has moved since the training.")
@table_target
@options.common
def command(
    run: Path,
    layers: tuple[str, ...],
    windows: slice | None,
    tail_tau: TailTau,
    images: int,
    repeats: int,
    seed: int,
    epochs: int | None,
    share: float,
    lr: float | None,
    data_dir: str | None,
    target: Target,
) -> None:
    """Negate binary weights of RUN, and show the rise of its validation loss.

    RUN is a run of recu-analyze train. In each layer, as many weights are drawn of each group: far from zero or not
    (tail, core) at the start of the windows, without or with a change of sign in them (silent, flipped), and of all
    weights (random). The table has the rise of the loss of each group, with * where its 95 % interval lies above 0.
    CSV and JSON have the intervals, the prediction by the gradient, and the change of accuracy.

    --continue tells whether weights are held wherever they are, or drawn to where they were. It reflects latent weights
    with their momentum, and trains on. If nothing draws them back, reflected weights return as often as others leave.
    """
    from recu_analysis.analysis.final_windows import choose, final_windows
    from recu_analysis.analysis.weight_groups import WEIGHT_GROUPS
    from recu_analysis.analysis.window_text import windows_text
    from recu_analysis.cli.continued import continued
    from recu_analysis.intervention.draws import drawer
    from recu_analysis.intervention.intervene import ALL
    from recu_analysis.store.labels import labels_of
    from recu_analysis.store.layer_selection import select_layers

    trained, opened = _trained(run, data_dir), options.opened(run)
    final, chosen = final_windows(opened) if windows is None else None, choose(opened, windows)
    if epochs is not None:
        draws = drawer(opened, chosen, select_layers(opened, layers or None), WEIGHT_GROUPS, tail_tau, seed)
        write_table(continued(trained, opened, draws, epochs, share, lr, repeats), target)
        return
    table = _measured(
        opened, trained, images, windows=chosen, layers=layers or None, tail_tau=tail_tau, repeats=repeats, seed=seed
    )
    labels = labels_of([opened])
    head = (
        f"{windows_text(opened, chosen)}; {table['images'].iloc[0]} validation images, {repeats} "
        f"draw{'s' * (repeats > 1)} of each group, loss {shown('loss', table['loss'].iloc[0])}"
    )
    rows = _for_readers(table)
    groups = [_column(str(name)) for name in rows.columns[len(_FIRST) :]]
    view = View(
        table,
        [*_FIRST, *groups],
        rows=rows,
        caption=f"Rise of the validation loss of {labels[0]} (nats) if binary weights of each group are negated.",
        runs=labels,
        above=[Aside(_verdict(opened, table, ground({"": opened}, {"": chosen}, None))), head, *choice(opened, final)],
        below=[
            "rise of the loss in nats; *: its 95 % interval over images and draws lies above 0; -: an empty group",
            *(["all: all layers at once in which every group has weights"] if ALL in set(table["layer"]) else []),
        ],
        explained=_FIRST,
    )
    write_table(view, target)


def _trained(path: Path, data_dir: str | None) -> TrainedRun:
    """The training of a run, on a GPU if there is one."""
    from recu_analysis.training.distributed import process_group
    from recu_analysis.training.trained_run import load_trained_run

    with process_group("auto") as ours:
        return load_trained_run(path, ours.device, data_dir)


def _measured(run: Run, trained: TrainedRun, images: int, **arguments: Any) -> pd.DataFrame:
    """The table of `recu_analysis.intervene`, with a progress bar on a terminal."""
    from recu_analysis.intervention.intervene import intervene

    with _progress() as tell:
        return intervene(
            trained.model,
            run,
            trained.validation(images),
            reestimate=trained.training_inputs(images),
            on_evaluation=tell,
            **arguments,
        )


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    """A bar for evaluations that are done, of all, on standard error and only on a terminal."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=options.quiet() or not console.is_terminal) as progress:
        task = progress.add_task("evaluating", total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def _for_readers(table: pd.DataFrame) -> pd.DataFrame:
    """One row per layer and treatment of batch normalization, one column of texts per group."""
    import pandas as pd

    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for row in table.to_dict("records"):
        place = row["batch_norm"], row["layer"]
        first = {"layer": row["layer"], "batch_norm": row["batch_norm"], "negated_fraction": 0.0}
        known = rows.setdefault(place, first)
        known["negated_fraction"] = max(known["negated_fraction"], row["negated_fraction"])
        mark = "*" if row["rise_low"] > 0.0 else " "
        known[row["group"]] = f"{shown('rise', row['rise'])}{mark}" if row["negated"] else "- "
    return pd.DataFrame([rows[place] for place in sorted(rows, key=itemgetter(0))])


def _column(group: str) -> Column:
    """The column of a group: of tail-silent, silent under tail."""
    where, dash, what = group.partition("-")
    return Column(group, what, group=where) if dash else Column(group)


def _verdict(run: Run, table: pd.DataFrame, carried: Ground) -> str:
    """The verdict on the layers, with fixed statistics."""
    from recu_analysis.analysis.verdict_reasons import of_intervention
    from recu_analysis.intervention.bench import FIXED
    from recu_analysis.theory.intervals import Interval

    rows = table[(table["batch_norm"] == FIXED) & (table["negated"] > 0)]
    rises: dict[str, dict[str, Interval]] = {}
    for row in rows.to_dict("records"):
        rises.setdefault(row["group"], {})[row["layer"]] = Interval(row["rise"], row["rise_low"], row["rise_high"])
    return of_intervention(rises, carried)
