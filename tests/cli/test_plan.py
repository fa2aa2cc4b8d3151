"""recu-analyze plan as a user types it: the sentence, the table, and what it refuses."""

import json

from tests.cli_runner import refusal, run_cli
from tests.messages import says

TYPED = ("plan", "--lr", 0.1, "--updates-per-epoch", 469, "--warm-up", 2)


def test_the_sentence_comes_before_the_table():
    done = run_cli(*TYPED, "--weight-decay", 2e-3, "--epochs", 12)
    assert done.exit_code == 0
    assert max(map(len, done.stdout.splitlines())) <= 80
    first = " ".join(done.stdout.split("\n\n")[0].split())
    says(first, "T = 6.10", "equilibrium in epochs 2 to 7", "the last 6 windows are long enough", "T is below 13")
    says(" ".join(done.stdout.split()), "R = 10, S/R = 0.5263", "an assumption", "twice as large")


def test_it_says_what_a_training_cannot_tell():
    for settings, facts in (
        ((0.0, 4), ["Nothing decays", "T = 0"]),
        ((1e-5, 4), ["too short"]),
        ((2e-2, 24), ["more likely found than not"]),
        ((2e-2, 24, "--window-epochs", 24), ["the last window is", "too long for single weights"]),
    ):
        decay, epochs, *more = settings
        first = run_cli(*TYPED, "--weight-decay", decay, "--epochs", epochs, *more).stdout.split("\n\n")[0]
        says(" ".join(first.split()), *facts)
    stepped = run_cli(*TYPED, "--weight-decay", 2e-2, "--epochs", 40, "--schedule", "step").stdout
    says(" ".join(stepped.split()), "epochs 1 to 19 and epochs 21 to 29")


def test_long_plans_are_shown_in_part_and_written_in_full(tmp_path):
    typed = (*TYPED, "--weight-decay", 2e-3, "--epochs", 100)
    says(run_cli(*typed).stdout, "16 of 100 windows are shown")
    run_cli(*typed, "-o", tmp_path / "plan.json")
    rows = json.loads((tmp_path / "plan.json").read_text())
    assert [row["window"] for row in rows] == list(range(100))


def test_what_cannot_be_planned_is_said():
    typed = (*TYPED, "--weight-decay", 2e-3, "--epochs", 100)
    for more, facts in (
        (("--adamw", "--nesterov"), ["Nesterov", "SGD"]),
        (("--adamw", "--momentum", 0.9), ["momentum belongs to SGD", "adamw"]),
        (("--beta1", 0.9), ["beta1 belongs to AdamW"]),
    ):
        says(refusal(*typed, *more), *facts)
    for more, fact in (
        (("--lr", 1e308), "1e+308"),
        (("--lr", 10, "--weight-decay", 10), "diverges"),
        (("--start-norm", 1e300), "1e+300"),
    ):
        says(refusal(*typed, *more), fact)
    assert run_cli(*typed, "--start-norm", 1e6).exit_code == 0
