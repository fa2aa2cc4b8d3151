"""Completion in the shell, and near names for a command that is not there."""

import os

from recu_analysis.cli import cli
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


def test_the_script_for_the_shell_is_printed(monkeypatch):
    monkeypatch.setenv("_RECU_ANALYZE_COMPLETE", "bash_source")
    says(run_program().stdout, "_recu_analyze_completion", "complete")


def test_a_command_that_is_not_there_has_near_names():
    says(wrong_usage("dead-weihgts", "run"), "dead-weihgts", "dead-weights")
