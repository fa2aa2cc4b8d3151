"""Files and folders that users asked for: whole or not there, whatever stops the writing."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading

import pytest

from recu_analysis.errors import StoreError
from recu_analysis.store.durable import replace_file, whole_folder, write_text

STOPS = [KeyboardInterrupt(), OSError(28, "No space left on device")]


def write(path, text="new"):
    replace_file(path, lambda file: file.write_text(text))


def names(folder):
    return sorted(entry.name for entry in folder.iterdir())


def test_a_link_stays_and_what_it_leads_to_is_replaced(tmp_path):
    (tmp_path / "table.csv").write_text("old")
    (tmp_path / "link.csv").symlink_to("table.csv")
    write(tmp_path / "link.csv")
    assert (tmp_path / "link.csv").is_symlink()
    assert (tmp_path / "table.csv").read_text() == "new"


def test_a_pipe_is_written_to_and_stays_one(tmp_path):
    pipe, read = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()))
    reader.start()
    write(pipe)
    reader.join()
    assert read == ["new"]
    assert pipe.is_fifo()


@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_a_file_gets_the_mode_of_any_new_one(tmp_path, umask):
    before = os.umask(umask)
    try:
        write(tmp_path / "a.csv")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.csv").stat().st_mode) == 0o666 & ~umask


@pytest.mark.parametrize("error", STOPS)
def test_what_stops_the_writing_of_a_file_leaves_the_old_one(tmp_path, error):
    (tmp_path / "a.csv").write_text("old")

    def stopped(file):
        file.write_text("half")
        raise error

    with pytest.raises(type(error)):
        replace_file(tmp_path / "a.csv", stopped)
    assert names(tmp_path) == ["a.csv"]
    assert (tmp_path / "a.csv").read_text() == "old"


def test_a_folder_is_not_replaced_by_a_file(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError):
        write(tmp_path / "folder")
    assert names(tmp_path) == ["folder"]


@pytest.mark.parametrize("there", [True, False])
def test_a_folder_is_there_when_it_is_whole(tmp_path, there):
    final = tmp_path / "deep" / "run"
    if there:
        final.mkdir(parents=True)
    with whole_folder(final) as staging:
        staging.mkdir()
        (staging / "a").write_text("")
        assert not there or names(final) == []
    assert names(final) == ["a"]
    assert names(tmp_path) == ["deep"]
    assert names(tmp_path / "deep") == ["run"]


def make(final, error):
    with whole_folder(final) as staging:
        staging.mkdir()
        (staging / "a").write_text("half")
        if error:
            raise error


@pytest.mark.parametrize("error", STOPS)
def test_what_stops_the_making_of_a_folder_leaves_nothing(tmp_path, error):
    with pytest.raises((KeyboardInterrupt, StoreError)) as caught:
        make(tmp_path / "deep" / "run", error)
    if caught.type is StoreError:
        assert str(caught.value) == f"{tmp_path}/deep/run cannot be written: No space left on device"
    assert names(tmp_path) == []


def test_a_folder_that_holds_something_is_left_as_it_is(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine").write_text("")
    with pytest.raises(StoreError, match=r"run.*not empty"):
        make(tmp_path / "run", None)
    assert names(tmp_path) == ["run"]
    assert names(tmp_path / "run") == ["mine"]


@pytest.mark.parametrize("inside", ["staging.mkdir(); (staging / 'a').touch()", "staging.touch()"])
def test_what_a_kill_left_of_a_folder_is_deleted_by_the_next_one(tmp_path, inside):
    program = f"""
import os, pathlib
from recu_analysis.store.durable import whole_folder
with whole_folder(pathlib.Path({str(tmp_path / "run")!r})) as staging:
    {inside}
    os.kill(os.getpid(), 9)
"""
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == -9
    (left,) = names(tmp_path)
    assert left.startswith(".unfinished-")
    make(tmp_path / "other", None)
    assert names(tmp_path) == ["other"]


def test_an_unfinished_folder_that_is_still_written_stays(tmp_path):
    with whole_folder(tmp_path / "first") as staging:
        staging.mkdir()
        (staging / "b").write_text("")
        make(tmp_path / "second", None)
        assert names(staging) == ["b"]
    assert names(tmp_path) == ["first", "second"]


def test_a_text_keeps_what_utf_8_lacks_as_escapes(tmp_path):
    write_text(tmp_path / "a.csv", "layer,é,\udcff")
    assert (tmp_path / "a.csv").read_bytes() == "layer,é,\\udcff".encode()
