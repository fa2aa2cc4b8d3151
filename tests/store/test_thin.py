"""thin: what is recorded stays, compared with the tables of the same windows merged when read and with plain loops."""

import errno
import os
import shutil

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recu_analysis import dead_weights, layer_table, open_run
from recu_analysis.analysis.selection import WindowSpan, span_of
from recu_analysis.errors import (
    DamagedError,
    InputError,
    LayerNotFoundError,
    NoRoomError,
    RunExistsError,
    StoreError,
    WindowNotFoundError,
)
from recu_analysis.store.header import LayerSpec
from recu_analysis.store.state import LayerState
from recu_analysis.store.thin import thin
from recu_analysis.store.verify import verify
from recu_analysis.store.writer import RunWriter
from recu_analysis.testing import layer_state, synthetic_run
from tests.run_files import contents, window_file
from tests.store.recording import SPEC, WALK, record


@pytest.fixture(scope="module")
def ten_windows(tmp_path_factory):
    return synthetic_run(tmp_path_factory.mktemp("thin") / "run", windows=10)


def test_tables_over_the_kept_windows_are_those_of_the_ranges_before(ten_windows, tmp_path):
    before, after = (
        open_run(ten_windows.path),
        thin(open_run(ten_windows.path), windows=[0, 1, 5, 10], output=tmp_path / "thin"),
    )
    assert [(w.number, w.first_update, w.last_update) for w in after.windows] == [
        (0, 1, 0),
        (1, 1, 2),
        (5, 3, 10),
        (10, 11, 20),
    ]
    for text in ("1", "2:6", "6:11", "1:11", "1:6", "2:11"):
        whole = span_of(before, text)
        first = next(window.number for window in after.windows if window.number >= whole.start)
        kept = WindowSpan(first, whole.stop)
        pd.testing.assert_frame_equal(
            layer_table(before, windows=whole), layer_table(after, windows=kept), check_exact=False, rtol=1e-5
        )
        same = ["dead", "silent_fraction", "tail_fraction", "revived_fraction"]
        old, new = dead_weights(before, windows=whole), dead_weights(after, windows=kept)
        shared = [name for name in same if name in old]
        pd.testing.assert_frame_equal(old[shared], new[shared])


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sets(st.integers(1, 9)))
def test_every_choice_of_windows_equals_a_plain_loop_over_the_updates(ten_windows, tmp_path_factory, kept):
    numbers = sorted({0, 10, *kept})
    after = thin(open_run(ten_windows.path), windows=numbers, output=tmp_path_factory.mktemp("plain") / "thin")
    assert [window.number for window in after.windows] == numbers
    for low, window in zip(numbers, after.windows[1:], strict=False):
        for name, walk in ten_windows.history.items():
            truth = layer_state(walk, 2 * low + 1, 2 * window.number, center=True)
            record = window[name]
            np.testing.assert_array_equal(record.weight, truth["weight"])
            np.testing.assert_allclose(record.path, truth["path"], rtol=1e-6)
            np.testing.assert_allclose(record.zpath, truth["zpath"], rtol=1e-6)
            for kind in ("flips", "first_flip", "last_flip"):
                np.testing.assert_array_equal(getattr(record, kind).reshape(-1)[truth["flipped"]], truth[kind])
            assert record.flips.sum() == truth["flips"].sum()
            assert (record.summary.first_update, record.summary.updates) == (2 * low + 1, 2 * (window.number - low))
            assert record.summary.lr_decay == pytest.approx(truth.summary.lr_decay)


def test_what_is_said_of_the_run_stays(ten_windows, tmp_path):
    before, after = (
        open_run(ten_windows.path),
        thin(open_run(ten_windows.path), windows=[0, 4, 10], output=tmp_path / "thin"),
    )
    assert after.header.layers == before.header.layers
    assert after.configuration == before.configuration
    assert after.header.environment["thinned"] == {"run_id": before.id, "windows": [0, 4, 10]}
    assert after.id != before.id
    assert after.metrics.drop(columns="window").equals(before.metrics.drop(columns="window"))
    expected = before.metrics["window"].where(before.metrics["window"].isin([4, 10]))
    assert after.metrics["window"].astype(float).equals(expected.astype(float))
    assert set(verify(after.path)["verdict"]) == {"whole"}
    again = thin(after, windows=[0, 10], output=tmp_path / "again")
    assert [window.number for window in again.windows] == [0, 10]


