"""Layers that are frozen, replaced, taken out and moved while they are recorded."""

import numpy as np
import pytest
import torch
from torch import nn

import recu_analysis as ra
from recu_analysis.errors import RecorderError
from recu_analysis.nn import BinaryLinear
from tests.capture.plain_loops import assert_recorded, sgd, step, tiny, weights


def recorded(path, before_update, updates=12):
    """A training with something done before each update; the one window and the weights after every update."""
    model = tiny()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    with ra.record(model, optimizer, path) as recorder:
        history = [weights(model)]
        for update in range(updates):
            before_update(model, optimizer, update)
            step(model, optimizer, update)
            history.append(weights(model))
        recorder.mark()
    return ra.open_run(path).windows[1], history


def test_a_layer_frozen_for_a_while_does_not_move_then(tmp_path):
    def freeze(model, _, update):
        model[1].weight.requires_grad_(not 3 <= update < 8)

    window, history = recorded(tmp_path / "run", freeze)
    assert all((history[3]["1"] == each["1"]).all() for each in history[4:9])
    for layer in ("1", "3"):
        assert_recorded(window[layer], [each[layer] for each in history])


def test_a_weight_without_gradient_counts_updates(tmp_path):
    model = tiny()
    optimizer = sgd(model)
    with ra.record(model, optimizer, tmp_path / "run") as recorder:
        for _ in range(3):
            optimizer.step()
        recorder.mark()
    record = ra.open_run(tmp_path / "run").windows[1]["1"]
    assert record.summary.updates == 3
    assert not record.zpath.any()


def test_a_layer_taken_out_of_the_optimizer_has_no_learning_rate(tmp_path):
    taken = []

    def take_out(model, optimizer, update):
        if update == 4:
            group = optimizer.param_groups[0]
            taken.append(group["params"].pop(0))
        if update == 8:
            optimizer.add_param_group({"params": taken, "lr": 0.25})

    window, history = recorded(tmp_path / "run", take_out)
    assert_recorded(window["1"], [each["1"] for each in history])
    assert window["1"].summary.lr == pytest.approx(4 * 0.5 + 4 * 0.25)
    assert window["3"].summary.lr == pytest.approx(12 * 0.5)


@pytest.mark.parametrize("between", [False, True])
def test_a_weight_replaced_through_data_is_followed(tmp_path, between):
    def replace(model, _, update):
        if update == 5:
            new = torch.randn(8, 12, generator=torch.Generator().manual_seed(1))
            if between:
                model[1].weight.data = new.t().contiguous().t()
            else:
                model[1].weight.data.copy_(new)

    window, history = recorded(tmp_path / "run", replace)
    assert_recorded(window["1"], [each["1"] for each in history])


def test_a_model_that_goes_to_half_precision_is_followed(tmp_path):
    model = tiny()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    with ra.record(model, optimizer, tmp_path / "run") as recorder:
        history = [weights(model)]
        for update in range(6):
            if update == 3:
                model.bfloat16()
            model[1].weight.grad = torch.randn(8, 12, generator=torch.Generator().manual_seed(update)).to(
                model[1].weight.dtype
            )
            optimizer.step()
            history.append({"1": model[1].weight.detach().float().numpy().copy()})
        recorder.mark()
    assert_recorded(ra.open_run(tmp_path / "run").windows[1]["1"], [each["1"] for each in history])


def new_parameter(model):
    model[1].weight = nn.Parameter(torch.randn(8, 12))


def other_shape(model):
    model[1].weight.grad = None
    model[1].weight.data = torch.randn(4, 12)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (new_parameter, r"layer '1'.*replaced.*optimizer"),
        (lambda model: model.to("meta"), r"layer '1'.*replaced"),
        (other_shape, r"layer '1'.*96 weights of float32.*48 of float32"),
        (lambda model: model.double(), r"layer '1'.*96 weights of float32.*96 of float64"),
    ],
)
def test_what_cannot_be_followed_stops_the_recording_and_keeps_what_was_seen(tmp_path, change, text):
    model = tiny()
    optimizer = sgd(model)

    def train():
        with ra.record(model, optimizer, tmp_path / "run") as recorder:
            step(model, optimizer, 0)
            recorder.mark()
            step(model, optimizer, 1)
            optimizer.zero_grad()
            change(model)
            optimizer.step()

    with pytest.raises(RecorderError, match=text):
        train()
    run = ra.open_run(tmp_path / "run")
    assert [(window.last_update, window.partial) for window in run.windows] == [(0, False), (1, False), (2, True)]
    assert [run.windows[2][name].summary.updates for name in ("1", "3")] == [1, 1]


def test_sparse_gradients_are_no_obstacle(tmp_path):
    model = nn.Sequential(BinaryLinear(6, 4))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    with ra.record(model, optimizer, tmp_path / "run", quantities=("path", "grad")) as recorder:
        gradient = torch.zeros(4, 6)
        gradient[1, 2] = -3.0
        model[0].weight.grad = gradient.to_sparse()
        optimizer.step()
        recorder.mark()
    record = ra.open_run(tmp_path / "run").windows[1]["0"]
    np.testing.assert_allclose(record.path, 0.5 * gradient.abs(), rtol=1e-6)
    np.testing.assert_array_equal(record.grad, gradient.abs())
