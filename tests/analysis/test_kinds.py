"""What kind of training a run is: by the name of its arm, by its configuration, by its layers."""

from dataclasses import replace

import pytest

from recu_analysis import open_run
from recu_analysis.analysis.kinds import Kind, kind_of, sides, stops_gradients
from recu_analysis.testing import random_walk, synthetic_run
from recu_analysis.theory.standardize import WeightTransform


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kinds")
    runs = {}
    for name, clamp in (("clamped", True), ("free", False)):
        transform = WeightTransform(center=True, target=2.0, clamp=clamp)
        runs[name] = open_run(synthetic_run(folder / name, {"a": random_walk((4, 6), 4)}, transform=transform).path)
    return runs


def of(run, arm=None, **configuration):
    return replace(run, header=replace(run.header, configuration=configuration), arm=arm)


@pytest.mark.parametrize(
    ("name", "arm", "configuration", "kind"),
    [
        ("clamped", None, {}, Kind.RECU),
        ("free", None, {}, Kind.NO_CLAMP),
        ("free", None, {"recu": False}, Kind.NO_CLAMP),
        ("free", None, {"mask": "random"}, Kind.RANDOM_MASK),
        ("free", None, {"mask": "random", "recu": False}, Kind.NO_CLAMP),
        ("free", None, {"recu": True, "binarizer": "xnor"}, Kind.OTHER),
        ("free", "Random mask", {}, Kind.RANDOM_MASK),
        ("free", "ReCU", {"recu": False}, Kind.RECU),
        ("free", "baseline", {}, Kind.NO_CLAMP),
        ("free", "Bi-Real", {}, Kind.OTHER),
        ("free", "slow", {"recu": False}, Kind.NO_CLAMP),
        ("clamped", "b* = 1", {}, Kind.RECU),
    ],
)
def test_kinds(made, name, arm, configuration, kind):
    run = of(made[name], arm, **configuration)
    assert kind_of(run) is kind
    assert stops_gradients(run) == (kind in {Kind.RECU, Kind.RANDOM_MASK})


def test_what_stops_no_gradient_is_the_baseline_of_what_does(made):
    clamped, free, other = made["clamped"], made["free"], of(made["free"], "XNOR")
    assert sides([free, clamped, other]) == ([clamped], [free, other])
    assert sides([free, other]) == ([free, other], [])
