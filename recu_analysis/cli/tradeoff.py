"""recu-analyze tradeoff: quantization error and entropy over tau, in closed form and measured on a run's layers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from recu_analysis.analysis.rendering import Column
from recu_analysis.cli import options
from recu_analysis.cli.output import View, table_lines, write_table
from recu_analysis.cli.target import table_target

if TYPE_CHECKING:
    import pandas as pd

    from recu_analysis.cli.target import Target
    from recu_analysis.store.run import Run

#: Default number of levels for a run, where each level takes time, and for the closed forms.
MEASURED_POINTS = 8
POINTS = 15
#: Default number of thresholds of ternary weights: from 0 to 2 in steps of a quarter, with BitNet's 0.5.
TERNARY_POINTS = 9


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
@click.option(
    "--points",
    type=int,
    help=f"Number of rows, with both ends; by default {POINTS}, {MEASURED_POINTS} for --run, {TERNARY_POINTS} for "
    "--levels 3.",
)
@click.option(
    "--levels",
    type=click.Choice(["2", "3"]),
    default="2",
    show_default=True,
    help="Number of states of a weight: 3 shows ternary weights over their threshold, without a clamp.",
)
@click.option(
    "--threshold",
    type=float,
    nargs=2,
    default=(0.0, 2.0),
    show_default=True,
    metavar="LO HI",
    help="With --levels 3: first and last threshold, in means of |w|.",
)
@click.option("--epochs", type=int, help="Use the levels of the schedule (Eq. 24) over this number of epochs instead.")
@click.option(
    "--run",
    type=click.Path(path_type=Path),
    callback=options.no_list,
    help="Also measure this run's layers.",
)
@options.windows_end_option
@options.layer_option
@click.option(
    "--figure",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Draw into FILE (pdf, png or svg), with data, LaTeX and provenance beside it.",
)
@table_target
@options.common
def command(
    tau: tuple[float, float],
    scales: tuple[float, ...],
    points: int | None,
    levels: str,
    threshold: tuple[float, float],
    epochs: int | None,
    run: Path | None,
    windows: slice | None,
    layers: tuple[str, ...],
    figure: Path | None,
    target: Target,
) -> None:
    """Print quantile, alpha, three quantization errors and entropy of Laplace weights after ReCU, over tau.

    Exact: the error against the clamped weights. Printed: the paper's Eq. 14 as printed; its minimum at 0.82 comes from
    a sign error. Latent: the error against the weights before the clamp. Entropy: Eq. 17, in nats.

    With --levels 3: zeros, best scale, quantization error and entropy of ternary weights over their threshold, for
    Laplace and normal weights.
    """
    three = {"needing": ["threshold"], "excluded": ["tau", "epochs", "run", "windows", "layers"]}
    options.check_heeded("--levels 3", levels == "3", **three)
    if points is not None and epochs is not None:
        raise click.UsageError("--points and --epochs exclude each other; give one of them")
    if layers and run is None:
        raise click.UsageError("--layer chooses layers of a run; give the run with --run")
    if windows is not None and run is None:
        raise click.UsageError("--windows chooses windows of a run; give the run with --run")
    if figure is not None:
        _check_ending(figure)
    if levels == "3":
        from recu_analysis.cli.ternary import write_ternary

        write_ternary(threshold, scales, TERNARY_POINTS if points is None else points, figure, target)
        return
    from recu_analysis.analysis.tradeoff import tradeoff

    table = tradeoff(tau, scales, POINTS if points is None else points, epochs=epochs)
    opened, measured = None, None
    if run is not None:
        from recu_analysis.analysis.measured import measured_tradeoff_query

        opened = options.opened(run)
        query = measured_tradeoff_query(opened, tau, points or MEASURED_POINTS, layers=layers or None, windows=windows)
        measured = options.answered(query, [opened], measured=True)
    if figure is not None:
        typed = _typed(tau, scales, epochs, opened, windows)
        _draw(figure, typed, tau, scales, table if epochs is not None else None, opened, measured)
    write_table(_view(table, opened, measured), target)


def _check_ending(path: Path) -> None:
    """Wrong usage if the name of a figure's file does not end in a format."""
    from recu_analysis.errors import InputError
    from recu_analysis.figures.print.export import check_formats

    if not path.suffix:
        raise click.BadParameter(
            f"the name {path} has no ending for the format; end it in .pdf, .png or .svg", param_hint="--figure"
        )
    try:
        check_formats((path.suffix.removeprefix("."),))
    except InputError as error:
        raise click.BadParameter(str(error), param_hint="--figure") from None


def _joined(closed: pd.DataFrame, measured: pd.DataFrame) -> pd.DataFrame:
    """One table: the closed forms, whose column layer is empty, then the measured rows."""
    import pandas as pd

    return pd.concat([closed.assign(layer=""), measured], ignore_index=True)[
        ["layer", *(name for name in closed), *(name for name in measured if name not in closed and name != "layer")]
    ]


