"""recu-analyze claims: the paper's claims tested on recorded runs, with a verdict for each."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from recu_analysis.analysis.rendering import Column, of_claim
from recu_analysis.cli import options
from recu_analysis.cli.output import PROSE_WIDTH, View, write_table
from recu_analysis.cli.target import table_target
from recu_analysis.store.labels import together

if TYPE_CHECKING:
    import pandas as pd

    from recu_analysis.cli.target import Target

_NUMBER = Column(
    "estimate",
    "the number after a verdict",
    meaning="The number that tests the claim, with its 95 % interval; the paragraph says what it is.",
)
_COLORS = {"supported": "green", "contradicted": "red", "undecided": "yellow", "intermediate": "yellow"}


@click.command("claims", epilog="Example: recu-analyze claims runs/demo/recu --baseline runs/demo/baseline")
@options.runs_argument
@click.option(
    "--baseline",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="RUN",
    help="A run without clamp to compare with; repeatable, paired with RUN by seed. Any RUN without clamp is used too.",
)
@options.layer_option
@options.windows_option
@table_target
@options.common
@options.jobs
def command(
    runs: tuple[Path, ...],
    baseline: tuple[Path, ...],
    layers: tuple[str, ...],
    windows: slice | None,
    target: Target,
) -> None:
    """Test the paper's claims on each RUN, a training with ReCU; give one RUN per seed.

    If some RUNs clamp and others do not, those that do not are baselines. A RUN may also be a list of runs (runs.toml)
    with labels, arms and seeds.

    Each claim gets a number with its 95 % interval, and a verdict: supported, contradicted, intermediate (the interval
    lies between both), undecided (it lies in several places), algebra (no run is needed), or cannot tell, with what
    would help.

    Movement (C1, C6, C11, C13) is measured over --windows, and distributions (C2 to C5, C8) at their end, or by default
    at the end of the run. C7, C9, C10 and C12 are of the whole run.
    """
    from recu_analysis.analysis.arms import apart, labeled
    from recu_analysis.analysis.claims import claims_query
    from recu_analysis.analysis.kinds import sides
    from recu_analysis.analysis.verdict import of_claims
    from recu_analysis.store.labels import labels_of

    opened, others = options.opened_all(runs), options.opened_all(baseline)
    query = claims_query(opened, others, windows, layers or None)
    for group in sides(opened):
        why = apart(labeled(group))
        if why:
            options.warn(f"{why}: claims over all these runs get no verdict")
    table = options.answered(query, (*opened, *others), measured=True)
    labels = labels_of(opened)
    view = View(
        table,
        [Column(str(name)) for name in table if name not in {"low", "high"}],
        _estimated(table),
        f"The paper's claims, tested on {together(labels)}.",
        labels,
        above=[of_claims(list(table["verdict"]))],
        explained=[_NUMBER],
        lines=lambda width: _lines(table, width),
    )
    write_table(view, target)


def _estimated(table: pd.DataFrame) -> pd.DataFrame:
    """The table with every estimate as a text with its interval."""
    values = table[["estimate", "low", "high"]].itertuples(index=False)
    return table.assign(estimate=[of_claim(*each) for each in values])


def _lines(table: pd.DataFrame, terminal: int | None) -> list[str]:
    """One paragraph per claim: id, verdict and estimate on the first line, the claim and the reason below."""
    width = max(60, min(terminal or PROSE_WIDTH, 100))
    lines: list[str] = []
    for row in table.to_dict(orient="records"):
        verdict = click.style(row["verdict"], fg=_COLORS.get(row["verdict"]), bold=True)
        value = of_claim(row["estimate"], row["low"], row["high"])
        lines.append(f"{row['id']:4} {verdict}{value and f': {value}'}")
        lines += textwrap.wrap(
            f"{row['claim']} ({row['place']})", width, initial_indent="     ", subsequent_indent="     "
        )
        lines += textwrap.wrap(row["why"], width, initial_indent="     ", subsequent_indent="     ")
    return lines
