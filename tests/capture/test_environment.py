"""run.json says what trained, and nothing that names a person or tells a secret."""

import json

import pytest
import torch

import recu_analysis as ra
from recu_analysis.capture.environment import environment, what_trains
from tests.capture.plain_loops import sgd, tiny


@pytest.mark.parametrize(
    ("words", "command"),
    [
        (
            ["/home/jane/bin/recu-analyze", "train", "--data-dir", "/home/jane/data"],
            "recu-analyze train --data-dir data",
        ),
        (["/x/site-packages/recu_analysis/__main__.py", "demo"], "recu-analyze demo"),
        (["/home/jane/train.py", "--token", "s3cr3t", "--data=/home/jane"], "train.py"),
        ([""], ""),
    ],
)
def test_the_command_tells_no_folder_and_no_argument_of_others(monkeypatch, words, command):
    monkeypatch.setattr("sys.argv", words)
    assert environment()["command"] == command.split(" ")


def test_optimizers_are_told_with_the_settings_of_every_group():
    model = tiny()
    groups = [{"params": [model[1].weight], "lr": torch.tensor(0.5)}, {"params": [model[3].weight], "name": "last"}]
    told = what_trains(model, [torch.optim.AdamW(groups, lr=0.1, weight_decay=0.2), sgd(model)])
    assert told["model"] == "torch.nn.modules.container.Sequential"
    adam, plain = told["optimizers"]
    assert adam["class"] == "torch.optim.adamw.AdamW"
    assert [group["lr"] for group in adam["groups"]] == [0.5, 0.1]
    assert adam["groups"][1]["betas"] == [0.9, 0.999]
    assert adam["groups"][1]["name"] == "last"
    assert plain["groups"][0]["momentum"] == 0.5
    assert "params" not in json.dumps(told)


def test_they_stand_in_run_json_beside_the_configuration(tmp_path):
    model = tiny()
    ra.record(model, sgd(model), tmp_path / "run", configuration={"mine": 1}).close()
    run = ra.open_run(tmp_path / "run")
    assert run.configuration == {"mine": 1}
    assert run.header.environment["optimizers"][0]["class"] == "torch.optim.sgd.SGD"
    assert {"model", "command", "versions"} <= run.header.environment.keys()
