"""recu-analyze updates as a user types it."""

from __future__ import annotations

import json

from tests.cli_runner import refusal, run_cli
from tests.messages import says


def test_it_fits_80_columns_says_why_these_windows_and_gives_every_number(synthetic_path):
    done = run_cli("updates", synthetic_path)
    assert (done.exit_code, done.stderr) == (0, "")
    assert max(map(len, done.stdout.splitlines())) <= 80
    says(done.stdout, "last half of the run", "above 1/2", "above 0.5 in 2 of 2 layers", "too short")
    rows = json.loads(run_cli("updates", synthetic_path, "--format", "json").stdout)
    assert {"mobility_ratio_low", "distance_ratio_tail"} <= set(rows[0])


def test_a_layer_that_is_not_there_is_one_sentence(synthetic_path):
    says(refusal("updates", synthetic_path, "--layer", "nothing"), "'nothing'", "first, second")
