"""The kernel, on the CPU and in torch operations, against a plain float64 loop over every update."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recu_analysis.capture.accumulate import CpuAccumulator, DeviceAccumulator
from recu_analysis.capture.accumulator_choice import accumulator

KINDS = [CpuAccumulator, DeviceAccumulator]


def scores(rows, center):
    """Effective weights and standard scores, written out."""
    effective, z = np.empty_like(rows), np.zeros_like(rows)
    for c, row in enumerate(rows):
        mean = row.sum() / row.size
        deviation = np.sqrt(((row - mean) ** 2).sum() / (row.size - 1)) if row.size > 1 else 0.0
        effective[c] = row - mean if center else row
        if deviation != 0:
            z[c] = effective[c] / deviation
    return effective, z


def reference(history, center):
    """The record of a history of weights by a loop over updates, in float64."""
    first = history[0].astype(np.float64)
    record = {name: np.zeros(first.shape) for name in ("path", "zpath")}
    record |= {"flips": np.zeros(first.shape, int), "first_flip": np.full(first.shape, -1)}
    record["last_flip"] = np.full(first.shape, -1)
    effective, z = scores(first, center)
    before = first
    for update, weights in enumerate(history[1:], start=1):
        now = weights.astype(np.float64)
        effective_now, z_now = scores(now, center)
        flipped = (effective < 0) != (effective_now < 0)
        record["path"] += np.abs(now - before)
        record["zpath"] += np.abs(z_now - z)
        record["flips"] += flipped
        record["first_flip"][flipped & (record["first_flip"] < 0)] = update
        record["last_flip"][flipped] = update
        before, effective, z = now, effective_now, z_now
    return record


def dense(taken, name, absent):
    result = np.full(taken["weight"].size, absent)
    result[taken["flipped"]] = taken[name]
    return result.reshape(taken["weight"].shape)


def assert_equal(taken, expected, last):
    np.testing.assert_array_equal(taken["weight"], last)
    np.testing.assert_allclose(taken["path"], expected["path"], rtol=1e-5, atol=1e-30)
    np.testing.assert_allclose(taken["zpath"], expected["zpath"], rtol=1e-5, atol=1e-12)
    for name, absent in (("flips", 0), ("first_flip", -1), ("last_flip", -1)):
        np.testing.assert_array_equal(dense(taken, name, absent), expected[name])


def walk(shape, updates, seed, dtype=np.float32, step=0.05):
    generator = np.random.default_rng(seed)
    steps = generator.normal(size=(updates + 1, *shape)) * step
    steps[0] = generator.normal(size=shape)
    return steps.cumsum(axis=0).astype(dtype)


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None, max_examples=40)
@given(
    rows=st.integers(1, 5),
    columns=st.integers(1, 40),
    updates=st.integers(1, 8),
    seed=st.integers(0, 2**32),
    center=st.booleans(),
    dtype=st.sampled_from([np.float32, np.float64]),
)
def test_equals_the_plain_loop(kind, rows, columns, updates, seed, center, dtype):
    history = walk((rows, columns), updates, seed, dtype, step=0.3)
    sums = kind(torch.from_numpy(history[0].copy()), center=center)
    for update, weights in enumerate(history[1:], start=1):
        sums.advance(torch.from_numpy(weights), update)
    assert_equal(sums.take(), reference(history, center), history[-1])


@pytest.mark.parametrize("kind", KINDS)
def test_a_window_begins_where_the_last_one_ended(kind):
    history = walk((4, 9), 12, seed=1, step=0.4)
    sums = kind(torch.from_numpy(history[0].copy()), center=True)
    for update in range(1, 6):
        sums.advance(torch.from_numpy(history[update]), update)
    assert_equal(sums.take(), reference(history[:6], True), history[5])
    for update in range(6, 13):
        sums.advance(torch.from_numpy(history[update]), update - 5)
    assert_equal(sums.take(), reference(history[5:], True), history[-1])


@pytest.mark.parametrize("kind", KINDS)
def test_sums_begin_at_0_whatever_memory_held(kind, monkeypatch):
    monkeypatch.setattr(np, "empty_like", lambda array: np.full(array.shape, np.nan, array.dtype))
    history = walk((3, 8), 2, seed=1)
    history[2][1:] = history[1][1:]  # two of the channels are as they were
    sums = kind(torch.from_numpy(history[0].copy()), center=True)
    sums.advance(torch.from_numpy(history[1]), 1)
    sums.take()
    idle = sums.take()
    assert not idle["path"].any()
    assert not idle["zpath"].any()
    empty = {name: each.clone() for name, each in sums.state().items()}
    sums.take()
    sums.advance(torch.from_numpy(history[2]), 1)
    assert_equal(sums.take(), reference(history[1:], True), history[2])
    sums.load(empty)
    assert not sums.take()["path"].any()


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_taken_stays_as_it_was(kind):
    history = walk((2, 70), 2, seed=2, step=0.5)
    sums = kind(torch.from_numpy(history[0].copy()), center=True)
    sums.advance(torch.from_numpy(history[1]), 1)
    taken = sums.take()
    before = {name: array.copy() for name, array in taken.items()}
    sums.advance(torch.from_numpy(history[2]), 2)
    for name, array in before.items():
        np.testing.assert_array_equal(taken[name], array)


@pytest.mark.parametrize("kind", KINDS)
def test_constant_channels_do_not_move_and_do_not_flip_in_z(kind):
    start = np.full((2, 9), 0.1, np.float32)
    sums = kind(torch.from_numpy(start.copy()), center=True)
    sums.advance(torch.from_numpy(start * np.float32(-3.0)), 1)
    taken = sums.take()
    assert not taken["zpath"].any()
    assert taken["flipped"].size == 0
    np.testing.assert_allclose(taken["path"], 0.4, rtol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_nan_and_infinity_stay_where_they_are(kind):
    history = walk((3, 20), 1, seed=3)
    history[1, 1, 4], history[1, 2, 5] = np.nan, np.inf
    sums = kind(torch.from_numpy(history[0].copy()), center=True)
    sums.advance(torch.from_numpy(history[1]), 1)
    taken = sums.take()
    np.testing.assert_array_equal(taken["weight"], history[1])
    assert np.isfinite(taken["zpath"][0]).all()
    assert np.isnan(taken["zpath"][1]).all()
    assert np.isfinite(np.delete(taken["path"][1], 4)).all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_recorded_exactly(kind, dtype):
    before, after = (torch.from_numpy(each).to(dtype) for each in walk((3, 18), 1, seed=4, step=0.5))
    sums = kind(before, center=False)
    sums.advance(after, 1)
    taken = sums.take()
    np.testing.assert_array_equal(taken["weight"], after.float().numpy())
    assert taken["weight"].dtype == np.float32
    flipped = ((before < 0) != (after < 0)).flatten().nonzero().flatten()
    np.testing.assert_array_equal(taken["flipped"], flipped)


def test_channels_last_weights_keep_their_order():
    weight = torch.randn(4, 3, 5, 5)
    sums = accumulator(weight.to(memory_format=torch.channels_last), center=True)
    np.testing.assert_array_equal(sums.take()["weight"], weight.numpy())


@pytest.mark.parametrize("kind", [CpuAccumulator, DeviceAccumulator])
def test_weights_that_stay_have_no_movement_at_all(kind):
    weight = torch.randn(16, 700, generator=torch.Generator().manual_seed(0))
    sums = kind(weight, center=True)
    for update in range(1, 6):
        sums.advance(weight, update)
    taken = sums.take()
    assert not taken["path"].any()
    assert not taken["zpath"].any(), "rounding counts as movement"
    assert taken["flipped"].size == 0
