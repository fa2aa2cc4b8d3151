"""recu-analyze report: runs as one HTML page."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from recu_analysis.cli import options
from recu_analysis.cli.output import make_folder_of, size


@click.command("report", epilog="Example: recu-analyze report runs/demo/recu --baseline runs/demo/baseline")
@options.runs_argument
@options.layer_option
@options.windows_option
@click.option(
    "--baseline",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="RUN",
    help="A run without clamp, with which the claims are tested; repeatable, paired with RUN by seed. By default each "
    "RUN that does not clamp.",
)
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("report.html"),
    show_default=True,
    help="File of the page; an existing file is replaced.",
)
@click.option("--claims", is_flag=True, help="Test the paper's claims also if no RUN is of ReCU.")
@options.common
@options.jobs
def command(
    runs: tuple[Path, ...],
    layers: tuple[str, ...],
    windows: slice | None,
    baseline: tuple[Path, ...],
    output: Path,
    claims: bool,
) -> None:
    """Show one or more RUNs on one HTML page that works offline, to read, send or print.

    The page begins with the answer: which weights are dead, whether the windows are long enough to tell, and what to do
    next. Then it shows what was run, charts that can be zoomed, a table of the layers, figures, and, for runs of ReCU,
    the paper's claims. Of more than six RUNs, the charts show each arm with a band over its seeds. Large runs are shown
    in part, and the page says so. A RUN may also be a list of runs (runs.toml) with labels, arms and seeds.
    """
    if output.suffix.lower() not in ("", ".html", ".htm"):
        raise click.UsageError(f"the report is an HTML page, so its file must end in .html, not {output.name!r}")
    from recu_analysis.report import write_report
    from recu_analysis.store.labels import labels_of

    shown, others = options.opened_all(runs), options.opened_all(baseline)
    labels = labels_of([*shown, *others])
    split = len(shown)
    baselines = dict(zip(labels[split:], others, strict=True))
    make_folder_of(output)  # an unusable path is an error before the work
    page = write_report(
        dict(zip(labels[:split], shown, strict=True)),
        output,
        windows=windows,
        layers=layers or None,
        baseline=baselines or None,
        claims=claims,
    )
    options.note(f"wrote {page}, {size(page.stat().st_size)}")
