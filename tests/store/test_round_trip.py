"""What is written is what is read, to the bit, whatever the values and the names."""

import os
import stat

import numpy as np
import pytest

from recu_analysis import open_run
from recu_analysis.errors import LayerNotFoundError
from recu_analysis.store import format as names
from recu_analysis.store.sealing import load_json
from recu_analysis.testing import layer_state, random_walk, synthetic_run

STRANGE_NAMES = [
    "..",
    "../../escape",
    "/etc/passwd",
    "a/b",
    "new\nline",
    "nul\0byte",
    "<script>alert(1)</script>",
    "\U0001f600 emoji",
    "__metadata__",
    "x" * 10_000,
]


@pytest.mark.parametrize("layer", ["first", "second"])
def test_every_array_comes_back(tmp_path, layer):
    made = synthetic_run(tmp_path / "run")
    run = open_run(made.path)
    assert [window.number for window in run.windows] == [0, 1, 2, 3, 4]
    for number, (low, high) in enumerate(zip(made.marks, made.marks[1:], strict=False), start=1):
        record, truth = run.windows[number][layer], layer_state(made.history[layer], low + 1, high, center=True)
        for name in ("weight", "path", "zpath"):
            np.testing.assert_array_equal(getattr(record, name), truth[name])
            assert not getattr(record, name).flags.writeable
        np.testing.assert_array_equal(record.start, made.history[layer][low])
        np.testing.assert_array_equal(record.flips.reshape(-1)[truth["flipped"]], truth["flips"])
        assert record.flips.sum() == truth["flips"].sum()
        assert (record.first_flip < 0).sum() == (record.flips == 0).sum()
        np.testing.assert_array_equal(record.last_flip.reshape(-1)[truth["flipped"]], truth["last_flip"])
        assert record.summary == truth.summary


def test_special_values_are_bit_exact(tmp_path):
    walk = random_walk((2, 8), 1)
    walk[1, 0, :6] = [np.nan, np.inf, -np.inf, -0.0, 1e-45, np.finfo(np.float32).max]
    run = open_run(synthetic_run(tmp_path / "run", {"a": walk}, windows=1).path)
    assert run.windows[1]["a"].weight.tobytes() == walk[1].tobytes()


def test_double_precision_is_kept(tmp_path):
    walk = random_walk((2, 8), 1).astype(np.float64) / 3
    run = open_run(synthetic_run(tmp_path / "run", {"a": walk}, windows=1).path)
    assert run.windows[1]["a"].weight.dtype == np.float64
    np.testing.assert_array_equal(run.windows[1]["a"].weight, walk[1])


def test_layer_names_never_become_paths(tmp_path):
    history = {name: random_walk((2, 4), 1, seed=index) for index, name in enumerate(STRANGE_NAMES)}
    run = open_run(synthetic_run(tmp_path / "run", history, windows=1).path)
    assert run.layer_names == STRANGE_NAMES
    for name, walk in history.items():
        np.testing.assert_array_equal(run.windows[1][name].weight, walk[1])
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_tables_of_a_run(tmp_path):
    run = open_run(synthetic_run(tmp_path / "run").path)
    assert run.layers["name"].tolist() == ["first", "second"]
    assert run.layers["shape"].tolist() == ["4x3x3x3", "8x40"]
    assert run.layers["target"].tolist() == [2.0, 2.0]
    assert run.metrics.columns.tolist()[:5] == ["window", "update", "epoch", "tau", "lr"]
    assert run.metrics["val_top1"].tolist() == [50.0, 51.0, 52.0, 53.0]
    assert len(run.windows[1:3]) == 2
    assert repr(run.windows[-1]) == "<Window 4: updates 16 to 20>"
    with pytest.raises(LayerNotFoundError, match=r"'third'.*first, second"):
        run.windows[0]["third"]


def test_files_have_the_modes_that_the_umask_asks_for(tmp_path):
    before = os.umask(0o027)
    try:
        path = synthetic_run(tmp_path / "run").path
    finally:
        os.umask(before)
    files = [file for file in path.rglob("*") if file.is_file() and file.suffix == ".safetensors"]
    assert {stat.S_IMODE(file.stat().st_mode) for file in [*files, path / names.RUN_FILE]} == {0o640}


def test_nothing_is_left_in_staging(tmp_path):
    path = synthetic_run(tmp_path / "run").path
    assert not list(path.rglob(names.STAGING))
    assert load_json((path / names.RUN_FILE).read_bytes(), "run.json")["format"] == 2
