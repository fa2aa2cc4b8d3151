"""Shell completion: names of layers, figures and venues."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import rich_click as click


def layers(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Names of the layers of the runs typed before; runs that cannot be opened have none."""
    from recu_analysis.errors import RecuError
    from recu_analysis.store.run import open_run

    names: dict[str, None] = {}
    for path in ctx.args:  # click has not parsed the runs, since the option being completed has no value yet
        with contextlib.suppress(RecuError):
            names |= dict.fromkeys(open_run(path).layer_names)
    return [name for name in names if name.startswith(incomplete)]


def figures(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Names of figures, after the last comma of the typed text."""
    from recu_analysis.figures import FIGURES

    before, comma, last = incomplete.rpartition(",")
    return [f"{before}{comma}{name}" for name in FIGURES if name.startswith(last)]


def venues(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Names of the venues whose widths are known."""
    from recu_analysis.figures.print.style import VENUES

    return [name for name in VENUES if name.startswith(incomplete)]
