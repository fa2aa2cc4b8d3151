"""The writer: windows whole or absent, errors told, resumption, and one process at a time."""

import contextlib
import errno
import itertools
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import recu_analysis.store.shard_file as shard_file
from recu_analysis import open_run
from recu_analysis.errors import InputError, NoRoomError, RunExistsError, StoreError
from recu_analysis.store.header import LayerSpec
from recu_analysis.store.writer import RunWriter
from recu_analysis.testing import layer_state
from tests.run_files import window_folder
from tests.store.recording import WALK, writer


def write(out, first, last):
    return out.write_window({"a": layer_state(WALK, first, last, center=True)}, first_update=first, last_update=last)


def recorded(path, marks=(0, 4, 8)):
    out = writer(path)
    for low, high in itertools.pairwise([0, *marks]):
        write(out, low + 1, high)
    out.close()


def spans(path):
    run = open_run(path)
    assert not run.problems
    return [(window.number, window.first_update, window.last_update) for window in run.windows]


def test_resuming_at_the_end_goes_on_with_numbers(tmp_path):
    recorded(tmp_path)
    out = writer(tmp_path, resume=8)
    assert write(out, 9, 8) == 2  # the state at the update it resumes from, which the reader has already
    assert write(out, 9, 12) == 3
    out.close()
    assert spans(tmp_path) == [(0, 1, 0), (1, 1, 4), (2, 5, 8), (3, 9, 12)]
    np.testing.assert_array_equal(open_run(tmp_path).windows[3]["a"].start, WALK[8])


def test_resuming_earlier_hides_what_came_after(tmp_path):
    recorded(tmp_path)
    out = writer(tmp_path, resume=4)
    write(out, 5, 4)
    write(out, 5, 10)
    out.write_metrics({"window": 2, "update": 10, "epoch": 1})
    out.close()
    assert spans(tmp_path) == [(0, 1, 0), (1, 1, 4), (2, 5, 10)]
    assert window_folder(tmp_path, 2).exists(), "hidden, not deleted"
    again = writer(tmp_path, resume=0)
    write(again, 1, 0)
    write(again, 1, 5)
    again.close()
    assert spans(tmp_path) == [(0, 1, 0), (1, 1, 5)]
    assert open_run(tmp_path).metrics.empty


def test_resuming_inside_a_window_shows_the_state_and_the_gap(tmp_path):
    recorded(tmp_path)
    out = writer(tmp_path, resume=6)
    write(out, 7, 6)
    write(out, 7, 9)
    out.close()
    assert spans(tmp_path) == [(0, 1, 0), (1, 1, 4), (2, 7, 6), (3, 7, 9)]
    record = open_run(tmp_path).windows[3]["a"]
    np.testing.assert_array_equal(record.start, WALK[6])


@pytest.mark.parametrize("update", [-1, 9])
def test_resuming_where_nothing_was_recorded_is_refused(tmp_path, update):
    recorded(tmp_path)
    with pytest.raises(InputError, match=f"cannot be resumed at update {update}: it was recorded up to update 8"):
        writer(tmp_path, resume=update)
    assert spans(tmp_path)[-1] == (2, 5, 8)


def test_resuming_with_another_model_names_the_layers(tmp_path):
    recorded(tmp_path)
    other = LayerSpec("b", (4, 30), "float32", "test", None)
    with pytest.raises(StoreError, match=r"another model.*a, b"):
        RunWriter(tmp_path, [other], configuration={}, environment={}, resume=8)


def test_what_exists_is_refused(tmp_path):
    recorded(tmp_path / "run")
    with pytest.raises(RunExistsError, match=r"not empty.*another folder"):
        writer(tmp_path / "run")
    (tmp_path / "file").write_text("x")
    with pytest.raises(RunExistsError, match="is a file"):
        writer(tmp_path / "file")
    with pytest.raises(StoreError, match=r"does not exist.*resume"):
        writer(tmp_path / "none", resume=1)


def test_one_writer_at_a_time(tmp_path):
    out = writer(tmp_path)
    write(out, 1, 0)
    out.flush()
    with pytest.raises(StoreError, match="another process is recording into"):
        writer(tmp_path, resume=0)
    out.close()
    writer(tmp_path, resume=0).close()


