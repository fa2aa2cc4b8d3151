"""Standard errors over channels: against new draws of the channels, and what they are known of."""

import numpy as np
import pytest

from recu_analysis.analysis.channel_errors import standard_errors


def drawn(generator, channels, tail=6.0, core=14.0):
    """Sums of channels whose share of silence and pace differ; the tail moves with its channel."""
    pace = np.exp(generator.normal(0.0, 0.3, channels))
    silent = generator.uniform(0.2, 0.6, (channels, 2))
    weights = np.tile([tail, core], (channels, 1))
    return np.hstack([weights, weights * silent, weights * pace[:, None] * generator.normal(1.0, 0.05, (channels, 2))])


def values(layers):
    total = np.sum([sums.sum(axis=0) for sums in layers], axis=0)
    ratios = [(s[:, 4].sum() / s[:, 0].sum()) / (s[:, 5].sum() / s[:, 1].sum()) for s in layers]
    return {
        "silent_fraction_tail": total[2] / total[0],
        "silent_fraction": (total[2] + total[3]) / (total[0] + total[1]),
        "dead_fraction": total[2] / (total[0] + total[1]),
        "mobility_core": total[5] / total[1],
        "mobility_ratio_of_totals": total[4] / total[0] / (total[5] / total[1]),
        "mobility_ratio": np.median(ratios),
    }


def test_errors_are_the_spread_of_new_draws_of_the_channels():
    generator = np.random.default_rng(0)
    draws = [[drawn(generator, count) for count in (24, 40, 32)] for _ in range(300)]
    found = [values(layers) for layers in draws]
    errors = [standard_errors(layers) for layers in draws[:40]]
    for name in found[0]:
        spread = np.std([each[name] for each in found], ddof=1)
        assert np.mean([each[name] for each in errors]) == pytest.approx(spread, rel=0.2), name


def test_errors_are_known_of_silence_and_of_layers_with_enough_channels():
    layers = [drawn(np.random.default_rng(1), count) for count in (16, 8)]
    assert "dead_fraction" not in standard_errors(layers, "still")
    silent = standard_errors(layers, "silent")
    assert silent["dead_fraction"] == silent["silent_fraction"]
    assert standard_errors([*layers, layers[1][:7]]) == {}
    assert standard_errors([np.zeros((16, 6))]) == {}, "no weight is finite"
    assert np.isnan(standard_errors([layers[0], np.zeros((16, 6))])["silent_fraction_tail"])
