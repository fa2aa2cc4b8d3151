"""The linear update of an optimizer, against trainings by PyTorch and plain loops."""

import inspect
import math

import numpy as np
import pytest
import torch

from recu_analysis.errors import InputError
from recu_analysis.theory.inheritance import UpdateRule, over_updates
from tests.messages import says

#: Optimizers whose update is linear in the weight: the class, and its settings.
LINEAR = {
    "plain": (torch.optim.SGD, {}),
    "momentum": (torch.optim.SGD, {"momentum": 0.9}),
    "dampening": (torch.optim.SGD, {"momentum": 0.8, "dampening": 0.3}),
    "dampening without momentum": (torch.optim.SGD, {"dampening": 0.3}),
    "Nesterov": (torch.optim.SGD, {"momentum": 0.9, "nesterov": True}),
    "maximize": (torch.optim.SGD, {"momentum": 0.9, "maximize": True}),
    "AdamW": (torch.optim.AdamW, {}),
}
if "decoupled_weight_decay" in inspect.signature(torch.optim.Adam).parameters:  # not in the oldest PyTorch that we take
    LINEAR["Adam with decoupled decay"] = (torch.optim.Adam, {"decoupled_weight_decay": True})
#: Learning rate and weight decay of each update.
RATES = [(0.1 * (1.0 + math.cos(0.3 * update)), 0.02 + 0.01 * (update % 3)) for update in range(12)]


def trained(kind, settings, start, gradients, optimizer=None):
    """The weight after updates with these gradients, and its optimizer; a None in place of a gradient is none."""
    weight = torch.nn.Parameter(start.clone()) if optimizer is None else optimizer.param_groups[0]["params"][0]
    optimizer = optimizer or kind([weight], lr=1.0, **settings)
    for gradient, (lr, decay) in zip(gradients, RATES, strict=False):
        optimizer.param_groups[0].update(lr=lr, weight_decay=decay)
        weight.grad = None if gradient is None else gradient.clone()
        optimizer.step()
    return weight.detach().clone(), optimizer


def momentum_of(optimizer):
    weight = optimizer.param_groups[0]["params"][0]
    found = optimizer.state[weight].get("momentum_buffer")
    return torch.zeros_like(weight) if found is None else found.clone()


def zeroed(optimizer):
    """Set the weight and its momentum to 0; the state of AdamW stays, because its steps are earned."""
    weight = optimizer.param_groups[0]["params"][0]
    weight.data.zero_()
    if (momentum := optimizer.state[weight].get("momentum_buffer")) is not None:
        momentum.zero_()
    return optimizer


@pytest.mark.parametrize("name", LINEAR)
@pytest.mark.parametrize("before", [0, 5])
def test_a_window_ends_where_its_map_and_its_gradients_lead(name, before):
    """w_end = a w_start + b m_start + E, with E from a second training that begins at w = m = 0."""
    kind, settings = LINEAR[name]
    generator = torch.Generator().manual_seed(3)
    gradients = [torch.randn(40, dtype=torch.float64, generator=generator) for _ in range(before + len(RATES))]
    gradients[before + 4] = None
    start = torch.randn(40, dtype=torch.float64, generator=generator)
    _, optimizer = trained(kind, settings, start, gradients[:before])
    weight = optimizer.param_groups[0]["params"][0].detach().clone()
    momentum = momentum_of(optimizer)
    end, _ = trained(kind, settings, start, gradients[before:], optimizer)
    _, again = trained(kind, settings, start, gradients[:before])
    earned, _ = trained(kind, settings, start, gradients[before:], zeroed(again))
    whole, first = np.eye(2), before == 0
    for gradient, (lr, decay) in zip(gradients[before:], RATES, strict=True):
        if gradient is not None:
            rule = UpdateRule.of(kind.__name__, {**settings, "weight_decay": decay})
            whole, first = rule.inherited(lr, decay, first=first) @ whole, False
    a, b = whole[0]
    torch.testing.assert_close(end, a * weight + b * momentum + earned, rtol=0.0, atol=1e-12)
    assert not torch.allclose(end, earned, atol=1e-3), "nothing was inherited"


