"""The hazard over T: lines of tail and core in the middle of spans, their medians, and noise alone."""

import numpy as np
import pandas as pd
import pytest

from recu_analysis.errors import InputError
from recu_analysis.plots.survival import hazard


@pytest.fixture
def survived():
    rows = [
        {"layer": name, "group": group, "decay_time_past": 0.5 * (span + 1), "hazard": level + at + span}
        for at, name in enumerate(("one", "two", "three"))
        for group, level in (("tail", 0.0), ("core", 10.0))
        for span in range(3)
    ]
    return pd.DataFrame(rows)


def test_medians_stand_in_the_middle_of_spans_beside_noise(survived, axes):
    hazard(survived.assign(hazard_null=0.5 * survived["hazard"]), ax=axes, label="ReCU")
    *_, tail, tail_noise = axes.get_lines()[:5]
    *_, core, core_noise = axes.get_lines()[5:]
    assert tail.get_xydata().tolist() == pytest.approx(np.array([[0.25, 1.0], [0.75, 2.0], [1.25, 3.0]]))
    assert tail_noise.get_ydata().tolist() == pytest.approx([0.5, 1.0, 1.5])
    assert core.get_ydata().tolist() == pytest.approx([11.0, 12.0, 13.0])
    assert core_noise.get_color() == core.get_color()
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["ReCU, tail", "ReCU, core", "noise alone"]
    assert axes.get_ylim()[0] == axes.get_xlim()[0] == 0.0


def test_without_a_null_there_is_no_line_of_it_and_layers_take_the_palette(survived, axes):
    hazard(survived, ax=axes, palette={"tail": "red", "core": "blue"})
    assert len(axes.get_lines()) == 8
    assert [axes.get_lines()[at].get_color() for at in (3, 7)] == ["red", "blue"]
    with pytest.raises(InputError, match="hazard"):
        hazard(survived.drop(columns="hazard"), ax=axes)
