"""File systems that lack an operation, as those of networks and containers do: recording goes on, and tells it once."""

import errno
import fcntl
import os

import pytest

from recu_analysis import open_run
from recu_analysis.errors import RecordingWarning, StoreError
from recu_analysis.store import durable
from recu_analysis.store.locked_folder import absolute
from tests.store.recording import writer
from tests.store.test_starting import write


@pytest.fixture(autouse=True)
def nothing_told(monkeypatch):
    monkeypatch.setattr(durable, "_TOLD", set())


def failing(code):
    def fail(*_):
        raise OSError(code, os.strerror(code))

    return fail


def record(path):
    out = writer(path)
    write(out, 1, 0)
    write(out, 1, 3)
    out.close()


@pytest.mark.parametrize("code", [errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS])
def test_without_sync_a_run_is_recorded_and_the_risk_is_told_once(tmp_path, monkeypatch, code):
    monkeypatch.setattr(os, "fsync", failing(code))
    with pytest.warns(RecordingWarning, match="cannot sync files.*power cut") as told:
        record(tmp_path / "run")
    assert len(told) == 1
    assert str(tmp_path) in str(told[0].message)
    assert [window.last_update for window in open_run(tmp_path / "run").windows] == [0, 3]


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_without_locks_a_run_is_recorded_and_the_risk_is_told_once(tmp_path, monkeypatch, code):
    monkeypatch.setattr(fcntl, "flock", failing(code))
    with pytest.warns(RecordingWarning, match="has no locks.*two processes") as told:
        record(tmp_path / "run")
    assert len(told) == 1
    assert [window.last_update for window in open_run(tmp_path / "run").windows] == [0, 3]


def test_a_current_folder_that_was_deleted_is_told(tmp_path, monkeypatch):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(StoreError, match="current folder was deleted, so run is nowhere; change"):
        absolute("run")
    record(absolute(tmp_path / "run"))


@pytest.mark.parametrize(("module", "name"), [(os, "fsync"), (fcntl, "flock")])
def test_an_operation_that_fails_is_an_error(tmp_path, monkeypatch, module, name):
    monkeypatch.setattr(module, name, failing(errno.EIO))
    with pytest.raises(StoreError, match="run cannot be prepared for recording: Input/output error"):
        record(tmp_path / "run")
    assert not [*tmp_path.rglob("run.json")]
