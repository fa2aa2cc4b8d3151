"""Mobility over the epochs: medians of layers in thousandths, and the regimes of most layers as shades."""

import numpy as np
import pandas as pd
import pytest

from recu_analysis.plots.mobility import mobility_over_time

REGIMES = ("not forecast", "not forecast", "equilibrium", "out of equilibrium", "out of equilibrium")


@pytest.fixture
def table():
    rows = [
        {
            "layer": name,
            "epoch": epoch,
            "mobility": 0.001 * (at + epoch),
            "mobility_forecast": np.nan if epoch == 0 or (epoch == 1 and at) else 0.002,
            "mobility_equilibrium": 0.003,
            "regime": "equilibrium" if epoch == 1 and not at else regime,
        }
        for at, name in enumerate(("one", "two", "three"))
        for epoch, regime in enumerate(REGIMES)
    ]
    return pd.DataFrame(rows)


def test_medians_and_shades(table, axes):
    mobility_over_time(table, ax=axes, label="ReCU")
    lines = {line.get_label(): line for line in axes.get_lines()}
    assert lines["ReCU, measured"].get_ydata().tolist() == pytest.approx([1.0, 2.0, 3.0, 4.0, 5.0])
    # The forecast of one layer of three is not drawn as a median.
    assert np.isnan(lines["ReCU, forecast"].get_ydata()[:2]).all()
    assert lines["ReCU, forecast"].get_ydata()[2:].tolist() == pytest.approx([2.0] * 3)
    shades = {each.get_label(): (each.get_x(), each.get_x() + each.get_width()) for each in axes.patches}
    assert shades == {"not forecast": (-0.5, 1.5), "out of equilibrium": (2.5, 4.5)}
    assert axes.get_ylim()[0] == 0.0


def test_without_a_forecast_there_is_no_line_of_it(table, axes):
    mobility_over_time(table.assign(mobility_forecast=np.nan, regime="not forecast"), ax=axes)
    texts = [each.get_text() for each in axes.get_legend().get_texts()]
    assert texts == ["measured", "equilibrium", "not forecast"]
