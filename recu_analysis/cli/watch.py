"""recu-analyze watch: a live view of a run that is being written, which only reads."""

from __future__ import annotations

import shutil
import sys
import time
from typing import TYPE_CHECKING

import rich_click as click

from recu_analysis.cli import options
from recu_analysis.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from rich.console import Console

    from recu_analysis.cli.watched import Watched

#: After a look comes a pause of at least so many times what one window took, so that the training keeps its processor.
REST = 9.0
#: How often, in seconds, the size of the terminal is asked for.
GLANCE = 0.25


@click.command("watch", epilog="Example: recu-analyze watch runs/mine --layer 'layer3.*'")
@options.run_argument
@click.option("--once", is_flag=True, help="Print the view once and end.")
@click.option(
    "--every",
    type=click.FloatRange(min=0.1),
    default=2.0,
    show_default=True,
    metavar="SECONDS",
    help="How often to look for new windows; less often where reading takes long.",
)
@options.layer_option
@options.common
def command(run: Path, once: bool, every: float, layers: tuple[str, ...]) -> None:
    """Watch RUN while it is written: where it is, how fast it goes, and how its layers move, window by window.

    It only reads, so it cannot disturb the training. It waits for a run that is not there yet, and for one that
    stopped; Ctrl-C ends it.
    """
    from recu_analysis.cli.watched import Watched

    watched = Watched(run, layers)
    if once:
        _print_once(watched)
    else:
        _live(watched, every)


def _print_once(watched: Watched) -> None:
    """All of the view on standard output, and its warnings on standard error."""
    from recu_analysis.cli import watch_view

    watched.look()
    if watched.absent:
        raise watched.absent
    width = shutil.get_terminal_size((80, 24)).columns
    count = watch_view.bars_in(width)
    while watched.read_next(count):
        pass
    for text in watched.warnings(count):
        options.warn(text)
    room = watch_view.room_for_names(width) if sys.stdout.isatty() else None
    click.echo("\n".join(watch_view.whole(watched, width, room)), color=options.color())
    if watched.damaged:
        sys.exit(1)


def _live(watched: Watched, every: float) -> None:
    """The view on the terminal until Ctrl-C; its last state stays there."""
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    console = Console(no_color=True if options.color() is False else None)
    if not console.is_terminal or console.is_dumb_terminal:
        raise InputError("watch needs a terminal to draw on, which standard output is not; add --once to print it once")
    from recu_analysis.cli.watch_view import screen

    lines: list[str] = []

    def draw() -> None:
        lines[:] = screen(watched, console.width, console.height, every)
        live.update(Text.from_ansi("\n".join(lines), no_wrap=True, overflow="crop"), refresh=True)

    try:
        with Live(console=console, screen=True, auto_refresh=False) as live:
            while True:
                began = time.monotonic()
                windows = look(watched, lambda: console.width, draw)
                rest(max(every, REST * (time.monotonic() - began) / max(windows, 1)), console, draw)
    finally:
        console.print(Text.from_ansi("\n".join(lines)))


def look(watched: Watched, width: Callable[[], int], draw: Callable[[], None]) -> int:
    """Look at a run once, and read what is new; the view is drawn after each of the windows, whose number is given."""
    from recu_analysis.cli.watch_view import bars_in

    watched.look()
    draw()
    windows = 0
    while watched.read_next(bars_in(width())):
        draw()
        windows += 1
    return windows


def rest(seconds: float, console: Console, draw: Callable[[], None]) -> None:
    """Wait, and draw anew where the terminal changes its size meanwhile."""
    size, end = console.size, time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(left, GLANCE))
        if console.size != size:
            size = console.size
            draw()
