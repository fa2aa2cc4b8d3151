"""Figures of the registry from synthetic runs: files, bytes, provenance, and what drawing needs."""

from __future__ import annotations

import json
import shutil

import pytest

import recu_analysis as ra
from recu_analysis.analysis.query import gathered
from recu_analysis.errors import InputError
from recu_analysis.figures import FIGURES, draw_figure, figure_query
from recu_analysis.figures.layer_choice import FIG2_LAYER
from recu_analysis.figures.print.style import style
from recu_analysis.figures.registry import OF_LEVELS
from recu_analysis.figures.spec import OWN_CHOICE
from recu_analysis.testing import random_walk, synthetic_run
from tests.messages import facts


def made(folder, label, seed):
    history = {FIG2_LAYER: random_walk((8, 50), 8, seed=seed), "other": random_walk((4, 30), 8, seed=seed + 9)}
    return ra.open_run(synthetic_run(folder / label, history, traces=3).path)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    return {label: made(folder, label, seed) for seed, label in enumerate(("ReCU", "without clamp"))}


# They need runs of their own, and have tests of their own.
OWN_RUNS = {"causes", "initscale", "length", "mask", "trajectories", *OF_LEVELS}
DRAWN = [name for name in FIGURES if not name.startswith("table") and name not in OWN_RUNS]


@pytest.mark.parametrize("name", DRAWN)
def test_every_figure_has_its_files_the_same_each_time(runs, tmp_path, name):
    first = draw_figure(name, runs, directory=tmp_path / "a")
    second = draw_figure(name, runs, directory=tmp_path / "b")
    assert [path.name for path in first] == [f"{name}.{end}" for end in ("pdf", "png", "csv", "tex", "json")]
    for a, b in zip(first, second, strict=True):
        assert a.read_bytes() == b.read_bytes()
    assert b"/Type3" not in first[0].read_bytes()
    provenance = json.loads((tmp_path / "a" / f"{name}.json").read_text())
    assert provenance["runs"]["ReCU"]["id"] == runs["ReCU"].id
    assert str(tmp_path) not in json.dumps(provenance)
    assert f"\\label{{fig:{name}}}" in (tmp_path / "a" / f"{name}.tex").read_text()


def test_one_run_is_enough_and_drawing_reads_nothing(tmp_path):
    run = made(tmp_path, "gone", seed=0)
    found = gathered({name: figure_query(name, {"ReCU": run}) for name in DRAWN}).run()
    shutil.rmtree(run.path)
    for name, data in found.items():
        with style("page"):
            figure, table = FIGURES[name].draw(data, OWN_CHOICE)
        assert figure.axes, name
        assert len(table), name


def test_closed_forms_need_no_run(tmp_path):
    for name in ("fig3", "fig4", "schedule", "tradeoff"):
        files = draw_figure(name, {}, directory=tmp_path)
        assert json.loads(files[-1].read_text())["runs"] == {}
    with pytest.raises(InputError, match=facts("fig2", "at least one run")):
        draw_figure("fig2", {}, directory=tmp_path)


def test_from_python_a_path_is_enough_and_the_provenance_says_the_call(synthetic_pair, tmp_path):
    run = synthetic_pair["one"]
    files = draw_figure("lockin", run.path, directory=tmp_path / "new", formats="svg", width=3.0)
    assert [file.name for file in files] == ["lockin.svg", "lockin.csv", "lockin.tex", "lockin.json"]
    assert json.loads(files[-1].read_text())["command"] == "recu_analysis.draw_figure('lockin', ['one'])"
    for options, fact in [({"directory": None}, "directory must be the path"), ({"formats": "gif"}, "gif")]:
        with pytest.raises(InputError, match=fact):
            draw_figure("lockin", run, **options)
    with pytest.raises(InputError, match="not int 12"):
        draw_figure("lockin", 12)
