"""The table of intervene --continue: how many reflected weights return, beside how many others leave."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recu_analysis.analysis.rendering import ROW, TOTAL, Column
from recu_analysis.cli import options
from recu_analysis.cli.asides import Aside
from recu_analysis.cli.output import View

if TYPE_CHECKING:
    from recu_analysis.intervention.draws import Drawer
    from recu_analysis.store.run import Run
    from recu_analysis.training.trained_run import TrainedRun

_COLUMNS = (
    Column("layer"),
    Column("group"),
    Column("reflected", width=6, meaning="Number of latent weights that were reflected, mean over the continuations."),
    Column(
        "returned_fraction",
        "returned %",
        4,
        ends=12,
        meaning="Of the reflected weights, those that have their earlier sign again at the end.",
    ),
    Column(
        "left_fraction",
        "left %",
        4,
        ends=12,
        meaning="Of the untouched weights, those that have another sign at the end.",
    ),
)
#: With a place for the labels of runs.
CAPTION = "Reflected weights of {} that return, beside untouched ones that leave."


def continued(
    trained: TrainedRun, run: Run, draws: Drawer, epochs: int, share: float, lr: float | None, repeats: int
) -> View:
    """Reflect weights, train on, and return the table."""
    from recu_analysis.analysis.verdict_reasons import of_reflection
    from recu_analysis.theory.intervals import Interval
    from recu_analysis.training.reflection import reflect_and_train

    def tell(done: int, total: int) -> None:
        options.note(f"{done} of {total} epochs done")

    table = reflect_and_train(
        trained, run.path, draws, epochs=epochs, share=share, lr=lr, repeats=repeats, on_epoch=tell
    )
    of_all = table[(table[ROW] == TOTAL) == (table[ROW] == TOTAL).any()]
    returned, left = (
        {
            row["group"]: Interval(row[name], row[f"{name}_low"], row[f"{name}_high"])
            for row in of_all.to_dict("records")
        }
        for name in ("returned_fraction", "left_fraction")
    )
    decay_time = float(table["decay_time"].iloc[0])
    times = f"{repeats} continuation{'s' * (repeats > 1)} of {epochs} epoch{'s' * (epochs > 1)}"
    head = f"{times}, T {decay_time:.2f} each; the group all is a random sample of all weights"
    return View(
        table,
        _COLUMNS,
        rows=of_all.assign(**{str(name): 100.0 * of_all[name] for name in of_all if "_fraction" in str(name)}),
        above=[Aside(of_reflection(returned, left, decay_time)), head],
    )
