"""Every layer is compared with what its own forward pass uses; training is bitwise the same while it is watched."""

import copy
import random
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

import recu_analysis as ra
from recu_analysis.capture.adapters import binary_layers
from recu_analysis.capture.verification import Verification
from recu_analysis.errors import InputError, NoBinaryLayersError, RecorderError, RecordingWarning
from recu_analysis.nn import BinaryConv2d, BinaryLinear
from recu_analysis.theory.standardize import WeightTransform
from tests.capture import codebase_layers as codebases
from tests.capture.plain_loops import shake
from tests.messages import says
from tests.run_files import contents


def through(weight, value):
    return weight + (value - weight).detach()


def kind(name, base, used, product=F.linear):
    """A layer that uses some function of its weight in a product."""

    def forward(self, x):
        return product(x, through(self.weight, used(self.weight)))

    return type(name, (base,), {"forward": forward})


def absmean(weight):
    size = weight.abs().mean()
    return (weight / size).round().clamp(-1, 1) * size


def twn(weight, share=0.7):
    threshold = share * weight.abs().mean()
    return torch.where(weight.abs() < threshold, 0.0, weight.sign())


def steps(weight, levels=7):
    size = weight.abs().max() / levels
    return (weight / size).round() * size


def centered(weight):
    return (weight - weight.flatten(1).mean(1).view(-1, *[1] * (weight.ndim - 1))).sign()


def plain(weight):
    return weight.sign() * weight.abs().mean()


def by_element(weight):
    return weight.sign() * torch.linspace(0.5, 1.5, weight.shape[1])


#: What differs, what the error says of the weight, and the layers asked for.
DIFFERENT = {
    "ternary BitLinear": (kind("BitLinear", nn.Linear, absmean), "three values per channel, one of them zero", None),
    "real BitLinear": (kind("BitLinear", nn.Linear, lambda weight: weight), "is real", None),
    "ternary BinarizeConv2d": (kind("BinarizeConv2d", nn.Conv2d, twn, F.conv2d), "three values per channel", None),
    "ternary by name": (kind("Mine", nn.Linear, absmean), "three values per channel", ["0"]),
    "ternary in a product": (
        kind("Mine", nn.Linear, twn, lambda x, w: x @ w.t()),
        "three values per channel, one of them zero, and the signs",
        ["0"],
    ),
    "four bits by name": (kind("Mine", nn.Linear, steps), "1[0-9] values per channel", ["0"]),
    "centred by name": (
        kind("Mine", nn.Linear, centered, lambda x, w: torch.einsum("bi,oi->bo", x, w)),
        "two values per channel, and the signs .* minus the mean of their channel",
        ["0"],
    ),
    "a size each by name": (kind("Mine", nn.Linear, by_element), "", ["0"]),
    "plain IRConv2d": (kind("IRConv2d", nn.Conv2d, plain, F.conv2d), "two values per channel, and the signs of", None),
}


def model_of(cls):
    torch.manual_seed(0)
    layer = cls(3, 8, 3) if issubclass(cls, nn.Conv2d) else cls(24, 10)
    return nn.Sequential(layer), torch.randn(4, 3, 6, 6) if issubclass(cls, nn.Conv2d) else torch.randn(4, 24)


def train(path, model, batch, *, updates=2, **options):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with ra.record(model, optimizer, path, **options) as recorder:
        for _ in range(updates):
            optimizer.zero_grad()
            model(batch).square().mean().backward()
            optimizer.step()
        recorder.mark(epoch=0)
    return ra.open_run(path)


@pytest.mark.parametrize("name", DIFFERENT)
def test_a_layer_that_uses_other_states_is_refused(tmp_path, name):
    cls, looks, layers = DIFFERENT[name]
    model, batch = model_of(cls)
    text = rf"layer '0' does not use the states.*differ.*{looks}"
    with pytest.raises(RecorderError, match=text):
        train(tmp_path / "shown", model, batch, layers=layers, example=batch)
    assert not (tmp_path / "shown").exists()
    before = [each.clone() for each in model.parameters()]
    with pytest.raises(RecorderError, match=text):
        train(tmp_path / "watched", model, batch, layers=layers)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True)), "no update was made"
    says(ra.open_run(tmp_path / "watched").problems[0], "refused", "layer '0'")
    table = ra.find_binary_layers(model, layers=layers, example=batch)
    assert table["verified"].tolist() == [False]
    good = nn.Sequential(BinaryLinear(24, 4))
    run = train(tmp_path / "watched", good, torch.randn(4, 24))
    assert run.header.layers[0].verified
    assert not run.problems


