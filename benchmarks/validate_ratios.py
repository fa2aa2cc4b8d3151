"""Coverage of the intervals of tail-to-core ratios, of the median over layers, of differences, and over seeds."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np

from recu_analysis.analysis.deadness import TAIL_TAU, Movement, tail_mask
from recu_analysis.analysis.differences import STATISTICS
from recu_analysis.analysis.distance import RATIOS, channel_sums
from recu_analysis.store.channels import Sampling
from recu_analysis.store.header import LayerSpec
from recu_analysis.theory.intervals import difference, over_channels, over_layers, student

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from recu_analysis.store.record import MergedRecord
    from recu_analysis.theory.intervals import Interval

    Values = NDArray[np.float64]

#: Weights of a 3x3 channel with 16 inputs; channels from which the true value is computed; repetitions.
WEIGHTS, POPULATION, REPETITIONS = 144, 20_000, 1000
CHANNELS = (16, 64, 256)
#: Share of the channels that is recorded, of layers with so many.
SHARE, SAMPLED = 0.05, (160, 256, 512)
#: Number of layers for the median, each with its own tail.
LAYERS = 6
UPDATES = 100
#: Seeds of each of two experiments, and repetitions of their comparison.
SEEDS, COMPARISONS = 3, 20_000
SHOWN = ("mobility_ratio", "flip_risk_ratio", "distance_ratio_tail")


class Layer(NamedTuple):
    """What simulated weights did, each of shape (channels, WEIGHTS)."""

    z: Values
    z_end: Values
    flips: NDArray[np.bool_]
    mobility: Values


def layer_of(generator: np.random.Generator, channels: int, slowing: float) -> Layer:
    """A simulated layer whose tail is slower by about a factor.

    The pace of a channel and the slowing of its tail are log-normal; all weights of a channel share them.
    """
    pace = np.exp(generator.normal(0.0, 0.4, size=(channels, 1)))
    slowed = slowing * np.exp(generator.normal(0.0, 0.3, size=(channels, 1)))
    z = generator.laplace(scale=np.sqrt(0.5), size=(channels, WEIGHTS))
    tail = tail_mask(z.reshape(-1), TAIL_TAU).reshape(z.shape)
    rate = pace * np.where(tail, slowed, 1.0)
    mobility = rate * generator.gamma(4.0, 0.25, size=z.shape) / UPDATES
    z_end = 0.7 * z + 0.7 * rate * generator.normal(size=z.shape)
    flips = ((z < 0) != (z_end < 0)) | (generator.random(z.shape) < 0.2 * np.exp(-np.abs(z)))
    return Layer(z, z_end, flips, mobility)


def sums_of(generator: np.random.Generator, channels: int, slowing: float) -> Values:
    """Sums over the channels of a simulated layer whose tail is slower by about a factor."""
    return sums(layer_of(generator, channels, slowing))


def sums(layer: Layer) -> Values:
    """Sums over the channels of a layer, whose tail is that of its own weights."""
    z, z_end, flips, mobility = (each.reshape(-1) for each in layer)
    spec = LayerSpec("simulated", layer.z.shape, "float32", "simulated", None)
    moved = Movement(
        z=z,
        z_end=z_end,
        tail=tail_mask(z, TAIL_TAU),
        silent=~flips,
        mobility=mobility,
        updates=UPDATES,
        record=cast("MergedRecord", SimpleNamespace(path=UPDATES * mobility, start=layer.z, spec=spec)),
        valid=np.ones(z.size, dtype=np.bool_),
        nonfinite=0,
    )
    return channel_sums(spec, moved)


def _share(hits: list[bool]) -> str:
    return f"{np.mean(hits):.3f} +- {np.std(hits) / np.sqrt(len(hits)):.3f}"


def _holds(interval: Interval, truth: float) -> bool:
    return interval.low <= truth <= interval.high


def main() -> None:
    """Print every table."""
    generator = np.random.default_rng(5)
    one_layer(generator)
    several(generator)
    sampled(np.random.default_rng(6))
    over_seeds(generator)


def one_layer(generator: np.random.Generator) -> None:
    """Print the coverage of the intervals of one layer's ratios."""
    whole = sums_of(generator, POPULATION, 0.6).sum(axis=0, keepdims=True)
    truth = {name: float(RATIOS[name](whole)[0]) for name in SHOWN}
    print(f"coverage of 95 % intervals of tail to core, channels of {WEIGHTS} weights that differ in pace")
    print("  true " + ", ".join(f"{name} {value:.3f}" for name, value in truth.items()))
    print("  channels " + "".join(f"{name:>22}" for name in SHOWN))
    for channels in CHANNELS:
        hits: dict[str, list[bool]] = {name: [] for name in SHOWN}
        for _ in range(REPETITIONS):
            sums = sums_of(generator, channels, 0.6)
            for name in SHOWN:
                hits[name].append(_holds(over_channels(sums, lambda totals, n=name: RATIOS[n](totals)), truth[name]))  # type: ignore[misc]
        print(f"  {channels:8} " + "".join(f"{_share(hits[name]):>22}" for name in SHOWN), flush=True)


