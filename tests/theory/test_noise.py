"""Weights moved by noise alone, against a plain loop of normal noise and against closed forms."""

import math

import numpy as np
import pytest
from scipy.special import ndtr

from recu_analysis.theory.equilibrium import mobility, relative_step
from recu_analysis.theory.inheritance import UpdateRule
from recu_analysis.theory.levels import Quantizer
from recu_analysis.theory.noise import FEWEST, MOST_STEPS, Rates, States, arrived, simulate
from recu_analysis.theory.noise_kernel import advance

RULES = {
    "momentum": UpdateRule(0.9),
    "Nesterov": UpdateRule(0.9, 1.0, 1.0, 0.9),
    "dampening": UpdateRule(0.9, 0.5),
    "plain": UpdateRule(),
    "AdamW": UpdateRule(0.9, 0.1, decoupled=True),
}


def plain_loop(rule, lr, decay, updates, generator, weights=16_000):
    """The process of normal noise in equilibrium by a loop: z at the start and the end, flips, and mobility."""
    matrix, gain = rule.matrix(lr, decay), rule.gain(lr)
    w, m = generator.normal(size=(2, weights))
    settling = 6 * updates
    for update in range(settling + updates):
        if update == settling:
            size, start = w.std(), w.copy()
            flips, path = np.zeros(weights, int), np.zeros(weights)
        noise = generator.normal(size=weights)
        new = matrix[0, 0] * w + matrix[0, 1] * m + gain[0] * noise
        m = matrix[1, 0] * w + matrix[1, 1] * m + gain[1] * noise
        if update >= settling:
            flips += (new < 0) != (w < 0)
            path += np.abs(new - w)
        w = new
    return start / size, w / size, flips, path / updates / size


@pytest.mark.parametrize("name", RULES)
def test_silence_flips_and_path_are_those_of_a_plain_loop(name):
    rule = RULES[name]
    lr, decay = (0.02, 0.1) if rule.decoupled else (0.1, 0.02)
    updates = round(1.0 / rule.decay_time(lr, decay))
    z, z_end, flips, path = plain_loop(rule, lr, decay, updates, np.random.default_rng(1))
    found = simulate(z, np.ones(1), np.zeros(z.size, np.int64), [Rates(rule, lr, decay, updates)])
    assert found.z_end.std() == pytest.approx(1.0, abs=0.02)
    assert np.mean(found.flips == 0) == pytest.approx(np.mean(flips == 0), abs=0.015)
    assert found.flips.mean() == pytest.approx(flips.mean(), rel=0.04)
    assert found.mobility.mean() == pytest.approx(path.mean(), rel=0.02)
    assert np.mean((found.z < 0) != (found.z_end < 0)) == pytest.approx(np.mean((z < 0) != (z_end < 0)), abs=0.015)


def test_weights_beyond_the_bound_only_decay():
    """Against a plain loop: a clamp stops the noise of the weights that are far from 0."""
    rule, lr, decay, bound, updates = RULES["momentum"], 0.1, 0.02, 1.2, 50
    generator, matrix, gain = np.random.default_rng(3), rule.matrix(lr, decay), rule.gain(lr)
    w, m = generator.normal(size=(2, 16_000))
    for update in range(9 * updates):
        if update == 8 * updates:
            size, start, flips, path = w.std(), w.copy(), np.zeros(w.size, int), np.zeros(w.size)
        noise = generator.normal(size=w.size) * (np.abs(w) <= bound * w.std())
        before = w
        w, m = (matrix[at, 0] * before + matrix[at, 1] * m + gain[at] * noise for at in (0, 1))
        if update >= 8 * updates:
            flips += (w < 0) != (before < 0)
            path += np.abs(w - before)
    z = start / size
    rates = [Rates(rule, lr, decay, updates)]
    found = simulate(z, np.array([w.std() / size]), np.zeros(z.size, np.int64), rates, bounds=[bound])
    far = np.abs(z) > 1.2
    assert found.z_end.std() == pytest.approx(1.0, abs=0.03)
    for group in (far, ~far):
        ours = group[found.chosen]
        assert np.mean(found.flips[ours] == 0) == pytest.approx(np.mean(flips[group] == 0), abs=0.02)
        assert found.mobility[ours].mean() == pytest.approx(path[group].mean() / updates / size, rel=0.05)


