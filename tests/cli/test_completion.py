"""Completion in the shell, and near names for a command that is not there."""

import os

from recu_analysis.cli import cli
from recu_analysis.testing import random_walk, synthetic_run
from tests.cli_runner import run_program, wrong_usage
from tests.messages import says


def completed(*words):
    """What the shell would offer for the last word, asked as bash asks."""
    from click.shell_completion import BashComplete

    *typed, last = map(os.fspath, words)
    complete = BashComplete(cli, {}, "recu-analyze", "_RECU_ANALYZE_COMPLETE")
    return [each.value for each in complete.get_completions(typed, last)]


def test_commands_layers_figures_and_venues_are_completed(synthetic_path, tmp_path):
    assert completed("dead") == ["dead-weights"]
    assert completed("dead-weights", synthetic_path, "--layer", "s") == ["second"]
    assert completed("compare", tmp_path, synthetic_path, "--layer", "f") == ["first"]
    assert completed("dead-weights", "gone", "--layer", "") == []
    assert completed("figures", "--only", "fig2,fl") == ["fig2,fliplaw"]
    assert completed("figures", "--venue", "ne") == ["neurips"]


def test_names_that_a_shell_would_split_are_left_out_and_lists_of_runs_are_read(tmp_path):
    names = ("a\nb", "a b", "a'b", "a:b", "a$b", "a.b-c_1")
    synthetic_run(tmp_path / "run", {name: random_walk((4, 20), 4) for name in names})
    (tmp_path / "runs.toml").write_text("[[run]]\nfolder = 'run'\n")
    (tmp_path / "broken.toml").write_text("[[run")
    for run in ("run", "runs.toml"):
        assert completed("compare", tmp_path / run, "--layer", "a") == ["a.b-c_1"]
    assert completed("compare", tmp_path / "broken.toml", "x" * 5000, "--layer", "a") == []


def test_the_script_for_the_shell_is_printed(monkeypatch):
    monkeypatch.setenv("_RECU_ANALYZE_COMPLETE", "bash_source")
    says(run_program().stdout, "_recu_analyze_completion", "complete")


def test_a_command_that_is_not_there_has_near_names():
    says(wrong_usage("dead-weihgts", "run"), "dead-weihgts", "dead-weights")
