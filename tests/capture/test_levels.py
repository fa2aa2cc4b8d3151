"""Recording of weights with more than two levels: equal to a plain loop, for every quantizer, resumed and thinned."""

import numpy as np
import pytest
import torch
from torch import nn

import recu_analysis as ra
from recu_analysis.capture.adapters import binary_layers
from recu_analysis.capture.level_kernel import group_moments
from recu_analysis.capture.levels import CpuLevels, DeviceLevels
from recu_analysis.capture.steps import steps_of
from recu_analysis.errors import InputError, RecorderError, SignsOnlyError
from recu_analysis.store.record import merged
from recu_analysis.theory.levels import Quantizer
from tests.capture.level_layers import QUANTIZERS, Quantized, plain_levels, plain_movement, sgd, snapshot, tiny, update
from tests.capture.plain_loops import assert_same_windows


def recorded(path, name, windows=(4, 5), dtype=torch.float32, **more):
    """A run with so many updates a window, its layer, and the history of the layer."""
    model = tiny(name, dtype)
    optimizer = sgd(model)
    history = [snapshot(model[0])]
    with ra.record(model, optimizer, path, **more) as recorder:
        for length in windows:
            for _ in range(length):
                update(model, optimizer, len(history))
                history.append(snapshot(model[0]))
            recorder.mark()
    return ra.open_run(path), model[0], history


def assert_levels(record, expected):
    for name in ("flips", "reversals", "first_flip", "last_flip", "direction", "transitions"):
        np.testing.assert_array_equal(getattr(record, name), expected[name], err_msg=name)
    for name in ("weight_flips", "threshold_flips"):
        assert record.summary.more[name] == expected[name], name


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", QUANTIZERS)
def test_a_plain_loop_agrees(tmp_path, name, dtype):
    run, layer, history = recorded(tmp_path / "run", name, dtype=dtype)
    spec = run.header.layers[0]
    assert spec.verified
    assert spec.quantizer == layer.quantizer
    first, second, whole = run.window(1)["0"], run.window(2)["0"], merged(run.windows[1:], "0")
    assert_levels(first, plain_levels(layer, history[:5]))
    assert_levels(second, plain_levels(layer, history[4:], before=history[:5]))
    assert_levels(whole, plain_levels(layer, history))
    moved = plain_movement(layer, history)
    for quantity, expected in moved.items():
        np.testing.assert_allclose(getattr(whole, quantity), expected, rtol=2e-6, atol=1e-12)
    states = layer.states(*history[-1]).numpy()
    np.testing.assert_array_equal(second.states, states)
    np.testing.assert_array_equal(whole.states_end, states)
    np.testing.assert_array_equal(whole.states_start, layer.states(*history[0]).numpy())
    distance = layer.quantizer.distance(*(each.numpy() for each in history[-1]))
    np.testing.assert_allclose(whole.distance_end, distance, rtol=1e-6)
    transitions = whole.transitions
    assert transitions.sum() == whole.updates * spec.weights
    before = [np.unique(layer.states(*each).numpy(), return_counts=True) for each in history[:-1]]
    occupancy = np.zeros(layer.quantizer.count, int)
    for states, counts in before:
        occupancy[(states - layer.quantizer.low).astype(int)] += counts
    np.testing.assert_array_equal(transitions.sum(axis=1), occupancy)
    assert set(ra.verify(tmp_path / "run")["verdict"]) == {"whole"}
    thinned = ra.thin(run, windows=[0, 2], output=tmp_path / "thin")
    assert_levels(thinned.window(2)["0"], plain_levels(layer, history))
    assert set(ra.verify(tmp_path / "thin")["verdict"]) == {"whole"}


@pytest.mark.parametrize("name", ["bitnet", "learned steps", "given zero point"])
def test_it_resumes_to_the_bit(tmp_path, name):
    recorded(tmp_path / "whole", name)
    for at_mark in (True, False):
        model = tiny(name)
        optimizer, path = sgd(model), tmp_path / f"resumed-{at_mark}"
        stop = 4 if at_mark else 6
        with ra.record(model, optimizer, path) as recorder:
            for number in range(1, stop + 1):
                update(model, optimizer, number)
                if number == 4:
                    recorder.mark()
            state = recorder.state_dict()
            saved = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
            saved = torch.load(save(tmp_path / "saved.pt", saved))
        model = tiny(name, seed=1)
        optimizer = sgd(model)
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        given = {"resume": 4} if at_mark else {"state": state}
        with ra.record(model, optimizer, path, **given) as recorder:
            for number in range(stop + 1, 10):
                update(model, optimizer, number)
            recorder.mark()
        assert_same_windows(tmp_path / "whole", path)


