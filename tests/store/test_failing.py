"""What the system refuses while a run is written: failing calls, file sizes, read-only disks, names, clocks."""

import ast
import contextlib
import errno
import itertools
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import recu_analysis.store
import recu_analysis.store.shard_file as shard_file
from recu_analysis import open_run
from recu_analysis.errors import InputError, StoreError
from recu_analysis.store.header import LayerSpec
from recu_analysis.store.limits import shard_header_bytes
from recu_analysis.store.verify import DAMAGE, verify
from recu_analysis.store.writer import RunWriter
from recu_analysis.testing import layer_state, random_walk, synthetic_run
from recu_analysis.theory.standardize import WeightTransform
from tests.run_files import window_file
from tests.trajectory import trajectory

WALK = random_walk((4, 30), 60, step=0.3)
SPEC = LayerSpec("a", (4, 30), "float32", "test", WeightTransform(center=True))
CALLS = {
    "mkdir": (Path, "mkdir"),
    "create": (os, "open"),
    "save": (shard_file, "save_file"),
    "write": (Path, "write_text"),
    "append": (Path, "open"),
    "chmod": (Path, "chmod"),
    "fsync": (os, "fsync"),
    "rename": (Path, "rename"),
}


def record(path, ends=range(4), resume=None, acknowledged=None):
    """A window an update, with its line of metrics; what is on disk is appended to `acknowledged`."""
    out = RunWriter(path, [SPEC], configuration={}, environment={}, resume=resume)
    try:
        for end in ends:
            first = max(end, (resume or 0) + 1)
            state = {"a": layer_state(WALK, first, end, center=True)}
            out.write_metrics({"window": out.write_window(state, first_update=first, last_update=end), "update": end})
            out.flush()
            if acknowledged is not None:
                acknowledged.append(end)
    finally:
        out.close()


def check(path, acknowledged):
    """Acknowledged windows are whole, nothing is damaged, and the run can go on."""
    if not (path / "run.json").exists():
        assert not acknowledged
        record(path)
        return
    assert not set(verify(path)["verdict"]) & set(DAMAGE)
    ends = [window.last_update for window in open_run(path).windows]
    assert ends[: len(acknowledged)] == acknowledged
    # A window whose folder could not be synced was not acknowledged, but it is whole.
    assert len(ends) <= len(acknowledged) + 1
    last = max(ends, default=0)
    record(path, range(last, last + 3), resume=last)
    run = open_run(path)
    assert [window.last_update for window in run.windows] == list(range(last + 3))
    for window in run.windows:
        np.testing.assert_array_equal(window["a"].weight, WALK[window.last_update])
    assert not [file for file in path.rglob("*") if file.is_file() and file.parent.name in {"staging", "history"}]


def fail(path, monkeypatch, call, nth, code):
    """Record while the nth such call fails; whether there were so many."""
    owner, name = CALLS[call]
    calls, real = itertools.count(1), getattr(owner, name)
    met, acknowledged = [], []

    def failing(*arguments, **named):
        if next(calls) == nth:
            met.append(nth)
            raise OSError(code, os.strerror(code))
        return real(*arguments, **named)

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, failing)
        if call == "append":
            patch.setattr(
                Path, "open", lambda file, mode="r", **more: (failing if mode == "a" else real)(file, mode, **more)
            )
        with contextlib.ExitStack() as stack:
            caught = stack.enter_context(contextlib.suppress(StoreError))
            record(path, acknowledged=acknowledged)
            assert not met, "a failing call was not told"
        del caught
    check(path, acknowledged)
    return bool(met)


@pytest.mark.parametrize(
    ("call", "nth"), [("mkdir", 1), ("mkdir", 6), ("create", 9), ("write", 2), ("append", 2), ("chmod", 4)]
)
def test_a_failing_call_is_told_and_the_store_stays_usable(tmp_path, monkeypatch, call, nth):
    assert fail(tmp_path / "run", monkeypatch, call, nth, errno.ENOSPC)


@pytest.mark.faults
@pytest.mark.parametrize("call", CALLS)
def test_every_failing_call_is_told_and_the_store_stays_usable(tmp_path, monkeypatch, call):
    count = 0
    for code in (errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES):
        for nth in itertools.count(1):
            if not fail(tmp_path / f"{code}-{nth}", monkeypatch, call, nth, code):
                break
            count += 1
    assert count >= 10
    print(f"{count} failing calls of {call}: all told, no window torn, the store usable after each")


