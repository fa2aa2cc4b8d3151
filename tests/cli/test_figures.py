"""recu-analyze figures as a user types it: what is listed, drawn, left out and refused."""

from __future__ import annotations

import errno
import os

import pytest

from recu_analysis.figures.print import export
from recu_analysis.store.durable import lock_directory
from recu_analysis.testing import synthetic_run
from tests.cli_runner import refusal, run_cli
from tests.messages import says


def test_figures_are_listed():
    rows = [line.split(maxsplit=1) for line in run_cli("figures", "--list").stdout.splitlines()]
    says(dict(rows)["fig3"], "error", "Fig. 3")
    assert max(map(len, run_cli("figures", "--list", terminal=60).stdout.splitlines())) <= 60


def test_what_is_named_is_drawn_and_what_needs_runs_is_left_out(tmp_path):
    done = run_cli("figures", "--only", "fig3,schedule", "-o", tmp_path / "drawn")
    assert done.exit_code == 0
    assert {path.stem for path in (tmp_path / "drawn").iterdir()} == {"fig3", "schedule"}
    wrong = run_cli("figures", "--only", "fig2,schedule", "--width", 3, "--format", "svg", "-o", tmp_path / "some")
    assert wrong.exit_code == 1
    says(wrong.stderr, "fig2 is left out", "run directory")
    assert 'width="216pt"' in (tmp_path / "some" / "schedule.svg").read_text()
    assert run_cli("figures", "--only", "fig2", "-o", tmp_path / "nothing").exit_code == 1
    assert not (tmp_path / "nothing").exists()


@pytest.mark.parametrize(
    ("option", "value", "facts"),
    [
        ("--only", "shedule", ["'shedule'", "did you mean schedule"]),
        ("--only", "fig3,table9", ["'table9'", "did you mean", "table5"]),
        ("--venue", "icvv", ["'icvv'", "did you mean", "iccv"]),
        ("--format", "pdt", ["'pdt'", "pdf, png, svg, pgf"]),
        ("--width", "wide", ["'wide'"]),
    ],
)
def test_an_unknown_name_is_told_with_those_that_may_be_meant(tmp_path, option, value, facts):
    done = run_cli("figures", option, value, "-o", tmp_path / "none", columns=300)
    assert done.exit_code == (1 if option == "--only" else 2)
    says(done.stderr, *facts)
    assert not (tmp_path / "none").exists()


def test_a_run_that_is_named_twice_is_refused(synthetic_path, tmp_path):
    command = ("figures", synthetic_path, synthetic_path, "--only", "magnitude", "-o", tmp_path / "none")
    says(refusal(*command), synthetic_path, "twice")
    assert not (tmp_path / "none").exists()


def test_runs_in_folders_of_one_name_are_told_apart(tmp_path):
    paths = [synthetic_run(tmp_path / name / "run", seed=seed).path for seed, name in enumerate(("one", "two"))]
    drawn = run_cli("figures", *paths, "--only", "magnitude", "--format", "svg", "-o", tmp_path / "drawn")
    assert drawn.exit_code == 0
    assert "one/run" in (tmp_path / "drawn" / "magnitude.csv").read_text()


def test_a_run_that_is_being_written_is_drawn_with_a_word_about_it(synthetic_path, tmp_path):
    lock = lock_directory(synthetic_path)
    try:
        done = run_cli("figures", synthetic_path, "--only", "silence", "--format", "svg", "-o", tmp_path / "drawn")
    finally:
        os.close(lock)
    assert done.exit_code == 0
    says(done.stderr, "still being written", "update 20")
    assert (tmp_path / "drawn" / "silence.svg").exists()
    after = run_cli("figures", synthetic_path, "--only", "fig3", "-o", tmp_path / "drawn")
    assert "still being written" not in after.stderr


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS])
@pytest.mark.parametrize("only", [["--only", "schedule"], []])
def test_a_disk_that_takes_no_figure_is_an_error(tmp_path, monkeypatch, code, only):
    def refused(*_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(export, "replace_file", refused)
    says(refusal("figures", *only, "-o", tmp_path / "figures"), "cannot write the figure", os.strerror(code))
    assert not any(tmp_path.iterdir())
