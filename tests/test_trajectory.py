"""Merging records: any partition equals the whole, integers exactly."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recu_analysis.errors import InputError
from recu_analysis.testing import layer_state, random_walk
from tests.trajectory import Trajectory, merge

WALK = random_walk((3, 11), 24, step=0.3, seed=5)
INTEGERS = ("flips", "first_flip", "last_flip")


def record(first, last, walk=WALK):
    state = layer_state(walk, first, last, center=True)
    dense = {name: np.full(walk[0].size, 0 if name == "flips" else -1) for name in INTEGERS}
    for name, array in dense.items():
        array[state["flipped"]] = state[name]
    return Trajectory(
        first_update=first,
        last_update=last,
        start=walk[first - 1],
        end=walk[last],
        path=state["path"].astype(np.float64),
        zpath=state["zpath"].astype(np.float64),
        **{name: array.reshape(walk[0].shape) for name, array in dense.items()},
        lr=state.summary.lr,
        lr_decay=state.summary.lr_decay,
        decay_time=state.summary.decay_time,
        tau=state.summary.tau,
    )


def assert_same(a, b):
    assert (a.first_update, a.last_update, a.tau) == (b.first_update, b.last_update, b.tau)
    for name in (*INTEGERS, "start", "end"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
    for name in ("path", "zpath", "lr", "lr_decay", "decay_time"):
        np.testing.assert_allclose(getattr(a, name), getattr(b, name), rtol=1e-6)


@given(st.sets(st.integers(1, 23)))
def test_any_partition_merged_equals_the_whole(cuts):
    bounds = [0, *sorted(cuts), 24]
    parts = [record(low + 1, high) for low, high in pairwise(bounds)]
    merged = parts[0]
    for part in parts[1:]:
        merged = merge(merged, part)
    assert_same(merged, record(1, 24))


@given(st.integers(1, 22), st.integers(1, 22))
def test_merging_is_associative(a, b):
    low, high = sorted((a, b + 1)) if a != b + 1 else (a, a + 1)
    one, two, three = record(1, low), record(low + 1, high), record(high + 1, 24)
    assert_same(merge(merge(one, two), three), merge(one, merge(two, three)))


def test_what_does_not_adjoin_is_refused():
    with pytest.raises(InputError, match="updates 1 to 4 and 6 to 8 do not"):
        merge(record(1, 4), record(6, 8))
    other = random_walk((2, 2), 24)
    with pytest.raises(InputError, match=r"shapes \(3, 11\) and \(2, 2\).*layer"):
        merge(record(1, 4), record(5, 8, other))
