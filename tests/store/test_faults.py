"""Faults while a run is written: a process killed at any moment, calls that fail, disks that are full or read-only."""

import numpy as np
import pytest

from recu_analysis import open_run
from recu_analysis.store.header import LayerSpec
from recu_analysis.store.verify import DAMAGE, verify
from recu_analysis.testing import layer_state, random_walk
from recu_analysis.theory.standardize import WeightTransform

WALK = random_walk((4, 30), 60, step=0.3)
SPEC = LayerSpec("a", (4, 30), "float32", "test", WeightTransform(center=True))
STEPS = (
    "folder made",
    "staging file made",
    "half saved",
    "saved",
    "mode set",
    "synced",
    "about to rename",
    "renamed",
    "folder synced",
    "folder above synced",
    "half a line of metrics",
    "metrics written",
)


def check(path, acknowledged):
    """The run at `path` after a fault: acknowledged windows whole, no hole, nothing damaged; the last update."""
    if not (path / "run.json").exists():
        assert acknowledged is None
        return 0
    assert not set(verify(path)["verdict"]) & set(DAMAGE)
    run = open_run(path)
    assert not run.problems
    ends = [window.last_update for window in run.windows]
    assert ends == list(range(len(ends)))
    # At most the one window that was being written is there without having been acknowledged.
    assert (-1 if acknowledged is None else acknowledged) <= (ends or [-1])[-1]
    for window in run.windows:
        record, truth = window["a"], layer_state(WALK, max(window.last_update, 1), window.last_update, center=True)
        for name in ("weight", "path", "zpath"):
            np.testing.assert_array_equal(getattr(record, name), truth[name])
        np.testing.assert_array_equal(record.flips.reshape(-1)[truth["flipped"]], truth["flips"])
    assert run.metrics.empty or set(run.metrics["update"]) <= set(ends)
    return (ends or [0])[-1]


def check_swept(path):
    """After the next start nothing half-written is left."""
    assert not [file for file in path.rglob("*") if file.is_file() and file.parent.name in {"staging", "history"}]


def kill_and_go_on(order_recording, path, **what):
    """A order_recording, then a recording that goes on to the end of three more windows; whether the fault was met."""
    answer = order_recording(path, **what)
    last = check(path, answer["acknowledged"])
    if answer["died"]:
        after = order_recording(path)
        assert after == {"acknowledged": last + 3, "died": False, "error": None}
        assert check(path, last + 3) == last + 3
        check_swept(path)
    return answer["died"]


@pytest.mark.parametrize("step", ["half saved", "synced", "about to rename", "renamed", "half a line of metrics"])
def test_killed_at_a_step_of_the_protocol(order_recording, tmp_path, step):
    assert kill_and_go_on(order_recording, tmp_path / "run", step=step, nth=2)


@pytest.mark.faults
@pytest.mark.parametrize("step", STEPS)
def test_killed_at_every_occurrence_of_a_step(order_recording, tmp_path, step):
    kills = 0
    while kill_and_go_on(order_recording, tmp_path / str(kills), step=step, nth=kills + 1):
        kills += 1
    assert kills >= 3
    print(f"{kills} kills at step {step!r}: no acknowledged window lost, none torn, leftovers swept")


@pytest.mark.faults
def test_killed_at_every_line_of_the_writer(order_recording, tmp_path):
    kills = 0
    while kill_and_go_on(order_recording, tmp_path / str(kills), line=kills + 1, count=1):
        kills += 1
    assert kills > 200
    print(f"{kills} kills, one at every line that the writer runs for two windows: none lost, none torn")


@pytest.mark.faults
def test_killed_at_200_random_moments(order_recording, tmp_path):
    kills = lengths = 0
    while kills < 200:
        path = tmp_path / str(kills)
        answer = order_recording(path, delay=0.06, count=20)
        check(path, answer["acknowledged"])
        lengths += answer["acknowledged"]
        kills += answer["died"]
        assert order_recording(path, count=1)["error"] is None
        check_swept(path)
    print(f"{kills} kills at random moments after {lengths / kills:.1f} windows on average: none lost, none torn")


@pytest.mark.faults
def test_killed_again_and_again_in_one_run(order_recording, tmp_path):
    path, kills, last = tmp_path / "run", 0, 0
    while last < 30:
        answer = order_recording(path, delay=0.1, count=30)
        last = check(path, answer["acknowledged"])
        kills += answer["died"]
    segments = len(open_run(path).segments)
    print(f"one run of {last} windows, killed {kills} times and resumed in {segments} segments: none lost, none torn")
