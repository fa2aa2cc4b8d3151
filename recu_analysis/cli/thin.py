"""recu-analyze thin: a smaller copy of a run, with windows merged."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from recu_analysis.cli import options
from recu_analysis.cli.output import size

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class NumbersType(click.ParamType[Any]):
    """Numbers of windows: 0,1,5,20."""

    name = "N,N,..."

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        """The numbers that the user wrote; wrong usage if the text is not a list of numbers."""
        if isinstance(value, tuple):
            return value
        parts = [part.strip() for part in value.split(",")]
        if not all(part.isascii() and part.isdecimal() and len(part) <= 15 for part in parts):
            self.fail(f"give numbers of windows separated by commas, such as 0,1,5,20, not {value!r:.60}", param, ctx)
        return tuple(map(int, parts))


@click.command("thin", epilog="Example: recu-analyze thin runs/demo/recu --windows 0,1,5 -o runs/small")
@options.run_argument
@click.option("--windows", type=NumbersType(), required=True, help="The windows to keep, including 0 and the last.")
@options.layer_option
@click.option("--output", "-o", type=click.Path(path_type=Path), required=True, help="The new run directory.")
@options.common
def command(run: Path, windows: tuple[int, ...], layers: tuple[str, ...], output: Path) -> None:
    """Write a smaller copy of RUN, in which each kept window is merged with the dropped windows before it.

    Sums, flips, and first and last flips stay, and so do the weights at the end of each kept window. Checkpoints and
    superseded windows are not copied. RUN itself does not change.
    """
    from recu_analysis.store.run import open_run
    from recu_analysis.store.thin import thin

    opened = open_run(run)
    with _bar(len(set(windows))) as step:
        made = thin(opened, windows=windows, output=output, layers=layers or None, on_window=step)
    sizes = [size(sum(window.file.size for window in each.windows)) for each in (opened, made)]
    options.note(f"{output} has {len(made.windows)} of {len(opened.windows)} windows, {sizes[1]} of {sizes[0]}")


@contextlib.contextmanager
def _bar(count: int) -> Iterator[Callable[[int], None]]:
    """A progress bar of merged windows, on standard error and only on a terminal."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal or options.quiet(), transient=True) as bar:
        task = bar.add_task("merging", total=count)
        yield lambda _: bar.advance(task)