def test_a_momentum_that_begins_later_has_no_past():
    """While momentum is 0, SGD keeps none; when it is set, the first update with it does not add an older one."""
    generator = torch.Generator().manual_seed(4)
    gradients = [torch.randn(9, dtype=torch.float64, generator=generator) for _ in range(6)]
    start = torch.randn(9, dtype=torch.float64, generator=generator)
    ends, whole = [], np.eye(2)
    for begin in (start, torch.zeros_like(start)):
        _, optimizer = trained(torch.optim.SGD, {}, begin, gradients[:3])
        optimizer.param_groups[0]["momentum"] = 0.9
        ends.append(trained(torch.optim.SGD, {}, begin, gradients[3:], optimizer)[0])
    for update, (lr, decay) in enumerate([*RATES[:3], *RATES[:3]]):
        rule = UpdateRule.of("SGD", {"momentum": 0.0 if update < 3 else 0.9})
        whole = rule.inherited(lr, decay, first=update <= 3) @ whole
    torch.testing.assert_close(ends[0], whole[0, 0] * start + ends[1], rtol=0.0, atol=1e-12)


@pytest.mark.parametrize("name", LINEAR)
def test_responses_equal_a_plain_loop(name):
    """R and S are sums over the response to one gradient, at learning rate 1 and without decay."""
    kind, settings = LINEAR[name]
    rule = UpdateRule.of(kind.__name__, {**settings, "weight_decay": 0.0})
    momentum, moved = 0.0, []
    for update in range(600):
        gradient = 1.0 if update == 0 else 0.0
        momentum = rule.momentum * momentum + rule.intake * gradient
        moved.append(rule.direct * gradient + rule.through * momentum)
    assert rule.response == pytest.approx(sum(moved), rel=1e-12)
    assert rule.square_response == pytest.approx(sum(each**2 for each in moved), rel=1e-12)
    state = np.zeros(2)
    for update in range(3):
        state = rule.matrix(0.1, 0.0) @ state + (rule.gain(0.1) if update == 0 else 0.0)
        assert state[0] == pytest.approx(-0.1 * sum(moved[: update + 1]), rel=1e-12)


def test_responses_are_those_of_the_table():
    mu, d = 0.9, 0.25
    cases = [
        ({"momentum": mu, "dampening": d}, (1 - d) / (1 - mu), (1 - d) / (1 + mu)),
        ({"momentum": mu, "nesterov": True}, 1 / (1 - mu), (1 - mu) * (1 + mu) ** 2 + mu**4 / (1 + mu)),
        ({}, 1.0, 1.0),
    ]
    for settings, response, ratio in cases:
        rule = UpdateRule.of("torch.optim.SGD", settings)
        assert rule.response == pytest.approx(response)
        assert rule.square_response / rule.response == pytest.approx(ratio)
        assert rule.decay_time(0.1, 0.01) == pytest.approx(0.001 * response)
    adam = UpdateRule.of("AdamW", {"betas": (0.8, 0.99)})
    assert adam.square_response / adam.response == pytest.approx(0.2 / 1.8)
    assert adam.decay_time(0.1, 0.01) == pytest.approx(0.001)
    endless = UpdateRule.of("SGD", {"momentum": 1.0})
    assert endless.response == endless.square_response == endless.decay_time(0.1, 0.1) == math.inf
    assert endless.decay_time(0.1, 0.0) == 0.0


def test_rules_go_through_a_list():
    for kind, settings in LINEAR.values():
        rule = UpdateRule.of(kind.__name__, settings)
        assert UpdateRule.from_list(rule.to_list()) == rule
    for wrong in ([1.0] * 4, [1.0, 1.0, 1.0, 1.0, math.nan], ["a"] * 5):
        with pytest.raises(InputError, match="five numbers"):
            UpdateRule.from_list(wrong)


@pytest.mark.parametrize(
    ("name", "settings", "facts"),
    [
        ("Adam", {"weight_decay": 0.1}, ("SGD", "AdamW", "Adam with weight decay")),
        ("NAdam", {"weight_decay": 0.1, "decoupled_weight_decay": True}, ("not for 'NAdam'",)),
        ("LBFGS", {}, ("not for 'LBFGS'",)),
    ],
)
def test_other_optimizers_are_refused_by_name(name, settings, facts):
    with pytest.raises(InputError) as caught:
        UpdateRule.of(name, settings)
    says(str(caught.value), *facts)


def test_equal_updates_at_once():
    one = UpdateRule.of("SGD", {"momentum": 0.5}).matrix(0.1, 0.1)
    np.testing.assert_allclose(over_updates(one, 3), one @ one @ one)
