"""convert: which layers of a network become binary, what they keep, and what is left as it was and why."""

import copy
import pickle
import warnings

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune

import recu_analysis as ra
from recu_analysis.errors import InputError, LayerNotFoundError, RecordingWarning
from recu_analysis.nn import BinaryConv2d, BinaryLinear, binary_parameters, set_tau
from tests.messages import says


class Derived(nn.Linear):
    """A class of the user's own."""


class Wrapped(nn.parallel.DistributedDataParallel):
    """Of DistributedDataParallel its class, without processes."""

    def __init__(self, module):
        nn.Module.__init__(self)
        self.module = module


class Network(nn.Module):
    """Two convolutions that can be binary among layers that stay as they are."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3)
        self.body = nn.Sequential(
            nn.Conv2d(8, 8, (3, 1), padding="same", bias=False),
            nn.BatchNorm2d(8),
            nn.Conv2d(8, 16, 3, groups=4, padding=1, padding_mode="reflect"),
        )
        self.hidden = nn.Linear(16, 12)
        self.head = nn.Linear(12, 5)

    def forward(self, images):
        return self.head(self.hidden(self.body(self.stem(images)).mean((2, 3))).relu())


def test_a_network_becomes_binary_but_for_its_first_and_last_layer():
    torch.manual_seed(0)
    model = Network().double().eval()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    calls = []
    model.body[2].register_forward_hook(lambda *_: calls.append(1))
    before = dict(model.named_parameters())
    table = ra.convert(model, binarizer="bi-real", input_gradient="clipped")
    assert list(table.columns) == ["name", "converted", "kind", "shape", "why"]
    assert table["name"].tolist() == ["stem", "body.0", "body.2", "hidden", "head"]
    assert table["kind"].tolist() == ["Conv2d", "Conv2d", "Conv2d", "Linear", "Linear"]
    assert table["shape"].tolist() == ["8x3x3x3", "8x8x3x1", "16x2x3x3", "12x16", "5x12"]
    assert table["converted"].tolist() == [False, True, True, True, False]
    assert table["why"].tolist()[0::4] == ["first layer stays real", "last layer stays real"]
    assert (type(model.body[0]), type(model.hidden)) == (BinaryConv2d, BinaryLinear)
    assert all(each is before[name] for name, each in model.named_parameters())
    assert model.hidden.binarizer.input_gradient == "clipped"
    assert not model.body[0].training
    assert model.hidden.tau.dtype == torch.float64
    images = torch.randn(4, 3, 9, 9, dtype=torch.float64)
    model.train()(images).square().sum().backward()
    optimizer.step()
    assert calls
    assert all(weight.grad.any() for weight in binary_parameters(model))


@pytest.mark.filterwarnings("ignore")  # of torch.compile's own
def test_a_converted_layer_is_one_that_was_built_so():
    torch.manual_seed(0)
    model = Network()
    images = torch.randn(4, 3, 9, 9)
    ra.convert(model)
    set_tau(model, 0.9)
    built = Network()
    built.body[0] = BinaryConv2d(8, 8, (3, 1), padding="same", bias=False)
    built.body[2] = BinaryConv2d(8, 16, 3, groups=4, padding=1, padding_mode="reflect")
    built.hidden = BinaryLinear(16, 12)
    built.load_state_dict(model.state_dict())
    assert [name for name, _ in built.named_parameters()] == [name for name, _ in model.named_parameters()]
    expected = built(images)
    torch._dynamo.reset()
    compiled = torch.compile(model, backend="eager")
    for other in (model, copy.deepcopy(model), compiled, pickle.loads(pickle.dumps(model))):
        torch.testing.assert_close(other(images), expected)


def test_a_converted_network_is_recorded(tmp_path):
    torch.manual_seed(0)
    model = Network()
    ra.convert(model)
    images = torch.randn(8, 3, 9, 9)
    table = ra.find_binary_layers(model, example=images)
    assert table["name"][table["binary"]].tolist() == ["body.0", "body.2", "hidden"]
    assert table["verified"][table["binary"]].tolist() == [True, True, True]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5, momentum=0.9)
    with ra.record(model, optimizer, tmp_path / "run") as recorder:
        for _ in range(3):
            optimizer.zero_grad()
            model(images).square().sum().backward()
            optimizer.step()
        recorder.mark()
    run = ra.open_run(tmp_path / "run")
    assert run.layer_names == ["body.0", "body.2", "hidden"]
    assert all(spec.verified for spec in run.header.layers)


def test_layers_are_chosen_by_name_even_the_first_and_the_last():
    for patterns, expected in [("body.*", ["body.0", "body.2"]), (["stem", "h*"], ["stem", "hidden", "head"])]:
        table = ra.convert(Network(), layers=patterns)
        assert table["name"][table["converted"]].tolist() == expected
    single = nn.Linear(4, 3)
    assert ra.convert(single, layers="*")["converted"].tolist() == [True]
    assert type(single) is BinaryLinear


def left(kind):
    """A layer that must stay as it is, in a network in which it is neither first nor last."""
    torch.manual_seed(0)
    layer = {
        "thin": lambda: nn.Conv2d(4, 4, 1, groups=4),
        "derived": lambda: Derived(4, 4),
        "lazy": lambda: nn.LazyLinear(4),
        "parametrized": lambda: parametrizations.weight_norm(nn.Linear(4, 4)),
        "pruned": lambda: prune.l1_unstructured(nn.Linear(4, 4), "weight", amount=2),
        "complex": lambda: nn.Linear(4, 4, dtype=torch.complex64),
    }.get(kind, lambda: nn.Linear(4, 4))()
    if kind == "replaced":
        layer.forward = lambda values: values
    if kind == "torch":
        layer = nn.TransformerEncoderLayer(4, 1, 8)
    model = nn.Sequential(nn.Linear(4, 4), layer, BinaryLinear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4))
    if kind == "tied":
        model.insert(0, nn.Embedding(4, 4))
        model[0].weight = layer.weight
    return model, layer


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("thin", "too few weights per channel"),
        ("derived", "a class derived from torch's"),
        ("lazy", "a class derived from torch's"),
        ("parametrized", "its weight is computed"),
        ("pruned", "its weight is computed"),
        ("complex", "its weight is complex64, not real"),
        ("replaced", "its forward was replaced"),
        ("torch", "in "),
        ("tied", "its weight is shared"),
    ],
)
def test_what_cannot_be_binary_is_left_and_told(kind, why):
    model, layer = left(kind)
    kinds = {each: type(each) for each in layer.modules()}
    table = ra.convert(model)
    assert table["converted"].sum() == 1
    assert {each: type(each) for each in layer.modules()} == kinds
    number = next(name for name, each in model.named_children() if each is layer)
    told = table["why"][table["name"].str.match(rf"{number}(\.|$)")]
    assert len(told)
    assert all(why in each for each in told)
    assert "it is binary already" in table["why"].tolist()


def test_a_module_in_two_places_is_one_layer():
    shared = nn.Linear(4, 4)
    model = nn.Sequential(nn.Linear(4, 4), shared, nn.ReLU(), shared, nn.Linear(4, 4))
    assert ra.convert(model)["converted"].tolist() == [False, True, False]
    assert model[1] is model[3]
    assert type(model[3]) is BinaryLinear


def test_an_error_changes_nothing():
    model = Network()
    for error, facts, arguments in [
        (LayerNotFoundError, ("of Network matches 'bodi.*'", "hidden"), {"layers": ["body.*", "bodi.*"]}),
        (InputError, ("no binarizer is called 'xnr'",), {"binarizer": "xnr"}),
        (InputError, ("'clmap'", "clamp"), {"clmap": False}),
    ]:
        with pytest.raises(error) as caught:
            ra.convert(model, **arguments)
        says(str(caught.value), *facts)
        assert not binary_parameters(model)
        assert [name for name, _ in model.named_buffers() if "tau" in name] == []


def test_where_nothing_can_be_converted_the_error_says_why():
    for model, facts in [
        (nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4)), ("0: first layer", "1: last layer")),
        (nn.Sequential(nn.ReLU()), ("Sequential", "neither a Conv2d nor a Linear")),
        (nn.Sequential(Wrapped(Network())), ("DistributedDataParallel", "before")),
        ("resnet20", ("torch.nn.Module, not 'resnet20'",)),
    ]:
        with pytest.raises(InputError) as caught:
            ra.convert(model)
        says(str(caught.value), *facts)


def test_the_alpha_of_a_frozen_layer_is_frozen():
    model = Network()
    model.body.requires_grad_(False)
    ra.convert(model)
    assert not any(each.requires_grad for each in model.body.parameters())
    assert model.hidden.alpha.requires_grad


def test_a_mistyped_argument_is_answered_with_those_of_convert():
    with pytest.raises(InputError, match="'layer'; did you mean layers"):
        ra.convert(Network(), layer="hidden")


def test_an_optimizer_made_before_is_told_of(tmp_path):
    """It would not train alpha."""
    model = Network()
    early = torch.optim.SGD(model.parameters(), lr=0.1)
    ra.convert(model, layers="body.*")
    with pytest.warns(
        RecordingWarning, match=r"no given optimizer trains body\.0\.alpha, body\.2\.alpha; if none does"
    ):
        ra.record(model, early, tmp_path / "early").close()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ra.record(model, torch.optim.SGD(model.parameters(), lr=0.1), tmp_path / "late").close()
        model.body.requires_grad_(False)
        for name, each in model.body.named_parameters():
            each.requires_grad_(name.endswith("weight"))
        ra.record(model, early, tmp_path / "frozen").close()


def test_the_output_under_autocast_has_the_dtype_of_alpha():
    layer = BinaryConv2d(4, 6, 3)
    images = torch.randn(2, 4, 8, 8)
    with torch.autocast("cpu", torch.bfloat16):
        output = layer(images)
    assert output.dtype == layer.alpha.dtype
    torch.testing.assert_close(output, layer(images), rtol=1e-2, atol=1e-2)


def test_a_printed_table_shows_what_was_converted_and_why_in_80_columns():
    stages = {f"layer{stage}": nn.ModuleDict({"downsample": nn.Conv2d(64, 64, 3)}) for stage in range(3)}
    model = nn.ModuleDict({**stages, "attention": nn.MultiheadAttention(8, 2), "head": nn.Linear(8, 4)})
    lines = str(ra.convert(model)).splitlines()
    assert max(map(len, lines)) <= 80
    for row, (converted, why) in enumerate(
        [
            ("no", "first layer stays real"),
            ("yes", "neither first nor last"),
            ("yes", "neither first nor last"),
            ("no", "in MultiheadAttention"),
            ("no", "last layer stays real"),
        ]
    ):
        assert lines[1 + row].split()[1] == converted, lines
        assert lines[1 + row].endswith(f" {why}")
