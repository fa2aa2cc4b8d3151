"""Densities of scores: the last bits of a machine do not show."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from recu_analysis.plots.scores import score_density


def curves(data):
    return [line.get_ydata() for line in score_density(data, ax=Figure().subplots()).get_lines()]


@pytest.mark.parametrize("towards", [0.0, np.inf])
def test_the_last_bit_of_a_density_does_not_turn_a_line(towards):
    edges = np.linspace(-4.0, 4.0, 62)
    density = np.exp(-np.abs(edges[:-1] + edges[1:]) / 2.0) / 2.0
    fits = ("density", "laplace", "normal", "gennorm")
    data = pd.DataFrame({"left": edges[:-1], "right": edges[1:], "shape": 1.0, **dict.fromkeys(fits, density)})
    other = data.assign(**{name: np.nextafter(density, towards) for name in fits[1:]})
    for one, another in zip(curves(data), curves(other), strict=True):
        assert np.array_equal(one, another)
        assert np.allclose(one, density, rtol=1e-8)
