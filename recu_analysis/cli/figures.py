"""recu-analyze figures: the figures of the registry, from closed forms and from runs."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from recu_analysis.cli import options


@click.command("figures", epilog="Example: recu-analyze figures --only fig3,fig4 -o figures")
@click.argument("runs", metavar="[RUN]...", nargs=-1, type=click.Path(path_type=Path))
@click.option("--list", "listing", is_flag=True, help="List the figures, then stop.")
@click.option("--only", metavar="NAMES", help="Only these figures, separated by commas.")
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("figures"),
    show_default=True,
    help="Folder for drawings, data, LaTeX and provenance.",
)
@options.common
@options.jobs
def command(runs: tuple[Path, ...], listing: bool, only: str | None, output: Path) -> None:
    """Draw figures ready for a paper: PDF and PNG, each with its data, the LaTeX that includes it, and its provenance.

    Without RUN, those of the closed forms. Each RUN is named by its folder in legends.
    """
    from recu_analysis.errors import InputError
    from recu_analysis.figures import FIGURES, draw_figure
    from recu_analysis.store.run import open_run

    if listing:
        width = max(map(len, FIGURES))
        for name, entry in FIGURES.items():
            click.echo(f"{name:<{width}}  {entry.title}{'; needs RUN' if entry.runs else ''}")
        return
    chosen = only.split(",") if only else [name for name, entry in FIGURES.items() if runs or not entry.runs]
    opened = {path.resolve().name: open_run(path) for path in runs}
    if len(opened) < len(runs):
        raise InputError("two runs have the same folder name, by which legends tell them apart; rename one")
    command = " ".join(["recu-analyze figures", *opened, *(["--only", only] if only else [])])
    for name in chosen:
        try:
            files = draw_figure(name.strip(), opened, output, command=command)
        except (InputError, LookupError) as error:
            if only:
                raise
            options.warn(f"the figure {name} is left out: {error}")
        else:
            options.note(f"drew {files[0]}")
