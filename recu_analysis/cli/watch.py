"""recu-analyze watch: a live view of a run that is being written; it only reads."""

from __future__ import annotations

import math
import shutil
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import rich_click as click

from recu_analysis.cli import options
from recu_analysis.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from rich.console import Console

    from recu_analysis.cli.watched import Watched

#: Least pause after a look, as a multiple of the reading time of one window, so that the training keeps its CPU.
REST = 9.0
#: Seconds between checks of the terminal's size.
GLANCE = 0.25
#: Least seconds after a look into an object store, where each look is a few requests.
OBJECTS = 15.0


@click.command("watch", epilog="Example: recu-analyze watch runs/mine --layer 'layer3.*'")
@options.run_argument
@click.option("--once", is_flag=True, help="Print the view once and exit.")
@click.option(
    "--every",
    type=click.FloatRange(min=0.1, max=86400.0),
    default=2.0,
    show_default=True,
    metavar="SECONDS",
    help="Time between looks for new windows; longer if reading takes long.",
)
@options.layer_option
@options.common
def command(run: Path, once: bool, every: float, layers: tuple[str, ...]) -> None:
    """Watch RUN while it is written: its position, its speed, and how its layers move, window by window.

    The command only reads, so it cannot disturb the training. It waits for a run that does not exist yet, and for a run
    that stopped. Ctrl-C ends it.
    """
    if math.isnan(every):  # which no range excludes
        raise click.UsageError("--every is a number of seconds, not nan")
    from recu_analysis.cli.watched import Watched

    watched = Watched(run, layers or None)
    if once:
        _print_once(watched)
    else:
        _live(watched, every)


def _print_once(watched: Watched) -> None:
    """Print the whole view on standard output, and its warnings on standard error."""
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
    lines = watch_view.whole(watched, width, room)
    watched.look()  # a run that was deleted meanwhile was read in part
    if watched.absent:
        raise watched.absent
    click.echo("\n".join(lines), color=options.color())
    if watched.damaged:
        sys.exit(1)


def _live(watched: Watched, every: float) -> None:
    """Show the view on the terminal until Ctrl-C; its last state stays there."""
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    console = Console(no_color=True if options.color() is False else None)
    if not console.is_terminal or console.is_dumb_terminal:
        raise InputError("watch needs a terminal, and standard output is none; add --once to print the view once")
    from recu_analysis.cli.watch_view import screen
    from recu_analysis.store.object_path import ObjectPath

    lines: list[str] = []
    least = OBJECTS if isinstance(watched.path, ObjectPath) else 0.0

    def draw() -> None:
        lines[:] = screen(watched, console.width, console.height, every)
        live.update(Text.from_ansi("\n".join(lines), no_wrap=True, overflow="crop"), refresh=True)

    try:
        with Live(console=console, screen=True, auto_refresh=False) as live, suppress(KeyboardInterrupt):
            while True:
                began = time.monotonic()
                windows = look(watched, lambda: console.width, draw)
                rest(max(every, least, REST * (time.monotonic() - began) / max(windows, 1)), console, draw)
    finally:
        console.print(Text.from_ansi("\n".join(lines)), no_wrap=True, overflow="crop", crop=True)
    sys.exit(options.INTERRUPTED)


def look(watched: Watched, width: Callable[[], int], draw: Callable[[], None]) -> int:
    """Look at a run once and read its new windows, with a drawing after each; return how many were read."""
    from recu_analysis.cli.watch_view import bars_in

    watched.look()
    draw()
    windows = 0
    while watched.read_next(bars_in(width())):
        draw()
        windows += 1
    return windows


def rest(seconds: float, console: Console, draw: Callable[[], None]) -> None:
    """Wait, and draw again whenever the terminal changes its size."""
    size, end = console.size, time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(left, GLANCE))
        if console.size != size:
            size = console.size
            draw()
