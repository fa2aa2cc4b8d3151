"""Recordings that write, crash, resume and are thinned in any order, compared with a list of what must be there."""

import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from recu_analysis import open_run
from recu_analysis.errors import InputError
from recu_analysis.store.header import LayerSpec
from recu_analysis.store.thin import thin
from recu_analysis.store.verify import DAMAGE, verify
from recu_analysis.store.writer import RunWriter
from recu_analysis.testing import layer_state
from recu_analysis.theory.standardize import WeightTransform

SHAPE = (2, 5)
SPEC = LayerSpec("a", SHAPE, "float32", "test", WeightTransform(center=True))


@dataclass(frozen=True)
class Expected:
    """One window that must be there; `last` is `first` - 1 in one without updates."""

    number: int
    first: int
    last: int


class Recordings(RuleBasedStateMachine):
    """One run directory; `windows`, `marks` and `weights` (one entry an update) are what it must hold."""

    def __init__(self):
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.path = self.folder / "run"
        self.generator = np.random.default_rng(0)
        self.out = None

    def teardown(self):
        if self.out is not None:
            self.out.close()
        shutil.rmtree(self.folder)

    @property
    def last(self):
        return len(self.weights) - 1

    @initialize()
    def start(self):
        self.weights = [self.generator.normal(size=SHAPE).astype(np.float32)]
        self.windows, self.marks = [Expected(0, 1, 0)], []
        self.out = RunWriter(self.path, [SPEC], configuration={}, environment={})
        assert self.write(1, 0) == 0

    def write(self, first, last):
        state = layer_state(np.stack(self.weights), first, last, center=True)
        return self.out.write_window({"a": state}, first_update=first, last_update=last)

    def train(self, updates):
        for _ in range(updates):
            move = self.generator.normal(size=SHAPE).astype(np.float32) / 2
            self.weights.append(self.weights[-1] + move)

    def next_window(self, updates):
        first = self.last + 1
        self.train(updates)
        return Expected(self.windows[-1].number + 1, first, self.last)

    recording = precondition(lambda self: self.out is not None)
    at_rest = precondition(lambda self: self.out is None)

    @recording
    @rule(updates=st.integers(1, 4))
    def record(self, updates):
        window = self.next_window(updates)
        assert self.write(window.first, window.last) == window.number
        self.out.flush()
        self.windows.append(window)

    @recording
    @rule()
    def mark(self):
        self.out.write_metrics({"window": self.windows[-1].number, "update": self.last})
        self.out.flush()
        self.marks.append(self.last)

    @recording
    @rule()
    def close(self):
        self.out.close()
        self.out = None

    @recording
    @rule(moment=st.integers(1, 6), updates=st.integers(1, 3))
    def crash(self, moment, updates):
        """What a kill at that call leaves on disk is what lies there at that call."""
        window, left, snapshot = self.next_window(updates), [moment], self.folder / "snapshot"

        def counted(real):
            def call(*arguments, **named):
                left[0] -= 1
                if left[0] == 0:
                    shutil.copytree(self.path, snapshot)
                return real(*arguments, **named)

            return call

        with mock.patch.object(os, "fsync", counted(os.fsync)), mock.patch.object(Path, "rename", counted(Path.rename)):
            self.write(window.first, window.last)
            self.out.flush()
        self.out.close()
        self.out = None
        if snapshot.exists():
            shutil.rmtree(self.path)
            snapshot.rename(self.path)
        if open_run(self.path).windows[-1].last_update == window.last:
            self.windows.append(window)
        else:
            del self.weights[window.first :]

    @at_rest
    @rule(data=st.data())
    def resume(self, data):
        update = data.draw(st.integers(0, self.last))
        self.windows = [window for window in self.windows if window.last <= update]
        self.marks = [mark for mark in self.marks if mark <= update]
        del self.weights[update + 1 :]
        self.out = RunWriter(self.path, [SPEC], configuration={}, environment={}, resume=update)
        number = self.write(update + 1, update)
        self.out.flush()
        if self.windows[-1].last != update:
            self.windows.append(Expected(self.windows[-1].number + 1, update + 1, update))
        assert number == self.windows[-1].number

    @at_rest
    @rule(beyond=st.integers(1, 3))
    def resume_where_nothing_was(self, beyond):
        with pytest.raises(InputError, match="cannot be resumed"):
            RunWriter(self.path, [SPEC], configuration={}, environment={}, resume=self.last + beyond)

    @at_rest
    @rule(data=st.data())
    def thinned(self, data):
        """The thinned run takes the place of the run, and may be resumed."""
        states = [index for index, window in enumerate(self.windows) if window.last < window.first]
        needed = {0, len(self.windows) - 1, *states, *(index - 1 for index in states if index)}
        kept = sorted(needed | data.draw(st.sets(st.integers(0, len(self.windows) - 1))))
        made = thin(
            open_run(self.path), windows=[self.windows[index].number for index in kept], output=self.folder / "thin"
        )
        shutil.rmtree(self.path)
        made.path.rename(self.path)
        merged = []
        for index in kept:
            window = self.windows[index]
            first = merged[-1].last + 1 if merged and window.last >= window.first else window.first
            merged.append(Expected(window.number, first, window.last))
        self.windows = merged  # every mark stays, also one whose window was merged away

    @invariant()
    def what_is_read_is_what_must_be_there(self):
        if self.out is not None:
            self.out.flush()
        run = open_run(self.path)
        assert not run.problems
        assert [Expected(w.number, w.first_update, w.last_update) for w in run.windows] == self.windows
        assert (run.metrics["update"].tolist() if len(run.metrics) else []) == self.marks
        walk = np.stack(self.weights)
        for window in run.windows:
            record, truth = window["a"], layer_state(walk, window.first_update, window.last_update, center=True)
            np.testing.assert_array_equal(record.weight, truth["weight"])
            np.testing.assert_array_equal(record.start, walk[window.first_update - 1])
            np.testing.assert_allclose(record.path, truth["path"], rtol=1e-6)
            np.testing.assert_allclose(record.zpath, truth["zpath"], rtol=1e-6)
            for kind in ("flips", "first_flip", "last_flip"):
                np.testing.assert_array_equal(getattr(record, kind).reshape(-1)[truth["flipped"]], truth[kind])
            assert record.flips.sum() == truth["flips"].sum()
        assert not set(verify(self.path)["verdict"]) & set(DAMAGE)


def test_recordings_in_any_order():
    run_state_machine_as_test(Recordings, settings=settings(max_examples=12, stateful_step_count=12))


def test_a_thinned_recording_keeps_the_marks_of_windows_that_it_merged():
    state = Recordings()
    state.start()
    state.record(updates=1)
    state.mark()
    state.record(updates=1)
    state.close()
    made = thin(open_run(state.path), windows=[0, 2], output=state.folder / "thin")
    assert made.metrics["update"].tolist() == [1]
    assert "window" not in made.metrics  # its window is gone
    state.teardown()


@pytest.mark.faults
def test_many_recordings_in_any_order():
    many = settings(max_examples=400, stateful_step_count=30, derandomize=False)
    run_state_machine_as_test(Recordings, settings=many)
    print("400 recordings of up to 30 steps (record, mark, close, crash, resume, thin): each as its list says")
