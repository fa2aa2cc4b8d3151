"""A dask cluster as workers: the same numbers to the bit, workers that are killed, and what can be wrong with one."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from recu_analysis import open_run, workers
from recu_analysis.analysis import cluster
from recu_analysis.analysis.cluster import connected
from recu_analysis.analysis.parallel import by_layer
from recu_analysis.errors import DamagedError, InputError, MissingExtraError
from recu_analysis.testing import random_walk, synthetic_run
from tests.analysis.test_parallel import alive, stopped, tables, wait_for, windows_there
from tests.cli_runner import run_cli
from tests.messages import says

#: Needs the extra, and starts processes.
on_a_cluster = pytest.mark.distributed


def test_without_dask_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(MissingExtraError, match=r'pip install "recu-analysis\[distributed\]"'), connected("tcp://a:1"):
        pass


def test_jobs_and_a_cluster_exclude_each_other(synthetic):
    done = run_cli("dead-weights", synthetic.path, "--jobs", 2, "--scheduler", "tcp://localhost:1")
    assert done.exit_code == 2
    says(done.stderr, "--jobs", "--scheduler", "one of them")


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    shapes = {"a": (4, 3, 3, 3), "b": (8, 40), "c": (3, 50)}
    history = {name: random_walk(shape, 12, seed=len(name)) for name, shape in shapes.items()}
    return synthetic_run(tmp_path_factory.mktemp("cluster") / "run", history).path


class Cluster:
    """A scheduler and workers, each a process of this machine."""

    def __init__(self, folder):
        self.file, self.started = folder / "scheduler.json", []
        self.scheduler = self.start(
            "scheduler", "--host", "tcp://127.0.0.1:0", "--no-dashboard", "--scheduler-file", self.file
        )
        assert wait_for(self.file.exists, bool)

    @property
    def address(self):
        with self.file.open(encoding="utf-8") as file:
            return pd.read_json(file, typ="series")["address"]

    def start(self, what, *arguments):
        # A layer that has killed two workers is given up, not only after four.
        settings = {"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
        command = [sys.executable, "-m", f"distributed.cli.dask_{what}", *map(str, arguments)]
        self.started.append(subprocess.Popen(command, env=os.environ | settings, stderr=subprocess.DEVNULL))
        return self.started[-1]

    def add_workers(self, count):
        for _ in range(count):
            options = [
                "--host",
                "127.0.0.1",
                "--nthreads",
                "1",
                "--no-nanny",
                "--no-dashboard",
                "--local-directory",
                self.file.parent,
            ]
            self.start("worker", self.address, *options)

    def end(self):
        for process in self.started:
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def empty(tmp_path_factory):
    made = Cluster(tmp_path_factory.mktemp("dask"))
    yield made
    made.end()


@pytest.fixture(scope="module")
def client(empty):
    from distributed import Client

    empty.add_workers(2)
    with Client(empty.address, timeout=60, set_as_default=False) as made:
        made.wait_for_workers(2, timeout=300)
        yield made


@on_a_cluster
def test_a_scheduler_without_workers_is_one_sentence(empty, monkeypatch):
    monkeypatch.setattr(cluster, "PATIENCE", 2)
    with pytest.raises(InputError, match=f"{empty.address} has no worker; start one"), connected(empty.address):
        pass


@on_a_cluster
@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "nonsense://x", "", "tcp://no.such.host.invalid:8786"])
def test_a_scheduler_that_does_not_answer_is_one_sentence(synthetic, monkeypatch, address):
    monkeypatch.setattr(cluster, "PATIENCE", 1)
    begin = time.monotonic()
    done = run_cli("dead-weights", synthetic.path, "--scheduler", address)
    assert done.exit_code == 1
    assert time.monotonic() - begin < 60, "a busy machine too"
    assert done.stderr.count("\n") <= 3
    says(done.stderr.replace("\n", " "), "Error: no dask scheduler answers at", repr(address))


@on_a_cluster
def test_a_cluster_gives_the_same_bits(three, client):
    expected = tables(three)
    with workers(client):
        found = tables(three)
    for name, table in expected.items():
        pd.testing.assert_frame_equal(found[name], table, check_exact=True, obj=name)
    print(f"{len(expected)} tables from 2 workers of dask, equal to the bit to those of one process")


@on_a_cluster
def test_a_command_prints_the_same_from_a_cluster(three, client):
    alone = run_cli("dead-weights", three, "--format", "csv")
    spread = run_cli("dead-weights", three, "--format", "csv", "--scheduler", client.scheduler.address)
    assert alone == spread
    assert alone.exit_code == 0


def process_of(run, spec, folder):
    return os.getpid()


@on_a_cluster
def test_workers_are_other_processes_that_read_the_run_themselves(three, client, tmp_path):
    run = open_run(three)
    with workers(client):
        assert os.getpid() not in by_layer(process_of, run, run.header.layers, [None] * 3)
        lost = open_run(synthetic_run(tmp_path / "run").path)
        lost.path.rename(tmp_path / "elsewhere")
        with pytest.raises(DamagedError, match=f"does not see the run {lost.path}; put it"):
            by_layer(windows_there, lost, lost.header.layers, [None] * 2)


def first_waits(run, spec, folder):
    """The sum of a layer; the first process that works on the layer waits until it is killed."""
    place = Path(folder, spec.name)
    if spec.name == "b" and not place.exists():
        place.write_text(str(os.getpid()))
        time.sleep(600)
    return float(run.windows[-1][spec.name].weight.sum()), os.getpid()


@on_a_cluster
def test_work_of_a_killed_worker_is_done_by_another(three, client, empty, tmp_path):
    run = open_run(three)
    killer = f"""
