"""recu-analyze tradeoff: quantisation error and entropy of Laplace weights over tau, in closed form."""

from __future__ import annotations

from typing import TYPE_CHECKING

import rich_click as click

from recu_analysis.cli import options
from recu_analysis.cli.output import aligned, deliver

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd


@click.command("tradeoff", epilog="Example: recu-analyze tradeoff --tau 0.85 0.99 --b 2 --points 8")
@click.option(
    "--tau",
    type=float,
    nargs=2,
    default=(0.85, 0.99),
    show_default=True,
    metavar="LO HI",
    help="First and last quantile level, in (0.5, 1].",
)
@click.option(
    "--b", "scales", type=float, multiple=True, default=(2.0,), show_default=True, help="Laplace scale; repeatable."
)
@click.option("--points", type=int, default=15, show_default=True, help="Levels, both ends among them.")
@options.table_output
@options.common
def command(tau: tuple[float, float], scales: tuple[float, ...], points: int, form: str, output: Path | None) -> None:
    """Print quantile, alpha, three quantisation errors and entropy of Laplace weights after ReCU, over tau.

    Exact: against the clamped weights. Printed: the paper's Eq. 14 as it stands, with its sign error; its
    minimum at 0.82 is that error. Latent: against the weights before the clamp. Entropy: Eq. 17, in nats.
    """
    from recu_analysis.analysis.tradeoff import tradeoff

    deliver(tradeoff(tau, scales, points), form, output, as_text)


def as_text(table: pd.DataFrame) -> str:
    """The table in columns of equal width."""
    names = [str(name) for name in table]
    rows = [[f"{value:.4f}" for value in row] for row in table.itertuples(index=False)]
    return "\n".join(aligned(names, rows, [max(len(name), 9) for name in names]))
