"""How often the 95 % interval of `recu-analyze intervene` holds the true rise, on simulated losses.

python -m benchmarks.interventions
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from recu_analysis.intervention.rise import rise

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: What varies: standard deviations of the parts of a difference that belong to the image, to the draw, and to neither.
PARTS = {
    "images": (1.0, 0.0, 0.0),
    "images, little else": (1.0, 0.02, 0.5),
    "images and draws alike": (1.0, 0.1, 1.0),
    "draws more": (1.0, 0.4, 1.0),
    "draws": (0.0, 0.1, 0.0),
    "the rest": (0.2, 0.01, 3.0),
}
#: Numbers of draws, of images, and simulations of each.
DRAWS, IMAGES, REPETITIONS = (2, 3, 5, 10), 100, 4000


def main() -> None:
    """Print the coverage by what varies and by the number of draws."""
    generator = np.random.default_rng(0)
    error = np.sqrt(0.05 * 0.95 / REPETITIONS)
    print(f"95 % intervals of the rise that hold the true one ({IMAGES} images, skewed losses; error {error:.3f})")
    print(f"  {'what varies':24}" + "".join(f"{draws:>4} draws" for draws in DRAWS))
    for name, parts in PARTS.items():
        found = [coverage(generator, parts, draws) for draws in DRAWS]
        print(f"  {name:24}" + "".join(f"{each:10.3f}" for each in found), flush=True)


def coverage(
    generator: np.random.Generator, parts: tuple[float, float, float], draws: int, repetitions: int = REPETITIONS
) -> float:
    """Share of simulated tables of losses whose interval holds the true rise, 0."""
    held = 0
    for _ in range(repetitions):
        found = rise(differences(generator, parts, draws))
        held += found["rise_low"] <= 0.0 <= found["rise_high"]
    return held / repetitions


def differences(generator: np.random.Generator, parts: tuple[float, float, float], draws: int) -> NDArray[np.float64]:
    """Differences of losses without a mean, shape (draws, images); those of images are skewed, as losses are."""
    image, draw, rest = parts
    found = image * (generator.exponential(size=IMAGES) - 1.0) + draw * generator.normal(size=(draws, 1))
    return found + rest * (generator.exponential(size=(draws, IMAGES)) - 1.0)


if __name__ == "__main__":
    main()
