"""Training curves: a line an arm, its seeds as a band."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure

import recu_analysis as ra
from recu_analysis.errors import InputError
from recu_analysis.figures import FIGURES, draw_figure, figure_query
from recu_analysis.figures.print.style import style
from recu_analysis.figures.spec import OWN_CHOICE
from recu_analysis.testing import synthetic_run
from tests.editing import marks_of, write_marks


def test_a_band_spans_the_seeds(trained):
    runs = {name: trained(name, top1, seed=seed) for seed, (name, top1) in enumerate({"a": 90.0, "b": 94.0}.items())}
    axes = ra.plot_training(runs, quantity="val_top1", ax=Figure().subplots())
    (line,) = axes.get_lines()
    assert np.allclose(line.get_ydata(), np.array([87.0, 88.0, 89.0, 90.0]) + 2.0)
    corners = axes.collections[0].get_paths()[0].vertices
    assert {(0.0, 87.0), (0.0, 91.0), (3.0, 90.0), (3.0, 94.0)} <= {tuple(at) for at in corners}
    assert line.get_label() == "ReCU (2 seeds)"


def test_fig5_has_a_line_an_arm_in_both_panels_and_one_legend(trained, tmp_path):
    runs = {"a": trained("a"), "b": trained("b", seed=1), "c": trained("c", 80.0, recu=False)}
    files = draw_figure("fig5", runs, directory=tmp_path / "drawn", formats=("svg",))
    again = draw_figure("fig5", runs, directory=tmp_path / "again", formats=("svg",))
    assert [path.read_bytes() for path in files] == [path.read_bytes() for path in again]
    text = files[0].read_text()
    assert text.count("ReCU (2 seeds)<") == 1
    assert text.count("no clamp<") == 1
    assert len(files[1].read_text().splitlines()) == 1 + 3 * 4


def drawn(runs):
    data = figure_query("fig5", runs).run()
    with style("page"):
        figure, table = FIGURES["fig5"].draw(data, OWN_CHOICE)
    return figure.axes, table, FIGURES["fig5"].note(data)


def test_both_panels_have_one_scale_and_the_caption_tells_what_is_below(trained, tmp_path):
    runs = {"a": trained("a"), "b": trained("b", 80.0, recu=False)}
    (training, validation), _, note = drawn(runs)
    assert training.get_ylim() == validation.get_ylim()
    assert training.get_ylim()[0] < 80.0 - 4.0 + 1
    assert note == ""
    first, *rest = marks_of(runs["b"].path)
    write_marks(runs["b"].path, [first | {"val_top1": 10.0}, *rest])
    (training, validation), _, note = drawn(runs | {"b": ra.open_run(runs["b"].path)})
    assert 10.0 < training.get_ylim()[0] < 80.0 - 4.0 + 2
    assert note == "The axes begin at the lowest accuracy after epoch 0: earlier values are partly below."


def test_what_was_not_logged_is_not_drawn_and_marks_are_counted_without_epochs(tmp_path):
    path = synthetic_run(tmp_path / "run").path
    write_marks(path, [{"window": at, "update": 5 * at, "val_top1": 70.0 + at} for at in (1, 2)])
    (axes,), table, note = drawn({"mine": ra.open_run(path)})
    assert (axes.get_title(), axes.get_xlabel()) == ("validation", "mark")
    assert table["mark"].tolist() == [0, 1]
    assert "counts marks, because no epochs were logged" in note
    assert "Not every run logged its training accuracy" in note


def test_what_is_missing_is_said(trained, tmp_path):
    run = trained("a")
    with pytest.raises(InputError, match=r"run a logged no val_loss; give it to mark\(\), as in mark\(epoch=3, val_lo"):
        ra.plot_training({"a": run}, quantity="val_loss", ax=Figure().subplots())
    with pytest.raises(InputError, match="'lr'; known are train_top1"):
        ra.plot_training({"a": run}, quantity="lr", ax=Figure().subplots())
    path = synthetic_run(tmp_path / "unlogged").path
    write_marks(path, [{"window": 1, "update": 5, "epoch": 0}])
    with pytest.raises(InputError, match=r"run mine logged no train_top1; give it to mark\(\)"):
        ra.plot_accuracy({"mine": ra.open_run(path)}, ax=Figure().subplots())


def test_more_than_six_runs_become_arms_with_a_band_of_validation(trained):
    runs = {
        f"{lr}-{seed}": trained(f"{lr}-{seed}", 90.0 + seed, lr=lr, seed=seed) for lr in (1, 2) for seed in range(4)
    }
    axes = ra.plot_accuracy(runs, ax=Figure().subplots())
    named = [line for line in axes.lines if not line.get_label().startswith("_")]
    assert [line.get_label().split(" (")[-1] for line in named] == ["4 seeds)", "4 seeds)"]
    assert named[0].get_ydata().tolist() == [88.5, 89.5, 90.5, 91.5]
    (first, _) = [band.get_paths()[0].vertices[:, 1] for band in axes.collections]
    assert (first.min(), first.max()) == (87.0, 93.0)
    six = ra.plot_accuracy(dict(list(runs.items())[:6]), ax=Figure().subplots())
    assert len(six.lines) == 12
    assert not six.collections


def test_runs_without_a_seed_make_no_band(trained):
    runs = {name: trained(name, top1, seed=None) for name, top1 in {"a": 90.0, "b": 94.0}.items()}
    labels = [
        line.get_label() for line in ra.plot_training(runs, quantity="val_top1", ax=Figure().subplots()).get_lines()
    ]
    assert labels == ["ReCU (a)", "ReCU (b)"]


def test_one_seed_is_drawn_once(trained, tmp_path):
    runs = {"a": trained("a"), "again": trained("again", device="cuda")}
    with pytest.raises(InputError, match="a and again have the same configuration and the same seed, 0"):
        draw_figure("fig5", runs, directory=tmp_path)
