"""recu-analyze tradeoff as a user types it: the closed forms, what a run measures, and the drawing."""

from __future__ import annotations

import json

import pytest

from tests.cli_runner import refusal, run_cli, wrong_usage
from tests.messages import says


def test_it_reproduces_the_closed_forms():
    done = run_cli("tradeoff", "--tau", 0.6, 0.9, "--points", 4)
    assert done.exit_code == 0
    assert max(map(len, done.stdout.splitlines())) <= 80
    rows = [line.split() for line in done.stdout.splitlines()]
    assert rows[2] == ["0.6000", "2.0000", "0.4463", "0.4000", "0.0119", "4.1079", "6.5600", "1.0318"]


def test_it_takes_the_levels_of_a_schedule():
    rows = json.loads(run_cli("tradeoff", "--epochs", 5, "--format", "json").stdout)
    assert [row["epoch"] for row in rows] == [0, 1, 2, 3, 4]
    assert rows[0]["tau"] == 0.85


def test_it_measures_a_run_and_draws(synthetic_path, tmp_path):
    drawing = tmp_path / "made" / "curve.svg"
    done = run_cli("tradeoff", "--run", synthetic_path, "--layer", "first", "--points", 3, "--figure", drawing)
    assert done.exit_code == 0
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert sum(line.startswith("first ") for line in done.stdout.splitlines()) == 3
    ends = ("csv", "json", "svg", "tex")
    assert sorted(path.name for path in drawing.parent.iterdir()) == [f"curve.{end}" for end in ends]
    says(done.stderr, drawing, *ends)
    assert done.stderr.count("\n") == 1
    assert str(tmp_path) not in (drawing.parent / "curve.json").read_text()
    earlier = run_cli("tradeoff", "--run", synthetic_path, "--windows", ":3", "--points", 2, "--figure", drawing)
    says(earlier.stdout, "measured at the end of window 2")
    says((drawing.parent / "curve.json").read_text(), "--windows :3")


@pytest.mark.parametrize(
    ("arguments", "facts"),
    [
        (["--epochs", 0], ["epoch", "not 0"]),
        (["--tau", 0.9, 0.6], ["tau", "lower"]),
        (["--b", -1], ["b ", "-1"]),
        (["--tau", 0.9, 0.9, "--figure", "x.pdf"], ["tau", "two ends", "0.9"]),
        (["--run", "nowhere"], ["nowhere"]),
    ],
)
def test_what_it_cannot_do_is_one_sentence_and_leaves_nothing(tmp_path, monkeypatch, arguments, facts):
    monkeypatch.chdir(tmp_path)
    says(refusal("tradeoff", *arguments), *facts)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "facts"),
    [
        (["--points", 3, "--epochs", 3], ["--points", "--epochs", "exclude each other"]),
        (["--layer", "x"], ["--layer", "--run"]),
        (["--windows", "3"], ["--windows", "--run"]),
        (["--tau", "x", 1], ["--tau", "'x'"]),
        (["--figure", "x.gif"], ["--figure", "'gif'", "pdf, png, svg, pgf"]),
        (["--figure", "x"], ["--figure", "x", ".pdf, .png or .svg"]),
    ],
)
def test_options_that_do_not_go_together_are_wrong_usage(arguments, facts):
    says(wrong_usage("tradeoff", *arguments), *facts)


def test_a_long_schedule_is_shown_at_some_epochs():
    done = run_cli("tradeoff", "--epochs", 600, terminal=80)
    rows = [line.split() for line in done.stdout.splitlines() if line[:5].strip().isdecimal()]
    assert (len(rows), rows[0][0], rows[-1][0]) == (15, "0", "599")
    says(done.stdout, "15 of 600 epochs", "CSV and JSON have all")
    assert len(json.loads(run_cli("tradeoff", "--epochs", 600, "--format", "json").stdout)) == 600
    assert "epochs are shown" not in run_cli("tradeoff", "--epochs", 15).stdout
