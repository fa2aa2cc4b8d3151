"""ResNet-20: the authors' module names and counts, the sizes it takes, and what neither tau nor b* changes."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from recu_analysis.errors import InputError
from recu_analysis.nn import BinaryConv2d, binary_parameters, build_network, set_tau

BLOCK = [f"{part}{number}" for number in (1, 2) for part in ("conv", "bn")]


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return build_network("resnet20")


def test_modules_have_the_authors_names(network):
    blocks = [f"layer{stage}.{block}.{part}" for stage in (1, 2, 3) for block in (0, 1, 2) for part in BLOCK]
    leaves = [name for name, module in network.named_modules() if not list(module.children())]
    assert sorted(leaves) == sorted(["conv1", "bn1", *blocks, "bn2", "linear"])
    assert isinstance(network.bn2, nn.BatchNorm1d)


def test_the_saved_state_has_the_authors_names(network):
    norm = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    parts = {"conv": ("weight", "alpha", "tau"), "bn": norm}
    expected = {"conv1.weight", "linear.weight", "linear.bias", *(f"bn{n}.{entry}" for n in (1, 2) for entry in norm)}
    for stage in (1, 2, 3):
        for block in (0, 1, 2):
            expected |= {f"layer{stage}.{block}.{part}.{entry}" for part in BLOCK for entry in parts[part[:-1]]}
    assert network.state_dict().keys() == expected


def test_parameters_are_as_many_as_the_architecture_has(network):
    latent = 6 * 16 * 16 * 9 + (16 * 32 + 5 * 32 * 32) * 9 + (32 * 64 + 5 * 64 * 64) * 9
    alpha = 6 * (16 + 32 + 64)
    norms = 2 * (16 + 6 * (16 + 32 + 64) + 64)
    real = 3 * 16 * 9 + 64 * 10 + 10
    assert latent == 267_264
    assert sum(weight.numel() for weight in binary_parameters(network)) == latent
    assert sum(parameter.numel() for parameter in network.parameters()) == latent + alpha + norms + real == 270_522


def test_first_and_last_layer_stay_real(network):
    assert type(network.conv1) is nn.Conv2d
    assert type(network.linear) is nn.Linear
    assert sum(isinstance(module, BinaryConv2d) for module in network.modules()) == 18


@pytest.mark.parametrize("size", [16, 28, 32])
@pytest.mark.parametrize("classes", [2, 10])
def test_takes_images_of_these_sizes(size, classes):
    network = build_network("resnet20", classes)
    logits = network(torch.randn(3, 3, size, size))
    assert logits.shape == (3, classes)
    logits.sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_logits_do_not_depend_on_tau_scale_or_clamp(network):
    images = torch.randn(4, 3, 16, 16)
    network.eval()
    outputs = []
    for options, tau in [({}, 0.51), ({}, 0.85), ({}, 1.0), ({"scale": 0.7}, 0.9), ({"clamp": False}, 0.9)]:
        other = build_network("resnet20", **options)
        other.load_state_dict(network.state_dict())
        set_tau(other, tau)
        with torch.no_grad():
            outputs.append(other.eval()(images))
    for other in outputs[1:]:
        torch.testing.assert_close(other, outputs[0], rtol=0, atol=0)


def test_weights_start_kaiming_normal():
    torch.manual_seed(0)
    network = build_network("resnet20")
    for weight in [network.conv1.weight, network.layer3[1].conv1.weight]:
        fan_in = weight[0].numel()
        assert float(weight.detach().std()) == pytest.approx((2 / fan_in) ** 0.5, rel=0.12)
    # The last layer as torch has it: uniform up to 1 / sqrt(64).
    assert 0.1 < float(network.linear.weight.detach().abs().max()) <= 0.125


def test_the_downsampling_shortcut_pools_and_pads_with_zero_channels(network):
    block = network.layer2[0]
    images = torch.randn(2, 16, 8, 8)
    shortcut = block._shortcut(images)
    assert shortcut.shape == (2, 32, 4, 4)
    torch.testing.assert_close(shortcut[:, 8:24], nn.functional.avg_pool2d(images, 2))
    assert not shortcut[:, :8].any()
    assert not shortcut[:, 24:].any()


def test_the_same_seed_builds_the_same_network(network):
    torch.manual_seed(0)
    again = build_network("resnet20")
    for ours, theirs in zip(again.state_dict().values(), network.state_dict().values(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(InputError, match=r"'resnet2'.*did you mean resnet20"):
        build_network("resnet2")
    with pytest.raises(InputError, match="known are resnet20"):
        build_network("transformer")


def test_a_network_needs_a_class():
    with pytest.raises(InputError, match="at least one class"):
        build_network("resnet20", 0)


@pytest.mark.parametrize("shape", [(2, 3, 18, 18), (2, 1, 16, 16), (3, 16, 16)])
def test_images_of_another_shape_are_refused(network, shape):
    with pytest.raises(InputError, match="multiples of 4"):
        network(torch.randn(shape))
