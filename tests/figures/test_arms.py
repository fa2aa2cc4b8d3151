"""Arms: runs that differ in their seed alone; their curves, bands and names."""

from __future__ import annotations

import math

import numpy as np
import pytest
from matplotlib.figure import Figure

import recu_analysis as ra
from recu_analysis.analysis.arm_names import named_arms
from recu_analysis.errors import InputError
from recu_analysis.figures import draw_figure
from recu_analysis.figures.of_arms import curve_data, scale_arms


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
        "without ReCU": ["c"],
        "random mask": ["d"],
        "ReCU, b* = √2/2, initial weights \N{MULTIPLICATION SIGN} 0.595": ["e"],
        "ReCU, epochs 8": ["f"],
    }


def test_runs_that_say_nothing_of_their_training_stand_for_themselves(synthetic_pair):
    found = named_arms(synthetic_pair)
    assert [(label, list(arm.runs)) for label, arm in found.items()] == [("one", ["one"]), ("two", ["two"])]


def test_a_band_spans_the_seeds(trained):
    runs = {name: trained(name, top1, seed=seed) for seed, (name, top1) in enumerate({"a": 90.0, "b": 94.0}.items())}
    axes = ra.plot_training(runs, "val_top1", Figure().subplots())
    (line,) = axes.get_lines()
    assert np.allclose(line.get_ydata(), np.array([87.0, 88.0, 89.0, 90.0]) + 2.0)
    corners = axes.collections[0].get_paths()[0].vertices
    assert {(0.0, 87.0), (0.0, 91.0), (3.0, 90.0), (3.0, 94.0)} <= {tuple(at) for at in corners}
    assert line.get_label() == "ReCU (2 seeds)"


def test_fig5_has_a_line_an_arm_in_both_panels_and_one_legend(trained, tmp_path):
    runs = {"a": trained("a"), "b": trained("b", seed=1), "c": trained("c", 80.0, recu=False)}
    files = draw_figure("fig5", runs, tmp_path / "drawn", command="test", formats=("svg",))
    again = draw_figure("fig5", runs, tmp_path / "again", command="test", formats=("svg",))
    assert [path.read_bytes() for path in files] == [path.read_bytes() for path in again]
    text = files[0].read_text()
    assert text.count("ReCU (2 seeds)<") == 1
    assert text.count("without ReCU<") == 1
    assert len(files[1].read_text().splitlines()) == 1 + 3 * 4


def test_scales_are_compared_at_equal_settings(trained, tmp_path):
    small = math.sqrt(0.5)
    runs = {
        "small": trained("small", scale=small),
        "rescaled": trained("rescaled", scale=small, initial_scale=0.59460356),
        "large": trained("large"),
        "long": trained("long", scale=3.0, epochs=8),
        "baseline": trained("baseline", recu=False),
        "random": trained("random", mask="random"),
    }
    found = {label: list(arm.runs) for label, arm in scale_arms(runs).items()}
    assert list(found.items()) == [
        ("b* = 2", ["large"]),
        ("b* = √2/2", ["small"]),
        ("b* = √2/2, initial weights \N{MULTIPLICATION SIGN} 0.595", ["rescaled"]),
    ]
    axes = ra.plot_initial_scale(runs, Figure().subplots())
    assert [np.allclose(line.get_ydata(), [2.0, 1.0, 2 / 3, 0.5]) for line in axes.get_lines()] == [True] * 3
    files = draw_figure("initscale", runs, tmp_path / "drawn", command="test")
    assert b"/Type3" not in files[0].read_bytes()


def test_what_is_missing_is_said(trained):
    run = trained("a")
    with pytest.raises(InputError, match="needs runs that differ in them alone: train three, with --scale 2"):
        scale_arms({"a": run})
    with pytest.raises(InputError, match=r"run a logged no val_loss; give it to mark\(\), as in mark\(epoch=3, val_lo"):
        curve_data(named_arms({"a": run}), ("val_loss",))
    with pytest.raises(InputError, match="no quantity to draw is called 'lr'; known are train_top1"):
        ra.plot_training({"a": run}, "lr", Figure().subplots())


def test_runs_without_a_seed_make_no_band(trained):
    runs = {name: trained(name, top1, seed=None) for name, top1 in {"a": 90.0, "b": 94.0}.items()}
    labels = [line.get_label() for line in ra.plot_training(runs, "val_top1", Figure().subplots()).get_lines()]
    assert labels == ["ReCU (a)", "ReCU (b)"]
    scales = runs | {"small": trained("small", scale=1.0, seed=None)}
    assert list(scale_arms(scales)) == ["b* = 2 (a)", "b* = 2 (b)", "b* = 1"]


def test_one_seed_is_drawn_once(trained, tmp_path):
    runs = {"a": trained("a"), "again": trained("again", device="cuda")}
    with pytest.raises(InputError, match="a and again have the same configuration and the same seed, 0"):
        draw_figure("fig5", runs, tmp_path, command="test")
