"""One update a step whatever an optimizer's classes do, and what moves the weights without one: counted or refused."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import recu_analysis as ra
from recu_analysis.errors import InputError, RecorderError, RecordingWarning
from recu_analysis.store.notes import notes, outside_text
from recu_analysis.theory.standardize import WeightTransform
from tests.capture.plain_loops import assert_recorded, loss_of, sgd, step, tiny, weights
from tests.messages import says


class Shrinking(torch.optim.Adam):
    """Its step calls that of its parent, whose hooks are called too once there was a plain instance."""

    def step(self, closure=None):
        super().step(closure)
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.data.mul_(0.99)


class Deeper(Shrinking):
    def step(self, closure=None):
        if getattr(self, "fails", False):
            super().step(closure)
            raise FloatingPointError("in the middle")
        return super().step(closure)


def outside(window, layer):
    more = window[layer].summary.more
    return more["outside_updates"], more["outside_weights"], more["outside_step"]


def recorded(path, model, optimizer, train, updates=6, **options):
    """The run of a training whose `train` makes each update, and the weights after every one."""
    history = [weights(model)]
    with ra.record(model, optimizer, path, **options) as recorder:
        for update in range(updates):
            train(update)
            history.append(weights(model))
        recorder.mark(epoch=0)
    return ra.open_run(path), history


@pytest.mark.parametrize("kind", [Shrinking, Deeper])
@pytest.mark.parametrize("hooked", [False, True])
def test_a_step_within_a_step_is_one_update(tmp_path, kind, hooked):
    model = tiny()
    if hooked:
        torch.optim.Adam(model.parameters())
        Shrinking(model.parameters())
    optimizer = kind(model.parameters(), lr=0.1, weight_decay=0.5)
    run, history = recorded(
        tmp_path / "run", model, optimizer, lambda update: step(model, optimizer, update), quantities=["grad"]
    )
    for layer in ("1", "3"):
        assert_recorded(run.windows[1][layer], [each[layer] for each in history])
        assert run.windows[1][layer].summary.lr == pytest.approx(0.6)
        assert outside(run.windows[1], layer) == (0, 0, 0.0)
    assert notes(run) == []


def test_gradients_of_a_nested_step_count_once(tmp_path):
    model = tiny()
    torch.optim.Adam(model.parameters())
    optimizer = Deeper(model.parameters(), lr=0.1)
    expected = np.zeros((8, 12))

    def train(update):
        optimizer.zero_grad()
        loss_of(model, update).backward()
        expected.__iadd__(model[1].weight.grad.abs().numpy())
        optimizer.step()

    run, _ = recorded(tmp_path / "run", model, optimizer, train, quantities=["grad"])
    np.testing.assert_allclose(run.windows[1]["1"].grad, expected, rtol=1e-6)


def test_a_step_that_raises_in_the_middle_is_no_update_and_the_next_one_counts(tmp_path):
    model = tiny()
    torch.optim.Adam(model.parameters())
    Shrinking(model.parameters())
    optimizer = Deeper(model.parameters(), lr=0.1)

    def train(update):
        if update == 2:
            optimizer.fails = True
            with pytest.raises(FloatingPointError):
                step(model, optimizer, 99)
            optimizer.fails = False
        step(model, optimizer, update)

    run, history = recorded(tmp_path / "run", model, optimizer, train)
    assert_recorded(run.windows[1]["1"], [each["1"] for each in history])
    times, count, largest = outside(run.windows[1], "1")
    assert (times, count) == (1, 96)
    assert 0.0 < largest < 0.2


class Slow:
    """A wrapper that is no optimizer of torch: a step of its own, after every other one of what it wraps."""

    def __init__(self, optimizer, name="optimizer"):
        setattr(self, name, optimizer)
        self.param_groups = optimizer.param_groups
        self.inner = optimizer

    def step(self):
        self.inner.step()


class Unready(torch.optim.Optimizer):
    """A wrapper that is one by its class only, as accelerate's is."""

    def __init__(self, optimizer, name):
        setattr(self, name, optimizer)
        self.__dict__.setdefault("kept", optimizer)

    def step(self, closure=None):
        self.kept.step()

    @property
    def param_groups(self):
        return self.kept.param_groups


