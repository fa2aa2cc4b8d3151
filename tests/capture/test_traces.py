"""Traces: the values, z and states of single weights equal a plain loop, on every accumulator and over resumptions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import recu_analysis as ra
from recu_analysis.capture.accumulate import CpuAccumulator, DeviceAccumulator
from recu_analysis.capture.effective import EffectiveAccumulator
from recu_analysis.errors import InputError, LayerNotFoundError, NotRecordedError
from recu_analysis.nn import BinaryLinear
from recu_analysis.store.record import merged
from tests.capture.plain_loops import assert_same_windows, sgd, step, tiny, weights
from tests.messages import says


def train(path, updates=12, every=4, traces=5, **options):
    """A short recorded training, its weights after every update, and the random state at its end."""
    model = tiny()
    optimizer = sgd(model)
    history = [weights(model)]
    with ra.record(model, optimizer, path, every=every, traces=traces, **options) as recorder:
        for update in range(updates):
            step(model, optimizer, update)
            history.append(weights(model))
        recorder.mark(epoch=0)
    return ra.open_run(path), history


@pytest.fixture(scope="module")
def traced(tmp_path_factory):
    return train(tmp_path_factory.mktemp("traced") / "run")


def test_every_value_z_and_state_is_that_of_a_plain_loop(traced):
    run, history = traced
    table = ra.traces(run)
    assert len(table) == 2 * 5 * 13
    for (layer, place), rows in table.groupby(["layer", "flat_index"]):
        whole = np.stack([each[layer] for each in history])
        centered = whole.astype(np.float64) - whole.astype(np.float64).mean(axis=2, keepdims=True)
        z = centered / centered.std(axis=2, ddof=1, keepdims=True)
        flat = np.unravel_index(place, whole.shape[1:])
        one = (slice(None), *flat)
        np.testing.assert_array_equal(rows["weight"], whole[one])
        np.testing.assert_allclose(rows["z"], z[one], rtol=1e-6)
        np.testing.assert_array_equal(rows["state"], np.where(centered[one] < 0, -1, 1))
        assert rows["update"].tolist() == list(range(13))
        assert rows["window"].tolist() == [1, *[1] * 4, *[2] * 4, *[3] * 4]
        ranked = np.sort(np.abs(z[0]).ravel())[::-1]
        tail = abs(z[0][flat]) >= ranked[round(0.3 * ranked.size) - 1]
        assert set(rows["group"]) == {"tail" if tail else "core"}


def test_flips_of_a_trace_are_those_that_are_recorded(traced):
    run, _ = traced
    for (layer, place), rows in ra.traces(run).groupby(["layer", "flat_index"]):
        record = merged([run.window(number) for number in (1, 2, 3)], layer)
        flips = rows.loc[rows["flip"], "update"]
        assert record.flips.reshape(-1)[place] == len(flips)
        ends = (flips.iloc[0], flips.iloc[-1]) if len(flips) else (-1, -1)
        assert (record.first_flip.reshape(-1)[place], record.last_flip.reshape(-1)[place]) == ends
    assert ra.traces(run)["flip"].any()


def test_some_windows_begin_where_the_windows_before_end(traced):
    run, _ = traced
    whole, part = ra.traces(run), ra.traces(run, windows="2:3", layers="1")
    expected = whole[(whole["layer"] == "1") & whole["update"].between(4, 8)]
    for column in ("flat_index", "update", "weight", "state"):
        assert part[column].tolist() == expected[column].tolist()
    np.testing.assert_allclose(part["z"], expected["z"], rtol=1e-6)
    assert not part.loc[part["update"] == 4, "flip"].any()


def test_the_training_is_the_same_with_and_without(tmp_path, traced):
    _, history = traced
    _, plain = train(tmp_path / "plain", traces=None)
    for one, other in zip(history, plain, strict=True):
        assert all(np.array_equal(one[name], other[name]) for name in one)


def test_windows_merge_and_thin_by_joining_updates(traced, tmp_path):
    run, _ = traced
    thinned = ra.thin(run, windows=[0, 3], output=tmp_path / "thin")
    assert thinned.window(3)["1"].traces.shape == (12, 5)
    assert set(ra.verify(thinned)["verdict"]) == {"whole"}
    columns = ["layer", "flat_index", "update", "weight", "z", "state", "flip"]
    assert ra.traces(thinned)[columns].equals(ra.traces(run)[columns])


def test_a_resumed_recording_goes_on_with_its_own_weights(tmp_path):
    chosen = {"1": [3, (2, 5)], "3": 2}
    whole, _ = train(tmp_path / "whole", traces=chosen)
    assert {spec.name: len(spec.traced) for spec in whole.header.layers} == {"1": 2, "3": 2}
    assert whole.header.layers[0].traced == (3, 29)
    model = tiny()
    optimizer = sgd(model)
    recorder = ra.record(model, optimizer, tmp_path / "run", every=4, traces=chosen)
    for update in range(6):
        step(model, optimizer, update)
    state = recorder.state_dict()
    saved = {name: tensor.clone() for name, tensor in model.state_dict().items()}, optimizer.state_dict()
    recorder.close()
    again = tiny(seed=3)
    again.load_state_dict(saved[0])
    other = sgd(again)
    other.load_state_dict(saved[1])
    with ra.record(again, other, tmp_path / "run", every=4, traces=7, state=state) as recorder:
        for update in range(6, 12):
            step(again, other, update)
        recorder.mark(epoch=0)
    assert_same_windows(tmp_path / "run", tmp_path / "whole")


@pytest.mark.parametrize("kind", [CpuAccumulator, DeviceAccumulator])
@pytest.mark.parametrize("center", [False, True])
def test_each_accumulator_sees_the_same(kind, center):
    generator = torch.Generator().manual_seed(1)
    first, second = torch.randn(2, 4, 9, generator=generator).unbind()
    movement = kind(first, center=center)
    movement.advance(second, 1)
    chosen = torch.tensor([0, 7, 8, 9, 30, 35])
    value, z, state = movement.look(chosen)
    rows = second.double()
    effective = rows - rows.mean(1, keepdim=True) if center else rows
    assert torch.equal(value, rows.reshape(-1)[chosen])
    torch.testing.assert_close(z, (effective / rows.std(1, keepdim=True)).reshape(-1)[chosen])
    assert torch.equal(state < 0, (effective < 0).reshape(-1)[chosen])


def test_an_explicit_effective_weight_has_its_own_state():
    weight = torch.randn(3, 8)
    for of_latent, of_z in [({"path"}, -1.0), ({"path", "zpath"}, 1.0)]:
        movement = EffectiveAccumulator(weight, lambda: -weight, CpuAccumulator, of_latent)
        value, z, state = movement.look(torch.arange(24))
        assert torch.equal(value, weight.double().reshape(-1))
        assert torch.equal(state < 0, (weight > 0).reshape(-1))
        torch.testing.assert_close(z, (of_z * weight.double() / weight.double().std(1, keepdim=True)).reshape(-1))


def test_the_room_grows_with_the_window(tmp_path, monkeypatch, traced):
    monkeypatch.setattr("recu_analysis.capture.traces.ROOM", 1)
    train(tmp_path / "run")
    assert_same_windows(tmp_path / "run", traced[0].path)


def test_drawn_weights_are_the_same_in_every_run_and_differ_between_layers(tmp_path):
    model = nn.Sequential(BinaryLinear(12, 8), BinaryLinear(12, 8))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    chosen = []
    for name in "ab":
        state = torch.get_rng_state()
        with ra.record(model, optimizer, tmp_path / name, traces=6):
            assert torch.equal(torch.get_rng_state(), state)
        chosen.append([spec.traced for spec in ra.open_run(tmp_path / name).header.layers])
    assert chosen[0] == chosen[1]
    assert chosen[0][0] != chosen[0][1]
    with ra.record(model, optimizer, tmp_path / "all", traces=1000):
        pass
    assert ra.open_run(tmp_path / "all").header.layers[0].traced == tuple(range(96))


@pytest.mark.parametrize(
    ("traces", "kind", "fact"),
    [
        (0, InputError, "at least 1"),
        (True, InputError, "not True"),
        ("16", InputError, "not str '16'"),
        (2.5, InputError, "not float 2.5"),
        ({"nowhere": 3}, LayerNotFoundError, "no recorded layer matches 'nowhere'"),
        ({"1": [96]}, InputError, "of shape 8x12 has no weight 96"),
        ({"1": [-1]}, InputError, "has no weight -1"),
        ({"1": [(8, 0)]}, InputError, r"has no weight \(8, 0\)"),
        ({"1": ["a"]}, InputError, "has no weight 'a'"),
        ({"1": "all"}, InputError, "not str 'all'"),
    ],
)
def test_what_cannot_be_traced_is_refused_before_anything_is_written(tmp_path, traces, kind, fact):
    model = tiny()
    with pytest.raises(kind, match=fact):
        ra.record(model, sgd(model), tmp_path / "run", traces=traces)
    assert not (tmp_path / "run").exists()


def test_a_run_without_traces_says_how_to_record_them(tmp_path):
    run, _ = train(tmp_path / "run", traces=None)
    with pytest.raises(NotRecordedError) as caught:
        ra.traces(run)
    says(str(caught.value), "has no traces of single weights", "record(..., traces=16)")
    some, _ = train(tmp_path / "some", traces={"3": 2})
    with pytest.raises(NotRecordedError, match="of these layers"):
        ra.traces(some, layers="1")
    assert set(ra.traces(some)["layer"]) == {"3"}
