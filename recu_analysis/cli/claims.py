"""recu-analyze claims: the paper's claims against recorded runs, a verdict each."""

from __future__ import annotations

import math
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from recu_analysis.cli import options
from recu_analysis.cli.output import deliver, terminal_width

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from recu_analysis.store.run import Run

_INDENT = " " * 5
_COLOURS = {"supported": "green", "contradicted": "red", "not supported": "yellow"}


@click.command("claims", epilog="Example: recu-analyze claims runs/demo/recu --baseline runs/demo/baseline")
@click.argument("runs", metavar="RUN...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--baseline",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="RUN",
    help="A run without clamp to compare with; repeatable, paired with RUN by seed. RUNs without clamp count too.",
)
@options.table_output
@options.common
@options.jobs
def command(runs: tuple[Path, ...], baseline: tuple[Path, ...], form: str, output: Path | None) -> None:
    """Test the paper's claims on RUN, trainings with ReCU, one a seed.

    Those that do not clamp, beside some that do, count for the baseline.

    Each claim gets what these runs show, with its 95 % interval, and a verdict: supported, not supported,
    contradicted, by construction (algebra alone decides it), or cannot tell, with what would.
    """
    from recu_analysis.analysis.claims import asked_claims, claims
    from recu_analysis.analysis.claims.table import separate

    opened, others = ([options.opened(path) for path in paths] for paths in (runs, baseline))
    for group in separate(opened):
        _warn_of_kinds(group)
    with options.reading((*opened, *others), asked_claims(opened, others), measured=True):
        deliver(claims(opened, others), form, output, as_text)


def _warn_of_kinds(runs: Sequence[Run]) -> None:
    """Say that runs are not seeds of one training."""
    from recu_analysis.analysis.compare import groups_of
    from recu_analysis.store.labels import folder_names

    labels = folder_names([run.path for run in runs])
    groups = groups_of(dict(zip(labels, runs, strict=True)))
    if len(groups) > 1:
        kinds = "; ".join(", ".join(group) for group in groups)
        options.warn(f"these runs differ in more than their seed: claims over all of them get no verdict: {kinds}")


def as_text(table: pd.DataFrame) -> str:
    """A paragraph a claim: id, verdict and estimate on the first line, the sentence and the reason below."""
    width = max(60, min(terminal_width(), 100))
    lines: list[str] = []
    for row in table.to_dict(orient="records"):
        verdict = click.style(row["verdict"], fg=_COLOURS.get(row["verdict"]), bold=True)
        lines.append(f"{row['id']:4} {verdict}{_value(row['estimate'], row['low'], row['high'])}")
        lines += textwrap.wrap(
            f"{row['claim']} ({row['place']})", width, initial_indent="     ", subsequent_indent="     "
        )
        lines += textwrap.wrap(row["why"], width, initial_indent="     ", subsequent_indent="     ")
    return "\n".join(lines)


def _value(estimate: float, low: float, high: float) -> str:
    if math.isnan(estimate):
        return ""
    interval = "" if math.isnan(low) or low == high else f" ({low:.3g} to {high:.3g})"
    return f": {estimate:.3g}{interval}"
