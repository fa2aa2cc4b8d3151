"""File, format and columns of a command's table: --output, --format and --columns."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import rich_click as click

from recu_analysis.analysis.csv_text import safe_cells
from recu_analysis.analysis.rendering import FORMATS

Function = TypeVar("Function", bound=Callable[..., Any])

#: The format for each ending of a file.
ENDINGS: Final = {
    ".txt": "table",
    ".csv": "csv",
    ".json": "json",
    ".tex": "latex",
    ".md": "markdown",
    ".html": "html",
}


@dataclass(frozen=True, slots=True)
class Target:
    """The user's choice of file, format and columns.

    Attributes
    ----------
    table_format : str
        One of `recu_analysis.analysis.rendering.FORMATS`.
    path : Path or None
        A file; None for standard output.
    columns : tuple of str
        Names of columns, as in CSV; empty for the columns that the command shows.
    """

    table_format: str = "table"
    path: Path | None = None
    columns: tuple[str, ...] = ()


#: For every command that writes CSV.
safe_csv_option = click.option(
    "--safe-csv",
    is_flag=True,
    help="In CSV, put an apostrophe before names that a spreadsheet would run as a formula; numbers stay as they are.",
)


def table_target(function: Function) -> Function:
    """Give a command --format, --output and --columns; it receives them as one `Target` named target."""

    @functools.wraps(function)
    def aimed(
        *arguments: Any,
        table_format: str | None,
        output: Path | None,
        columns: tuple[str, ...],
        safe_csv: bool,
        **named: Any,
    ) -> Any:
        path = None if output is None or str(output) == "-" else output
        chosen = _format(table_format, path)
        if safe_csv and chosen != "csv" and not named.get("figure"):
            raise click.UsageError(f"--safe-csv has no effect on {chosen}; add --format csv, or remove it")
        with safe_cells(safe=safe_csv):
            return function(*arguments, target=Target(chosen, path, columns), **named)

    for option in (
        safe_csv_option,
        click.option(
            "--columns",
            type=NamesType(),
            default=(),
            metavar="NAMES",
            help="Only these columns, in this order, separated by commas; the names are those of --format csv.",
        ),
        click.option(
            "--output",
            "-o",
            type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
            metavar="FILE",
            help=f"Write the table to FILE, in the format of its ending: {', '.join(ENDINGS)}; - is standard output.",
        ),
        click.option(
            "--format",
            "table_format",
            type=click.Choice(FORMATS),
            help="Format of the table, if FILE has no ending for it; table by default.",
        ),
    ):
        aimed = option(aimed)
    return aimed  # type: ignore[return-value]


def _format(asked: str | None, path: Path | None) -> str:
    """The format of --format or of the file's ending; wrong usage if these differ or neither is known."""
    if path is None:
        return asked or "table"
    ending = ENDINGS.get(path.suffix.lower())
    if asked is None and ending is None:
        raise click.UsageError(
            f"the name {path} does not end in a known format; use {', '.join(ENDINGS)}, or give --format"
        )
    if asked and ending and asked != ending:
        raise click.UsageError(
            f"--format {asked} contradicts the ending of {path}, which means {ending}; change one of them"
        )
    return asked or ending or "table"


class NamesType(click.ParamType[Any]):
    """Names of columns: layer,weights."""

    name = "NAMES"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        """The names that the user wrote, each once; wrong usage if there are none."""
        if isinstance(value, tuple):
            return value
        names = tuple(dict.fromkeys(name.strip() for name in value.split(",") if name.strip()))
        if not names:
            self.fail("give names of columns separated by commas, such as layer,weights", param, ctx)
        return names
