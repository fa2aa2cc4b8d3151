"""Headers that contradict each other, and what is missing at the ends: named by readers and by verify."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from recu_analysis import open_run
from recu_analysis.errors import DamagedError, WindowNotFoundError
from recu_analysis.store.header import LayerWindow
from recu_analysis.store.record import merged
from recu_analysis.store.sealing import digest, sealed, unsealed
from recu_analysis.store.shard import ShardHeader
from recu_analysis.store.tensors import TensorFile
from recu_analysis.store.verify import DAMAGE, verify
from recu_analysis.store.writer import RunWriter
from recu_analysis.testing import layer_state, random_walk
from tests.editing import marks_of, write_marks
from tests.messages import says
from tests.run_files import window_file
from tests.store.recording import SPEC, WALK

OTHER = random_walk((4, 30), 40, step=0.3, seed=1)


def record(path, *ends, resume=None, walk=WALK, scale=None):
    out = RunWriter(path, [SPEC], configuration={}, environment={"optimizers": [{}]}, resume=resume)
    start = resume or 0
    for first, last in zip([start, start, *ends], [start, *ends], strict=False):
        state = layer_state(walk, first + 1, last, center=True)
        if scale is not None:
            state = replace(state, arrays={**state.arrays, "scale": scale})
        number = out.write_window({"a": state}, first_update=first + 1, last_update=last)
        out.write_metrics({"window": number, "update": last})
    out.close()
    return path


def forge(file, arrays=None, **change):
    """Another header and other tensors, with seals and digests that fit."""
    header = ShardHeader.from_metadata(TensorFile(file, "it").metadata, "it")
    held = load_file(file) | (arrays or {})
    layer = change.pop("layer", None)
    if layer:
        change["layers"] = {"a": replace(header.layers["a"], **layer)}
    header = replace(header, **change, digests={name: digest(name, array) for name, array in held.items()})
    file.unlink()
    save_file(held, file, metadata=header.to_metadata())


def told(path):
    """The sentences of readers, on opening and on reading, after it was seen that verify has one for each."""
    run = open_run(path)
    sentences = list(run.problems)
    for window in run.windows:
        for name in ("weight", "path", "zpath", "flips", "first_flip", "last_flip", "scale"):
            try:
                window["a"].array(name)
            except DamagedError as error:
                sentences.append(str(error))
    table = verify(path)
    bad = table[table["verdict"].isin(DAMAGE)]
    for sentence in sentences:
        assert any(row.file in sentence or sentence in row.detail for row in bad.itertuples()), sentence
    assert bool(sentences) == bool(len(bad))
    return sentences


@pytest.mark.parametrize(
    "change",
    [
        {"last_update": 12},
        {"last_update": 7},
        {"first_update": 6},
        {"first_update": 9},
        {"first_update": 0, "last_update": -1},
        {"layer": {"updates": -1}},
        {"layer": {"updates": 5}},
        {"layer": {"first_update": 4}},
        {"layer": {"more": {"outside_updates": -2}}},
        {"layer": {"updates": 0}, "first_update": 9},
        {"marks": -1},
    ],
)
def test_numbers_of_one_header(tmp_path, change):
    record(tmp_path, 4, 8, 12)
    forge(window_file(tmp_path, 2), **change)
    assert told(tmp_path), change


def flipped(file, **values):
    """Arrays in which every weight that flipped has these values."""
    held = load_file(file)
    return {f"{name}/a": np.full_like(held[f"{name}/a"], value) for name, value in values.items()}


@pytest.mark.parametrize(
    "values",
    [
        {"flips": 0},
        {"flips": 5},
        {"first_flip": 4},
        {"first_flip": 9},
        {"last_flip": 9, "flips": 4},
        {"first_flip": 8, "last_flip": 5},
        {"flips": 1, "first_flip": 5, "last_flip": 8},
    ],
)
def test_flips_that_the_updates_cannot_have(tmp_path, values):
    record(tmp_path, 4, 8, 12)
    forge(window_file(tmp_path, 2), flipped(window_file(tmp_path, 2), **values))
    assert set(verify(tmp_path)["verdict"]) & set(DAMAGE)
    if {"first_flip", "last_flip"} - values.keys():
        assert told(tmp_path)
        with pytest.raises(DamagedError, match=r"window 2 .*weights and updates"):
            merged(open_run(tmp_path).windows[1:], "a")


@pytest.mark.parametrize("name", ["path", "zpath"])
def test_a_path_is_never_negative_and_may_be_no_number(tmp_path, name):
    record(tmp_path, 4, 8)
    values = np.ones((4, 30), np.float32)
    values[1, 3] = np.nan
    forge(window_file(tmp_path, 2), {f"{name}/a": values})
    assert told(tmp_path) == []
    values[2, 5] = -1e-9
    forge(window_file(tmp_path, 2), {f"{name}/a": values})
    assert told(tmp_path)
    with pytest.raises(DamagedError):
        merged(open_run(tmp_path).windows[1:], "a")


@pytest.mark.parametrize(
    ("shape", "fits"), [((4,), True), ((4, 1, 1), True), ((1,), True), ((5,), False), ((4, 30), False)]
)
def test_a_scale_has_one_entry_a_channel(tmp_path, shape, fits):
    record(tmp_path, 4, scale=np.ones(shape, np.float32))
    assert bool(told(tmp_path)) != fits


@pytest.mark.parametrize("behind", [False, True])
def test_a_state_with_other_weights_than_the_end_before_it(tmp_path, behind):
    record(tmp_path, 4, 8)
    record(tmp_path, 12, 16, resume=8, walk=np.concatenate([OTHER[:9], WALK[9:]]) if behind else OTHER)
    (text,) = told(tmp_path)
    says(text, "layer 'a'", "window 2 (")
    windows = open_run(tmp_path).windows
    assert [window.number for window in windows] == [0, 1, 2, 3, 4]
    with pytest.raises(WindowNotFoundError, match="at its start are not known"):
        merged(windows[2:4], "a")
    with pytest.raises(WindowNotFoundError):
        _ = windows[3]["a"].start
    merged(windows[4:], "a")


def test_a_later_resumption_with_the_right_weights_heals_it(tmp_path):
    record(tmp_path, 4, 8)
    record(tmp_path, resume=8, walk=OTHER)
    record(tmp_path, 12, resume=8)
    assert len(told(tmp_path)) == 1
    merged(open_run(tmp_path).windows[1:], "a")


def restart(path, segment, **change):
    file = path / f"history/segment-{segment:04}/segment.json"
    file.write_text(json.dumps(sealed(unsealed(file.read_bytes(), "it") | change)))


@pytest.mark.parametrize("start", [3, 5, 7, 8])
def test_a_segment_that_starts_elsewhere_than_its_windows(tmp_path, start):
    record(tmp_path, 4, 8)
    record(tmp_path, 6, 10, resume=4)
    assert told(tmp_path) == []
    restart(tmp_path, 1, start_update=start)
    assert told(tmp_path)


def test_a_window_whose_number_is_taken(tmp_path):
    record(tmp_path, 4, 8)
    record(tmp_path, 12, 16, resume=8)
    for number, wrong in ((3, 1), (4, 2)):
        place = window_file(tmp_path, number, 1)
        forge(place, window=wrong)
        place.parent.rename(place.parents[1] / f"window-{wrong:06}x")
    for wrong in (1, 2):
        folder = tmp_path / f"history/segment-0001/window-{wrong:06}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.with_name(f"{folder.name}x").rename(folder)
    (tmp_path / "history/segment-0001/metrics.jsonl").unlink()
    assert any("comes after window 2" in text for text in told(tmp_path))


@pytest.mark.parametrize("lines", [0, 1, 2])
@pytest.mark.parametrize("segments", [1, 2])
@pytest.mark.parametrize("ended", [True, False])
def test_metrics_whose_last_lines_are_gone(tmp_path, lines, segments, ended):
    record(tmp_path, 4, 8)
    if segments == 2:
        record(tmp_path, resume=8)
    file = tmp_path / "history/segment-0000/metrics.jsonl"
    assert told(tmp_path) == []
    file.write_bytes(b"".join(file.read_bytes().splitlines(keepends=True)[:lines]))
    if not ended:
        (tmp_path / "history/segment-0000/end.json").unlink()
    lost = ended or lines < 1 + segments  # without an end, the last line that nothing follows proves nothing
    assert bool(told(tmp_path)) == lost
    if lost:
        table = verify(tmp_path).set_index("file")
        assert table.loc["history/segment-0000/metrics.jsonl", "verdict"] == "torn"


@pytest.mark.parametrize("what", ["history", "history/segment-0000", "history/segment-0001"])
def test_folders_that_are_gone(tmp_path, what):
    record(tmp_path, 4, 8)
    record(tmp_path, 12, resume=8)
    record(tmp_path, 16, resume=12)
    shutil.rmtree(tmp_path / what)
    assert any(f"{what} is missing" in text for text in told(tmp_path))
    assert "missing" in set(verify(tmp_path)["verdict"])


def test_layers_of_other_optimizers_may_have_fewer_updates():
    window = LayerWindow(3, 2, 0.0, 0.0, 0.0, None)
    header = ShardHeader("r", 0, 1, 3, 9, True, False, {"a": window}, {})
    assert ShardHeader.from_metadata(header.to_metadata(), "it") == header


def test_the_state_at_the_start_that_is_gone(tmp_path):
    record(tmp_path, 4, 8)
    shutil.rmtree(tmp_path / "history/segment-0000/window-000000")
    marks = [mark for mark in marks_of(tmp_path) if mark["window"]]
    write_marks(tmp_path, marks)
    (tmp_path / "history/segment-0000/end.json").unlink()
    assert any("up to update 0, is missing" in text for text in told(tmp_path))
