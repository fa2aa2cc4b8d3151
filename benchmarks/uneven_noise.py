"""Silence beside its nulls where noise has no single size, or the tail of a layer is dead.

python -m benchmarks.uneven_noise [--short]
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.validate_nulls import SHIPPED, deviations, scores
from recu_analysis.analysis.deadness import TAIL_TAU, tail_mask
from recu_analysis.theory.inheritance import UpdateRule
from recu_analysis.theory.noise import Rates, simulate

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    Values = NDArray[np.float64]
    Mask = NDArray[np.bool_]

CHANNELS, WEIGHTS, UPDATES, SETTLING = 32, 288, 600, 100
FULL, SHORT = 3, 1
RULE = UpdateRule(0.9)
#: What makes noise of variance 1 keep weights of variance 1, see `benchmarks.validate_nulls.momentum_sgd`.
SIZE = math.sqrt(2.0 * SHIPPED["lr"] * SHIPPED["weight_decay"] * (1.0 - 0.9)) / SHIPPED["lr"]


def steady(_passed: float) -> float:
    """Noise of one size."""
    return 1.0


def everyone(_tail: Mask, _generator: np.random.Generator) -> Values | float:
    """The same for all weights."""
    return 1.0


@dataclass(frozen=True, slots=True)
class Motion:
    """How weights move in a window, after they settled.

    Attributes
    ----------
    size : callable
        Size of the noise, of the share of the updates that have passed.
    felt : callable
        Factor on the noise of each weight, from the tail.
    still : callable
        1 for weights that do not move at all, from the tail.
    drawn : float
        Part of what decay takes from the tail that gradients restore.
    settles : bool
        Whether the factor on the noise acts before the window, too.
    """

    size: Callable[[float], float] = steady
    felt: Callable[[Mask, np.random.Generator], Values | float] = everyone
    still: Callable[[Mask, np.random.Generator], Values | float] = lambda _tail, _generator: 0.0
    drawn: float = 0.0
    settles: bool = False


MOTIONS = {
    "noise of one size": Motion(),
    "noise that falls to a four-hundredth": Motion(size=lambda passed: 4.0 * math.exp(-6.0 * passed)),
    "noise in bursts": Motion(size=lambda passed: 3.0 if int(30.0 * passed) % 5 == 0 else 0.2),
    "weights of unequal noise": Motion(felt=lambda _, draw: np.exp(draw.normal(size=(1, WEIGHTS))), settles=True),
    "half of the weights without noise": Motion(
        felt=lambda _, draw: (draw.random((1, WEIGHTS)) < 0.5).astype(np.float64), settles=True
    ),
    "the tail stands still": Motion(still=lambda tail, _: tail.astype(np.float64)),
    "tail and a third of the core stand still": Motion(
        still=lambda tail, draw: (tail | (draw.random(tail.shape) < 0.3)).astype(np.float64)
    ),
    "the tail is drawn to where it was": Motion(drawn=1.0),
    "the tail gets no gradient, and decays": Motion(felt=lambda tail, _: (~tail).astype(np.float64)),
}


def measured(motion: Motion, seed: int) -> tuple[float, ...]:
    """Core's mobility over its null, the share of the tail that is silent, and that under noise of both sizes."""
    draw = np.random.default_rng(seed)
    matrix = RULE.matrix(SHIPPED["lr"], SHIPPED["weight_decay"])
    gain = RULE.gain(SHIPPED["lr"])
    w, m = draw.normal(size=(CHANNELS, WEIGHTS)), np.zeros((CHANNELS, WEIGHTS))
    felt = motion.felt(np.zeros(w.shape, np.bool_), draw) if motion.settles else 1.0
    for _ in range(SETTLING):
        push = SIZE * felt * draw.normal(size=w.shape)
        w, m = (
            matrix[0, 0] * w + matrix[0, 1] * m + gain[0] * push,
            matrix[1, 0] * w + matrix[1, 1] * m + gain[1] * push,
        )
    start, momentum = w, math.sqrt((m**2).mean() / (w**2).mean())
    z = before = scores(start)
    tail = tail_mask(z.reshape(-1), TAIL_TAU).reshape(z.shape)
    felt = felt if motion.settles else motion.felt(tail, draw)
    still = np.broadcast_to(motion.still(tail, draw), z.shape) > 0.0
    silent, path = np.ones(z.shape, np.bool_), np.zeros(z.shape)
    for update in range(UPDATES):
        push = SIZE * motion.size((update + 1) / UPDATES) * felt * draw.normal(size=w.shape)
        push = push - motion.drawn * SHIPPED["weight_decay"] * start * tail
        moved = matrix[0, 0] * w + matrix[0, 1] * m + gain[0] * push
        m = np.where(still, 0.0, matrix[1, 0] * w + matrix[1, 1] * m + gain[1] * push)
        w = np.where(still, w, moved)
        now = scores(w)
        silent &= (now < 0.0) == (before < 0.0)
        path += np.abs(now - before)
        before = now
    rates = [Rates(RULE, **SHIPPED, updates=UPDATES)]
    channel = np.repeat(np.arange(CHANNELS), WEIGHTS)
    growth, far, core = deviations(w) / deviations(start), tail.reshape(-1), path[~tail] / UPDATES
    first = simulate(z.reshape(-1), growth, channel, rates, momentum=momentum, seed=seed)
    usual = first.mobility[~far[first.chosen]].mean()
    second = simulate(z.reshape(-1), growth, channel, rates, momentum=momentum, pace=core / usual, seed=seed)
    nulls = [float((each.flips[far[each.chosen]] == 0).mean()) for each in (first, second)]
    return float(core.mean() / usual), float(silent[tail].mean()), *nulls


def main(arguments: Sequence[str]) -> None:
    """Print a line for each motion."""
    print("silent tail beside noise of two sizes: by the standard deviations, and by the mobility of the core")
    print(f"  {'':42}{'core / null':>12}{'silent tail':>12}{'first':>8}{'second':>8}")
    for name, motion in MOTIONS.items():
        rows = [measured(motion, seed) for seed in range(SHORT if "--short" in arguments else FULL)]
        pace, *shares = np.mean(rows, axis=0)
        print(f"  {name:42}{pace:12.2f}{shares[0]:12.3f}{shares[1]:8.3f}{shares[2]:8.3f}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
