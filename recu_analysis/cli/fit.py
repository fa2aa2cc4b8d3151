"""recu-analyze fit: which distribution the latent weights of a run have, and what it makes of the paper's formulas."""

from __future__ import annotations

from typing import TYPE_CHECKING

import rich_click as click

from recu_analysis.analysis.rendering import Column, number
from recu_analysis.cli import options
from recu_analysis.cli.output import table_lines, write_table

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd


#: Characters of a layer's name on the terminal.
_NAME = 15
_LAYER = Column("layer")
_SCALE = (
    _LAYER,
    Column("b_hat", "b_hat", 6, ends=13),
    Column("b_ratio", "b/b*", 5, ends=13),
    Column("shape", "shape", 5, ends=13),
)
#: The last but one are texts of `_per_weight`.
_DISTANCES = (
    _LAYER,
    Column("channels", "ch.", 4),
    Column("weights", "weights", 7),
    Column("scale_ratio", "r", 5),
    Column("ks_laplace", "KS L.", 6),
    Column("ks_normal", "KS n.", 6),
    Column("aic_normal", "AIC n.", 6),
    Column("aic_gennorm", "AIC g.", 6),
    Column("clamped_fraction", "cl. %", 5),
    Column("clamped_laplace", "L. %", 5),
)
_ERRORS = (
    _LAYER,
    Column("qe_measured", "QE", 6),
    Column("qe_exact", "exact", 6),
    Column("qe_printed", "print.", 6),
    Column("qe_measured_relative", "QE/b2", 6),
    Column("qe_exact_relative", "exact", 6),
    Column("qe_printed_relative", "print.", 6),
    Column("entropy_measured", "H", 6),
    Column("entropy", "Eq.17", 6),
    Column("entropy_bound", "bound", 6),
)
#: Of the formats with one table: scale, shape, distances and the relative errors.
_PRINTED = (*_SCALE, _DISTANCES[4], _DISTANCES[5], *_ERRORS[4:7])


@click.command("fit", epilog="Example: recu-analyze fit runs/demo/recu --layer 'layer2.*'")
@options.run_argument
@click.option(
    "--windows",
    type=options.WindowsType(),
    help="Fit the weights at the end of these windows, such as 12; of the run by default.",
)
@options.layer_option
@click.option("--raw", is_flag=True, help="Fit the raw weights, a layer's channels pooled, which fakes heavy tails.")
@options.table_output
@options.common
@options.jobs
def command(
    run: Path, windows: slice | None, layers: tuple[str, ...], raw: bool, table_format: str, output: Path | None
) -> None:
    """Fit Laplace, normal and generalised normal distributions to the latent weights of RUN, layer by layer.

    The fits are of z, the standard scores by output channel. Errors and entropies are of the standardised weights.
    Intervals hold 95 % and come from resampling output channels.
    """
    from recu_analysis.analysis.fits import fit_table

    table = fit_table(options.opened(run), windows=windows, layers=layers or None, raw=raw)
    write_table(table, table_format, output, as_text, columns=_PRINTED)
    for row in table.to_dict(orient="records"):
        if row["note"]:
            options.warn(f"layer {row['layer']}: {row['note']}")
    if raw:
        options.warn("these are raw weights of all channels pooled: channels of unequal scale fake heavy tails")


def as_text(table: pd.DataFrame) -> str:
    """Three tables below each other: scale and shape, distances, errors and entropies."""
    head = f"state at the end of window {table['window'].iloc[0]}"
    scale, distances, errors = (
        table_lines(rows, columns, _NAME)
        for rows, columns in ((table, _SCALE), (_per_weight(table), _DISTANCES), (table, _ERRORS))
    )
    return "\n".join([head, "", *scale, "", *distances, "", *errors, "", *_NOTES])


def _per_weight(table: pd.DataFrame) -> pd.DataFrame:
    """The differences of AIC, which grow with a layer, a weight."""
    weights = table["weights"].clip(lower=1)
    return table.assign(
        **{name: [number(each, ".3f") for each in table[name] / weights] for name in ("aic_normal", "aic_gennorm")}
    )


_NOTES = (
    "b_hat: mean |w~|, w~ the weight after the layer's standardisation to b*.",
    "shape: of the generalised normal, 1 Laplace, 2 normal. 95 %: its interval.",
    "r: sqrt(2) E|z|, 1 for Laplace, 1.128 for normal weights. KS: largest",
    "difference of distribution functions to Laplace, to normal. AIC: that of the",
    "normal, of the generalised normal, less that of Laplace, per weight; positive:",
    "Laplace is better. cl. %: weights beyond the quantile; Laplace weights: L. %.",
    "QE: measured; exact and printed (Eq. 14) for Laplace weights of the same b_hat;",
    "QE/b2: over b_hat^2. H: entropy measured, Eq. 17, bound ln(2 e b_hat), nats.",
)
