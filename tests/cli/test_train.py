"""recu-analyze train as a user types it: what it says, refuses, stops at, and goes on with."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from recu_analysis import open_run
from recu_analysis.cli.train import interruptible
from recu_analysis.testing import synthetic_run
from tests.cli_runner import refusal, run_cli, run_program, wrong_usage
from tests.messages import says


def test_it_says_how_large_the_run_becomes_and_what_is_next(training):
    path, done = training
    assert done.stdout == ""
    before, *epochs, after, following = done.stderr.splitlines()
    says(before, path, "10.5 MiB")
    run = open_run(path)
    for line, mark in zip(epochs, run.marks(), strict=True):
        says(line, f"epoch {mark['epoch']}", f"{mark['train_top1']:.2f} %", f"{mark['val_top1']:.2f} %")
    says(after, "2 epochs", path, f"{mark['train_top1']:.2f} %", f"{mark['val_top1']:.2f} %")
    says(following, f"recu-analyze dead-weights {path}")
    assert len(run.layer_names) == 18
    assert run.metrics["epoch"].tolist() == [0, 1]
    assert run.configuration["seed"] == 3


def test_an_existing_run_is_refused_and_a_finished_one_not_repeated(trained_run, training_options):
    says(refusal("train", "--run-dir", trained_run, *training_options), trained_run, "--resume", "--overwrite")
    assert run_cli("train", "--run-dir", trained_run, *training_options, "--resume").exit_code == 0
    wrong_usage("train", "--run-dir", trained_run, "--resume", "--overwrite")


def test_ctrl_c_stops_cleanly_and_resume_gives_the_same_weights(trained_run, training_options, tmp_path):
    path = tmp_path / "run"
    command = [sys.executable, "-m", "recu_analysis", "train", "--run-dir", path, *training_options]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with subprocess.Popen([*map(str, command)], stderr=subprocess.PIPE, text=True, env=environment) as done:
        deadline = time.monotonic() + 120
        while not (path / "history/segment-0000/metrics.jsonl").exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        done.send_signal(signal.SIGINT)
        errors = done.stderr.read()
    assert done.returncode == 130
    says(errors, "Ctrl-C", "1 of 2 epochs", "--resume")
    assert not open_run(path).problems
    assert run_program("train", "--run-dir", path, *training_options, "--resume").exit_code == 0
    first, second = open_run(trained_run), open_run(path)
    assert [w.number for w in second.windows] == [0, 1, 2]
    for a, b in zip(first.windows, second.windows, strict=True):
        for name in first.layer_names:
            for quantity in ("weight", "path", "zpath", "flips", "last_flip"):
                np.testing.assert_array_equal(getattr(a[name], quantity), getattr(b[name], quantity))


def test_the_second_ctrl_c_interrupts_but_not_under_torchrun(monkeypatch):
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with interruptible() as stopped:
            signal.raise_signal(signal.SIGINT)
            assert stopped()
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
        monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
        with interruptible() as stopped:
            assert not stopped()
            for _ in range(3):
                signal.raise_signal(signal.SIGINT)
            assert stopped()
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.fixture
def working_folder(tmp_path, monkeypatch):
    """The working folder, with a run in it, an empty folder, and one of ordinary checkpoints."""
    synthetic_run(tmp_path / "run")
    (tmp_path / "empty").mkdir()
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints/epoch1.pth").touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "facts"),
    [
        (["x", "--epochs", 0], ["epoch", "not 0"]),
        (["x", "--network", "resnet2"], ["resnet2", "did you mean resnet20 or resnet18?"]),
        (["x", "--tau", 0.9, 0.8], ["tau must not fall"]),
        (["x", "--accumulate", 0], ["batch", "not 0"]),
        (["x", "--binarizer", "bnn", "--scale", "none"], ["scale", "recu"]),
        (["x", "--data-dir", "empty"], ["--data-dir"]),
        (["x", "--image-size", 16], ["--image-size"]),
        (["x", "--dataset", "fashion-mnist", "--data-dir", "empty"], ["gz", "missing"]),
        (["x", "--resume"], ["x", "does not exist"]),
        (["empty", "--resume"], ["empty", "not a run directory"]),
        (["checkpoints"], ["checkpoints", "exists", "not a run directory"]),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_nothing(working_folder, arguments, facts):
    says(refusal("train", "--run-dir", *arguments), *facts)
    assert not (working_folder / "x").exists()


@pytest.mark.parametrize(
    ("arguments", "facts"),
    [
        (["--scale", "some"], ["'some'", "float"]),
        (["--schedule", "sine"], ["'sine'"]),
        (["--mask", "random", "--no-recu"], ["--mask", "--no-recu"]),
        (["--tau", 0.6, 0.7, "--no-recu"], ["--tau", "--no-recu"]),
        (["--tau", 0.6, 0.7, "--binarizer", "bnn"], ["--tau", "bnn"]),
    ],
)
def test_options_that_say_nothing_here_are_wrong_usage(working_folder, arguments, facts):
    says(wrong_usage("train", "--run-dir", "x", *arguments), *facts)
    assert not (working_folder / "x").exists()
