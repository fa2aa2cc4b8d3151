"""The URL of a run as a path: what is there by one listing, ranges, and runs that are the same as in a folder."""

import os
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from recu_analysis import open_run
from recu_analysis.errors import DamagedError, NotARunError, RunExistsError, StoreError
from recu_analysis.store import object_path
from recu_analysis.store.object_path import HEAD_BYTES, ObjectPath
from recu_analysis.store.places import as_place, lexists
from recu_analysis.store.verify import verify
from tests.messages import facts
from tests.store.memory_bucket import MemoryBucket
from tests.store.recording import record, writer

URL = "s3://bucket/runs/a"


@pytest.fixture
def objects(monkeypatch):
    """The bucket of every URL, in memory."""
    bucket = MemoryBucket("bucket")
    monkeypatch.setattr(object_path, "Bucket", lambda _: bucket)
    return bucket


def test_names_of_a_url(objects):
    place = as_place(URL)
    assert (str(place), place.key, place.name, place.parts) == (URL, "runs/a", "a", ("s3:", "bucket", "runs", "a"))
    assert str(place / "history/segment-0000" / "end.json") == f"{URL}/history/segment-0000/end.json"
    assert (place / "x.TOML").suffix == ".TOML"
    assert [str(each) for each in (place / "b").parents] == [URL, "s3://bucket/runs"]
    assert str(place.parent) == "s3://bucket/runs"
    assert place / (place / "b").relative_to(place) == place / "b"
    assert place == as_place(Path(URL)) == as_place(place)
    assert len({place, as_place(URL)}) == 1
    assert sorted([place / "b", place / "a"]) == [place / "a", place / "b"]
    assert place.resolve() is place.absolute() is place


def test_the_system_is_never_asked_for_a_url(objects):
    place = as_place(URL)
    for ask in (os.fspath, os.lstat, Path.touch, Path.read_bytes, Path.unlink, Path.open):
        with pytest.raises(OSError, match="needs a folder of this machine") as caught:
            ask(place)
        assert caught.value.filename == URL


def test_what_is_there(objects):
    for name in ("run.json", "history/segment-0000/end.json", "checkpoints/last.safetensors"):
        objects.content[f"runs/a/{name}"] = b"12345"
    objects.content["runs/ab"] = b""
    place = as_place(URL)
    assert [each.name for each in place.iterdir()] == ["checkpoints", "history", "run.json"]
    assert (place / "history").is_dir()
    assert not (place / "history").is_file()
    assert (place / "run.json").is_file()
    assert not lexists(place / "nothing")
    assert not place.is_symlink()
    assert (place / "run.json").stat().st_size == 5
    assert (place / "run.json").lstat().st_mtime_ns == 10**9
    assert list((place / "checkpoints").glob("*.safetensors")) == [place / "checkpoints/last.safetensors"]
    assert sum(each.is_file() for each in place.rglob("*")) == 3
    assert as_place("s3://bucket/runs/ab").is_file()
    for ask in (lambda: list((place / "nothing").iterdir()), (place / "nothing").stat):
        with pytest.raises(FileNotFoundError, match="runs/a/nothing"):
            ask()
    # One listing answers, until the path is opened anew.
    objects.content["runs/a/later"] = b""
    assert not (place / "later").exists()
    assert (as_place(place) / "later").exists()


def test_names_that_mean_another_place_are_passed_over(objects, tmp_path):
    record(as_place(URL), (1, 5))
    for name in ("/x", "../y", "./z", "history//x", "history/segment-0000/../x", ".."):
        objects.content[f"runs/a/{name}"] = b"{}"
    run = open_run(URL)
    assert (len(run.windows), run.problems) == (2, ())
    assert set(verify(run)["verdict"]) == {"whole"}
    assert {each.name for each in as_place(URL).rglob("*")}.isdisjoint({"", ".", "..", "x", "y", "z"})


