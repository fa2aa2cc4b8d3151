"""One run or several, however a caller gives them: opened, as paths, in sequences, in mappings, in a list of runs."""

import inspect
import os

import pandas as pd
import pytest
import torch

import recu_analysis as ra
from recu_analysis.analysis.differences import curves
from recu_analysis.analysis.mask import gradients, signs_changed
from recu_analysis.analysis.run_arguments import as_runs
from recu_analysis.errors import InputError, NotARunError
from recu_analysis.store.run import as_run
from recu_analysis.testing import synthetic_run


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    return [synthetic_run(folder / name, seed=seed).path for seed, name in enumerate(("a", "b"))]


def test_every_form_of_runs_gives_the_same(paths, tmp_path):
    runs = [ra.open_run(path) for path in paths]
    listed = tmp_path / "runs.toml"
    listed.write_text("".join(f"[[run]]\nfolder = '{path}'\n" for path in paths), encoding="utf-8")
    for given in (runs, paths, tuple(map(os.fspath, paths)), [runs[0], paths[1]], listed, str(listed)):
        assert [(label, run.id) for label, run in as_runs(given).items()] == [("a", runs[0].id), ("b", runs[1].id)]
    assert {label: run.id for label, run in as_runs({"x": paths[0], 2: runs[1]}).items()} == {
        "x": runs[0].id,
        "2": runs[1].id,
    }
    for given in (runs[0], paths[0], str(paths[0])):
        assert as_run(given).id == runs[0].id
        assert list(as_runs(given)) == ["a"]


def test_tables_open_paths(paths):
    for function in (ra.dead_weights, ra.layer_table, ra.tails, ra.flip_table, ra.fit_table, ra.transitions):
        pd.testing.assert_frame_equal(function(paths[0]), function(ra.open_run(paths[0])))
    assert curves(paths)["run"].unique().tolist() == ["a", "b"]
    assert signs_changed(str(paths[0])).equals(signs_changed(as_run(paths[0])))


def test_what_is_no_run_is_refused_in_a_sentence(paths):
    for function in (ra.dead_weights, ra.layer_table, ra.cohorts, ra.by_magnitude, gradients, ra.verify):
        for wrong in (None, 3, [], {}, [None]):
            with pytest.raises(InputError, match="run"):
                function(wrong)
    for wrong in (None, 3, [], {}, [None], {"a": 1}, {paths[0]}, [paths[0], paths[0]]):
        with pytest.raises(InputError, match="run"):
            as_runs(wrong)
        with pytest.raises(InputError, match="run"):
            ra.claims(wrong)
    with pytest.raises(NotARunError, match="gone"):
        ra.dead_weights("gone")


#: The public functions that take runs, and how the first of these parameters is annotated.
TAKING = {
    name: parameter
    for name in ra.__all__
    if inspect.isfunction(getattr(ra, name))
    for parameter in inspect.signature(getattr(ra, name)).parameters.values()
    if parameter.name in {"run", "runs", "data"} and "Run" in parameter.annotation
}
OF_ONE = [name for name, parameter in TAKING.items() if "OneRun" in parameter.annotation]
#: Tables of each run by itself, which are joined.
JOINED = [
    *("by_magnitude", "causes", "cohorts", "dead_weights", "earned", "fit_table", "flip_table", "layer_table"),
    *("measured_tradeoff", "survival", "tails", "traces", "transitions"),
]
#: What a function needs besides its runs.
NEEDED = {
    "decorrelation_time": {"after": 1},
    "intervene": {"model": torch.nn.Linear(1, 1), "evaluate": None},
    "thin": {"windows": [0], "output": "thin"},
    "verify": {},
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Two runs that hold all that a recording can."""
    folder = tmp_path_factory.mktemp("whole")
    return [
        synthetic_run(folder / name, seed=seed, traces=2, gradient_stats=True).path for seed, name in enumerate("ab")
    ]


def test_every_public_function_takes_one_run_or_several_and_says_which():
    for name, parameter in TAKING.items():
        documented = getattr(ra, name).__doc__
        if name in OF_ONE:
            assert f"{parameter.name} : one " in documented, name
        else:
            assert "SeveralRuns" in parameter.annotation, name
            assert "sequence, or mapping of labels to runs" in documented or "sequence, mapping of" in documented, name
    assert {name for name in TAKING if not name.startswith("plot_")} - {*OF_ONE} >= {*JOINED}
    assert {name for name in OF_ONE if not name.startswith("plot_")} == {*NEEDED}


@pytest.mark.parametrize("name", JOINED)
def test_tables_of_several_runs_are_those_of_each_with_its_label(name, whole):
    function = getattr(ra, name)
    a, b = function(whole[0]), function(ra.open_run(whole[1]))
    joined = pd.concat([a.assign(run="x"), b.assign(run="y")], ignore_index=True)[["run", *a]]
    pd.testing.assert_frame_equal(function({"x": whole[0], "y": ra.open_run(whole[1])}), joined)
    pd.testing.assert_frame_equal(function([whole[0]]), joined[joined["run"] == "x"].assign(run="a"))
    assert "run" not in a


@pytest.mark.parametrize("name", OF_ONE)
def test_what_needs_one_run_refuses_several_in_a_sentence(name, whole, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    function, more = getattr(ra, name), NEEDED.get(name, {})
    for several, kind in ((whole, "a list of 2"), ({"x": whole[0]}, "a dict of 1")):
        with pytest.raises(InputError) as error:
            function(**{TAKING[name].name: several}, **more)
        assert str(error.value) == (
            f"one run is needed, not {kind}; give ra.open_run's run or the path of its folder, one in each call"
        )


def test_a_plot_of_one_run_refuses_the_table_of_several(whole):
    table = ra.survival({"x": whole[0], "y": whole[1]})
    with pytest.raises(InputError, match=r"holds 2 runs; give the rows of one, such as table\[table.run == 'x'\]"):
        ra.plot_survival(table)
    ra.plot_survival(table[table.run == "y"])
