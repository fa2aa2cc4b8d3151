"""A recording saved in the middle of a window and resumed in another process's place: bitwise as if never stopped."""

import numpy as np
import pytest
import torch
from safetensors.torch import load as load_safetensors
from safetensors.torch import save as save_safetensors
from torch import nn

import recu_analysis as ra
from recu_analysis.capture.accumulate import CpuAccumulator, DeviceAccumulator
from recu_analysis.errors import InputError
from recu_analysis.nn import BinaryConv2d, BinaryLinear
from recu_analysis.store.verify import verify
from tests.capture.plain_loops import assert_same_windows, loss_of, sgd, step, tiny

UPDATES = 14
ALL = ("path", "zpath", "flip_times", "ema", "gradient-stats")


def saved(model, optimizers, recorder, path):
    parts = [model.state_dict(), [each.state_dict() for each in optimizers], recorder.state_dict()]
    torch.save(parts, path)


def train(path, stops, *, every=None, quantities=ALL, marks=(5, 11), finish="close", several=False):
    """14 updates with marks; at each stop all state goes through a file, more is recorded and lost, and it goes on."""

    def fresh(seed):
        model = tiny(seed)
        groups = (model[1], model[3]) if several else (model,)
        return model, [sgd(each) for each in groups]

    model, optimizers = fresh(0)
    recorder = ra.record(model, optimizers, path, every=every, quantities=quantities)
    file = path.with_suffix(".pt")
    for update in range(UPDATES):
        if update in stops:
            saved(model, optimizers, recorder, file)
            for lost in range(2):
                step(model, optimizers[0], 100 + lost)
            if finish == "mark":
                recorder.mark(epoch=99)
            recorder.close()
            model, optimizers = fresh(1)
            model_state, optimizer_states, state = torch.load(file, weights_only=True)
            model.load_state_dict(model_state)
            for optimizer, each in zip(optimizers, optimizer_states, strict=True):
                optimizer.load_state_dict(each)
            recorder = ra.record(model, optimizers, path, every=every, quantities=quantities, state=state)
        model.zero_grad()
        loss_of(model, update).backward()
        for index, optimizer in enumerate(optimizers):
            if index == 0 or update % 3 == 0:
                optimizer.step()
        if update in marks:
            recorder.mark(epoch=update)
    recorder.close()
    return ra.open_run(path)


@pytest.mark.parametrize("finish", ["close", "mark"])
@pytest.mark.parametrize("every", [None, 4])
@pytest.mark.parametrize("stops", [(8, 9), (6,), (1, 13)])
def test_the_windows_are_bitwise_those_of_a_recording_that_never_stopped(tmp_path, stops, every, finish):
    whole = train(tmp_path / "whole", (), every=every)
    resumed = train(tmp_path / "resumed", stops, every=every, finish=finish)
    assert_same_windows(whole.path, resumed.path)
    assert resumed.metrics[["window", "update", "epoch"]].equals(whole.metrics[["window", "update", "epoch"]])
    assert set(verify(resumed.path)["verdict"]) <= {"whole", "partial", "superseded"}
    assert len(resumed.segments) == 1 + len(stops)


@pytest.mark.parametrize("quantities", [(), ("path", "flip_times"), ("ema",)])
def test_with_other_quantities(tmp_path, quantities):
    whole = train(tmp_path / "whole", (), quantities=quantities)
    assert_same_windows(whole.path, train(tmp_path / "resumed", (3, 8), quantities=quantities).path)


def test_several_optimizers_keep_their_own_counts(tmp_path):
    whole = train(tmp_path / "whole", (), several=True)
    assert_same_windows(whole.path, train(tmp_path / "resumed", (3, 8), several=True).path)
    assert [whole.windows[2][name].summary.updates for name in ("1", "3")] == [6, 2]


def test_wide_layers_and_safetensors(tmp_path):
    for name in ("whole", "resumed"):
        torch.manual_seed(0)
        model = nn.Sequential(BinaryLinear(700, 9))
        optimizer = sgd(model)
        recorder = ra.record(model, optimizer, tmp_path / name)
        for update in range(6):
            if name == "resumed" and update == 3:
                state = load_safetensors(save_safetensors(recorder.state_dict()))
                recorder.close()
                recorder = ra.record(model, optimizer, tmp_path / name, resume=3, state=state)
            generator = torch.Generator().manual_seed(update)
            model[0].weight.grad = torch.randn(9, 700, generator=generator)
            optimizer.step()
        recorder.mark()
        recorder.close()
    assert_same_windows(tmp_path / "whole", tmp_path / "resumed")
    assert (ra.open_run(tmp_path / "whole").windows[1]["0"].flips > 0).any()