@pytest.mark.parametrize(
    "quantizer",
    [Quantizer.twn(), Quantizer("uniform", -2, 1), Quantizer("uniform", 0, 7)],
    ids=["ternary", "2 bits", "3 bits"],
)
def test_states_are_counted_as_by_a_plain_loop(quantizer):
    """Update by update, from the z that the loop gives; steps and widths change in every update."""
    count, updates, generator = 200, 60, np.random.default_rng(6)
    rates, start = Rates(UpdateRule(0.9), 0.1, 0.02, updates), generator.normal(size=count)
    group, zero = np.arange(count) % 2, np.array([3, 3]) if quantizer.low == 0 else np.zeros(2, int)
    steps, before = np.array([[0.5, 0.6], [0.8, 0.55]]), generator.integers(-1, 2, size=count).astype(np.int8)
    states, growth = States(quantizer, steps, zero, before), np.array([1.3, 0.9])
    rule, counts, ours = states.begin(start, np.arange(count), group)
    w, m, bits = start.copy(), np.zeros(count), generator.integers(0, 1 << 63, count, dtype=np.uint64)
    flips, first, last = np.zeros((3, count), np.int64)
    widths = np.sqrt(np.linspace(1.0, growth**2, updates + 1))[:, group]
    part = np.linspace(ours[0], ours[1], updates + 1)
    state = [quantizer_state(quantizer, start[k], part[0, k], zero[group[k]]) for k in range(count)]
    expected, direction = {"flips": [0] * count, "back": [0] * count}, before.tolist()
    linear = rates.rule.matrix(0.1, 0.02), rates.rule.gain(0.1)
    for u in range(updates):
        moved = w, m, bits, flips, first, last, np.zeros(count), np.zeros(count)
        advance(*moved, *linear, np.full(count, 2.0), widths[u : u + 2], np.inf, u, 1, rule, counts, part[u : u + 2])
        for k in range(count):
            now = quantizer_state(quantizer, w[k] / widths[u + 1, k], part[u + 1, k], zero[group[k]])
            turn = (now > state[k]) - (now < state[k])
            expected["flips"][k] += turn != 0
            expected["back"][k] += turn != 0 and direction[k] == -turn
            assert not turn or last[k] == u + 1
            state[k], direction[k] = now, turn or direction[k]
    assert flips.tolist() == expected["flips"]
    assert counts[2].tolist() == expected["back"]
    assert ((first > 0) == (flips > 0)).all()
    assert 0 < sum(expected["back"]) < sum(expected["flips"])


def quantizer_state(quantizer, z, step, zero):
    """The state of one weight."""
    if quantizer.kind == "ternary":
        return int(z > step) - int(z < -step)
    return min(max(round(z / step) + int(zero), quantizer.low), quantizer.high)


@pytest.mark.parametrize("name", ["momentum", "AdamW"])
def test_flips_of_ternary_weights_are_those_of_a_plain_loop(name):
    rule, quantizer = RULES[name], Quantizer.twn()
    lr, decay = (0.02, 0.1) if rule.decoupled else (0.1, 0.02)
    updates, generator = round(1.0 / rule.decay_time(lr, decay)), np.random.default_rng(1)
    matrix, gain = rule.matrix(lr, decay), rule.gain(lr)
    w, m = generator.normal(size=(2, 16_000))
    counts, direction = np.zeros((2, w.size), int), np.zeros(w.size, int)
    for update in range(7 * updates):
        if update == 6 * updates:
            start, size, state, direction = w.copy(), w.std(), np.sign(w) * (np.abs(w) > 0.5 * w.std()), 0 * direction
        noise = generator.normal(size=w.size)
        w, m = (matrix[at, 0] * w + matrix[at, 1] * m + gain[at] * noise for at in (0, 1))
        if update >= 6 * updates:
            part = (update + 1) / updates - 6.0
            now = np.sign(w) * (np.abs(w) > (0.5 + 0.2 * part) * size)
            turn = np.sign(now - state).astype(int)
            counts += turn != 0, turn * direction < 0
            state, direction = now, np.where(turn, turn, direction)
    states = States(quantizer, np.array([[0.5], [0.7]]), np.zeros(1, int), np.zeros(w.size, np.int8))
    known = [Rates(rule, lr, decay, updates)]
    found = simulate(start / size, np.array([w.std() / size]), np.zeros(w.size, np.int64), known, states=states)
    ratio = size / w.std()  # the loop's threshold is in standard deviations of the start
    assert ratio == pytest.approx(1.0, abs=0.03)
    assert found.flips.mean() == pytest.approx(counts[0].mean(), rel=0.04)
    assert found.reversals.mean() == pytest.approx(counts[1].mean(), rel=0.04)


def test_signs_go_back_with_every_flip_after_the_first():
    z = np.random.default_rng(2).normal(size=600)
    found = simulate(z, np.ones(1), np.zeros(z.size, np.int64), [Rates(UpdateRule(), 0.1, 0.5, 50)])
    assert found.reversals.tolist() == [max(each - 1, 0) for each in found.flips]
    assert found.reversals.any()


