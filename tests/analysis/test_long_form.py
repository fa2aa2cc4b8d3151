"""The long form: what each row says of its group, and that nothing else changes."""

import numpy as np
import pandas as pd

from recu_analysis.analysis.long_form import long_form

WIDE = pd.DataFrame(
    {
        "window": [1, 2],
        "epoch": [0.0, 1.0],
        "layer": ["a", "b"],
        "weights": [30, 40],
        "counted": [30, 30],
        "tail_fraction": [0.3, 0.1],
        "mobility": [2.0, 5.0],
        "mobility_tail": [1.0, 4.0],
        "mobility_core": [3.0, 6.0],
        "silent_fraction_tail": [0.5, 0.75],
        "silent_fraction_core": [0.25, 0.125],
        "revived_fraction": [0.1, 0.2],
        "revived_fraction_core": [0.3, 0.4],
        "autocorrelation": [0.9, 0.8],
    },
    index=[9, 7],
)


def test_a_row_a_group_and_a_column_a_statistic():
    table = long_form(WIDE)
    assert table.columns.tolist()[:4] == ["window", "epoch", "layer", "group"]
    assert {*table} == {*WIDE, "group", "silent_fraction"} - {
        f"{each}_tail" for each in ("mobility", "silent_fraction")
    } - {f"{each}_core" for each in ("mobility", "silent_fraction", "revived_fraction")}
    assert table["layer"].tolist() == ["a"] * 3 + ["b"] * 3
    assert table["group"].tolist() == ["all", "tail", "core"] * 2
    assert table["mobility"].tolist() == [2.0, 1.0, 3.0, 5.0, 4.0, 6.0]
    nan = np.nan
    np.testing.assert_array_equal(table["silent_fraction"], [nan, 0.5, 0.25, nan, 0.75, 0.125])
    np.testing.assert_array_equal(table["revived_fraction"], [nan, 0.1, 0.3, nan, 0.2, 0.4])  # the dead are of the tail
    assert table["autocorrelation"].tolist() == np.repeat(WIDE["autocorrelation"], 3).tolist()
    assert table["weights"].tolist() == [30, 9, 21, 40, 3, 27]
    assert table["counted"].tolist() == [30, 9, 21, 30, 3, 27]
    assert WIDE.index.tolist() == [9, 7]
