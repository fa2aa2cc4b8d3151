"""Figures of the registry from synthetic runs: files, bytes, provenance, and what a run may lack."""

import json

import pytest
from matplotlib.figure import Figure

import recu_analysis as ra
from recu_analysis.errors import InputError, LayerNotFoundError
from recu_analysis.figures import FIGURES, draw_figure
from recu_analysis.figures.of_runs import FIG2_LAYER, silence_data
from recu_analysis.testing import random_walk, synthetic_run
from tests.editing import write_marks


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    made = {}
    for seed, label in enumerate(("ReCU", "without clamp")):
        history = {FIG2_LAYER: random_walk((8, 50), 8, seed=seed), "other": random_walk((4, 30), 8, seed=seed + 9)}
        made[label] = ra.open_run(synthetic_run(folder / str(seed), history).path)
    return made


# The others have tests of their own in tests/figures.
DRAWN = [name for name in FIGURES if not name.startswith("table") and name not in {"initscale", "mask"}]


@pytest.mark.parametrize("name", DRAWN)
def test_every_figure_has_its_files_the_same_each_time(runs, tmp_path, name):
    first = draw_figure(name, runs, tmp_path / "a", command="recu-analyze demo")
    second = draw_figure(name, runs, tmp_path / "b", command="recu-analyze demo")
    assert [path.name for path in first] == [f"{name}.{end}" for end in ("pdf", "png", "csv", "tex", "json")]
    for a, b in zip(first, second, strict=True):
        assert a.read_bytes() == b.read_bytes()
    assert b"/Type3" not in first[0].read_bytes()
    provenance = json.loads((tmp_path / "a" / f"{name}.json").read_text())
    assert provenance["runs"]["ReCU"]["id"] == runs["ReCU"].id
    assert str(tmp_path) not in json.dumps(provenance)
    assert f"\\label{{fig:{name}}}" in (tmp_path / "a" / f"{name}.tex").read_text()


@pytest.mark.parametrize("name", DRAWN)
def test_one_run_is_enough(runs, tmp_path, name):
    draw_figure(name, {"ReCU": runs["ReCU"]}, tmp_path, command="test")


def test_plot_functions_return_the_axes_they_were_given(runs):
    axes = Figure().subplots(2, 2).ravel()
    run = runs["ReCU"]
    assert ra.plot_dead_weights(run, ax=axes[0]) is axes[0]
    assert ra.plot_by_magnitude(runs, "mobility", axes[1]) is axes[1]
    assert len(axes[1].lines) == 4  # a line a run, and what distance alone would make of it
    assert ra.plot_silence(run, axes[2]) is axes[2]
    assert ra.plot_accuracy(runs, axes[3]) is axes[3]


def test_unknown_figures_and_layers(runs, tmp_path):
    with pytest.raises(InputError, match=r"'figg3'.*fig3"):
        draw_figure("figg3", runs, tmp_path, command="test")
    with pytest.raises(InputError, match=r"'histogram'.*fig2, magnitude"):
        draw_figure("histogram", runs, tmp_path, command="test")
    with pytest.raises(LayerNotFoundError):
        ra.plot_dead_weights(runs["ReCU"], "nothing", Figure().subplots())


def test_a_run_without_accuracy_says_how_to_log_it(tmp_path):
    path = synthetic_run(tmp_path / "run").path
    write_marks(path, [{"window": 1, "update": 5, "epoch": 0}])
    with pytest.raises(InputError, match=r"run mine.*train_top1.*mark\(\)"):
        ra.plot_accuracy({"mine": ra.open_run(path)}, Figure().subplots())


def test_windows_without_epoch_are_left_out_of_the_silence_figure(tmp_path):
    path = synthetic_run(tmp_path / "run").path
    file = path / "history/segment-0000/metrics.jsonl"
    file.write_text("".join(line + "\n" for line in file.read_text().splitlines()[:3]))
    assert silence_data(ra.open_run(path))["epoch"].unique().tolist() == [0, 1, 2]


def test_without_any_epoch_windows_are_counted(tmp_path):

    path = synthetic_run(tmp_path / "run").path
    (path / "history/segment-0000/metrics.jsonl").unlink()
    run = ra.open_run(path)
    assert silence_data(run)["epoch"].unique().tolist() == [1, 2, 3, 4]
    assert ra.plot_silence(run, Figure().subplots()).get_xlabel() == "window"


def test_closed_forms_need_no_run(tmp_path):
    for name in ("fig3", "fig4", "schedule", "tradeoff"):
        files = draw_figure(name, {}, tmp_path, command="test")
        assert json.loads(files[-1].read_text())["runs"] == {}
    with pytest.raises(InputError, match=r"fig2.*run directory"):
        draw_figure("fig2", {}, tmp_path, command="test")


def test_plot_functions_of_closed_forms_return_their_axes(runs):
    axes = Figure().subplots(2, 2).ravel()
    assert ra.plot_quantization_error(ax=axes[0]) is axes[0]
    assert ra.plot_entropy(axes[1]) is axes[1]
    assert ra.plot_schedule(100, ax=axes[2]) is axes[2]
    assert ra.plot_tradeoff(ax=axes[3], epochs=12, run=runs["ReCU"], layers="other") is axes[3]