@pytest.mark.parametrize(
    "wrap",
    [
        Slow,
        lambda inner: Slow(inner, "base_optimizer"),
        lambda inner: Unready(inner, "optimizer"),
        lambda inner: Unready(Slow(inner), "_optimizer"),
        lambda inner: [Slow(inner)],
    ],
)
def test_wrappers_without_hooks_are_unwrapped(tmp_path, wrap):
    model = tiny()
    inner = sgd(model)
    wrapped = wrap(inner)
    outer = wrapped[0] if isinstance(wrapped, list) else wrapped

    def train(update):
        outer_zero = inner.zero_grad
        outer_zero()
        loss_of(model, update).backward()
        outer.step() if not isinstance(getattr(outer, "kept", None), Slow) else outer.kept.step()

    run, history = recorded(tmp_path / "run", model, wrapped, train)
    assert_recorded(run.windows[1]["1"], [each["1"] for each in history])


def test_a_container_of_optimizers_is_unwrapped(tmp_path):
    model = tiny()
    both = [torch.optim.SGD(model[1].parameters(), lr=0.5), torch.optim.SGD(model[3].parameters(), lr=0.1)]

    class Container:
        optimizers = both

        def step(self):
            for each in self.optimizers:
                each.step()

    def train(update):
        model.zero_grad()
        loss_of(model, update).backward()
        Container().step()

    run, history = recorded(tmp_path / "run", model, Container(), train)
    for layer in ("1", "3"):
        assert_recorded(run.windows[1][layer], [each[layer] for each in history])


def test_an_optimizer_that_tells_nobody_of_its_steps_is_refused(tmp_path):
    model = tiny()
    with pytest.raises(RecorderError, match=r"Unready.*optimizer"):
        ra.record(model, Unready(sgd(model), "something"), tmp_path / "run")
    loop = Slow(sgd(model))
    loop.optimizer = loop
    with pytest.raises(RecorderError, match="the steps of Slow cannot be seen"):
        ra.record(model, loop, tmp_path / "run")
    with pytest.raises(InputError, match=r"optimizer.*not str"):
        ra.record(model, "sgd", tmp_path / "run")
    assert not (tmp_path / "run").exists()


class TwoSteps(torch.optim.Optimizer):
    """Moves weights by methods of its own, as SAM does: torch tells nobody."""

    def __init__(self, parameters):
        super().__init__(parameters, {"lr": 0.1})

    @torch.no_grad()
    def climb(self):
        for parameter in self.param_groups[0]["params"]:
            parameter.add_(parameter.grad, alpha=0.1)


def unseen_training(model, optimizer, path, move, marks=1):
    with ra.record(model, optimizer, path) as recorder:
        for update in range(3):
            model.zero_grad()
            loss_of(model, update).backward()
            move()
        for _ in range(marks):
            recorder.mark(epoch=0)


@pytest.mark.parametrize("marks", [0, 1])
def test_weights_that_move_without_any_update_are_an_error(tmp_path, marks):
    model = tiny()
    optimizer = TwoSteps(model.parameters())
    with pytest.raises(RecorderError, match=r"96 weights of layer '1'.*TwoSteps.step\(\).*pass the optimizer"):
        unseen_training(model, optimizer, tmp_path / "run", optimizer.climb, marks)
    problems = ra.open_run(tmp_path / "run").problems
    assert len(problems) == 1
    says(problems[0], "96 weights", "layer '1'")


