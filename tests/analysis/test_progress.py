"""The newest windows of a run, each read once, and how fast the run goes."""

import os

import numpy as np
import pytest

from recu_analysis.analysis.layers import layer_table
from recu_analysis.analysis.progress import RECENT, NewestWindows, pace_logged, pace_of_files
from recu_analysis.store.run import open_run
from recu_analysis.testing import random_walk, synthetic_run
from tests.run_files import window_file


def test_each_number_is_that_of_the_layer_table_and_each_window_is_read_once(synthetic_path):
    newest = NewestWindows()
    run = open_run(synthetic_path)
    assert [window.number for window in newest.unread(run, 3)] == [4, 3, 2]
    for window in newest.unread(run, 3):
        assert newest.read(run, window)
    table, expected = newest.table(run, 3), layer_table(run)
    expected = expected[expected["window"] >= 2]
    for name in table:
        if name == "layer":
            assert list(table[name]) == list(expected[name])
        else:
            np.testing.assert_allclose(table[name], expected[name], rtol=1e-14, err_msg=name)
    again = open_run(synthetic_path)
    assert newest.unread(again, 3) == []
    assert len(newest.table(again, 1)) == 2
    assert [window.number for window in newest.unread(again, 3)] == [3, 2], "older rows are not kept"


def test_a_window_whose_file_is_gone_is_not_kept(synthetic_path):
    newest, run = NewestWindows(), open_run(synthetic_path)
    window_file(synthetic_path, 3).rename(window_file(synthetic_path, 3).with_name("elsewhere"))
    for window in run.windows[-2:]:  # that of window 4 is there, but not its start
        assert not newest.read(run, window)
    assert newest.table(run, 3).empty
    assert newest.problems == []


def test_the_pace_is_that_of_the_newest_windows(tmp_path):
    synthetic_run(tmp_path, {"a": random_walk((2, 8), 20)}, windows=10)
    for number in range(11):  # it becomes faster
        os.utime(window_file(tmp_path, number), (0, 1000 + (40 * number if number <= 5 else 200 + 4 * (number - 5))))
    run = open_run(tmp_path)
    pace = pace_of_files(run)
    assert (pace.updates, pace.seconds, pace.step) == (pytest.approx(2 * RECENT / 20), 4.0, "window")
    assert pace_logged(run) is None
    for number in range(11):  # as where they were copied at once
        os.utime(window_file(tmp_path, number), (0, 1000))
    assert pace_of_files(open_run(tmp_path)) is None


def test_the_pace_that_was_logged_is_over_epochs_that_follow_on_each_other(synthetic_path, monkeypatch):
    run = open_run(synthetic_path)
    marks = [(0, 10, 5.0), (1, 20, 5.0), (4, 50, 1.0), (5, 60, 10.0)]
    lines = [{"epoch": epoch, "update": update, "seconds": seconds} for epoch, update, seconds in marks]
    monkeypatch.setattr(type(run), "marks", lambda _: iter(lines))
    pace = pace_logged(run)
    assert (pace.updates, pace.seconds, pace.step) == (30 / 20, pytest.approx(20 / 3), "epoch")
