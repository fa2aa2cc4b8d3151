"""Time of the per-update kernels at 11 M weights, beside plain torch operations, other trackers and a memory copy."""

from __future__ import annotations

import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from benchmarks.timing import ratio_line, take_turns
from recu_analysis.capture.accumulate import CpuAccumulator, DeviceAccumulator
from recu_analysis.capture.gradient_sums import GradientStats, UpdateOf
from recu_analysis.capture.kernel import FOLD_EVERY
from recu_analysis.capture.levels import CpuLevels, DeviceLevels
from recu_analysis.capture.recorded_rows import RecordedRows
from recu_analysis.capture.steps import steps_of
from recu_analysis.store.header import LayerSpec, LayerWindow
from recu_analysis.store.state import LayerState
from recu_analysis.store.writer import RunWriter
from recu_analysis.theory.inheritance import UpdateRule
from recu_analysis.theory.levels import Quantizer
from recu_analysis.theory.standardize import WeightTransform

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

#: The binary convolutions of a ResNet-18: 16 layers of 3x3.
SHAPES = [
    *[(64, 64)] * 4,
    (128, 64),
    *[(128, 128)] * 3,
    (256, 128),
    *[(256, 256)] * 3,
    (512, 256),
    *[(512, 512)] * 3,
]
ROUNDS = 15
#: Bytes that the kernel moves for a weight: it reads the new value; reads and writes the old one, and the remainders of
#: path and zpath; and every `FOLD_EVERY` updates also their sums. A copy reads 4 and writes 4.
MOVED, COPIED = 4 + 3 * 8 + 2 * 8 / FOLD_EVERY, 8
#: Weights with more than two levels.
QUANTIZERS = Quantizer.bitnet(), Quantizer.bitnet("channel"), Quantizer.of_bits(4, rule="maxabs", group="channel")
#: Size of an update in standard deviations; it flips 0.2 % of the weights, as in the middle of a training.
STEP = 0.005


class FlipRatio:
    """Larq's metric of the same name for one layer: the mean of sign changes since the update before."""

    def __init__(self, weight: torch.Tensor) -> None:
        self.before = weight.sign()
        self.ratio = torch.zeros(())

    def update(self, weight: torch.Tensor) -> None:
        """Add an update."""
        now = weight.sign()
        self.ratio += (now != self.before).float().mean()
        self.before.copy_(now)


class OscillationFrequency:
    """State of oscillation trackers (Nagel et al., ICML 2022): direction of the last switch, average of returns."""

    def __init__(self, weight: torch.Tensor) -> None:
        self.before = weight.sign()
        self.direction, self.average = torch.zeros_like(weight), torch.zeros_like(weight)

    def update(self, weight: torch.Tensor) -> None:
        """Add an update."""
        now = weight.sign()
        direction = (now - self.before).sign()
        switched = direction != 0
        returned = switched & (direction == -self.direction)
        self.average.mul_(0.99).add_(returned.float(), alpha=0.01)
        self.direction = torch.where(switched, direction, self.direction)
        self.before = now


