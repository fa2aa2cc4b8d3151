"""Reading: which windows count, on what each follows, and what is said of a run that is not whole."""

import itertools
import json
import os
import shutil
import stat
from dataclasses import replace

import numpy as np
import pytest

import recu_analysis.store.segments as module
from recu_analysis import open_run
from recu_analysis.errors import DamagedError, InputError, NotARunError, WindowNotFoundError
from recu_analysis.store.header import LayerWindow
from recu_analysis.store.sealing import sealed
from recu_analysis.store.state import LayerState
from recu_analysis.store.writer import RunWriter
from recu_analysis.testing import layer_state, random_walk, synthetic_run
from tests.editing import edit_run, run_json
from tests.messages import says
from tests.run_files import window_file, window_folder
from tests.store.recording import SPEC, WALK, record

OTHER = random_walk((4, 30), 40, step=0.3, seed=1)
#: Another way from update 4 on.
BRANCH = np.concatenate([WALK[:5], OTHER[5:]])
SPECS = [SPEC, replace(SPEC, name="b")]
FIRST = "history/segment-0000"


def test_what_is_no_path_of_a_run_is_said(tmp_path):
    listing = tmp_path / "runs.toml"
    listing.write_text("")
    for given, error, fact in [
        (None, InputError, "not by None"),
        ("", InputError, "is empty"),
        (12, InputError, "not by int 12"),
        (listing, NotARunError, "list of runs.*open_runs"),
    ]:
        with pytest.raises(error, match=fact):
            open_run(given)


def spans(run):
    return [(window.number, window.first_update, window.last_update) for window in run.windows]


def test_a_missing_window_is_a_gap_and_nothing_else(tmp_path):
    path = synthetic_run(tmp_path / "run").path
    shutil.rmtree(path / FIRST / "window-000002")
    run = open_run(path)
    assert [window.number for window in run.windows] == [0, 1, 3, 4]
    with pytest.raises(
        WindowNotFoundError,
        match=r"window 3 \(.*update 11.*update 10",
    ):
        _ = run.windows[2].before
    with pytest.raises(WindowNotFoundError):
        _ = run.windows[2]["first"].start
    assert run.windows[2]["first"].path.shape == (4, 3, 3, 3)
    assert run.windows[3].before.number == 3
    with pytest.raises(WindowNotFoundError, match=r"window 0 .* begins at update 1"):
        _ = run.windows[0].before


def test_several_resumptions(tmp_path):
    path = record(tmp_path, (1, 4), (5, 8), (9, 12), metrics=True)
    record(path, (9, 14), resume=8, walk=OTHER, metrics=True)
    record(path, (5, 7), (8, 10), resume=4, metrics=True)
    record(path, (11, 12), resume=10, metrics=True)
    run = open_run(path)
    assert spans(run) == [(0, 1, 0), (1, 1, 4), (2, 5, 7), (3, 8, 10), (4, 11, 12)]
    assert [window.before.number for window in run.windows[1:]] == [0, 1, 2, 3]
    assert run.metrics["update"].tolist() == [0, 4, 4, 7, 10, 10, 12]
    for window in run.windows[1:]:
        np.testing.assert_array_equal(window["a"].start, WALK[window.first_update - 1])
    assert len(list(path.glob("history/*/window-*"))) == 11


@pytest.mark.parametrize("damage", [lambda file: file.unlink(), lambda file: file.write_text("{")])
def test_windows_tell_where_a_segment_starts_whose_file_is_lost(tmp_path, damage):
    """Otherwise the last segment would follow on weights of the first, which the second had superseded."""
    path = record(tmp_path, (1, 4), (5, 8))
    record(path, (5, 8), resume=4, walk=BRANCH)
    record(path, (9, 10), resume=8, walk=BRANCH)
    before = open_run(path)
    damage(path / "history/segment-0001/segment.json")
    run = open_run(path)
    assert spans(run) == spans(before) == [(0, 1, 0), (1, 1, 4), (2, 5, 8), (3, 9, 10)]
    np.testing.assert_array_equal(run.windows[3]["a"].start, BRANCH[8])
    assert len(run.problems) == 1
    assert "segment-0001/segment.json" in run.problems[0]


