"""Colors that are told apart in grey."""

from __future__ import annotations

import numpy as np
from matplotlib.colors import to_rgb

from recu_analysis.plots.palette import CORE, DEAD, RUN_COLORS, TAIL


def luminance(color: str) -> float:
    red, green, blue = to_rgb(color)
    return 0.299 * red + 0.587 * green + 0.114 * blue


def test_colors_differ_in_grey():
    assert luminance(TAIL) - luminance(CORE) > 0.15
    assert luminance(CORE) - luminance(DEAD) > 0.25
    assert np.abs(np.diff([luminance(color) for color in RUN_COLORS])).min() > 0.1
