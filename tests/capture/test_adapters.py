"""Which layers are found, and what is said where none is."""

import pytest
import torch
from torch import nn

from recu_analysis import find_binary_layers, record
from recu_analysis.capture.adapters import binary_layers
from recu_analysis.errors import InputError, NoBinaryLayersError
from recu_analysis.nn import BinaryConv2d, BinaryLinear, TernaryLinear, build_network
from recu_analysis.theory.standardize import WeightTransform
from tests.messages import says


def small():
    return nn.Sequential(nn.Conv2d(3, 4, 3), BinaryConv2d(4, 8, 3, clamp=False), nn.Flatten(), BinaryLinear(8, 2))


def test_table_has_every_weighted_module_and_why():
    table = find_binary_layers(small())
    assert list(table.columns) == ["name", "binary", "adapter", "shape", "why"]
    assert list(table["binary"]) == [False, True, True]
    assert table["why"][0] == "no adapter knows Conv2d"
    assert table["shape"][1] == "8x4x3x3"


class Unusual(nn.Module):
    """A weight by another name, beside what is none."""

    def __init__(self):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(1, 4, 1, 1))
        self.kernel = nn.Parameter(torch.randn(2, 4))


def test_a_weight_by_another_name_is_listed_and_refused_with_what_to_do():
    model = small().append(Unusual()).append(nn.BatchNorm1d(2))
    table = find_binary_layers(model)
    assert table["name"].tolist() == ["0", "1", "3", "4"]
    *row, why = table.iloc[3].tolist()
    assert row == ["4", False, "", "2x4"]
    says(why, "kernel, not weight", '@adapter("mine", Unusual, weight="kernel")')
    assert find_binary_layers(model, layers=["3"])["why"][3] == "not selected by layers="
    with pytest.raises(InputError) as caught:
        binary_layers(model, ["4"])
    assert str(caught.value).endswith(f" 4: {why}")


@pytest.mark.parametrize("kind", [nn.Linear, BinaryLinear, TernaryLinear])
@pytest.mark.parametrize("shape", [(0, 4), (4, 0)])
def test_a_layer_without_weights_is_refused(kind, shape, tmp_path):
    model = nn.Sequential(kind(4, 4), kind(4, 4))
    model[1].weight = nn.Parameter(torch.zeros(shape))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(InputError) as caught:
        record(model, optimizer, tmp_path / "run", layers=["1"])
    assert str(caught.value).endswith(f": 1: its weight of shape {shape[0]}x{shape[1]} is empty")
    assert not (tmp_path / "run").exists()


def test_resnet20_has_18_binary_layers():
    table = find_binary_layers(build_network("resnet20"))
    assert table["binary"].sum() == 18
    assert set(table.loc[~table["binary"], "name"]) == {"conv1", "linear"}


def test_spec_says_what_the_layer_does():
    spec = binary_layers(small())[0].spec
    assert (spec.name, spec.shape, spec.dtype) == ("1", (8, 4, 3, 3), "float32")
    assert spec.transform == WeightTransform(center=True, target=2.0, eps=1e-5, ddof=1, clamp=False)


def test_tau_only_where_the_layer_clamps():
    plain, clamping = binary_layers(small())
    assert plain.tau is None
    assert clamping.tau == pytest.approx(0.85)


def test_patterns_take_plain_layers_too():
    layers = binary_layers(small(), ["0", "3"])
    assert [(layer.name, layer.adapter) for layer in layers] == [("0", "sign"), ("3", "recu-analysis")]
    assert layers[0].transform == WeightTransform()


def test_shared_weights_are_taken_once():
    model = small()
    model.append(model[1])
    assert [layer.name for layer in binary_layers(model)] == ["1", "3"]


class Signed(nn.Linear):
    """A class of the user's own, which no adapter knows."""


def test_no_binary_layer_names_the_classes_and_what_to_do_on_one_screen():
    model = nn.Sequential(nn.Linear(2, 3), *(Signed(3, 3) for _ in range(40)), nn.Linear(3, 2))
    with pytest.raises(NoBinaryLayersError) as caught:
        binary_layers(model)
    text = str(caught.value)
    says(text, "no binary layer", "Sequential", "Signed (1 and 39 more)", "Linear (0 and 1 more)")
    says(text, "layers=['1']", '@ra.adapter("mine", Signed)')
    assert len(text) < 4 * 80
    table = find_binary_layers(model)
    assert len(table) == 42
    assert not table["binary"].any()
    assert table["why"][1] == "no adapter knows Signed"


def test_a_model_without_weights_says_so_and_has_an_empty_table():
    with pytest.raises(NoBinaryLayersError, match="no module with a weight"):
        binary_layers(nn.ReLU())
    assert find_binary_layers(nn.ReLU()).columns.tolist() == ["name", "binary", "adapter", "shape", "why"]
    for wrong in (None, "model", [nn.ReLU()]):
        with pytest.raises(InputError, match=r"must be a torch\.nn\.Module"):
            find_binary_layers(wrong)


def test_a_pattern_without_a_match_is_refused():
    with pytest.raises(InputError, match=r"'layer9\*'.*0: Conv2d"):
        binary_layers(small(), ["3", "layer9*"])
    assert [layer.name for layer in binary_layers(small(), "3")] == ["3"]


def test_double_precision_is_kept():
    assert binary_layers(small().double())[0].spec.dtype == "float64"
    assert binary_layers(small().to(torch.bfloat16))[0].spec.dtype == "float32"


def test_a_layer_with_the_authors_sign_of_zero_is_taken_unless_a_weight_has_that_state():
    model = nn.Sequential(BinaryLinear(4, 3, zero="authors"), BinaryLinear(4, 3))
    assert [layer.name for layer in binary_layers(model)] == ["0", "1"]
    with torch.no_grad():
        model[0].weight[1] = 0.5
        model[1].weight[1] = 0.5
    assert [layer.name for layer in binary_layers(model)] == ["1"]
    with pytest.raises(InputError) as caught:
        binary_layers(model, ["0"])
    says(str(caught.value), "zero='authors' makes 4 of its binary weights 0")
    assert [layer.name for layer in binary_layers(model.to("meta"))] == ["0", "1"]
