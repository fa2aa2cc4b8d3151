"""The ingredients of a binary layer against plain autograd compositions of the published equations."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from recu_analysis.errors import InputError
from recu_analysis.nn import BinaryConv2d, BinaryLinear, set_progress, set_tau
from recu_analysis.nn.binarizer import BINARIZERS, Binarizer, binarizer
from recu_analysis.theory.standardize import WeightTransform
from tests.messages import facts

TAU = 0.8125  # exact in every dtype
PROGRESS = 0.5
#: Largest relative difference that rounding explains.
ROUNDING = {"float64": 1e-11, "float32": 3e-5, "bfloat16": 2e-2}
METHODS = list(BINARIZERS)
#: Every ingredient switched off or changed, one at a time.
CHANGES = [
    {},
    {"center": False},
    {"scale": None},
    {"scale": math.sqrt(0.5), "eps": 0.0},
    {"clamp": False},
    {"quantile": "empirical"},
    {"alpha": "analytic"},
    {"alpha": "analytic", "quantile": "empirical"},
    {"alpha": "analytic", "clamp": False},
    {"alpha": "none"},
    {"alpha": "mean", "scale": None},
    {"scale_activations": False},
    {"input_gradient": "clipped"},
    {"input_gradient": "decaying", "weight_gradient": "decaying"},
    {"weight_gradient": "clipped"},
    {"mask": "random"},
    {"zero": "authors"},
    {"mask": "random", "quantile": "empirical"},
]
#: Of what a random mask draws.
SEED = 7


def with_gradient_of(signs, surrogate):
    """The value of one tensor, the gradient of another."""
    return signs.detach() + surrogate - surrogate.detach()


def surrogate(x, kind, steepness=None):
    """Function whose derivative stands in for that of the sign."""
    if kind == "identity":
        return x
    if kind == "clipped":
        return x.clamp(-1, 1)
    if kind == "decaying":
        return max(1 / steepness, 1) * torch.tanh(steepness * x)
    inside = x.clamp(-1, 1)  # Eq. 6: 2a + a^2 below 0, 2a - a^2 above
    return torch.where(inside < 0, 2 * inside + inside**2, 2 * inside - inside**2)


def plain_sign(x, *estimator):
    return with_gradient_of(torch.where(x < 0, -torch.ones_like(x), torch.ones_like(x)), surrogate(x, *estimator))


def reference(weight, alpha, given, layer, product):
    """Output of a binary layer as the papers' equations have it, one autograd operation after another."""
    options, steepness = layer.binarizer, float(getattr(layer, "steepness", math.nan))
    rows = weight.flatten(1)
    if options.center:
        rows = rows - rows.mean(1, keepdim=True)
    if options.scale is not None:
        deviation = ((rows - rows.mean(1, keepdim=True)) ** 2).sum(1, keepdim=True) / (rows.shape[1] - 1)
        rows = rows / (torch.sqrt(deviation + options.eps) / (math.sqrt(2) * options.scale))
    clamped = rows
    if options.clamp:
        sizes = rows.detach().abs()
        if options.quantile == "laplace":
            bound = float(-sizes.mean() * math.log(2 - 2 * TAU))
        else:
            bound = float(torch.quantile(sizes.flatten(), 2 * TAU - 1))
        inside = sizes <= bound
        if options.mask == "random":
            torch.manual_seed(SEED)
            kept = inside.flatten()[torch.randperm(inside.numel())].view_as(rows)
            clamped = torch.where(kept, rows, rows.detach())
        else:
            clamped = torch.where(inside, rows, torch.full_like(rows, bound) * rows.sign().detach())
    binary = plain_sign(clamped, options.weight_gradient, steepness).view_as(weight)
    if options.scale_activations and layer.training:
        flat = given.flatten(1)
        given = (flat / torch.sqrt(flat.var(1, keepdim=True) + 1e-5)).view_as(given)
    output = product(plain_sign(given, options.input_gradient, steepness), binary)
    factor = {
        "learned": lambda: alpha.flatten(),
        "analytic": lambda: clamped.detach().abs().mean().reshape(1),
        "none": lambda: torch.ones(1, dtype=output.dtype),
        "mean": lambda: rows.abs().mean(1),
        "mean-detached": lambda: rows.detach().abs().mean(1),
        "power-of-two": lambda: 2 ** torch.round(torch.log2(rows.detach().abs().mean(1))),
    }[options.alpha]()
    return output * factor.view(-1, *[1] * (output.ndim - 2))