def test_in_equilibrium_the_mobility_is_that_of_the_forecast():
    rule, lr, decay = RULES["momentum"], 0.1, 5e-3
    z = np.random.default_rng(2).normal(size=8000)
    found = simulate(z, np.ones(1), np.zeros(z.size, np.int64), [Rates(rule, lr, decay, 2000)])
    assert found.mobility.mean() == pytest.approx(mobility(relative_step(rule, lr, decay)), rel=0.005)


def test_many_small_steps_are_the_process_of_ornstein_and_uhlenbeck():
    """P(no crossing | z) = 2 Phi(a |z| / s) - 1; discrete steps miss some crossings."""
    lr, decay = 1e-3, 0.5
    z = np.random.default_rng(3).normal(size=4000)
    found = simulate(z, np.ones(1), np.zeros(z.size, np.int64), [Rates(UpdateRule(), lr, decay, 2000)])
    left = math.exp(-1.0)
    silent = np.mean(2.0 * ndtr(left * np.abs(found.z) / math.sqrt(1.0 - left**2)) - 1.0)
    assert silent - 0.015 < np.mean(found.flips == 0) < silent + 0.03


def test_each_channel_grows_as_its_weights_did():
    generator = np.random.default_rng(4)
    z, channel = generator.normal(size=16_000), np.repeat(np.arange(4), 4000)
    growth = np.array([0.7, 1.0, 1.5, 1e-3])
    rates = [Rates(UpdateRule(0.9), lr, 1e-2, 40) for lr in (0.1, 0.05, 0.0)]
    found = simulate(z, growth, channel, rates)
    for at in range(3):
        assert found.z_end[channel[found.chosen] == at].std() == pytest.approx(1.0, abs=0.04)
    narrow = found.flips[channel[found.chosen] == 3]
    assert np.mean(narrow > 0) < 0.02, "it narrows faster than decay alone, so there is no noise"
    assert (found.last_flip[found.flips > 0] <= 80).all(), "nothing moves at learning rate 0"
    assert ((found.last_flip == 0) == (found.flips == 0)).all()
    assert ((found.first_flip == found.last_flip) == (found.flips <= 1)).all()
    assert ((found.first_flip == 0) == (found.flips == 0)).all()


def test_the_same_seed_gives_the_same_numbers_and_the_time_is_bounded():
    z = np.random.default_rng(5).normal(size=20_000)
    channel = np.zeros(z.size, np.int64)
    rates = [Rates(UpdateRule(0.9), 0.1, 1e-3, 30)]
    first, again = (simulate(z, np.ones(1), channel, rates, seed=7, most=1000) for _ in range(2))
    np.testing.assert_array_equal(first.z_end, again.z_end)
    assert (first.z_end != simulate(z, np.ones(1), channel, rates, seed=8, most=1000).z_end).any()
    assert first.chosen.size == 1000
    assert np.sort(np.abs(first.z)) == pytest.approx(np.sort(np.abs(z))[10::20], rel=0.02)
    large = simulate(np.tile(z, 10), np.ones(1), np.tile(channel, 10), rates, seed=7, most=1000)
    assert np.sort(np.abs(large.z)) == pytest.approx(np.sort(np.abs(z))[10::20], abs=0.1, rel=0.1)
    many = [Rates(UpdateRule(0.9), 0.1, 1e-3, MOST_STEPS // 600)]
    assert FEWEST <= simulate(z, np.ones(1), channel, many).chosen.size <= 600


@pytest.mark.parametrize("name", ["SGD", "Nesterov", "AdamW"])
def test_the_noise_that_has_arrived_is_that_of_a_plain_loop(name):
    settings = {"momentum": 0.9, "dampening": 0.0, "nesterov": name == "Nesterov", "betas": (0.9, 0.999)}
    rule = UpdateRule.of("AdamW" if name == "AdamW" else "SGD", settings)
    known = [Rates(rule, 0.05, 0.02, 7), Rates(rule, 0.02, 0.02, 12)]
    each = [rates for rates in known for _ in range(rates.updates)]
    made, counted = 0.0, 0.0
    for first in range(-400 if name == "AdamW" else 0, len(each)):  # one gradient of size 1, and what it moves by
        at = max(first, 0)
        state = np.array([0.0, rule.intake * rule.momentum ** (-1 - first)]) if first < 0 else rule.gain(each[at].lr)
        for rates in each[at if first < 0 else at + 1 :]:
            state = rule.matrix(rates.lr, rates.weight_decay) @ state
        made += state[0] ** 2
    for rates in each:
        decayed = 1.0 - rates.lr * rates.weight_decay * (1.0 if rule.decoupled else rule.response)
        counted = counted * decayed**2 + (rates.lr * (1.0 if rule.decoupled else rule.response)) ** 2
    assert arrived(known) == pytest.approx(made / counted, rel=1e-9)
    assert arrived(known) < 0.7  # which is why a window so short needs it
    assert arrived([Rates(rule, 0.05, 0.02, 5000)]) == pytest.approx(1.0, abs=0.05)