def test_all_windows_kept_are_the_same_bits(ten_windows, tmp_path):
    before, after = (
        open_run(ten_windows.path),
        thin(open_run(ten_windows.path), windows=range(11), output=tmp_path / "thin"),
    )
    for one, other in zip(before.windows, after.windows, strict=True):
        assert one.header.digests == other.header.digests
        assert one.header.layers == other.header.layers


def test_some_layers(ten_windows, tmp_path):
    after = thin(open_run(ten_windows.path), windows=[0, 10], output=tmp_path / "thin", layers="sec*")
    assert after.layer_names == ["second"]
    assert set(verify(after.path)["verdict"]) == {"whole"}


def test_special_values_effective_weights_and_the_learned_scale(tmp_path):

    spec = LayerSpec("a", (4, 30), "float32", "test", None)
    walk = WALK.copy()
    walk[8, 0, :5] = [np.nan, np.inf, -np.inf, -0.0, 1e-45]

    def with_scale(state, last):
        return LayerState(
            state.summary,
            {**state.arrays, "effective": -walk[last], "scale": np.full((4, 1, 1), last, np.float32)},
        )

    run = open_run(record(tmp_path / "run", (1, 4), (5, 8), specs=[spec], change=with_scale, walk=walk))
    made = thin(run, windows=[0, 2], output=tmp_path / "thin").windows[1]["a"]
    assert made.weight.tobytes() == walk[8].tobytes()
    assert made.effective.tobytes() == (-walk[8]).tobytes()
    assert made.scale.tolist() == [[[8.0]]] * 4
    assert np.isnan(made.path[0, 0])
    assert np.isinf(made.path[0, 1])
    np.testing.assert_allclose(
        made.path[1:], run.windows[1]["a"].path[1:] + run.windows[2]["a"].path[1:].astype(np.float64), rtol=1e-6
    )


def test_exact_sampled_and_partial_stay(tmp_path):
    record(tmp_path / "run", (1, 4), (5, 8), exact=False)
    record(tmp_path / "run", (9, 10), (11, 12), resume=8, partial=True)
    run = open_run(tmp_path / "run")
    kept = thin(run, windows=[0, 2, 3, 4], output=tmp_path / "one")
    assert [(w.exact, w.partial) for w in kept.windows] == [(False, False), (False, False), (True, True), (True, True)]
    assert [w.exact for w in thin(run, windows=[0, 3, 4], output=tmp_path / "two").windows] == [False, False, True]


def test_superseded_windows_are_not_copied(tmp_path):
    record(tmp_path / "run", (1, 4), (5, 8), (9, 12))
    run = open_run(record(tmp_path / "run", (5, 6), (7, 14), resume=4))
    assert [w.last_update for w in thin(run, windows=[0, 3], output=tmp_path / "thin").windows] == [0, 14]


def test_a_recording_that_began_anew_inside_a_window(tmp_path):
    record(tmp_path / "run", (1, 4), (5, 8))
    run = open_run(record(tmp_path / "run", (7, 9), (10, 12), resume=6))
    with pytest.raises(InputError, match=r"window 2.*must be kept.*1,2"):
        thin(run, windows=[0, 4], output=tmp_path / "thin")
    made = thin(run, windows=[0, 1, 2, 4], output=tmp_path / "thin")
    assert [(w.first_update, w.last_update) for w in made.windows] == [(1, 0), (1, 4), (7, 6), (7, 12)]
    np.testing.assert_array_equal(made.windows[3]["a"].start, WALK[6])
    assert set(verify(made.path)["verdict"]) == {"whole"}


@pytest.mark.parametrize(
    ("windows", "kind", "text"),
    [
        ([0, 11], WindowNotFoundError, "has windows 0 to 10, not 11"),
        ([], InputError, r"0 and 10.*0,10"),
        ([0, 5], InputError, "window 10 must be kept"),
    ],
)
def test_windows_that_cannot_be_chosen(ten_windows, tmp_path, windows, kind, text):
    with pytest.raises(kind, match=text):
        thin(open_run(ten_windows.path), windows=windows, output=tmp_path / "thin")
    assert not any(tmp_path.iterdir())


