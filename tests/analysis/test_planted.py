"""Answers planted in a run and found again: dead, revived, slowed, scale and shape; and any partition merged."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.special import gamma

from recu_analysis import dead_weights, layer_table, open_run
from recu_analysis.analysis.cohorts import transitions
from recu_analysis.analysis.distance import tails
from recu_analysis.analysis.selection import WindowSpan
from recu_analysis.errors import InputError, WindowsWarning
from recu_analysis.store.record import merged
from recu_analysis.testing import planted_layer, random_walk, synthetic_run
from recu_analysis.theory.standardize import WeightTransform
from tests.trajectory import merge, trajectory

#: Weights of the tail that flip in windows 2 and 3 of four windows of 5 updates.
REVIVED = {7: 40, 9: 2, 12: 100}
IN_WINDOW = {1: 0, 2: 42, 3: 100, 4: 0}


@pytest.fixture(scope="module")
def planted():
    return planted_layer(revived=REVIVED, slowed=4.0, shape=1.3, scale=0.2)


@pytest.fixture(scope="module")
def opened(planted, tmp_path_factory):
    return open_run(synthetic_run(tmp_path_factory.mktemp("planted") / "run", {"a": planted.history}).path)


def test_so_many_are_dead_in_every_window(planted, opened):
    tail = int(planted.tail.sum())
    assert tail == 720
    for window, flipped in IN_WINDOW.items():
        row = dead_weights(opened, windows=WindowSpan(window, window + 1)).iloc[0]
        assert row["dead"] == tail - flipped
        assert row["tail_fraction"] == pytest.approx(0.3)
        assert row["silent_fraction_core"] == pytest.approx(1 - planted.restless.sum() / (planted.tail.size - tail))
    assert (
        dead_weights(opened, windows=WindowSpan(1, 5)).iloc[0]["dead"] == (planted.flip_update[planted.tail] < 0).sum()
    )


def test_flips_have_the_planted_updates(planted, opened):
    record = merged(list(opened.windows)[1:], "a")
    np.testing.assert_array_equal(record.first_flip[planted.tail], planted.flip_update[planted.tail])
    np.testing.assert_array_equal(record.last_flip[planted.tail], planted.flip_update[planted.tail])
    np.testing.assert_array_equal(record.flips[~planted.tail], np.where(planted.restless[~planted.tail], 20, 0))


def test_so_many_are_revived(opened):
    table = layer_table(opened).set_index("window")
    dead = {window: 720 - flipped for window, flipped in IN_WINDOW.items()}
    for window in (2, 3, 4):
        assert table["revived_fraction"][window] == pytest.approx(IN_WINDOW[window] / dead[window - 1])
        assert table["revived_fraction_core"][window] == 0.0
    changes = transitions(opened).set_index("window")
    assert changes["died_fraction"].tolist()[1:] == [1.0, 1.0]
    assert changes["revived_fraction"][3] == pytest.approx(100 / (720 - 42))


def test_the_tail_is_slowed_by_the_planted_factor(planted, opened):
    assert planted.mobility_core / planted.mobility_tail == pytest.approx(4.0)
    for window in (1, 4):
        row = tails(opened, windows=WindowSpan(window, window + 1)).iloc[0]
        assert row["mobility_tail"] == pytest.approx(planted.mobility_tail, rel=1e-4)
        assert row["mobility_core"] == pytest.approx(planted.mobility_core, rel=1e-4)
        assert row["mobility_ratio"] == pytest.approx(0.25, rel=1e-4)


@pytest.mark.parametrize("shape", [0.8, 1.0, 2.0])
def test_scale_and_shape_are_found(tmp_path, shape):
    layer = planted_layer(channels=2, weights=20000, updates=1, shape=shape, scale=0.3, seed=3)
    transform = WeightTransform(center=True, target=2.0)
    run = open_run(synthetic_run(tmp_path / "run", {"a": layer.history}, windows=1, transform=transform).path)
    row = layer_table(run).iloc[-1]
    assert row["gennorm_shape"] == pytest.approx(shape, rel=0.04)
    # E|w| over the root of E w^2 of a generalized normal, in the unit that target 2 sets.
    expected = 2.0 * np.sqrt(2.0) * gamma(2 / shape) / np.sqrt(gamma(1 / shape) * gamma(3 / shape))
    assert row["b_hat"] == pytest.approx(expected, rel=0.02)
    own = layer.history[-1, 0] / 0.5  # the first channel's unit
    assert np.abs(own).mean() == pytest.approx(0.3 * gamma(2 / shape) / gamma(1 / shape), rel=0.03)


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"weights": 50}, "a multiple of 40 per channel, not 50"),
        ({"revived": {3: 3}}, "even numbers of weights, not {3: 3}"),
        ({"revived": {21: 2}}, "updates from 1 to 20 to even numbers of weights, not {21: 2}"),
        ({"revived": {3: 1000}}, r"1000.*720"),
    ],
)
def test_what_cannot_be_planted_is_refused(wrong, text):
    with pytest.raises(InputError, match=text):
        planted_layer(**wrong)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(cuts=st.sets(st.integers(2, 4)), first=st.integers(1, 4), last=st.integers(1, 4))
def test_any_partition_merged_equals_the_whole(run, cuts, first, last):
    first, last = min(first, last), max(first, last)
    windows = list(run.windows)[first : last + 1]
    whole = merged(windows, "second")
    groups: list[list] = [[]]
    for window in windows:
        if window.number in cuts and groups[-1]:
            groups.append([])
        groups[-1].append(window)
    parts = [eager(group) for group in groups]
    result = parts[0]
    for part in parts[1:]:
        result = merge(result, part)
    for name in ("first_update", "updates", "tau"):
        assert getattr(whole.summary, name) == getattr(result, name)
    for name in ("start", "end", "flips", "first_flip", "last_flip"):
        np.testing.assert_array_equal(getattr(whole, name), getattr(result, name))
    for name in ("path", "zpath"):
        np.testing.assert_allclose(getattr(whole, name), getattr(result, name), rtol=1e-12)
    for name in ("lr", "lr_decay", "decay_time"):
        np.testing.assert_allclose(getattr(whole.summary, name), getattr(result, name), rtol=1e-12)


def eager(windows):
    result = trajectory(windows[0]["second"])
    for window in windows[1:]:
        result = merge(result, trajectory(window["second"]))
    return result


def test_a_layer_of_one_channel(tmp_path):
    walk = random_walk((1, 60), 8)
    run = open_run(synthetic_run(tmp_path / "run", {"a": walk}, windows=2).path)
    row = dead_weights(run, windows=WindowSpan(1, 3)).iloc[0]
    z = (walk[0, 0] - walk[0, 0].mean(dtype=np.float64)) / walk[0, 0].std(ddof=1, dtype=np.float64)
    signs = walk[:, 0] - walk[:, 0].mean(axis=1, keepdims=True, dtype=np.float64) >= 0
    far = np.argsort(-np.abs(z))[:18]
    assert row["dead"] == sum((signs[:, index] == signs[0, index]).all() for index in far)


def test_one_window_only(tmp_path):
    run = open_run(synthetic_run(tmp_path / "run", {"a": random_walk((4, 30), 4)}, windows=1).path)
    assert dead_weights(run).iloc[0]["first_window"] == 1
    assert layer_table(run)["revived_fraction"].isna().all()
    with pytest.warns(WindowsWarning, match="ends with window 1"):
        beyond = dead_weights(run, windows=WindowSpan(1, 4))
    pd.testing.assert_frame_equal(beyond, dead_weights(run, windows=1))


def test_a_nan_in_a_channel_of_one_weight_is_no_number(tmp_path):
    walk = random_walk((3, 1), 4)
    walk[2:, 1] = np.nan
    row = dead_weights(open_run(synthetic_run(tmp_path / "run", {"a": walk}, windows=1).path)).iloc[0]
    assert row["nonfinite"] == 1
    assert row["mobility_core"] == 0.0
    assert np.isnan(row["autocorrelation"])
