"""recu-analyze train: train a binary, ternary or k-bit network on real data and record it."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from recu_analysis.cli import options
from recu_analysis.cli.output import size
from recu_analysis.cli.settings import all_settings
from recu_analysis.training.config import TrainingConfig
from recu_analysis.training.settings import settings_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from recu_analysis.training.loop import Progress, Result


@click.command("train", epilog="Example: recu-analyze train --dataset digits --no-recu --run-dir runs/baseline")
@all_settings
@click.option("--run-dir", type=click.Path(path_type=Path), required=True, help="New folder for the recording.")
@click.option("--resume", is_flag=True, help="Continue the training in --run-dir.")
@click.option("--overwrite", is_flag=True, help="Delete the run in --run-dir first.")
@options.common
def command(run_dir: Path, resume: bool, overwrite: bool, **settings: Any) -> None:
    """Train a binary, ternary or k-bit network and record every update of its latent weights.

    With the ending -real, the real-valued twin of a network is trained, and not recorded.

    Ctrl-C stops after the current batch. --resume then continues after the last finished epoch, with weights that are
    bit-identical to those of a training without a stop.

    Several processes: torchrun --nproc-per-node 2 -m recu_analysis train ...; they share every batch, and the first
    process records.
    """
    if resume and overwrite:
        raise click.UsageError("--resume and --overwrite exclude each other; give one of them")
    _check_clamp(settings)
    config = TrainingConfig.with_usual(**settings)
    result = run_training(config, run_dir, resume=resume, overwrite=overwrite)
    if result.stopped:
        if result.first:
            options.fail(f"stopped by Ctrl-C after {result.epochs} of {config.epochs} epochs; continue with --resume")
        sys.exit(options.INTERRUPTED)
    if result.first:
        options.note(_ending(config, run_dir, result.epochs))
        following = "evaluate" if config.real else "dead-weights" if config.signs else "levels"
        options.note(f"next: recu-analyze {following} {run_dir}")


def _ending(config: TrainingConfig, run_dir: Path, epochs: int) -> str:
    """The sentence at the end of a training: the run directory and the last accuracies."""
    if config.real:
        return f"{epochs} epochs are done, and the network is in {run_dir}; real weights are not recorded"
    from recu_analysis.analysis.logged import last_logged
    from recu_analysis.store.run import open_run

    run = open_run(run_dir)
    training, validation = (last_logged(run, name) for name in ("train_top1", "val_top1"))
    measured = f"accuracy in the last one: training {training:.2f} %, validation {validation:.2f} %"
    if config.dataset == "text":
        measured = f"validation in the last one: {last_logged(run, 'val_bits_per_byte'):.4f} bits per byte"
    return f"{epochs} epochs are recorded in {run_dir}; {measured}"


def _check_clamp(settings: dict[str, Any]) -> None:
    """UsageError if an option of the clamp is given without the clamp."""
    if settings["recu"] and settings["binarizer"] == "recu":
        return
    for name in ("mask", "quantile", "tau"):
        if settings[name] != settings_of(TrainingConfig)[name].default:
            without = "--no-recu" if not settings["recu"] else f"--binarizer {settings['binarizer']}"
            raise click.UsageError(f"--{name} is an option of the clamp, which {without} excludes; remove one of them")


def run_training(
    config: TrainingConfig, run_dir: Path, *, resume: bool = False, overwrite: bool = False, title: str = "training"
) -> Result:
    """Train with a progress bar on a terminal, elsewhere with a line per epoch, and stop cleanly on Ctrl-C."""
    from recu_analysis.training.loop import train

    def announce(estimate: int) -> None:
        if config.real:
            return
        options.note(f"recording into {run_dir}: about {size(estimate)} in total")

    with interruptible() as stopped, progress_bar(title, config.epochs) as show:
        return train(
            config,
            run_dir,
            resume=resume,
            overwrite=overwrite,
            on_start=announce,
            on_batch=show,
            on_epoch=_tell_epoch(config.epochs),
            should_stop=stopped,
        )


def _tell_epoch(epochs: int) -> Callable[[Mapping[str, Any]], None]:
    """A callback that prints loss and accuracies of an epoch, unless a terminal shows the progress bar."""

    def tell(logged: Mapping[str, Any]) -> None:
        if not sys.stderr.isatty():
            tau = "" if logged["tau"] is None else f", tau {logged['tau']:.3f}"
            options.note(
                f"epoch {logged['epoch']}, {logged['epoch'] + 1} of {epochs} done: loss {logged['train_loss']:.3f}, "
                f"accuracy: training {logged['train_top1']:.2f} %, "
                f"validation {logged['val_top1']:.2f} %{_bits(logged)}{tau}, {logged['seconds']:.1f} s"
            )

    return tell


def _bits(logged: Mapping[str, Any]) -> str:
    """The bits per byte of an epoch, for a text."""
    return f", {logged['val_bits_per_byte']:.4f} bits per byte" if "val_bits_per_byte" in logged else ""


@contextlib.contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """Within this context, the first Ctrl-C only sets the flag that is yielded; the second one interrupts as usual.

    Under torchrun no Ctrl-C interrupts: torchrun repeats the Ctrl-C that the terminal already sent to its processes.
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
    """A bar with loss, accuracy, tau and the time left, on standard error and only on a terminal."""
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
        bar.start()  # not earlier, since notes before the first batch would break the bar
        tau = "" if at.tau is None else f" tau {at.tau:.3f}"
        state = f"epoch {at.epoch + 1}/{epochs} loss {at.loss:.3f} acc {at.top1:.1f} %{tau}"
        bar.update(task, total=epochs * at.batches, completed=at.epoch * at.batches + at.batch, state=state)

    try:
        yield show
    finally:
        bar.stop()
