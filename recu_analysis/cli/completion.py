"""Shell completion: names of layers, figures and venues."""

from __future__ import annotations

import contextlib
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import rich_click as click


def layers(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Names of the layers of the runs typed before; runs that cannot be opened have none.

    Names that a shell would split or read as something else, such as names with spaces, are left out.
    """
    from recu_analysis.errors import RecuError
    from recu_analysis.store.run import open_run

    names: dict[str, None] = {}
    for path in ctx.args:  # click has not parsed the runs, since the option being completed has no value yet
        with contextlib.suppress(RecuError, OSError, ValueError):
            names |= dict.fromkeys(name for folder in _folders(Path(path)) for name in open_run(folder).layer_names)
    return [name for name in names if name.startswith(incomplete) and shlex.quote(name) == name and ":" not in name]


def _folders(path: Path) -> list[Path]:
    """The run directories that a typed path stands for."""
    from recu_analysis.analysis.run_list import is_run_list, read_run_list

    return [entry.folder for entry in read_run_list(path)] if is_run_list(path) else [path]


def figures(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Names of figures, after the last comma of the typed text."""
    from recu_analysis.figures import FIGURES

    before, comma, last = incomplete.rpartition(",")
    return [f"{before}{comma}{name}" for name in FIGURES if name.startswith(last)]


def venues(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Names of the venues whose widths are known."""
    from recu_analysis.figures.print.style import VENUES

    return [name for name in VENUES if name.startswith(incomplete)]