def test_a_run_that_goes_on_with_another_forward_pass_is_as_it_was(tmp_path):
    model, batch = model_of(kind("BitLinear", nn.Linear, lambda weight: (weight - weight.mean()).sign()))
    before = train(tmp_path / "run", model, batch)
    files = contents(tmp_path / "run")
    type(model[0]).forward = kind("Other", nn.Linear, absmean).forward
    with pytest.raises(RecorderError, match="three values per channel"):
        train(tmp_path / "run", model, batch, resume=2)
    assert contents(tmp_path / "run") == files
    assert len(ra.open_run(tmp_path / "run").windows) == len(before.windows)


def shares(layer, *, example=None):
    """The share of states that differ, as an example or the first forward pass of a training shows it."""
    verification = Verification()
    (found,) = layers = binary_layers(layer)
    if example is not None:
        verification = Verification.of_example(layer, layers, example)
        verification.settle()
    else:
        latent = found.weight.detach().clone()
        verification.watch(layers, {found.name: lambda: latent})
        binarized = layer.binarize() if isinstance(layer, codebases.BinConv2d) else None
        layer(input_of(layer))
        if binarized:
            binarized[0].data.copy_(binarized[1])
        shake(layer, torch.optim.SGD(layer.parameters(), lr=0.1), 0)
        verification.settle()
    return verification.shares


def input_of(layer):
    width = next(p for p in layer.parameters() if p.ndim >= 2).shape
    return torch.randn(1, 6) if len(width) == 2 and width[1] == 6 else torch.randn(1, 2, 4, 4)


@pytest.mark.parametrize("codebase", codebases.LAYERS)
def test_layers_of_known_codebases_are_verified_or_told(codebase):
    torch.manual_seed(1)
    make = codebases.LAYERS[codebase][1]
    (share,) = shares(make()).values()
    soft = codebase == "bnext-warm"
    assert 0.9 < share < 1.0 if soft else share == 0.0
    layer = make()
    shown = list(shares(layer, example=input_of(layer)).values())
    # What binarises the weights of XNOR-Net is the training loop, which an example does not see.
    assert shown == [] if codebase.startswith("xnor") else 0.9 < shown[0] < 1.0 if soft else shown == [0.0]


