"""What was logged, where marks hold texts and gaps beside numbers."""

import math

import pytest

from recu_analysis import open_run
from recu_analysis.analysis.compare import compare
from recu_analysis.analysis.flips import flip_table
from recu_analysis.analysis.logged import last_logged, logged
from recu_analysis.analysis.selection import window_epochs
from recu_analysis.figures.lockin import plot_lock_in, query
from recu_analysis.report import report
from recu_analysis.testing import synthetic_run
from tests.editing import marks_of, write_marks


@pytest.fixture
def badly_logged(tmp_path):
    path = synthetic_run(tmp_path / "run").path
    values = [10, "20", None, "bad"]
    write_marks(path, [mark | {"val_top1": value} for mark, value in zip(marks_of(path), values, strict=True)])
    return open_run(path)


def test_numbers_are_kept_and_nothing_else(badly_logged):
    assert logged(badly_logged, "epoch", "val_top1").to_numpy().tolist() == [[0, 10], [1, 20]]
    assert last_logged(badly_logged, "val_top1") == 20
    assert compare({"run": badly_logged})["val_top1"].tolist() == [20]


def test_what_was_never_logged_has_no_row(badly_logged):
    table = logged(badly_logged, "epoch", "val_top5")
    assert (list(table), len(table)) == (["epoch", "val_top5"], 0)
    assert math.isnan(last_logged(badly_logged, "val_top5"))


@pytest.mark.parametrize(
    ("marked", "known"),
    [
        (["warmup", 1, "late", 3.5], {1: 1, 3: 3.5}),
        ([None, "2", [1], {"a": 1}], {1: 2}),
        (["inf", 1, 2, "nan"], {1: 1, 2: 2}),
        (["a", "b", "c", ""], {}),
    ],
)
def test_an_epoch_that_is_no_number_was_not_logged(tmp_path, marked, known):
    path = synthetic_run(tmp_path / "run").path
    numbers = dict(enumerate(marked))
    write_marks(path, [mark | {"epoch": numbers.get(mark["window"])} for mark in marks_of(path)])
    run = open_run(path)
    assert window_epochs(run) == known
    table = flip_table(run)
    assert dict(zip(table["window"], table["epoch"].fillna(-1), strict=True)) == {
        number: known.get(number, -1) for number in table["window"]
    }
    assert query({"run": run}).run()["run"].table["window"].nunique() == (len(known) or 4)
    assert plot_lock_in(run).get_xlabel() == ("epoch" if known else "window")
    assert report({"run": run})