def limited(order_recording, path, limit):
    """Record where no file may grow beyond `limit` bytes; whether that was too little."""
    answer = order_recording(path, limit=limit)
    assert not answer["died"]
    told = answer["acknowledged"]
    assert (answer["error"] is None) == (told == 3)
    if answer["error"]:
        assert answer["error"].startswith("StoreError: ")
        assert "File too large" in answer["error"]
    check(path, [] if told is None else list(range(told + 1)))
    return answer["error"] is not None


@pytest.mark.parametrize("limit", [100, 2000])
def test_a_file_that_may_not_grow(order_recording, tmp_path, limit):
    assert limited(order_recording, tmp_path / "run", limit)


@pytest.mark.faults
def test_a_file_that_may_not_grow_at_every_size(order_recording, tmp_path):
    limit = tried = 0
    while limited(order_recording, tmp_path / str(limit), limit):
        limit, tried = limit + 61, tried + 1
    print(f"{tried} sizes up to {limit} bytes at which the system cuts files: all told, no window torn")


def test_what_is_acknowledged_outlives_a_power_cut(tmp_path, monkeypatch):
    """A kill leaves what was written but not synced, so that only the order of the calls can show this."""
    calls, fsync, rename = [], os.fsync, Path.rename

    def place(descriptor):
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        return "staged" if path.parent.parent.name == "staging" else path.name

    def synced(descriptor):
        calls.append(("sync", place(descriptor)))
        fsync(descriptor)

    def renamed(path, target):
        calls.append(("rename", target.name))
        return rename(path, target)

    out = RunWriter(tmp_path, [SPEC], configuration={}, environment={})
    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "rename", renamed)
    number = out.write_window({"a": layer_state(WALK, 1, 0, center=True)}, first_update=1, last_update=0)
    out.write_metrics({"window": number, "update": 0})
    out.write_metrics({"window": number, "update": 0})
    out.flush()
    assert calls == [
        ("sync", "staged"),
        ("rename", "00001-of-00001.safetensors"),
        ("sync", "window-000000"),
        ("sync", "segment-0000"),
        ("sync", "metrics.jsonl"),
        ("sync", "segment-0000"),
        ("sync", "metrics.jsonl"),
    ]
    out.close()


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES])
@pytest.mark.parametrize("call", [(os, "mkdir"), (os, "open")])
def test_a_folder_that_may_not_be_written(tmp_path, monkeypatch, code, call):
    def refused(*_, **__):
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(*call, refused)
        with pytest.raises(StoreError, match=f"run cannot be prepared for recording: {os.strerror(code)}"):
            record(tmp_path / "run")
    assert not [file for file in tmp_path.rglob("*") if file.is_file()]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_the_right_to_write(tmp_path):
    tmp_path.chmod(0o555)
    with pytest.raises(StoreError, match="Permission denied"):
        record(tmp_path / "run")
    tmp_path.chmod(0o755)


def test_reading_writes_nothing(tmp_path, monkeypatch):
    path = synthetic_run(tmp_path / "run").path
    real = os.open

    def reading(file, flags, *more, **named):
        assert not flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        return real(file, flags, *more, **named)

    before = {entry: entry.lstat().st_mtime_ns for entry in path.rglob("*")}
    with monkeypatch.context() as patch:
        patch.setattr(os, "open", reading)
        assert set(verify(path)["verdict"]) == {"whole"}
        run = open_run(path)
        _ = [trajectory(window["first"]) for window in run.windows[1:]], run.metrics, run.layers
    assert {entry: entry.lstat().st_mtime_ns for entry in path.rglob("*")} == before


def test_clocks_that_go_backwards_change_nothing(tmp_path, monkeypatch):
    clock = itertools.count(2**31, -1_000_000)
    monkeypatch.setattr(time, "time", lambda: float(next(clock)))
    record(tmp_path, range(3))
    record(tmp_path, range(2, 5), resume=2)
    before = open_run(tmp_path)
    for age, file in enumerate(sorted(tmp_path.rglob("*"))):
        os.utime(file, (age * 1e6, 1e9 - age * 1e6))
    after = open_run(tmp_path)
    assert [repr(window) for window in after.windows] == [repr(window) for window in before.windows]
    assert [window.last_update for window in after.windows] == list(range(5))
    assert after.metrics.equals(before.metrics)
    for file in Path(recu_analysis.store.__file__).parent.glob("*.py"):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
        assert not imported & {"time", "datetime"}, file.name


