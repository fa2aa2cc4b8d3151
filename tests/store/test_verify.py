"""verify: every kind of damage gets its verdict, and nothing that is no damage does."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

import recu_analysis.store.tensors as tensors
from recu_analysis import open_run, testing
from recu_analysis.errors import DamagedError, InputError, NotARunError
from recu_analysis.store.sealing import digest, seal, sealed
from recu_analysis.store.shard import ShardHeader
from recu_analysis.store.verify import DAMAGE, verify
from recu_analysis.store.writer import RunWriter
from recu_analysis.testing import layer_state, synthetic_run
from tests.editing import edit_run, run_json
from tests.messages import says
from tests.run_files import window_file
from tests.store.recording import SPEC, WALK, record

SEGMENT = "history/segment-0000"


@pytest.fixture
def path(tmp_path):
    return synthetic_run(tmp_path / "run", windows=5).path


def verdicts(path):
    """Verdicts of what is not simply whole: by window where it is known, else by the file's name."""
    table = verify(path)
    told = table[table["verdict"] != "whole"].to_dict(orient="records")
    assert all(row["detail"] for row in told if row["verdict"] in DAMAGE)
    return {row["file"] if row["window"] is None else row["window"]: row["verdict"] for row in told}


def detail(path):
    (text,) = (row for row in verify(path)["detail"] if row)
    return text


def flip(file, position):
    content = bytearray(file.read_bytes())
    content[position] ^= 16
    file.write_bytes(content)


def test_a_whole_run_has_a_row_for_every_file(path):
    table = verify(path)
    assert set(table["verdict"]) == {"whole"}
    assert verify(open_run(path)).equals(table)
    with pytest.raises(InputError, match="not as None"):
        verify(None)
    on_disk = {str(file.relative_to(path)) for file in path.rglob("*") if file.is_file()}
    assert set(table["file"]) == on_disk - {"lock"}
    assert table["bytes"].sum() == sum((path / name).stat().st_size for name in table["file"])
    windows = table[table["window"].notna()]
    assert windows["window"].tolist() == [0, 1, 2, 3, 4, 5]
    assert windows["last_update"].tolist() == [0, 4, 8, 12, 16, 20]


def test_every_kind_of_damage_at_once(path):
    flip(window_file(path, 1), -2)
    os.truncate(window_file(path, 2), 5000)
    window_file(path, 3).unlink()
    shutil.rmtree(path / SEGMENT / "window-000004")
    assert verdicts(path) == {1: "damaged", 2: "torn", 3: "missing", 4: "missing"}


def test_all_tensors_are_checked_and_the_first_is_named(path):
    file = window_file(path, 2)
    content = tensors.TensorFile(file, "it")
    for name, entry in content.entries.items():
        if entry.stop > entry.start:
            flip(file, entry.start)
            says(detail(path), f"tensor {name!r}", "checksum")
            flip(file, entry.start)
    for name in ("weight/first", "path/second", "flips/first"):
        flip(file, content.entries[name].start)
    assert detail(path).endswith("; 2 more in this file")


def test_windows_deleted_without_a_trace_in_the_metrics(path):
    (path / SEGMENT / "metrics.jsonl").unlink()
    shutil.rmtree(path / SEGMENT / "window-000000")
    shutil.rmtree(path / SEGMENT / "window-000003")
    rows = [row for row in verify(path).to_dict(orient="records") if row["verdict"] == "missing"]
    texts = [
        "metrics.jsonl has none of at least 5 logged lines",
        *(f"up to update {each}, is missing" for each in (0, 12)),
    ]
    for row, text in zip(rows, texts, strict=True):
        assert text in row["detail"]


def test_a_last_window_that_was_marked_and_is_gone(path):
    shutil.rmtree(path / SEGMENT / "window-000005")
    assert open_run(path).windows[-1].number == 4
    assert verdicts(path) == {5: "missing"}


def test_superseded_and_partial_windows_are_no_damage(tmp_path):
    record(tmp_path, (1, 4), (5, 8), (9, 12), metrics=True)
    record(tmp_path, (9, 10), resume=8, partial=True, metrics=True)
    table = verify(tmp_path)
    told = table[table["window"].notna()]
    assert list(zip(told["segment"], told["window"], told["verdict"], strict=True)) == [
        (0, 0, "whole"),
        (0, 1, "whole"),
        (0, 2, "whole"),
        (0, 3, "superseded"),
        (1, 2, "whole"),
        (1, 3, "partial"),
    ]
    flip(window_file(tmp_path, 3), -1)
    assert verdicts(tmp_path)[3] == "partial", "of the two windows 3, the later one"
    assert verify(tmp_path)["verdict"].tolist().count("damaged") == 1


