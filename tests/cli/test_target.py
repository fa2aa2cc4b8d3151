"""Where a table goes and how it is written: --output, --format and --columns."""

from __future__ import annotations

import csv
import io
import json

import pytest

from recu_analysis.testing import random_walk, synthetic_run
from tests.cli_runner import refusal, run_cli, wrong_usage
from tests.messages import says

COMMAND = ("tradeoff", "--points", 2)


def test_the_ending_of_the_file_says_the_format_and_folders_are_made(tmp_path):
    for ending, form in {
        "txt": "table",
        "csv": "csv",
        "json": "json",
        "tex": "latex",
        "md": "markdown",
        "HTML": "html",
    }.items():
        path = tmp_path / "new" / ending / f"t.{ending}"
        done = run_cli(*COMMAND, "-o", path)
        assert (done.exit_code, done.stdout, done.stderr) == (0, "", f"wrote {path}\n")
        assert path.read_text() == run_cli(*COMMAND, "--format", form).stdout
        assert [each.name for each in path.parent.iterdir()] == [path.name]
    assert run_cli(*COMMAND, "--format", "csv", "-o", tmp_path / "data").exit_code == 0
    says((tmp_path / "data").read_text(), "tau,b,quantile")


def test_a_dash_is_standard_output(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run_cli(*COMMAND, "-o", "-") == run_cli(*COMMAND)
    assert json.loads(run_cli(*COMMAND, "-o", "-", "--format", "json").stdout)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "facts"),
    [
        (["-o", "t.xlsx"], ["t.xlsx", ".txt, .csv, .json, .tex, .md, .html", "--format"]),
        (["-o", "t"], ["t ", ".csv"]),
        (["-o", "t.csv", "--format", "json"], ["json", "t.csv", "csv"]),
        (["--format", "xlsx"], ["xlsx", "markdown"]),
        (["--columns", " ,"], ["layer,weights"]),
    ],
)
def test_what_says_no_format_or_two_is_wrong_usage(tmp_path, monkeypatch, arguments, facts):
    monkeypatch.chdir(tmp_path)
    says(wrong_usage(*COMMAND, *arguments), *facts)
    assert not list(tmp_path.iterdir())


def test_csv_keeps_the_characters_of_names(tmp_path):
    names = ["a\nb", 'c,"d"\x1b[31m', "e\rf \x07"]
    path = synthetic_run(tmp_path / "run", {name: random_walk((4, 20), 4) for name in names}).path
    ask = ("dead-weights", path, "--columns", "layer,weights", "--format", "csv")
    run_cli(*ask, "-o", tmp_path / "t.csv")
    for text in (run_cli(*ask).stdout, (tmp_path / "t.csv").read_bytes().decode()):
        rows = list(csv.reader(io.StringIO(text, newline="")))
        assert [row[0] for row in rows] == ["layer", *names, "all"]
        assert {len(row) for row in rows} == {2}


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path):
    (tmp_path / "file").touch()
    says(refusal(*COMMAND, "-o", tmp_path / "file" / "t.csv"), "file/t.csv", "cannot be written")


def test_columns_are_chosen_in_every_format_in_their_order(synthetic_path):
    ask = ("tradeoff", "--run", synthetic_path, "--columns", "layer,entropy, tau,entropy")
    for form, first in {
        "csv": "layer,entropy,tau",
        "markdown": "| layer | entropy (nats) | level tau |",
        "latex": r"layer & \shortstack[r]{entropy \\ (nats)} & level $\tau$ \\",
    }.items():
        assert first in run_cli(*ask, "--format", form).stdout.splitlines()
    rows = json.loads(run_cli(*COMMAND, "--columns", "entropy,tau", "--format", "json").stdout)
    assert [list(row) for row in rows] == [["entropy", "tau"]] * 2
    text = run_cli(*COMMAND, "--columns", "entropy,tau").stdout.splitlines()
    assert text[0].split() == ["entropy", "tau"]
    assert text[1].split() == ["1.8784", "0.8500"]
    assert not any(line.startswith("alpha") for line in text)


def test_columns_that_only_rows_of_layers_have_show_these(synthetic_path):
    ask = ("flips", synthetic_path, "--format", "markdown", "--columns")
    medians = run_cli(*ask, "window,flip_ratio").stdout
    assert "| layer |" not in medians
    layers = run_cli(*ask, "layer,window").stdout
    assert layers.count("| first |") == layers.count("| second |") == medians.count("\n|") - 1


def test_an_unknown_column_is_refused_with_near_names(synthetic_path):
    says(
        wrong_usage("dead-weights", synthetic_path, "--columns", "layer,silent_fracton"),
        "--columns",
        "'silent_fracton'",
        "did you mean silent_fraction",
    )
    says(wrong_usage(*COMMAND, "--columns", "entrpy"), "'entrpy'", "did you mean entropy")
