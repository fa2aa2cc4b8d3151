"""recu-analyze levels as a user types it, and what the other commands say about such a run."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn

import recu_analysis as ra
from tests.capture.level_layers import sgd, tiny
from tests.cli_runner import refusal, run_cli
from tests.messages import says


@pytest.fixture(scope="module")
def ternary(tmp_path_factory):
    """The run directory of a network with one ternary layer."""
    path, model = tmp_path_factory.mktemp("levels") / "ternary", tiny("bitnet")
    optimizer = sgd(model, lr=0.02)
    with ra.record(model, optimizer, path, quantities=["gradient-stats"]) as recorder:
        for epoch in range(3):
            for _ in range(5):
                optimizer.zero_grad()
                nn.functional.cross_entropy(model(torch.randn(16, 12)), torch.arange(16) % 3).backward()
                optimizer.step()
            recorder.mark(epoch=epoch)
    return path


def test_it_fits_80_columns_and_gives_every_number(ternary):
    done = run_cli("levels", ternary)
    assert (done.exit_code, done.stderr) == (0, "")
    assert max(map(len, done.stdout.splitlines())) <= 80
    says(done.stdout.splitlines()[0], "In window 3", "% of the weights", "state 0")
    rows = json.loads(run_cli("levels", ternary, "--windows", "2:", "--format", "json").stdout)
    assert [row["window"] for row in rows] == [2, 3]
    assert {"flip_ratio_threshold", "oscillation_frequency_null", "trapped_fraction_null"} <= set(rows[0])


def test_what_is_known_of_the_levels_is_told(ternary, synthetic_path):
    says(run_cli("info", ternary).stdout, "1 with 3 levels, 96 weights")
    says(refusal("levels", synthetic_path), synthetic_path, "no layer with more than two levels", "flips")
    assert run_cli("verify", ternary).exit_code == 0


def test_dead_weights_speak_of_states_and_thresholds(ternary):
    done = run_cli("dead-weights", ternary)
    told = " ".join(done.stdout.split())
    says(told, "far from a threshold and did not change their state", "distance from a threshold")
    assert "sign" not in done.stdout
    says(run_cli("watch", "--once", ternary).stdout, "silent")


@pytest.mark.parametrize("command", ["flips", "updates"])
def test_tables_of_movement_speak_of_states(ternary, command):
    done = run_cli(command, ternary)
    assert done.exit_code == 0
    told = " ".join(done.stdout.split())
    says(told, "state", "for sign read state, and for zero the nearest threshold")
    assert "of the signs" not in told


def test_figures_of_states_are_drawn(ternary, tmp_path):
    done = run_cli("figures", ternary, "-o", tmp_path / "out", "--format", "svg", "--only", "oscillation")
    assert done.exit_code == 0
    assert [path.name for path in (tmp_path / "out").glob("*.svg")] == ["oscillation.svg"]
    says(refusal("figures", ternary, "-o", tmp_path / "b", "--only", "layers"), "signs only", "'0' have 3 levels")


@pytest.mark.parametrize("command", ["claims", "fit", "report", "tradeoff"])
def test_commands_about_signs_refuse_it_with_one_sentence(ternary, tmp_path, command):
    words = {"report": [ternary, "--output", tmp_path / "out"], "tradeoff": ["--run", ternary]}.get(command, [ternary])
    says(refusal(command, *words), "signs only", "layer '0' have 3 levels", "recu-analyze levels")


@pytest.mark.parametrize("command", ["intervene", "evaluate"])
def test_commands_that_need_a_saved_network_say_so(ternary, command):
    says(refusal(command, ternary), "has no checkpoints/last.safetensors")
