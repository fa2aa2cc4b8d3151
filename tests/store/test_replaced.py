"""Starting over what was there: what is somebody's stays, and a start that fails or is killed loses nothing."""

import errno
import os
import shutil
from pathlib import Path

import pytest

import recu_analysis.store.shard_file as shard_file
from recu_analysis import open_run
from recu_analysis.errors import RunExistsError, StoreError
from recu_analysis.store.verify import verify
from tests.run_files import contents
from tests.store.recording import writer
from tests.store.test_starting import recorded, refused, write

STAGING = "history/segment-0000/staging"
PART = ".77-00ff00ff00ff00ff.part"
SOMEBODYS = [
    "history/loss.csv",
    "history/.hidden",
    "history/plots/loss.png",
    "history/segment-1/segment.json",
    "history/segment-0000/segment.json/inside",
    f"{STAGING}/weights.pt",
    f"{STAGING}/.tmpAbCdEf",
    f"{STAGING}/deep/{PART}",
    f"{STAGING}/.77-00ff.part",
    f"{STAGING}/77-00ff00ff00ff00ff.part",
    f"{STAGING}/{PART}.txt",
]


def put(path, text="mine"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.parametrize("name", SOMEBODYS)
def test_a_folder_with_files_of_somebody_is_not_unused(tmp_path, name):
    put(tmp_path / name)
    before = contents(tmp_path)
    with pytest.raises(RunExistsError, match=r"not empty.*another folder"):
        writer(tmp_path)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("name", ["history/segment-0000", STAGING, "history/segment-0000/segment.json", "history/x"])
def test_a_folder_with_a_link_of_somebody_is_not_unused(tmp_path, name):
    (tmp_path / "run" / name).parent.mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "run" / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RunExistsError):
        writer(tmp_path / "run")
    assert (tmp_path / "run" / name).is_symlink()


@pytest.mark.parametrize("name", [name for name in SOMEBODYS if "segment.json" not in name])
def test_a_resumption_deletes_nothing_of_somebody(tmp_path, name):
    recorded(tmp_path, 4)
    put(tmp_path / name)
    recorded(tmp_path, 8, resume=4)
    assert (tmp_path / name).read_text() == "mine"
    assert [window.last_update for window in open_run(tmp_path).windows] == [0, 4, 8]


@pytest.mark.parametrize("folder", ["history", STAGING])
@pytest.mark.parametrize("inside", ["", "/file.part", "/.tmpAbCdEf"])
@pytest.mark.parametrize("resume", [None, 4])
def test_what_a_killed_process_left_is_deleted(tmp_path, folder, inside, resume):
    if resume:
        recorded(tmp_path, 4)
    put(tmp_path / f"{folder}/{PART}{inside}", "half")
    recorded(tmp_path, 8, **({"resume": resume} if resume else {}))
    assert not list(tmp_path.rglob("*.part"))


def failing_at(nth, error):
    """A function that makes another one fail at its nth call, and the calls that are left until then."""
    left = [nth]

    def wrapped(real):
        def call(*arguments, **named):
            left[0] -= 1
            if left[0] == 0:
                raise error
            return real(*arguments, **named)

        return call

    return wrapped, left


@pytest.mark.parametrize("name", ["mkdir", "rename", "fsync", "open"])
@pytest.mark.parametrize("error", [OSError(errno.EDQUOT, os.strerror(errno.EDQUOT)), KeyboardInterrupt()])
def test_a_start_that_fails_over_a_refused_run_leaves_that_run(tmp_path, monkeypatch, name, error):
    refused(tmp_path)
    put(tmp_path / f"{STAGING}/{PART}", "half")
    before, nth = contents(tmp_path), 0
    while True:
        nth += 1
        wrapped, left = failing_at(nth, error)
        with monkeypatch.context() as patch:
            patch.setattr(os, name, wrapped(getattr(os, name)))
            try:
                out = writer(tmp_path)
            except (StoreError, KeyboardInterrupt):
                assert left[0] <= 0
                out = None
        if out:
            out.abandon()
        assert contents(tmp_path) == before
        if left[0] > 0:
            break
    assert nth > 2
    assert "the forward pass used other weights" in open_run(tmp_path).problems[0]


