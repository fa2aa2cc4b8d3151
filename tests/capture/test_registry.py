"""The registry open to users, and models that are wrapped, compiled, tied or parametrized."""

import itertools

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize

import recu_analysis as ra
from recu_analysis import find_binary_layers
from recu_analysis.capture.adapters import binary_layers, registry
from recu_analysis.errors import InputError, NoBinaryLayersError
from recu_analysis.nn import BinaryConv2d, BinaryLinear
from recu_analysis.theory.standardize import WeightTransform
from tests.capture import codebase_layers as codebases
from tests.messages import says


@pytest.fixture(autouse=True)
def own_registry(monkeypatch):
    """What a test registers is gone after it."""
    monkeypatch.setattr(registry, "_registered", list(registry._registered))


class Shifted(nn.Linear):
    def __init__(self, *sizes):
        super().__init__(*sizes)
        self.offset = nn.Parameter(torch.full((sizes[1], 1), 0.1))


class Binarize(nn.Module):
    def forward(self, weight):
        return (weight - weight.mean()).sign() * weight.abs().mean()


def names(model, layers=None):
    return [layer.name for layer in binary_layers(model, layers)]


def run_updates(model, optimizer, path, updates=6):
    """Record updates by random gradients, and the latent weights that they left."""
    history = []
    with ra.record(model, optimizer, path) as recorder:
        for update in range(updates):
            generator = torch.Generator().manual_seed(update)
            for parameter in model.parameters():
                parameter.grad = torch.randn(parameter.shape, generator=generator) * 0.3
            optimizer.step()
            history.append({name: value.detach().clone() for name, value in model.named_parameters()})
        recorder.mark()
    return ra.open_run(path), history


def test_a_users_adapter_gives_the_effective_weight(tmp_path):
    @ra.adapter("shifted", Shifted)
    def shifted(module):
        """Sign of the weight less a learned offset."""
        return module.weight - module.offset

    torch.manual_seed(0)
    model = nn.Sequential(Shifted(6, 4), nn.Linear(4, 2))
    before = (model[0].weight - model[0].offset).detach() < 0
    run, history = run_updates(model, torch.optim.SGD(model.parameters(), lr=0.5), tmp_path / "run")
    assert find_binary_layers(model)["why"][0] == "Shifted: Sign of the weight less a learned offset"
    signs = [before, *((each["0.weight"] - each["0.offset"]) < 0 for each in history)]
    flips = sum((after != before).int() for before, after in itertools.pairwise(signs)).numpy()
    record = run.windows[1]["0"]
    assert flips.sum() > 0
    np.testing.assert_array_equal(record.flips, flips)
    np.testing.assert_array_equal(record.effective < 0, signs[-1].numpy())
    np.testing.assert_array_equal(record.weight, history[-1]["0.weight"].numpy())


def test_a_users_transform_takes_the_fast_way_and_goes_before_the_known_ones():
    @ra.adapter("mine", "BinaryLinear")
    def mine(module):
        return WeightTransform(center=False)

    layer = binary_layers(nn.Sequential(BinaryLinear(6, 4)))[0]
    assert (layer.adapter, layer.transform, layer.effective) == ("mine", WeightTransform(), None)


def test_an_adapter_that_declines_leaves_the_module_to_others():
    @ra.adapter("mine", BinaryLinear)
    def mine(module):
        return None

    assert binary_layers(nn.Sequential(BinaryLinear(6, 4)))[0].adapter == "recu-analysis"


def test_an_adapter_registered_again_replaces_itself():
    for center in (True, False):

        @ra.adapter("mine", Shifted)
        def mine(module, center=center):
            return WeightTransform(center=center)

    assert sum(each.name == "mine" for each in registry.registered()) == 1
    assert not binary_layers(Shifted(6, 4))[0].transform.center


def test_what_adapters_may_not_do():
    with pytest.raises(InputError, match=r"adapter 'x'.*@adapter\('x', MyBinaryConv2d\)"):
        ra.adapter("x")

    @ra.adapter("wrong", Shifted)
    def wrong(module):
        return 3

    with pytest.raises(NoBinaryLayersError, match=r"adapter 'wrong'.*WeightTransform"):
        binary_layers(Shifted(6, 4))

    @ra.adapter("wrong", Shifted)
    def short(module):
        return module.weight[:1]

    with pytest.raises(NoBinaryLayersError, match=r"adapter 'wrong'.*6 numbers.*24 latent"):
        binary_layers(Shifted(6, 4))


