"""record(): which models, weights and optimizers it refuses, before anything is made."""

import pytest
import torch
from torch import nn

import recu_analysis as ra
from recu_analysis.errors import InputError, NoBinaryLayersError, RecorderError
from tests.capture.plain_loops import sgd, tiny


def on_meta(model):
    return model.to("meta")


def with_sparse_weight(model):
    model[1].weight = nn.Parameter(model[1].weight.detach().to_sparse())
    return model


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (on_meta, r"binary layer '1'.*meta device"),
        (with_sparse_weight, r"binary layer '1'.*sparse"),
    ],
)
def test_weights_without_dense_values_are_refused(tmp_path, make, text):
    model = make(tiny())
    with pytest.raises(RecorderError, match=text):
        ra.record(model, sgd(model), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_weight_without_a_shape_is_refused(tmp_path):
    model = nn.Sequential(nn.LazyLinear(3))
    with pytest.raises((InputError, NoBinaryLayersError), match=r"no shape.*batch"):
        ra.record(model, torch.optim.SGD(model.parameters(), lr=0.1), tmp_path / "run", layers=["0"])


def test_optimizers_that_cannot_be_told_apart_are_refused(tmp_path):
    model = tiny()
    optimizer = sgd(model)
    with pytest.raises(InputError, match="an optimizer is listed twice"):
        ra.record(model, [optimizer, optimizer], tmp_path / "run")
    with pytest.raises(RecorderError, match=r"2 optimizers.*binary layer '1'"):
        ra.record(model, [optimizer, sgd(model)], tmp_path / "run")
    with pytest.raises(InputError, match=r"optimizer.*not generator"):
        ra.record(model, model.parameters(), tmp_path / "run")
    with pytest.raises(InputError, match=r"model must be.*not None"):
        ra.record(None, optimizer, tmp_path / "run")
    with pytest.raises(InputError, match=r"resume.*not '3'"):
        ra.record(model, optimizer, tmp_path / "run", resume="3")
    with pytest.raises(InputError, match=r"every.*whole number.*not 2\.5"):
        ra.record(model, optimizer, tmp_path / "run", every=2.5)
    assert not (tmp_path / "run").exists()


# torch.jit is deprecated, but models in TorchScript are still there.
@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
@pytest.mark.parametrize("compiled", [torch.jit.script, lambda model: torch.jit.trace(model, torch.ones(2, 3))])
@pytest.mark.parametrize("use", [ra.find_binary_layers, lambda model: ra.record(model, [], "run", layers=["0"])])
def test_a_model_in_torchscript_is_refused(compiled, use):
    model = compiled(nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 4)))
    with pytest.raises(InputError, match=r"the model is TorchScript.*record the model from which torch\.jit made it"):
        use(model)


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
def test_a_part_in_torchscript_is_told_and_the_rest_is_recorded(tmp_path):
    model = tiny()
    model[0] = torch.jit.script(nn.Linear(12, 12))
    table = ra.find_binary_layers(model).set_index("name")
    assert table["binary"].to_dict() == {"0": False, "1": True, "3": True}
    assert table.loc["0", "why"].startswith("it is TorchScript")
    with ra.record(model, sgd(model), tmp_path / "run") as recorder:
        assert "2 layers" in repr(recorder)
    with pytest.raises(InputError, match="layers= cannot be recorded: 0: it is TorchScript"):
        ra.record(model, sgd(model), tmp_path / "other", layers=["0"])
