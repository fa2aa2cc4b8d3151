"""One run or several, however a caller gives them: opened, as paths, in sequences, in mappings, in a list of runs."""

import os

import pandas as pd
import pytest

import recu_analysis as ra
from recu_analysis.analysis.differences import curves
from recu_analysis.analysis.mask import gradients, signs_changed
from recu_analysis.analysis.run_arguments import as_runs
from recu_analysis.errors import InputError, NotARunError
from recu_analysis.store.run import as_run
from recu_analysis.testing import synthetic_run
from tests.messages import says


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
    functions = (ra.dead_weights, ra.layer_table, ra.cohorts, ra.by_magnitude, ra.measured_tradeoff, gradients)
    for function in functions:
        for wrong in (None, 3, [paths[0]], {}):
            with pytest.raises(InputError) as error:
                function(wrong)
            says(str(error.value), "run", "path", "None" if wrong is None else type(wrong).__name__)
    for wrong in (None, 3, [], {}, [None], {"a": 1}, {paths[0]}, [paths[0], paths[0]]):
        with pytest.raises(InputError, match="run"):
            as_runs(wrong)
        with pytest.raises(InputError, match="run"):
            ra.claims(wrong)
    with pytest.raises(NotARunError, match="gone"):
        ra.dead_weights("gone")
