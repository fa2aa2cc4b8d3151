"""The binary layers: what they compute, what they pass back, what they load."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from recu_analysis.errors import InputError
from recu_analysis.nn import BinaryConv2d, BinaryLinear, binary_parameters, set_tau
from recu_analysis.theory.standardize import WeightTransform


def make(kind, **options):
    torch.manual_seed(0)
    layer = BinaryConv2d(6, 8, 3, padding=1, **options) if kind == "conv" else BinaryLinear(40, 8, **options)
    return layer, torch.randn((5, 6, 7, 7) if kind == "conv" else (5, 40))


KINDS = pytest.mark.parametrize("kind", ["conv", "linear"])


def weight_gradient(layer, given):
    layer.weight.grad = None
    layer(given).square().sum().backward()
    return layer.weight.grad.clone()


@KINDS
def test_output_is_the_product_of_signs_times_alpha(kind):
    layer, given = make(kind)
    centered = layer.weight - layer.weight.flatten(1).mean(1).reshape(-1, *[1] * (layer.weight.ndim - 1))
    signs = torch.where(centered < 0, -1.0, 1.0)
    inputs = torch.where(given < 0, -1.0, 1.0)
    if kind == "conv":
        expected = functional.conv2d(inputs, signs, padding=1) * layer.alpha
    else:
        expected = functional.linear(inputs, signs) * layer.alpha
    torch.testing.assert_close(layer(given), expected, rtol=0, atol=0)


@KINDS
def test_neither_tau_nor_scale_nor_mode_changes_the_output(kind):
    layer, given = make(kind)
    expected = layer(given)
    for scale, tau, clamp in [(2.0, 0.51, True), (math.sqrt(0.5), 0.99, True), (2.0, 1.0, True), (None, 0.85, False)]:
        other, _ = make(kind, scale=scale, clamp=clamp)
        set_tau(other, tau)
        torch.testing.assert_close(other(given), expected, rtol=0, atol=0)
        torch.testing.assert_close(other.eval()(given), expected, rtol=0, atol=0)


@KINDS
def test_weight_gradient_is_that_of_the_authors_code(kind):
    layer, given = make(kind)
    layer, given = layer.double(), given.double()
    ours = weight_gradient(layer, given)

    weight = layer.weight.detach().clone().requires_grad_()
    flat = weight.reshape(len(weight), -1)
    w0 = flat - flat.mean(-1, keepdim=True)
    w1 = (w0 / (torch.sqrt(w0.var(-1, keepdim=True) + 1e-5) / (2 * math.sqrt(2)))).reshape(weight.shape)
    # The layer keeps tau as float32, 0.85 rounded; the reference must clamp at the same level.
    bound = -w1.detach().abs().mean() * torch.log(2 - 2 * layer.tau.double())
    w2 = w1.clamp(-bound, bound)
    binary = w2 + (torch.sign(w2) - w2).detach()
    inputs = torch.sign(given)
    output = functional.conv2d(inputs, binary, padding=1) if kind == "conv" else functional.linear(inputs, binary)
    (output * layer.alpha.detach()).square().sum().backward()
    torch.testing.assert_close(ours, weight.grad, rtol=1e-12, atol=1e-12 * float(ours.abs().max()))


def test_the_clamp_acts_on_the_gradient():
    layer, given = make("conv")
    unclamped, _ = make("conv", clamp=False)
    assert not torch.equal(weight_gradient(layer, given), weight_gradient(unclamped, given))
    set_tau(layer, 1.0)
    torch.testing.assert_close(weight_gradient(layer, given), weight_gradient(unclamped, given), rtol=0, atol=0)


def test_weight_gradient_is_proportional_to_the_scale():
    layer, given = make("conv", scale=2.0)
    half, _ = make("conv", scale=1.0)
    torch.testing.assert_close(weight_gradient(layer, given), 2 * weight_gradient(half, given), rtol=1e-4, atol=1e-5)


def test_activation_gradient_has_the_per_sample_scale_in_training_only():
    layer, given = make("conv")
    given = 3 * given

    def slope(module):
        leaf = given.clone().requires_grad_()
        module(leaf).sum().backward()
        return leaf.grad

    trained, evaluated = slope(layer.train()), slope(layer.eval())
    assert (evaluated[given.abs() >= 1] == 0).all()
    assert (trained[(given.abs() > 1) & (given.abs() < 2)] != 0).any()


@KINDS
def test_shapes_and_starting_values(kind):
    layer, given = make(kind)
    assert layer.alpha.shape == ((8, 1, 1) if kind == "conv" else (8,))
    assert ((layer.alpha >= 0) & (layer.alpha < 1)).all()
    assert layer.tau.shape == ()
    assert dict(layer.named_buffers()).keys() == {"tau"}
    assert dict(layer.named_parameters()).keys() == {"weight", "alpha"}
    assert layer(given).shape[:2] == (5, 8)
    assert not layer.weight.isnan().any()


def test_geometry_is_that_of_torch():
    layer = BinaryConv2d(8, 16, 3, stride=2, padding=2, dilation=2, groups=4)
    plain = nn.Conv2d(8, 16, 3, stride=2, padding=2, dilation=2, groups=4, bias=False)
    given = torch.randn(2, 8, 9, 9)
    assert layer.weight.shape == plain.weight.shape
    assert layer(given).shape == plain(given).shape


@pytest.mark.parametrize("options", [{}, {"scale": None, "center": False, "clamp": False}, {"scale": 0.7}])
def test_weight_transform_repeats_the_layer_in_numpy(options):
    layer, _ = make("conv", **options)
    transform = layer.weight_transform
    assert transform == WeightTransform(
        **{"center": True, "target": options.get("scale", 2.0), "clamp": True}
        | {k: v for k, v in options.items() if k != "scale"}
    )
    binary = layer.double().binary_weight().detach().numpy()
    np.testing.assert_array_equal(binary > 0, transform.signs(layer.weight.detach().numpy()))


@pytest.mark.parametrize("tau", [torch.tensor(0.93), torch.tensor([0.93])])
def test_tau_loads_in_both_shapes_that_occur(tau):
    layer, _ = make("conv")
    state = layer.state_dict() | {"tau": tau}
    layer.load_state_dict(state)
    assert layer.tau.shape == ()
    assert float(layer.tau) == pytest.approx(0.93)
    assert state["tau"].shape == tau.shape


def test_a_tau_that_was_replaced_as_the_authors_do_keeps_its_shape():
    layer, given = make("conv")
    layer.tau = torch.tensor([0.93])
    other, _ = make("conv")
    for state in (layer.state_dict(), other.state_dict()):
        layer.load_state_dict(state)
        assert layer.tau.shape == (1,)
        assert float(layer.tau) == float(state["tau"])
    torch.testing.assert_close(weight_gradient(layer, given), weight_gradient(other, given), rtol=0, atol=0)


@KINDS
@pytest.mark.parametrize("training", [True, False])
def test_what_is_no_batch_is_refused(kind, training):
    layer, given = make(kind)
    with pytest.raises(InputError, match=r"takes a batch, of shape \(N, "):
        layer.train(training)(given[0])


@KINDS
@pytest.mark.parametrize("method", ["recu", "ir-net"])
def test_a_batch_without_samples_passes_in_both_directions(kind, method):
    layer, given = make(kind, binarizer=method, scale_activations=True)
    leaf = given[:0].requires_grad_()
    layer(leaf).sum().backward()
    assert leaf.grad.shape == leaf.shape
    assert not layer.weight.grad.any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kernel_size": (3, 3)}, r"whole.*not \(4, 6, \(3, 3\)"),
        ({"kernel_size": 3, "padding": "same"}, "are whole numbers"),
        ({"kernel_size": 3, "binarizer": None}, "Binarizer, not None"),
        ({"kernel_size": 3, "scale": "none"}, r"scale.*number.*not 'none'"),
    ],
)
def test_an_option_of_another_kind_is_one_sentence(arguments, message):
    with pytest.raises(InputError, match=message):
        BinaryConv2d(4, 6, **arguments)


def test_set_tau_reaches_every_layer():
    model = nn.Sequential(BinaryConv2d(3, 4, 3), nn.Sequential(BinaryLinear(4, 4)))
    set_tau(model, 0.9)
    assert [float(buffer) for buffer in model.buffers()] == pytest.approx([0.9, 0.9])


@pytest.mark.parametrize("tau", [0.5, 1.01, math.nan])
def test_set_tau_refuses_what_is_no_level_and_changes_nothing(tau):
    layer, _ = make("conv")
    with pytest.raises(InputError, match=r"tau must lie in \(0.5, 1\]"):
        set_tau(layer, tau)
    assert float(layer.tau) == pytest.approx(0.85)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_a_level_between_one_half_and_one_stays_there_in_every_dtype(dtype):
    layer = make("conv")[0].to(dtype)
    set_tau(layer, 0.5 + 1e-9)
    assert 0.5 < float(layer.tau) <= 0.5 + max(1e-9, torch.finfo(dtype).eps)
    set_tau(layer, 1.0)
    assert float(layer.tau) == 1.0
    set_tau(layer, 1.0 - 1e-9)
    assert 1.0 - max(1e-9, torch.finfo(dtype).eps) <= float(layer.tau) < 1.0


@pytest.mark.parametrize("scale", [0.0, -1.0, math.inf])
def test_scale_must_be_positive(scale):
    with pytest.raises(InputError, match="positive"):
        BinaryConv2d(3, 4, 3, scale=scale)


def test_binary_parameters_are_the_latent_weights_only():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), BinaryConv2d(4, 4, 3), BinaryLinear(4, 2))
    latent = binary_parameters(model)
    assert [id(weight) for weight in latent] == [id(model[1].weight), id(model[2].weight)]


def test_the_repr_says_what_stands_between_weight_and_sign():
    assert "clamp=False" in repr(BinaryConv2d(3, 4, 3, clamp=False))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: BinaryConv2d(4, 4, 1, groups=4), "two weights"),
        (lambda: BinaryLinear(1, 4), "two weights"),
        (lambda: BinaryConv2d(4, 0, 3), "at least one output channel"),
        (lambda: BinaryConv2d(3, 4, 3, groups=2), "2 groups"),
        (lambda: BinaryConv2d(3, 4, 3, stride=0), r"stride and dilation.*not 0, 1 and 0"),
        (lambda: BinaryConv2d(3, 4, 3, padding=-1), r"padding.*not 1, 1 and -1"),
        (lambda: BinaryConv2d(3, 4, 3, stride=True), "whole numbers"),
        (lambda: BinaryLinear(4.0, 4), "whole numbers, not 4.0 and 4"),
        (lambda: BinaryLinear("a", 4), "whole numbers, not 'a' and 4"),
        (lambda: set_tau(BinaryLinear(4, 4), [0.9]), r"tau.*not \[0.9\]"),
        (lambda: set_tau(BinaryLinear(4, 4), [[1], [1, 2]]), r"tau.*not \[\[1\], \[1, 2\]\]"),
    ],
)
def test_a_layer_that_has_no_deviation_or_no_groups_is_refused(build, message):
    with pytest.raises(InputError, match=message):
        build()


def test_activations_of_one_value_a_sample_have_no_deviation():
    layer, images = BinaryConv2d(1, 2, 3, padding=1), torch.randn(2, 1, 1, 1)
    with pytest.raises(InputError, match=r"shape \(2, 1, 1, 1\).*scale_activations=False"):
        layer(images)
    assert layer.eval()(images).isfinite().all()
    assert BinaryConv2d(1, 2, 3, padding=1, scale_activations=False)(images).isfinite().all()


def test_the_random_mask_changes_no_output_and_says_so_to_analysis():
    torch.manual_seed(0)
    clamped, control = BinaryConv2d(4, 8, 3), BinaryConv2d(4, 8, 3, mask="random")
    control.load_state_dict(clamped.state_dict())
    images = torch.randn(2, 4, 6, 6)
    assert torch.equal(clamped(images), control(images))
    assert not control.weight_transform.clamp
    assert "mask='random'" in repr(control)
    with pytest.raises(InputError, match=r"mask.*clamped, random.*'tail'"):
        BinaryConv2d(4, 8, 3, mask="tail")
