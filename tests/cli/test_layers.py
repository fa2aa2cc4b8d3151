"""recu-analyze layers as a user types it: networks by name, checkpoints of any kind, and what is none."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
import torch

from tests.cli_runner import refusal, run_cli, wrong_usage
from tests.messages import says


def test_layers_of_a_network_by_name_fit_80_columns():
    done = run_cli("layers", "reactnet18", "--quiet", terminal=80)
    assert done.exit_code == 0
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0].split() == ["name", "shape", "weights", "binary", "why"]
    assert lines[1].split()[:5] == ["conv", "64x3x7x7", "9408", "no", "first"]
    assert sum(" yes " in line for line in lines) == 16
    says(lines[-1], "16 of 21 layers", "10985472 of 11172032 weights", "98.3 %")


def test_layers_of_a_checkpoint_and_what_it_says_of_itself(saved_networks):
    done = run_cli("layers", saved_networks / "model_best.pth.tar", "--quiet", terminal=80)
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    says(lines[0], "resnet20_1w1a", "epoch 7", "12.50 %", "tau 0.8500")
    says(lines[-1], "18 of 20 layers", "267264 of 268336 weights", "99.6 %")


def test_a_checkpoint_that_says_little_of_itself(tmp_path):
    torch.save({"state_dict": {"a.weight": torch.ones(2, 3), "a.tau": torch.ones(3)}}, tmp_path / "a.pth")
    done = run_cli("layers", tmp_path / "a.pth", "--quiet")
    assert done.exit_code == 0
    says(done.stdout.splitlines()[0], "checkpoint", "nothing")
    says(done.stdout.splitlines()[-1], "0 of 1 layers", "0 of 6 weights", "0.0 %")
    torch.save({"state_dict": {}}, tmp_path / "empty.pth")
    says(refusal("layers", tmp_path / "empty.pth"), "empty.pth", "no named tensors")


def test_layers_of_checkpoints_of_other_kinds(saved_networks, tmp_path):
    own = json.loads(run_cli("layers", saved_networks / "run/checkpoints/last.safetensors", "--format", "json").stdout)
    assert own == json.loads(run_cli("layers", saved_networks / "model_best.pth.tar", "--format", "json").stdout)
    flat = {"module.a.binary_conv.weights": torch.rand(36, 1), "module.a.bn1.weight": torch.rand(4)}
    torch.save({"model_state_dict": flat}, tmp_path / "flat.ckpt")
    (row,) = json.loads(run_cli("layers", tmp_path / "flat.ckpt", "--format", "json").stdout)
    assert (row["name"], row["shape"], row["binary"]) == ("a.binary_conv", "4x9", True)
    says(row["why"], "Bi-Real", "ReActNet")


def test_layers_in_other_formats_are_a_row_each(saved_networks, tmp_path):
    rows = json.loads(run_cli("layers", saved_networks / "model_best.pth.tar", "--format", "json").stdout)
    assert len(rows) == 20
    says(rows[1].pop("why"), "ReCU", "alpha and tau", "w - mean", "b* = 2")
    assert rows[1] == {"name": "layer1.0.conv1", "shape": "16x16x3x3", "weights": 2304, "binary": True}
    done = run_cli("layers", "resnet20", "--format", "csv", "-o", tmp_path / "layers.csv")
    assert (done.exit_code, done.stdout) == (0, "")
    assert (tmp_path / "layers.csv").read_text().startswith("name,shape,weights,binary,why\nconv1,16x3x3x3,432,False,")


def test_a_real_valued_twin_is_listed():
    done = run_cli("layers", "resnet20-real", "--quiet")
    assert done.exit_code == 0
    says(done.stdout.splitlines()[-1], "0 of 20 layers", "0 of 268336 weights", "0.0 %")


def test_tensors_that_are_not_listed_are_named(saved_networks):
    done = run_cli("layers", saved_networks / "sparse.pth.tar", "--quiet")
    says(done.stderr, "Warning: ", saved_networks / "sparse.pth.tar", "linear.weight")
    assert done.stderr.count("\n") == 1
    assert done.stdout.splitlines()[-1].startswith("18 of 19 layers are binary")


@pytest.mark.parametrize(
    ("name", "facts"),
    [
        ("a.pth", ["a.pth", "no layer", "weight", "two axes"]),
        ("resnet2", ["'resnet2'", "did you mean resnet20 or resnet18?"]),
        ("none.pth.tar", ["none.pth.tar", "does not exist"]),
        ("other.pth", ["other.pth", "no named tensors"]),
        ("run", ["run is a folder"]),
        ("x" * 300, ["xxx", "File name too long"]),
    ],
)
def test_bad_input_is_one_sentence(saved_networks, monkeypatch, name, facts):
    monkeypatch.chdir(saved_networks)
    says(refusal("layers", name), *facts)


def test_no_name_is_wrong_usage():
    says(wrong_usage("layers"), "Missing argument", "NETWORK|CHECKPOINT")


def test_whoever_trusts_a_file_says_so(saved_networks, tmp_path):
    content = torch.load(saved_networks / "model_best.pth.tar", weights_only=True)
    torch.save(content | {"arguments": SimpleNamespace(lr=0.1)}, tmp_path / "own.pth.tar")
    assert "--unsafe-load" in refusal("layers", tmp_path / "own.pth.tar")
    trusted = run_cli("layers", tmp_path / "own.pth.tar", "--unsafe-load")
    assert trusted == run_cli("layers", saved_networks / "model_best.pth.tar")
    assert trusted.exit_code == 0