def setting(kind, dtype, options):
    torch.manual_seed(0)
    real = torch.float64 if dtype == "float64" else torch.float32
    if kind == "conv":
        layer, given = BinaryConv2d(6, 8, 3, padding=1, bias=False, binarizer=options), torch.randn(4, 6, 7, 7)
    else:
        layer, given = BinaryLinear(40, 8, bias=False, binarizer=options), torch.randn(5, 40)
    with torch.no_grad():
        layer.weight += 0.02  # so that centring and the sign of w itself differ
    set_tau(layer, TAU)
    set_progress(layer, PROGRESS)
    return layer.to(real), given.to(real)


def check(kind, options, mode, dtype):
    layer, given = setting(kind, dtype, options)
    layer.train(mode == "train")

    def product(inputs, weights):
        return functional.conv2d(inputs, weights, padding=1) if kind == "conv" else functional.linear(inputs, weights)

    def plain(inputs, weight, alpha):
        return reference(weight, alpha, inputs, layer, product)

    def ours(inputs, weight, alpha):
        layer.weight, layer.alpha = weight, alpha
        return layer(inputs)

    start = layer.alpha
    results = []
    for compute in (ours, plain):
        inputs = given.clone().requires_grad_()
        weight = torch.nn.Parameter(layer.weight.detach().clone())
        alpha = None if start is None else torch.nn.Parameter(start.detach().clone())
        torch.manual_seed(SEED)
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == "bfloat16"):
            output = compute(inputs, weight, alpha)
        upstream = torch.linspace(-1, 1, output.numel(), dtype=output.dtype).view_as(output)
        (output * upstream).sum().backward()
        results.append([output, inputs.grad, weight.grad, None if alpha is None else alpha.grad])
    for name, mine, other in zip(("output", "input", "weight", "alpha"), *results, strict=True):
        if other is None:
            assert mine is None
            continue
        assert mine.dtype == other.dtype, name
        assert (mine - other).abs().max() <= ROUNDING[dtype] * other.abs().max(), name


@pytest.mark.parametrize("dtype", ROUNDING)
@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize("kind", ["conv", "linear"])
@pytest.mark.parametrize("method", METHODS)
def test_published_methods_equal_their_equations(method, kind, mode, dtype):
    check(kind, BINARIZERS[method], mode, dtype)


@pytest.mark.parametrize("dtype", ROUNDING)
@pytest.mark.parametrize(("kind", "mode"), [("conv", "train"), ("conv", "eval"), ("linear", "train")])
@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_every_ingredient_equals_its_equation(change, kind, mode, dtype):
    check(kind, binarizer("recu", **change), mode, dtype)


@pytest.mark.parametrize("change", CHANGES, ids=str)
@pytest.mark.parametrize("kind", ["conv", "linear"])
def test_no_step_waits_for_the_device(change, kind):
    """Tensors of the meta device have no values: whatever asks for one fails."""
    layer, given = setting(kind, "float32", binarizer("recu", **change))
    layer, given = layer.to("meta"), given.to("meta").requires_grad_()
    layer(given).sum().backward()
    assert given.grad.is_meta
    assert layer.weight.grad.is_meta


@pytest.mark.parametrize("method", METHODS)
def test_the_transform_repeats_the_signs_in_numpy(method):
    layer, _ = setting("conv", "float64", BINARIZERS[method])
    np.testing.assert_array_equal(
        layer.binary_weight().detach().numpy() > 0, layer.weight_transform.signs(layer.weight.detach().numpy())
    )