def test_the_error_names_the_optimizer_that_makes_the_steps(tmp_path):
    model = tiny()
    given, other = sgd(model), torch.optim.Adagrad(model.parameters())
    with pytest.raises(RecorderError, match=r"SGD.step\(\).*Adagrad"):
        unseen_training(model, given, tmp_path / "other", other.step)
    holder = TwoSteps(model.parameters())
    holder.base = sgd(model)
    with pytest.raises(RecorderError, match=r"\.base"):
        unseen_training(model, holder, tmp_path / "held", holder.climb)


def test_windows_before_are_kept_where_the_optimizer_is_exchanged(tmp_path):
    model = tiny()
    first, second = sgd(model), torch.optim.Adam(model.parameters())

    def train():
        with ra.record(model, first, tmp_path / "run") as recorder:
            step(model, first, 0)
            recorder.mark(epoch=0)
            step(model, second, 1)
            recorder.mark(epoch=1)

    with pytest.raises(RecorderError, match="Adam updates them"):
        train()
    run = ra.open_run(tmp_path / "run")
    assert [window.last_update for window in run.windows] == [0, 1]
    assert not run.problems


def test_updates_in_which_nothing_moves_are_no_error(tmp_path):
    model = tiny().bfloat16()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0, weight_decay=0.1)
    with ra.record(model, optimizer, tmp_path / "run", layers=["3"]) as recorder:
        recorder.mark(epoch=-1)
        optimizer.step()
        recorder.mark(epoch=0)
        recorder.mark(test=1.0)
    assert [window.updates for window in ra.open_run(tmp_path / "run").windows] == [0, 1]


@pytest.mark.parametrize("where", ["loop", "forward"])
def test_clamps_outside_updates_are_counted_and_told(tmp_path, where):
    model = tiny()
    optimizer = sgd(model)
    bound = 0.2

    def clamp(*_):
        for layer in (model[1], model[3]):
            layer.weight.data.clamp_(-bound, bound)

    if where == "forward":
        model.register_forward_pre_hook(clamp)
    expected = {}
    with ra.record(model, optimizer, tmp_path / "run") as recorder:
        history = [weights(model)]
        for epoch in range(2):
            for update in range(3):
                step(model, optimizer, 3 * epoch + update)
                history.append(weights(model))
                if where == "loop":
                    clamp()
            recorder.mark(epoch=epoch)
            after = np.abs(history[-1]["1"])
            expected[epoch] = (int((after > bound).sum()), float((after - bound).max()))
    run = ra.open_run(tmp_path / "run")
    # In the loop the window sees what follows its last update, in the forward pass what precedes its first one.
    shift = 0 if where == "loop" else 1
    for epoch in range(2 - shift):
        times, count, largest = outside(run.windows[1 + epoch + shift], "1")
        assert (times, count) == (1, expected[epoch][0])
        assert largest == pytest.approx(expected[epoch][1], rel=1e-5)
    assert_recorded(run.windows[1]["1"], [each["1"] for each in history[:4]])
    (note,) = notes(run)
    assert note.startswith("weights moved outside updates in 2 of 2 layers, most in '1':")
    assert outside_text(run) == note
    layers = tuple(replace(spec, z="") for spec in run.header.layers)
    undefined = replace(run, header=replace(run.header, layers=layers))
    assert len(notes(undefined)) == 2
    assert outside_text(undefined) == note, "what is said of z is no movement"


def test_an_adapter_may_say_that_its_layer_moves_its_weights(tmp_path):
    class Clipped(nn.Linear):
        def forward(self, x):
            self.weight.data.clamp_(-0.1, 0.1)
            return nn.functional.linear(x, self.weight + (self.weight.sign() - self.weight).detach())

    @ra.adapter("clipped", Clipped, in_place=True)
    def _clipped(module):
        return WeightTransform()

    model = nn.Sequential(nn.Flatten(), Clipped(12, 3))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    with ra.record(model, optimizer, tmp_path / "run") as recorder:
        loss_of(model, 0)
        recorder.mark(epoch=-1)  # clamped before the first update
        for epoch in range(2):
            step(model, optimizer, epoch)
            recorder.mark(epoch=epoch)
    run = ra.open_run(tmp_path / "run")
    assert outside(run.windows[1], "1")[0] == 1
    assert run.header.layers[0].in_place
    assert notes(run) == []