def save(path, content):
    torch.save(content, path)
    return path


@pytest.mark.parametrize("name", QUANTIZERS)
def test_torch_operations_agree_with_the_kernel(name):
    quantizer, *held = QUANTIZERS[name]
    layer = Quantized(12, 8, quantizer, *held)
    weight = layer.weight.detach()

    def steps():
        return tuple(each.reshape(-1) for each in layer.steps(weight))

    both = [kind(weight, quantizer, steps) for kind in (CpuLevels, DeviceLevels)]
    generator = torch.Generator().manual_seed(3)
    for number in range(1, 20):
        weight.add_(0.02 * torch.randn(weight.shape, generator=generator))
        if held:
            layer.step.data.mul_(1.01)
        for each in both:
            each.advance(weight, number)
        torch.testing.assert_close(both[0].look(torch.arange(5)), both[1].look(torch.arange(5)))
        assert torch.equal(both[0].flipped_at(number), both[1].flipped_at(number))
        if number == 10:
            states = [each.state() for each in both]
            both = [kind(weight, quantizer, steps) for kind in (CpuLevels, DeviceLevels)]
            for each, state in zip(both, states[::-1], strict=True):
                each.load(state)
    cpu, device = (each.take() for each in both)
    assert cpu.keys() == device.keys()
    for key, value in cpu.items():
        np.testing.assert_allclose(value, device[key], rtol=1e-6 if key in {"path", "zpath"} else 0, err_msg=key)
        assert np.asarray(value).dtype == np.asarray(device[key]).dtype, key
    assert cpu["flips"].sum() > 10
    assert all((each.take()["transitions"] == 0).all() for each in both)


@pytest.mark.parametrize("inverse", [False, True])
@pytest.mark.parametrize("kind", [CpuLevels, DeviceLevels])
def test_a_step_that_becomes_zero(kind, inverse):
    quantizer, weight = Quantizer("uniform", -2, 1, inverse=inverse), torch.tensor([[-0.1, 0.0, 0.1], [-0.4, 0.4, 0.2]])
    step = torch.tensor([0.2, 0.3])
    sums = kind(weight, quantizer, lambda: (step, torch.zeros(2)))
    step[0] = 0.0  # as by the rule maxabs where all weights of a channel are 0
    sums.advance(weight, 1)
    with np.errstate(all="ignore"):
        expected = np.clip(np.round(np.float32([[-0.1, np.nan, 0.1]]) / np.float32(0)), -2, 1)
    assert sums.look(torch.arange(3))[2].tolist() == np.nan_to_num(expected[0], nan=1).tolist() == [-2, 1, 1]
    taken = sums.take()
    assert (taken["weight_flips"], taken["threshold_flips"]) == (0, 3)


def test_frozen_weights_under_a_moving_threshold(tmp_path):
    model = nn.Sequential(Quantized(12, 8, Quantizer("uniform", -2, 1), [[0.1]] * 8))
    layer = model[0]
    optimizer = torch.optim.SGD([layer.weight], lr=0.0)
    with ra.record(model, optimizer, tmp_path / "run") as recorder:
        for _ in range(5):
            model(torch.ones(2, 12)).sum().backward()
            optimizer.step()
            layer.step.data *= 1.3
        recorder.mark()
    record = ra.open_run(tmp_path / "run").window(1)["0"]
    more = record.summary.more
    assert more["threshold_flips"] == record.flips.sum() > 10
    assert more["weight_flips"] == 0
    assert not record.path.any()
    assert not record.zpath.any()


def test_the_deviation_of_groups_of_several_rows():
    generator = np.random.default_rng(0)
    weight = generator.normal(2.0, 1.0, (6, 7)).astype(np.float32)
    weight[:3] += 5 * np.arange(3)[:, None].astype(np.float32)
    mean, inverse = np.empty(6), np.empty(2)
    group_moments(weight, mean, inverse)
    np.testing.assert_allclose(1 / inverse, weight.astype(float).reshape(2, -1).std(axis=1, ddof=1), rtol=1e-12)
    group_moments(np.full((6, 7), 0.1, np.float32), mean, inverse)
    assert inverse.tolist() == [0.0, 0.0]
    single = np.array([[1.0], [2.0], [4.0], [3.0], [3.0], [3.0]])
    group_moments(single, mean, inverse)
    np.testing.assert_allclose(inverse, [1 / single[:3].std(ddof=1), 0.0])
    weight[1, 1] = np.nan
    group_moments(weight, mean, inverse)
    assert np.isnan(inverse).tolist() == [True, False]