def test_an_object_is_read_in_ranges(objects):
    content = np.random.default_rng(0).bytes(3 * HEAD_BYTES + 7)
    objects.content["runs/a/x"] = content
    with pytest.raises(DamagedError, match="No such file"):
        as_place(URL).opened("it")
    file = (as_place(URL) / "x").opened("it")
    assert (file.read(8), file.read(100)) == (content[:8], content[8:108])
    assert objects.bytes_read == HEAD_BYTES
    file.seek(HEAD_BYTES - 5)
    assert file.read(10) == content[HEAD_BYTES - 5 : HEAD_BYTES + 5]
    buffer = bytearray(50)
    file.seek(len(content) - 20)
    assert file.readinto(memoryview(buffer)) == 20
    assert buffer[:20] == content[-20:]
    assert file.readinto(memoryview(buffer)) == 0
    del objects.content["runs/a/x"]
    file.seek(0)
    with pytest.raises(DamagedError, match="it was deleted meanwhile"):
        file.readinto(memoryview(buffer))


def test_a_run_is_the_same_as_in_a_folder(objects, tmp_path):
    for path in (tmp_path / "run", URL):
        record(as_place(path), (1, 5), (6, 10), metrics=True)
        record(as_place(path), (6, 9), resume=5, metrics=True)
    here, there = open_run(tmp_path / "run"), open_run(URL)
    assert [each.header.digests for each in there.windows] == [each.header.digests for each in here.windows]
    assert (there.problems, len(there.windows)) == ((), 3)
    pd.testing.assert_frame_equal(there.metrics, here.metrics)
    columns = ["file", "verdict", "window", "first_update", "last_update"]
    pd.testing.assert_frame_equal(verify(there)[columns], verify(here)[columns])
    files = {each.relative_to(here.path).as_posix() for each in here.path.rglob("*") if each.is_file()} - {"lock"}
    assert {key.removeprefix("runs/a/") for key in objects.content} == files
    assert f"{there!r}".startswith(f"<Run {URL}: 1 layer, 3 windows")
    assert not there.being_written


def test_a_tensor_costs_its_bytes(objects):
    record(as_place(URL), (1, 5))
    run = open_run(URL)
    objects.bytes_read = 0
    assert run.windows[-1]["a"].weight.nbytes == objects.bytes_read == 4 * 30 * 4


def test_a_segment_is_created_once(objects):
    out = writer(as_place(URL))
    with pytest.raises(RunExistsError, match="not empty"):
        writer(as_place(URL))
    with pytest.raises(RunExistsError, match="lies inside the run"):
        writer(as_place(f"{URL}/b"))
    with pytest.raises(RunExistsError, match="another process has just begun"):
        (as_place(URL) / "history/segment-0000/segment.json").put(lambda file: file.write_bytes(b"mine"), new=True)
    kept = dict(objects.content)
    out.abandon()
    assert kept
    assert not objects.content
    objects.refuses = "PUT runs/a/run.json"
    with pytest.raises(StoreError, match="refused"):
        writer(as_place(URL))
    assert not objects.content


def test_a_store_that_fails_is_no_damage(objects):
    record(as_place(URL), (1, 5), metrics=True)
    run = open_run(URL)
    for refused in ("GET", "LIST", "00001-of"):
        objects.refuses = refused
        for ask in (lambda: open_run(URL), lambda: verify(run)):
            with pytest.raises(StoreError, match="refused") as caught:
                ask()
            assert not isinstance(caught.value, DamagedError)


def test_what_is_no_run(objects):
    with pytest.raises(NotARunError, match=facts(URL, "does not exist")):
        open_run(URL)
    objects.content |= {"runs/b/run.json": b"", "runs/c": b""}
    with pytest.raises(NotARunError, match=facts("s3://bucket/runs is not a run", "b/, c")):
        open_run("s3://bucket/runs")


def test_a_url_travels_to_another_process():
    place = pickle.loads(pickle.dumps(as_place(URL) / "run.json"))
    assert isinstance(place, ObjectPath)
    assert (str(place), place.listing.root, place.listing.bucket.name) == (f"{URL}/run.json", "runs/a", "bucket")