def test_a_state_loaded_after_the_last_mark_is_no_error_and_no_window(tmp_path):
    model = tiny()
    optimizer = sgd(model)
    best = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with ra.record(model, optimizer, tmp_path / "run") as recorder:
        step(model, optimizer, 0)
        recorder.mark(epoch=0)
        model.load_state_dict(best)
        recorder.mark(test=90.0)
        step(model, optimizer, 1)
        recorder.mark(epoch=1)
        model.load_state_dict(best)
    run = ra.open_run(tmp_path / "run")
    assert [window.updates for window in run.windows] == [0, 1, 1]
    assert [outside(window, "1")[:2] for window in run.windows] == [(0, 0), (0, 0), (1, 96)]
    assert run.metrics["test"].dropna().tolist() == [90.0]


def test_what_moves_after_the_last_mark_is_told_and_ends_no_training(tmp_path):
    model = tiny()
    optimizer = sgd(model)
    recorder = ra.record(model, optimizer, tmp_path / "run")
    step(model, optimizer, 0)
    recorder.mark(epoch=0)
    model[3].weight.data.clamp_(-0.1, 0.1)
    with pytest.warns(RecordingWarning, match=r"weights.*layer '3'.*update"):
        recorder.close()
    assert [window.updates for window in ra.open_run(tmp_path / "run").windows] == [0, 1]


def test_weights_taken_in_for_a_validation_leave_the_record_alone(tmp_path):
    model = tiny()
    optimizer = sgd(model)
    history = [weights(model)]
    with ra.record(model, optimizer, tmp_path / "run") as recorder:
        for update in range(4):
            step(model, optimizer, update)
            history.append(weights(model))
            if update == 1:
                kept = {name: tensor.clone() for name, tensor in model.state_dict().items()}
                for parameter in model.parameters():
                    parameter.data.mul_(0.5)
                recorder.mark(epoch=0)
                model.load_state_dict(kept)
        recorder.mark(epoch=1)
    run = ra.open_run(tmp_path / "run")
    assert_recorded(run.windows[1]["1"], [each["1"] for each in history[:3]])
    assert_recorded(run.windows[2]["1"], [each["1"] for each in history[2:]], first_update=3)
    assert outside(run.windows[1], "1")[:2] == (1, 96)
    assert outside(run.windows[2], "1") == (0, 0, 0.0)


def test_an_optimizer_without_learning_rate_has_none_and_momentum_one_without_decay_no_decay_time(tmp_path):
    class Threshold(torch.optim.Optimizer):
        def __init__(self, parameters):
            super().__init__(parameters, {"gamma": 0.1})

        @torch.no_grad()
        def step(self, closure=None):
            for parameter in self.param_groups[0]["params"]:
                parameter.sub_(0.1 * parameter.grad.sign())

    model = tiny()
    run, _ = recorded(
        tmp_path / "bare", model, (bare := Threshold(model.parameters())), lambda update: step(model, bare, update)
    )
    summary = run.windows[1]["1"].summary
    assert np.isnan(summary.lr)
    assert (summary.lr_decay, summary.decay_time) == (0.0, 0.0)
    assert "lr" not in run.metrics
    model = tiny()
    full = torch.optim.SGD(model.parameters(), lr=0.1, momentum=1.0)
    run, _ = recorded(tmp_path / "full", model, full, lambda update: step(model, full, update))
    assert run.windows[1]["1"].summary.decay_time == 0.0
    full = torch.optim.SGD(model.parameters(), lr=0.1, momentum=1.0, weight_decay=0.1)
    run, _ = recorded(tmp_path / "shrinking", model, full, lambda update: step(model, full, update))
    assert np.isnan(run.windows[1]["1"].summary.decay_time) or run.windows[1]["1"].summary.decay_time == np.inf


