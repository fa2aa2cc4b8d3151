"""Tables as text, CSV, JSON and LaTeX, and the small formats they are made of."""

import json
import sys
from pathlib import Path

import pandas as pd
import pytest
import rich_click as click

from recu_analysis.cli.output import aligned, count, deliver, number, shorten, size, three_digits
from recu_analysis.errors import StoreError
from tests.messages import facts, says

TABLE = pd.DataFrame({"layer": ["a_b", "c"], "value": [0.123456789123, float("nan")], "count": [1, 2]})


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (589_824, "589824"), (2_359_296, "2.359M"), (11.2e6, "11.2M"), (5e9, "5G")]
)
def test_counts_fit_six_characters(value, text):
    assert count(value) == text
    assert len(text) <= 6


@pytest.mark.parametrize(("value", "text"), [(0.0, "0.00"), (9.996, "10.0"), (99.96, "100"), (1234.4, "1234")])
def test_three_digits(value, text):
    assert three_digits(value) == text


def test_missing_numbers_are_dashes():
    assert number(float("nan"), 2) == three_digits(float("nan")) == "-"


@pytest.mark.parametrize(
    ("value", "text"), [(12, "12 B"), (2048, "2.0 KiB"), (3 * 2**20, "3.0 MiB"), (2**31, "2.0 GiB")]
)
def test_sizes(value, text):
    assert size(value) == text


def test_long_names_keep_both_ends():
    assert shorten("model.encoder.layer.11.attention.query", 20) == "model.e…ention.query"
    assert shorten("short", 5) == "short"


def test_aligned_lines_end_without_spaces():
    lines = aligned(["name", "x"], [["a", "1"], ["long name", ""]], (6, 4))
    assert [click.unstyle(line) for line in lines] == ["name      x", "a         1", "lo…ame"]


def test_json_is_a_list_of_rows_with_null_for_nan(capsys):
    deliver(TABLE, "json", None, str)
    rows = json.loads(capsys.readouterr().out)
    assert rows == [{"layer": "a_b", "value": 0.123456789123, "count": 1}, {"layer": "c", "value": None, "count": 2}]


def test_csv_has_nine_digits(capsys):
    deliver(TABLE, "csv", None, str)
    assert capsys.readouterr().out == "layer,value,count\na_b,0.123456789,1\nc,,2\n"


def test_latex_is_booktabs_with_escaped_names(capsys):
    deliver(TABLE, "latex", None, str)
    out = capsys.readouterr().out
    assert "\\toprule" in out
    assert "a\\_b & 0.1235 & 1" in out
    assert "c & -- & 2" in out


def test_a_file_is_replaced_as_a_whole(tmp_path, capsys):
    path = tmp_path / "t.csv"
    path.write_text("old")
    deliver(TABLE, "csv", path, str)
    assert path.read_text().startswith("layer,value")
    assert list(tmp_path.iterdir()) == [path]
    assert capsys.readouterr().err == f"wrote {path}\n"


def test_an_unwritable_file_is_one_sentence(tmp_path):
    with pytest.raises(StoreError, match=facts("t.csv", "No such file or directory")):
        deliver(TABLE, "csv", tmp_path / "none" / "t.csv", str)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_behind_standard_output_is_one_sentence(monkeypatch):
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        monkeypatch.setattr(sys, "stdout", full)
        with pytest.raises(StoreError) as caught:
            deliver(TABLE, "csv", None, str)
        full.write("what is flushed at exit finds a sink")
    says(str(caught.value), "standard output", "No space left on device")
