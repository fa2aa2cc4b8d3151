"""recu-analyze train: a binary network on real data, recorded."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from recu_analysis.cli import options
from recu_analysis.cli.output import size
from recu_analysis.training.config import (
    CHOICES,
    DATASETS,
    EXTRA_QUANTITIES,
    IMAGE_SIZE,
    LEARNING_RATES,
    TrainingConfig,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from recu_analysis.training.loop import Progress, Result


class Scale(click.ParamType[float | None]):
    """A number, or the word none."""

    name = "scale"

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """What a help page calls it."""
        return "NUMBER|none"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float | None:
        """The number; None for none."""
        if value is None or value == "none":
            return None
        return float(click.FLOAT.convert(value, param, ctx))


@click.command("train", epilog="Example: recu-analyze train --dataset digits --no-recu --run-dir runs/baseline")
@click.option("--network", default="resnet20", show_default=True, help="Its name; see layers.")
@click.option(
    "--dataset",
    type=click.Choice(DATASETS),
    default="digits",
    show_default=True,
    help="What to learn.",
)
@click.option(
    "--data-dir",
    metavar="DIR",
    help="Folder of the data set: one of CIFAR's archives, packed or unpacked; train/CLASS/ and val/CLASS/ for "
    "image-folder; Fashion-MNIST's four .gz files, by default where Debian's package dataset-fashion-mnist has them.",
)
@click.option(
    "--image-size",
    type=int,
    default=IMAGE_SIZE,
    show_default=True,
    metavar="PIXELS",
    help="Of image-folder: the short side is brought to it, the long one cut.",
)
@click.option(
    "--augment",
    is_flag=True,
    help="Shift training images by up to an eighth of their size, and mirror half of them (digits not).",
)
@click.option(
    "--tau",
    type=float,
    nargs=2,
    default=(0.85, 0.99),
    show_default=True,
    metavar="LO HI",
    help="Schedule of tau (Eq. 24).",
)
@click.option(
    "--binariser",
    type=click.Choice(CHOICES["binariser"]),
    default="recu",
    show_default=True,
    help="The method; the options from --recu to --scale-activations are ReCU's.",
)
@click.option("--recu/--no-recu", default=True, help="Clamp the weights, or only standardise them.")
@click.option(
    "--mask",
    type=click.Choice(CHOICES["mask"]),
    default="clamped",
    show_default=True,
    help="Whose gradients the clamp stops; random: as many, drawn by lot, as a control.",
)
@click.option(
    "--quantile",
    type=click.Choice(CHOICES["quantile"]),
    default="laplace",
    show_default=True,
    help="To which quantiles: the fitted Laplace's, or the weights' own.",
)
@click.option(
    "--scale",
    type=Scale(),
    default=2.0,
    show_default=True,
    help="b*, to which weights are standardised, or none; IR-Net's is 0.7071.",
)
@click.option("--centre/--no-centre", default=True, help="Subtract each output channel's mean first, or not.")
@click.option(
    "--alpha",
    type=click.Choice(CHOICES["alpha"]),
    default="learned",
    show_default=True,
    help="Factor of each binary layer's output; analytic: Eq. 13.",
)
@click.option(
    "--scale-activations/--no-scale-activations",
    default=True,
    help="Divide by each sample's standard deviation in training, or not.",
)
@click.option("--initial-scale", type=float, default=1.0, show_default=True, help="Factor on the initial weights.")
@click.option("--epochs", type=int, default=24, show_default=True, help="Passes over the training images.")
@click.option("--batch-size", type=int, default=64, show_default=True, help="Images of one backward pass.")
@click.option("--accumulate", type=int, default=1, show_default=True, help="Batches of one update.")
@click.option(
    "--optimizer",
    type=click.Choice(CHOICES["optimizer"]),
    default="sgd",
    show_default=True,
    help="What applies the gradients; SGD has momentum 0.9.",
)
@click.option(
    "--schedule",
    type=click.Choice(CHOICES["schedule"]),
    default="cosine",
    show_default=True,
    help="Of the learning rate; step: divided by 10 at half and at three quarters of the epochs.",
)
@click.option("--lr", type=float, help="Learning rate after the warm-up; by default 0.1, and 0.01 for Adam.")
@click.option("--weight-decay", type=float, default=5e-4, show_default=True, help="Of all but the binary weights.")
@click.option("--binary-weight-decay", type=float, default=1e-2, show_default=True, help="Of the binary weights.")
@click.option(
    "--warm-up",
    type=int,
    help="Epochs in which the learning rate rises; by default 2, in shorter trainings all but one.",
)
@click.option(
    "--device", type=click.Choice(CHOICES["device"]), default="auto", show_default=True, help="auto: CUDA if any."
)
@click.option("--bfloat16", is_flag=True, help="Compute in bfloat16 where that is safe; weights stay float32.")
@click.option("--channels-last", is_flag=True, help="Keep images in memory with their channels last.")
@click.option(
    "--compile",
    is_flag=True,
    help="Compile the training passes, on a GPU as CUDA graphs; needs a C++ compiler on a CPU.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of all that is random.")
@click.option(
    "--record",
    "quantities",
    type=click.Choice(EXTRA_QUANTITIES),
    multiple=True,
    help="Of every weight beside the usual: moving average of flips, sum of |gradient|; repeatable.",
)
@click.option("--run-dir", type=click.Path(path_type=Path), required=True, help="New folder for the recording.")
@click.option("--resume", is_flag=True, help="Go on with the training in --run-dir.")
@click.option("--overwrite", is_flag=True, help="Delete the run in --run-dir first.")
@options.common
def command(
    run_dir: Path, resume: bool, overwrite: bool, lr: float | None, warm_up: int | None, **settings: Any
) -> None:
    """Train a binary network and record every update of its latent weights.

    Ctrl-C stops after the current batch; --resume then goes on after the last finished epoch, with bitwise the
    weights of a training that was never stopped.

    Several processes: torchrun --nproc-per-node 2 -m recu_analysis train ...; they share every batch, and the first
    one records.
    """
    if resume and overwrite:
        raise click.UsageError("--resume and --overwrite exclude each other")
    _check_clamp(settings)
    rate = LEARNING_RATES[settings["optimizer"]] if lr is None else lr
    risen = min(2, max(settings["epochs"] - 1, 0)) if warm_up is None else warm_up
    config = TrainingConfig(**settings, lr=rate, warm_up=risen)
    result = run_training(config, run_dir, resume=resume, overwrite=overwrite)
    if result.stopped:
        if result.first:
            options.fail(f"stopped by Ctrl-C after {result.epochs} of {config.epochs} epochs; go on with --resume")
        sys.exit(options.INTERRUPTED)
    if result.first:
        options.note(f"{result.epochs} epochs are recorded in {run_dir}; next: recu-analyze dead-weights {run_dir}")


def _check_clamp(settings: dict[str, Any]) -> None:
    """UsageError if a clamp that is not there is told something."""
    if settings["recu"] and settings["binariser"] == "recu":
        return
    usual = {field.name: field.default for field in fields(TrainingConfig)}
    for name in ("mask", "quantile", "tau"):
        if settings[name] != usual[name]:
            without = "--no-recu leaves out" if not settings["recu"] else f"{settings['binariser']} has not"
            raise click.UsageError(f"--{name} is an option of the clamp, which {without}; give one of them")


def run_training(
    config: TrainingConfig, run_dir: Path, *, resume: bool = False, overwrite: bool = False, title: str = "training"
) -> Result:
    """Train with a progress bar on a terminal, and stop cleanly on Ctrl-C."""
    from recu_analysis.training.loop import train

    def announce(estimate: int) -> None:
        options.note(f"recording into {run_dir}: about {size(estimate)} in all")

    with interruptible() as stopped, progress_bar(title, config.epochs) as show:
        return train(
            config,
            run_dir,
            resume=resume,
            overwrite=overwrite,
            on_start=announce,
            on_batch=show,
            should_stop=stopped,
        )


@contextlib.contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """Within this context the first Ctrl-C is only noted; the second one interrupts as usual.

    Under torchrun every one is only noted: it sends on the Ctrl-C that the terminal has sent to its processes already.
    """
    caught: list[int] = []
    launched = "TORCHELASTIC_RUN_ID" in os.environ

    def note(number: int, _: object) -> None:
        caught.append(number)
        if not launched:
            signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, note)
    try:
        yield lambda: bool(caught)
    finally:
        signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def progress_bar(title: str, epochs: int) -> Iterator[Callable[[Progress], None]]:
    """A bar with loss, accuracy, tau and the time left, on standard error and on a terminal only."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        TextColumn("{task.fields[state]}"),
        TimeRemainingColumn(compact=True),
    )
    bar = Progress(*columns, console=console, disable=not console.is_terminal or options.quiet())
    task = bar.add_task(title, total=None, state="")

    def show(at: Any) -> None:
        bar.start()  # not earlier: notes that come before the first batch would run into the bar
        tau = "" if at.tau is None else f" tau {at.tau:.3f}"
        state = f"epoch {at.epoch + 1}/{epochs} loss {at.loss:.3f} acc {at.top1:.1f} %{tau}"
        bar.update(task, total=epochs * at.batches, completed=at.epoch * at.batches + at.batch, state=state)

    try:
        yield show
    finally:
        bar.stop()
