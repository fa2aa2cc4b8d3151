"""Scales b* are compared at equal settings."""

from __future__ import annotations

import math

import numpy as np
import pytest
from matplotlib.figure import Figure

import recu_analysis as ra
from recu_analysis.errors import InputError
from recu_analysis.figures import draw_figure
from recu_analysis.figures.initscale import scale_arms
from tests.messages import facts


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
    axes = ra.plot_initial_scale(runs, ax=Figure().subplots())
    assert [np.allclose(line.get_ydata(), [2.0, 1.0, 2 / 3, 0.5]) for line in axes.get_lines()] == [True] * 3
    files = draw_figure("initscale", runs, directory=tmp_path / "drawn")
    assert b"/Type3" not in files[0].read_bytes()


def test_runs_without_a_seed_are_told_apart(trained):
    runs = {name: trained(name, top1, seed=None) for name, top1 in {"a": 90.0, "b": 94.0}.items()}
    scales = runs | {"small": trained("small", scale=1.0, seed=None)}
    assert list(scale_arms(scales)) == ["b* = 2 (a)", "b* = 2 (b)", "b* = 1"]


def test_one_scale_is_nothing_to_compare(trained):
    with pytest.raises(InputError, match=facts("initscale", "differ only in", "--scale 2,", "--initial-scale")):
        scale_arms({"a": trained("a")})
