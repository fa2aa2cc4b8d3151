"""Which layers of networks and of checkpoints are listed as binary, and the reasons given."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from recu_analysis.capture.layer_listing import find_binary_layers, list_network, list_state
from recu_analysis.nn import BinaryConv2d, build_network
from tests.messages import says


@pytest.fixture(scope="module")
def network():
    return build_network("resnet18_imagenet", 3)


def test_a_network_lists_every_layer_with_its_reason(network):
    table = list_network(network).set_index("name")
    assert list(table.columns) == ["shape", "weights", "binary", "why"]
    assert table["binary"].sum() == 16
    assert dict(table.loc[~table["binary"], "why"]) == {
        "conv1": "first convolution stays real",
        **{f"layer{stage}.0.downsample.0": "1x1 convolutions stay real" for stage in (2, 3, 4)},
        "fc": "last layer stays real",
    }
    assert tuple(table.loc["layer2.0.conv1", ["shape", "weights", "binary", "why"]]) == (
        "128x64x3x3",
        128 * 64 * 9,
        True,
        "BinaryConv2d of recu-analysis",
    )


def test_a_state_lists_the_same_layers(network):
    ours, theirs = list_network(network), list_state(network.state_dict())
    for column in ("name", "shape", "weights", "binary"):
        assert ours[column].tolist() == theirs[column].tolist()
    (why,) = set(theirs.loc[theirs["binary"], "why"])
    says(why, "ReCU", "alpha and tau")


@pytest.mark.parametrize("entry", ["alpha", "tau"])
def test_alpha_or_tau_alone_make_no_binary_layer(entry):
    state = {"a.weight": torch.ones(2, 3), f"a.{entry}": torch.ones(1), "b.bias": torch.ones(2)}
    state["c.weight"] = torch.ones(2, 2, 3, 3)
    table = list_state(state)
    assert table["binary"].tolist() == [False, False]
    assert table["why"].tolist() == ["no tensor beside it shows that it is binary"] * 2


def test_a_real_layer_in_the_middle_keeps_the_adapters_reason():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3), BinaryConv2d(4, 4, 3))
    assert list_network(model)["why"].tolist()[:2] == [
        "first convolution stays real",
        "no adapter knows Conv2d",
    ]


def test_a_real_valued_twin_lists_as_its_network_does_with_nothing_binary(network):
    twin = list_network(build_network("resnet18_imagenet-real", 3))
    assert twin[["name", "shape", "weights"]].equals(list_network(network)[["name", "shape", "weights"]])
    assert not twin["binary"].any()
    assert twin.set_index("name").loc["layer2.0.conv1", "why"] == "no adapter knows Conv2d"


def test_a_state_may_have_no_binary_layer():
    assert not list_state(build_network("resnet20-real").state_dict())["binary"].any()
    assert len(list_state({})) == 0


def test_a_printed_table_shows_which_layers_are_binary_and_why_in_80_columns():
    lines = str(find_binary_layers(build_network("resnet18"), example=torch.randn(2, 3, 16, 16))).splitlines()
    assert lines[0].split() == ["name", "binary", "verified", "why"]
    assert lines[2].split()[:3] == ["layer1.0.conv1", "yes", "yes"]
    assert lines[2].endswith(" BinaryConv2d of recu-analysis")
    assert max(map(len, lines)) <= 80