import os, pathlib, signal, time
place = pathlib.Path({str(tmp_path / "b")!r})
while not (place.exists() and place.read_text()):
    time.sleep(0.05)
os.kill(int(place.read_text()), signal.SIGKILL)
"""
    with workers(client), subprocess.Popen([sys.executable, "-c", killer]):
        found = by_layer(first_waits, run, run.header.layers, [str(tmp_path)] * 3)
    killed = int((tmp_path / "b").read_text())
    assert wait_for(lambda: alive(killed), lambda there: not there) is False
    assert [value for value, _ in found] == [float(run.windows[-1][name].weight.sum()) for name in run.layer_names]
    assert found[1][1] not in (killed, os.getpid())
    print("a worker killed in the middle: the other one did its layer, with the same numbers")


def killed_in_b(run, spec, argument):
    if spec.name == "b":
        os.kill(os.getpid(), signal.SIGKILL)


@on_a_cluster
def test_a_layer_that_kills_workers_is_one_sentence(three, client, empty):
    run = open_run(three)
    empty.add_workers(2)  # beside the one that is left
    client.wait_for_workers(3, timeout=300)
    with pytest.raises(DamagedError, match="killed by the same layer, perhaps for lack of memory"), workers(client):
        by_layer(killed_in_b, run, run.header.layers, [None] * 3)


@on_a_cluster
def test_ctrl_c_ends_the_command_not_the_cluster(three, client, empty, tmp_path):
    empty.add_workers(1)  # beside the one that is left
    client.wait_for_workers(2, timeout=300)
    before = set(client.scheduler_info()["workers"])
    told = stopped(three, tmp_path, "--scheduler", client.scheduler.address)
    assert told == ("Error: stopped by Ctrl-C; every written file is complete\n", 130)
    assert before <= set(client.scheduler_info()["workers"])


@on_a_cluster
def test_a_lost_scheduler_is_one_sentence(three, client, empty, tmp_path):
    run = open_run(three)
    killer = f"""
import os, pathlib, signal, time
place = pathlib.Path({str(tmp_path / "b")!r})
while not place.exists():
    time.sleep(0.05)
os.kill({empty.scheduler.pid}, signal.SIGKILL)
"""
    empty.add_workers(2)  # those of the test before are still at work
    with subprocess.Popen([sys.executable, "-c", killer]), workers(client), pytest.raises(DamagedError, match="lost"):
        by_layer(first_waits, run, run.header.layers, [str(tmp_path)] * 3)
