"""recu-analyze import: a run directory made of checkpoints."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from recu_analysis.cli import options

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from recu_analysis.store.run import Run


@click.command("import", epilog="Example: recu-analyze import results/epoch*.pth --run-dir runs/imported")
@click.argument("checkpoints", metavar="CHECKPOINT...", nargs=-1, required=True)
@click.option("--run-dir", type=click.Path(path_type=Path), required=True, help="New folder for the run.")
@click.option(
    "--layer",
    "layers",
    multiple=True,
    metavar="GLOB",
    help="Take the layers whose names match, those not recognised by the plain sign of their weight; repeatable.",
)
@click.option("--adapter", metavar="NAME", help="What the layers of --layer are, such as ir-net.")
@options.unsafe_load
@options.common
def command(
    checkpoints: tuple[str, ...], run_dir: Path, layers: tuple[str, ...], adapter: str | None, unsafe_load: bool
) -> None:
    """Make a run directory of CHECKPOINTs, so that every other command works on them.

    Files, folders and patterns: .pth .pt .pth.tar .th .ckpt .safetensors, in natural order (2 before 10) or as the
    epochs or steps in them say. What happened between two checkpoints was not seen: movement is net, two flips look
    like none, and tables say sampled.
    """
    from recu_analysis.capture.importer import import_checkpoints

    if adapter and not layers:
        raise click.UsageError("--adapter says what the layers of --layer are; give --layer too")
    with _bar() as step:
        made = import_checkpoints(
            checkpoints, run_dir, layers=layers or None, adapter=adapter, unsafe_load=unsafe_load, on_file=step
        )
    _tell(made)


@contextlib.contextmanager
def _bar() -> Iterator[Callable[[Path], None]]:
    """The file that is being read, on standard error and on a terminal only."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal or options.quiet():
        yield lambda _: None
        return
    with console.status("reading") as status:
        yield lambda path: status.update(f"reading {path.name}")


def _tell(made: Run) -> None:
    names = made.configuration["imported"]
    count = len(names)
    what = f"{count} checkpoints" if count > 1 else "1 checkpoint"
    options.note(f"{what} of {len(made.layer_names)} binary layers {'are' if count > 1 else 'is'} in {made.path}")
    if count == 1:
        options.note(f"one state shows no movement; next: recu-analyze fit {made.path}")
        return
    numbered_by = _numbers(made.configuration["update_numbers"])
    options.note(f"first and last: {names[0]}, {names[-1]}; their update numbers are the files' {numbered_by}")
    options.note(
        "sampled: movement between two checkpoints is net, and a weight that flipped twice looks silent; "
        f"next: recu-analyze dead-weights {made.path}"
    )


def _numbers(kind: str) -> str:
    return {"global_step": "global_step", "epoch": "epochs"}.get(kind, "positions in that order")
