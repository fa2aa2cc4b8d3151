"""recu-analyze fit: the distribution of a run's latent weights, and what follows for the paper's formulas."""

from __future__ import annotations

from typing import TYPE_CHECKING

import rich_click as click

from recu_analysis.analysis.rendering import Column, number
from recu_analysis.cli import options
from recu_analysis.cli.asides import Aside
from recu_analysis.cli.output import View, lines_of_tables, write_table
from recu_analysis.cli.several_runs import below_each_other
from recu_analysis.cli.target import table_target

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from recu_analysis.cli.target import Target
    from recu_analysis.store.run import Run

_LAYER = Column("layer")
_SCALE = (
    _LAYER,
    Column("b_hat", width=6, ends=13),
    Column("b_ratio", width=5, ends=13),
    Column("shape", width=5, ends=13),
)
#: The AIC columns hold texts of `_per_weight`.
_DISTANCES = (
    _LAYER,
    Column("channels", width=4),
    Column("weights", width=7),
    Column("scale_ratio", width=5),
    Column("ks_laplace", "Lap.", 6, group="KS"),
    Column("ks_normal", "normal", 6, group="KS"),
    Column(
        "aic_normal",
        "normal",
        6,
        group="AIC",
        meaning="AIC of the normal minus AIC of the Laplace, per weight; if positive, the Laplace fits better.",
    ),
    Column(
        "aic_gennorm",
        "gen.",
        6,
        group="AIC",
        meaning="AIC of the generalized normal minus AIC of the Laplace, per weight.",
    ),
    Column("clamped_fraction", width=5),
    Column("clamped_laplace", width=5),
)
_ERRORS = (
    _LAYER,
    Column("qe_measured", "meas.", 6, group="QE"),
    Column("qe_exact", "exact", 6, group="QE"),
    Column("qe_printed", "print.", 6, group="QE"),
    Column("qe_measured_relative", "meas.", 6, group="QE / b_hat^2"),
    Column("qe_exact_relative", "exact", 6, group="QE / b_hat^2"),
    Column("qe_printed_relative", "print.", 6, group="QE / b_hat^2"),
    Column("entropy_measured", "meas.", 6, group="entropy"),
    Column("entropy", "Eq.17", 6, group="entropy"),
    Column("entropy_bound", "bound", 6, group="entropy"),
)
#: Columns of the formats with one table: scale, shape, distances and relative errors.
_PRINTED = (*_SCALE, _DISTANCES[4], _DISTANCES[5], *_ERRORS[4:7])


@click.command("fit", epilog="Example: recu-analyze fit runs/demo/recu --layer 'layer2.*'")
@options.runs_argument
@options.windows_end_option
@options.layer_option
@click.option(
    "--raw",
    is_flag=True,
    help="Fit the raw weights, with all channels of a layer together. Unequal scales of channels then look like heavy "
    "tails.",
)
@table_target
@options.common
@options.jobs
def command(runs: tuple[Path, ...], windows: slice | None, layers: tuple[str, ...], raw: bool, target: Target) -> None:
    """Fit Laplace, normal and generalized normal distributions to the latent weights of each RUN.

    The fits are of z, the standard scores within each output channel. Errors and entropies are of the standardized
    weights. Intervals are 95 % intervals from resampling output channels. Several RUNs are shown below
    each other. A RUN may also be a list of runs (runs.toml).
    """
    from recu_analysis.analysis.fits import fit_table

    opened = options.labeled(runs)
    tables = {label: fit_table(run, windows=windows, layers=layers or None, raw=raw) for label, run in opened.items()}
    views = {label: _view(opened[label], table, raw=raw) for label, table in tables.items()}
    write_table(below_each_other(views, "Distributions fitted to the latent weights of {}."), target)
    for label, table in tables.items():
        for row in table[table["note"] != ""].to_dict(orient="records"):
            options.warn(f"layer {row['layer']} of {label}: {row['note']}")
    if raw:
        options.warn("all channels were fitted together as raw weights: their unequal scales look like heavy tails")


def _view(run: Run, table: pd.DataFrame, *, raw: bool) -> View:
    """Three tables of one run in the text, and one in other formats."""
    from recu_analysis.analysis.window_text import end_text

    parts = [(table, _SCALE), (_per_weight(table), _DISTANCES), (table, _ERRORS)]
    return View(
        table,
        _PRINTED,
        above=[
            Aside(_verdict(run, table, raw=raw)),
            f"the weights at the end of {end_text(run, table['window'].iloc[0])}",
        ],
        explained=(*_SCALE, *_DISTANCES[1:], *_ERRORS[1:]),
        lines=lambda width: lines_of_tables(parts, width),
    )


def _verdict(run: Run, table: pd.DataFrame, *, raw: bool) -> str:
    """The verdict on the shapes of the shown layers."""
    from recu_analysis.analysis.ground import Ground
    from recu_analysis.analysis.verdict import of_fit
    from recu_analysis.analysis.window_text import moment_text
    from recu_analysis.theory.intervals import Interval

    shapes = [Interval(*row) for row in table[["shape", "shape_low", "shape_high"]].itertuples(index=False)]
    each = list(table["weights"] / table["channels"].clip(lower=1))
    some = len(table) < len(run.header.layers)
    return of_fit(shapes, each, Ground(moment_text(run, table["window"].iloc[0]), some_layers=some), raw=raw)


def _per_weight(table: pd.DataFrame) -> pd.DataFrame:
    """The table with differences of AIC per weight, since they grow with the size of a layer."""
    weights = table["weights"].clip(lower=1)
    return table.assign(
        **{name: [number(each, ".3f") for each in table[name] / weights] for name in ("aic_normal", "aic_gennorm")}
    )