def main() -> None:
    """Print nanoseconds per weight and update, ratios, and bytes per weight in memory and on disk."""
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    weights = [torch.randn(*shape, 3, 3, generator=generator) for shape in SHAPES]
    count = sum(weight.numel() for weight in weights)
    fused = [CpuAccumulator(weight, center=True) for weight in weights]
    plain = [DeviceAccumulator(weight, center=True) for weight in weights]
    copies = [weight.clone() for weight in weights]
    ternary, channels, four_bits = (_with_levels(CpuLevels, weights, each) for each in QUANTIZERS)
    plain_ternary = _with_levels(DeviceLevels, weights, QUANTIZERS[0])
    larq, oscillations = [FlipRatio(weight) for weight in weights], [OscillationFrequency(w) for w in weights]
    shared = [CpuAccumulator(weight, center=True) for weight in weights]
    stats = [
        GradientStats(spec, weight.flatten(1), RecordedRows(spec.shape), rounds=False)
        for spec, weight in zip(_specs(weights), weights, strict=True)
    ]
    update = UpdateOf(UpdateRule(momentum=0.9), 0.1, 5e-4, {}, {}, first=False, done=False, divisor=1.0)
    for each in stats:
        each.begin(None, update.rule)
    pool = ThreadPoolExecutor(2)
    contestants = {
        "fused kernel": lambda: [sums.advance(weight, 1) for sums, weight in zip(fused, weights, strict=True)],
        "fused, two threads": lambda: list(pool.map(lambda s, w: s.advance(w, 1), shared, weights)),
        "ternary, a tensor": lambda: [sums.advance(w, 1) for sums, w in zip(ternary, weights, strict=True)],
        "ternary, channels": lambda: [sums.advance(w, 1) for sums, w in zip(channels, weights, strict=True)],
        "4 bits, channels": lambda: [sums.advance(w, 1) for sums, w in zip(four_bits, weights, strict=True)],
        "ternary, plain torch": lambda: [sums.advance(w, 1) for sums, w in zip(plain_ternary, weights, strict=True)],
        "plain torch operations": lambda: [sums.advance(w, 1) for sums, w in zip(plain, weights, strict=True)],
        "flips alone, as Larq": lambda: [each.update(w) for each, w in zip(larq, weights, strict=True)],
        "oscillations alone": lambda: [each.update(w) for each, w in zip(oscillations, weights, strict=True)],
        "gradient-stats": lambda: [s.add(w, update, s.sums["grad"]) for s, w in zip(stats, weights, strict=True)],
        "memory copy": lambda: [copy.copy_(weight) for copy, weight in zip(copies, weights, strict=True)],
    }

    def move() -> None:
        for weight in weights:
            weight.add_(torch.randn(weight.shape, generator=generator), alpha=STEP)

    times = take_turns({"(an update of the weights)": move, **contestants}, ROUNDS)
    what = f"{count / 1e6:.1f} M weights in {len(SHAPES)} layers"
    print(f"per-update kernel, {what}, one thread if not said, {ROUNDS} rounds")
    for name in contestants:
        print(f"  {name:24} {1e9 * sorted(times[name])[ROUNDS // 2] / count:6.2f} ns a weight and update")
    pool.shutdown()
    others = ("plain torch operations", "flips alone, as Larq", "oscillations alone", "memory copy")
    ours = ("fused, two threads", "ternary, a tensor", "ternary, channels", "4 bits, channels", "gradient-stats")
    pairs = [*(("fused kernel", each) for each in others), *((each, "fused kernel") for each in ours)]
    for of, to in (*pairs, ("ternary, a tensor", "ternary, plain torch")):
        print("  " + ratio_line(times, of, to))
    print(f"  the fused kernel moves {MOVED:.0f} bytes a weight and update, {MOVED / COPIED:.2f} times those of a copy")
    memory = sum(array.nbytes for sums in fused for array in _arrays(vars(sums)))
    print(f"  memory added while recording: {memory / count:.1f} bytes a weight")
    more = sum(tensor.nbytes for sums in stats for tensor in sums.state().values())
    print(f"  memory added by gradient-stats: {more / count:.1f} bytes a weight")
    print(f"  disk used by this window: {_disk_bytes(weights, fused) / count:.1f} bytes a weight")


def _with_levels(kind: type[CpuLevels | DeviceLevels], weights: list[torch.Tensor], quantizer: Quantizer) -> list[Any]:
    """Accumulators of weights with more than two levels, which compute their steps in every update."""
    return [kind(weight, quantizer, partial(steps_of, quantizer, weight)) for weight in weights]


def _arrays(values: Mapping[str, Any]) -> Iterator[np.ndarray]:
    """The arrays among some values, also inside mappings."""
    for value in values.values():
        if isinstance(value, np.ndarray):
            yield value
        elif isinstance(value, dict):
            yield from _arrays(value)


def _specs(weights: list[torch.Tensor]) -> list[LayerSpec]:
    return [
        LayerSpec(f"layer{index}", tuple(weight.shape), "float32", "sign", WeightTransform())
        for index, weight in enumerate(weights)
    ]


def _disk_bytes(weights: list[torch.Tensor], fused: list[CpuAccumulator]) -> int:
    """Size on disk of the window with the updates of all rounds."""
    specs = _specs(weights)
    summary = LayerWindow(1, ROUNDS + 1, 0.0, 0.0, 0.0, None)
    states = {spec.name: LayerState(summary, sums.take()) for spec, sums in zip(specs, fused, strict=True)}
    with tempfile.TemporaryDirectory() as folder:
        writer = RunWriter(Path(folder) / "run", specs, configuration={}, environment={})
        writer.write_window(states, first_update=1, last_update=ROUNDS + 1)
        writer.close()
        return sum(file.stat().st_size for file in Path(folder).rglob("*.safetensors"))


if __name__ == "__main__":
    main()
