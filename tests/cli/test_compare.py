"""The views of compare as a user types them."""

from __future__ import annotations

import json
import re
import shutil

import numpy as np
import pytest

from recu_analysis.testing import random_walk, synthetic_run
from tests.cli_runner import refusal, run_cli, wrong_usage
from tests.editing import edit_run, marks_of, write_marks
from tests.messages import says


@pytest.fixture
def two_arms(tmp_path):
    """Two runs of one network whose settings differ."""
    for name, seed in (("free", 1), ("clamped", 2)):
        made = synthetic_run(tmp_path / name, {"stage.conv": random_walk((16, 20), 8, seed=seed, step=0.6)})
        edit_run(made.path, configuration={"recu": name == "clamped", "seed": 0})
    return str(tmp_path / "free"), str(tmp_path / "clamped")


@pytest.mark.parametrize("view", [[], ["--seeds"], ["--by-layer"], ["--curves"]])
def test_every_view_fits_80_columns_and_has_every_format(two_arms, view):
    done = run_cli("compare", *two_arms, *view)
    assert done.exit_code == 0, done.stderr
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert json.loads(run_cli("compare", *two_arms, *view, "--format", "json").stdout)
    latex = run_cli("compare", *two_arms, *view, "--format", "latex").stdout
    says(latex, r"\toprule", r"\caption{", r"\label{tab:compare-")


def test_every_view_has_a_label_of_its_own(two_arms):
    views = ([], ["--seeds"], ["--by-layer"], ["--curves"])
    texts = [run_cli("compare", *two_arms, *view, "--format", "latex").stdout for view in views]
    assert len({re.search(r"\\label\{(.*)\}", text)[1] for text in texts}) == len(views)
    says(texts[0], r"\label{tab:compare-free-clamped}")


def test_by_layer_says_the_order_of_the_difference(two_arms):
    lines = run_cli("compare", *two_arms, "--by-layer").stdout.splitlines()
    assert lines[0] == "windows 2 to 4, epochs 1 to 3, 6 updates"
    assert lines[1:5] == ["value: clamped", "reference: free", "", "stage.conv"]
    assert lines[5].split()[:4] == ["statistic", "value", "reference", "difference"]
    assert "difference: value minus reference, with its 95 % interval over channels" in lines
    for view in ([], ["--by-layer"]):
        says(refusal("compare", two_arms[0], *view), "only free", "nothing to compare", "two runs")


def test_runs_that_end_before_the_chosen_windows_are_told_in_one_note(two_arms):
    done = run_cli("compare", *two_arms, "--windows", "3:99")
    assert done.stderr == f"{two_arms[0]}, {two_arms[1]} end with window 4, so the windows 3:99 end there\n"
    alone = run_cli("dead-weights", two_arms[0], "--windows", "3:99")
    assert alone.stderr == f"{two_arms[0]} ends with window 4, so the windows 3:99 end there\n"
    assert not run_cli("dead-weights", two_arms[0], "--windows", "3:99", "-q").stderr


def test_seeds_show_mean_interval_and_standard_deviation(tmp_path):
    folders = []
    for seed, accuracy in enumerate((90.0, 91.0, 93.0)):
        folders.append(str(tmp_path / f"free-{seed}"))
        made = synthetic_run(folders[-1], {"stage.conv": random_walk((16, 20), 8, seed=seed, step=0.6)})
        edit_run(made.path, configuration={"seed": seed})
        write_marks(made.path, [mark | {"val_top1": accuracy} for mark in marks_of(made.path)])
    lines = run_cli("compare", *folders, "--seeds", "--windows", "3:").stdout.splitlines()
    says(" ".join(lines[:2]), "above 0.5 in free-0, free-1, free-2: too short")
    assert lines[3:5] == [
        "free-0, free-1, free-2: 3 seeds, windows 3 to 4, epochs 2 to 3, 4 updates",
        "  val. %          91.33 (87.54 to 95.13), std 1.53",
    ]
    alone = run_cli("compare", folders[0], "--seeds", "--format", "markdown").stdout
    says(alone, "One seed each of free-0.")
    assert not [word for word in ("std", "Means", "95 %") if word in alone]


