"""The networks beside ResNet-20: the authors' names, order, counts, initialization and shortcuts; the real twins."""

from __future__ import annotations

import math
from itertools import chain

import pytest
import torch
from torch import nn
from torch.nn import functional

from recu_analysis.errors import InputError
from recu_analysis.nn import BinaryConv2d, binary_parameters, build_network
from recu_analysis.nn.networks import NETWORKS

NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
BINARY = ("weight", "alpha", "tau")
#: A small image that each network takes.
SIZES = {"resnet20": 8, "resnet18": 8}
CLASSES = 7


@pytest.fixture(scope="module")
def networks():
    torch.manual_seed(0)
    return {name: build_network(name, CLASSES) for name in NETWORKS}


def entries(*modules):
    """State entries of (name, kind) pairs, in the order of the modules."""
    kinds = {"binary": BINARY, "norm": NORM, "real": ("weight",), "linear": ("weight", "bias"), "move": ("bias",)}
    return [f"{name}.{entry}" for name, kind in modules for entry in kinds[kind]]


def two_convolutions(block):
    return [(f"{block}.{part}{n}", kind) for n in (1, 2) for part, kind in (("conv", "binary"), ("bn", "norm"))]


def cifar18():
    blocks = [two_convolutions(f"layer{stage}.{block}") for stage in (1, 2, 3, 4) for block in (0, 1)]
    return entries(("conv1", "real"), ("bn1", "norm"), *chain(*blocks), ("linear", "linear"), ("bn2", "norm"))


def vgg():
    convolutions = [[(f"conv{n}", "binary"), (f"bn{n}", "norm")] for n in range(1, 6)]
    return entries(("conv0", "real"), ("bn0", "norm"), *chain(*convolutions), ("fc", "linear"))


def imagenet(counts):
    modules = [("conv1", "real"), ("bn1", "norm")]
    for stage, count in enumerate(counts, start=1):
        for block in range(count):
            modules += two_convolutions(f"layer{stage}.{block}")
            if stage > 1 and block == 0:
                modules += [(f"layer{stage}.0.downsample.0", "real"), (f"layer{stage}.0.downsample.1", "norm")]
    return entries(*modules, ("bn2", "norm"), ("fc", "linear"))


def reactnet():
    modules = [("conv", "real"), ("bn", "norm")]
    parts = [("move0", "move"), ("conv", "binary"), ("bn", "norm"), ("move1", "move"), ("nonlinear", "real")]
    for stage in (1, 2, 3, 4):
        for block in range(4):
            modules += [(f"layer{stage}.{block}.{part}", kind) for part, kind in [*parts, ("move2", "move")]]
            if stage > 1 and block == 0:
                modules += [(f"layer{stage}.0.downsample.1", "real"), (f"layer{stage}.0.downsample.2", "norm")]
    return entries(*modules, ("fc", "linear"))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("resnet18", cifar18()),
        ("vgg_small", vgg()),
        ("resnet18_imagenet", imagenet((2, 2, 2, 2))),
        ("resnet34_imagenet", imagenet((3, 4, 6, 3))),
        ("reactnet18", reactnet()),
    ],
)
def test_the_saved_state_has_the_authors_names_in_their_order(networks, name, expected):
    assert list(networks[name].state_dict()) == expected


def norm(*channels):
    return 2 * sum(channels)


#: Weights of the binary 3x3 convolutions, counted from the shapes of each stage.
LATENT_18 = 9 * (4 * 64**2 + 64 * 128 + 3 * 128**2 + 128 * 256 + 3 * 256**2 + 256 * 512 + 3 * 512**2)
LATENT_34 = 9 * (6 * 64**2 + 64 * 128 + 7 * 128**2 + 128 * 256 + 11 * 256**2 + 256 * 512 + 5 * 512**2)
LATENT_VGG = 9 * (128 * 128 + 128 * 256 + 256 * 256 + 256 * 512 + 512 * 512)
#: Outputs of all binary convolutions: as many entries of alpha, and as many channels of their normalization.
OUT_18, OUT_34, OUT_VGG = 4 * (64 + 128 + 256 + 512), 6 * 64 + 8 * 128 + 12 * 256 + 6 * 512, 128 + 2 * 256 + 2 * 512
#: The real 1x1 convolutions of the shortcuts, with their normalization.
DOWN = 64 * 128 + 128 * 256 + 256 * 512 + norm(128, 256, 512)
STEM = 3 * 64 * 49 + norm(64)
#: move0, move1, move2 and the slopes of the PReLU of 16 blocks.
REACT = (4 * 64 + 64 + 3 * 128 + 128 + 3 * 256 + 256 + 3 * 512) + 3 * OUT_18


