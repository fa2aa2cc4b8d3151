"""A list of runs in place of a RUN, as a user types it: its labels, arms and seeds are those of every command."""

from __future__ import annotations

import json
import re

import pytest

from recu_analysis.testing import random_walk, synthetic_run
from recu_analysis.theory.standardize import WeightTransform
from tests.cli_runner import refusal, run_cli, wrong_usage
from tests.editing import edit_run
from tests.messages import says

RUNS = [(arm, seed) for arm in ("ReCU", "baseline") for seed in range(2)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Four runs that say nothing of their training, and the list that does; another list of those without clamp."""
    place = tmp_path_factory.mktemp("listed")
    entries = []
    for arm, seed in RUNS:
        name = f"{arm.lower()}-{seed}"
        walk = {"layer2.0.conv2": random_walk((16, 20), 8, seed=len(entries), step=0.6)}
        transform = WeightTransform(center=True, target=2.0, clamp=arm == "ReCU")
        edit_run(synthetic_run(place / name, walk, transform=transform).path, configuration={})
        entries.append(f'[[run]]\nfolder = "{name}"\nlabel = "{arm} no. {seed}"\narm = "{arm}"\nseed = {seed}\n')
    (place / "runs.toml").write_text("".join(entries))
    (place / "recu.toml").write_text("".join(entries[:2]))
    (place / "baseline.toml").write_text("".join(entries[2:]))
    return place


def invoke(*arguments):
    done = run_cli(*arguments)
    assert done.exit_code == 0, done.stderr
    return done


def test_compare_groups_the_seeds_of_an_arm(folder):
    rows = json.loads(invoke("compare", folder / "runs.toml", "--seeds", "--format", "json").stdout)
    assert [(row["arm"], row["seeds"]) for row in rows][:2] == [
        ("ReCU", 2),
        ("baseline", 2),
    ]  # differences follow
    done = invoke("compare", folder / "baseline.toml", folder / "recu-0", "--by-layer", "--format", "json")
    assert {row["run"] for row in json.loads(done.stdout)} == {"recu-0"}


def test_claims_pair_the_seeds_of_two_lists(folder):
    rows = json.loads(
        invoke("claims", folder / "recu.toml", "--baseline", folder / "baseline.toml", "--format", "json").stdout
    )
    (faster,) = [row for row in rows if row["id"] == "C7"]
    assert "pairs of seeds: 2" in faster["why"]
    both = json.loads(invoke("claims", folder / "runs.toml", "--format", "json").stdout)
    assert both == rows


def test_figures_and_the_report_call_runs_as_the_list_does(folder, tmp_path):
    invoke("figures", folder / "runs.toml", "--only", "magnitude,fig5", "--format", "svg", "-o", tmp_path)
    drawn = (tmp_path / "magnitude.svg").read_text()
    assert "baseline no. 1" in drawn
    assert "ReCU (2 seeds)<" in (tmp_path / "fig5.svg").read_text()
    typed = json.loads((tmp_path / "magnitude.json").read_text())["command"]
    assert typed.startswith("recu-analyze figures 'ReCU no. 0' 'ReCU no. 1' 'baseline no. 0'")
    page = tmp_path / "page.html"
    invoke("report", folder / "recu.toml", "--baseline", folder / "baseline.toml", "-o", page)
    text = re.sub("<[^>]*>", "", page.read_text())
    says(text, "Tested runs: ReCU no. 0, ReCU no. 1.", "without the clamp: baseline no. 0, baseline no. 1.")


def test_a_command_for_one_run_says_which_commands_take_lists(folder):
    for command in ("info", "watch", "verify", "thin", "layers", "tradeoff --run"):
        told = wrong_usage(*command.split(), folder / "runs.toml")
        says(
            told,
            "is a list of runs",
            "one run",
            "claims, compare, dead-weights, figures, fit, flips, report and updates",
        )
        assert "open_runs" not in told


def test_what_is_wrong_in_a_list_is_one_sentence(folder):
    says(refusal("compare", folder / "none.toml"), folder / "none.toml", "does not exist", "[[run]]")
    says(refusal("compare", folder / "runs.toml", folder / "recu-0"), folder / "recu-0", "twice")
