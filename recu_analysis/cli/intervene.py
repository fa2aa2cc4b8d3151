"""recu-analyze intervene: what the binary weights of each group are worth in a trained network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import rich_click as click

from recu_analysis.cli import options
from recu_analysis.cli.bar import progress_bar
from recu_analysis.cli.output import write_table
from recu_analysis.cli.several_runs import below_each_other, warn_of_seeds
from recu_analysis.cli.target import table_target

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import pandas as pd

    from recu_analysis.analysis.deadness import TailTau
    from recu_analysis.cli.output import View
    from recu_analysis.cli.target import Target
    from recu_analysis.intervention.draws import Drawer
    from recu_analysis.store.run import Run
    from recu_analysis.training.trained_run import TrainedRun


@click.command("intervene", epilog="Example: recu-analyze intervene runs/demo/recu --layer 'layer3.*' --images 360")
@options.runs_argument
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
    "--group",
    "groups",
    multiple=True,
    metavar="NAME",
    help="A group of weights (repeatable): tail-silent, tail-flipped, core-silent, core-flipped, random, or a cause of "
    "silence as the command causes finds it, such as held or out-of-reach. By default the first five.",
)
@click.option(
    "--repeats", type=click.IntRange(min=1), default=5, show_default=True, help="Draws of weights of each group."
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
    runs: tuple[Path, ...],
    layers: tuple[str, ...],
    windows: slice | None,
    tail_tau: TailTau,
    images: int,
    groups: tuple[str, ...],
    repeats: int,
    seed: int,
    epochs: int | None,
    share: float,
    lr: float | None,
    data_dir: str | None,
    target: Target,
) -> None:
    """Negate binary weights of trained networks, and show the rise of the validation loss.

    Each RUN is a run of recu-analyze train. In each layer, as many weights are drawn of each group: far from zero or
    not (tail, core) at the start of the windows, without or with a change of sign in them (silent, flipped), and of all
    weights (random). The table has the rise of the loss of each group, with * where its 95 % interval lies above 0.
    Below are the differences between groups, paired by image. RUNs that differ only in their seed are one experiment,
    with means over the seeds. CSV and JSON have all intervals, the prediction by the gradient, and the change of
    accuracy.

    --continue tells whether weights are held wherever they are, or drawn to where they were. It reflects latent weights
    with their momentum, and trains on. If nothing draws them back, reflected weights return as often as others leave.
    """
    from recu_analysis.cli.continued import CAPTION, continued
    from recu_analysis.training.trained_run import position_of

    options.check_heeded("--continue", epochs is not None, needing=("share", "lr"), excluded=("images", "groups"))
    opened = options.labeled(runs)
    for run in opened.values():
        position_of(run.path)  # raises its errors before the first network is evaluated
    if epochs is None:
        chosen: dict[str, Any] = {"layers": layers or None, "tail_tau": tail_tau, "repeats": repeats, "seed": seed}
        if groups:
            chosen["groups"] = groups
        write_table(_rises(opened, windows, images, data_dir, chosen), target)
        return
    views = {}
    for label, run in opened.items():
        draws = _drawer(run, windows, layers, tail_tau, seed)
        views[label] = continued(_trained(run.path, data_dir), run, draws, epochs, share, lr, repeats)
    write_table(below_each_other(views, CAPTION), target)


def _rises(
    runs: Mapping[str, Run], windows: slice | None, images: int, data_dir: str | None, chosen: dict[str, Any]
) -> View:
    """Negate weights in the network of every run, and show the rises together."""
    from recu_analysis.analysis.arms import arms, comparable
    from recu_analysis.analysis.dead_over_seeds import spans_of_arms
    from recu_analysis.analysis.final_windows import final_windows
    from recu_analysis.cli.rises import rises_view

    spans = spans_of_arms(comparable(arms(runs)), windows)
    tables: dict[str, pd.DataFrame] = {}
    for label, run in runs.items():
        if len(runs) > 1:
            options.note(f"{label}: run {len(tables) + 1} of {len(runs)}")
        tables[label] = _measured(run, images, data_dir, windows=spans[label], **chosen)
    warn_of_seeds(runs)
    final = final_windows(next(iter(runs.values()))) if windows is None and len(runs) == 1 else None
    return rises_view(runs, spans, tables, final, some_layers=chosen["layers"] is not None)


def _drawer(run: Run, windows: slice | None, layers: tuple[str, ...], tail_tau: TailTau, seed: int) -> Drawer:
    """The drawer of the groups that together hold all weights."""
    from recu_analysis.analysis.final_windows import choose
    from recu_analysis.analysis.weight_groups import WEIGHT_GROUPS
    from recu_analysis.intervention.draws import drawer
    from recu_analysis.store.layer_selection import select_layers

    return drawer(run, choose(run, windows), select_layers(run, layers or None), WEIGHT_GROUPS, tail_tau, seed)


def _trained(path: Path, data_dir: str | None) -> TrainedRun:
    """The training of a run, on a GPU if there is one."""
    from recu_analysis.training.distributed import process_group
    from recu_analysis.training.trained_run import load_trained_run

    with process_group("auto") as ours:
        return load_trained_run(path, ours.device, data_dir)


def _measured(run: Run, images: int, data_dir: str | None, **arguments: Any) -> pd.DataFrame:
    """The table of `recu_analysis.intervene`, with a progress bar on a terminal."""
    from recu_analysis.intervention.intervene import intervene

    trained = _trained(run.path, data_dir)
    with progress_bar("evaluating", hidden=options.quiet()) as tell:
        return intervene(
            trained.model,
            run,
            trained.validation(images),
            reestimate=trained.training_inputs(images),
            on_evaluation=tell,
            **arguments,
        )
