"""Processes that record one sharded model: the same run for any number of them, and one sentence when one fails."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import distributed, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import Shard, distribute_tensor

import recu_analysis as ra
from recu_analysis.capture.adapters import registry
from recu_analysis.capture.norms import Norms
from recu_analysis.capture.outside import Moved
from recu_analysis.capture.shared_numbers import SharedNorms, SharedOutside, merged_norms, merged_outside
from recu_analysis.errors import RecorderError, StoreError
from recu_analysis.integrations.callback_base import CallbackRecording
from recu_analysis.store.shard_file import ShardPlace
from recu_analysis.store.shard_writer import ShardWriter
from recu_analysis.store.verify import DAMAGE, verify
from tests.capture import level_layers
from tests.capture.plain_loops import sgd, step, tiny
from tests.messages import says

SCRIPT = Path(__file__).with_name("sharded_ranks.py")
#: Needs several processes, which gloo connects.
in_processes = pytest.mark.distributed

KEPT = {"record": {"quantities": ["ema", "grad"], "traces": 6}}
#: What ten updates look like in one process with the whole model, and in shards.
ALIKE = {
    "whole": {"ranks": 1, "whole": True, "clamp": 5, **KEPT},
    "one": {"ranks": 1, "clamp": 5, **KEPT},
    "two": {"ranks": 2, "clamp": 5, **KEPT},
    "four": {"ranks": 4, "clamp": 5, "save": True, **KEPT},
    "replicas": {"ranks": 4, "hsdp": True, "clamp": 5, "example": True, **KEPT},
}
SAMPLED = {"record": {"channels": 0.5}}
OTHERS = {
    "sample": {"ranks": 1, "whole": True, "updates": 4, **SAMPLED},
    "sample-four": {"ranks": 4, "updates": 4, **SAMPLED},
    "mixed": {"ranks": 2, "mixed": True, "updates": 4},
    "disagree": {"ranks": 2, "updates": 4, "record-1": {"layers": ["0"]}},
    "settings": {"ranks": 2, "updates": 4, "record-1": {"every": 2}},
    "turned": {"ranks": 2, "updates": 4, "other-states": 2},
    "stats": {"ranks": 2, "updates": 4, "record": {"quantities": ["gradient-stats"]}},
    "full": {"ranks": 2, "updates": 20, "full-disk": [1, 6]},
    "failed": {"ranks": 2, "updates": 20, "fail": [1, 10]},
}
#: With the checkpoint of update 8 of four processes.
RESUMED = {name: {"updates": 12, "resume": 8, **KEPT} for name in ("four-then-two", "four-then-whole")}
RESUMED["four-then-two"]["ranks"], RESUMED["four-then-whole"]["ranks"] = 2, 1
RESUMED["four-then-whole"]["whole"] = True


def trained(out, trainings):
    """Run trainings one after the other, each in its own processes; their exit codes, by name."""
    wanted = [{"updates": 10, "run": name} | each for name, each in trainings.items()]
    environment = os.environ | {"PYTHONPATH": str(SCRIPT.parents[2]), "OMP_NUM_THREADS": "1"}
    for name in ("RANK", "WORLD_SIZE"):
        environment.pop(name, None)
    subprocess.run([sys.executable, SCRIPT, out, json.dumps(wanted)], check=True, timeout=600, env=environment)
    return {name: json.loads((out / f"{name}.json").read_text()) for name in trainings}


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    """The folder with all these trainings."""
    out = tmp_path_factory.mktemp("sharded")
    trained(out, ALIKE | OTHERS)
    return out


def texts(out, name):
    """What ended each process of a training."""
    return [file.read_text() for file in sorted(out.glob(f"{name}-[0-9].txt"))]


def assert_same(path, other):
    """Two runs have bitwise the same tensors, and the same numbers up to the order of sums in float64."""
    first, second = ra.open_run(path), ra.open_run(other)
    assert not first.problems
    assert not second.problems
    assert first.metrics.equals(second.metrics)
    for one, two in zip(first.windows, second.windows, strict=True):
        assert (one.first_update, one.last_update, one.partial) == (two.first_update, two.last_update, two.partial)
        for name in first.layer_names:
            for row in first.header.quantities.values():
                if row.of != "layer" and one[name].holds(row.name):
                    a, b = one[name].array(row.name), two[name].array(row.name)
                    np.testing.assert_array_equal(b.view(np.uint8), a.view(np.uint8), err_msg=row.name, strict=True)
            a, b = ({k: v for k, v in each[name].summary.to_dict().items() if k != "rows"} for each in (one, two))
            assert a.keys() == b.keys()
            for key in a:
                np.testing.assert_allclose(a[key] or 0, b[key] or 0, rtol=1e-13, err_msg=key)


@in_processes
@pytest.mark.parametrize("name", ["one", "two", "four", "replicas"])
def test_any_number_of_processes_makes_the_run_of_one_that_has_the_whole_model(out, name):
    assert_same(out / "whole", out / name)
    run = ra.open_run(out / name)
    assert run.layers["verified"].tolist() == [True] * 3, "each process has checked its rows in the forward pass"
    moved = run.windows[2]["0"].summary.more
    assert moved["outside_updates"] == 1
    assert moved["outside_weights"] > 10
    assert not set(verify(run.path)["verdict"]) & set(DAMAGE)


@in_processes
def test_replicas_record_once_and_empty_shards_hold_no_rows(out):
    files = {name: len(list((out / name / "history/segment-0000/window-000001").iterdir())) for name in ALIKE}
    assert files == {"whole": 1, "one": 1, "two": 2, "four": 4, "replicas": 2}


@in_processes
def test_a_sample_of_channels_is_the_same_in_shards(out):
    assert_same(out / "sample", out / "sample-four")
    assert ra.open_run(out / "sample-four").layers["channels"].tolist() == ["4 of 7", "2 of 3", "2 of 5"]


@in_processes
def test_with_mixed_precision_the_sharded_weights_count(out):
    run = ra.open_run(out / "mixed")
    assert run.layers["verified"].tolist() == [True] * 3
    weight = run.windows[-1]["0"].weight
    assert (weight.view(np.uint32) & 0xFFFF).any(), "bfloat16 has no such bits"


@in_processes
def test_a_recording_goes_on_with_another_number_of_processes(out):
    trained(out, {"long": {"ranks": 1, "whole": True, "updates": 12, "clamp": 5, **KEPT}})
    for name in RESUMED:
        subprocess.run(["cp", "-r", out / "four", out / name], check=True)
        assert trained(out, {name: RESUMED[name]})[name] == [0] * RESUMED[name]["ranks"]
        assert_same(out / "long", out / name)
        assert not ra.open_run(out / name).gaps
        assert not set(verify(out / name)["verdict"]) & set(DAMAGE)


@in_processes
@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("disagree", ["the process of rank 1 records other layers", "'3'", "same model"]),
        ("settings", ["the process of rank 1 records other layers or settings", "same arguments"]),
        ("turned", ["layer '3' does not use the states", "12.50%"]),
        ("stats", ["gradient-stats of layer '0' cannot be recorded", "leave out gradient-stats"]),
        ("full", ["history/segment-0000 cannot be written", "No space left"]),
    ],
)
def test_what_ends_one_process_ends_all_with_its_sentence(out, name, told):
    found = texts(out, name)
    assert len(found) == 2
    for text in found:
        says(text, *told)


@in_processes
def test_a_run_that_one_process_refuses_is_refused_and_one_that_fails_to_begin_is_not_there(out):
    assert "12.50%" in ra.open_run(out / "turned").problems[0]
    assert not (out / "disagree").exists()
    assert not (out / "stats").exists()


@in_processes
@pytest.mark.parametrize("name", ["full", "failed"])
def test_after_a_failure_every_window_is_whole_or_absent(out, name):
    run = ra.open_run(out / name)
    assert not run.problems
    assert [window.last_update for window in run.windows][:2] == [0, 4]
    assert not set(verify(run.path)["verdict"]) & set(DAMAGE)


@in_processes
def test_a_process_killed_at_any_moment_leaves_whole_windows_only(tmp_path):
    moments = random.Random(0)
    kills = {
        f"kill{at}": {"ranks": 2, "updates": 100_000, "mark": 1, "kill": [at % 2, moments.uniform(0.0, 2.5)]}
        for at in range(10)
    }
    codes = trained(tmp_path, kills)
    windows = []
    for at, name in enumerate(kills):
        assert codes[name][at % 2] == -9
        assert codes[name][1 - at % 2] == 1, "the other process ends too"
        run = ra.open_run(tmp_path / name)
        assert not run.problems, run.problems
        assert [window.last_update for window in run.windows] == list(range(len(run.windows)))
        assert not set(verify(run.path)["verdict"]) & set(DAMAGE)
        assert len(run.metrics) <= len(run.windows)
        windows.append(len(run.windows))
    print("killed after windows", windows)
    assert max(windows) > 5


@in_processes
def test_torchrun_starts_the_same_recording(tmp_path):
    wanted = [{"updates": 10, "run": "run", "clamp": 5, **KEPT}]
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", SCRIPT]
    environment = os.environ | {"PYTHONPATH": str(SCRIPT.parents[2]), "OMP_NUM_THREADS": "1"}
    subprocess.run([*command, tmp_path, json.dumps(wanted)], check=True, timeout=180, env=environment)
    assert [window.last_update for window in ra.open_run(tmp_path / "run").windows] == [0, 4, 8, 10]


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The group of one process, in which a model is sharded too."""
    store = tmp_path_factory.mktemp("group") / "store"
    distributed.init_process_group("gloo", rank=0, world_size=1, init_method=f"file://{store}")
    yield init_device_mesh("cpu", (1,))
    distributed.destroy_process_group()