def several(generator: np.random.Generator) -> None:
    """Print the coverage of the median over layers, and of the difference of two runs."""
    slowings = np.linspace(0.4, 1.0, LAYERS)
    wholes = [sums_of(generator, POPULATION, slowing).sum(axis=0, keepdims=True) for slowing in slowings]
    name, silent = "mobility_ratio", STATISTICS["silent_fraction_tail"]
    median = float(np.median([RATIOS[name](whole)[0] for whole in wholes]))
    apart = float(silent(wholes[0])[0] - silent(wholes[-1])[0])
    print(f"coverage of the median {name} of {LAYERS} layers ({median:.3f}), and of a difference of silent tails")
    for channels in CHANNELS:
        medians, differences = [], []
        for _ in range(REPETITIONS):
            layers = [sums_of(generator, channels, slowing) for slowing in slowings]
            medians.append(_holds(over_layers(layers, lambda _, totals: RATIOS[name](totals)), median))
            ends = [over_channels(sums, silent) for sums in (layers[0], layers[-1])]
            differences.append(_holds(difference(*ends), apart))
        print(f"  {channels:8} {_share(medians):>22}{_share(differences):>22}", flush=True)


def sampled(generator: np.random.Generator) -> None:
    """Print how often the intervals of a recorded sample of the channels hold the ratios of the whole layer."""
    print(f"coverage of the ratios of all channels by 95 % intervals of a recorded sample of {SHARE:g} of them")
    print("  channels recorded " + "".join(f"{name:>22}" for name in SHOWN))
    for channels in SAMPLED:
        hits: dict[str, list[bool]] = {name: [] for name in SHOWN}
        for seed in range(REPETITIONS):
            layer = layer_of(generator, channels, 0.6)
            recorded = list(Sampling(SHARE, seed).of("simulated", channels).recorded)
            whole = sums(layer).sum(axis=0, keepdims=True)
            part = sums(Layer(*(each[recorded] for each in layer)))
            for name in SHOWN:
                interval = over_channels(part, lambda totals, n=name: RATIOS[n](totals))  # type: ignore[misc]
                hits[name].append(_holds(interval, float(RATIOS[name](whole)[0])))
        print(f"  {channels:8} {len(recorded):8} " + "".join(f"{_share(hits[name]):>22}" for name in SHOWN), flush=True)


def over_seeds(generator: np.random.Generator) -> None:
    """Print the coverage of differences of two experiments over seeds, paired and not, with the floor and without.

    Every value has noise of its own with a known standard error of 1, a part that its seed has in both experiments, and
    a part of its own. The true difference is 0. "widened": the intervals that the floor makes wider.
    """
    print(f"coverage of 95 % intervals of a difference of two experiments, {SEEDS} seeds each, known noise of 1")
    heads = ("without floor", "with floor", "widened", "without floor", "with floor", "width, median")
    print(f"  {'shared':>6} {'own':>4} {'interval':>9} " + " ".join(f"{head:>15}" for head in heads))
    for shared, own in ((0.0, 0.0), (3.0, 0.0), (0.0, 1.0), (3.0, 1.0)):
        seeds = generator.normal(0.0, shared, size=(COMPARISONS, 1, SEEDS))
        noise = generator.normal(0.0, np.hypot(1.0, own), size=(COMPARISONS, 2, SEEDS))
        both = seeds + noise
        for name, interval in (("paired", _paired), ("unpaired", _unpaired)):
            plain, floored = ([interval(*pair, errors) for pair in both] for errors in ([], [1.0] * SEEDS))
            hits, kept = (np.array([_holds(each, 0.0) for each in found]) for found in (plain, floored))
            before, after = (np.array([each.high - each.low for each in found]) for found in (plain, floored))
            wider = after > before * (1.0 + 1e-9)
            cells = [_share(list(each)) for each in (hits, kept, wider, hits[wider], kept[wider])]
            print(
                f"  {shared:6g} {own:4g} {name:>9} "
                + " ".join(f"{cell:>15}" for cell in (*cells, f"{np.median(after):.2f}")),
                flush=True,
            )


def _paired(ours: Values, theirs: Values, errors: list[float]) -> Interval:
    return student(list(ours - theirs), errors=[float(np.sqrt(2.0)) * each for each in errors])


def _unpaired(ours: Values, theirs: Values, errors: list[float]) -> Interval:
    return difference(student(list(ours), errors=errors), student(list(theirs), errors=errors))


if __name__ == "__main__":
    main()
