"""Which layers a figure shows: a layer that the runs have, by a rule that the caption states."""

from __future__ import annotations

import pytest

import recu_analysis as ra
from recu_analysis.errors import LayerNotFoundError
from recu_analysis.figures.grid import panel_each
from recu_analysis.figures.layer_choice import FIG2_LAYER, choose_layers, cut_sentence, evenly, short_names
from recu_analysis.figures.print.style import style
from recu_analysis.figures.registry import FIGURES, figure_query
from recu_analysis.figures.spec import Asked
from recu_analysis.testing import random_walk, synthetic_run


def network(folder, *names):
    return ra.open_run(synthetic_run(folder, {name: random_walk((4, 30), 4) for name in names}).path)


def test_the_rule(tmp_path):
    paper = network(tmp_path / "paper", "a", FIG2_LAYER, "c")
    mine, other = network(tmp_path / "mine", "a", "b", "c"), network(tmp_path / "other", "x", "y$z$")
    six = network(tmp_path / "six", *"pqrstu")
    for runs, asked, layers, said in [
        ({"a": paper}, None, [[FIG2_LAYER]], f"Layer: {FIG2_LAYER}, as in the paper."),
        ({"a": mine}, None, [["b"]], "Layer: b, in the middle of the binary layers."),
        ({"a": paper, "b": mine}, None, [["c"]] * 2, "Layer: c, in the middle of the common binary layers."),
        ({"a": mine, "b": other}, None, [["b"], ["y$z$"]], r"Layers: b (a); y\$z\$ (b), in the middle of the"),
        ({"a": mine}, ["c", "a"], [["a", "c"]], "Layers: a, c."),
        ({"a": six}, "*", [list("prsu")], "Shown are 4 of 6 layers, evenly spaced in depth."),
    ]:
        found = choose_layers(runs, asked)
        assert list(found.layers.values()) == layers
        assert said in found.sentence
    with pytest.raises(LayerNotFoundError):
        choose_layers({"a": mine}, "nothing")


@pytest.mark.parametrize("name", ["fig2", "ridge", "scores", "silence", "layers", "lockin", "layermap", "qe"])
def test_layers_and_windows_are_heeded(tmp_path, name):
    run = network(tmp_path / "run", "a", "b")
    asked = Asked(layers="b", windows="2:")
    found = figure_query(name, {"run": run}, asked).run()
    _, table = FIGURES[name].draw(found, asked)
    assert set(table["layer"]) == {"b"}
    assert "window" not in table or table["window"].min() >= 2


def test_titles_of_layers_differ_in_narrow_panels(tmp_path):
    run = network(tmp_path / "run", "layer1.0.conv2", "layer1.2.conv2", "layer2.0.conv2", "layer3.0.conv1")
    asked = Asked(layers="*")
    data = figure_query("ridge", {"run": run}, asked).run()
    with style(every="column"):
        figure, _ = FIGURES["ridge"].draw(data, asked)
    assert len({ax.get_title() for ax in figure.axes}) == 4


@pytest.mark.parametrize(("runs", "places"), [(2, (1, 2)), (3, (3, 1)), (4, (2, 2))])
def test_panels_of_runs_leave_no_quarter_of_a_column_empty(runs, places):
    with style(venue="iccv", every="column"):
        _, axes = panel_each(str(number) for number in range(runs))
    grid = axes[0].get_gridspec()
    assert (grid.nrows, grid.ncols) == places


def test_few_are_chosen_evenly_and_names_are_short():
    assert evenly(range(9), 3) == [0, 4, 8]
    assert evenly("ab", 5) == ["a", "b"]
    names = [f"encoder.blocks.{at}.a_long_name" for at in range(3)]
    assert len(set(short_names(names).values())) == 3
    assert cut_sentence(names) == "The names lack their common beginning, encoder.blocks."
    assert cut_sentence(["a", "b"]) == ""
