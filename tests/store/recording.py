"""Short recordings of one layer with a known walk, written by the writer itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from recu_analysis.store.header import LayerSpec
from recu_analysis.store.writer import RunWriter
from recu_analysis.testing import layer_state, random_walk
from recu_analysis.theory.standardize import WeightTransform

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import numpy as np

    from recu_analysis.store.state import LayerState

#: The weights of layer "a" before the first update and after each.
WALK = random_walk((4, 30), 40, step=0.3)
SPEC = LayerSpec("a", (4, 30), "float32", "test", WeightTransform(center=True))


def writer(path: Path, **more: Any) -> RunWriter:
    """A writer of runs of that layer alone."""
    return RunWriter(path, [SPEC], configuration={}, environment={}, **more)


def record(
    path: Path,
    *spans: tuple[int, int],
    specs: Sequence[LayerSpec] = (SPEC,),
    walk: np.ndarray = WALK,
    resume: int | None = None,
    exact: bool = True,
    partial: bool = False,
    metrics: bool = False,
    change: Callable[[LayerState, int], LayerState] = lambda state, _: state,
) -> Path:
    """One segment of a run: the state that it starts from, then a window a span of updates, first and last."""
    out = RunWriter(path, specs, configuration={}, environment={}, resume=resume, exact=exact)
    start = resume or 0
    for first, last in [(start + 1, start), *spans]:
        states = {spec.name: change(layer_state(walk, first, last, center=True), last) for spec in specs}
        late = partial and last > start
        number = out.write_window(states, first_update=first, last_update=last, partial=late)
        if metrics:
            out.write_metrics({"window": number, "update": last, "epoch": last})
    out.close()
    return path
