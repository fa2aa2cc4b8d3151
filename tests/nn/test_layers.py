"""The binary layers: what they compute, what they pass back, what they load."""

from __future__ import annotations

import copy
import inspect
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
    options = {"bias": False, **options}
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


#: Ingredients whose gradients are those of `clipped_sign` and `through`.
PLAIN = {"center": False, "scale": None, "clamp": False, "scale_activations": False, "input_gradient": "clipped"}
GEOMETRIES = [
    {"kernel_size": 3},
    {"kernel_size": (3, 1), "bias": False},
    {"kernel_size": [1, 3], "stride": (2, 1)},
    {"kernel_size": 3, "stride": 2, "padding": 2, "dilation": 2, "groups": 4},
    {"kernel_size": (2, 3), "padding": (2, 0), "dilation": (1, 2), "groups": 2},
    {"kernel_size": 3, "padding": "valid", "stride": 2},
    {"kernel_size": (2, 4), "padding": "same", "dilation": (3, 1)},
    *(
        {"kernel_size": (3, 4), "padding": padding, "padding_mode": mode}
        for mode in ("zeros", "reflect", "replicate", "circular")
        for padding in (1, (2, 1), "same")
    ),
]


def clipped_sign(values):
    surrogate = values.clamp(-1, 1)
    return surrogate + (torch.where(values < 0, -1.0, 1.0) - surrogate).detach()


def through(weight):
    return weight + (torch.where(weight < 0, -1.0, 1.0) - weight).detach()


