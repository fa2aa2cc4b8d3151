"""Damaged and hostile run directories: found, named in one sentence, and never followed out of the directory."""

import errno
import json
import os
import shutil
import threading

import pytest

import recu_analysis.store.tensors as tensors
from recu_analysis import open_run
from recu_analysis.errors import DamagedError, NotARunError, RecuError
from recu_analysis.store.sealing import sealed
from recu_analysis.store.tensors import TensorFile
from recu_analysis.testing import random_walk, synthetic_run
from recu_analysis.theory.levels import Quantizer
from tests.editing import edit_run, run_json, write_marks
from tests.messages import says
from tests.trajectory import trajectory

SHARD = "history/segment-0000/window-000001/00001-of-00001.safetensors"


@pytest.fixture
def path(tmp_path):
    return synthetic_run(tmp_path / "run", {"a": random_walk((3, 10), 4, step=0.5)}, windows=2).path


def read_all(run):
    for window in run.windows:
        for name in run.layer_names:
            _ = trajectory(window[name])


def problem(path):
    """The sentence that names what is wrong, whether met on opening or on reading."""
    try:
        run = open_run(path)
        for sentence in run.problems:
            return sentence
        read_all(run)
    except RecuError as error:
        return str(error)
    return None


def test_every_flipped_bit_is_found(path):
    shard = path / SHARD
    content = shard.read_bytes()
    header = 8 + int.from_bytes(content[:8], "little")
    for position in range(len(content)):
        damaged = bytearray(content)
        damaged[position] ^= 1 << position % 8
        shard.write_bytes(damaged)
        sentence = problem(path)
        # A JSON header may be written in several ways, so some bits of it, such as those of a space, mean nothing.
        assert sentence or (8 <= position < header and _same_header(content, damaged)), position
        if position >= header:
            assert "does not match its checksum" in sentence
            assert "/a'" in sentence


def _same_header(content, damaged):
    def parsed(data):
        return json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])

    return parsed(bytes(content)) == parsed(bytes(damaged))


def test_every_truncation_is_found(path):
    shard = path / SHARD
    content = shard.read_bytes()
    for length in range(0, len(content), 3):
        shard.write_bytes(content[:length])
        assert problem(path), length


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content + b"\0",
        lambda content: bytes(len(content)),
        lambda content: b"",
        lambda content: (2**62).to_bytes(8, "little") + content[8:],
        lambda content: (100 * 2**20).to_bytes(8, "little") + content[8:],
        lambda content: (len(deep := b"[" * 100_000)).to_bytes(8, "little") + deep,
        lambda content: (len(twice := b'{"a":1,"a":2}')).to_bytes(8, "little") + twice,
        lambda content: (len(other := b"[]")).to_bytes(8, "little") + other,
    ],
    ids=["garbage", "zeros", "empty", "2^62", "100 MB", "deep", "duplicate", "list"],
)
def test_other_contents_are_found(path, change):
    shard = path / SHARD
    shard.write_bytes(change(shard.read_bytes()))
    assert "window 1" in problem(path)
    assert [window.number for window in open_run(path).windows] == [0, 2]


@pytest.mark.parametrize(
    "entries",
    [
        {"t": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}},
        {"t": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}},
        {"t": {"dtype": "F32", "shape": [2**40, 2**40], "data_offsets": [0, 8]}},
        {"t": {"dtype": "BOOL", "shape": [8], "data_offsets": [0, 8]}},
        {"t": {"dtype": "F32", "shape": [True, 2], "data_offsets": [0, 8]}},
        {"t": {"dtype": "F32", "shape": [2], "data_offsets": [8, 16]}},
        {
            "t": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]},
            "u": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]},
        },
        {"t": 3},
        {"__metadata__": {"x": 1}},
    ],
)
def test_entries_that_do_not_fit_their_file(tmp_path, entries):
    header = json.dumps(entries).encode()
    file = tmp_path / "x.safetensors"
    file.write_bytes(len(header).to_bytes(8, "little") + header + bytes(8))
    with pytest.raises(DamagedError, match="the file is "):
        TensorFile(file, "the file")