def linear(features):
    return (features + 1) * CLASSES


@pytest.mark.parametrize(
    ("name", "latent", "others"),
    [
        ("resnet18", LATENT_18, 3 * 64 * 9 + OUT_18 + norm(64, OUT_18, 512) + linear(512)),
        ("vgg_small", LATENT_VGG, 3 * 128 * 9 + OUT_VGG + norm(128, OUT_VGG) + linear(512 * 16)),
        ("resnet18_imagenet", LATENT_18, STEM + OUT_18 + norm(OUT_18) + DOWN + norm(512) + linear(512)),
        ("resnet34_imagenet", LATENT_34, STEM + OUT_34 + norm(OUT_34) + DOWN + norm(512) + linear(512)),
        ("reactnet18", LATENT_18, STEM + OUT_18 + norm(OUT_18) + DOWN + REACT + linear(512)),
    ],
)
def test_parameters_are_as_many_as_the_architecture_has(networks, name, latent, others):
    network = networks[name]
    assert sum(weight.numel() for weight in binary_parameters(network)) == latent
    assert sum(parameter.numel() for parameter in network.parameters()) == latent + others


def test_the_count_with_the_classes_of_imagenet():
    total = LATENT_18 + STEM + OUT_18 + norm(OUT_18) + DOWN + norm(512) + 513 * 1000
    network = build_network("resnet18_imagenet", 1000)
    assert sum(parameter.numel() for parameter in network.parameters()) == total == 11_694_376


@pytest.mark.parametrize("name", [name for name in NETWORKS if name != "resnet20"])
def test_forward_and_backward_reach_every_parameter(networks, name):
    network = networks[name].train()
    size = SIZES.get(name, 32)
    logits = network(torch.randn(2, 3, size, size))
    assert logits.shape == (2, CLASSES)
    logits.square().sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())
    network.zero_grad(set_to_none=True)


@pytest.mark.parametrize(
    ("name", "shape", "text"),
    [
        ("resnet18", (2, 3, 20, 16), "H and W multiples of 8, not (2, 3, 20, 16)"),
        ("vgg_small", (2, 3, 16, 16), "vgg_small takes images of shape (batch, 3, 32, 32), not (2, 3, 16, 16)"),
        ("vgg_small", (3, 32, 32), "not (3, 32, 32)"),
        ("resnet18_imagenet", (2, 1, 32, 32), "H and W multiples of 32, not (2, 1, 32, 32)"),
        ("resnet34_imagenet", (3, 32, 32), "H and W multiples of 32, not (3, 32, 32)"),
        ("reactnet18", (2, 3, 0, 32), "H and W multiples of 32, not (2, 3, 0, 32)"),
    ],
)
def test_images_of_another_shape_are_refused(networks, name, shape, text):
    with pytest.raises(InputError) as caught:
        networks[name](torch.zeros(shape))
    assert text in str(caught.value)


@pytest.mark.parametrize("name", ["resnet18_imagenet", "resnet34_imagenet"])
def test_norms_of_the_imagenet_networks_start_at_almost_nothing(networks, name):
    """They too are 1e-8 in the shortcuts; the one before the last layer, a BatchNorm1d, starts at 1."""
    for module in networks[name].modules():
        if isinstance(module, nn.BatchNorm2d):
            assert (module.weight == 1e-8).all()
    assert (networks[name].bn2.weight == 1).all()


@pytest.mark.parametrize("name", ["resnet18", "vgg_small", "reactnet18"])
def test_norms_of_the_others_start_at_one(networks, name):
    norms = [module for module in networks[name].modules() if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d))]
    assert norms
    assert all((module.weight == 1).all() for module in norms)


def spread(weight):
    return float(weight.detach().std())


def test_vgg_starts_with_the_spread_of_its_outputs(networks):
    network = networks["vgg_small"]
    for name, channels in [("conv0", 128), ("conv2", 256), ("conv4", 512)]:
        assert spread(getattr(network, name).weight) == pytest.approx(math.sqrt(2 / (9 * channels)), rel=0.04)
    assert spread(network.fc.weight) == pytest.approx(0.01, rel=0.02)
    assert not network.fc.bias.any()


@pytest.mark.parametrize("name", ["resnet18", "resnet18_imagenet", "resnet34_imagenet"])
def test_resnets_start_kaiming_normal_and_their_last_layer_as_torch_has_it(networks, name):
    network = networks[name]
    for weight in (network.conv1.weight, network.layer2[0].conv1.weight, network.layer4[1].conv2.weight):
        assert spread(weight) == pytest.approx(math.sqrt(2 / weight[0].numel()), rel=0.04)
    last = network.linear if name == "resnet18" else network.fc
    assert float(last.weight.detach().abs().max()) <= 1 / math.sqrt(512)


