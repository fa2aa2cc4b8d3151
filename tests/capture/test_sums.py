"""Sums over a window's updates, however many: within 1e-6 of exact arithmetic, the same bits wherever they stop."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import nn

import recu_analysis as ra
from recu_analysis.capture import importer
from recu_analysis.capture.accumulate import CpuAccumulator, DeviceAccumulator
from recu_analysis.capture.effective import EffectiveAccumulator
from recu_analysis.capture.kernel import FOLD_EVERY, advance, all_moments
from recu_analysis.errors import RecordingWarning
from recu_analysis.store.run import open_run
from recu_analysis.theory.standardize import WeightTransform, standard_scores

KINDS = [CpuAccumulator, DeviceAccumulator]


def swept(states, updates):
    """path and zpath of so many updates by turns over some states of the weights, by the kernel itself."""
    old, mean, inverse = states[0].copy(), np.empty(len(states[0])), np.empty(len(states[0]))
    all_moments(old, mean, inverse)
    numbers, sums = np.arange(len(old)), [np.zeros(old.shape, np.float32) for _ in range(4)]
    flips = [np.zeros(old.shape, np.uint32) for _ in range(3)]
    turns = [*states[1:], states[0]]
    for update in range(updates):
        advance(turns[update % len(turns)], old, mean, inverse, True, update, update, *sums, *flips, numbers)
    return sums[0] + sums[1], sums[2] + sums[3]


def exact(values, updates):
    """The sums of abs(differences) over updates that go through some states by turns, in exact arithmetic."""
    rows = np.abs(np.roll(values, -1, axis=0) - values).reshape(len(values), -1)
    rounds = Fraction(updates // len(values))
    total = [float(rounds * sum(map(Fraction, column.tolist()))) for column in rows.T]
    return np.reshape(total, values.shape[1:])


def test_a_million_updates():
    generator, updates = np.random.default_rng(0), 10**6
    two = np.linspace(0.1, 1.0, 12).reshape(2, 6), np.linspace(0.4, 1.1, 12).reshape(2, 6) ** 2
    equal = np.stack(two * 20)
    unequal = generator.normal(size=(40, 2, 6)) * 10.0 ** generator.uniform(-6, 1, (40, 1, 1))
    states = np.concatenate([equal, unequal.cumsum(axis=0)], axis=1).astype(np.float32)
    path, zpath = swept(states, updates)
    np.testing.assert_allclose(path, exact(states.astype(np.float64), updates), rtol=1e-6)
    z = np.stack([standard_scores(state) for state in states])
    np.testing.assert_allclose(zpath, exact(z, updates), rtol=1e-6)


def made(kind, weight, **options):
    """An accumulator on the CPU; also the one that a layer has whose effective weight is the latent one."""
    if kind is not EffectiveAccumulator:
        return kind(weight, center=False, **options)
    return EffectiveAccumulator(weight, lambda: made.weight, CpuAccumulator, {"path"}, **options)


def advanced(sums, weight, update):
    made.weight = weight
    sums.advance(weight, update)


@pytest.mark.parametrize("kind", KINDS)
def test_small_steps_after_a_large_one_are_not_lost(kind):
    small = 2.0**-25  # half a unit in the last place of 1: a sum in float32 would not change
    rest, moved = torch.zeros(17, 4), torch.zeros(17, 4)
    moved[:, 1] = small
    sums = kind(rest + 1.0, center=True)
    for update in range(1, 2002):
        sums.advance(rest if update % 2 else moved, update)
    path = sums.take()["path"]
    np.testing.assert_allclose(path[:, 1], math.fsum([1.0, *[small] * 2000]), rtol=1e-6)
    np.testing.assert_array_equal(path[:, 2], 1.0)


@pytest.mark.parametrize("kind", [*KINDS, EffectiveAccumulator])
def test_taking_the_state_and_going_on_gives_the_same_bits_wherever_it_falls(kind):
    generator = torch.Generator().manual_seed(0)
    states = [torch.randn(FOLD_EVERY + 2, 5, generator=generator) for _ in range(2 * FOLD_EVERY + 3)]
    made.weight = states[0]
    whole = made(kind, states[0])
    resumed = {}
    for update, weight in enumerate(states[1:], start=1):
        made.weight = states[update - 1]
        resumed[update] = made(kind, states[update - 1])
        resumed[update].load({name: each.clone() for name, each in whole.state().items()})
        for sums in (whole, *resumed.values()):
            advanced(sums, weight, update)
    taken = whole.take()
    assert taken["flips"].size
    for sums in resumed.values():
        for name, array in sums.take().items():
            assert array.tobytes() == taken[name].tobytes(), name


def test_a_second_window_does_not_hold_what_was_left_of_the_first():
    for kind in KINDS:
        sums = kind(torch.zeros(3, 4), center=True)
        sums.advance(torch.full((3, 4), 1.0 / 3.0), 1)
        sums.take()
        sums.advance(torch.full((3, 4), 0.5), 2)
        wanted = np.float32(0.5 - np.float64(np.float32(1.0 / 3.0)))
        np.testing.assert_array_equal(sums.take()["path"], wanted)


def test_the_number_of_threads_does_not_change_a_bit(tmp_path, monkeypatch):
    monkeypatch.setattr("recu_analysis.capture.layer_start.THREADED_WEIGHTS", 1)
    ra.adapter("offset", "Offset")(lambda layer: layer.weight - 0.001)
    kind = type("Offset", (nn.Linear,), {})
    before = torch.get_num_threads()
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            torch.manual_seed(0)
            # Of one channel, and of many: torch splits long sums between threads.
            model = nn.Sequential(kind(90_000, 1, bias=False), kind(300, 301, bias=False))
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            with ra.record(model, optimizer, tmp_path / str(threads)) as recorder:
                for update in range(5):
                    generator = torch.Generator().manual_seed(update)
                    for parameter in model.parameters():
                        parameter.grad = 0.01 * torch.randn(parameter.shape, generator=generator)
                    optimizer.step()
                recorder.mark()
    finally:
        torch.set_num_threads(before)
    one, two = (open_run(tmp_path / name).windows[1] for name in ("1", "2"))
    for layer in ("0", "1"):
        for name in ("path", "zpath"):
            assert getattr(one[layer], name).tobytes() == getattr(two[layer], name).tobytes(), (layer, name)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize("width", [1, 7, 1000])
def test_constant_channels_that_move_are_those_of_numpy(kind, dtype, center, width):
    generator = np.random.default_rng(width)
    # 0.1 and 1/3 have means that are off by rounding; a channel may begin or cease to be constant.
    values = [0.1, 1.0 / 3.0, -0.7, 1.0, 0.0, 1e-300 if dtype == np.float64 else 1e-40]
    history = np.stack([np.tile(np.roll(values, turn)[:, None], width) for turn in range(12)]).astype(dtype)
    history[4, 2] += generator.normal(size=width)
    history[9, 0, -1] = -2.0
    transform = WeightTransform(center=center)
    sums = kind(torch.from_numpy(history[0].copy()), center=center)
    for update in range(1, 12):
        sums.advance(torch.from_numpy(history[update]), update)
    taken = sums.take()
    z = [standard_scores(weight, center=center) for weight in history]
    signs = [transform.signs(weight) for weight in history]
    zpath = sum(np.abs(now - before) for before, now in itertools.pairwise(z))
    flips = sum((now != before).astype(int) for before, now in itertools.pairwise(signs))
    np.testing.assert_allclose(taken["zpath"], zpath, rtol=1e-5)
    found = np.zeros(flips.size, int)
    found[taken["flipped"]] = taken["flips"]
    np.testing.assert_array_equal(found, flips.reshape(-1))
    assert not taken["zpath"][1].any()


def test_a_path_beyond_float32_is_told(tmp_path):
    layer = nn.Linear(6, 3, bias=False, dtype=torch.float64)
    optimizer = torch.optim.SGD(layer.parameters(), lr=1.0)
    with ra.record(nn.Sequential(layer), optimizer, tmp_path / "run", layers=["0"]) as recorder:
        layer.weight.grad = torch.zeros(3, 6, dtype=torch.float64)
        layer.weight.grad[1, :2] = 1e39
        optimizer.step()
        with pytest.warns(RecordingWarning, match=r"layer '0', 2 weights .*float32"):
            recorder.mark()
        layer.weight.grad = torch.full((3, 6), 0.5, dtype=torch.float64)
        optimizer.step()
        recorder.mark()
    path = open_run(tmp_path / "run").windows[1]["0"].path
    assert np.isinf(path[1, :2]).all()
    assert np.isfinite(np.delete(path, [6, 7])).all()
    assert np.isfinite(open_run(tmp_path / "run").windows[2]["0"].path).all()


def test_an_import_tells_of_it_too(tmp_path):
    for step, value in enumerate((0.0, 2e39)):
        weight = torch.randn(4, 9, dtype=torch.float64)
        weight[2, 3] = value
        torch.save({"0.weight": weight}, tmp_path / f"step{step}.pt")
    with pytest.warns(RecordingWarning, match="layer '0', 1 weights"):
        importer.import_checkpoints([tmp_path], tmp_path / "run", layers=["0"])
