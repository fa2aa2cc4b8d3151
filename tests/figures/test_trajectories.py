"""The figure of trajectories: a few weights of tail and core of each run, on one axis of z, and every flip of them."""

import pytest

import recu_analysis as ra
from recu_analysis.errors import NotRecordedError
from recu_analysis.figures.print.style import style
from recu_analysis.figures.registry import figure_query
from recu_analysis.figures.spec import Asked
from recu_analysis.figures.trajectories import FEW, draw
from recu_analysis.plots.palette import CORE, DEAD
from recu_analysis.testing import synthetic_run


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trajectories")
    return {name: ra.open_run(synthetic_run(folder / name, traces=30, seed=at).path) for at, name in enumerate("ab")}


def test_a_panel_for_a_few_weights_of_tail_and_core_of_each_run(runs):
    asked = Asked(layers="second")
    with style():
        figure, data = draw(figure_query("trajectories", runs, asked).run(), asked)
    assert data.groupby(["run", "group"])["flat_index"].nunique().tolist() == [FEW] * 4
    assert set(data["layer"]) == {"second"}
    assert [ax.get_title() for ax in figure.axes] == ["a", "a", "b", "b"]
    assert len({ax.get_ylim() for ax in figure.axes}) == 1
    assert data["z"].abs().max() <= figure.axes[0].get_ylim()[1]
    assert data["flip"].any()
    for ax, (run, group) in zip(figure.axes, [(run, group) for run in "ab" for group in ("tail", "core")], strict=True):
        rows = data[(data["run"] == run) & (data["group"] == group)]
        threshold, flips, *lines = ax.get_lines()
        assert list(threshold.get_ydata()) == [0.0, 0.0]
        assert [line.get_color() for line in lines] == [DEAD if group == "tail" else CORE] * FEW
        assert [list(line.get_ydata()) for line in lines] == [list(one["z"]) for _, one in rows.groupby("flat_index")]
        assert sorted(flips.get_xdata()) == sorted(rows.loc[rows["flip"], "update"])


def test_weights_of_one_group_alone_have_one_panel(runs):
    table = ra.traces(runs["a"], layers="second")
    with style():
        figure, data = draw({"a": table[table["group"] == "core"]})
    assert (len(figure.axes), figure.axes[0].get_title(), set(data["group"])) == (1, "", {"core"})


def test_a_run_without_traces_leaves_the_figure_out(tmp_path, runs):
    without = ra.open_run(synthetic_run(tmp_path / "run").path)
    found = figure_query("trajectories", runs | {"c": without}).run()
    assert isinstance(found, NotRecordedError)
    assert "record(..., traces=16)" in str(found)
