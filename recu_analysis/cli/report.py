"""recu-analyze report: runs as one HTML page."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from recu_analysis.cli import options
from recu_analysis.cli.output import make_folder_of, size


@click.command("report", epilog="Example: recu-analyze report runs/demo/recu --baseline runs/demo/baseline")
@click.argument("runs", metavar="RUN...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--baseline",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="RUN",
    help="A run without clamp for the claims to compare with; repeatable, paired with RUN by seed. By default those "
    "of RUN that do not clamp.",
)
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("report.html"),
    show_default=True,
    help="The page, replaced as a whole.",
)
@options.common
@options.jobs
def command(runs: tuple[Path, ...], baseline: tuple[Path, ...], output: Path) -> None:
    """Show RUN, one or several, on one HTML page that needs no network: to read, to send, to print.

    What was run, the paper's claims, a table of the layers, charts that can be zoomed, figures to download, the
    method, and what to beware of. Large runs are shown in part, and the page says so. A list of runs (runs.toml), with
    their labels, arms and seeds, may stand in place of a RUN.
    """
    from recu_analysis.report import write_report
    from recu_analysis.store.labels import labels_of

    shown, others = options.opened_all(runs), options.opened_all(baseline)
    labels = labels_of([*shown, *others])
    split = len(shown)
    baselines = dict(zip(labels[split:], others, strict=True))
    make_folder_of(output)  # what is wrong with the place is said before the work
    page = write_report(dict(zip(labels[:split], shown, strict=True)), output, baseline=baselines or None)
    options.note(f"wrote {page}, {size(page.stat().st_size)}")
