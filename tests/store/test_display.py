"""What a notebook shows of a run and its windows: short, and names are data."""

import re

import pytest

import recu_analysis as ra
from recu_analysis.store.display import SHOWN, html_facts, html_rows, plain_text
from recu_analysis.testing import random_walk, synthetic_run
from tests.editing import edit_run, marks_of, write_marks
from tests.messages import says

HOSTILE = "<script>alert('x')</script>\n\x1b[31m"


@pytest.fixture
def run(tmp_path):
    path = synthetic_run(tmp_path / "a", {"first": random_walk((2, 3), 8), "<b>": random_walk((2, 3), 8)}).path
    edit_run(path, configuration={str(at): "x" * 100 for at in range(100)})
    write_marks(path, [mark | {"val_top1": 90.123456789, "note": HOSTILE} for mark in marks_of(path)])
    return ra.open_run(path)


def test_a_run_a_window_and_a_record_are_one_short_line(run):
    text = repr(run)
    says(text, "<Run ", "a: 2 layers, ", "windows, last mark: ", "val_top1 90.1235")
    shown = {"run": text, "windows": repr(run.windows), "window": repr(run.windows[-1])}
    shown |= {"record": repr(run.windows[-1]["first"]), "header": repr(run.header)}
    for name, each in shown.items():
        assert len(each) < 300, name
        assert each.isprintable(), name
    says(shown["windows"], f"{len(run.windows)} windows: 0 to ")
    says(repr(run.windows[0]), "no updates")


def test_html_has_layers_windows_and_last_metrics_and_nothing_of_it_is_markup(run):
    page = run._repr_html_()
    says(page, "first", "2x3", "val_top1", "90.1235", "&lt;b&gt;", "&lt;script&gt;")
    for each in (page, run.windows[-1]._repr_html_()):
        assert set(re.findall(r"</?([a-z]+)", each)) <= {"table", "caption", "thead", "tbody", "tr", "th", "td"}
        assert each.isprintable()


def test_many_rows_are_cut_and_what_is_long_is_too():
    says(html_rows(["layer"], [(at,) for at in range(SHOWN + 5)]), "<td>0</td>", "and 5 more")
    assert plain_text("x" * 1000).endswith("x...")
    says(html_facts("<i>", {"a&b": "<u>"}), "&lt;i&gt;", "a&amp;b", "&lt;u&gt;")


def test_a_run_whose_metrics_are_damaged_still_has_a_repr(run):
    (run.path / "history/segment-0000/metrics.jsonl").write_text("nothing\n")
    damaged = ra.open_run(run.path)
    says(repr(damaged), "problem")
    says(damaged._repr_html_(), "problem 1")