def test_the_sign_of_zero_is_that_of_the_paper_or_of_the_authors_code():
    """Inputs after a ReLU and a channel of equal weights, against the authors' operations in autograd."""
    torch.manual_seed(0)
    for kind, method in itertools.product(("conv", "linear"), ("recu", "ir-net")):
        for zero in ("plus", "authors"):
            layer, given = setting(kind, "float64", binarizer(method, zero=zero))
            with torch.no_grad():
                layer.weight[2] = 0.25  # a power of two, whose mean is exact
            given = given.relu()
            states, inputs = layer.binary_weight(), layer.binary_input(given)
            assert set(states[2].flatten().tolist()) == {1.0 if zero == "plus" else 0.0}
            assert torch.equal(inputs, torch.sign(given) if zero == "authors" else torch.ones_like(given))
            product = functional.conv2d(inputs, states, padding=1) if kind == "conv" else inputs @ states.T
            factor = layer._factor(layer.standardized_weight())
            torch.testing.assert_close(layer(given), product * factor, rtol=0, atol=0)


def test_the_sign_of_zero_leaves_the_gradient_as_it_is():
    torch.manual_seed(0)
    given = torch.randn(4, 6, 7, 7).relu()
    for change in ({}, {"input_gradient": "clipped"}, {"scale_activations": False}):
        gradients = []
        for zero in ("plus", "authors"):
            layer = BinaryConv2d(6, 8, 3, zero=zero, **change)
            leaf = given.clone().requires_grad_()
            layer.binary_input(leaf).mul(torch.arange(7.0)).sum().backward()
            layer.binary_weight().mul(torch.arange(3.0)).sum().backward()
            gradients.append(leaf.grad)
        assert torch.equal(*gradients)
        assert gradients[0][given == 0].any()


@pytest.mark.parametrize("tau", [0.51, 0.85, 0.99, 1.0])
def test_the_empirical_clamp_leaves_its_share_outside_whatever_the_distribution(tau):
    torch.manual_seed(0)
    layer = BinaryConv2d(16, 32, 3, quantile="empirical").double()
    with torch.no_grad():
        layer.weight.uniform_(-0.1, 0.2)
    set_tau(layer, tau)
    transform = layer.weight_transform
    assert transform == WeightTransform(True, 2.0, 1e-5, 1, True, "empirical")
    level = float(layer.tau)
    values = transform.standardized(layer.weight.detach().numpy())
    clamped = transform.clamped(values, level)
    assert (clamped != values).mean() == pytest.approx(2 * (1 - level), abs=1 / values.size)
    # The gradient stops for just those weights.
    scored = torch.from_numpy(values).requires_grad_()
    layer._signs(scored).sum().backward()
    np.testing.assert_array_equal(scored.grad.numpy() == 0, clamped != values)


def trajectory(scale, factor, updates=12):
    """Weights and outputs of a small layer under SGD with momentum and weight decay, in float64 with eps = 0."""
    torch.manual_seed(0)
    layer = BinaryConv2d(4, 8, 3, scale=scale, eps=0.0).double()
    images = torch.randn(6, 4, 8, 8, dtype=torch.float64)
    wanted = torch.randn(6, 8, 6, 6, dtype=torch.float64)
    with torch.no_grad():
        layer.weight *= factor
    optimizer = torch.optim.SGD([layer.weight], lr=1e-3, momentum=0.9, weight_decay=1e-2)
    weights, outputs = [], []
    for _ in range(updates):
        optimizer.zero_grad()
        output = layer(images)
        ((output - wanted) ** 2).mean().backward()
        optimizer.step()
        weights.append(layer.weight.detach().clone())
        outputs.append(output.detach())
    return torch.stack(weights), torch.stack(outputs)


