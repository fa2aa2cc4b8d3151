"""A layer over several windows, merged: its ends are those of the first and the last window, whatever lies between."""

from dataclasses import replace

import numpy as np
import pytest

from recu_analysis import open_run
from recu_analysis.errors import NotRecordedError
from recu_analysis.store.record import Ends, merged
from tests.store.recording import SPEC, WALK, record

#: First and last update of each window.
SPANS = (1, 3), (4, 8), (9, 9), (10, 15), (16, 17)


def with_own_tau(state, last):
    return replace(state, summary=replace(state.summary, tau=0.5 + last / 100))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Five windows in two segments; those of the second are sampled."""
    path = record(tmp_path_factory.mktemp("ends") / "run", *SPANS[:3], change=with_own_tau)
    return open_run(record(path, *SPANS[3:], resume=9, exact=False, change=with_own_tau))


@pytest.mark.parametrize(("first", "last"), [(1, 1), (1, 3), (2, 5), (1, 5)])
def test_ends_are_those_of_the_first_and_the_last_window(run, first, last):
    windows = [window for window in run.windows if window.updates][first - 1 : last]
    whole = merged(windows, "a")
    begin, end = SPANS[first - 1][0] - 1, SPANS[last - 1][1]
    assert (whole.updates, whole.tau, whole.exact) == (end - begin, pytest.approx(0.5 + end / 100), last <= 3)
    for name, at in (("start", begin), ("scored_start", begin), ("end", end), ("operand", end), ("scored", end)):
        np.testing.assert_array_equal(getattr(whole, name), WALK[at], err_msg=name)
    steps = np.abs(np.diff(WALK[begin : end + 1].astype(np.float64), axis=0)).sum(axis=0)
    np.testing.assert_allclose(whole.path, steps, rtol=1e-6)
    for side, at in (("start", begin), ("end", end)):
        weights = WALK[at].astype(np.float64)
        centered = weights - weights.mean(axis=1, keepdims=True)
        deviations = weights.std(axis=1, ddof=1)
        z = centered / deviations[:, None]
        for name, expected in (("z", z), ("distance", np.abs(z)), ("deviations", deviations)):
            np.testing.assert_allclose(getattr(whole, f"{name}_{side}"), expected, rtol=1e-9, atol=1e-12)
        np.testing.assert_array_equal(getattr(whole, f"states_{side}"), np.where(centered < 0, -1, 1))


def test_the_state_at_the_start_of_a_training_adds_nothing(run):
    with_it, without = merged(run.windows[:3], "a"), merged(run.windows[1:3], "a")
    for name in ("start", "end", "path", "zpath", "flips", "first_flip", "last_flip", "silent", "updates"):
        np.testing.assert_array_equal(getattr(with_it, name), getattr(without, name), err_msg=name)


@pytest.mark.parametrize("z", ["effective", "latent"])
def test_a_layer_without_a_transform_is_scored_by_its_effective_weights_or_by_the_latent_ones(tmp_path, z):
    spec = replace(SPEC, transform=None, z=z)

    def with_effective(state, last):
        return replace(state, arrays={**state.arrays, "effective": 1.0 - WALK[last]})

    path = record(tmp_path / "with", *SPANS, specs=[spec], change=with_effective)
    whole = merged(open_run(path).windows[1:], "a")
    np.testing.assert_array_equal(whole.operand, 1.0 - WALK[17])
    for name, at in (("scored_start", 0), ("scored", 17)):
        np.testing.assert_array_equal(getattr(whole, name), WALK[at] if z == "latent" else 1.0 - WALK[at])
    without = merged(open_run(record(tmp_path / "without", *SPANS, specs=[spec])).windows[1:], "a")
    with pytest.raises(NotRecordedError, match="no effective weights of layer 'a'"):
        _ = without.operand


def test_arrays_of_windows_before_a_number_are_dropped(run):
    ends, windows = Ends(SPEC), run.windows[1:4]
    before = [ends.scores(window) for window in windows]
    ends.forget(2)
    kept = [ends.scores(window) is each for window, each in zip(windows, before, strict=True)]
    assert kept == [False, True, True]
