"""recu-analyze updates as a user types it."""

from __future__ import annotations

import json

from recu_analysis.testing import random_walk, synthetic_run
from tests.cli_runner import refusal, run_cli
from tests.messages import says


def test_it_fits_80_columns_says_why_these_windows_and_gives_every_number(synthetic_path, tmp_path):
    done = run_cli("updates", synthetic_path)
    assert (done.exit_code, done.stderr) == (0, "")
    assert max(map(len, done.stdout.splitlines())) <= 80
    says(done.stdout, "the final windows", "null autocorrelation at most 1/2")
    short = synthetic_run(tmp_path / "short", decay_time=1e-3).path
    says(run_cli("updates", short).stdout, "all windows", "above 1/2", "above 0.5 in 2 of 2 layers", "too short")
    rows = json.loads(run_cli("updates", synthetic_path, "--format", "json").stdout)
    assert {"mobility_ratio_low", "distance_ratio_tail"} <= set(rows[0])


def test_it_begins_with_a_verdict(tmp_path):
    walk = {"a": random_walk((16, 120), 20, step=0.5)}
    told = " ".join(run_cli("updates", synthetic_run(tmp_path / "long", walk).path).stdout.split())
    says(told, "The weights far from zero of this one training changed their sign 0.67 times", "of 1 layer is stuck")
    slow = synthetic_run(tmp_path / "short", {"a": random_walk((16, 120), 20, step=0.2)}, decay_time=1e-3).path
    says(
        " ".join(run_cli("updates", slow).stdout.split()), "too short to tell dead weights from slow ones: the weights"
    )


def test_a_layer_that_is_not_there_is_one_sentence(synthetic_path):
    says(refusal("updates", synthetic_path, "--layer", "nothing"), "'nothing'", "first, second")
