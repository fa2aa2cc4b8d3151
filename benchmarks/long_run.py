"""A synthetic run directory as large as that of a long training, only for timing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from recu_analysis.store.header import LayerSpec, LayerWindow
from recu_analysis.store.state import LayerState
from recu_analysis.store.writer import RunWriter
from recu_analysis.theory.standardize import WeightTransform

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

#: The binary convolutions of a ResNet-18: 16 layers of 3x3, 11 M weights.
SHAPES = [
    *[(64, 64, 3, 3)] * 4,
    (128, 64, 3, 3),
    *[(128, 128, 3, 3)] * 3,
    (256, 128, 3, 3),
    *[(256, 256, 3, 3)] * 3,
    (512, 256, 3, 3),
    *[(512, 512, 3, 3)] * 3,
]
#: Those of a ResNet-20: 18 layers, 0.27 M weights.
SMALL_SHAPES = [
    *[(16, 16, 3, 3)] * 6,
    (32, 16, 3, 3),
    *[(32, 32, 3, 3)] * 5,
    (64, 32, 3, 3),
    *[(64, 64, 3, 3)] * 5,
]
UPDATES = 100  # per window
STEP = 0.2  # movement of every weight in a window, in standard deviations
FLIPPED = 0.03


def write_long_run(path: Path, windows: int, shapes: Sequence[tuple[int, ...]] = SHAPES) -> None:
    """Write a run with the given number of windows, by default of 11 M weights; 3 % of them flip in each window."""
    generator = np.random.default_rng(0)
    transform = WeightTransform(center=True, target=2.0, clamp=True)
    specs = [LayerSpec(f"layer{index}", shape, "float32", "made", transform) for index, shape in enumerate(shapes)]
    pool = generator.standard_normal(max(spec.weights for spec in specs) * 2, dtype=np.float32)
    weights = {spec.name: _noise(pool, spec, generator) for spec in specs}
    writer = RunWriter(path, specs, configuration={"network": "made"}, environment={})
    for number in range(windows + 1):
        last = number * UPDATES
        first = last - UPDATES + 1 if number else 1
        states = {}
        for spec in specs:
            noise = _noise(pool, spec, generator) * np.float32(STEP)
            if number:
                weights[spec.name] = weights[spec.name] * np.float32(np.sqrt(1 - STEP**2)) + noise
            states[spec.name] = _state(spec, weights[spec.name], np.abs(noise), first, last, generator)
        writer.write_window(states, first_update=first, last_update=last)
        writer.flush()
    writer.close()


def _noise(pool: Floats, spec: LayerSpec, generator: np.random.Generator) -> Floats:
    """Noise from a random place in a pool, which is faster than new noise."""
    start = int(generator.integers(pool.size - spec.weights))
    return pool[start : start + spec.weights].reshape(spec.shape)


def _state(
    spec: LayerSpec, weight: Floats, path: Floats, first: int, last: int, generator: np.random.Generator
) -> LayerState:
    updates = last - first + 1
    share = FLIPPED if updates else 0.0
    flipped = np.flatnonzero(generator.random(spec.weights, dtype=np.float32) < share).astype(np.uint32)
    numbers = np.full(flipped.size, last, np.uint32)
    zero = np.float32(0 if updates == 0 else 1)
    return LayerState(
        LayerWindow(first, updates, 0.1 * updates, 1e-4 * updates, 1e-3 * updates, 0.9),
        {
            "weight": weight,
            "path": path * zero,
            "zpath": path * zero,
            "flipped": flipped,
            "flips": np.ones(flipped.size, np.uint32),
            "first_flip": numbers,
            "last_flip": numbers,
        },
    )
