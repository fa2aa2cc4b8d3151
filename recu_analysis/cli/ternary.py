"""The table and the figure of recu-analyze tradeoff --levels 3: ternary weights over their threshold."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recu_analysis.analysis.rendering import Column
from recu_analysis.analysis.ternary import ternary_tradeoff
from recu_analysis.cli import options
from recu_analysis.cli.output import View, write_table
from recu_analysis.theory.ternary import ABSMEAN, DISTRIBUTIONS, best_threshold

if TYPE_CHECKING:
    from pathlib import Path

    from recu_analysis.cli.target import Target


def write_ternary(
    threshold: tuple[float, float],
    scales: tuple[float, ...],
    points: int,
    figure: Path | None,
    target: Target,
) -> None:
    """Write the table; draw the figure first, if one is asked for."""
    table = ternary_tradeoff(threshold, scales, points)
    if figure is not None:
        _draw(figure, threshold)
    best = ", ".join(f"{best_threshold(name):.3f} ({name})" for name in DISTRIBUTIONS)
    notes = [
        f"the error with the best scale is least at a threshold of {best}",
        f"BitNet b1.58 has the threshold {ABSMEAN:g} and the scale mean |w| (absmean); at 0 the weights are binary",
    ]
    caption = "Quantization error and entropy of ternary weights over the threshold."
    write_table(View(table, _COLUMNS, caption=caption, below=notes), target)


def _draw(path: Path, threshold: tuple[float, float]) -> None:
    """Draw both panels into a file, with data, LaTeX and provenance beside it."""
    from recu_analysis.errors import InputError
    from recu_analysis.figures.drawing import provenance, save_figure
    from recu_analysis.figures.ternary import FIGURE, closed_forms, draw

    if threshold[0] == threshold[1]:
        raise InputError(
            f"a figure over the threshold needs two ends, not {threshold[0]:g} twice; give --threshold LO HI with LO "
            "below HI"
        )
    typed = "recu-analyze tradeoff --levels 3 --threshold {:g} {:g}".format(*threshold)
    files = save_figure(
        lambda: draw(closed_forms(threshold)),
        path.stem,
        path.parent,
        FIGURE.caption,
        provenance({}, typed),
        formats=(path.suffix.removeprefix("."),),
    )
    options.note(f"drew {files[0]}, with data (csv), LaTeX (tex) and provenance (json) beside it")


_COLUMNS = (
    Column("distribution", width=12),
    Column("b", width=6, meaning="Mean |w| of the distribution."),
    Column("threshold", width=9),
    Column("zeros", width=6),
    Column("ternary_scale", width=6),
    Column("qe_ternary", "best", 7, group="QE"),
    Column("qe_absmean", "absmean", 7, group="QE"),
    Column("qe_binary", "signs", 7, group="QE"),
    Column("state_entropy", "entropy", 7),
)
