"""recu-analyze evaluate as a user types it: runs and files, weights that are no numbers, and what does not fit."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
import torch

from tests.cli_runner import refusal, run_cli, wrong_usage
from tests.messages import says

#: What files of the authors do not say of themselves.
DIGITS = ("--network", "resnet20", "--dataset", "digits")


def test_a_run_and_a_file_of_the_same_network_score_the_same(saved_networks):
    done = run_cli("evaluate", saved_networks / "run")
    assert done.exit_code == 0
    assert done.stderr == ""
    first, second = done.stdout.splitlines()
    says(first, "resnet20", "360 images", "digits")
    file = saved_networks / "model_best.pth.tar"
    official = run_cli("evaluate", file, *DIGITS, "--format", "json")
    (row,) = json.loads(official.stdout)
    says(second, f"top-1 {row['top1']:.2f} %", f"top-5 {row['top5']:.2f} %", f"loss {row['loss']:.4f}")
    assert (row["network"], row["dataset"], row["images"]) == ("resnet20", "digits", 360)


def test_weights_that_are_nan_are_said_of_a_network_whose_signs_hide_them(saved_networks):
    done = run_cli("evaluate", saved_networks / "nan.pth.tar", *DIGITS)
    assert done.exit_code == 0
    assert done.stderr.startswith("Warning: layer1.0.conv1.weight of ")
    assert done.stderr.count("\n") == 1


def test_outputs_that_are_nan_are_said_and_a_tau_that_is_nan_changes_none(saved_networks):
    done = run_cli("evaluate", saved_networks / "negative.pth.tar", *DIGITS)
    assert (done.exit_code, done.stderr.count("\n")) == (0, 1)
    assert done.stderr.startswith("Warning: outputs of ")
    assert run_cli("evaluate", saved_networks / "tau.pth.tar", *DIGITS).stderr == ""


@pytest.mark.parametrize(
    ("arguments", "facts"),
    [
        (["nosuchrun"], ["nosuchrun", "does not exist"]),
        (["x" * 300], ["xxx", "File name too long"]),
        (["none.pth", *DIGITS], ["none.pth", "does not exist"]),
        (["text.pth", *DIGITS], ["text.pth", "cannot be read"]),
        (["model_best.pth.tar", "--network", "vgg_small", "--dataset", "digits"], ["model_best.pth.tar", "vgg_small"]),
        (["model_best.pth.tar", "--network", "resnet20", "--dataset", "x"], ["'x'", "digits"]),
        (["three.pth.tar", *DIGITS], ["3 classes", "10"]),
        (["vgg.pth.tar", "--network", "vgg_small", "--dataset", "digits"], ["(batch, 3, 32, 32)"]),
        (["."], [".", "checkpoints/last.safetensors", "recu-analyze train"]),
        (["run", "--network", "resnet18"], ["run", "resnet20", "resnet18"]),
    ],
)
def test_bad_input_is_one_sentence(saved_networks, monkeypatch, arguments, facts):
    monkeypatch.chdir(saved_networks)
    says(refusal("evaluate", *arguments), *facts)


def test_a_file_needs_its_network_and_data_set(saved_networks):
    says(wrong_usage("evaluate", saved_networks / "model_best.pth.tar"), "--network", "--dataset")


def test_whoever_trusts_a_file_says_so(saved_networks, tmp_path):
    content = torch.load(saved_networks / "model_best.pth.tar", weights_only=True)
    torch.save(content | {"arguments": SimpleNamespace(lr=0.1)}, tmp_path / "own.pth.tar")
    assert "--unsafe-load" in refusal("evaluate", tmp_path / "own.pth.tar", *DIGITS)
    trusted = run_cli("evaluate", tmp_path / "own.pth.tar", *DIGITS, "--unsafe-load")
    assert trusted == run_cli("evaluate", saved_networks / "model_best.pth.tar", *DIGITS)
    assert trusted.exit_code == 0