@pytest.mark.parametrize("name", ["bitnet", "twn", "learned steps"])
def test_shards_of_more_than_two_levels_are_refused(alone, tmp_path, name):
    model = nn.Sequential(level_layers.Quantized(12, 8, *level_layers.QUANTIZERS[name]), nn.Linear(8, 3))
    fully_shard(model, mesh=alone)
    with pytest.raises(RecorderError, match=r"layer '0' has more than two levels.*train with DistributedDataParallel"):
        ra.record(model, sgd(model), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_one_process_records_what_it_shards(alone, tmp_path):
    recorded = []
    for name, model in [("whole", tiny()), ("sharded", fully_shard(tiny(), mesh=alone))]:
        optimizer = sgd(model)
        with ra.record(model, optimizer, tmp_path / name) as recorder:
            for update in range(6):
                step(model, optimizer, update)
            recorder.mark(epoch=0)
        recorded.append(tmp_path / name)
    assert_same(*recorded)
    assert ra.open_run(recorded[1]).layers["verified"].all()


def test_a_state_within_a_window_is_refused(alone, tmp_path):
    model = fully_shard(tiny(), mesh=alone)
    with ra.record(model, sgd(model), tmp_path / "run") as recorder:
        with pytest.raises(RecorderError) as caught:
            recorder.state_dict()
        says(str(caught.value), "cannot go on in the middle of a window", "continue there with resume=")


def test_unknown_placements_are_refused(alone, tmp_path):
    model = fully_shard(tiny(), mesh=alone)
    model[1].weight = nn.Parameter(distribute_tensor(torch.randn(8, 12), alone, [Shard(1)]))
    with pytest.raises(RecorderError) as caught:
        ra.record(model, sgd(model), tmp_path / "run")
    says(str(caught.value), "layer '1' cannot be recorded", "Shard(dim=1)", "only rows of dim 0")
    assert not (tmp_path / "run").exists()


class Shifted(nn.Linear):
    """A layer whose adapter gives its effective weight as a tensor."""


def test_effective_weights_that_may_need_other_rows_are_refused(alone, tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "_registered", list(registry._registered))
    ra.adapter("shifted", Shifted)(lambda module: module.weight + 1.0)
    model = fully_shard(nn.Sequential(Shifted(12, 4)), mesh=alone)
    with pytest.raises(RecorderError) as caught:
        ra.record(model, sgd(model), tmp_path / "run")
    says(str(caught.value), "layer '0' cannot be recorded in shards", "adapter 'shifted'", "WeightTransform")


def test_callbacks_refuse_what_all_processes_must_record(alone, tmp_path):
    with pytest.raises(RecorderError) as caught:
        CallbackRecording(tmp_path / "run").require_whole(fully_shard(tiny(), mesh=alone))
    says(str(caught.value), "cannot record a model that fully_shard has sharded", "ra.record")
    CallbackRecording(tmp_path / "run").require_whole(tiny())


def test_a_process_that_does_not_see_the_folder_says_so(tmp_path):
    place = ShardPlace(tmp_path / "run/history/segment-0000", "id", 0, 0)
    with pytest.raises(StoreError) as caught:
        ShardWriter(place, (1, 2))
    says(str(caught.value), "does not see", "segment-0000", "all machines see under the same path")


def test_norms_of_rows_merge_to_those_of_the_layer():
    torch.manual_seed(0)
    weight, momentum, end, *gradients = (torch.randn(5, 6) for _ in range(150))
    whole = Norms(center=True, start=0.0)
    parts = [SharedNorms(center=True, start=0.0) for _ in range(2)]
    rows = [slice(0, 3), slice(3, 5)]
    taken = []
    for norms, own in [(whole, slice(None)), *zip(parts, rows, strict=True)]:
        norms.take(weight[own])
        norms.momentum = float((momentum[own] - momentum[own].mean(1, keepdim=True)).double().norm())
        for gradient in gradients:
            norms.add(norms.along(weight[own], gradient[own], None, 0.1))
        taken.append(norms.take(end[own]))
    assert taken[1] == taken[2] == {}
    assert merged_norms([each.taken for each in parts]) == pytest.approx(taken[0], rel=1e-12)


def test_movement_of_rows_counts_each_check_once():
    first, second = SharedOutside(), SharedOutside()
    for one, two in [((0, 0.0), (2, 0.5)), ((3, 0.25), (2, 0.5)), ((0, 0.0), (0, 0.0))]:
        first.add(Moved(*one))
        second.add(Moved(*two))
    assert first.take() == second.take() == {}
    found = merged_outside([first.taken, second.taken])
    assert found == {"outside_updates": 2, "outside_weights": 5, "outside_step": 0.5}
