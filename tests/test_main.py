"""The program as a process: how it starts, is interrupted, loses its reader, and what its group says of itself."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from recu_analysis.cli import COMMANDS
from tests.cli_runner import run_cli, run_program
from tests.messages import says


def test_version_and_help():
    assert run_cli("--version").stdout == "recu-analyze, version 0.1.0\n"
    says(run_cli("--help").stdout, *COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_every_command_has_an_example_and_fits_80_columns(command):
    shown = run_cli(command, "--help").stdout
    assert f"Example: recu-analyze {command}" in " ".join(shown.split())
    assert max(map(len, shown.splitlines())) <= 80


def test_module_and_script_are_the_same(synthetic):
    script = Path(sys.executable).parent / "recu-analyze"
    if not script.exists():
        pytest.skip("the package is not installed here")
    done = subprocess.run([script, "info", synthetic.path], capture_output=True, text=True)
    assert done.stdout == run_program("info", synthetic.path).stdout == run_cli("info", synthetic.path).stdout != ""


def test_a_reader_that_goes_away_is_no_error(synthetic):
    command = f"{sys.executable} -m recu_analysis dead-weights {synthetic.path} | true"
    done = subprocess.run(command, shell=True, capture_output=True, text=True)
    assert done.stderr == ""


def test_a_refusal_has_no_trace_and_ends_the_process_with_1(tmp_path):
    done = run_program("dead-weights", "none", cwd=tmp_path)
    assert (done.exit_code, done.stdout) == (1, "")
    says(done.stderr, "Error: ", "none", "recu-analyze train")
    assert done.stderr.count("\n") == 1


def test_ctrl_c_while_the_command_line_is_loaded_is_one_sentence():
    """The interrupt comes while the first module that takes long is imported."""
    code = (
        "import sys, runpy\n"
        "class Interrupting:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'rich_click': raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupting())\n"
        "runpy.run_module('recu_analysis', run_name='__main__')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 130
    says(done.stderr, "Error: ", "Ctrl-C")
    assert done.stderr.count("\n") == 1


def test_ctrl_c_while_a_command_is_loaded_ends_with_130(monkeypatch):
    def interrupted(name):
        raise KeyboardInterrupt

    monkeypatch.setattr("recu_analysis.cli.import_module", interrupted)
    done = run_cli("info", "run")
    assert (done.exit_code, done.stdout) == (130, "")
    assert done.stderr == "Error: stopped by Ctrl-C before anything was done\n"


def without_home(code, *words):
    """A process whose home folder lies below a file, so that nobody can make it, root neither."""
    env = {name: value for name, value in os.environ.items() if name != "MPLCONFIGDIR" and "XDG" not in name}
    env |= {"HOME": "/dev/null/home", "OMP_NUM_THREADS": "1"}
    return subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, env=env)


def test_a_home_that_cannot_be_written_is_told_in_one_sentence():
    code = (
        "from contextlib import suppress\n"
        "from recu_analysis.__main__ import main\n"
        "with suppress(SystemExit): main()\n"
        "import logging, matplotlib\n"
        "logging.getLogger('matplotlib.font_manager').warning('Matplotlib is building the font cache; wait')\n"
        "logging.getLogger('matplotlib').warning('anything else')\n"
    )
    *told, last = without_home(code, "--version").stderr.splitlines()
    assert last == "anything else"
    (told,) = told
    says(told, "/dev/null/home", "MPLCONFIGDIR")