def test_resuming_inside_a_window_leaves_no_hole(tmp_path):
    record(tmp_path, (1, 4), (5, 8), metrics=True)
    record(tmp_path, (7, 9), resume=6, metrics=True)
    assert set(verdicts(tmp_path).values()) == {"superseded"}


def test_what_a_dead_process_leaves_is_unfinished(path):
    (path / SEGMENT / "staging").mkdir()
    (path / SEGMENT / "staging/12-ab").write_bytes(b"half")
    (path / "history/12-ab").write_bytes(b"half")
    (path / SEGMENT / "window-000006").mkdir()
    (path / "history/segment-0001").mkdir()
    with (path / SEGMENT / "metrics.jsonl").open("a") as file:
        file.write('{"window": 6, "upda')
    assert verdicts(path) == {
        6: "unfinished",
        "history/12-ab": "unfinished",
        f"{SEGMENT}/staging/12-ab": "unfinished",
        "history/segment-0001/segment.json": "unfinished",
    }


def test_a_recording_that_goes_on_is_no_damage(tmp_path):
    out = RunWriter(tmp_path, [SPEC], configuration={}, environment={})
    for last in range(1, 12):
        number = out.write_window(
            {"a": layer_state(WALK, last, last, center=True)}, first_update=last, last_update=last
        )
        out.write_metrics({"window": number, "update": last})
        told = verify(tmp_path)["verdict"]
        # The run's first window here has updates, so that it alone is said to follow on nothing.
        assert set(told) <= {"whole", "unfinished", "missing"}
        assert (told == "missing").sum() <= 1
    out.close()


def test_a_window_that_appears_while_the_folders_are_listed(path, monkeypatch):
    """Between two listings of one folder a writer may have made a window, which is no link then."""
    real = Path.iterdir

    def listed(folder):
        (path / SEGMENT / "window-000006").mkdir(exist_ok=True)
        return real(folder)

    monkeypatch.setattr(Path, "iterdir", listed)
    assert not set(verify(path)["verdict"]) & set(DAMAGE)


@pytest.mark.parametrize("gone", ["12-ab", "."])
def test_what_a_writer_takes_out_of_staging_meanwhile_is_nothing(path, monkeypatch, gone):
    staging = path / SEGMENT / "staging"
    staging.mkdir()
    (staging / "12-ab").write_bytes(b"half")
    real = Path.iterdir

    def listed(folder):
        found = list(real(folder)) if gone == "12-ab" or folder != staging else []
        if folder == staging:
            (staging / "12-ab").unlink()
            if gone == ".":
                staging.rmdir()
                raise FileNotFoundError
        return iter(found)

    monkeypatch.setattr(Path, "iterdir", listed)
    assert set(verify(path)["verdict"]) == {"whole"}


@pytest.mark.parametrize("name", ["segment.json", "metrics.jsonl"])
def test_small_files(path, name):
    file = path / SEGMENT / name
    before = file.read_bytes()
    file.write_bytes(b"{torn\n" + before)
    assert verdicts(path) == {f"{SEGMENT}/{name}": "damaged"}
    file.unlink()
    file.symlink_to("/etc/hostname")
    assert verdicts(path) == {f"{SEGMENT}/{name}": "damaged"}
    assert "it is a link" in detail(path)
    file.unlink()
    assert verdicts(path) == {f"{SEGMENT}/{name}": "missing"}


def test_the_start_of_another_segment(path):
    file = path / SEGMENT / "segment.json"
    content = json.loads(file.read_text()) | {"segment": 1}
    file.write_text(json.dumps(sealed({name: value for name, value in content.items() if name != "seal"})))
    assert "it is not the file of segment 0" in detail(path)


def test_links_and_strangers_are_told(path):
    shutil.move(path / SEGMENT / "window-000005", path / "elsewhere")
    (path / SEGMENT / "window-000005").symlink_to(path / "elsewhere")
    (path / "history/segment-0007").symlink_to(path / SEGMENT)
    shutil.copy(window_file(path, 2), path / SEGMENT / "window-000002/00002-of-00002.safetensors")
    window_file(path, 1).unlink()
    os.mkfifo(window_file(path, 1))
    table = verify(path)
    bad = table[table["verdict"].isin(DAMAGE)]
    assert len(bad) == 4
    texts = "\n".join(bad["detail"])
    assert "window-000005 is a link or a file" in texts
    assert "00002-of-00002.safetensors does not belong in this folder" in texts
    assert "it is not a regular file" in texts


