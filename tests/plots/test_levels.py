"""What the plots of weights with more than two levels draw: the counts of the table, each where its states are."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

import recu_analysis as ra
from recu_analysis.errors import InputError
from recu_analysis.plots.levels import occupancy_over_time, transition_map
from tests.capture.level_layers import sgd, tiny, update

COUNTS = np.array([[900, 90, 10], [30, 940, 30], [0, 50, 950]])


def table(windows=2, layers=("a",), counts=COUNTS, low=-1):
    rows = [
        {
            "layer": layer,
            "window": window,
            "epoch": window - 1.0,
            "state": a + low,
            "next_state": b + low,
            "transitions": n,
        }
        for layer in layers
        for window in range(1, windows + 1)
        for (a, b), n in np.ndenumerate(counts * window)
        if n
    ]
    return pd.DataFrame(rows)


def test_the_map_shows_the_shares_of_the_states_over_all_windows():
    axes = Figure().subplots()
    assert transition_map(table(), ax=axes) is axes
    (mesh,) = axes.collections
    drawn = np.ma.filled(mesh.get_array(), np.nan).reshape(3, 3)
    expected = np.array([[np.nan, 90.0, 10.0], [30.0, np.nan, 30.0], [np.nan, 50.0, np.nan]])
    np.testing.assert_allclose(drawn, expected)
    assert [text.get_text() for text in axes.texts] == ["900", "90", "10", "30", "940", "30", "0", "50", "950"]
    assert [text.get_text() for text in axes.get_xticklabels()] == ["-1", "0", "+1"]
    assert axes.get_title() == "a"


def test_many_states_have_no_numbers_and_fewer_names():
    axes = Figure().subplots()
    counts = np.eye(40, dtype=int) * 90 + np.eye(40, k=1, dtype=int) * 10
    transition_map(table(counts=counts, low=-20), ax=axes, label="mine", alpha=0.5)
    assert not axes.texts
    assert len(axes.get_xticklabels()) <= 16
    assert axes.get_title() == "mine"


def test_weights_that_all_stay_are_drawn():
    axes = Figure().subplots()
    transition_map(table(counts=np.diag([5, 6, 7])), ax=axes)
    axes.figure.canvas.draw()
    assert [text.get_text() for text in axes.texts][::4] == ["1e+03"] * 3


@pytest.mark.parametrize("windows", [1, 3])
def test_occupancy_is_stacked_by_state(windows):
    axes = Figure().subplots()
    assert occupancy_over_time(table(windows), ax=axes) is axes
    axes.figure.canvas.draw()
    tops = [band.get_paths()[0].vertices[:, 1].max() for band in axes.collections]
    np.testing.assert_allclose(tops, 100 * np.cumsum(COUNTS.sum(axis=0)) / COUNTS.sum())
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["-1", "0", "+1"]


def test_a_run_is_drawn_as_its_table(tmp_path):
    model = tiny("learned steps")
    optimizer = sgd(model)
    with ra.record(model, optimizer, tmp_path / "run") as recorder:
        for epoch in range(2):
            for number in range(4):
                update(model, optimizer, 4 * epoch + number)
            recorder.mark(epoch=epoch)
    for plot in (ra.plot_transitions, ra.plot_occupancy):
        of_run, of_table = (Figure().subplots() for _ in range(2))
        plot(tmp_path / "run", ax=of_run, windows="2:", layer="0", palette=["white", "black"])
        plot(ra.state_transitions(tmp_path / "run", windows="2:"), ax=of_table, palette=["white", "black"])
        for first, second in zip(of_run.collections, of_table.collections, strict=True):
            np.testing.assert_array_equal(first.get_facecolor(), second.get_facecolor())


@pytest.mark.parametrize("plot", [ra.plot_transitions, ra.plot_occupancy])
def test_what_cannot_be_drawn_is_said(plot):
    axes = Figure().subplots()
    for wrong, fact in [
        ((table().drop(columns="transitions"), {}), "lacks the column"),
        ((table(layers=("a", "b")), {}), "2 layers; choose one with layer='a'"),
        ((table(), {"layer": "c"}), "no layer of the table is called 'c'"),
        ((table(), {"palette": "red"}), "palette"),
        ((table(), {"colour": "red"}), "property"),
        ((None, {}), "a run|runs"),
    ]:
        with pytest.raises(InputError, match=fact):
            plot(wrong[0], ax=axes, **wrong[1])