def test_layers_are_chosen_of_by_layer_only(two_arms):
    assert run_cli("compare", *two_arms, "--by-layer", "--layer", "stage.*").exit_code == 0
    says(refusal("compare", *two_arms, "--by-layer", "--layer", "other"), "'other'", "stage.conv")
    says(wrong_usage("compare", *two_arms, "--layer", "stage.*"), "--layer", "--by-layer")


def test_sampled_runs_are_said_and_are_no_seeds_of_others(tmp_path):
    walk = {"stage.conv": random_walk((16, 20), 8, step=0.6)}
    paths = [str(synthetic_run(tmp_path / name, walk, exact=name == "seen").path) for name in ("seen", "sampled")]
    done = run_cli("compare", *paths)
    says(done.stderr.splitlines()[0], "Warning: sampled", "checkpoints", "net", "flips")
    assert [row["exact"] for row in json.loads(run_cli("compare", *paths, "--format", "json").stdout)] == [True, False]
    assert [row["seeds"] for row in json.loads(run_cli("compare", *paths, "--seeds", "--format", "json").stdout)] == [
        1,
        1,
    ]


def test_one_run_is_one_seed(two_arms, tmp_path):
    copy = shutil.copytree(two_arms[0], tmp_path / "copy")
    says(refusal("compare", two_arms[0], copy, "--seeds"), "free", "copy", "one run", "once")


def test_the_footer_says_whose_intervals_are_over_what(tmp_path):
    paths = []
    for name, recu, seed in (("a0", True, 0), ("a1", True, 1), ("b0", False, 0), ("b1", False, 1), ("c0", "half", 0)):
        walk = {"stage.conv": random_walk((16, 20), 8, step=0.6, seed=len(paths))}
        path = synthetic_run(tmp_path / name, walk).path
        edit_run(path, configuration={"recu": recu, "seed": seed})
        paths.append(str(path))
    done = run_cli("compare", *paths, "--by-layer", "--quiet")
    says(" ".join(done.stdout.split()), "without an interval, which needs 3 pairs of seeds, for b0, b1")
    says(" ".join(done.stdout.split()), "95 % interval over channels for c0")


def test_experiments_that_share_seeds_are_compared_seed_by_seed(tmp_path):
    accuracies = {"free": (90.2, 91.0, 93.1), "recu": (90.0, 90.85, 92.85)}
    for name, each in accuracies.items():
        for seed, accuracy in enumerate(each):
            walk = random_walk((16, 20), 8, step=0.6, seed=2 * seed + len(name))
            path = synthetic_run(tmp_path / f"{name}-{seed}", {"stage.conv": walk}).path
            edit_run(path, configuration={"recu": name == "recu", "seed": seed})
            write_marks(path, [mark | {"val_top1": accuracy} for mark in marks_of(path)])
    paths = [str(tmp_path / f"{name}-{seed}") for name in accuracies for seed in range(3)]
    done = run_cli("compare", *paths, "--seeds")
    at = done.stdout.splitlines().index("recu-0, recu-1, recu-2 minus free-0, free-1, free-2: 3 pairs of seeds")
    assert done.stdout.splitlines()[at + 1] == "  val. %          -0.20 (-0.32 to -0.08): -0.20, -0.15, -0.25"
    rows = json.loads(run_cli("compare", *paths, "--seeds", "--format", "json").stdout)
    assert [(row["arm"], row["reference"], row["seeds"]) for row in rows[2:5]] == [
        (f"recu-{seed} minus free-{seed}", f"free-{seed}", 1) for seed in range(3)
    ]
    assert [row["reference"] for row in rows[:2]] == [None, None]
    assert rows[5]["arm"] == "recu-0, recu-1, recu-2 minus free-0, free-1, free-2"
    markdown = run_cli("compare", *paths, "--seeds", "--format", "markdown").stdout
    says(markdown, "| recu-1 minus free-1 | 1 | -0.15 |", "differences, seed by seed", ": 3 pairs of seeds")
    two = run_cli("compare", *paths[1:], "--seeds", "--quiet").stdout
    says(" ".join(two.split()), "2 pairs of seeds, no interval, which needs 3 val. % -0.20: -0.15, -0.25")
    for seed in (1, 2):
        edit_run(tmp_path / f"free-{seed}", configuration={"recu": False, "seed": seed + 7})
    apart = run_cli("compare", *paths, "--seeds").stdout
    says(" ".join(apart.split()), "not shown, since they share fewer than two seeds")


