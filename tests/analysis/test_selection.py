"""Ranges of windows, patterns of layers, and what is said where they match nothing."""

import shutil

import numpy as np
import pytest

import recu_analysis as ra
from recu_analysis import open_run
from recu_analysis.analysis.selection import (
    WindowSpan,
    decay_time,
    moving_windows,
    select_windows,
    span_of,
)
from recu_analysis.errors import InputError, LayerNotFoundError, WindowNotFoundError, WindowsWarning
from recu_analysis.store.layer_selection import numbers_text, select_layer, select_layers
from recu_analysis.store.record import merged
from recu_analysis.store.thin import thin
from recu_analysis.testing import layer_state, random_walk, synthetic_run
from tests.messages import says


def test_windows_are_chosen_by_number_half_open_with_open_ends(run):
    chosen = {(0, 5): [":", "0:", ":5", slice(None)], (2, 3): [2, "2", " 2 ", np.int64(2), "2:3", slice(2, 3)]}
    chosen[1, 3] = ["1:3", slice(1, 3), slice(1, 3, 1), WindowSpan(1, 3), WindowSpan(np.int64(1), 3)]
    chosen[3, 5] = ["3:", "3:5", slice(3, None)]
    for bounds, choices in chosen.items():
        for windows in choices:
            assert span_of(run, windows) == WindowSpan(*bounds), windows


def test_numbers_that_a_thinned_run_does_not_have_are_passed_over(run, tmp_path):
    thinned = thin(run, windows=[0, 2, 4], output=tmp_path / "thinned")
    assert [str(span_of(thinned, text)) for text in ("1:", ":4", "1:3", "2:5")] == ["2:5", "0:3", "2:3", "2:5"]
    with pytest.raises(WindowNotFoundError) as error:
        span_of(thinned, "3:4")
    says(str(error.value), thinned.path, "3:4", "0, 2 and 4")


def test_what_is_no_choice_of_windows_is_refused_in_a_sentence(run):
    for windows in ("", "a", "-1", "1:2:3", "5:5", "5:3", "1.5", "1,3", "9" * 5000, "٣", -1, 1.0, True, None, (8, 13)):
        with pytest.raises(InputError, match="window"):
            span_of(run, windows)
    for windows in (
        [1, 2],
        range(1, 3),
        {1},
        slice(1, 4, 2),
        slice(-3, None),
        slice(3, 3),
        slice("1", "3"),
        slice(1.5),
    ):
        with pytest.raises(InputError, match="window"):
            span_of(run, windows)
    for windows, text in (([3, 4, 5], "'3:6'"), (range(1, 3), "'1:3'"), ((8, 13), "'8:13'"), ([5, 4], "'8:13'")):
        with pytest.raises(InputError, match=text):
            span_of(run, windows)
    for start, stop in ((5, 2), (3, 3), ("a", 2), (1.5, 3), (-1, 3), (None, 3), (True, 3)):
        with pytest.raises(InputError, match="window"):
            WindowSpan(start, stop)
    for number in (True, 1.0, None, "1", -1):
        with pytest.raises(InputError, match="window"):
            run.window(number)
        with pytest.raises(InputError, match="window"):
            ra.decorrelation_time(run, after=number)


def test_rows_of_the_windows_that_were_chosen(run):
    table = ra.flip_table(run)
    assert ra.flip_table(run, windows="2:4").equals(table[table["window"].isin([2, 3])].reset_index(drop=True))
    assert ra.transitions(run, windows=3)["window"].unique().tolist() == [3]
    with pytest.raises(WindowNotFoundError, match="0:1"):
        ra.flip_table(run, windows=0)


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
    with pytest.raises(WindowNotFoundError, match="none of the windows 7:9; it has 0 to 4"):
        ra.dead_weights(run, windows=WindowSpan(7, 9))
    with pytest.raises(WindowNotFoundError, match="no window 9; it has 0 to 4"):
        run.window(9)
    assert run.window(3) is run.windows[3]
    with pytest.raises(WindowNotFoundError, match="hold no updates; window 0 is the initial state"):
        select_windows(run, WindowSpan(0, 1))


def test_layers_by_pattern(run):
    assert [spec.name for spec in select_layers(run, None)] == ["first", "second"]
    assert [spec.name for spec in select_layers(run, "*on*")] == ["second"]
    with pytest.raises(LayerNotFoundError, match=r"no layer of .* matches 'x\*'; known are first, second"):
        select_layers(run, ["first", "x*"])
    with pytest.raises(InputError, match="no layer is chosen"):
        select_layers(run, [])
    for wrong in (None, ["first"], 3):
        with pytest.raises(InputError, match="one layer is chosen by its name"):
            select_layer(run, wrong)


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
    assert decay_time(run) == pytest.approx(20 * 0.1)


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


def test_what_is_no_pattern_of_layers_is_refused_in_a_sentence(run):
    for wrong in (5, [5], [None], b"first", {"first": 1}, True):
        for function in (ra.dead_weights, ra.layer_table, ra.claims, ra.flip_table):
            with pytest.raises(InputError, match="pattern"):
                function(run, layers=wrong)
    assert len(ra.dead_weights(run, layers={"first"})) == len(ra.dead_weights(run, layers=("first",))) == 1


def test_a_run_that_ends_before_the_chosen_windows_is_told_where_the_user_called(run):
    cut = [(":99", ":99"), ("3:100", "3:100"), ("2:6", "2:6"), (slice(None, 7), ":7"), (WindowSpan(4, 9), "4:9")]
    for function in (ra.dead_weights, ra.layer_table, ra.tails, ra.flip_table, ra.fit_table, ra.cohorts, ra.earned):
        for windows, text in cut:
            with pytest.warns(WindowsWarning) as told:
                function(run, windows=windows)
            assert {str(each.message) for each in told} == {
                f"{run.path} ends with window 4, so the windows {text} end there"
            }
            assert {each.filename for each in told} == {__file__}
    for windows in (":", ":5", "3:5", 4, slice(None), WindowSpan(3, 5)):
        ra.dead_weights(run, windows=windows)  # a warning would be an error here
