"""Statistical checks: coverage of intervals by number of channels, and bias of shape and entropy on known samples."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy import integrate, stats

from recu_analysis.store.channels import Sampling
from recu_analysis.theory import clamped, gennorm, quantization
from recu_analysis.theory.empirical import clamped_entropy, differential_entropy
from recu_analysis.theory.entropy import clamped_entropy as eq17
from recu_analysis.theory.fit import laplace_scale
from recu_analysis.theory.intervals import over_channels
from recu_analysis.theory.laplace import quantile

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Values = NDArray[np.float64]

#: Laplace scale and number of samples for the table of errors.
SCALE, SAMPLES = 2.0, 4_000_000
#: Repetitions for the interval of the shape by number of channels, and for the cheaper interval of the scale.
COVERAGE = {16: 1000, 32: 1000, 64: 600, 128: 400, 256: 300, 512: 200}
SCALE_COVERAGE = 2000
#: Number of channels from which the true value is computed.
POPULATION = 40_000
#: Shares of the channels of a layer that are sampled, its channels, the number of layers, and the statistic: the share
#: of the weights so near the mean of their channel.
SAMPLED, SAMPLED_CHANNELS, SAMPLED_LAYERS, INSIDE = (0.05, 0.1, 0.25, 0.5), 512, 2000, 0.5
#: Weights of a 3x3 channel with 16 inputs.
WEIGHTS = 144


def main() -> None:
    """Print every table."""
    errors()
    coverage()
    sampled_coverage()
    shape_bias()
    entropy_bias()


def errors() -> None:
    """Print the quantization errors in closed form, by quadrature of Eq. 4, and on samples."""
    generator = np.random.default_rng(3)
    weights = generator.laplace(scale=SCALE, size=SAMPLES)
    print(f"quantization error for b = {SCALE:g}: closed, by quadrature, and on {SAMPLES / 1e6:g} M samples")
    print("     tau   printed     exact  quadrature         sampled    latent")
    for tau in (0.6, 0.7, 0.82, 0.85, 0.9, 0.94, 0.99):
        sampled = (np.minimum(np.abs(weights), quantile(tau, SCALE)) - quantization.alpha(tau, SCALE)) ** 2
        error = sampled.std() / np.sqrt(SAMPLES)
        printed, exact, latent = (float(form(tau, SCALE)) for form in _CLOSED)
        estimate = f"{sampled.mean():.4f} +- {error:.4f}"
        row = f"{tau:6.2f} {printed:9.4f} {exact:9.4f} {by_quadrature(tau):11.4f} {estimate:>17} {latent:9.4f}"
        print(f"  {row}", flush=True)


_CLOSED = (quantization.printed, quantization.exact, quantization.latent)


def by_quadrature(tau: float) -> float:
    """Eq. 4 under Eq. 12: the integral over the density inside, plus the two point masses."""
    bound, alpha = float(quantile(tau, SCALE)), float(quantization.alpha(tau, SCALE))
    inside, _ = integrate.quad(lambda w: float(clamped.density(w, tau, SCALE)) * (w - alpha) ** 2, 0.0, bound)
    return 2.0 * (inside + float(clamped.point_mass(tau)) * (bound - alpha) ** 2)


def draw_channels(generator: np.random.Generator, channels: int, weights: int = WEIGHTS) -> Values:
    """Standard scores of generalized normal channels whose shapes are log-normal around 1.3 with sigma 0.3."""
    beta = np.exp(generator.normal(np.log(1.3), 0.3, size=(channels, 1)))
    size = generator.gamma(1.0 / beta, size=(channels, weights)) ** (1.0 / beta)
    values = size * generator.choice([-1.0, 1.0], size=size.shape)
    values -= values.mean(axis=1, keepdims=True)
    result: Values = values / values.std(axis=1, ddof=1, keepdims=True)
    return result


def coverage() -> None:
    """Print how often the 95 % intervals contain the value of the population, with the binomial standard error."""
    generator = np.random.default_rng(0)
    population = draw_channels(generator, POPULATION)
    truth = {"shape": gennorm.shape_estimate(population), "scale": float(np.abs(population).mean())}
    print(f"coverage of 95 % intervals over channels ({WEIGHTS} weights each, shapes differ between channels)")
    print(f"  true shape {truth['shape']:.4f}, true scale {truth['scale']:.4f}, each from {POPULATION} channels")
    print("  channels    shape (BCa)    scale (BCa)  scale (percentile)")
    for channels, repetitions in COVERAGE.items():
        hits = [[], [], []]  # type: list[list[bool]]
        for number in range(SCALE_COVERAGE):
            sample = draw_channels(generator, channels)
            means = np.abs(sample).mean(axis=1)
            scale, (low, high) = laplace_scale(means), percentile(means, generator)
            hits[1].append(scale.low <= truth["scale"] <= scale.high)
            hits[2].append(low <= truth["scale"] <= high)
            if number < repetitions:
                shape = gennorm.shape(sample)
                hits[0].append(shape.low <= truth["shape"] <= shape.high)
        cells = [f"{np.mean(hit):.3f} +- {np.std(hit) / np.sqrt(len(hit)):.3f}" for hit in hits]
        print(f"  {channels:8} {cells[0]:>14} {cells[1]:>14} {cells[2]:>19}", flush=True)


def sampled_coverage() -> None:
    """Print how often the interval over sampled channels has the value of the whole layer, and of the population."""
    generator = np.random.default_rng(4)

    def sums_of(scores: Values) -> Values:
        inside = (np.abs(scores) < INSIDE).sum(axis=1)
        return np.stack([inside, np.full(len(scores), WEIGHTS)], axis=1).astype(np.float64)

    def share_inside(totals: Values) -> Values:
        result: Values = totals[:, 0] / totals[:, 1]
        return result

    truth = float(share_inside(sums_of(draw_channels(generator, POPULATION)).sum(axis=0, keepdims=True))[0])
    hits: dict[float, list[tuple[bool, bool]]] = {share: [] for share in SAMPLED}
    for seed in range(SAMPLED_LAYERS):
        layer = sums_of(draw_channels(generator, SAMPLED_CHANNELS))
        whole = float(share_inside(layer.sum(axis=0, keepdims=True))[0])
        for share, found in hits.items():
            rows = list(Sampling(share, seed).of("layer", SAMPLED_CHANNELS).recorded)
            interval = over_channels(layer[rows], share_inside)
            found.append((interval.low <= whole <= interval.high, interval.low <= truth <= interval.high))
    print(
        f"coverage of 95 % intervals over sampled channels of {SAMPLED_CHANNELS}: share of weights with |z| < {INSIDE}"
    )
    print("     share  channels    whole layer     population")
    for share, found in hits.items():
        cells = [f"{mean:.3f} +- {math.sqrt(mean * (1 - mean) / len(found)):.3f}" for mean in np.mean(found, axis=0)]
        count = len(Sampling(share, 0).of("layer", SAMPLED_CHANNELS).recorded)
        print(f"  {share:8g} {count:9} {cells[0]:>14} {cells[1]:>14}", flush=True)


def percentile(means: Values, generator: np.random.Generator) -> tuple[float, float]:
    """The plain percentile bootstrap of a mean, for comparison."""
    resampled = generator.choice(means, size=(1000, len(means))).mean(axis=1)
    low, high = np.quantile(resampled, [0.025, 0.975])
    return float(low), float(high)


def shape_bias() -> None:
    """Print the mean of the estimated shape minus the true shape, for z of 64 channels with n weights each."""
    generator = np.random.default_rng(1)
    print("bias of the shape, z of 64 channels of n weights, with its standard error")
    print("  shape" + "".join(f"{f'n = {weights}':>18}" for weights in (9, 27, 144, 576)))
    for beta in (0.7, 1.0, 1.3, 2.0, 4.0):
        cells = []
        for weights in (9, 27, 144, 576):
            found = []
            for _ in range(50):
                values = stats.gennorm.rvs(beta, size=(64, weights), random_state=generator)
                values -= values.mean(axis=1, keepdims=True)
                found.append(gennorm.shape_estimate(values / values.std(axis=1, ddof=1, keepdims=True)))
            cells.append(_bias(np.array(found), beta))
        print(f"  {beta:5}" + "".join(f"{cell:>18}" for cell in cells), flush=True)


def entropy_bias() -> None:
    """Print the mean of the measured entropy minus the true entropy, in nats."""
    generator = np.random.default_rng(2)
    cases = {
        "normal": (generator.standard_normal, float(stats.norm.entropy())),
        "Laplace": (lambda size: generator.laplace(size=size), float(stats.laplace.entropy())),
        "uniform": (generator.random, 0.0),
        "gen. normal 0.7": (
            lambda size: stats.gennorm.rvs(0.7, size=size, random_state=generator),
            float(stats.gennorm.entropy(0.7)),
        ),
    }
    sizes = (288, 2304, 36_864, 589_824)
    print("bias of the measured entropy (nats), n weights, with its standard error")
    print(f"  {'':22}" + "".join(f"{f'n = {size}':>18}" for size in sizes))
    for name, (draw, truth) in cases.items():
        cells = [
            _bias(np.array([differential_entropy(np.sort(draw(size))) for _ in range(_repetitions(size))]), truth)
            for size in sizes
        ]
        print(f"  {name:22}" + "".join(f"{cell:>18}" for cell in cells), flush=True)
    for tau in (0.7, 0.85, 0.99):
        bound, truth = float(quantile(tau, 1.0)), float(eq17(tau, 1.0))
        cells = [
            _bias(
                np.array(
                    [clamped_entropy(np.sort(generator.laplace(size=size)), bound) for _ in range(_repetitions(size))]
                ),
                truth,
            )
            for size in sizes
        ]
        print(f"  {f'clamped at tau = {tau}':22}" + "".join(f"{cell:>18}" for cell in cells), flush=True)


def _repetitions(size: int) -> int:
    return int(np.clip(4_000_000 // size, 8, 400))


def _bias(found: Values, truth: float) -> str:
    return f"{found.mean() - truth:+.4f} +- {found.std(ddof=1) / np.sqrt(len(found)):.4f}"


if __name__ == "__main__":
    main()
