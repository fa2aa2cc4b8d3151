"""recu-analyze demo: two trainings on digits, with tables and figures."""

from __future__ import annotations

import contextlib
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from recu_analysis.analysis.rendering import Column
from recu_analysis.cli import options, output
from recu_analysis.cli.output import as_text, table_lines, wrapped
from recu_analysis.cli.settings import setting
from recu_analysis.errors import InputError, NotRecordedError, WindowNotFoundError, printable

if TYPE_CHECKING:
    import pandas as pd

    from recu_analysis.store.run import Run

#: Folder and label of each training, and whether it clamps.
RUNS = {"recu": ("ReCU", True), "baseline": ("no clamp", False)}
#: Weights of each layer that the figure of trajectories needs.
TRACES = 16


@click.command("demo", epilog="Example: recu-analyze demo --directory runs/demo")
@click.option(
    "--directory",
    type=click.Path(path_type=Path),
    default=Path("runs/demo"),
    show_default=True,
    help="Folder for the two runs, the figures and the report.",
)
@click.option(
    "--figures",
    type=click.Path(path_type=Path),
    help="Folder for the figures; by default the folder figures in --directory.",
)
@setting("epochs", help="Epochs of each training.")
@click.option("--overwrite", is_flag=True, help="Delete the runs in --directory first.")
@options.common
def command(directory: Path, figures: Path | None, epochs: int, overwrite: bool) -> None:
    """Train two binary ResNet-20s on 1,797 digits, with ReCU and without its clamp, and show their dead weights.

    A demo that was stopped continues from there; finished trainings are not repeated.
    """
    from recu_analysis.cli.train import run_training
    from recu_analysis.store.places import local
    from recu_analysis.store.starting import is_unused
    from recu_analysis.training.config import TrainingConfig

    began = time.monotonic()
    local(directory, "a training")
    if (directory / "run.json").exists():
        raise InputError(f"{directory} is a run itself; give a folder for the two runs of the demo")
    config = TrainingConfig.with_usual(epochs=epochs, traces=TRACES)
    for name, (label, recu) in RUNS.items():
        folder = directory / name
        options.note(f"training {label} in {folder}, {epochs} epochs")
        resume = folder.exists() and not (overwrite or (folder.is_dir() and is_unused(folder)))
        result = run_training(replace(config, recu=recu), folder, resume=resume, overwrite=overwrite, title=label)
        if result.stopped:
            options.fail(f"stopped by Ctrl-C after {result.epochs} of {epochs} epochs; repeat the command to continue")
            sys.exit(options.INTERRUPTED)
    options.note(f"trained in {time.monotonic() - began:.0f} s")
    _report(directory, figures or directory / "figures")


def _report(directory: Path, figures: Path) -> None:
    """Print tables, draw figures, write the report, and name the next command."""
    from recu_analysis.analysis.compare import compare
    from recu_analysis.analysis.deadness import TAIL_TAU, dead_weights
    from recu_analysis.analysis.final_windows import final_windows
    from recu_analysis.cli.dead_weights import view
    from recu_analysis.report import write_report
    from recu_analysis.store.run import open_run

    runs = {label: open_run(directory / name) for name, (label, _) in RUNS.items()}
    for label, run in runs.items():
        shown_path = printable(str(run.path))
        click.echo(f"\n{click.style(f'Dead weights, {label}', bold=True)} ({shown_path})", color=options.color())
        final = final_windows(run)
        table = dead_weights(run, windows=final.span)
        text = as_text(view(run, table, "tail-silent", TAIL_TAU, final), output.terminal_width())
        click.echo(text, color=options.color())
    click.echo(f"\n{click.style('The two runs side by side', bold=True)}", color=options.color())
    click.echo(_comparison(compare(runs)), color=options.color())
    drawn = _drawn(runs, figures)
    page = write_report(runs, directory / "report.html")
    made = [f"  {directory / name}: a run directory, with every update of every latent weight" for name in RUNS]
    made += [f"  {figures}: {', '.join(drawn)} as PDF and PNG, with data and LaTeX"]
    made += [f"  {page}: everything on one page for a browser"]
    click.echo("\n".join(["", "Made:", *wrapped(made, output.terminal_width())]))
    click.echo(f"Next: recu-analyze dead-weights {printable(str(directory / 'recu'))} --windows 1:4")


def _drawn(runs: dict[str, Run], folder: Path) -> list[str]:
    """Draw every figure for which two such runs hold the quantities and enough windows; return the names."""
    from recu_analysis.figures import draw_figure
    from recu_analysis.figures.registry import fitting

    drawn = []
    for name in fitting(runs):
        if name in ("initscale", "length") or name.startswith("table"):
            continue  # of other experiments and data sets
        with contextlib.suppress(NotRecordedError, WindowNotFoundError):
            draw_figure(name, runs, directory=folder)
            drawn.append(name)
    return drawn


#: Columns for the two runs side by side.
_COLUMNS = (
    Column("run"),
    Column("val_top1", width=6),
    Column("dead_fraction", width=6),
    Column("silent_fraction_tail", width=5),
    Column("silent_fraction_core", width=5),
    Column("mobility_tail", width=5),
    Column("mobility_core", width=5),
    Column("mobility_ratio", "ratio", 5, group="mobility"),
    Column("decay_time", width=5),
)


def _comparison(table: pd.DataFrame) -> str:
    note = "ratio: tail to core, median over layers. Each run has one seed, so a difference is not yet a result."
    width = output.terminal_width()
    return "\n".join([*table_lines(table, _COLUMNS, width), *wrapped([note], width)])