@pytest.mark.parametrize("binarizer", ["recu", "bnn", "xnor", "bi-real", "ir-net"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_our_own_layers_are_verified(tmp_path, binarizer, dtype):
    torch.manual_seed(0)
    model = nn.Sequential(
        BinaryConv2d(4, 6, 3, binarizer=binarizer), nn.Flatten(), BinaryLinear(96, 5, binarizer=binarizer)
    )
    run = train(tmp_path / "run", model.to(dtype), torch.randn(2, 4, 6, 6, dtype=dtype))
    assert [layer.verified for layer in run.header.layers] == [True, True]
    assert run.layers["verified"].tolist() == [True, True]
    assert run.layers["differs"].tolist() == [0.0, 0.0]


def test_weights_at_the_threshold_are_decided_by_rounding_and_accuse_nobody():
    torch.manual_seed(0)
    model, batch = nn.Sequential(BinaryLinear(4096, 64)), torch.randn(2, 4096)
    model[0].weight.data += 1000.0  # so that float32 decides the sign of many weights near the channel's mean
    (layer,) = binary_layers(model)
    float32 = (model[0].binary_weight() < 0).detach()
    exact = layer.weight.detach().double() - layer.weight.detach().double().mean(1, keepdim=True) < 0
    assert (float32 != exact).any(), "a test without such weights would say nothing"
    assert Verification.of_example(model, [layer], batch).watches[0].best.share == 0.0


def test_an_approximate_adapter_is_told_its_share(tmp_path):
    class Soft(nn.Linear):
        def forward(self, x):
            return F.linear(x, torch.tanh(3 * self.weight))

    @ra.adapter("soft", Soft, approximate=True)
    def _soft(module):
        return WeightTransform()

    model = nn.Sequential(Soft(24, 10))
    run = train(tmp_path / "run", model, torch.randn(4, 24))
    (spec,) = run.header.layers
    assert spec.verified
    assert 0.9 < spec.differs < 1.0


def test_sizes_of_their_own_need_an_adapter_that_says_so(tmp_path):
    cls = kind("Elements", nn.Linear, by_element)
    ra.adapter("elements", cls, scale="element")(lambda module: WeightTransform())
    model, batch = model_of(cls)
    assert train(tmp_path / "run", model, batch, example=batch).header.layers[0].verified
    with pytest.raises(InputError, match=r"'group'.*channel, element"):
        ra.adapter("wrong", cls, scale="group")


class Restless(nn.Module):
    """A network whose forward pass draws random numbers, counts, and changes its weights and buffers."""

    def __init__(self):
        super().__init__()
        self.first, self.norm, self.last = BinaryLinear(12, 8), nn.BatchNorm1d(8), BinaryLinear(8, 3)
        self.drop = nn.Dropout(0.5)
        self.register_buffer("passes", torch.zeros(1))
        self.calls, self.seen = 0, {}

    def forward(self, x, *, shift=0.0):
        self.calls += 1
        self.seen[self.calls] = x
        self.passes += 1
        self.first.weight.data.mul_(0.999)
        self.last.weight.mark = self.calls
        x = x + shift + torch.rand(1) + random.random() + np.random.rand()  # noqa: NPY002
        return self.last(self.drop(self.norm(self.first(x))))


@pytest.mark.parametrize("form", [lambda x: x, lambda x: (x,), lambda x: {"x": x, "shift": 1.0}])
def test_an_example_leaves_the_model_and_the_random_numbers_as_they_were(tmp_path, form):
    torch.manual_seed(0)
    model = Restless().train()
    model.norm.eval()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    example = form(torch.randn(4, 12))
    numbers, ours, numpys = torch.get_rng_state(), random.getstate(), np.random.get_state()[2]  # noqa: NPY002
    ra.record(model, optimizer, tmp_path / "run", example=example).close()
    run = ra.open_run(tmp_path / "run")
    assert [layer.verified for layer in run.header.layers] == [True, True]
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())
    assert torch.equal(numbers, torch.get_rng_state())
    assert (ours, numpys) == (random.getstate(), np.random.get_state()[2])  # noqa: NPY002
    assert (model.calls, model.seen, model.training, model.norm.training) == (0, {}, True, False)
    assert not hasattr(model.last.weight, "mark")
    assert not model.first._forward_hooks
    assert not model.first._forward_pre_hooks


def test_an_example_that_the_model_does_not_take_is_one_sentence(tmp_path):
    model = nn.Sequential(BinaryLinear(12, 8))
    with pytest.raises(InputError, match=r"example= \(RuntimeError"):
        ra.record(model, torch.optim.SGD(model.parameters()), tmp_path / "run", example=torch.randn(2, 5))
    assert not (tmp_path / "run").exists()


class Deep(nn.Module):
    def __init__(self, *, checkpointed=False):
        super().__init__()
        self.body = nn.Sequential(BinaryLinear(12, 16), nn.BatchNorm1d(16), nn.Dropout(0.3), BinaryLinear(16, 16))
        self.head = nn.Linear(16, 3)
        self.checkpointed = checkpointed

    def forward(self, x):
        x = checkpoint(self.body, x, use_reentrant=False) if self.checkpointed else self.body(x)
        return self.head(x)


def plain_call(model, x):
    return model(x)


def cast_call(model, x):
    with torch.autocast("cpu", torch.bfloat16):
        return model(x).float()


TRAININGS = {
    "dropout": (Deep, plain_call, lambda model: model, True),
    "checkpointing": (partial(Deep, checkpointed=True), plain_call, lambda model: model, True),
    "autocast": (Deep, cast_call, lambda model: model, True),
    "compiled": (Deep, plain_call, lambda model: torch.compile(model, backend="eager", fullgraph=True), None),
    "compiled in parts": (Deep, plain_call, lambda model: model.body.compile(backend="eager") or model, None),
}


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")
@pytest.mark.parametrize("name", TRAININGS)
def test_training_is_bitwise_the_same_while_it_is_watched(tmp_path, name):
    make, call, wrap, verified = TRAININGS[name]

    def run(record):
        torch.manual_seed(0)
        torch._dynamo.reset()
        model = make()
        wrapped = wrap(model)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        recorder = ra.record(wrapped, optimizer, tmp_path / "run") if record else None
        for _ in range(3):
            optimizer.zero_grad()
            call(wrapped, torch.randn(8, 12)).square().mean().backward()
            optimizer.step()
        if recorder and verified is None:
            with pytest.warns(RecordingWarning, match=r"body.0, body.3"):
                recorder.close()
        elif recorder:
            recorder.close()
        return [*model.state_dict().values(), torch.get_rng_state()]

    assert all(torch.equal(a, b) for a, b in zip(run(False), run(True), strict=True))
    layers = ra.open_run(tmp_path / "run").header.layers
    assert [layer.verified for layer in layers] == [verified or False] * 2


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
def test_a_compiled_model_is_verified_by_an_example(tmp_path):
    model = Deep()
    wrapped = torch.compile(model, backend="eager", fullgraph=True)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with ra.record(wrapped, optimizer, tmp_path / "run", example=torch.randn(4, 12)) as recorder:
        wrapped(torch.randn(8, 12)).square().mean().backward()
        optimizer.step()
        recorder.mark(epoch=0)
    assert [layer.verified for layer in ra.open_run(tmp_path / "run").header.layers] == [True, True]


def test_a_layer_whose_product_torch_does_not_show_is_unverified(tmp_path):
    class Hidden(nn.Linear):
        def forward(self, x):
            return (x[:, None, :] * through(self.weight, self.weight.sign())).sum(-1)

    model = nn.Sequential(Hidden(12, 3))
    with pytest.warns(RecordingWarning, match="could not be seen in layers 0, so") as told:
        run = train(tmp_path / "run", model, torch.randn(4, 12), layers=["0"])
    assert len(told) == 1
    assert [layer.verified for layer in run.header.layers] == [False]


def test_a_forward_pass_that_fails_leaves_nothing_entered(tmp_path):
    model = nn.Sequential(BinaryLinear(12, 8))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with ra.record(model, optimizer, tmp_path / "run") as recorder:
        with pytest.raises(RuntimeError):
            model(torch.randn(2, 5))
        assert torch.overrides._get_current_function_mode() is None
        model(torch.randn(2, 12)).sum().backward()
        optimizer.step()
        recorder.mark(epoch=0)
    assert not model[0]._forward_hooks
    assert ra.open_run(tmp_path / "run").header.layers[0].verified


def test_the_table_of_layers_says_which_are_verified():
    torch.manual_seed(0)
    hidden = nn.Sequential(kind("Mine", nn.Linear, plain)(12, 6), BinaryLinear(6, 4), nn.Linear(4, 4))
    table = ra.find_binary_layers(hidden, example=torch.randn(3, 12))
    assert table["verified"].tolist() == [None, True, None]
    assert "verified" not in ra.find_binary_layers(hidden)
    assert np.array_equal(table["binary"], [False, True, False])


@pytest.mark.parametrize("every", [1, None])
def test_a_pass_within_the_step_is_checked_before_its_update_counts(tmp_path, every):
    model, batch = model_of(kind("BitLinear", nn.Linear, lambda weight: weight))
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=2)

    def closure():
        optimizer.zero_grad()
        loss = model(batch).square().mean()
        loss.backward()
        return loss

    recorder = ra.record(model, optimizer, tmp_path / "run", every=every)
    with pytest.raises(RecorderError, match="where the weight is real"):
        optimizer.step(closure)
    recorder.close()
    good, batch = model_of(kind("BitLinear", nn.Linear, lambda weight: (weight - weight.mean()).sign()))
    optimizer = torch.optim.LBFGS(good.parameters(), max_iter=2)
    model = good
    with ra.record(good, optimizer, tmp_path / "run", every=every):
        optimizer.step(closure)
    assert ra.open_run(tmp_path / "run").header.layers[0].verified


