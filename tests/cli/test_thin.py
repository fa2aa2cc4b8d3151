"""recu-analyze thin as a user types it: exit codes, streams, nothing half-written."""

import json
import os
import subprocess
import sys

import pytest

from recu_analysis.testing import synthetic_run


def run_cli(*arguments):
    command = [sys.executable, "-m", "recu_analysis", *map(str, arguments)]
    environment = os.environ | {"COLUMNS": "80", "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return synthetic_run(tmp_path_factory.mktemp("thin") / "run", windows=10).path


def test_thin_says_what_it_made(path, tmp_path):
    done = run_cli("thin", path, "--windows", "0,1,5, 10", "--layer", "second", "-o", tmp_path / "small")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.startswith(f"{tmp_path}/small has 4 of 11 windows, ")
    assert run_cli("verify", tmp_path / "small").returncode == 0
    tables = [
        json.loads(run_cli("dead-weights", where, "--layer", "second", "--window", window, "--format", "json").stdout)
        for where, window in ((path, "6:11"), (tmp_path / "small", "10"))
    ]
    (before,), (after,) = tables
    assert (before.pop("first_window"), after.pop("first_window")) == (6, 10)
    assert after == {
        name: pytest.approx(value, rel=1e-5) if isinstance(value, float) else value for name, value in before.items()
    }


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["--windows", "0,12"], 1, "has the windows 0 to 10, not 12\n"),
        (["--windows", "0,5"], 1, "Error: window 10 must stay, else what was recorded there would be lost; add 10"),
        (["--windows", "0:5"], 2, "windows are written 0,1,5,20, not '0:5'"),
        (["--windows", "0,10", "--layer", "x*"], 1, "matches 'x*'; known are first, second"),
        ([], 2, "Missing option '--windows'"),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_nothing(path, tmp_path, arguments, code, text):
    done = run_cli("thin", path, *arguments, "-o", tmp_path / "small")
    assert done.returncode == code
    assert text in done.stderr
    assert done.stdout == ""
    if code == 1:
        assert done.stderr.count("\n") == 1
    assert not any(tmp_path.iterdir())


def test_what_exists_is_refused(path):
    done = run_cli("thin", path, "--windows", "0,10", "-o", path)
    assert done.returncode == 1
    assert done.stderr == f"Error: {path} exists already; choose another folder for the thinned run\n"
