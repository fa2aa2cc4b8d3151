"""Names of arms: their kind, and the settings in which they are unlike most others."""

from __future__ import annotations

import math

from recu_analysis.analysis.arm_names import named_arms


def test_seeds_make_one_arm_and_differences_name_the_others(trained):
    runs = {
        "a": trained("a"),
        "b": trained("b", seed=1, device="cuda"),
        "c": trained("c", recu=False),
        "d": trained("d", mask="random"),
        "e": trained("e", scale=math.sqrt(0.5), initial_scale=0.59460356),
        "f": trained("f", epochs=8),
    }
    found = {label: list(arm.runs) for label, arm in named_arms(runs).items()}
    assert found == {
        "ReCU": ["a", "b"],
        "no clamp": ["c"],
        "random mask": ["d"],
        "ReCU, b* = √2/2, initial weights \N{MULTIPLICATION SIGN} 0.595": ["e"],
        "ReCU, epochs 8": ["f"],
    }


def test_runs_that_say_nothing_of_their_training_stand_for_themselves(synthetic_pair):
    found = named_arms(synthetic_pair)
    assert [(label, list(arm.runs)) for label, arm in found.items()] == [("one", ["one"]), ("two", ["two"])]