def test_a_layer_used_late_is_checked_then(tmp_path):
    mine = kind("Mine", nn.Linear, absmean)

    class Late(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.late, self.on = BinaryLinear(8, 8), mine(8, 8), False

        def forward(self, x):
            return self.late(self.first(x)) if self.on else self.first(x)

    ra.adapter("mine", mine)(lambda module: WeightTransform())
    model = Late()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)

    def train_on():
        with ra.record(model, optimizer, tmp_path / "run") as recorder:
            for epoch in range(2):
                model.on = bool(epoch)
                model(torch.randn(4, 8)).square().mean().backward()
                optimizer.step()
                recorder.mark(epoch=epoch)

    with pytest.raises(RecorderError, match=r"layer 'late'.*states"):
        train_on()
    assert "layer 'late' does not use" in ra.open_run(tmp_path / "run").problems[0], "what it has of it is wrong"


def test_ctrl_c_in_a_watched_pass_leaves_nothing_entered(tmp_path):
    class Interrupted(BinaryLinear):
        def forward(self, x):
            raise KeyboardInterrupt

    model = nn.Sequential(Interrupted(8, 8))
    with pytest.raises(KeyboardInterrupt), ra.record(model, torch.optim.SGD(model.parameters()), tmp_path / "run"):
        model(torch.randn(2, 8))
    with pytest.raises(KeyboardInterrupt):
        ra.find_binary_layers(model, example=torch.randn(2, 8))
    assert torch.overrides._get_current_function_mode() is None