@pytest.mark.parametrize("name", ["learned steps", "twn", "bitnet of groups"])
def test_sampled_channels_are_those_of_the_whole_layer(tmp_path, name):
    whole, _, _ = recorded(tmp_path / "whole", name)
    sampled, _, _ = recorded(tmp_path / "sampled", name, channels=0.5)
    every, some = whole.window(2)["0"], sampled.window(2)["0"]
    chosen = some.channels
    for quantity in ("weight", "flips", "reversals", "zpath", "states", "distance", "direction"):
        np.testing.assert_array_equal(getattr(some, quantity), getattr(every, quantity)[chosen], err_msg=quantity)
    assert some.transitions.sum() == every.transitions.sum() // 2


def test_traces_hold_states(tmp_path):
    run, layer, history = recorded(tmp_path / "run", "learned steps", traces={"0": [3, 50]}, windows=(6,))
    record = run.window(1)["0"]
    expected = [layer.states(*each).reshape(-1)[[3, 50]].tolist() for each in history[1:]]
    np.testing.assert_array_equal(record.trace_state, expected)
    assert set(ra.verify(tmp_path / "run")["verdict"]) == {"whole"}


def test_signs_of_such_layers_are_refused(tmp_path):
    run, _, _ = recorded(tmp_path / "run", "bitnet", windows=(2,))
    with pytest.raises(SignsOnlyError, match=r"signs only, and the weights of layer '0' have 3 levels"):
        run.header.layers[0].signs(run.window(1)["0"].weight)


def test_a_forward_pass_with_other_states_ends_the_recording(tmp_path):
    class Other(Quantized):
        def steps(self, weight):
            step, zero = super().steps(weight)
            return 1.5 * step, zero

    model = nn.Sequential(Other(12, 8, Quantizer.bitnet()), nn.BatchNorm1d(8), nn.Linear(8, 3))
    optimizer = sgd(model)
    ra.record(model, optimizer, tmp_path / "run")
    with pytest.raises(RecorderError, match=r"layer '0' does not use the states.*differ in the forward pass"):
        update(model, optimizer, 1)


@pytest.mark.parametrize("name", QUANTIZERS)
def test_a_layer_with_real_weights_is_refused(name, tmp_path):
    class Real(Quantized):
        def forward(self, batch):
            return nn.functional.linear(batch, self.weight)

    model = nn.Sequential(Real(12, 8, *QUANTIZERS[name]), nn.BatchNorm1d(8), nn.Linear(8, 3))
    with pytest.raises(RecorderError, match="does not use the states"):
        ra.record(model, sgd(model), tmp_path / "run", example=torch.randn(4, 12))


def refused(quantizer, *held, parametrized=False):
    layer = Quantized(12, 8, quantizer, *held)
    if parametrized:
        nn.utils.parametrize.register_parametrization(layer, "weight", nn.Identity())
    with pytest.raises(InputError) as error:
        binary_layers(nn.Sequential(layer), ["0"])
    return str(error.value)


def test_what_is_refused(tmp_path):
    assert "scale groups of 5 weights do not divide the 12 weights" in refused(Quantizer.bitnet(5))
    assert "positive number, not 0 (scale group 0)" in refused(Quantizer("ternary", group="tensor"), 0.0)
    assert "positive number, not nan" in refused(Quantizer("ternary", group="tensor"), float("nan"))
    assert "2 steps for 8 scale groups" in refused(Quantizer("ternary"), [0.1, 0.2])
    assert "zero points of a quantizer must be whole" in refused(Quantizer("uniform", 0, 3), 0.1, 0.5)
    assert "is parametrized" in refused(Quantizer.bitnet(), parametrized=True)
    model = tiny("bitnet")
    with pytest.raises(InputError, match=r"layer '0' has one scale for all its weights.*channels="):
        ra.record(model, sgd(model), tmp_path / "run", channels=0.5)
    with pytest.raises(InputError, match="has none; give step="):
        steps_of(Quantizer("ternary"), torch.ones(2, 3))
