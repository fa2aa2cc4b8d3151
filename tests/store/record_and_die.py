"""Records runs in forked children that meet a fault: killed at a step or a line of the writer, or from outside.

One order a line on standard input, a JSON object: `path`, and one of `step` with `nth`, `line`, `delay`, `limit`; also
`count` windows, with a `pause` in seconds after each. One answer a line on standard output: `acknowledged`, the last
update whose window was said to be on disk; `died`, whether the child was killed; `error`, what it raised. A fork takes
milliseconds where a new process takes a second.
"""

import json
import os
import random
import resource
import signal
import sys
import threading
import time
from pathlib import Path

import recu_analysis.store.durable as durable
import recu_analysis.store.shard_file as shard_file
import recu_analysis.store.writer as writer
from recu_analysis import open_run
from recu_analysis.errors import NotARunError, RecuError
from recu_analysis.store.header import LayerSpec
from recu_analysis.store.writer import RunWriter
from recu_analysis.testing import layer_state, random_walk
from recu_analysis.theory.standardize import WeightTransform

UPDATES = 60
WALK = random_walk((4, 30), UPDATES, step=0.3)
SPEC = LayerSpec("a", (4, 30), "float32", "test", WeightTransform(center=True))


def die():
    os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)


def half_saved(real):
    def save(tensors, file, **named):
        real(tensors, file, **named)
        os.truncate(file, Path(file).stat().st_size // 2)
        die()

    return save


def half_a_line(real):
    def append(out, text):
        with (out._folder / "metrics.jsonl").open("a") as file:
            file.write(text[: len(text) // 2])
        die()

    return append


def before(real):
    def call(*arguments, **named):
        die()

    return call


def after(real):
    def call(*arguments, **named):
        real(*arguments, **named)
        die()

    return call


#: The steps of the protocol: what is called, and how the process dies there.
STEPS = {
    "folder made": (Path, "mkdir", after),
    "staging file made": (durable, "_create", after),
    "half saved": (shard_file, "save_file", half_saved),
    "saved": (shard_file, "save_file", after),
    "mode set": (Path, "chmod", after),
    "synced": (os, "fsync", after),
    "about to rename": (Path, "rename", before),
    "renamed": (Path, "rename", after),
    "folder synced": (durable, "sync_directory", after),
    "folder above synced": (writer, "sync_directory", after),
    "half a line of metrics": (RunWriter, "_append_metrics", half_a_line),
    "metrics written": (RunWriter, "_append_metrics", after),
}


def die_at_step(step, nth):
    owner, name, how = STEPS[step]
    real, left = getattr(owner, name), [nth]
    dying = how(real)

    def call(*arguments, **named):
        left[0] -= 1
        return (dying if left[0] == 0 else real)(*arguments, **named)

    setattr(owner, name, call)


def die_at_line(nth):
    left = [nth]

    def trace(frame, event, _):
        if frame.f_code.co_filename not in {durable.__file__, shard_file.__file__, writer.__file__}:
            return None
        if event == "line":
            left[0] -= 1
            if left[0] == 0:
                die()
        return trace

    threading.settrace(trace)
    sys.settrace(trace)


def record(path, count, tell):
    """Go on with the run at `path`, or begin it: a window an update, each acknowledged when it is on disk."""
    try:
        last = max((window.last_update for window in open_run(path).windows), default=0)
        out = RunWriter(path, [SPEC], configuration={}, environment={}, resume=last)
    except NotARunError:
        last = 0
        out = RunWriter(path, [SPEC], configuration={}, environment={})
    try:
        for end in range(last, min(last + count, UPDATES) + 1):
            first = max(end, last + 1)
            state = {"a": layer_state(WALK, first, end, center=True)}
            out.write_metrics({"window": out.write_window(state, first_update=first, last_update=end), "update": end})
            out.flush()
            tell(end)
    finally:
        out.close()


def child(order, pipe):
    if "step" in order:
        die_at_step(order["step"], order["nth"])
    if "line" in order:
        die_at_line(order["line"])
    if "limit" in order:
        resource.setrlimit(resource.RLIMIT_FSIZE, (order["limit"], order["limit"]))

    def tell(end):
        os.write(pipe, b"%d\n" % end)
        time.sleep(order.get("pause", 0))

    try:
        record(Path(order["path"]), order.get("count", 3), tell)
    except RecuError as error:
        os.write(pipe, json.dumps(f"{type(error).__name__}: {error}").encode() + b"\n")


def obey(order):
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        try:
            child(order, writing)
        finally:
            sys.settrace(None)
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        first = pipe.readline() if "delay" in order else ""
        if "delay" in order:
            time.sleep(order["delay"] * random.random())
            os.kill(pid, signal.SIGKILL)
        lines = [json.loads(line) for line in [first, *pipe] if line.strip()]
    status = os.waitpid(pid, 0)[1]
    told = [line for line in lines if isinstance(line, int)]
    errors = [line for line in lines if isinstance(line, str)]
    return {"acknowledged": max(told, default=None), "died": os.WIFSIGNALED(status), "error": (errors or [None])[0]}


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(obey(json.loads(line))), flush=True)
