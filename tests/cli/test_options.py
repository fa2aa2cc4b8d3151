"""What options and warnings do alike in every command that shares them."""

from __future__ import annotations

import itertools
import shutil
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import click
import numpy as np
import pytest

from recu_analysis.analysis import parallel
from recu_analysis.cli import cli, options
from recu_analysis.cli.thin import NumbersType
from recu_analysis.store import tensors
from recu_analysis.testing import random_walk, synthetic_run
from tests.cli_runner import refusal, run_cli, run_program, wrong_usage
from tests.messages import says


@pytest.mark.parametrize("tell", ["note", "warn", "fail"])
def test_a_terminal_obeys_no_name_of_a_file(tell, capsys):
    getattr(options, tell)("b\nc\x1b[31m\udc80ü.png")
    assert capsys.readouterr().err.endswith("b\\nc\\x1b[31m\\udc80ü.png\n")


def test_color_and_quiet(synthetic_path, tmp_path):
    assert "\x1b[" not in run_program("dead-weights", synthetic_path).stdout
    assert "\x1b[1m" in run_program("dead-weights", synthetic_path, "--color", "always").stdout
    done = run_program("dead-weights", synthetic_path, "--quiet", "-o", tmp_path / "t.txt", "--color", "always")
    assert done.stderr == ""
    assert "\x1b[" not in (tmp_path / "t.txt").read_text()


@pytest.mark.parametrize(
    ("variable", "option", "expected"),
    [("1", "auto", False), ("1", "always", True), ("", "auto", None), ("", "never", False)],
)
def test_no_color_means_none_unless_the_option_asks_for_it(monkeypatch, variable, option, expected):
    monkeypatch.setenv("NO_COLOR", variable)
    monkeypatch.setattr(options, "_meta", lambda: {"recu.color": option})
    assert options.color() is expected


def test_debug_shows_where_an_error_arises(tmp_path):
    says(run_cli("info", tmp_path / "none", "--debug").stderr, "Traceback", "NotARunError")


@pytest.mark.parametrize("command", ["dead-weights", "updates", "fit"])
def test_several_processes_print_the_same(synthetic_path, command):
    one, two, many = (run_cli(command, synthetic_path, "--format", "csv", "--jobs", jobs) for jobs in (1, 2, 10**10))
    assert one == two == many
    assert one.exit_code == 0
    assert one.stdout != ""


@pytest.mark.parametrize(("cores", "jobs", "threads"), [(2, (), 2), (64, (), 4), (64, ("--jobs", 7), 7), (1, (), None)])
def test_layers_are_shared_between_as_many_threads_as_there_are_cores(
    synthetic_path, monkeypatch, cores, jobs, threads
):
    made = []

    def workers(of, **_):
        made.append(of)
        return nullcontext()

    monkeypatch.setattr("os.cpu_count", lambda: cores)
    monkeypatch.setattr(parallel, "workers", workers)
    assert run_cli("updates", synthetic_path, *jobs).exit_code == 0
    assert made == ([] if threads is None else [threads])


@pytest.mark.parametrize("command", ["dead-weights", "updates", "flips", "fit", "claims", "compare --seeds", "report"])
def test_damaged_windows_are_told_and_make_the_exit_code(damaged_path, tmp_path, command):
    done = run_cli(*command.split(), damaged_path, *(["-o", tmp_path / "page.html"] if command == "report" else []))
    assert done.exit_code == 1
    assert done.stderr.startswith("Warning: window 1 (")
    assert done.stdout or (tmp_path / "page.html").exists(), "what is whole is shown"


WINDOWS = ("dead-weights", "updates", "flips", "fit", "compare --seeds", "claims", "tradeoff --run")


def test_windows_are_chosen_alike_and_those_that_are_not_there_are_told(synthetic_path):
    """By number, without the second; in prose as "3 to 4", where an option's value is meant as "3:99"."""
    for command in WINDOWS:
        words = [*command.split(), synthetic_path, "--windows"]
        done = run_cli(*words, "3:99")
        assert done.exit_code == 0, done.stderr
        says(done.stderr.splitlines()[-1], synthetic_path.name, "ends with window 4", "3:99")
        assert "3:99" not in done.stdout
        assert "ends with" not in run_cli(*words, "3:5").stderr
        says(refusal(*words, "7:9"), "7:9", "0 to 4")
        says(wrong_usage(*words, "9:7"), "9:7")


@pytest.mark.parametrize("command", ["updates", "flips", "claims", "compare --seeds"])
def test_weights_that_are_no_numbers_are_told(tmp_path, command):
    walk = random_walk((8, 30), 4)
    walk[-1, 3, :2] = np.nan
    done = run_cli(*command.split(), synthetic_run(tmp_path / "run", {"damaged": walk}).path)
    assert done.exit_code == 0
    says(done.stderr.splitlines()[0], "Warning: ", "damaged", tmp_path / "run", "2 of its weights", "NaN or infinite")