@pytest.mark.parametrize("start", [None, -1, True, "4", 1.5])
def test_a_segment_that_names_no_start(tmp_path, start):
    path = record(tmp_path, (1, 4))
    (path / FIRST / "segment.json").write_text(json.dumps(sealed({"start_update": start})))
    run = open_run(path)
    assert spans(run) == [(0, 1, 0), (1, 1, 4)]
    assert "it has no start update" in run.problems[0]


def test_a_segment_that_never_began_is_nothing(tmp_path):
    path = record(tmp_path, (1, 4))
    (path / "history/segment-0001").mkdir()
    run = open_run(path)
    assert run.problems == ()
    assert len(run.segments) == 1
    assert run.next_segment == 2
    record(path, (5, 6), resume=4)
    assert spans(open_run(path))[-1] == (2, 5, 6)


@pytest.mark.parametrize("appears", [1, 2])
def test_a_segment_that_a_writer_begins_while_it_is_read(tmp_path, monkeypatch, appears):
    """Its file and its windows are not there when they are looked for, and are a moment later."""
    path = record(record(tmp_path, (1, 4)), (5, 6), resume=4)
    segment, aside = path / "history/segment-0001", tmp_path / "aside"
    segment.rename(aside)
    segment.mkdir()
    looks, real = itertools.count(1), module.read_small

    def read(file, *more):
        looked = file.parent == segment
        try:
            return real(file, *more)
        finally:
            if looked and next(looks) == appears:
                segment.rmdir()
                aside.rename(segment)

    monkeypatch.setattr(module, "read_small", read)
    run = open_run(path)
    assert run.problems == ()
    assert spans(run) == [(0, 1, 0), (1, 1, 4), (2, 5, 6)][: 4 - appears]


def test_layers_whose_optimizers_count_differently(tmp_path):
    """Layer a has two updates where b has one; each goes on with its own numbers."""
    out = RunWriter(tmp_path, SPECS, configuration={}, environment={})
    for number in range(3):
        a, b = (
            (1, 0) if not number else (8 * number - 7, 8 * number),
            (1, 0) if not number else (4 * number - 3, 4 * number),
        )
        states = {"a": layer_state(WALK, *a, center=True), "b": layer_state(OTHER, *b, center=True)}
        out.write_window(states, first_update=min(a[0], b[0]), last_update=max(a[1], b[1]))
    out.close()
    run = open_run(tmp_path)
    assert [window.before.number for window in run.windows[1:]] == [0, 1]
    np.testing.assert_array_equal(run.windows[2]["a"].start, WALK[8])
    np.testing.assert_array_equal(run.windows[2]["b"].start, OTHER[4])
    # The recorder counts both on from the same update: b's numbers jump, so that its start must be stored.
    again = RunWriter(tmp_path, SPECS, configuration={}, environment={}, resume=16)
    states = {"a": layer_state(WALK, 17, 16, center=True), "b": layer_state(OTHER, 17, 16, center=True)}
    assert again.write_window(states, first_update=17, last_update=16) == 3
    again.close()
    assert [window.number for window in open_run(tmp_path).windows] == [0, 1, 2, 3]


@pytest.mark.parametrize("name", ["run.json", f"{FIRST}/segment.json", f"{FIRST}/metrics.jsonl"])
@pytest.mark.parametrize("kind", ["pipe", "link", "folder"])
def test_only_regular_files_are_read(tmp_path, name, kind):
    path = record(tmp_path / "run", (1, 4), metrics=True)
    shutil.move(path / name, tmp_path / "elsewhere")
    if kind == "pipe":
        os.mkfifo(path / name)
    elif kind == "link":
        (path / name).symlink_to(tmp_path / "elsewhere")
    else:
        (path / name).mkdir()
    reason = "it is a link" if kind == "link" else "it is not a regular file"
    if name.endswith("segment.json"):
        assert reason in open_run(path).problems[0]
        return
    with pytest.raises(DamagedError, match=reason):
        _ = open_run(path).metrics


