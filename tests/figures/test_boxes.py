"""No text of a figure overlaps another, nothing covers data, nothing leaves its place, at every venue and width."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from matplotlib.figure import Figure
from safetensors.numpy import save_file

import recu_analysis as ra
from recu_analysis.analysis.query import gathered
from recu_analysis.errors import RecuError
from recu_analysis.figures.print.fitting import fit_labels
from recu_analysis.figures.print.style import VENUES, style
from recu_analysis.figures.registry import FIGURES, figure_query
from recu_analysis.figures.spec import OWN_CHOICE, Asked, FigureSpec
from recu_analysis.testing import random_walk, synthetic_run
from tests.figures.boxes import faults
from tests.messages import says

CORE = [("iccv", "column"), ("talk", "page")]
PRINTED = [("iccv", "column"), ("iccv", "page"), ("neurips", "page"), ("talk", "page")]
EVERY = [(venue, width) for venue in VENUES for width in ("column", "page")]


def own_names(folder, count=2, size=(8, 60)):
    """Two runs of a network whose layers have names of their own."""
    names = [f"encoder.blocks.{at}.mixer_with_a_long_name.weight_{at % 3}" for at in range(count)]
    runs = {}
    for seed, label in enumerate(("plain", "with_clamp_$x$")):
        history = {name: random_walk(size, 8, seed=seed + at) for at, name in enumerate(names)}
        runs[label] = ra.open_run(synthetic_run(folder / str(seed), history, traces=3, gradient_stats=True).path)
    return runs


def with_faults(runs, places, names=None):
    """Draw every figure that the runs have, or some, at some venues and widths; the faults by figure and place."""
    names = names or [name for name, figure in FIGURES.items() if isinstance(figure, FigureSpec)]
    found = {}
    for name, data in gathered({name: figure_query(name, runs) for name in names}).run().items():
        if isinstance(data, RecuError):
            continue
        for venue, width in places:
            with style("page", venue=venue, every=width), warnings.catch_warnings():
                warnings.simplefilter("error")
                try:
                    figure, _ = FIGURES[name].draw(data, OWN_CHOICE)
                except RecuError as error:
                    says(str(error), "fit", "--width page")  # the only reason not to draw what the runs have
                    continue
                fit_labels(figure)
                found[name, venue, width] = faults(figure)
                if figure.get_figheight() > VENUES[venue].height:
                    found[name, venue, width].append("the figure is higher than the page")
    assert found
    return {place: sentences for place, sentences in found.items() if sentences}


@pytest.mark.figures
def test_a_network_with_names_of_its_own(tmp_path):
    assert with_faults(own_names(tmp_path), CORE) == {}


OF_RUNS = ("fig5", "initscale", "magnitude", "fliplaw", "claims")


def many(trained, count):
    """Runs with long names that are no seeds of one another, and half of them with another scale b*."""
    names = [f"{at}_$x_{at}$_" + "a_name_of_sixty_letters_" * 2 + "_ends" for at in range(count)]
    return {
        name: trained(name, 90.0 - at, seed=None, recu=at != 1, scale=2.0 if at % 2 else 1.0)
        for at, name in enumerate(names)
    }


@pytest.mark.figures
def test_eight_runs_with_long_names(trained):
    assert with_faults(many(trained, 8), CORE, OF_RUNS) == {}


OF_LAYERS = ("fig2", "ridge", "scores", "silence", "layers", "lockin", "survival", "trajectories", "layermap", "qe")


@pytest.mark.figures
def test_nine_runs_with_long_names_fit_or_are_refused(tmp_path):
    runs = {}
    for at in range(9):
        path = synthetic_run(tmp_path / str(at), {"conv": random_walk((8, 60), 8, seed=at)}, traces=3).path
        runs[f"{at}_" + "a_name_of_sixty_letters_" * 2 + "_end"] = ra.open_run(path)
    assert with_faults(runs, PRINTED, OF_LAYERS) == {}


@pytest.mark.figures
@pytest.mark.parametrize("count", [1, 8])
def test_runs_with_long_names(trained, count):
    assert with_faults(many(trained, count), PRINTED, OF_RUNS) == {}


@pytest.mark.figures
def test_seeds_and_gradients_as_they_are_shipped():
    seeds = {f"{arm}-{at}": f"fashion/{arm}-{at}" for arm in ("baseline", "recu", "random") for at in range(3)}
    scales = {f"{arm}-{at}": f"scale/{arm}-{at}" for arm in ("two", "half", "rescaled") for at in range(3)}
    arms = ("recu", "baseline", "random")
    masks = {f"{arm} with a long $name$ of {'many_letters_' * 3}": f"mask/{arm}" for arm in arms}
    lengths = {path: path for arm in ("recu", "baseline") for path in (f"fashion/{arm}-0", f"mask/{arm}")}
    drawn = ((seeds, ("fig5", "claims")), (scales, ("initscale",)), (masks, ("mask",)), (lengths, ("length",)))
    for folders, names in drawn:
        runs = {label: ra.open_run(f"checkpoints/{folder}") for label, folder in folders.items()}
        assert with_faults(runs, PRINTED, names) == {}


@pytest.mark.figures
def test_every_venue_and_width(tmp_path):
    folder = "checkpoints/fashion"
    shipped = {arm: ra.open_run(f"{folder}/{arm}-0") for arm in ("baseline", "recu", "random")}
    assert with_faults(shipped, EVERY) == {}
    assert with_faults(own_names(tmp_path), EVERY) == {}


@pytest.mark.figures
@pytest.mark.parametrize("layers", [18, 170])
def test_many_layers(tmp_path, layers):
    assert with_faults(own_names(tmp_path, layers, (4, 20)), PRINTED) == {}


@pytest.mark.figures
def test_nan_and_constant_weights(tmp_path):
    history = {name: random_walk((8, 60), 8, seed=at) for at, name in enumerate("abc")}
    history["b"][4:, 2] = np.nan
    history["c"][:] = history["c"][:1]
    assert with_faults({"nan": ra.open_run(synthetic_run(tmp_path, history).path)}, PRINTED) == {}


@pytest.mark.figures
def test_a_run_imported_from_checkpoints(tmp_path):
    rng = np.random.default_rng(0)
    for step in range(4):
        state = {f"block.{at}.weight": rng.normal(size=(8, 60)).astype(np.float32) for at in range(2)}
        save_file(state, tmp_path / f"epoch{step}.safetensors")
    ra.import_checkpoints(sorted(tmp_path.glob("*.safetensors")), tmp_path / "run", layers="*")
    assert with_faults({"imported": ra.open_run(tmp_path / "run")}, PRINTED) == {}


@pytest.mark.figures
@pytest.mark.parametrize(
    ("name", "count", "asked"),
    [
        *((name, 6, Asked(layers="*")) for name in ("fig2", "ridge", "scores")),
        *(("causes", count, Asked(windows="3:")) for count in (6, 170)),
    ],
)
def test_what_is_asked_for(tmp_path, name, count, asked):
    runs = own_names(tmp_path, count, (4, 20))
    data = figure_query(name, runs, asked).run()
    for venue, width in PRINTED:
        with style("page", venue=venue, every=width):
            figure, _ = FIGURES[name].draw(data, asked)
            fit_labels(figure)
            assert faults(figure) == []


def panel():
    figure = Figure(figsize=(3, 2), layout="constrained")
    axes = figure.add_subplot()
    axes.plot([0, 1, 2], [0, 1, 4], label="data")
    return figure, axes


def overlapping(_, axes):
    axes.text(1, 2, "one text")
    axes.text(1.02, 2, "another text")


def leaving(_, axes):
    axes.text(1.5, 3.0, "a text that is much longer than the room there is").set_in_layout(False)


def covering(_, axes):
    axes.legend(loc="upper right", title="over the curve")


def boxed(_, axes):
    axes.text(1, 1, "note", ha="center", va="center", bbox={"facecolor": "white"})


def inset(_, axes):
    axes.inset_axes((0.4, 0.1, 0.5, 0.5)).plot([1, 2])


def unclipped(_, axes):
    axes.plot([0, 2], [0, 9], clip_on=False)[0].set_in_layout(False)
    axes.set_ylim(0, 4)


def crowded(_, axes):
    axes.set_xticks(np.linspace(0, 2, 30), [f"epoch {at}" for at in range(30)])


@pytest.mark.parametrize(
    ("plant", "fault"),
    [
        (overlapping, "'one text' overlaps the text 'another text'"),
        (leaving, "leaves the figure"),
        (covering, "the legend covers Line2D 'data'"),
        (boxed, "the note 'note' covers Line2D 'data'"),
        (inset, "the inset covers Line2D 'data'"),
        (unclipped, "is outside of its axes"),
        (crowded, "'epoch 3' overlaps the text 'epoch 4'"),
    ],
)
def test_a_planted_fault_is_found(plant, fault):
    figure, axes = panel()
    assert faults(figure) == []
    plant(figure, axes)
    assert any(fault in sentence for sentence in faults(figure)), faults(figure)
