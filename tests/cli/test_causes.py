"""recu-analyze causes as a user types it: the sentence, the tables, every format, and what it refuses."""

import json

import pytest

from recu_analysis.testing import synthetic_run
from tests.cli_runner import refusal, run_cli
from tests.editing import edit_run
from tests.messages import says


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    """Three seeds of an experiment."""
    folder, made = tmp_path_factory.mktemp("causes"), []
    for seed in range(3):
        made.append(synthetic_run(folder / f"run-{seed}", seed=10 * seed, gradient_stats=True).path)
        edit_run(made[-1], configuration={"network": "synthetic", "seed": seed})
    return made


def test_the_sentence_the_causes_and_rho_fit_80_columns(paths):
    done = run_cli("causes", paths[0], "--windows", "3:", terminal=80)
    assert done.exit_code == 0, done.stderr
    assert max(map(len, done.stdout.splitlines())) <= 80
    first = " ".join(done.stdout.split("\n\n")[0].split())
    says(first, "this one training", "epochs 0 to 1", "epochs 2 to 3", "noise cannot be told", "noise alone would give")
    assert "more than noise" not in first, "one training has no interval"
    says(done.stdout, "undet.", "all, halved", "all, core", "rho of all layers, by window", "inherited", "tail-flipped")
    says(
        " ".join(done.stdout.split()), "below about 13, read shares of weights", "21 % each with the thresholds halved"
    )


def test_seeds_are_one_experiment(paths):
    out = run_cli("causes", *paths, "--windows", "3:").stdout
    says(" ".join(out.split()), "these 3 trainings", "run-0, run-1, run-2: silent weights are chosen in", "over seeds")


def test_every_format_has_the_causes(paths, tmp_path):
    for name, facts in (
        ("t.csv", ["layer,group,cause,counted,weights,share", "out of reach"]),
        ("t.tex", [r"\toprule", "undetermined", "rho over all tested windows"]),
        ("t.md", ["| layer |", "noise alone", "rho over all tested windows"]),
        ("t.txt", ["undet.", "rho of all layers, by window"]),
    ):
        assert run_cli("causes", paths[0], "--windows", "3:", "-o", tmp_path / name).exit_code == 0
        says((tmp_path / name).read_text(), *facts)
    run_cli("causes", paths[0], "--windows", "3:", "--layer", "second", "-o", tmp_path / "t.json")
    rows = json.loads((tmp_path / "t.json").read_text())
    assert {row["layer"] for row in rows} == {"second", "all"}
    assert {row["group"] for row in rows} == {"tail-silent", "core-silent"}


def test_what_it_needs_is_said(paths, synthetic):
    says(refusal("causes", synthetic.path), "gradient-stats", "train --record gradient-stats")
    says(refusal("causes", paths[0], "--windows", "1"), "before 1:2", "test later windows")
    says(refusal("causes", paths[0], "--windows", "9:"), "none of the windows")
