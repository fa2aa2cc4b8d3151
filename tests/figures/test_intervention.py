"""The plot of interventions shows the rows of one layer, each where its number is."""

import pandas as pd
import pytest
from matplotlib.figure import Figure

import recu_analysis as ra
from recu_analysis.errors import InputError
from tests.messages import facts


def table():
    places = [
        (row, layer, group, norm)
        for row, layer in (("layer", "one"), ("layer", "all"), ("total", "all"))
        for group in ("tail-silent", "random")
        for norm in ("fixed", "re-estimated")
    ]
    rows = pd.DataFrame(places, columns=["row", "layer", "group", "batch_norm"]).assign(reference="unchanged")
    rows = rows.assign(rise=range(12)).assign(rise_low=lambda d: d.rise - 1.0, rise_high=lambda d: d.rise + 2.0)
    return pd.concat([rows, rows.assign(reference="random", rise=99.0)], ignore_index=True)


def test_a_marker_with_its_interval_for_each_group_and_treatment():
    for layer, first in ((None, 8), ("one", 0), ("all", 4)):
        axes = Figure().subplots()
        assert ra.plot_intervention(table(), ax=axes, layer=layer, markersize=7) is axes
        _, *lines = axes.lines
        assert [line.get_label() for line in lines] == ["fixed", "re-estimated"]
        assert [line.get_markersize() for line in lines] == [7, 7]
        # In the order of the names within a treatment: random, tail-silent.
        assert [list(line.get_xdata()) for line in lines] == [[first + 2, first], [first + 3, first + 1]]
        assert [text.get_text() for text in axes.get_yticklabels()] == ["tail-silent", "random"]
        assert [round(height) for height in lines[0].get_ydata()] == [1, 0]
        ends = [segment[:, 0].tolist() for each in axes.collections for segment in each.get_segments()]
        assert ends == [[first + rise - 1, first + rise + 2] for rise in (2, 0, 3, 1)]


def test_means_over_seeds_are_drawn_of_one_experiment():
    seed = table().assign(arm="a", run="a-0", rise=-5.0)
    means = table().assign(arm="a", run=None)
    axes = Figure().subplots()
    ra.plot_intervention(pd.concat([seed, means], ignore_index=True), ax=axes)
    assert [list(line.get_xdata()) for line in axes.lines[1:]] == [[10, 8], [11, 9]]
    with pytest.raises(InputError, match=facts("2 experiments: a; b", "table['arm'] == 'a'")):
        ra.plot_intervention(pd.concat([means, means.assign(arm="b")]), ax=Figure().subplots())


def test_what_cannot_be_drawn_is_said():
    for words, arguments in (
        (("layer", "'three'", "one"), {"layer": "three"}),
        (("label", "2"), {"label": "mine"}),
    ):
        with pytest.raises(InputError, match=facts(*words)):
            ra.plot_intervention(table(), ax=Figure().subplots(), **arguments)
