"""Flips of ternary and 2-bit weights by noise alone: the null of `levels` on simulated layers, and its bias.

python -m benchmarks.validate_levels [--short]
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.validate_nulls import PROCESSES, WEIGHTS
from recu_analysis.analysis.levels import oscillates
from recu_analysis.analysis.null import LIKE_NOISE
from recu_analysis.theory.levels import Quantizer
from recu_analysis.theory.noise import States, simulate
from recu_analysis.theory.standardize import channel_deviations

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from benchmarks.validate_nulls import Process

    Values = NDArray[np.float64]

#: Quantizers; the step of the last one stays where it is, in standard deviations of the weights at the start.
QUANTIZERS = {
    "BitNet b1.58": Quantizer.bitnet(),
    "ternary, by channel": Quantizer.twn(),
    "2 bits": Quantizer("uniform", -2, 1, group="tensor", step=0.8),
}
#: Processes with noise of one size in the first two, and others.
MOTIONS = (
    "Ornstein-Uhlenbeck",
    "momentum SGD, shipped settings",
    "noise of a minibatch",
    "channels of unequal noise",
    "channels of unequal speed",
)
STATISTICS = ("flips", "back", "oscillating", "silent")
#: Output channels, and repetitions in full and in short.
CHANNELS, FULL, SHORT = 64, 20, 4


@dataclass(frozen=True, slots=True)
class Flips:
    """Flips and flips back per 1000 weights and updates, oscillating and silent weights in %, and mobility."""

    flips: float
    back: float
    oscillating: float
    silent: float
    mobility: float

    @classmethod
    def of(cls, flips: NDArray[np.int64], reversals: NDArray[np.int64], mobility: Values, updates: int) -> Flips:
        """The means over the weights of a layer."""
        often, never = np.mean(oscillates(reversals, updates)), np.mean(flips == 0)
        means = 1e3 * flips.mean() / updates, 1e3 * reversals.mean() / updates, 1e2 * often, 1e2 * never
        return cls(*map(float, (*means, mobility.mean())))


def layer(process: Process, quantizer: Quantizer, generator: np.random.Generator) -> tuple[Flips, Flips]:
    """Move a layer: what a recorder would count, and the null from what it would keep."""
    weights = process.weights(generator.standard_normal, CHANNELS)
    start = end = next(weights)
    state, direction = quantizer.states(start).astype(np.int64), np.zeros(start.shape, np.int64)
    flips, reversals = np.zeros((2, *start.shape), np.int64)
    groups, path = quantizer.groups(start.shape), np.zeros(start.shape)
    z = before = _scores(start, groups)
    for end in weights:
        scores = _scores(end, groups)
        path, before = path + np.abs(scores - before), scores
        now = quantizer.states(end).astype(np.int64)
        turn = np.sign(now - state)
        flips += turn != 0
        reversals += turn * direction < 0
        state, direction = now, np.where(turn, turn, direction)
    wide = [channel_deviations(each.reshape(groups, -1)) for each in (start, end)]
    steps = np.array([quantizer.steps(each)[0] / size for each, size in zip((start, end), wide, strict=True)])
    group = np.arange(start.size) // (start.size // groups)
    states = States(quantizer, steps, np.zeros(groups, np.int64), np.zeros(start.size, np.int8))
    growth, seed, updates = wide[1] / wide[0], int(generator.integers(1 << 31)), process.rates.updates
    found = simulate(z.reshape(-1), growth, group, [process.rates], states=states, seed=seed)
    null = Flips.of(found.flips, found.reversals, found.mobility, updates)
    return Flips.of(flips, reversals, path / updates, updates), null


def _scores(weights: Values, groups: int) -> Values:
    """Weights over the standard deviation of their scale group."""
    rows = weights.reshape(groups, -1)
    scores: Values = (rows / channel_deviations(rows)[:, None]).reshape(weights.shape)
    return scores


def main(arguments: Sequence[str]) -> None:
    """Print a table for every process and quantizer."""
    repetitions = SHORT if "--short" in arguments else FULL
    print(f"flips of weights by noise alone, {repetitions} layers of {CHANNELS} x {WEIGHTS} weights each: what was")
    print(
        "counted, the null, and null / counted - 1 in % with its standard error; flips and flips back per 1000 weights"
    )
    print("and updates; known: the share of the layers of which levels would show the null, by their mobility")
    print(f"  {'':52}" + "".join(f"{name:>26}" for name in (*STATISTICS, "known")))
    for name in MOTIONS:
        for rule, quantizer in QUANTIZERS.items():
            generator = np.random.default_rng(0)
            pairs = [layer(PROCESSES[name], quantizer, generator) for _ in range(repetitions)]
            known = np.mean([LIKE_NOISE[0] <= ours.mobility / null.mobility <= LIKE_NOISE[1] for ours, null in pairs])
            cells = "".join(_cell(statistic, pairs) for statistic in STATISTICS)
            print(f"  {name:31}{rule:21}{cells}{known:26.2f}", flush=True)


def _cell(statistic: str, pairs: Sequence[tuple[Flips, Flips]]) -> str:
    """The mean of a number, that of its null, and how far the null is off, in per cent."""
    true, null = (np.array([getattr(pair[at], statistic) for pair in pairs]) for at in (0, 1))
    off, error = null.mean() / true.mean() - 1.0, (null - true).std(ddof=1) / math.sqrt(true.size) / true.mean()
    return f"{true.mean():7.2f}{null.mean():7.2f}{100 * off:+6.1f} +-{100 * error:3.1f}"


if __name__ == "__main__":
    main(sys.argv[1:])
