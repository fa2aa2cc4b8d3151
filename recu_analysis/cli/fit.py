"""recu-analyze fit: which distribution the latent weights of a run have, and what it makes of the paper's formulas."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import rich_click as click

from recu_analysis.cli import options
from recu_analysis.cli.output import aligned, deliver, ends, number, with_interval

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import pandas as pd

    from recu_analysis.analysis.selection import WindowRange

_LAYER = 15


@click.command("fit", epilog="Example: recu-analyze fit runs/demo/recu --layer 'layer2.*'")
@options.run_argument
@click.option("--window", type=options.WindowType(), help="Fit the weights at the end of this window; the last one.")
@options.layer_option
@click.option("--raw", is_flag=True, help="Fit the raw weights, a layer's channels pooled, which fakes heavy tails.")
@options.table_output
@options.common
@options.jobs
def command(
    run: Path, window: WindowRange | None, layers: tuple[str, ...], raw: bool, form: str, output: Path | None
) -> None:
    """Fit Laplace, normal and generalised normal distributions to the latent weights of RUN, layer by layer.

    The fits are of z, the standard scores by output channel. Errors and entropies are of the standardised weights.
    Intervals hold 95 % and come from resampling output channels.
    """
    from recu_analysis.analysis.fits import fit_table

    table = fit_table(options.opened(run), window=window, layers=layers or None, raw=raw)
    deliver(table, form, output, as_text, printed=_printed)
    for row in table.to_dict(orient="records"):
        if row["note"]:
            options.warn(f"layer {row['layer']}: {row['note']}")
    if raw:
        options.warn("these are raw weights of all channels pooled: channels of unequal scale fake heavy tails")


def as_text(table: pd.DataFrame) -> str:
    """Three tables below each other: scale and shape, distances, errors and entropies."""
    rows = table.to_dict(orient="records")
    head = f"state at the end of window {table['window'].iloc[0]}"
    scale = [
        [row["layer"], *(cell for name in ("b_hat", "b_ratio", "shape") for cell in _with_interval(row, name))]
        for row in rows
    ]
    distance = [
        [
            row["layer"],
            str(row["channels"]),
            str(row["weights"]),
            *(number(row[name], 3) for name in ("scale_ratio", "ks_laplace", "ks_normal")),
            *(number(row[name] / max(row["weights"], 1), 3) for name in ("aic_normal", "aic_gennorm")),
            *(number(100 * row[name], 2) for name in ("clamped_fraction", "clamped_laplace")),
        ]
        for row in rows
    ]
    errors = [[row["layer"], *(number(row[name], 3) for name in _ERRORS)] for row in rows]
    lines = [
        *aligned(["layer", "b_hat", "95 %", "b/b*", "95 %", "shape", "95 %"], scale, (_LAYER, 6, 13, 5, 13, 5, 13)),
        "",
        *aligned(
            ["layer", "ch.", "weights", "r", "KS L.", "KS n.", "AIC n.", "AIC g.", "cl. %", "L. %"],
            distance,
            (_LAYER, 4, 7, 5, 6, 6, 6, 6, 5, 5),
        ),
        "",
        *aligned(["layer", *_ERRORS.values()], errors, (_LAYER, *(6 for _ in _ERRORS))),
    ]
    return "\n".join([head, "", *lines, "", *_NOTES])


def _printed(table: pd.DataFrame) -> pd.DataFrame:
    """Scale, shape, distances and the relative errors, for LaTeX."""
    import pandas as pd

    distances = {"KS Laplace": "ks_laplace", "KS normal": "ks_normal"}
    errors = {"QE / b2": "qe_measured_relative", "exact": "qe_exact_relative", "printed": "qe_printed_relative"}
    rows = []
    for row in table.to_dict(orient="records"):
        cells = {"layer": row["layer"]}
        for shown, name in {"b": "b_hat", "b / b*": "b_ratio", "shape": "shape"}.items():
            cells[shown] = with_interval(row[name], row[f"{name}_low"], row[f"{name}_high"], 2)
        rows.append(cells | {shown: number(row[name], 3) for shown, name in (distances | errors).items()})
    return pd.DataFrame(rows)


_ERRORS = {
    "qe_measured": "QE",
    "qe_exact": "exact",
    "qe_printed": "print.",
    "qe_measured_relative": "QE/b2",
    "qe_exact_relative": "exact",
    "qe_printed_relative": "print.",
    "entropy_measured": "H",
    "entropy": "Eq.17",
    "entropy_bound": "bound",
}
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


def _with_interval(row: Mapping[Any, Any], name: str) -> tuple[str, str]:
    digits = 3 if row[name] < 10 or math.isnan(row[name]) else 2
    interval = ends(row[f"{name}_low"], row[f"{name}_high"], lambda end: number(end, digits))
    return number(row[name], digits), interval