def test_b_star_of_2_follows_that_of_ir_net_with_smaller_initial_weights():
    factor = 1 / math.sqrt(2 * math.sqrt(2))
    weights, outputs = trajectory(2.0, 1.0)
    smaller, same = trajectory(math.sqrt(0.5), factor)
    torch.testing.assert_close(smaller / factor, weights, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(same, outputs, rtol=0, atol=0)
    assert (weights.diff(dim=0).abs() > 1e-6).any()
    assert not torch.allclose(trajectory(math.sqrt(0.5), 1.0)[0], weights, rtol=1e-3)


def test_the_error_decay_goes_from_the_identity_to_the_sign():
    layer, _ = setting("linear", "float64", BINARIZERS["ir-net"])
    values = torch.tensor([-0.5, 0.01, 1.0], dtype=torch.float64)

    def slopes(progress):
        set_progress(layer, progress)
        leaf = values.clone().requires_grad_()
        layer.binary_input(leaf).sum().backward()
        return leaf.grad

    torch.testing.assert_close(slopes(0.0), torch.ones_like(values), rtol=1e-5, atol=0)
    torch.testing.assert_close(slopes(1.0), 10 / torch.cosh(10 * values) ** 2, rtol=1e-5, atol=1e-12)
    assert "steepness" not in layer.state_dict()
    with pytest.raises(InputError, match=facts("progress", "from 0 to 1", "1.5")):
        set_progress(layer, 1.5)
    with pytest.raises(InputError, match=r"progress.*not 'x'"):
        set_progress(layer, "x")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_channel_of_equal_weights_is_zero_without_eps_and_can_part_again(dtype):
    torch.manual_seed(0)
    layer = BinaryConv2d(4, 4, 3, binarizer="ir-net").to(dtype)
    with torch.no_grad():
        layer.weight[0] = 0.3
    standardized = layer.standardized_weight()
    expected = layer.weight_transform.standardized(layer.weight.detach().numpy())
    np.testing.assert_allclose(standardized.detach().numpy(), expected, rtol=1e-5, atol=1e-6)
    assert not standardized[0].any()
    images = torch.randn(2, 4, 6, 6, dtype=dtype, requires_grad=True)
    layer(images).square().sum().backward()
    assert layer.weight.grad.isfinite().all()
    assert images.grad.isfinite().all()
    gradient = torch.autograd.grad(layer.standardized_weight(), layer.weight, torch.randn_like(layer.weight))[0]
    assert gradient[0].any()


@pytest.mark.parametrize(
    ("method", "ingredients", "message"),
    [
        ("xnr", {}, r"'xnr'.*recu, bnn, xnor"),
        ("recu", {"clmap": False}, r"'clmap'.*clamp"),
        ("recu", {"alpha": "learnt"}, r"alpha.*learned, analytic, none"),
        ("recu", {"quantile": "normal"}, r"quantile.*laplace, empirical"),
        ("recu", {"zero": "minus"}, "zero must be one of plus, authors"),
        ("recu", {"clamp": "yes"}, "clamp must be True or False"),
        ("recu", {"eps": -1.0}, r"eps.*at least 0"),
        ("recu", {"eps": "a"}, "eps.*not 'a'"),
        ("recu", {"eps": True}, "eps.*not True"),
        ("recu", {"eps": None}, "eps.*not None"),
        ("recu", {"scale": 0.0}, "positive"),
        ("recu", {"scale": 10**400}, r"scale.*number.*not 1000"),
    ],
)
def test_unknown_ingredients_are_refused(method, ingredients, message):
    with pytest.raises(InputError, match=message):
        BinaryConv2d(4, 4, 3, binarizer=method, **ingredients)


def test_a_layer_without_learned_alpha_saves_none():
    layer = BinaryLinear(8, 4, alpha="none")
    assert layer.alpha is None
    assert set(layer.state_dict()) == {"weight", "bias", "tau"}
    assert binarizer(Binarizer(alpha="none"), clamp=False).differences() == {"clamp": False, "alpha": "none"}