def _typed(
    tau: tuple[float, float], scales: tuple[float, ...], epochs: int | None, run: Run | None, windows: slice | None
) -> str:
    """The command for the provenance of a figure, without the folder of the run."""
    from recu_analysis.analysis.selection import span_text

    typed = "recu-analyze tradeoff --tau {:g} {:g}".format(*tau) + "".join(f" --b {b:g}" for b in scales)
    typed += f" --epochs {epochs}" if epochs is not None else ""
    typed += f" --run {run.path.name}" if run is not None else ""
    return typed + (f" --windows {span_text(windows)}" if windows is not None else "")


def _draw(
    path: Path,
    typed: str,
    tau: tuple[float, float],
    scales: tuple[float, ...],
    marked: pd.DataFrame | None,
    run: Run | None,
    measured: pd.DataFrame | None,
) -> None:
    """Draw the three panels into a file, with a note."""
    from recu_analysis.errors import InputError
    from recu_analysis.figures.drawing import provenance, save_figure
    from recu_analysis.figures.tradeoff import TRADEOFF_CAPTION, Tradeoff, curves, draw

    if tau[0] == tau[1]:
        raise InputError(f"a figure over tau needs two ends, not {tau[0]:g} twice; give --tau LO HI with LO below HI")
    runs = {run.path.name: run} if run is not None else {}
    caption = TRADEOFF_CAPTION
    if marked is not None:
        caption += " Diamonds: epochs of the schedule (Eq. 24)."
    if measured is not None:
        window = measured["window"].iloc[0]
        caption += f" Circles: layers of a run after window {window}, clamped at the quantile of their own scale."
    files = save_figure(
        lambda: draw(Tradeoff(curves(tau, scales), marked, measured)),
        path.stem,
        path.parent,
        caption,
        provenance(runs, typed),
        formats=(path.suffix.removeprefix("."),),
    )
    options.note(f"drew {files[0]}, with data (csv), LaTeX (tex) and provenance (json) beside it")


def _some_epochs(closed: pd.DataFrame) -> pd.DataFrame:
    """The closed forms at no more than `POINTS` epochs of a schedule, with the first and the last."""
    if "epoch" not in closed:
        return closed
    last = int(closed["epoch"].max())
    return closed[closed["epoch"].isin({round(last * step / (POINTS - 1)) for step in range(POINTS)})]


def _view(closed: pd.DataFrame, run: Run | None, measured: pd.DataFrame | None) -> View:
    """The closed forms; with a run, the measurements of its layers below them."""
    from recu_analysis.analysis.window_text import end_text

    caption = "Quantization error and entropy of Laplace weights over tau."
    forms = [column for column in _CLOSED if column.name in closed]
    some = _some_epochs(closed)
    left_out = []
    if len(some) < len(closed):
        left_out = [f"{some['epoch'].nunique()} of {closed['epoch'].nunique()} epochs are shown; CSV and JSON have all"]
    if run is None or measured is None:
        return View(closed, forms, some, caption=caption, below=left_out)
    end = end_text(run, int(measured["window"].iloc[0]))
    note = (
        f"measured at the end of {end}: weights after the layer's standardization, "
        "clamped at the Laplace quantile of their own b_hat; Laplace: the value for Laplace weights of that scale"
    )
    printed = [Column(name) for name in ("layer", "tau", "b", "alpha", "qe_exact", "entropy")]
    printed += [Column(name) for name in ("alpha_measured", "qe_measured", "entropy_measured")]
    return View(
        _joined(closed, measured),
        printed,
        _joined(some, measured),
        caption=f"{caption.removesuffix('.')}, and measured on {run.path.name}.",
        runs=[run.path.name],
        below=[*left_out, note],
        explained=(*forms, *_MEASURED),
        lines=lambda width: [*table_lines(some, forms, width), "", *table_lines(measured, _MEASURED, width)],
    )


#: Columns of the closed forms; `epoch` is there for levels of a schedule.
_CLOSED = (
    Column("epoch", width=5),
    Column("tau", width=6),
    Column("b", width=6),
    Column("quantile", width=8),
    Column("alpha", width=6),
    Column("qe_exact", "exact", 8, group="QE"),
    Column("qe_printed", "printed", 8, group="QE"),
    Column("qe_latent", "latent", 8, group="QE"),
    Column("entropy", width=7),
)
#: Columns of a run's layers, beside the closed form for Laplace weights with the same mean absolute value.
_MEASURED = (
    Column("layer"),
    Column("tau", width=6),
    Column("b", "b_hat", 6, meaning="Scale of the layer's weights, mean |w~|."),
    Column("alpha_measured", "meas.", 7, group="alpha"),
    Column("alpha", "Laplace", 7, group="alpha"),
    Column("qe_measured", "meas.", 7, group="QE"),
    Column("qe_exact", "Laplace", 7, group="QE"),
    Column("entropy_measured", "meas.", 7, group="entropy"),
    Column("entropy", "Eq. 17", 7, group="entropy"),
)
