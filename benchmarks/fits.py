"""Time of the fits at 11 M weights, beside scipy on the same weights."""

from __future__ import annotations

import numpy as np
from scipy import stats

from benchmarks.timing import ratio_line, take_turns
from recu_analysis.theory import gennorm
from recu_analysis.theory.empirical import differential_entropy, quantized
from recu_analysis.theory.fit import fit, laplace_scale

#: Channels and weights per channel: 11 M weights, as in a ResNet-18.
SHAPE = (4736, 2304)
ROUNDS = 3


def main() -> None:
    """Print the milliseconds of each contestant, and ratios."""
    generator = np.random.default_rng(0)
    weights = stats.gennorm.rvs(1.3, size=SHAPE, random_state=generator).astype(np.float32)
    flat = weights.ravel()
    scale = float(np.abs(flat).mean())
    contestants = {
        "sort alone": lambda: np.sort(flat),
        "shape": lambda: gennorm.shape_estimate(weights),
        "shape with interval": lambda: gennorm.shape(weights),
        "scipy gennorm.fit": lambda: stats.gennorm.fit(flat, floc=0),
        "scale with interval": lambda: laplace_scale(weights),
        "scipy laplace.fit": lambda: stats.laplace.fit(flat, floc=0),
        "whole fit": lambda: fit(weights),
        "scipy kstest to Laplace": lambda: stats.kstest(flat, stats.laplace(scale=scale).cdf, method="asymp"),
        "measured quantization error": lambda: quantized(weights, 0.9),
        "measured entropy": lambda: differential_entropy(np.sort(flat)),
        "scipy differential_entropy": lambda: stats.differential_entropy(flat),
    }
    times = take_turns(contestants, ROUNDS)
    print(f"fits, {flat.size / 1e6:.1f} M weights of float32, {ROUNDS} rounds")
    for name in contestants:
        print(f"  {name:40} {1e3 * np.median(times[name]):8.0f} ms")
    for of, to in (
        ("shape", "scipy gennorm.fit"),
        ("whole fit", "sort alone"),
        ("whole fit", "scipy kstest to Laplace"),
        ("measured entropy", "scipy differential_entropy"),
    ):
        print("  " + ratio_line(times, of, to))


if __name__ == "__main__":
    main()