def test_other_refusals_leave_nothing(ten_windows, tmp_path, monkeypatch):
    run = open_run(ten_windows.path)
    with pytest.raises(LayerNotFoundError):
        thin(run, windows=[0, 10], output=tmp_path / "thin", layers="x*")
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _: type("Usage", (), {"free": 0}))
        with pytest.raises(NoRoomError, match=r"not enough disk space.*thin.*0 MiB"):
            thin(run, windows=[0, 10], output=tmp_path / "thin")
    assert not any(tmp_path.iterdir())
    for name, content in (("file", "x"), ("folder", None), ("link", "none")):
        target = tmp_path / name
        target.mkdir() if content is None else target.write_text(content) if name == "file" else target.symlink_to(
            content
        )
        with pytest.raises(RunExistsError, match=r"exists.*another folder"):
            thin(run, windows=[0, 10], output=target)


def test_damaged_runs_are_refused(tmp_path):
    path = synthetic_run(tmp_path / "run").path
    shard = window_file(path, 2)
    content = bytearray(shard.read_bytes())
    content[-1] ^= 1
    shard.write_bytes(content)
    with pytest.raises(DamagedError, match=r"window 2 .*checksum"):
        thin(open_run(path), windows=[0, 4], output=tmp_path / "thin")
    os.truncate(shard, 9)
    with pytest.raises(DamagedError, match=r"damaged: window 2 .*cut short"):
        thin(open_run(path), windows=[0, 4], output=tmp_path / "thin")
    shard.unlink()
    with pytest.raises(DamagedError, match=r"window 2 .*missing"):
        thin(open_run(path), windows=[0, 4], output=tmp_path / "thin")
    assert [entry.name for entry in tmp_path.iterdir()] == ["run"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))])
@pytest.mark.parametrize("moment", [1, 3])
def test_what_stops_it_leaves_nothing_and_the_run_as_it_was(ten_windows, tmp_path, error, moment):
    before, seen = contents(ten_windows.path), []

    def stop(number):
        seen.append(number)
        if len(seen) == moment:
            raise error

    with pytest.raises((KeyboardInterrupt, StoreError)) as caught:
        thin(open_run(ten_windows.path), windows=[0, 5, 10], output=tmp_path / "deep/thin", on_window=stop)
    if not isinstance(caught.value, KeyboardInterrupt):
        assert str(caught.value) == f"{tmp_path}/deep/thin cannot be written: No space left on device"
    assert not any(tmp_path.iterdir())
    assert contents(ten_windows.path) == before


@pytest.mark.parametrize("name", ["fsync", "rename", "mkdir"])
def test_a_write_that_fails_leaves_nothing(ten_windows, tmp_path, monkeypatch, name):
    def refused(*_, **__):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    with monkeypatch.context() as patch:
        patch.setattr(os, name, refused)
        with pytest.raises(StoreError, match="Read-only file system"):
            thin(open_run(ten_windows.path), windows=[0, 10], output=tmp_path / "thin")
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("told", "kept"),
    [
        (({"a": "x"}, {"a": "y"}), {"a": "y"}),
        (({"a": "x"}, None), None),
        ((None, {"a": "y"}), {"a": "y"}),
        (({"a": "x"}, {"b": "x"}), {"b": "x"}),
    ],
)
def test_what_is_told_of_the_end_is_that_of_the_last_window(tmp_path, told, kept):
    out = RunWriter(tmp_path / "run", [SPEC], configuration={}, environment={})
    for (first, last), moved in zip([(1, 0), (1, 4), (5, 8)], (None, *told), strict=True):
        more = {"same": 1, "other": last} | ({} if moved is None else {"moved": moved})
        states = {"a": layer_state(WALK, first, last, center=True)}
        out.write_window(states, first_update=first, last_update=last, more=more)
    out.close()
    made = thin(open_run(tmp_path / "run"), windows=[0, 2], output=tmp_path / "thin").windows[1].header.more
    assert made == {"same": 1} | ({} if kept is None else {"moved": kept})


def test_what_is_no_run_no_list_and_no_path_is_said(ten_windows, tmp_path):
    run, good = open_run(ten_windows.path), {"windows": [0, 10], "output": tmp_path / "thin"}
    for wrong, options, fact in [
        (None, {}, "not as None"),
        (run, {"windows": 12}, r"\[0, 4, 12\], not int 12"),
        (run, {"windows": "0,10"}, "not str '0,10'"),
        (run, {"windows": [0, "x"]}, "not a list"),
        (run, {"output": None}, "output must be the path"),
    ]:
        with pytest.raises(InputError, match=fact):
            thin(wrong, **{**good, **options})
    assert len(thin(ten_windows.path, **good).windows) == 2