def test_wrappers_do_not_show_in_the_names():
    model = nn.Sequential(BinaryConv2d(2, 4, 3), nn.Sequential(BinaryConv2d(4, 4, 3)))
    assert names(nn.DataParallel(model)) == names(model) == ["0", "1.0"]
    assert names(torch.compile(model, backend="eager")) == ["0", "1.0"]
    assert names(nn.DataParallel(torch.compile(model, backend="eager")), ["1.*"]) == ["1.0"]
    model[1] = torch.compile(model[1], backend="eager")
    assert names(model) == ["0", "1.0"]


def test_ddp_does_not_show_in_the_names(tmp_path):
    store = torch.distributed.FileStore(str(tmp_path / "store"), 1)
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    try:
        assert names(nn.parallel.DistributedDataParallel(nn.Sequential(BinaryLinear(6, 4)))) == ["0"]
    finally:
        torch.distributed.destroy_process_group()


def test_a_compiled_model_is_recorded(tmp_path):
    torch.manual_seed(0)
    model = torch.compile(nn.Sequential(BinaryLinear(6, 4)), backend="eager")
    run, history = run_updates(model, torch.optim.SGD(model.parameters(), lr=0.5), tmp_path / "run", 2)
    np.testing.assert_array_equal(run.windows[1]["0"].weight, history[-1]["_orig_mod.0.weight"].numpy())


def test_tied_weights_are_taken_once_and_said_so():
    model = nn.Sequential(BinaryLinear(4, 4), BinaryLinear(4, 4))
    model[1].weight = model[0].weight
    table = find_binary_layers(model)
    assert table["binary"].tolist() == [True, False]
    assert table["why"][1] == "shares its weight with 0"


def test_a_binarizing_parametrization_is_recognized(tmp_path):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 4), nn.Linear(4, 3))
    parametrize.register_parametrization(model[0], "weight", Binarize())
    before = model[0].weight.detach() < 0
    run, history = run_updates(model, torch.optim.SGD(model.parameters(), lr=0.5), tmp_path / "run")
    assert run.layer_names == ["0"]
    originals = [each["0.parametrizations.weight.original"] for each in history]
    signs = [before, *(value < value.mean() for value in originals)]
    flips = sum((after != before).int() for before, after in itertools.pairwise(signs))
    record = run.windows[1]["0"]
    np.testing.assert_array_equal(record.flips, flips.numpy())
    np.testing.assert_array_equal(record.weight, originals[-1].numpy())
    assert flips.sum() > 0


def test_a_parametrized_binary_layer_is_followed_through_its_parametrization():
    class Double(nn.Module):
        def forward(self, weight):
            return 2.0 * weight + torch.arange(24.0).view(4, 6)

    layer = BinaryLinear(6, 4, clamp=False)
    parametrize.register_parametrization(layer, "weight", Double())
    (found,) = binary_layers(layer)
    assert found.parameter is layer.parametrizations.weight.original
    np.testing.assert_array_equal((found.effective() >= 0).numpy(), layer.binary_weight().detach().numpy() > 0)


def test_looking_leaves_a_spectral_norm_and_random_numbers_alone():
    torch.manual_seed(0)
    model = nn.Sequential(
        parametrizations.spectral_norm(BinaryLinear(6, 4)), parametrizations.spectral_norm(codebases.rbnn())
    )
    state = {name: value.clone() for name, value in model.state_dict().items()}
    random = torch.get_rng_state()
    assert find_binary_layers(model)["binary"].all()
    for layer in binary_layers(model):
        layer.effective()
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random)
    assert model[0].parametrizations.weight.training


def test_weights_of_several_parameters_have_no_latent_one():
    model = nn.Sequential(parametrizations.weight_norm(BinaryLinear(6, 4)), BinaryLinear(4, 2))
    table = find_binary_layers(model)
    says(table["why"][0], "several parameters", "latent")


def test_layers_not_asked_for_say_so():
    table = find_binary_layers(nn.Sequential(BinaryLinear(6, 4), nn.Linear(4, 2)), layers=["1"])
    says(table["why"][0], "not selected by layers=")
    says(table["why"][1], "selected by layers=", "plain sign")


def test_states_are_refused_without_their_thresholds():
    class Ternary(nn.Linear):
        pass

    @ra.adapter("states", Ternary)
    def states(module):
        return (module.weight / module.weight.abs().mean()).round().clamp(-1, 1).to(torch.int8)

    says(
        find_binary_layers(nn.Sequential(Ternary(6, 4)))["why"][0], "states other than -1 and +1", "return a Quantizer"
    )

    @ra.adapter("states", Ternary)
    def signs(module):
        return torch.where(module.weight < 0, -1, 1)

    assert find_binary_layers(nn.Sequential(Ternary(6, 4)))["binary"].all()
