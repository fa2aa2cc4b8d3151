"""Every public function that returns a table, called on small runs: which columns it has is seen, not written down."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import recu_analysis as ra
from recu_analysis.testing import synthetic_run

if TYPE_CHECKING:
    import pandas as pd

#: A run that logged its accuracies, which a synthetic one does not.
TRAINED = Path(__file__).parents[1] / "checkpoints" / "mask" / "baseline"


@cache
def columns() -> dict[str, list[str]]:
    """The columns of every table by the name of its function, those that only some arguments give last."""
    with TemporaryDirectory() as folder:
        found = tables(Path(folder))
        return {name: list(dict.fromkeys(str(column) for table in parts for column in table)) for name, parts in found}


def tables(folder: Path) -> list[tuple[str, list[pd.DataFrame]]]:
    """The name of every function with a table, or with one for each of the arguments that change its columns."""
    run, other = (ra.open_run(synthetic_run(folder / str(seed), seed=seed).path) for seed in (0, 5))
    both = {"a": run, "b": other}
    stats = synthetic_run(folder / "stats", gradient_stats=True).path
    small = intervened(folder / "small")
    traced = synthetic_run(folder / "traced", traces=2).path
    levels = ternary(folder / "ternary")
    return [
        ("layer_table", [ra.layer_table(run), ra.layer_table(run, network=True), ra.layer_table(run, long=True)]),
        ("dead_weights", [ra.dead_weights(run)]),
        ("dead_weights_over_seeds", [ra.dead_weights_over_seeds(both)]),
        ("tails", [ra.tails(run)]),
        ("by_magnitude", [ra.by_magnitude(run)]),
        ("flip_table", [ra.flip_table(run)]),
        ("levels", [ra.levels(levels)]),
        ("state_transitions", [ra.state_transitions(levels)]),
        ("fit_table", [ra.fit_table(run)]),
        ("cohorts", [ra.cohorts(run, windows="1:")]),
        ("transitions", [ra.transitions(run)]),
        ("earned", [ra.earned(run), ra.earned(run, network=True)]),
        ("earned_over_seeds", [ra.earned_over_seeds(both)]),
        ("causes", [ra.causes(stats, windows="3:")]),
        ("causes_over_seeds", [ra.causes_over_seeds(stats, windows="3:")]),
        ("survival", [ra.survival(run)]),
        ("traces", [ra.traces(traced)]),
        ("compare", [ra.compare(both)]),
        ("over_seeds", [ra.over_seeds(both)]),
        ("paired_differences", [ra.paired_differences(both)]),
        ("layer_differences", [ra.layer_differences(both)]),
        ("curves", [ra.curves({"trained": ra.open_run(TRAINED)})]),
        ("tradeoff", [ra.tradeoff(epochs=3)]),
        ("ternary_tradeoff", [ra.ternary_tradeoff(points=3)]),
        ("measured_tradeoff", [ra.measured_tradeoff(run)]),
        ("plan", [ra.plan(lr=0.1, weight_decay=0.01, epochs=3, updates_per_epoch=20)]),
        ("claims", [ra.claims(run)]),
        ("intervene", [small]),
        ("rises_over_seeds", [ra.rises_over_seeds({"small": folder / "small"}, {"small": small})]),
    ]


def ternary(folder: Path) -> Path:
    """The run of one small ternary layer."""
    import torch

    class Ternary(torch.nn.Linear):
        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            mean = self.weight.abs().mean()
            used = (self.weight / mean).round().clamp(-1, 1) * mean
            return torch.nn.functional.linear(inputs, self.weight + (used - self.weight).detach())

    ra.adapter("ternary", Ternary)(lambda module: ra.Quantizer("uniform", rule="absmean", group="tensor"))
    torch.manual_seed(0)
    model = Ternary(8, 4)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, weight_decay=0.1)
    with ra.record(model, optimizer, folder) as recorder:
        model(torch.randn(6, 8)).square().sum().backward()
        optimizer.step()
        recorder.mark(epoch=0)
    return folder


def intervened(folder: Path) -> pd.DataFrame:
    """The table of `intervene` for a network of one small layer."""
    import torch

    from recu_analysis.nn import BinaryLinear

    torch.manual_seed(0)
    model = torch.nn.Sequential(BinaryLinear(8, 4), torch.nn.BatchNorm1d(4))
    inputs = torch.randn(6, 8)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, weight_decay=0.1)
    with ra.record(model, optimizer, folder) as recorder:
        model(inputs).square().sum().backward()
        optimizer.step()
        recorder.mark(epoch=0)
    return ra.intervene(model, folder, lambda given: given(inputs).sum(dim=1), repeats=1)