def test_a_shard_under_another_number(path):
    shutil.rmtree(path / SEGMENT / "window-000003")
    shutil.copytree(path / SEGMENT / "window-000002", path / SEGMENT / "window-000003")
    assert verdicts(path) == {3: "damaged"}
    assert "belongs to another run or to another place in this run" in detail(path)


def test_only_a_shard_of_other_ranks(path):
    window_file(path, 3).rename(window_file(path, 3).with_name("00002-of-00002.safetensors"))
    table = verify(path)
    assert table[table["window"] == 3]["verdict"].tolist() == ["missing"]


def test_tensors_without_checksum_or_layer(path):
    file = tensors.TensorFile(window_file(path, 1), "it")
    header = ShardHeader.from_metadata(file.metadata, "it")
    arrays = {name: file.read(name) for name in file.entries}

    def forge(change):
        digests = {name: digest(name, array) for name, array in arrays.items()} | change
        fields = {name: getattr(header, name) for name in header.__slots__} | {"digests": digests}
        save_file(arrays, window_file(path, 1), metadata=ShardHeader(**fields).to_metadata())
        return detail(path)

    assert "it has no tensor 'path/gone'" in forge({"path/gone": "0"})
    arrays["weight/other"] = arrays["weight/first"]
    says(forge({}), "'weight/other'", "no layer")
    del arrays["weight/other"]
    del arrays["zpath/second"]
    says(forge({}), "no checksum", "'zpath/second'")


def test_what_is_no_run(tmp_path, path):
    with pytest.raises(NotARunError, match="does not exist"):
        verify(tmp_path / "none")
    (path / "run.json").write_text("{")
    with pytest.raises(DamagedError, match=r"run\.json"):
        verify(path)


def checkpointed(path, update):
    """A checkpoint as a training saves it: the file, its arrays and its metadata."""
    arrays = {"model/a": np.arange(6, dtype=np.float32) + update, "model/n": np.array(3)}
    place = json.dumps({"update": update})
    metadata = {
        "position": place,
        "seal": seal(place),
        "digests": json.dumps({name: digest(name, array) for name, array in arrays.items()}),
    }
    file = path / "checkpoints/last.safetensors"
    file.parent.mkdir(exist_ok=True)
    save_file(arrays, file.with_name("new"), metadata=metadata)
    file.with_name("new").rename(file)
    return file, arrays, metadata


def test_a_checkpoint_that_a_training_replaces_meanwhile_is_read_again(path, monkeypatch):
    checkpointed(path, 20)
    real, left = tensors.TensorFile.read, [2]

    def read(file, *arguments):
        if file.path.parent.name == "checkpoints" and left[0]:
            left[0] -= 1
            checkpointed(path, 20 + left[0])
        return real(file, *arguments)

    monkeypatch.setattr(tensors.TensorFile, "read", read)
    assert verdicts(path) == {}
    assert left == [0]


def test_checkpoints_are_checked_by_their_own_sums(path):
    file, arrays, metadata = checkpointed(path, 20)
    assert verdicts(path) == {}
    flip(file, -1)
    assert "last.safetensors is damaged: tensor 'model/" in detail(path)
    flip(file, -1)
    os.truncate(file, file.stat().st_size - 1)
    assert verdicts(path) == {"checkpoints/last.safetensors": "torn"}
    save_file(arrays, file, metadata=metadata | {"position": "{}"})
    assert "its position does not match its seal" in detail(path)


def test_traces_that_do_not_fit_their_window_are_damage(tmp_path, monkeypatch):
    """Their seals fit, as if a recorder had made a mistake."""
    made = testing._traced
    wrong = {
        "whole": lambda traced: traced,
        "the last value": lambda traced: traced | {"traces": traced["traces"][:, ::-1]},
        "the last state": lambda traced: traced | {"trace_state": -traced["trace_state"]},
        "trace_z of layer 'first' has the wrong shape": lambda traced: traced | {"trace_z": traced["trace_z"][:, :1]},
        "traces of layer 'first' has the wrong shape": lambda traced: traced | {"traces": traced["traces"][1:]},
    }
    for number, (said, change) in enumerate(wrong.items()):
        monkeypatch.setattr(testing, "_traced", lambda *given, change=change: change(made(*given)))
        statuses = verify(testing.synthetic_run(tmp_path / str(number), traces=2, windows=1).path)
        damaged = statuses[statuses["verdict"] == "damaged"]["detail"]
        assert damaged.empty == (said == "whole")
        assert all(said in detail for detail in damaged)
    for traced in ([3, 3], [5, 3], [10**6], [-1]):
        edit_run(tmp_path / "0", layers=[run_json(tmp_path / "0")["layers"][0] | {"traced": traced}])
        with pytest.raises(DamagedError, match="traced weights of layer 'first'"):
            open_run(tmp_path / "0")
