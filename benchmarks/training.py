"""Cost of recording in a training: ResNet-20 on images of the size of digits and of CIFAR, and of more quantities."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

import recu_analysis as ra
from recu_analysis.nn import build_network

#: Size of the images, batch, and pairs of updates, one with recording and one without.
CASES = {"digits, 16x16, batch 64": (16, 64, 220), "CIFAR's size, 32x32, batch 128": (32, 128, 66)}
#: What is recorded beside the defaults, by its name in the output.
RECORDED = {"recording": (), "recording with gradient-stats": ("gradient-stats",)}
#: Updates per window: an epoch of the digits, the shortest useful window.
WINDOW = 22
RESAMPLED = 2000
#: Trainings whose first update is timed; there, recording also compares the forward pass with the recorded states.
FIRST = 15


@dataclass
class Training:
    """A training, recorded if a folder is given; its times are in seconds.

    Hooks that are registered before and after the start of the recording measure its time before and after an update.
    """

    size: int
    batch: int
    run_dir: Path | None = None
    quantities: tuple[str, ...] = ()
    in_hook: list[float] = field(default_factory=list)
    in_mark: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        torch.manual_seed(0)
        self.model = build_network("resnet20")
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
        self.images = torch.randn(self.batch, 3, self.size, self.size)
        self.labels = torch.randint(0, 10, (self.batch,))
        self.optimizer.register_step_pre_hook(lambda *_: self.in_hook.append(-time.perf_counter()))
        self.optimizer.register_step_post_hook(self._begins)
        given = {"quantities": self.quantities}
        self.recorder = ra.record(self.model, self.optimizer, self.run_dir, **given) if self.run_dir else None
        self.optimizer.register_step_pre_hook(self._ends)
        self.optimizer.register_step_post_hook(self._ends)
        self.updates = 0

    def _begins(self, *_: object) -> None:
        self.in_hook[-1] -= time.perf_counter()

    def _ends(self, *_: object) -> None:
        self.in_hook[-1] += time.perf_counter()

    def step(self) -> tuple[float, float]:
        """Make one update, and a mark at the end of a window; return the time, and that of the processor."""
        start, of_processor = time.perf_counter(), time.process_time()
        self.optimizer.zero_grad(set_to_none=True)
        functional.cross_entropy(self.model(self.images), self.labels).backward()
        self.optimizer.step()
        self.updates += 1
        if self.recorder and self.updates % WINDOW == 0:
            marked = time.perf_counter()
            self.recorder.mark()
            self.in_mark.append(time.perf_counter() - marked)
        return time.perf_counter() - start, time.process_time() - of_processor


def interval(on: np.ndarray, off: np.ndarray) -> tuple[float, float]:
    """95 % interval of the ratio of means, from resampled pairs (percentile bootstrap)."""
    chosen = np.random.default_rng(0).integers(0, len(on), (RESAMPLED, len(on)))
    low, high = np.quantile(on[chosen].sum(axis=1) / off[chosen].sum(axis=1), [0.025, 0.975])
    return float(low), float(high)


def first_updates(size: int, batch: int, folder: Path, quantities: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Seconds of the first update of trainings with and without recording, measured by turns."""
    on, off = np.empty(FIRST), np.empty(FIRST)
    for number in range(FIRST):
        off[number], _ = Training(size, batch).step()
        recorded = Training(size, batch, folder / str(number), quantities)
        on[number], _ = recorded.step()
        recorded.recorder.close()
    return on, off


def compare(size: int, batch: int, pairs: int, folder: Path, quantities: tuple[str, ...]) -> list[str]:
    """Lines about trainings with and without recording, an update each by turns."""
    off, on = Training(size, batch), Training(size, batch, folder / "run", quantities)
    for each in (off, on, off, on):
        each.step()
    times = {id(off): [], id(on): []}
    for pair in range(pairs):
        for each in (off, on) if pair % 2 else (on, off):
            times[id(each)].append(each.step())
    on.recorder.close()
    first_on, first_off = first_updates(size, batch, folder, quantities)
    seconds, processor = (
        {name: np.array(times[id(each)])[:, which] for name, each in (("on", on), ("off", off))} for which in (0, 1)
    )
    low, high = interval(seconds["on"], seconds["off"])
    hook, mark = sum(on.in_hook[2:]), sum(on.in_mark)
    windows = ra.open_run(on.run_dir).windows
    weights = sum(np.prod(spec.shape) for spec in windows[0].specs.values())
    return [
        f"time on / off: {seconds['on'].sum() / seconds['off'].sum():.3f} (95 % interval {low:.3f} to {high:.3f}); "
        f"of the processor, median {np.median(processor['on'] / processor['off']):.3f}; "
        f"{1e3 * np.median(seconds['off']):.0f} ms an update without recording, {pairs} pairs",
        f"training held up by recording: {100 * (hook + mark) / seconds['on'].sum():.2f} % "
        f"({1e3 * hook / pairs:.2f} ms an update, {1e3 * mark / len(on.in_mark):.1f} ms a window)",
        f"the first update, which is also checked: on / off {np.median(first_on / first_off):.2f}, "
        f"{1e3 * np.median(first_on - first_off):.0f} ms more",
        f"disk: {windows[1].file.size / weights:.1f} bytes a weight and window",
    ]


def main() -> None:
    """Print the ratio of training times, and the share of the time in which recording delayed the training."""
    print(f"recording on and off by turns, an update each, {torch.get_num_threads()} threads, windows of {WINDOW}")
    for what, (size, batch, pairs) in CASES.items():
        for name, quantities in RECORDED.items():
            print(f"ResNet-20, {what}, {name}")
            with tempfile.TemporaryDirectory() as folder:
                for line in compare(size, batch, pairs, Path(folder), quantities):
                    print(f"  {line}")


if __name__ == "__main__":
    main()