def test_a_layer_that_is_nan_has_dashes_in_their_columns(tmp_path):
    walk = random_walk((16, 20), 8, step=0.6)
    paths = [synthetic_run(tmp_path / "whole", {"conv": walk}).path]
    paths += [synthetic_run(tmp_path / "broken", {"conv": np.full_like(walk, np.nan)}).path]
    lines = run_cli("compare", *paths, "--by-layer").stdout.splitlines()
    (row,) = [line.split() for line in lines if line.startswith("  % silent tail")]
    assert row[3] == row[5] == "-"
    assert float(row[4]) > 0


def test_runs_that_say_no_seed_are_no_seeds(tmp_path):
    walks = [{"stage.conv": random_walk((16, 20), 8, step=0.6, seed=seed)} for seed in range(3)]
    paths = [str(synthetic_run(tmp_path / name, walk).path) for name, walk in zip("abc", walks, strict=True)]
    done = run_cli("compare", *paths, "--seeds", "--quiet")
    assert [line for line in done.stdout.splitlines() if line and not line.startswith(" ")] == [
        f"{name}: one seed, no interval, windows 2 to 4, epochs 1 to 3, 6 updates" for name in "abc"
    ]
    says(done.stderr, "Warning: a, b, c", "no seed")
    assert "no seed" not in run_cli("compare", paths[0], "--seeds").stderr
    assert "stage.conv: b\n" in run_cli("compare", *paths, "--by-layer").stdout


def test_seeds_that_ended_elsewhere_are_said(tmp_path):
    paths = []
    for seed, updates in enumerate((16, 24)):
        walk = {"stage.conv": np.random.default_rng(seed).normal(size=(updates + 1, 16, 20)).astype(np.float32)}
        path = synthetic_run(tmp_path / f"s{seed}", walk, windows=updates // 2).path
        edit_run(path, configuration={"seed": seed})
        paths.append(str(path))
    done = run_cli("compare", *paths, "--seeds")
    assert done.stdout.startswith("s0, s1: 2 seeds")
    says(done.stderr, "s0 after 16", "s1 after 24")


def test_runs_stand_side_by_side_and_short_ones_are_said(tmp_path):
    paths = [
        synthetic_run(tmp_path / name, seed=seed, decay_time=1e-3).path for seed, name in enumerate(("one", "two"))
    ]
    done = run_cli("compare", *paths)
    assert (done.exit_code, done.stderr) == (0, "")
    for shown in (done, run_cli("compare", *paths, "--by-layer"), run_cli("compare", *paths, "--format", "latex")):
        says(" ".join(shown.stdout.split()), "above 0.5 in one, two: too short")
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert [line.split()[0] for line in done.stdout.splitlines()[6:8]] == ["one", "two"]
    assert "2 seeds" not in run_cli("compare", "--seeds", *paths).stdout, "neither says a seed"
    says(refusal("compare", paths[0], paths[0]), paths[0], "twice")


def test_runs_in_folders_of_one_name_are_told_apart(tmp_path):
    paths = [synthetic_run(tmp_path / name / "run", seed=seed).path for seed, name in enumerate(("one", "two"))]
    done = run_cli("compare", *paths, "--format", "csv", "--quiet")
    assert done.exit_code == 0
    assert [line.split(",")[0] for line in done.stdout.splitlines()[1:]] == ["one/run", "two/run"]


def test_a_data_set_that_is_not_known_is_told(tmp_path):
    walk = {"stage.conv": random_walk((16, 20), 8, step=0.6)}
    own, known = (synthetic_run(tmp_path / name, walk).path for name in ("own", "known"))
    edit_run(known, configuration={"dataset": "digits"})
    text = run_cli("compare", "--seeds", own, known, "--windows", "3:").stdout
    says(text, "(data set not known)", "(digits)")
    assert "nan" not in text