def assert_is_torchs_layer_of_signs(layer, plain, shape):
    """Output and gradients of a binary layer against torch's own, which is given binary inputs and weights."""
    given = torch.randn(shape, dtype=torch.float64)
    upstream, results = None, []
    for compute in (
        layer,
        lambda values: (
            torch.func.functional_call(plain, {"weight": through(layer.weight)}, (clipped_sign(values),)).mul(
                layer.alpha
            )
            + (0 if layer.bias is None else layer.bias.view(layer.alpha.shape))
        ),
    ):
        layer.zero_grad()
        values = given.clone().requires_grad_()
        output = compute(values)
        upstream = torch.randn_like(output) if upstream is None else upstream
        output.backward(upstream)
        results.append([output.detach(), values.grad, *(each.grad for each in layer.parameters())])
    for ours, expected in zip(*results, strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.filterwarnings("ignore:Using padding")  # torch says so of even kernels
def test_every_argument_of_a_convolution_means_what_it_means_in_torch():
    torch.manual_seed(0)
    for arguments in GEOMETRIES:
        layer = BinaryConv2d(4, 8, **arguments, dtype=torch.float64, **PLAIN)
        plain = nn.Conv2d(4, 8, **arguments | {"bias": False}, dtype=torch.float64)
        assert {tensor.dtype for tensor in layer.state_dict().values()} == {torch.float64}
        for shape in [(3, 4, 9, 8), (4, 9, 8)]:
            assert_is_torchs_layer_of_signs(layer, plain, shape)


def test_every_argument_of_a_linear_layer_means_what_it_means_in_torch():
    torch.manual_seed(0)
    for bias in (True, False):
        layer = BinaryLinear(6, 4, bias, dtype=torch.float64, **PLAIN)
        for shape in [(5, 6), (6,), (2, 3, 6)]:
            assert_is_torchs_layer_of_signs(layer, nn.Linear(6, 4, bias=False, dtype=torch.float64), shape)


def test_without_a_batch_a_layer_does_what_it_does_to_a_batch_of_one():
    for kind in ("conv", "linear"):
        layer, given = make(kind, bias=True)
        leaves = [given[:1].clone().requires_grad_(), given[0].clone().requires_grad_()]
        outputs = [layer(leaf) for leaf in leaves]
        assert torch.equal(outputs[0][0], outputs[1])
        for output in outputs:
            output.square().sum().backward()
        torch.testing.assert_close(leaves[0].grad[0], leaves[1].grad, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("ours", "theirs", "sizes"), [(BinaryConv2d, nn.Conv2d, (4, 6, 3)), (BinaryLinear, nn.Linear, (6, 4))]
)
def test_a_layer_is_one_of_torch(ours, theirs, sizes, tmp_path):
    taken, wanted = (list(inspect.signature(kind).parameters.values()) for kind in (ours, theirs))
    assert [(each.name, each.default) for each in taken[: len(wanted)]] == [
        (each.name, each.default) for each in wanted
    ]
    layer, plain = ours(*sizes), theirs(*sizes)
    assert isinstance(layer, theirs)
    for name in {each.name for each in wanted} - {"bias", "device", "dtype"}:
        assert getattr(layer, name) == getattr(plain, name), name
    assert [name for name, _ in layer.named_parameters()] == ["weight", "bias", "alpha"]
    assert layer.bias.shape == plain.bias.shape
    bound = 1 / math.sqrt(layer.weight[0].numel())
    assert 0 < float(layer.bias.detach().abs().max()) <= bound
    assert ours(*sizes, bias=False).bias is None

    torch.save(layer, tmp_path / "layer.pt")
    given = torch.randn(3, 4, 5, 5) if ours is BinaryConv2d else torch.randn(3, 6)
    fresh = ours(*sizes)
    fresh.load_state_dict(layer.state_dict())
    for twin in (copy.deepcopy(layer), torch.load(tmp_path / "layer.pt", weights_only=False), fresh):
        assert torch.equal(twin(given), layer(given))


def test_a_layer_without_values_gets_those_of_a_new_one():
    for kind, sizes in ((BinaryConv2d, (4, 6, 3)), (BinaryLinear, (6, 4))):
        for method in ("recu", "ir-net"):
            meta = kind(*sizes, device="meta", binarizer=method)
            assert {tensor.device.type for tensor in [*meta.parameters(), *meta.buffers()]} == {"meta"}
            layer = nn.utils.skip_init(kind, *sizes, binarizer=method)
            torch.manual_seed(1)
            layer.reset_parameters()
            torch.manual_seed(1)
            new = kind(*sizes, binarizer=method)
            for mine, expected in zip(
                [*layer.parameters(), *layer.buffers()], [*new.parameters(), *new.buffers()], strict=True
            ):
                assert torch.equal(mine, expected)


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
        ({"kernel_size": (3, 3, 3)}, r"kernel_size.*or two of them, not \(3, 3, 3\)"),
        ({"kernel_size": 3, "padding": "smae"}, "no padding is called 'smae'; known are same, valid"),
        ({"kernel_size": 3, "padding": "same", "stride": 2}, "padding='same' needs a stride of 1, not 2"),
        ({"kernel_size": 3, "padding_mode": "mirror"}, "'mirror'; known are zeros, reflect"),
        (
            {"kernel_size": 3, "padding_mod": "reflect"},
            "option of a binary layer is called 'padding_mod'; did you mean padding_mode",
        ),
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
    layer = BinaryConv2d(3, 4, 3, bias=False, clamp=False)
    assert repr(layer) == "BinaryConv2d(3, 4, kernel_size=(3, 3), stride=(1, 1), bias=False, clamp=False)"


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: BinaryConv2d(4, 4, 1, groups=4), "two weights"),
        (lambda: BinaryLinear(1, 4), "two weights"),
        (lambda: BinaryConv2d(4, 0, 3), "at least one output channel"),
        (lambda: BinaryConv2d(3, 4, 3, groups=2), "2 groups"),
        (lambda: BinaryConv2d(3, 4, 3, stride=0), "stride.*at least 1, or two of them, not 0"),
        (lambda: BinaryConv2d(3, 4, 3, padding=-1), "padding.*at least 0, or two of them, not -1"),
        (lambda: BinaryConv2d(3, 4, 3, stride=True), "stride.*whole number.*not True"),
        (lambda: BinaryConv2d(3, "4", 3), "channels and groups.*not 3, '4' and 1"),
        (lambda: BinaryConv2d(3, 4, 3)(torch.ones(4, 4)), r"\(N, C, H, W\) or \(C, H, W\), not \(4, 4\)"),
        (lambda: BinaryLinear(4, 4, padding=1), "option of a binary layer is called 'padding'; known are in_features"),
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
