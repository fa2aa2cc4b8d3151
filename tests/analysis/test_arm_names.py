"""Names of arms that a list of runs, or a method other than ReCU, gives them."""

from dataclasses import replace

import pytest

from recu_analysis import open_run
from recu_analysis.analysis.arm_names import named_arms
from recu_analysis.testing import random_walk, synthetic_run
from recu_analysis.theory.standardize import WeightTransform


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("names") / "run"
    transform = WeightTransform(center=True, target=2.0)
    return open_run(synthetic_run(folder, {"a": random_walk((4, 6), 4)}, transform=transform).path)


def test_a_list_names_arms_and_others_are_told_apart_from_them(base):
    def make(name, arm=None, **configuration):
        return replace(base, header=replace(base.header, run_id=name, configuration=configuration), arm=arm)

    runs = {
        "a": make("a", "no clamp", seed=0),
        "b": make("b", recu=False, binarizer="recu", seed=0),
        "c": make("c", recu=True, binarizer="xnor", seed=0),
        "d": make("d", recu=True, binarizer="xnor", seed=0, lr=2),
        "e": make("e"),
    }
    named = {name: list(arm.runs) for name, arm in named_arms(runs).items()}
    assert named == {
        "no clamp (a)": ["a"],
        "no clamp (b)": ["b"],
        "xnor": ["c"],
        "xnor, lr 2": ["d"],
        "e": ["e"],
    }
