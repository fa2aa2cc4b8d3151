"""Colors of arms: by kind in every figure, whatever comes first and beside what."""

from dataclasses import replace

import pytest
from matplotlib.figure import Figure

import recu_analysis as ra
from recu_analysis.analysis.arms import arms
from recu_analysis.errors import InputError
from recu_analysis.plots.arm_colors import by_order, color_map, of_arms, of_runs
from recu_analysis.plots.dynamics import by_magnitude
from recu_analysis.testing import random_walk, synthetic_run
from recu_analysis.theory.standardize import WeightTransform

BLUE, ORANGE, GREEN, PINK, BLACK = "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#000000"


@pytest.fixture(scope="module")
def make(tmp_path_factory):
    folder = tmp_path_factory.mktemp("colors")
    bases = {}
    for clamp in (True, False):
        walk, transform = {"a": random_walk((4, 6), 4)}, WeightTransform(center=True, target=2.0, clamp=clamp)
        bases[clamp] = ra.open_run(synthetic_run(folder / str(clamp), walk, transform=transform).path)

    def run(name, *, clamp=True, arm=None, **configuration):
        base = bases[clamp]
        header = replace(base.header, run_id=name, configuration=configuration)
        return replace(base, path=base.path.with_name(name), header=header, arm=arm)

    return run


def colors(runs):
    return {label: look.color for label, look in of_runs(runs).items()}


def test_a_kind_has_its_color_wherever_it_comes(make):
    runs = {
        "random": make("d", clamp=False, mask="random", seed=0),
        "recu": make("a", seed=0, lr=1),
        "again": make("b", seed=1, lr=1),
        "other": make("e", clamp=False, arm="XNOR"),
        "slow": make("f", seed=0, lr=2),
        "none": make("c", clamp=False, seed=0),
    }
    expected = {"random": GREEN, "recu": ORANGE, "again": ORANGE, "other": PINK, "slow": BLACK, "none": BLUE}
    assert colors(runs) == expected
    assert colors({"none": runs["none"], "recu": runs["recu"]}) == {"none": BLUE, "recu": ORANGE}
    looks = of_runs(runs)
    assert looks["recu"].marker != looks["again"].marker
    named = {arm.name or next(iter(arm.runs)): arm for arm in arms(runs)}
    assert {name: look.color for name, look in of_arms(named).items()} == {
        ("XNOR" if label == "other" else label): color for label, color in expected.items() if label != "again"
    }


def test_no_other_arm_takes_the_color_of_a_kind(make):
    looks = of_runs({str(at): make(str(at), seed=0, lr=at) for at in range(20)})
    assert [look.color for look in looks.values()].count(ORANGE) == 1
    assert not {BLUE, GREEN} & {look.color for look in looks.values()}
    assert len(set(looks.values())) == 20


def test_a_run_that_is_there_twice_still_has_a_color(make):
    run = make("a", seed=0)
    assert colors({"a": run, "b": run}) == {"a": ORANGE, "b": ORANGE}


def test_a_plot_takes_a_palette_and_refuses_one_without_its_runs(magnitude):
    labels = magnitude["run"].unique()
    palette = dict(reversed(by_order(reversed(labels)).items()))
    lines = by_magnitude(magnitude, quantity="mobility", ax=Figure().subplots(), palette=palette).get_lines()
    drawn = {line.get_label(): line.get_color() for line in lines if line.get_label() in palette}
    assert drawn == {label: look.color for label, look in palette.items()}
    reverse = {look.color: label for label, look in palette.items()}
    for wrong in ({}, reverse):
        with pytest.raises(InputError, match=f"no color for the run '{labels[0]}'; give one by label, as in {{'"):
            by_magnitude(magnitude, quantity="mobility", ax=Figure().subplots(), palette=wrong)
    for wrong in (["red"], reverse, "viridis"):
        with pytest.raises(InputError, match=r"palette.*must be.*list of"):
            color_map(wrong)