@pytest.mark.parametrize("quantities", [("path", "zpath", "flip_times"), (), ("path", "ema")])
@pytest.mark.parametrize("kind", [CpuAccumulator, DeviceAccumulator])
def test_either_kernel_goes_on_from_its_state(kind, quantities):
    generator = torch.Generator().manual_seed(0)
    states = [torch.randn(5, 30, generator=generator) for _ in range(9)]
    whole = kind(states[0], center=True, quantities=quantities)
    for update in range(1, 9):
        if update == 5:
            resumed = kind(states[4], center=True, quantities=quantities)
            resumed.load(whole.state())
        whole.advance(states[update], update)
        if update >= 5:
            resumed.advance(states[update], update)
    taken = resumed.take()
    for name, wanted in whole.take().items():
        np.testing.assert_array_equal(taken[name], wanted)
    assert taken["flipped"].size


def test_taking_the_state_changes_nothing(tmp_path):
    for name in ("a", "b"):
        model = tiny()
        optimizer = sgd(model)
        with ra.record(model, optimizer, tmp_path / name, quantities=ALL) as recorder:
            for update in range(6):
                step(model, optimizer, update)
                if name == "b":
                    state = recorder.state_dict()
                    for tensor in state.values():
                        tensor.zero_()
            recorder.mark()
    assert_same_windows(tmp_path / "a", tmp_path / "b")


def test_refusals_leave_the_run_as_it_was(tmp_path):
    run = tmp_path / "run"
    model = tiny()
    optimizer = sgd(model)
    with ra.record(model, optimizer, run) as recorder:
        step(model, optimizer, 0)
        recorder.mark()
        step(model, optimizer, 1)
        state = recorder.state_dict()
        before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        step(model, optimizer, 2)
        recorder.mark()
    with pytest.raises(InputError, match=r"layer '1'.*state"):
        ra.record(model, optimizer, run, state=state)
    model.load_state_dict(before)
    cases = [
        ({"state": {"a": torch.ones(1)}}, "state= is not a state from Recorder.state_dict"),
        ({"state": state, "resume": 3}, "state.*update 2, not at 3.*resume="),
        ({"state": state | {"path/3": torch.ones(5, 5)}}, "state= does not fit layer '3'"),
        ({"state": {k: v for k, v in state.items() if k != "flips/1"}}, "state= does not fit layer '1'"),
        ({"state": state | {"flipped/1": torch.tensor([10**6])}}, "state= does not fit layer '1'"),
    ]
    for arguments, text in cases:
        with pytest.raises(InputError, match=text):
            ra.record(model, optimizer, run, **arguments)
    with pytest.raises(InputError, match=r"1 optimizers.*2"):
        ra.record(model, [sgd(model[1]), sgd(model[3])], run, state=state)
    other = tmp_path / "other"
    ra.record(model, optimizer, other).close()
    with pytest.raises(InputError, match="state= is not of the run in"):
        ra.record(model, optimizer, other, state=state)
    assert [len(ra.open_run(each).windows) for each in (run, other)] == [3, 1]
    assert [len(ra.open_run(each).segments) for each in (run, other)] == [1, 1]
    with ra.record(model, optimizer, run, state=state) as recorder:
        assert recorder.update == 2
    np.testing.assert_array_equal(ra.open_run(run).windows[-1]["1"].weight, before["1.weight"].numpy())


def test_weights_that_moved_after_the_last_update_are_taken_up_with_the_state(tmp_path):
    def train(path, stop):
        model = tiny()
        optimizer = sgd(model)
        recorder = ra.record(model, optimizer, path)
        for update in range(6):
            step(model, optimizer, update)
            for layer in (model[1], model[3]):
                layer.weight.data.clamp_(-0.2, 0.2)
            if update == 3 and stop:
                state = recorder.state_dict()
                recorder.close()
                recorder = ra.record(model, optimizer, path, state=state)
        recorder.mark(epoch=0)
        recorder.close()

    train(tmp_path / "whole", stop=False)
    train(tmp_path / "stopped", stop=True)
    assert_same_windows(tmp_path / "whole", tmp_path / "stopped")


def test_the_state_of_a_network_in_channels_last_is_contiguous(tmp_path):
    model = nn.Sequential(nn.Conv2d(3, 4, 3), BinaryConv2d(4, 6, 3)).to(memory_format=torch.channels_last)
    optimizer = sgd(model)
    with ra.record(model, optimizer, tmp_path / "run", quantities=(*ALL, "grad"), traces=3) as recorder:
        for seed in range(2):
            torch.manual_seed(seed)
            model(torch.randn(2, 3, 8, 8)).square().mean().backward()
            optimizer.step()
        state = recorder.state_dict()
        assert not model[1].weight.is_contiguous(), "a test of contiguous weights would say nothing"
        assert [name for name, tensor in state.items() if not tensor.is_contiguous()] == []
        loaded = load_safetensors(save_safetensors(state))
    with ra.record(model, optimizer, tmp_path / "run", quantities=(*ALL, "grad"), traces=3, state=loaded) as resumed:
        assert all(torch.equal(tensor, state[name]) for name, tensor in resumed.state_dict().items())