def test_a_training_that_clamps_is_resumed_at_a_mark_as_if_it_had_not_stopped(tmp_path):
    def train(path, stop):
        model = tiny()
        optimizer = sgd(model)
        recorder = ra.record(model, optimizer, path)
        for update in range(6):
            step(model, optimizer, update)
            model[1].weight.data.clamp_(-0.2, 0.2)
            if update == 2:
                recorder.mark(epoch=0)
            if update == 2 and stop:
                recorder.close()
                recorder = ra.record(model, optimizer, path, resume=3)
        recorder.mark(epoch=1)
        recorder.close()
        return ra.open_run(path)

    whole, stopped = train(tmp_path / "whole", stop=False), train(tmp_path / "stopped", stop=True)
    assert not stopped.problems
    assert not stopped.gaps
    for first, second in zip(whole.windows, stopped.windows, strict=True):
        assert first.header.layers == second.header.layers
        assert first.header.digests == second.header.digests


def test_a_clamp_after_a_window_that_closed_by_itself_is_no_error(tmp_path):
    model = tiny()
    optimizer = sgd(model)
    with ra.record(model, optimizer, tmp_path / "run", every=3) as recorder:
        for epoch in range(2):
            for update in range(3):
                step(model, optimizer, 3 * epoch + update)
                model[1].weight.data.clamp_(-0.2, 0.2)
            recorder.mark(epoch=epoch)
    assert ra.open_run(tmp_path / "run").metrics["window"].tolist() == [1, 2]


def test_an_optimizer_within_the_one_that_was_given_is_no_other(tmp_path):
    class Outer(torch.optim.Optimizer):
        def __init__(self, parameters):
            super().__init__(parameters, {"lr": 0.1})
            self.inner = torch.optim.SGD(self.param_groups, lr=0.1)

        def step(self, closure=None):
            self.inner.step()

    model = tiny()
    optimizer = Outer(model.parameters())
    recorder = ra.record(model, optimizer, tmp_path / "run")
    step(model, optimizer, 0)
    recorder.mark(epoch=0)
    model[1].weight.data.clamp_(-0.1, 0.1)
    with pytest.warns(RecordingWarning, match="since the last recorded update"):
        recorder.close()


def test_a_loaded_state_is_remembered_by_a_state_of_the_recording(tmp_path):
    model = tiny()
    optimizer = sgd(model)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with ra.record(model, optimizer, tmp_path / "run") as recorder:
        step(model, optimizer, 0)
        recorder.mark(epoch=0)
        model.load_state_dict(before)
        state = recorder.state_dict()
    with ra.record(model, optimizer, tmp_path / "run", state=state) as recorder:
        recorder.mark(test=1.0)
        step(model, optimizer, 1)
        recorder.mark(epoch=1)
    assert [window.updates for window in ra.open_run(tmp_path / "run").windows] == [0, 1, 1]


@pytest.mark.parametrize("name", ["every", "resume"])
def test_numbers_of_updates_may_be_of_any_kind_and_no_truth_values(tmp_path, name):
    model = tiny()
    optimizer = sgd(model)
    with ra.record(model, optimizer, tmp_path / "run") as recorder:
        step(model, optimizer, 0)
        recorder.mark(epoch=0)
    with pytest.raises(InputError, match=f"{name} must be"):
        ra.record(model, optimizer, tmp_path / ("run" if name == "resume" else "new"), **{name: True})
    with ra.record(model, optimizer, tmp_path / "run", **({"resume": 1} | {name: np.int64(1)})):
        step(model, optimizer, 1)
    assert not ra.open_run(tmp_path / "run").problems
