"""Tables on standard output and in files."""

import sys
from pathlib import Path

import pandas as pd
import pytest
import rich_click as click

from recu_analysis.cli import options
from recu_analysis.cli.output import aligned, size, write_table
from recu_analysis.errors import StoreError

TABLE = pd.DataFrame({"layer": ["a_b", "c"], "value": [0.123456789123, float("nan")], "count": [1, 2]})


@pytest.mark.parametrize("tell", ["note", "warn", "fail"])
def test_a_terminal_obeys_no_name_of_a_file(tell, capsys):
    getattr(options, tell)("b\nc\x1b[31m\udc80ü.png")
    assert capsys.readouterr().err.endswith("b\\nc\\x1b[31m\\udc80ü.png\n")


@pytest.mark.parametrize(
    ("value", "text"), [(12, "12 B"), (2048, "2.0 KiB"), (3 * 2**20, "3.0 MiB"), (2**31, "2.0 GiB")]
)
def test_sizes(value, text):
    assert size(value) == text


def test_aligned_lines_end_without_spaces():
    lines = aligned(["name", "x"], [["a", "1"], ["long name", ""]], (6, 4))
    assert [click.unstyle(line) for line in lines] == ["name      x", "a         1", "lo…ame"]


def test_a_file_is_replaced_as_a_whole(tmp_path, capsys):
    path = tmp_path / "t.csv"
    path.write_text("old")
    write_table(TABLE, "csv", path, str)
    assert path.read_text().startswith("layer,value")
    assert list(tmp_path.iterdir()) == [path]
    assert capsys.readouterr().err == f"wrote {path}\n"


def test_an_unwritable_file_is_one_sentence(tmp_path):
    with pytest.raises(StoreError, match=r"t\.csv cannot be written: No such file or directory"):
        write_table(TABLE, "csv", tmp_path / "none" / "t.csv", str)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_behind_standard_output_is_one_sentence(monkeypatch):
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        monkeypatch.setattr(sys, "stdout", full)
        with pytest.raises(StoreError) as caught:
            write_table(TABLE, "csv", None, str)
        full.write("what is flushed at exit finds a sink")
    assert str(caught.value) == (
        "the table cannot be written to standard output: No space left on device; make room, or send it elsewhere"
    )