def test_a_tensor_without_entry(path):
    file = TensorFile(path / SHARD, "the file")
    with pytest.raises(DamagedError, match="it has no tensor 'weight/b'"):
        file.read("weight/b")


def test_links_are_not_followed(path, tmp_path):
    shard = path / SHARD
    target = tmp_path / "elsewhere.safetensors"
    shutil.move(shard, target)
    shard.symlink_to(target)
    assert "it is a link" in problem(path)
    shard.unlink()
    shutil.move(target, shard)
    folder = shard.parent
    shutil.move(folder, tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere")
    assert [window.number for window in open_run(path).windows] == [0, 2]


def test_a_pipe_does_not_make_the_reader_wait(path):
    shard = path / SHARD
    shard.unlink()
    os.mkfifo(shard)
    sentences = []
    thread = threading.Thread(target=lambda: sentences.append(problem(path)), daemon=True)
    thread.start()
    thread.join(20)
    assert sentences
    assert "it is not a regular file" in sentences[0]


def test_a_shard_of_another_run_or_place(path, tmp_path):
    other = synthetic_run(tmp_path / "other", {"a": random_walk((3, 10), 4, seed=9)}, windows=2).path
    shutil.copy(other / SHARD, path / SHARD)
    assert "belongs to another run or to another place in this run" in problem(path)
    shutil.copy(path / SHARD.replace("000001", "000002"), path / SHARD)
    assert "belongs to another run or to another place in this run" in problem(path)


def test_run_json(path):
    file, content = path / "run.json", run_json(path)

    def sentence(change):
        file.write_text(json.dumps(sealed(content | change)))
        with pytest.raises(DamagedError) as caught:
            open_run(path)
        return str(caught.value)

    says(sentence({"format": 99}), "format 99", "1 and 2")
    assert "has format [2]" in sentence({"format": [2]})
    assert "is not of type list" in sentence({"layers": 3})
    assert "names no layer" in sentence({"layers": []})
    quantities = content["quantities"]
    assert "names a quantity twice" in sentence({"quantities": [*quantities, quantities[0]]})
    path_row = next(row for row in quantities if row["name"] == "path")
    many = [path_row | {"name": f"q{at}"} for at in range(99)]
    assert "names too many quantities" in sentence({"quantities": quantities + many})
    deep: list = []
    for _ in range(150):
        deep = [deep]
    assert "nested too deeply" in sentence({"configuration": {"deep": deep}})
    transform = content["layers"][0]["transform"]
    huge = {"layers": [content["layers"][0] | {"transform": transform | {"eps": 10**400}}]}
    assert "the entry of a layer cannot be read" in sentence(huge)
    assert "the entry of a layer cannot be read" in sentence({"layers": [{}]})
    assert "names a layer twice" in sentence({"layers": content["layers"] * 2})
    layer = content["layers"][0]
    assert "dtype 'object'" in sentence({"layers": [layer | {"dtype": "object"}]})
    assert "has shape ()" in sentence({"layers": [layer | {"shape": []}]})
    ternary = layer | {"quantizer": {"kind": "ternary"}}
    assert "a quantizer must have the fields kind, low" in sentence({"layers": [ternary]})
    for changed in ({"low": 10**400}, {"factor": 10**400}, {"kind": "octal"}, {"group": 7}, {"group": True}):
        fields = Quantizer.bitnet().to_dict() | changed
        assert "the entry of a layer cannot be read" in sentence({"layers": [layer | {"quantizer": fields}]})
    assert "the entry of a layer cannot be read" in sentence({"layers": [layer | {"transform": {"center": 1}}]})
    file.write_text("{")
    with pytest.raises(DamagedError, match=r"run\.json"):
        open_run(path)


def test_shapes_are_checked_against_run_json(path):
    layers = run_json(path)["layers"]
    layers[0]["shape"] = [3, 11]
    edit_run(path, layers=layers)
    with pytest.raises(DamagedError, match=r"weight of layer 'a'.*shape"):
        _ = open_run(path).windows[1]["a"].weight


def test_a_torn_last_line_of_metrics_is_ignored(path):
    file = path / "history/segment-0000/metrics.jsonl"
    file.write_bytes(file.read_bytes()[:-9])
    assert open_run(path).metrics["window"].tolist() == [1]


def test_a_damaged_line_of_metrics_is_named(path):
    file = path / "history/segment-0000/metrics.jsonl"
    whole = file.read_bytes()
    file.write_bytes(b"{}\n" + whole)
    with pytest.raises(DamagedError, match=r"line 1 of .*seal"):
        _ = open_run(path).metrics
    file.write_bytes(whole.partition(b"\n")[2])
    with pytest.raises(DamagedError, match=r"line 1 of .*line 2"):
        _ = open_run(path).metrics
    says(open_run(path).problems[0], "line 2")
    assert len(open_run(path).windows) == 3
    write_marks(path, [{}])
    with pytest.raises(DamagedError, match=r"line 1 of .* it names no update"):
        _ = open_run(path).metrics
    file.write_bytes(b"{torn\n" + file.read_bytes())
    with pytest.raises(DamagedError, match="line 1 of "):
        _ = open_run(path).metrics


def test_what_is_no_run_directory(tmp_path, path):
    cases = {
        tmp_path / "none": "does not exist; recu-analyze train",
        tmp_path / "file.txt": "is a file, not a run directory",
        tmp_path / "empty": "is empty; recu-analyze train",
        tmp_path / "checkpoints": r"contains checkpoints \(a.pth, 2 in all\), which keep no history",
        tmp_path / "stuff": r"is not a run directory: it has no run\.json",
        tmp_path: "is not a run directory but contains some; name one: run",
    }
    (tmp_path / "file.txt").write_text("x")
    for name in ("empty", "checkpoints", "stuff"):
        (tmp_path / name).mkdir()
    (tmp_path / "checkpoints/a.pth").touch()
    (tmp_path / "checkpoints/b.pth.tar").touch()
    (tmp_path / "stuff/notes.txt").touch()
    for folder, text in cases.items():
        with pytest.raises(NotARunError, match=text):
            open_run(folder)


def test_a_disk_that_cannot_be_read_is_told_in_a_sentence(path, monkeypatch):
    """EIO from the disk itself: of a tensor, of a header, of a folder."""

    def broken(*_):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    for owner, name, what in (
        (tensors, "_read_into", r"window 1 \(.*\) cannot be read: Input/output error"),
        (os, "scandir", "history cannot be read: Input/output error"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, broken)
            with pytest.raises(DamagedError, match=what):
                _ = open_run(path).windows[1]["a"].weight


@pytest.mark.parametrize(("number", "told"), [("0003", 3), ("9" * 12, 6), ("9" * 200, 6)])
def test_a_segment_of_any_number_is_told_in_few_sentences(path, number, told):
    (path / "history/segment-0000").rename(path / f"history/segment-{number}")
    problems = [each for each in open_run(path).problems if "missing" in each]
    assert len(problems) == told
    says(problems[0], "segment-0000 is missing")
    if told == 6:
        says(problems[-1], f"{int(number) - 5} more segments before", number, "are missing")


def test_a_window_has_one_folder_name(path):
    """Else a copy under another spelling of the number would be the same window once more."""
    for other in ("window-0000001", "window-00000\u0661"):
        shutil.copytree((path / SHARD).parent, path / "history/segment-0000" / other)
    assert [window.number for window in open_run(path).windows] == [0, 1, 2]
