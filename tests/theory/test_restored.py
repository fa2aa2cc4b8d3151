"""The restored fraction against a plain loop of updates, and its interval over windows of noise."""

import math

import numpy as np
import pytest

from benchmarks.causes import coverage
from recu_analysis.errors import InputError
from recu_analysis.theory.inheritance import UpdateRule
from recu_analysis.theory.restored import autocorrelation_parts, responses, restored

#: Settings of PyTorch's SGD: momentum, dampening, nesterov.
FORMS = [(0.0, 0.0, False), (0.9, 0.0, False), (0.9, 0.3, False), (0.8, 0.0, True)]


def sgd(w, m, gradients, lr, decay, form, *, first):
    """Weights and momentum after updates as PyTorch's documentation has them."""
    momentum, dampening, nesterov = form
    for at, g in enumerate(gradients):
        u = g + decay[at] * w
        m = u if first and at == 0 else momentum * m + (1.0 - dampening) * u
        w = w - lr[at] * (u + momentum * m if nesterov else m if momentum else u)
    return w, m


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("first", [False, True])
def test_the_steps_add_up_to_what_gradients_gained(form, first):
    generator = np.random.default_rng(3)
    gradients, lr, decay = generator.normal(size=(40, 30)), generator.uniform(0.01, 0.2, 40), np.full(40, 0.03)
    w, m = generator.normal(size=(2, 30))
    rest, _ = sgd(w, m, 0.0 * gradients, lr, decay, form, first=first)
    end, _ = sgd(w, m, gradients, lr, decay, form, first=first)
    rule = UpdateRule.of("SGD", dict(zip(("momentum", "dampening", "nesterov"), form, strict=True)))
    response = responses(rule, lr, decay, first=first)
    np.testing.assert_allclose(response @ gradients, end - rest, atol=1e-12)
    found = restored(w, end - rest, 0.4, response * (gradients @ w))
    assert found.steps.sum() == pytest.approx(found.gained, abs=1e-11)
    assert found.rho == pytest.approx((w @ (end - rest)) / (0.6 * (w @ w)))
    halves = [
        restored(w[at], (end - rest)[at], 0.4, response * (gradients[:, at] @ w[at]))
        for at in (slice(0, 11), slice(11, 30))
    ]
    both = halves[0] + halves[1]
    assert [both.rho, both.error] == pytest.approx([found.rho, found.error])


def test_rho_is_one_for_what_is_held_and_unknown_where_nothing_decays():
    w = np.arange(-3.0, 4.0)
    assert restored(w, 0.7 * w, 0.3).rho == pytest.approx(1.0)
    assert math.isnan(restored(w, w, 1.0).rho)
    assert math.isnan(restored(w, 0.7 * w, 0.3).interval().low), "no interval without steps"


def test_refusals():
    two, three = (restored([1.0], [1.0], 0.5, np.ones(n)) for n in (2, 3))
    for refused in (
        lambda: two + three,
        lambda: restored([1.0, 2.0], [1.0], 0.5),
        lambda: responses(UpdateRule(0.9, 0.1, decoupled=True), [0.1], [0.1]),
        lambda: responses(UpdateRule(), [0.1, 0.1], [0.1]),
    ):
        with pytest.raises(InputError):
            refused()


def test_the_parts_add_up_to_the_cosine():
    generator = np.random.default_rng(4)
    z, pushed, made = generator.normal(size=(3, 5, 40))
    kept = generator.uniform(0.2, 0.6, size=(5, 1))
    end = kept * z + 0.1 * pushed + made
    found = autocorrelation_parts(z, kept, 0.1 * pushed, made)
    cosine = (z * end).sum() / np.sqrt((z**2).sum() * (end**2).sum())
    assert found.autocorrelation == pytest.approx(cosine)
    assert found.inherited == pytest.approx((kept * z**2).sum() / np.sqrt((z**2).sum() * (end**2).sum()))
    assert math.isnan(autocorrelation_parts([0.0], 0.5, 0.0, 1.0).restored)


@pytest.mark.parametrize("falling", [False, True])
def test_the_interval_holds_0_in_95_of_100_windows_of_noise(falling):
    found = coverage(1000, falling=falling, weights=32)
    assert 0.93 <= found.held <= 0.97
    assert abs(found.mean) < 4.0 * found.spread / math.sqrt(1000)
