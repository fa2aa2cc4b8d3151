"""Figures of weights with more than two levels: for which runs, of which layers, with which numbers, at every width."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import recu_analysis as ra
from recu_analysis.errors import InputError, SignsOnlyError
from recu_analysis.figures import FIGURES, draw_figure, figure_query
from recu_analysis.figures.print.style import style
from recu_analysis.figures.registry import OF_ANY, OF_LEVELS, fitting
from recu_analysis.figures.spec import Asked
from recu_analysis.testing import synthetic_run
from tests.capture.level_layers import QUANTIZERS, Quantized, sgd
from tests.figures.test_boxes import CORE, EVERY, with_faults
from tests.messages import says


def made(path, *names, binary=False):
    """A run with layers that quantize so, the first one binary if asked, of four windows."""
    torch.manual_seed(len(names))
    layers = [Quantized(12, 8, *QUANTIZERS[names[0]]), *(Quantized(8, 8, *QUANTIZERS[name]) for name in names[1:])]
    model = nn.Sequential(*([ra.nn.BinaryLinear(12, 12)] if binary else []), *layers, nn.Linear(8, 3))
    optimizer = sgd(model)
    with ra.record(model, optimizer, path, traces=3) as recorder:
        for epoch in range(4):
            for _ in range(6):
                optimizer.zero_grad()
                nn.functional.cross_entropy(model(torch.randn(16, 12)), torch.arange(16) % 3).backward()
                optimizer.step()
            recorder.mark(epoch=epoch)
    return ra.open_run(path)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("states")
    return {"plain": made(folder / "a", "bitnet", "bitnet", "bitnet"), "with a $x$": made(folder / "b", *["twn"] * 3)}


def test_they_are_drawn_where_a_layer_has_more_levels(runs, tmp_path):
    binary = {"binary": ra.open_run(synthetic_run(tmp_path / "binary").path)}
    mixed = {"mixed": made(tmp_path / "mixed", "bitnet", binary=True)}
    assert not OF_LEVELS & {*fitting(binary)}
    assert {*fitting(mixed)} == {*FIGURES}
    closed = {name for name, figure in FIGURES.items() if not figure.runs}
    assert {*fitting(runs)} == OF_LEVELS | OF_ANY | closed
    assert {*fitting({})} == closed


def test_texts_keep_apart(runs):
    assert with_faults(runs, CORE[:1], ["transitions", "oscillation"]) == {}


@pytest.mark.figures
def test_texts_keep_apart_everywhere(runs, tmp_path):
    assert with_faults(runs, EVERY, [*OF_LEVELS, "trajectories"]) == {}
    steps = {"4 bits": made(tmp_path / "run", "maxabs, 4 bits"), "8 bits": made(tmp_path / "b", "8 bits")}
    assert with_faults(steps, EVERY, ["transitions", "oscillation"]) == {}
    for label, run in steps.items():
        assert with_faults({label: run}, EVERY, ["occupancy"]) == {}


def test_the_lines_are_medians_over_layers(runs):
    table = ra.levels(runs["plain"])
    axes = ra.plot_oscillation(runs["plain"], label="mine", linewidth=2.0)
    named = {line.get_label(): line for line in axes.lines}
    for name, column in (("all", "flip_ratio"), ("back", "oscillation_frequency")):
        line = named[f"mine, {name}"]
        np.testing.assert_allclose(line.get_ydata(), 1000 * table.groupby("epoch")[column].median())
        np.testing.assert_array_equal(line.get_xdata(), range(4))
    assert named["mine, back"].get_linewidth() == 2.0
    assert table["flip_ratio"].max() > 0
    with pytest.raises(InputError, match="lacks the column"):
        ra.plot_oscillation(table.drop(columns="flip_ratio_threshold"))


def test_the_caption_names_the_layers_and_the_files_hold_their_numbers(runs, tmp_path):
    data = figure_query("transitions", runs).run()
    says(data.sentence(), "Layer: ", "1", "in the middle of those with more than two levels.")
    files = draw_figure("occupancy", runs["plain"], directory=tmp_path, formats="svg")
    assert "A window is one epoch." in files[2].read_text()
    asked = Asked(layers=["0", "2"])
    with style("page"):
        figure, table = FIGURES["transitions"].draw(figure_query("transitions", runs, asked).run(), asked)
    titles = [ax.get_title() for ax in figure.axes if ax.get_title()]
    assert len(titles) == 4
    expected = ra.state_transitions(runs, layers=["0", "2"])
    assert table["transitions"].sum() == expected["transitions"].sum()


def test_figures_of_flips_say_what_they_show_of_states(runs, tmp_path):
    says(draw_figure("fliplaw", runs, directory=tmp_path, formats="svg")[2].read_text(), "density is that at all")
    mixed = {"mixed": made(tmp_path / "mixed", "bitnet", binary=True)}
    for name in ("lockin", "survival"):
        with pytest.raises(SignsOnlyError, match="layer '1' have 3 levels"):
            draw_figure(name, mixed, directory=tmp_path)


def test_layers_with_other_states_have_figures_of_their_own(runs, tmp_path):
    both = {"three": runs["plain"], "eight": made(tmp_path / "run", "minmax, 3 bits")}
    with pytest.raises(InputError, match="have 3 and 8 states, and the panels"):
        draw_figure("occupancy", both, directory=tmp_path)