def test_leftovers_of_a_crash_are_swept(tmp_path):
    recorded(tmp_path)
    staging = tmp_path / "history/segment-0000/staging"
    staging.mkdir()
    (staging / ".123-0123456789abcdef.part").write_bytes(b"half")
    window_folder(tmp_path, 3).mkdir()
    assert spans(tmp_path)[-1] == (2, 5, 8)
    writer(tmp_path, resume=8).close()
    assert not list(staging.iterdir())


def test_readers_may_read_beside_the_writer(tmp_path):
    out = writer(tmp_path)
    seen = []
    for first in range(1, 20, 3):
        write(out, first, first + 2)
        seen.append(len(open_run(tmp_path).windows))
        out.flush()
        assert open_run(tmp_path).windows[-1].last_update == first + 2
    out.close()
    assert seen == sorted(seen)


class Usage:
    def __init__(self, free):
        self.free = free


def test_no_room_is_said_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(0))
    with pytest.raises(NoRoomError, match=r"not enough disk space.*120 weights.*0 MiB"):
        writer(tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_no_room_later_loses_nothing_that_was_written(tmp_path, monkeypatch):
    out = writer(tmp_path)
    write(out, 1, 0)
    out.flush()
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(0))
    write(out, 1, 4)
    with pytest.raises(NoRoomError, match="not enough disk space for window 1"):
        out.flush()
    with pytest.raises(NoRoomError):
        write(out, 5, 8)
    with pytest.raises(NoRoomError):
        out.close()
    assert spans(tmp_path) == [(0, 1, 0)]


FAILURES = {"fsync": (os, "fsync"), "rename": (Path, "rename"), "save": (shard_file, "save_file")}


@pytest.mark.parametrize("place", FAILURES)
@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC])
@pytest.mark.parametrize("nth", range(1, 8))
def test_every_failing_call_is_told_and_nothing_half_written_stays(tmp_path, monkeypatch, place, code, nth):
    owner, name = FAILURES[place]
    calls, real = itertools.count(1), getattr(owner, name)

    def failing(*arguments, **named):
        if next(calls) == nth:
            raise OSError(code, os.strerror(code))
        return real(*arguments, **named)

    monkeypatch.setattr(owner, name, failing)
    acknowledged = []

    def record():
        out = writer(tmp_path)
        try:
            for first in range(1, 30, 2):
                write(out, first, first + 1)
                out.flush()
                acknowledged.append(first + 1)
        finally:
            out.close()

    with pytest.raises(StoreError, match=os.strerror(code)):
        record()
    monkeypatch.undo()
    if not (tmp_path / "run.json").exists():
        assert acknowledged == []
        return
    visible = [last for _, _, last in spans(tmp_path)]
    # A window whose folder could not be synced was not acknowledged, but it is whole.
    assert visible[: len(acknowledged)] == acknowledged
    assert len(visible) <= len(acknowledged) + 1
    for window in open_run(tmp_path).windows:
        np.testing.assert_array_equal(window["a"].weight, WALK[window.last_update])
    resumed = writer(tmp_path, resume=max(visible, default=0))
    resumed.close()
    assert not list(tmp_path.rglob("staging/*"))


def test_what_is_written_after_the_end_is_refused(tmp_path):
    out = writer(tmp_path)
    write(out, 1, 0)
    out.close()
    out.flush()
    with pytest.raises(StoreError, match="closed"):
        write(out, 1, 4)
    with pytest.raises(StoreError, match="closed"):
        out.write_metrics({"update": 4})


def test_an_interrupted_close_goes_on_when_it_is_repeated(tmp_path, monkeypatch):
    out = writer(tmp_path)
    write(out, 1, 0)

    def interrupted():
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(out._background._thread, "join", interrupted)
        with pytest.raises(KeyboardInterrupt):
            out.close()
    out.close()
    assert spans(tmp_path) == [(0, 1, 0)]
    writer(tmp_path, resume=0).close()


