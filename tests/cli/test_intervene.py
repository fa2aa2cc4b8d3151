"""recu-analyze intervene as a user types it."""

from __future__ import annotations

import json
import shutil

import pytest
import torch

from recu_analysis.nn import build_network
from recu_analysis.training import checkpoint
from recu_analysis.training.config import TrainingConfig
from tests.cli_runner import refusal, run_cli, wrong_usage
from tests.messages import says

FEW = ("--layer", "layer3.2.conv*", "--images", "20", "--repeats", "1", "--quiet")


def test_it_begins_with_a_verdict_fits_80_columns_and_gives_every_number(trained_run, tmp_path):
    done = run_cli("intervene", trained_run, *FEW)
    assert (done.exit_code, done.stderr) == (0, "")
    told = " ".join(done.stdout.split())
    # In a training that short, no weight of the tail flips.
    says(told, "What weights of epochs 0 to 1 are worth cannot be told", "no layer has weights of every group")
    says(told, "20 validation images, 1 draw of each group", "layer3.2.conv1", "re-estimated")
    assert max(map(len, done.stdout.splitlines())) <= 80
    run_cli("intervene", trained_run, *FEW, "-o", tmp_path / "table.json")
    rows = json.loads((tmp_path / "table.json").read_text())
    assert len([row for row in rows if row["reference"] == "unchanged"]) == 3 * 5 * 2
    assert {"rise_low", "image_error", "predicted_rise", "accuracy_change"} <= set(rows[0])
    assert {row["images"] for row in rows} == {20}


def test_weights_are_reflected_and_trained_on(trained_run):
    done = run_cli(
        *("intervene", trained_run, "--layer", "layer3.2.*", "--continue", 1, "--repeats", 1, "--lr", 0.01, "--quiet")
    )
    assert (done.exit_code, done.stderr) == (0, "")
    says(" ".join(done.stdout.split()), "Of the reflected weights", "1 continuation of 1 epoch", "too short to tell")


def saved(path, config=None, seed=0):
    """Write the checkpoint of an untrained network into a run directory."""
    torch.manual_seed(seed)
    model = build_network("resnet20")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    checkpoint.save(path, model, optimizer, checkpoint.TrainingPosition(0, 0, config or TrainingConfig()))


def test_bad_input_is_one_sentence(trained_run, synthetic_path, tmp_path):
    says(refusal("intervene", synthetic_path), "checkpoints/last.safetensors", "recu-analyze train")
    other = tmp_path / "other"
    shutil.copytree(trained_run, other)
    saved(other)
    says(refusal("intervene", other, "-q"), "'layer1.0.conv1'", "differ", "end of")
    saved(other, TrainingConfig(dataset="cifar10"))
    says(refusal("intervene", other, "-q"), "cifar10")
    says(refusal("intervene", trained_run, "--layer", "nothing", "-q"), "'nothing'")
    says(refusal("intervene", trained_run, "--windows", "7:", "-q"), "7:", "0 to 2")
    says(wrong_usage("intervene", trained_run, "--share", "1.5"), "--share", "1.5")
    for option in ("--share", "--lr"):
        says(wrong_usage("intervene", trained_run, option, "0.5"), option, "no effect without --continue")
    says(wrong_usage("intervene", trained_run, "--continue", 1, "--images", 9), "--images", "no effect with --continue")
    says(refusal("intervene", trained_run, synthetic_path), "checkpoints/last.safetensors")


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
