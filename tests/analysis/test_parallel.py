"""Several workers: the same numbers to the bit, errors as one sentence, and an end when they are stopped."""

import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from recu_analysis import dead_weights, layer_table, open_run, workers
from recu_analysis.analysis import parallel
from recu_analysis.analysis.cohorts import cohorts, transitions
from recu_analysis.analysis.compare import compare
from recu_analysis.analysis.differences import curves, statistics_query
from recu_analysis.analysis.distance import channel_sums_query, tails
from recu_analysis.analysis.fits import fit_table
from recu_analysis.analysis.flips import flip_table
from recu_analysis.analysis.magnitude import by_magnitude
from recu_analysis.analysis.measured import measured_tradeoff
from recu_analysis.analysis.parallel import by_layer, check_going_on
from recu_analysis.analysis.selection import WindowSpan
from recu_analysis.errors import DamagedError, InputError
from recu_analysis.testing import random_walk, synthetic_run

ANALYSES = {
    "dead_weights": dead_weights,
    "layer_table": layer_table,
    "tails": tails,
    "flip_table": flip_table,
    "fit_table": fit_table,
    "by_magnitude": by_magnitude,
    "transitions": transitions,
    "cohorts": lambda run: cohorts(run, windows="1:"),
    "measured_tradeoff": measured_tradeoff,
    "sums of claims": lambda run: pd.DataFrame(np.concatenate(channel_sums_query(run, WindowSpan(1, 5)).run())),
    "compare": lambda run: compare({"run": run}),
    "curves": lambda run: curves({"run": run}),
    "differences": lambda run: pd.DataFrame(statistics_query(run, WindowSpan(1, 5), 0.85, None).run()).astype(str),
}


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    shapes = {"a": (4, 3, 3, 3), "b": (8, 40), "c": (3, 50)}
    history = {name: random_walk(shape, 12, seed=len(name)) for name, shape in shapes.items()}
    return synthetic_run(tmp_path_factory.mktemp("parallel") / "run", history).path


@pytest.fixture(scope="module")
def two_processes():
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        yield pool


def tables(path):
    run = open_run(path)
    return {name: analysis(run) for name, analysis in ANALYSES.items()}


def test_any_workers_give_the_same_bits(three, two_processes):
    expected = tables(three)
    for of in (1, 2, 3, two_processes):
        with workers(of):
            found = tables(three)
        for name, table in expected.items():
            pd.testing.assert_frame_equal(found[name], table, check_exact=True, obj=name)


def killed(run, spec, argument):
    os.kill(os.getpid(), signal.SIGKILL)


def windows_there(run, spec, argument):
    return [window.number for window in run.windows]


def stated(run, spec, argument):
    return run.label, run.arm, run.stated_seed, os.getpid()


def test_what_goes_wrong_in_a_thread_is_one_sentence_here(three):
    with workers(2), pytest.raises(InputError, match="too few for 200 bins"):
        by_magnitude(open_run(three), bins=200)


def test_processes_see_the_run_as_the_first_one_sees_it(three, tmp_path, two_processes):
    run = open_run(shutil.copytree(three, tmp_path / "run"))
    earlier = replace(run, windows=run.windows[:3], label="mine", arm="ReCU", stated_seed=3)
    with workers(two_processes):
        assert by_layer(windows_there, earlier, run.header.layers, [None] * 3) == [[0, 1, 2]] * 3
        for *found, process in by_layer(stated, earlier, run.header.layers, [None] * 3):
            assert found == ["mine", "ReCU", 3]
            assert process != os.getpid()
        shutil.rmtree(run.path / "history/segment-0000/window-000004")
        with pytest.raises(DamagedError, match="were removed while they were read"):
            by_layer(windows_there, run, run.header.layers, [None] * 3)
        run.path.rename(tmp_path / "elsewhere")
        with pytest.raises(DamagedError, match=f"does not see the run {run.path}; put it into a folder that every"):
            by_layer(windows_there, replace(run, label="again"), run.header.layers, [None] * 3)


