"""recu-analyze import: a run directory made from checkpoints."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from recu_analysis.cli import options
from recu_analysis.errors import printable

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
    help="Import the layers whose names match GLOB; layers that are not recognized use the sign of their weight. "
    "Repeatable.",
)
@click.option("--adapter", metavar="NAME", help="Kind of the layers of --layer, such as ir-net or bitnet-b158.")
@options.unsafe_load
@options.common
def command(
    checkpoints: tuple[str, ...], run_dir: Path, layers: tuple[str, ...], adapter: str | None, unsafe_load: bool
) -> None:
    """Make a run directory from CHECKPOINTs, so that every other command works on them.

    A CHECKPOINT is a file, a folder or a pattern: .pth .pt .pth.tar .th .ckpt .safetensors, and folders of
    transformers, accelerate and torch.distributed.checkpoint. They are ordered by the epochs or steps in them, or in
    natural order (2 before 10). Updates between two checkpoints were not seen: movement is net, two flips look like
    none, and tables say sampled.
    """
    from recu_analysis.capture.importer import import_checkpoints

    if adapter and not layers:
        raise click.UsageError("--adapter needs --layer; give the layers that it is for")
    with _bar() as step:
        made = import_checkpoints(
            checkpoints, run_dir, layers=layers or None, adapter=adapter, unsafe_load=unsafe_load, on_file=step
        )
    _tell(made)


@contextlib.contextmanager
def _bar() -> Iterator[Callable[[Path], None]]:
    """Show the file that is being read, on standard error and only on a terminal."""
    from rich.console import Console
    from rich.text import Text

    console = Console(stderr=True)
    if not console.is_terminal or options.quiet():
        yield lambda _: None
        return
    with console.status("reading") as status:
        yield lambda path: status.update(Text(f"reading {printable(path.name)}"))


def _tell(made: Run) -> None:
    names = made.configuration["imported"]
    count = len(names)
    what = f"{count} checkpoints" if count > 1 else "1 checkpoint"
    binary = all(layer.quantizer.binary for layer in made.header.layers)
    layers = f"{len(made.layer_names)} {'binary' if binary else 'quantized'} layers"
    options.note(f"{what} of {layers} {'are' if count > 1 else 'is'} in {made.path}")
    if count == 1:
        options.note(f"one checkpoint shows no movement; next: recu-analyze {'fit' if binary else 'info'} {made.path}")
        return
    numbered_by = _numbers(made.configuration["update_numbers"])
    updates = [window.last_update for window in made.windows]
    order = ", ".join(f"{name} ({update})" for name, update in zip(names, updates, strict=True))
    options.note(f"in order, with update numbers, which are the {numbered_by}: {order}")
    options.note(
        "sampled: movement between two checkpoints is net, and a weight that flipped twice looks silent; "
        f"next: recu-analyze {'dead-weights' if binary else 'levels'} {made.path}"
    )


def _numbers(kind: str) -> str:
    known = {"global_step": "global_step", "epoch": "epochs"}
    return f"{known.get(kind, 'positions')} of the files"
