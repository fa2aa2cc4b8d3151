"""What was logged, where marks hold texts and gaps beside numbers."""

import math

import pytest
from matplotlib.figure import Figure

from recu_analysis import open_run
from recu_analysis.analysis.compare import compare
from recu_analysis.analysis.differences import curves
from recu_analysis.analysis.flips import flip_table
from recu_analysis.analysis.logged import last_logged, logged
from recu_analysis.analysis.rates import rates_by_epoch
from recu_analysis.analysis.selection import window_epochs
from recu_analysis.errors import InputError
from recu_analysis.figures.fig5 import plot_accuracy
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


@pytest.mark.parametrize(
    "value",
    [
        10**400,
        "n/a",
        *(pytest.param(value, marks=pytest.mark.faults) for value in (-(10**400), [91.0], {"top1": 91.0}, "inf", None)),
    ],
)
def test_metrics_of_any_kind_are_read_as_numbers_or_as_nothing(tmp_path, value):
    """A hand-edited file holds any value of JSON, in the metrics that analyses use."""
    path = synthetic_run(tmp_path / "run").path
    first, *others = marks_of(path)
    write_marks(path, [first | dict.fromkeys(("epoch", "val_top1", "lr", "tau", "seconds"), value), *others])
    run = open_run(path)
    assert logged(run, "epoch", "val_top1").to_numpy().tolist() == [[1, 51.0], [2, 52.0], [3, 53.0]]
    assert window_epochs(run) == {2: 1.0, 3: 2.0, 4: 3.0}
    assert [each.lr for each in rates_by_epoch(run, run.windows[2], "first")] == [pytest.approx(0.1)]
    assert plot_accuracy(run, ax=Figure().subplots()).lines[0].get_xdata().tolist() == [1, 2, 3]
    curves({"run": run})
    assert report({"run": run})
    write_marks(path, [mark | {"epoch": value, "val_top1": value, "lr": value} for mark in (first, *others)])
    run = open_run(path)
    assert math.isnan(last_logged(run, "val_top1"))
    assert compare({"run": run})["val_top1"].isna().all()
    assert report({"run": run})
    with pytest.raises(InputError, match="logged no"):
        plot_accuracy(run, ax=Figure().subplots())


def test_numbers_too_large_for_integers_are_floats(tmp_path):
    path = synthetic_run(tmp_path / "run").path
    write_marks(path, [mark | {"epoch": 2**63 + mark["window"]} for mark in marks_of(path)])
    assert logged(open_run(path), "epoch")["epoch"].tolist() == [2.0**63] * 4