@torch.compile(backend="eager", fullgraph=True)
def compiled_product(x, weight):
    return F.linear(x, weight)


def untransposed(x, weight):
    return F.conv_transpose2d(x, weight.transpose(0, 1))


def rows_first(x, weight):
    patches = x.unfold(2, 3, 1).unfold(3, 3, 1).permute(0, 2, 3, 4, 5, 1).flatten(3)
    return patches @ weight.permute(2, 3, 1, 0).flatten(0, 2)


def turned(weight):
    return torch.linspace(-1, 1, len(weight) + 1 - len(weight) % 2)[: len(weight)].view(-1, 1) * weight.sign()


def constant(weight):
    return torch.ones_like(weight)


#: Layers that are binary as recorded, and what can be said of them; None where it cannot be seen.
BINARY = {
    "in a batch": (kind("A", nn.Linear, plain, lambda x, w: torch.bmm(x[None], w.t()[None])[0]), True),
    "transposed convolution": (kind("B", nn.Conv2d, plain, untransposed), True),
    "another order of axes": (kind("C", nn.Conv2d, plain, rows_first), None),
    "negative scales, and 0": (kind("D", nn.Linear, turned), True),
    "in a compiled function": (kind("E", nn.Linear, plain, compiled_product), True),
    "as zeros and ones": (kind("F", nn.Linear, constant), None),
}


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")
@pytest.mark.parametrize("name", BINARY)
def test_a_binary_layer_is_verified_or_not_seen(tmp_path, name):
    cls, seen = BINARY[name]
    model, batch = model_of(cls)
    if issubclass(cls, nn.Conv2d) and name.startswith("transposed"):
        batch = torch.randn(2, 3, 5, 5)
    assert ra.find_binary_layers(model, layers=["0"], example=batch)["verified"].tolist() == [seen]
    run = train(tmp_path / "run", model, batch, layers=["0"])
    assert run.header.layers[0].verified == bool(seen)


@pytest.mark.parametrize("start", [nn.init.zeros_, lambda weight: nn.init.constant_(weight, torch.nan)])
def test_weights_without_states_prove_nothing(start):
    model, batch = model_of(kind("Mine", nn.Linear, lambda weight: weight))
    with torch.no_grad():
        start(model[0].weight)
    assert ra.find_binary_layers(model, layers=["0"], example=batch)["verified"].tolist() == [None]


def test_low_precision_hides_no_other_signs():
    torch.manual_seed(0)
    for used in (centered, partial(twn, share=0.05)):
        model = nn.Sequential(kind("Mine", nn.Linear, used)(1024, 64)).bfloat16()
        table = ra.find_binary_layers(model, layers=["0"], example=torch.randn(2, 1024).bfloat16())
        assert table["verified"].tolist() == [False]
    rounded = nn.Sequential(kind("Mine", nn.Linear, plain)(256, 256)).bfloat16()
    rounded[0].weight.data = torch.distributions.Laplace(0.0, 0.03).sample((256, 256)).bfloat16()
    table = ra.find_binary_layers(rounded, layers=["0"], example=torch.randn(2, 256).bfloat16())
    assert table["verified"].tolist() == [True], "adding and subtracting the weight leaves its rounding"


def test_an_effective_weight_in_another_order_is_refused():
    class InOut(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.randn(6, 8))

    ra.adapter("in-out", InOut)(lambda module: module.weight.t())
    with pytest.raises(NoBinaryLayersError, match=r"shape 8x6.*shape 6x8"):
        binary_layers(nn.Sequential(InOut()))


def test_copies_and_saved_models_have_hooks_without_effect(tmp_path):
    model = nn.Sequential(BinaryLinear(12, 8))
    with ra.record(model, torch.optim.SGD(model.parameters()), tmp_path / "run") as recorder:
        torch.save(model, tmp_path / "model.pt")
        copied = copy.deepcopy(model)
        loaded = torch.load(tmp_path / "model.pt", weights_only=False)
        for other in (copied, loaded):
            other(torch.randn(2, 12)).sum().backward()
            other.load_state_dict(model.state_dict())
        assert recorder.update == 0
    assert (tmp_path / "model.pt").stat().st_size < 5000
    assert ra.open_run(tmp_path / "run").header.layers[0].verified is None
