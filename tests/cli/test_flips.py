"""recu-analyze flips as a user types it."""

from __future__ import annotations

import json

from tests.cli_runner import refusal, run_cli, wrong_usage
from tests.messages import says


def test_it_fits_80_columns_and_gives_every_number(synthetic_path):
    done = run_cli("flips", synthetic_path)
    assert (done.exit_code, done.stderr) == (0, "")
    assert max(map(len, done.stdout.splitlines())) <= 80
    says(done.stdout.splitlines()[0], " % of the signs of this one training did not change again after epoch 1")
    assert "flip_ratio_predicted" in json.loads(run_cli("flips", synthetic_path, "--format", "json").stdout)[0]


def test_what_is_no_run_is_one_sentence_and_no_processes_are_wrong_usage(synthetic_path):
    says(refusal("flips", synthetic_path / "nowhere"), synthetic_path / "nowhere")
    says(wrong_usage("flips", synthetic_path, "--jobs", 0), "--jobs", "0")


def test_flips_before_a_damaged_window_are_left_out_and_it_is_told(damaged_path):
    says(run_cli("flips", damaged_path).stderr.splitlines()[-1], "Warning: windows of run before 3", "lost")


def test_all_windows_are_shown_unless_some_are_chosen(synthetic_path):
    def windows(*words):
        rows = json.loads(run_cli("flips", synthetic_path, *words, "--format", "json").stdout)
        return sorted({row["window"] for row in rows})

    assert windows() == [1, 2, 3, 4]
    assert windows("--windows", "2:4") == [2, 3]
    told = run_cli("flips", "--help").stdout.replace("│", " ")
    says(" ".join(told.split()), "Default: all windows.")