@pytest.mark.parametrize("command", [["claims"], ["tradeoff", "--run"], ["figures", "--only", "scores"]])
def test_constant_channels_are_told_where_something_is_measured(tmp_path, command):
    walk = random_walk((8, 30), 4)
    walk[:, [0, 5]] = 0.5
    path = synthetic_run(tmp_path / "run", {"half": walk, "whole": random_walk((8, 30), 4)}).path
    output = ["--output", tmp_path / "figures"] if command[0] == "figures" else []
    done = run_cli(*command, path, *output)
    assert done.exit_code == 0, done.stderr
    (told,) = [line for line in done.stderr.splitlines() if "are constant" in line]
    says(told, "Warning: ", "half", path, "2 of its channels")
    assert "are constant" not in run_cli("flips", path).stderr


@pytest.mark.parametrize(("command", "columns"), [("dead-weights", 12), ("updates", 10), ("flips", 12), ("fit", 9)])
def test_latex_has_the_columns_of_the_text_table(tmp_path, command, columns):
    path = synthetic_run(tmp_path / "run", {"a": random_walk((16, 30), 4, step=0.5)}).path
    lines = run_cli(command, path, "--format", "latex").stdout.splitlines()
    (opening,) = [line for line in lines if line.startswith(r"\begin{tabular}{")]
    assert len(opening.removeprefix(r"\begin{tabular}{").removesuffix("}")) == columns
    assert opening.endswith("r}"), "numbers to the right"


READERS = ("info", "dead-weights", "flips", "compare --curves", "watch --once", "thin --windows 0,4 -o NEW")
OTHERS = (
    "verify",
    "updates",
    "fit",
    "claims",
    "compare",
    "updates --jobs 2",
    "figures --only fig2 --format svg -o NEW",
)


@pytest.mark.parametrize("opened", [2, pytest.param(1, marks=pytest.mark.faults), 12])
@pytest.mark.parametrize(
    "command", [*READERS, *(pytest.param(each, marks=pytest.mark.faults) for each in OTHERS)], ids=str.split
)
def test_a_run_that_is_deleted_while_it_is_read_is_told_or_was_read_already(
    synthetic_path, tmp_path, monkeypatch, command, opened
):
    """It is deleted before a file of it is opened, the first, the second or the twelfth one."""
    name, *more = command.replace("NEW", str(tmp_path / "new")).split()
    before = run_cli(name, synthetic_path, *more)
    shutil.rmtree(tmp_path / "new", ignore_errors=True)
    real, count = tensors.open_for_reading, itertools.count(1)

    def deleted(*arguments, **named):
        if next(count) == opened:
            shutil.rmtree(synthetic_path)
        return real(*arguments, **named)

    monkeypatch.setattr(tensors, "open_for_reading", deleted)
    done = run_cli(name, synthetic_path, *more)
    if next(count) <= opened:
        pytest.skip("it opens fewer files")
    if done.exit_code:
        assert done.exit_code == 1
        last = done.stderr.splitlines()[-1]
        says(last, synthetic_path)
        assert last.startswith(("Error: ", "Warning: "))
        assert not (tmp_path / "new").exists()
    else:
        assert done == before, "what is shown is what the run was"


@pytest.mark.parametrize("name", ["dead-weights", "train", "plan", "tradeoff", "figures", "intervene", "thin", "demo"])
def test_a_number_that_no_computer_holds_is_one_sentence(name):
    command = cli.get_command(click.Context(cli), name)
    numbers = (click.types.IntParamType, options.WindowsType, NumbersType)
    asked = [each.opts[0] for each in command.params if isinstance(each.type, numbers)]
    assert asked
    for option in asked:
        told = wrong_usage(name, option, "9" * 5000)
        says(told, option, "99999")
        assert len(told) < 500


@pytest.mark.parametrize("error", [FileNotFoundError(2, "No such file", "a\nb"), PermissionError(13, "denied", "a\nb")])
def test_what_the_system_refuses_is_one_sentence_with_the_file(error, capsys):
    options.fail_of_system(error)
    told = capsys.readouterr().err
    says(told, "a\\nb", error.strerror, "try again")
    assert told.count("\n") == 1


def test_a_current_folder_that_was_deleted_is_told(tmp_path, monkeypatch, capsys):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    options.fail_of_system(FileNotFoundError(2, "No such file or directory"))
    says(capsys.readouterr().err, "current folder was deleted")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
@pytest.mark.parametrize("words", [["--help"], ["info", "--help"]])
def test_a_full_disk_behind_the_help_is_one_sentence(words):
    command = [sys.executable, "-m", "recu_analysis", *words]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("Error: standard output cannot be written: No space left on device")
    assert done.stderr.count("\n") == 1
