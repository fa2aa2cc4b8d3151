"""recu-analyze fit as a user types it: three tables, and what they leave out."""

from __future__ import annotations

import json

import numpy as np

from recu_analysis.testing import random_walk, synthetic_run
from tests.cli_runner import refusal, run_cli
from tests.messages import says


def test_it_prints_three_tables_within_80_columns(trained_run):
    done = run_cli("fit", trained_run, "--layer", "layer3.*")
    assert (done.exit_code, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    says(
        " ".join(lines[:3]),
        "The weights of the chosen layers of this one training have ",
        "at the end of epoch 1: shape",
    )
    says(done.stdout, "\nthe weights at the end of window 2")
    assert sum(line.startswith("layer3.") for line in lines) == 18
    rows = json.loads(run_cli("fit", trained_run, "--layer", "layer3.*", "--format", "json").stdout)
    assert len(rows) == 6
    assert all(row["shape_low"] < row["shape"] < row["shape_high"] for row in rows)
    assert all(1.0 < row["b_ratio"] < 1.5**0.5 for row in rows)


def test_it_says_what_it_left_out(tmp_path):
    walk = random_walk((8, 30), 4)
    walk[-1, 3] = np.nan
    flat = np.ones((5, 4, 30), np.float32)
    path = synthetic_run(tmp_path / "run", {"damaged": walk, "flat": flat}).path
    done = run_cli("fit", path)
    assert done.exit_code == 0
    first, second = done.stderr.splitlines()
    says(first, "Warning: ", "damaged", "1 of 8 channels", "NaN or infinity")
    says(second, "Warning: ", "flat", "4 of 4 channels", "constant")
    says(run_cli("fit", path, "--raw").stderr, "raw weights", "all channels", "heavy tails")
    says(refusal("fit", path, "--windows", 9), path, "0 to 4", "9")
    says(refusal("fit", tmp_path / "none"), tmp_path / "none")