@pytest.mark.parametrize(
    ("names", "configuration", "text"),
    [
        (["\ud800"], {}, r"layer name '\\ud800'"),
        (["a", "a"], {}, "two layers have the name 'a'"),
        (
            [f"{number}" + "\U0001f600" * 5000 for number in range(60)],
            {},
            r"header.*60 layers.*16 MiB",
        ),
        (["a"], {"notes": "x" * 2**24}, r"run\.json.*16 MiB"),
        (["a"], {"notes": object()}, r"configuration.*run\.json"),
        (["a"], {"notes": "\ud800"}, None),
    ],
    ids=["surrogate", "twice", "long", "large", "no JSON", "surrogate value"],
)
def test_what_could_not_be_read_again_is_not_recorded(tmp_path, names, configuration, text):
    """Else the training would run for days into a run that no one can open."""
    specs = [LayerSpec(name, (2, 4), "float32", "test", None) for name in names]
    path = tmp_path / "run"
    if text is None:
        RunWriter(path, specs, configuration=configuration, environment={}).close()
        assert open_run(path).configuration == configuration
        return
    with pytest.raises(InputError, match=text):
        RunWriter(path, specs, configuration=configuration, environment={})
    assert not path.exists()


def test_the_size_of_a_header_is_never_underestimated(tmp_path):
    letters = ["\U0001f600", "\0", '"', "\\", "\x7f", "/", "é", "x"]
    history = {letter * 900 + str(number): random_walk((2, 4), 1) for number, letter in enumerate(letters * 3)}
    path = synthetic_run(tmp_path / "run", history, windows=1).path
    assert set(verify(path)["verdict"]) == {"whole"}
    shard = window_file(path, 1)
    header = open_run(path).header
    size, bound = int.from_bytes(shard.read_bytes()[:8], "little"), shard_header_bytes(header.layers, header.quantities)
    assert 0.6 * bound < size < bound


@pytest.mark.faults
def test_many_writers_at_once(tmp_path):
    command = [sys.executable, str(Path(__file__).with_name("record_and_die.py"))]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with contextlib.ExitStack() as stack:
        processes = [stack.enter_context(subprocess.Popen(command, **pipes)) for _ in range(6)]
        for process in processes:  # all have started when each has answered
            process.stdin.write(json.dumps({"path": str(tmp_path / f"own-{process.pid}")}) + "\n")
            process.stdin.flush()
            process.stdout.readline()
        rounds = 20
        for number in range(rounds):
            path = tmp_path / str(number)
            for process in processes:
                process.stdin.write(json.dumps({"path": str(path), "count": 20}) + "\n")
                process.stdin.flush()
            answers = [json.loads(process.stdout.readline()) for process in processes]
            refused = [answer["error"] for answer in answers if answer["error"]]
            assert all("another process is recording" in text or "exists and is not empty" in text for text in refused)
            assert len(refused) < len(processes)
            check(path, list(range(max(answer["acknowledged"] or 0 for answer in answers) + 1)))
        for process in processes:
            process.stdin.close()
    print(f"{rounds} times {len(processes)} writers at once: one at a time records, no run harmed")


@pytest.mark.faults
def test_readers_beside_a_writer(order_recording, tmp_path):
    path, answers, reads, lengths = tmp_path / "run", [], 0, [0]
    thread = threading.Thread(target=lambda: answers.append(order_recording(path, count=60, pause=0.05)))
    thread.start()
    while thread.is_alive():
        with contextlib.suppress(StoreError if not (path / "run.json").exists() else ()):
            run = open_run(path)
            for window in run.windows:
                np.testing.assert_array_equal(window["a"].weight, WALK[window.last_update])
            assert not run.problems
            table = verify(path)
            assert table[table["verdict"].isin(DAMAGE)]["detail"].tolist() == []
            lengths.append(len(run.windows))
            reads += 1
    thread.join()
    assert lengths == sorted(lengths)
    assert len({*lengths}) > 3, "a test that reads only before and after the writer would say nothing"
    assert answers[0] == {"acknowledged": 60, "died": False, "error": None}
    assert len(open_run(path).windows) == 61
    print(f"{reads} whole readings beside a writer of 61 windows: each saw whole windows only, never fewer than before")