def test_links_to_whole_segments_are_not_followed(tmp_path):
    path = record(tmp_path / "run", (1, 4))
    shutil.move(path / FIRST, tmp_path / "elsewhere")
    (path / FIRST).symlink_to(tmp_path / "elsewhere")
    assert len(open_run(path).windows) == 0


def test_run_json_alone_takes_no_memory(tmp_path):
    path = record(tmp_path, (1, 4))
    layers = run_json(path)["layers"]
    layers[0]["shape"] = [2**40, 2**20]
    edit_run(path, layers=layers)
    layer = open_run(path).windows[1]["a"]
    for quantity in ("flips", "first_flip", "last_flip", "path", "weight"):
        with pytest.raises(DamagedError, match=f"{quantity} of layer 'a' has the wrong shape"):
            getattr(layer, quantity)


def test_paths_that_the_system_refuses():
    with pytest.raises(NotARunError, match="File name too long"):
        open_run("x" * 5000)
    with pytest.raises(NotARunError, match="does not exist"):
        open_run("nul\0byte")


def test_folders_of_any_name(tmp_path):
    path = tmp_path / os.fsdecode(b"\xff new\nline '\"")
    assert len(open_run(record(path, (1, 4))).windows) == 2


def test_a_learned_scale_comes_back(tmp_path):
    out = RunWriter(tmp_path, SPECS[:1], configuration={}, environment={})
    dense = np.zeros((4, 30), np.float32)
    none = np.array([], np.uint32)
    scale = np.array([1.0, -0.0, np.nan, 3.0], np.float32).reshape(4, 1, 1)
    summary = LayerWindow(1, 0, 0.0, 0.0, 0.0, None)
    arrays = {"weight": dense.T.reshape(30, 4).T, "path": dense, "zpath": dense, "scale": scale}
    arrays |= dict.fromkeys(("flipped", "flips", "first_flip", "last_flip"), none)
    out.write_window(
        {"a": LayerState(summary, arrays)},
        first_update=1,
        last_update=0,
    )
    out.close()
    record = open_run(tmp_path).windows[0]["a"]
    assert record.scale.tobytes() == scale.tobytes()
    assert record.scale.shape == (4, 1, 1)
    assert not record.flips.any()
    assert (record.first_flip == -1).all()


def test_files_tell_neither_date_nor_place(tmp_path):
    path = record(tmp_path / "run", (1, 4), metrics=True)
    texts = [file.read_bytes() for file in path.rglob("*") if file.is_file()]
    assert not any(os.fsencode(tmp_path) in text for text in texts)
    modes = {stat.S_IMODE(file.stat().st_mode) & 0o111 for file in path.rglob("*") if file.is_file()}
    assert modes == {0}


@pytest.mark.parametrize("emptied", [True, False])
@pytest.mark.parametrize("number", [2, 4])
def test_a_window_that_was_marked_and_is_gone_is_a_problem(tmp_path, number, emptied):
    path = synthetic_run(tmp_path / "run").path
    window_file(path, number).unlink()
    if not emptied:
        window_folder(path, number).rmdir()
    (problem,) = open_run(path).problems
    says(problem, f"window {number} ({window_folder(path, number)})", "missing", "metrics")


def test_a_gap_between_windows_that_have_no_metrics_is_a_problem(tmp_path):
    path = record(tmp_path / "run", (1, 5), (6, 10), (11, 15))
    assert open_run(path).problems == ()
    shutil.rmtree(window_folder(path, 2))
    (problem,) = open_run(path).problems
    assert problem.startswith("the recording before window 3 (")
    assert problem.endswith("), up to update 10, is missing")
