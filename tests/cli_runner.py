"""The command line as a user types it: what it prints, and with which exit code."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, NamedTuple
from unittest import mock

from click.testing import CliRunner

from recu_analysis.cli import cli

if TYPE_CHECKING:
    from pathlib import Path


class Done(NamedTuple):
    """What a command left: its exit code, and what it wrote to standard output and to standard error."""

    exit_code: int
    stdout: str
    stderr: str


def run_cli(*arguments: object, columns: int = 80, terminal: int | None = None) -> Done:
    """Run recu-analyze in this process, where torch is loaded once; an exception that it lets through is the test's.

    Its tables go into a pipe, or as if to a terminal of so many columns; help and prose have `columns`.
    """
    runner = CliRunner(env={"COLUMNS": str(columns), "NO_COLOR": "1"})
    words = [str(argument) for argument in arguments]
    with mock.patch("recu_analysis.cli.output.terminal_width", return_value=terminal):
        done = runner.invoke(cli, words, prog_name="recu-analyze", catch_exceptions=False)
    return Done(done.exit_code, done.stdout, done.stderr)


def run_program(*arguments: object, cwd: Path | None = None) -> Done:
    """Run `python -m recu_analysis` in a process of its own, for what the streams, signals and exit of one do."""
    done = subprocess.run(
        [sys.executable, "-m", "recu_analysis", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=300,
        env=os.environ | {"COLUMNS": "80", "OMP_NUM_THREADS": "1"},
        cwd=cwd,
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr)


def refusal(*arguments: object) -> str:
    """The sentence with which a command refuses: exit code 1, one line on standard error, and nothing else."""
    done = run_cli(*arguments)
    assert (done.exit_code, done.stdout) == (1, ""), done
    assert done.stderr.startswith("Error: "), done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr.removeprefix("Error: ").rstrip("\n")


def wrong_usage(*arguments: object) -> str:
    """What a command says of wrong usage, exit code 2, as one line without the box around it."""
    done = run_cli(*arguments)
    assert (done.exit_code, done.stdout) == (2, ""), done
    return " ".join(done.stderr.replace("│", " ").split())
