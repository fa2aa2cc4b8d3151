"""Ranges of windows, patterns of layers, and what is said where they match nothing."""

import shutil

import numpy as np
import pytest

from recu_analysis import open_run
from recu_analysis.analysis.selection import (
    WindowSpan,
    decay_time,
    last_half,
    moving_windows,
    select_windows,
)
from recu_analysis.errors import InputError, LayerNotFoundError, WindowNotFoundError
from recu_analysis.store.layer_selection import numbers_text, select_layers
from recu_analysis.store.record import merged
from recu_analysis.testing import layer_state, random_walk, synthetic_run


@pytest.mark.parametrize(("text", "bounds"), [("7", (7, 8)), ("10:20", (10, 20)), ("0:1", (0, 1))])
def test_ranges_are_half_open(text, bounds):
    parsed = WindowSpan.parse(text)
    assert (parsed.start, parsed.stop) == bounds
    assert WindowSpan.parse(str(parsed)) == parsed


@pytest.mark.parametrize("text", ["", "a", "-1", "1:", ":3", "1:2:3", "5:5", "5:3", "1.5"])
def test_what_is_no_range_is_refused(text):
    with pytest.raises(InputError):
        WindowSpan.parse(text)


def test_default_is_the_last_half(run):
    assert last_half(run) == WindowSpan(3, 5)
    assert [window.number for window in moving_windows(run)] == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("numbers", "text"),
    [
        ([3], "3"),
        (range(5), "0 to 4"),
        ([0, 4, 8, 12], "0, 4, 8 and 12"),
        ([0, 4, 5, 6, 12], "0, 4 to 6 and 12"),
        (range(0, 40, 2), "0, 2, 4, 6, 8, 10, ..., 38"),
    ],
)
def test_a_sentence_says_which_windows_there_are(numbers, text):
    assert numbers_text(list(numbers)) == text


def test_windows_that_are_not_there(run):
    with pytest.raises(WindowNotFoundError, match="has the windows 0 to 4, not all of 3:9"):
        select_windows(run, WindowSpan(3, 9))
    with pytest.raises(WindowNotFoundError, match="hold no updates; window 0 is the initial state"):
        select_windows(run, WindowSpan(0, 1))


def test_layers_by_pattern(run):
    assert [spec.name for spec in select_layers(run, None)] == ["first", "second"]
    assert [spec.name for spec in select_layers(run, "*on*")] == ["second"]
    with pytest.raises(LayerNotFoundError, match=r"no layer of .* matches 'x\*'; known are first, second"):
        select_layers(run, ["first", "x*"])


@pytest.mark.parametrize("layer", ["first", "second"])
def test_merged_windows_equal_one_long_window(run, synthetic, layer):
    record = merged(list(run.windows)[1:], layer)
    whole = layer_state(synthetic.history[layer], 1, 20, center=True)
    assert (record.summary.first_update, record.summary.next_update - 1, record.updates) == (1, 20, 20)
    np.testing.assert_allclose(record.path, whole["path"], rtol=1e-6)
    np.testing.assert_allclose(record.zpath, whole["zpath"], rtol=1e-6)
    np.testing.assert_array_equal(record.flips.reshape(-1)[whole["flipped"]], whole["flips"])
    np.testing.assert_array_equal(record.first_flip.reshape(-1)[whole["flipped"]], whole["first_flip"])
    np.testing.assert_array_equal(record.last_flip.reshape(-1)[whole["flipped"]], whole["last_flip"])
    assert record.flips.sum() == whole["flips"].sum()
    np.testing.assert_array_equal(record.start, synthetic.history[layer][0])
    np.testing.assert_array_equal(record.end, synthetic.history[layer][-1])


def test_decay_time_is_t(run):
    assert decay_time(run) == pytest.approx(20 * 0.1 * 1e-2 / 0.1)


def test_a_missing_window_is_named_where_it_matters(tmp_path):
    path = synthetic_run(tmp_path / "run", {"a": random_walk((2, 9), 8)}).path
    shutil.rmtree(path / "history/segment-0000/window-000002")
    run = open_run(path)
    assert [window.number for window in run.windows] == [0, 1, 3, 4]
    assert merged([run.windows[3]], "a").updates == 2
    with pytest.raises(WindowNotFoundError, match="the window that ends at update 4 is missing"):
        merged(list(run.windows)[2:], "a")


def test_a_run_without_updates_says_so(tmp_path):
    run = open_run(synthetic_run(tmp_path / "run", {"a": random_walk((2, 9), 1)}, windows=1).path)
    shutil.rmtree(run.path / "history/segment-0000/window-000001")
    with pytest.raises(WindowNotFoundError, match="holds no window with updates"):
        moving_windows(open_run(run.path))
