"""What was logged, where marks hold texts and gaps beside numbers."""

import math

import pytest

from recu_analysis import open_run
from recu_analysis.analysis.compare import compare
from recu_analysis.analysis.logged import last_logged, logged
from recu_analysis.testing import synthetic_run
from tests.editing import marks_of, write_marks


@pytest.fixture
def run(tmp_path):
    path = synthetic_run(tmp_path / "run").path
    values = [10, "20", None, "bad"]
    write_marks(path, [mark | {"val_top1": value} for mark, value in zip(marks_of(path), values, strict=True)])
    return open_run(path)


def test_numbers_are_kept_and_nothing_else(run):
    assert logged(run, "epoch", "val_top1").to_numpy().tolist() == [[0, 10], [1, 20]]
    assert last_logged(run, "val_top1") == 20
    assert compare({"run": run})["val_top1"].tolist() == [20]


def test_what_was_never_logged_has_no_row(run):
    table = logged(run, "epoch", "val_top5")
    assert (list(table), len(table)) == (["epoch", "val_top5"], 0)
    assert math.isnan(last_logged(run, "val_top5"))
