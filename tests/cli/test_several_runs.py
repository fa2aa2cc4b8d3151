"""Commands that show each of several runs in a block of its own."""

from __future__ import annotations

import json

import pytest

from recu_analysis.testing import random_walk, synthetic_run
from tests.cli_runner import run_cli
from tests.messages import says


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    folder = tmp_path_factory.mktemp("two")
    for seed, run in enumerate(("one", "two")):
        synthetic_run(folder / run, {name: random_walk((16, 60), 12, step=0.5, seed=seed) for name in ("a", "b")})
    return folder


@pytest.mark.parametrize("command", ["updates", "flips", "fit"])
def test_each_run_has_a_block_with_its_own_numbers(two, command):
    alone = {name: json.loads(run_cli(command, two / name, "--format", "json").stdout) for name in ("one", "two")}
    both = json.loads(run_cli(command, two / "one", two / "two", "--format", "json").stdout)
    assert both == [{"run": name, **row} for name, rows in alone.items() for row in rows]
    text = run_cli(command, two / "one", two / "two").stdout
    assert text.startswith("one: ")
    assert text.count("\nwindow: " if command == "flips" else "\nlayer: ") == 1, "columns are explained once"
    for name, block in zip(("one", "two"), text.split("\ntwo: "), strict=True):
        own = run_cli(command, two / name, "--quiet").stdout.split("\n\n")
        assert own[1] in block, "the table of a run is that of the run alone"
    says(run_cli(command, two / "one", two / "two", "--format", "latex").stdout, "{one}", "{two}", "of one, two")