def test_another_version_is_refused(three, two_processes, monkeypatch):
    run = open_run(three)
    monkeypatch.setattr(parallel, "_versions", lambda: "recu-analysis 9.9 with numpy 9.8")
    with workers(two_processes), pytest.raises(InputError, match=r"this process recu-analysis 9\.9 with numpy 9\.8"):
        by_layer(windows_there, run, run.header.layers, [None] * 3)


def test_a_killed_process_is_one_sentence(three):
    run = open_run(three)
    with (
        ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool,
        workers(pool),
        pytest.raises(DamagedError, match="was killed, perhaps for lack of memory; use fewer processes"),
    ):
        by_layer(killed, run, run.header.layers, [None] * 3)


class Elsewhere(Executor):
    """An executor whose workers answer with one error."""

    def __init__(self, error):
        self.error = error

    def submit(self, *arguments, **named):
        future = Future()
        future.set_exception(self.error)
        return future


def test_workers_without_this_package_are_one_sentence(three):
    run = open_run(three)
    for name, error in [("recu_analysis.analysis", InputError), ("else", ModuleNotFoundError)]:
        with workers(Elsewhere(ModuleNotFoundError("no", name=name))), pytest.raises(error) as raised:
            by_layer(windows_there, run, run.header.layers, [None] * 3)
        assert ("a worker has no module recu_analysis.analysis; install" in str(raised.value)) == (error is InputError)


def test_each_finished_layer_is_told(three):
    told = []
    with workers(2, on_layer=lambda *numbers: told.append(numbers)):
        flip_table(open_run(three), windows="1:")
    assert told == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize(
    ("of", "fact"),
    [(0, "at least 1 thread, not 0"), ("4", "not str '4'"), (2.0, "not float 2.0"), (True, "bool"), ([], "a list")],
)
def test_what_can_be_no_workers_is_refused(of, fact):
    with pytest.raises(InputError, match=fact), workers(of):
        pass


def endless(run, spec, folder):
    Path(folder, spec.name).write_text("")
    for _ in range(6000):  # on a cluster, nobody stops it
        check_going_on()
        time.sleep(0.01)


def failing(run, spec, folder):
    if spec.name == "a":
        wait_for(lambda: len(list(Path(folder).iterdir())), lambda found: found == 2)
        raise InputError("a fails")
    endless(run, spec, folder)


def test_a_failure_ends_the_other_threads_too(three, tmp_path):
    run = open_run(three)
    with workers(3), pytest.raises(InputError, match="a fails"):
        by_layer(failing, run, run.header.layers, [str(tmp_path)] * 3)


SLOW = """
import rich_click as click
from recu_analysis import open_run
from recu_analysis.analysis.parallel import by_layer
from recu_analysis.cli import options
from tests.analysis.test_parallel import endless

@click.command()
@options.run_argument
@click.argument("folder")
@options.common
@options.jobs
def command(run, folder):
    layers = open_run(run).header.layers
    by_layer(endless, open_run(run), layers, [folder] * len(layers))

if __name__ == "__main__":
    command()
"""


def stopped(three, tmp_path, *arguments):
    """What a command says whose workers are stopped in the middle by Ctrl-C, and its exit code."""
    script, folder = tmp_path / "slow.py", tmp_path / "working"
    script.write_text(SLOW)
    folder.mkdir()
    started = subprocess.Popen(
        [sys.executable, script, three, folder, *arguments],
        start_new_session=True,
        stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert len(wait_for(lambda: list(folder.iterdir()), lambda found: len(found) == 2)) == 2
    os.killpg(started.pid, signal.SIGINT)  # as a terminal does: to the whole group
    return started.communicate(timeout=60)[1].decode(), started.returncode


def test_ctrl_c_ends_threads(three, tmp_path):
    assert stopped(three, tmp_path, "--jobs", "2") == (
        "Error: stopped by Ctrl-C; every written file is complete\n",
        130,
    )


def wait_for(value, enough):
    for _ in range(600):
        if enough(found := value()):
            return found
        time.sleep(0.1)
    return found


def alive(process):
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False
