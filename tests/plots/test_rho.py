"""Rho over the epochs: medians of tail and core, and the band of noise alone around 0."""

import numpy as np
import pandas as pd
import pytest

from recu_analysis.errors import InputError
from recu_analysis.plots.rho import rho
from recu_analysis.theory.intervals import simultaneous


@pytest.fixture
def table():
    rows = [
        {"layer": name, "epoch": epoch, "group": group, "rho": value, "rho_low": value - 0.2, "rho_high": value + 0.2}
        for at, name in enumerate(("one", "two", "three"))
        for epoch in range(3)
        for group, value in (("all", 0.1), ("tail", 0.1 * (at + epoch)), ("core", np.nan if epoch == 1 else 0.0))
    ]
    return pd.DataFrame(rows)


def test_medians_and_band(table, axes):
    rho(table, ax=axes, label="ReCU")
    lines = {line.get_label(): line for line in axes.get_lines()}
    assert lines["ReCU, tail"].get_ydata().tolist() == pytest.approx([0.1, 0.2, 0.3])
    assert np.isnan(lines["ReCU, core"].get_ydata()[1])
    (band,) = axes.collections
    assert band.get_paths()[0].vertices[:, 1].max() == pytest.approx(0.2 * simultaneous(3))
    assert axes.get_legend().get_texts()[0].get_text() == "noise alone, 95 %"


def test_without_an_interval_there_is_no_band(table, axes):
    rho(table.assign(rho_low=np.nan), ax=axes)
    assert not axes.collections
    with pytest.raises(InputError, match="rho_low"):
        rho(table.drop(columns="rho_low"), ax=axes)