def test_reactnet_starts_uniform_as_torch_has_it(networks):
    for weight in (networks["reactnet18"].conv.weight, networks["reactnet18"].layer3[2].conv.weight):
        bound = 1 / math.sqrt(weight[0].numel())
        assert 0.99 * bound < float(weight.detach().abs().max()) <= bound


def silence(*norms):
    """Set the outputs of all batch normalizations to zero, so that only the shortcuts are left."""
    for module in norms:
        nn.init.zeros_(module.weight)
        nn.init.zeros_(module.bias)


def test_the_cifar_resnet18_has_one_shortcut_around_both_convolutions():
    block = build_network("resnet18").layer1[0]
    values = torch.rand(2, 64, 4, 4)
    silence(block.bn2)
    torch.testing.assert_close(block(values), values)  # whatever the first convolution gives
    seen = []
    block.conv2.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0]))
    silence(block.bn1)
    block(values)
    assert not seen[0].any()  # nothing goes around the first


def test_the_imagenet_resnet_has_a_shortcut_around_each_convolution():
    block = build_network("resnet18_imagenet").layer2[0].eval()
    values = torch.rand(2, 64, 8, 8)
    seen = []
    block.conv2.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0]))
    silence(block.bn1, block.bn2)
    nn.init.ones_(block.downsample[1].weight)
    narrow = functional.conv2d(values, block.downsample[0].weight, stride=2) / math.sqrt(1 + 1e-5)
    torch.testing.assert_close(block(values), narrow.clamp(-1, 1))
    torch.testing.assert_close(seen[0], narrow.clamp(-1, 1))


def test_a_block_of_reactnet_moves_bends_and_moves_again():
    block = build_network("reactnet18").layer1[0]
    silence(block.bn)
    for number in (0, 1, 2):
        nn.init.normal_(getattr(block, f"move{number}").bias)
    values = torch.randn(2, 64, 4, 4)
    seen = []
    block.conv.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0]))
    moved = values + block.move1.bias
    expected = torch.where(moved > 0, moved, 0.25 * moved) + block.move2.bias
    torch.testing.assert_close(block(values), expected)
    torch.testing.assert_close(seen[0], values + block.move0.bias)


def test_vgg_pools_before_it_normalizes():
    network = build_network("vgg_small", 2)
    sizes = {}
    for index in range(6):
        module = getattr(network, f"bn{index}")
        module.register_forward_pre_hook(lambda _, arguments, i=index: sizes.update({i: arguments[0].shape[2]}))
    network(torch.randn(2, 3, 32, 32))
    assert sizes == {0: 32, 1: 16, 2: 16, 3: 8, 4: 8, 5: 4}


@pytest.mark.parametrize("name", NETWORKS)
def test_the_real_twin_has_the_same_names_and_start_without_alpha_and_tau(networks, name):
    torch.manual_seed(0)
    twin = build_network(f"{name}-real", CLASSES)
    assert not any(isinstance(module, BinaryConv2d) for module in twin.modules())
    binary = networks[name].state_dict()
    assert list(twin.state_dict()) == [key for key in binary if key.split(".")[-1] not in ("alpha", "tau")]
    for key, value in twin.state_dict().items():
        assert value.shape == binary[key].shape
        if value.ndim == 4:
            assert spread(value) == pytest.approx(spread(binary[key]), rel=0.12)


def test_the_real_twin_computes_an_ordinary_network():
    torch.manual_seed(1)
    twin = build_network("resnet20-real", 3).eval()
    images = torch.randn(2, 3, 8, 8)
    values = functional.hardtanh(twin.bn1(functional.conv2d(images, twin.conv1.weight, padding=1)))
    for block in twin.layer1:
        for conv, norm2d in ((block.conv1, block.bn1), (block.conv2, block.bn2)):
            values = functional.hardtanh(norm2d(functional.conv2d(values, conv.weight, padding=1)) + values)
    torch.testing.assert_close(twin.layer1(functional.hardtanh(twin.bn1(twin.conv1(images)))), values)


def test_options_of_binary_layers_reach_every_one_of_them():
    network = build_network("vgg_small", scale=0.5, clamp=False)
    transforms = {module.weight_transform for module in network.modules() if isinstance(module, BinaryConv2d)}
    assert [(transform.target, transform.clamp) for transform in transforms] == [(0.5, False)]


def test_a_twin_takes_no_options_of_binary_layers():
    with pytest.raises(InputError, match=r"resnet20-real.*\(scale, clamp\)"):
        build_network("resnet20-real", scale=2.0, clamp=True)
    with pytest.raises(InputError, match=r"'vgg-small'; did you mean vgg_small\?"):
        build_network("vgg-small")
