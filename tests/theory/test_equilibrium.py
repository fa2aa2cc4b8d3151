"""Forecasts of movement, against simulated trainings on gradients without a signal."""

import math

import numpy as np
import pytest

from recu_analysis.theory import equilibrium
from recu_analysis.theory.inheritance import UpdateRule
from recu_analysis.theory.noise import Rates

RULES = {
    "plain": UpdateRule.of("SGD", {}),
    "momentum": UpdateRule.of("SGD", {"momentum": 0.9}),
    "dampening": UpdateRule.of("SGD", {"momentum": 0.8, "dampening": 0.5}),
    "Nesterov": UpdateRule.of("SGD", {"momentum": 0.9, "nesterov": True}),
    "AdamW": UpdateRule.of("AdamW", {}),
}


def simulated(rule, lr, decay, start, updates, pull=0.0):
    """Norm and relative step of each update; gradients are noise at right angles to w, of size 1 / |w|, plus pull w."""
    generator = np.random.default_rng(1)
    w = generator.normal(size=4000)
    state = np.stack([w * start / np.linalg.norm(w), np.zeros(w.size)])
    norms, steps = [start], []
    for update in range(updates):
        w = state[0]
        noise = generator.normal(size=w.size)
        noise -= (noise @ w) / (w @ w) * w
        scale = 1.0 if rule.decoupled else math.sqrt(w @ w)  # Adam's gradients have one scale
        after = rule.matrix(lr, decay, first=update == 0) @ state + np.outer(rule.gain(lr), noise / scale + pull * w)
        steps.append(math.sqrt(((after[0] - w) ** 2).sum() / (w @ w)))
        state = after
        norms.append(math.sqrt(state[0] @ state[0]))
    return np.array(norms), np.array(steps)


@pytest.mark.parametrize("name", RULES)
def test_the_step_at_equilibrium_is_the_simulated_one(name):
    rule, lr, decay = RULES[name], 0.05, 0.02
    if rule.response > 5.0:
        lr /= 5.0
    _, steps = simulated(rule, lr, decay, 5.0, 6000)
    assert equilibrium.relative_step(rule, lr, decay) == pytest.approx(steps[-2000:].mean(), rel=0.02)


def test_gradients_along_the_weights_act_like_decay():
    rule, lr, decay, pull = RULES["momentum"], 0.01, 0.02, 0.015
    _, steps = simulated(rule, lr, decay, 5.0, 6000, pull)
    assert equilibrium.relative_step(rule, lr, decay, pull) == pytest.approx(steps[-2000:].mean(), rel=0.02)
    assert math.isnan(equilibrium.relative_step(rule, lr, decay, -0.03))
    assert equilibrium.relative_step(rule, lr, 0.0) == 0.0


@pytest.mark.parametrize("name", ["plain", "momentum", "dampening", "Nesterov"])
@pytest.mark.parametrize("start", [3.0, 12.0])
def test_the_step_out_of_equilibrium_follows_from_the_norms(name, start):
    rule, decay = RULES[name], 0.02
    lr = 0.05 / rule.response
    norms, steps = simulated(rule, lr, decay, start, 600)
    forecast = equilibrium.steps_between([Rates(rule, lr, decay, 500)], norms[100], norms[600])
    assert forecast == pytest.approx(steps[100:600].mean(), rel=0.03)


@pytest.mark.parametrize(("name", "start"), [("momentum", 0.5), ("Nesterov", 2.0), ("AdamW", 2.0)])
def test_the_steps_ahead_are_those_of_a_training_whose_rate_falls(name, start):
    """Two spans, the second at a third of the rate. Noise of squared size 4000 gives the norm in equilibrium."""
    rule, decay = RULES[name], 0.02
    lr = 0.05 / rule.response
    settled = (lr * rule.response * 2000.0 / decay) ** (0.5 if rule.decoupled else 0.25)
    norms, steps = simulated(rule, lr, decay, start * settled, 800)
    first, after = equilibrium.steps_ahead(rule, lr, decay, lr, 400, start)
    assert first == pytest.approx(steps[:400].mean(), rel=0.06)
    assert after == pytest.approx(norms[400] / settled, rel=0.04)
    # The gradients keep their size when the rate falls.
    slow = simulated(rule, lr / 3.0, decay, norms[400], 400)
    second, end = equilibrium.steps_ahead(rule, lr, decay, lr / 3.0, 400, norms[400] / settled)
    assert second == pytest.approx(slow[1][50:].mean(), rel=0.06)
    assert end == pytest.approx(slow[0][-1] / settled, rel=0.04)


def test_the_step_under_a_learning_rate_that_changes_is_that_of_a_plain_loop():
    rule, decay, before, after = RULES["momentum"], 2e-3, 20.0, 18.0
    rates = [Rates(rule, lr, decay, updates) for lr, updates in ((0.05, 400), (0.02, 300), (0.0, 50), (0.01, 300))]
    square, unit = before**4, 0.0  # (N^2)' = -4 kappa N^2 + 2 lr^2 c, for c = 0 and for what c = 1 adds
    path = []
    for each in rates:
        left = math.exp(-4.0 * each.lr * decay * rule.response)
        for _ in range(each.updates):
            square, unit = square * left, unit * left + 2.0 * each.lr**2
            path.append((each.lr, square, unit))
    c = (after**4 - square) / unit
    steps = [math.sqrt(rule.square_response * c / (start + c * more)) * lr / rule.response for lr, start, more in path]
    assert equilibrium.steps_between(rates, before, after) == pytest.approx(np.mean(steps), rel=1e-3)


def test_where_the_step_is_not_known():
    assert np.isnan(equilibrium.steps_ahead(RULES["momentum"], 0.1, 0.0, 0.1, 9, 1.0)).all()
    rule = RULES["momentum"]
    left = math.exp(-0.02 * 0.1 * 100)  # decay alone, at kappa = 0.02 x 0.1
    for before, after, updates, of in ((1.0, left, 100, rule), (1.0, 1.0, 0, rule), (0.0, 1.0, 9, rule)):
        assert math.isnan(equilibrium.steps_between([Rates(of, 0.01, 0.02, updates)], before, after))
    assert math.isnan(equilibrium.steps_between([Rates(RULES["AdamW"], 0.01, 0.02, 9)], 1.0, 1.0))
    without = equilibrium.steps_between([Rates(rule, 0.01, 0.0, 100)], 1.0, 1.1)
    assert 0.0 < without < 1.0


def test_mobility_and_flips_of_normal_steps():
    steps = 0.02 * np.random.default_rng(0).normal(size=400_000)
    z = np.random.default_rng(1).normal(size=steps.size)
    assert equilibrium.mobility(0.02) == pytest.approx(np.abs(steps).mean(), rel=0.01)
    flips = ((z < 0) != (z + steps < 0)).mean()
    assert equilibrium.flips_per_update(1 / math.sqrt(2 * math.pi), equilibrium.mobility(0.02)) == pytest.approx(
        flips, rel=0.05
    )