def test_a_forked_child_leaves_the_recording_alone(tmp_path):
    code = f"""
import os, sys, warnings; sys.path.insert(0, {str(Path(__file__).parents[2])!r})
from pathlib import Path
from tests.store.test_writer import write, writer
warnings.simplefilter("ignore")
out = writer(Path({str(tmp_path)!r}))
write(out, 1, 0)
out.flush()
child = os.fork()
if child == 0:
    sys.exit(0)
os.waitpid(child, 0)
write(out, 1, 4)
out.close()
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
    assert spans(tmp_path) == [(0, 1, 0), (1, 1, 4)]


def test_a_start_that_failed_may_be_repeated(tmp_path, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(StoreError, match="No space left"):
            writer(tmp_path)
    assert not any(tmp_path.iterdir())
    staging = tmp_path / "history/segment-0000/staging"
    staging.mkdir(parents=True)
    for folder in (staging, staging.parent.parent):
        (folder / ".123-0123456789abcdef.part").write_text("left by a killed process")
    recorded(tmp_path)
    assert spans(tmp_path)[-1] == (2, 5, 8)
    assert sorted(file.name for file in (tmp_path / "history").iterdir()) == ["segment-0000"]


@pytest.mark.parametrize("folder", ["history", "history/segment-0000", "history/segment-0000/staging"])
def test_sweeping_follows_no_link(tmp_path, folder):
    recorded(tmp_path / "run")
    (tmp_path / "precious").mkdir()
    for place in ("precious", "precious/staging", "precious/segment-0000/staging"):
        (tmp_path / place).mkdir(parents=True, exist_ok=True)
        (tmp_path / place / ".1-0123456789abcdef.part").write_text("x")
    link = tmp_path / "run" / folder
    if link.exists():
        link.rename(tmp_path / "moved")
    link.symlink_to(tmp_path / "precious")
    with contextlib.suppress(StoreError, InputError):
        writer(tmp_path / "run", resume=0).close()
    assert len(list((tmp_path / "precious").rglob(".*.part"))) == 3


def test_close_may_be_repeated(tmp_path):
    out = writer(tmp_path)
    write(out, 1, 0)
    out.close()
    out.close()


def test_a_forgotten_close_loses_nothing(tmp_path):
    code = f"""
import sys; sys.path.insert(0, {str(Path(__file__).parents[2])!r})
from pathlib import Path
from tests.store.test_writer import write, writer
out = writer(Path({str(tmp_path)!r}))
write(out, 1, 0); write(out, 1, 4)
"""
    subprocess.run([sys.executable, "-c", code], check=True)
    assert spans(tmp_path) == [(0, 1, 0), (1, 1, 4)]


ENDLESS = """
import sys; sys.path.insert(0, {here!r})
from pathlib import Path
from tests.store.test_writer import WALK, write, writer
assert "torch" not in sys.modules
out = writer(Path({path!r}))
print("ready", flush=True)
for last in range(1, 41):
    write(out, last, last)
    out.flush()
    print(last, flush=True)
"""


def kill_while_writing(path, delay):
    """Kill a process that records, `delay` seconds after its first window; the last update that it acknowledged."""
    code = ENDLESS.format(here=str(Path(__file__).parents[2]), path=str(path))
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        rest = process.stdout.read().split()
    return int(rest[-1]) if rest else 0


def check_after_kill(path, acknowledged):
    run = open_run(path)
    assert not run.problems
    last = [window.last_update for window in run.windows]
    assert last == list(range(1, len(last) + 1))
    assert acknowledged <= len(last) <= acknowledged + 1
    for window in run.windows:
        np.testing.assert_array_equal(window["a"].weight, WALK[window.last_update])
        _ = window["a"].path, window["a"].zpath, window["a"].flips
    writer(path, resume=max(last, default=0)).close()


@pytest.mark.parametrize("delay", [0.0, 0.02, 0.05])
def test_killed_while_writing(tmp_path, delay):
    check_after_kill(tmp_path, kill_while_writing(tmp_path, delay))


@pytest.mark.faults
def test_killed_at_many_random_moments(tmp_path):
    generator = np.random.default_rng()
    lengths = []
    for number in range(60):
        path = tmp_path / str(number)
        acknowledged = kill_while_writing(path, generator.uniform(0, 0.15))
        check_after_kill(path, acknowledged)
        lengths.append(acknowledged)
    print(f"60 kills after {min(lengths)} to {max(lengths)} acknowledged windows: none lost, none torn")