@pytest.mark.parametrize("history", [True, False])
def test_a_start_that_is_undone_later_puts_back_what_was_refused(tmp_path, history):
    refused(tmp_path)
    if not history:  # as where an earlier start was killed
        shutil.rmtree(tmp_path / "history")
    before = contents(tmp_path)
    out = writer(tmp_path)
    write(out, 1, 0)
    out.flush()
    assert open_run(tmp_path).problems == ()
    out.abandon()
    assert contents(tmp_path) == before


def test_what_was_refused_is_gone_when_updates_are_safe(tmp_path):
    refused(tmp_path)
    out = writer(tmp_path)
    write(out, 1, 0)
    out.flush()
    assert list(tmp_path.rglob("refused.json"))
    write(out, 1, 4)
    out.flush()
    assert not list(tmp_path.rglob("refused.json"))
    out.close()
    assert set(verify(tmp_path)["verdict"]) == {"whole"}


def killed(path, name, nth):
    """Start in a child that dies at the nth call of a function of os; whether it came that far."""
    pid = os.fork()
    if pid == 0:
        real, left = getattr(os, name), [nth]

        def call(*arguments, **named):
            left[0] -= 1
            if left[0] == 0:
                os._exit(1)
            return real(*arguments, **named)

        setattr(os, name, call)
        try:
            writer(path)
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1


@pytest.mark.parametrize("name", ["mkdir", "rename", "fsync", "rmdir"])
def test_a_start_that_is_killed_over_a_refused_run_lets_others_start(tmp_path, name):
    nth = 1
    while True:
        path = tmp_path / str(nth)
        refused(path)
        met = killed(path, name, nth)
        new = (path / "run.json").exists() and not (path / "refused.json").exists()
        recorded(path, 4, **({"resume": 0} if new else {}))
        assert [window.last_update for window in open_run(path).windows] == [0, 4]
        assert set(verify(path)["verdict"]) == {"whole"}
        assert not list(path.rglob("*.part"))
        if not met:
            break
        nth += 1
    assert nth > 1


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="nothing leads into a folder that is renamed")
@pytest.mark.parametrize("name", ["mkdir", "rename", "fsync", "open", "chmod"])
@pytest.mark.parametrize("nth", [1, 2, 3])
def test_a_folder_that_is_renamed_while_a_window_is_written(tmp_path, monkeypatch, name, nth):
    out = writer(tmp_path / "run")
    write(out, 1, 0)
    out.flush()
    real, left = getattr(os, name), [nth]

    def call(*arguments, **named):
        left[0] -= 1
        if left[0] == 0:
            (tmp_path / "run").replace(tmp_path / "moved")  # not rename, which may be what calls this
            recorded(tmp_path / "run", 2)
        return real(*arguments, **named)

    with monkeypatch.context() as patch:
        patch.setattr(os, name, call)
        write(out, 1, 4)
        write(out, 5, 8)
        out.flush()
    out.close()
    assert left[0] <= 0 or name in {"mkdir", "rename", "chmod"}
    assert out.path == tmp_path / ("moved" if left[0] <= 0 else "run")
    assert [window.last_update for window in open_run(out.path).windows] == [0, 4, 8]
    assert set(verify(out.path)["verdict"]) == {"whole"}
    if left[0] <= 0:
        assert [window.last_update for window in open_run(tmp_path / "run").windows] == [0, 2]


def test_errors_name_the_folder_as_its_user_does(tmp_path, monkeypatch):
    out = writer(tmp_path / "run")
    real = shard_file.save_file
    monkeypatch.setattr(
        shard_file, "save_file", lambda tensors, file, **named: real(tensors, file.parent / "none/file", **named)
    )
    write(out, 1, 0)
    with pytest.raises(StoreError) as caught:
        out.close()
    assert str(caught.value).startswith(f"{tmp_path / 'run'} cannot be written: ")
    assert "No such file" in str(caught.value)
    assert "/proc" not in str(caught.value)
