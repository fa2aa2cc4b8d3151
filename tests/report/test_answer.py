"""The answer at the beginning of a page: its numbers are those of the tables, and short windows are told."""

import numpy as np

import recu_analysis as ra
from recu_analysis.analysis.arm_names import experiments
from recu_analysis.analysis.deadness import totals
from recu_analysis.analysis.final_windows import FinalWindows, judged_windows
from recu_analysis.analysis.selection import WindowSpan
from recu_analysis.report.answer import answer, next_steps
from recu_analysis.testing import random_walk, synthetic_run
from recu_analysis.theory.intervals import student
from tests.cli_runner import run_cli
from tests.editing import edit_run
from tests.messages import says

ARMS = ("recu", "baseline")


def seeds(folder, count):
    """Runs that differ in their seed, and the answer's arguments for windows 3 and 4."""
    runs = {}
    for seed in range(count):
        history = {
            name: random_walk((4, 30), 20, step=0.6, seed=10 * seed + at) for at, name in enumerate(("one", "two"))
        }
        path = synthetic_run(folder / str(seed), history).path
        edit_run(path, configuration={"recu": True, "seed": seed})
        runs[f"seed {seed}"] = ra.open_run(path)
    tables = {label: ra.dead_weights(run, windows="3:") for label, run in runs.items()}
    return experiments(runs), tables


def finals(labels, autocorrelation):
    return {label: FinalWindows(WindowSpan(3, 5), autocorrelation, long=autocorrelation <= 0.5) for label in labels}


def quiet(labels):
    """No run has a known standard error."""
    return {label: {} for label in labels}


def test_an_arm_of_seeds_has_intervals(tmp_path):
    arms, tables = seeds(tmp_path, 3)
    found = answer(arms, tables, finals(tables, 0.25), quiet(tables))
    (statement,) = found.statements
    shares = [100 * totals(table)["dead_fraction"] for table in tables.values()]
    middle, low, high = (f"{value:.1f}" for value in vars_of(student(shares)))
    dead, layers, parts = statement.sentences
    assert statement.seeds == 3
    says(dead, f"{middle} % (95 % interval {low} to {high} %) of the weights of these 3 trainings", "epochs 2 to 3")
    means = [100 * np.mean([table["dead_fraction"][at] for table in tables.values()]) for at in (0, 1)]
    says(layers, f"from {min(means):.1f} %", f"to {max(means):.1f} %", "one", "two")
    says(parts, "of the tail", "of the core", "times as far")
    says(found.windows[0], "windows 3 to 4", "epochs 2 to 3", "10 updates")
    says(found.windows[1], "long enough", "0.25", "0.5")
    steps = next_steps(arms, tables, finals(tables, 0.25), lacks_baseline=True, windows_chosen=False)
    says(steps[0], "--baseline")
    says(steps[1], "one" if means[0] > means[1] else "two")
    assert len(steps) == 2


def test_two_seeds_have_their_values_in_place_of_an_interval(tmp_path):
    arms, tables = seeds(tmp_path, 2)
    (statement,) = answer(arms, tables, finals(tables, 0.25), quiet(tables)).statements
    low, high = sorted(100 * totals(table)["silent_fraction_tail"] for table in tables.values())
    says(statement.sentences[2], f"({low:.1f} and {high:.1f} % in two seeds)")


def test_the_answer_begins_with_the_verdict_of_dead_weights(tmp_path):
    arms, tables = seeds(tmp_path, 1)
    run = next(iter(arms.values())).first
    judged = {"seed 0": judged_windows(run, "3:")}
    ((verdict, *_),) = (each.sentences for each in answer(arms, tables, judged, quiet(tables)).statements)
    told = run_cli("dead-weights", run.path, "--windows", "3:", terminal=500).stdout
    assert told.startswith(f"{verdict}\n")


def test_short_windows_are_told_with_how_many_are_needed(tmp_path):
    arms, tables = seeds(tmp_path, 1)
    short = finals(tables, 0.5**0.25)  # half of a quarter: four times as long are needed
    found = answer(arms, tables, short, quiet(tables))
    says(found.windows[-1], "too short", "0.84", "may only be slow")
    says(found.statements[0].sentences[0], "The windows are too short to tell dead weights from slow ones")
    assert "interval" not in " ".join(found.statements[0].sentences)
    steps = next_steps(arms, tables, short, lacks_baseline=False, windows_chosen=False)
    says(steps[0], "Train longer", "windows 3 to 4", "at least 8 windows")
    says(steps[1], "3 seeds", "1")
    assert len(steps) == 2, "no layer is named where the windows are too short to tell"
    chosen = next_steps(arms, tables, short, lacks_baseline=False, windows_chosen=True)
    says(chosen[0], "Choose more windows")
    unmoved = next_steps(arms, tables, finals(tables, 1.0), lacks_baseline=False, windows_chosen=False)
    says(unmoved[0], "did not move")
    says(answer(arms, tables, finals(tables, float("nan")), quiet(tables)).windows[-1], "unknown whether")


def test_runs_whose_windows_are_too_short_are_named(tmp_path):
    arms, tables = seeds(tmp_path, 2)
    mixed = finals(["seed 0"], 0.25) | finals(["seed 1"], 0.75)
    _, short, long = answer(arms, tables, mixed, quiet(tables)).windows
    says(short, "of seed 1 are too short", "0.75")
    says(long, "other windows are long enough", "0.25")


def test_an_interval_over_seeds_is_not_below_the_noise_of_channels(tmp_path):
    arms, tables = seeds(tmp_path, 3)
    noise = {label: {"dead_fraction": 0.2} for label in tables}
    (statement,) = answer(arms, tables, finals(tables, 0.25), noise).statements
    shares = [totals(table)["dead_fraction"] for table in tables.values()]
    _, low, high = vars_of(student(shares, within=(0.0, 1.0), errors=[0.2] * 3))
    says(statement.sentences[0], f"(95 % interval {100 * low:.1f} to {100 * high:.1f} %)")


def test_arms_that_share_seeds_are_compared_seed_by_seed():
    runs = {f"{name}-{seed}": ra.open_run(f"checkpoints/fashion/{name}-{seed}") for name in ARMS for seed in range(3)}
    tables = {label: ra.dead_weights(run, windows="8:") for label, run in runs.items()}
    found = answer(experiments(runs), tables, finals(tables, 0.4), quiet(tables))
    (told,) = found.differences
    says(told, "ReCU", " minus ", "no clamp", "accuracy -0.17, -0.16, -0.18 points", "interval -0.19 to -0.15")
    says(told, "dead weights -", "95 % interval")
    few = {label: run for label, run in runs.items() if not label.endswith("2")}
    (told,) = answer(experiments(few), tables, finals(few, 0.4), quiet(few)).differences
    says(told, "accuracy -0.17, -0.16 points, mean -0.16", "no interval, which needs 3 pairs")


def vars_of(interval):
    return interval.estimate, interval.low, interval.high
