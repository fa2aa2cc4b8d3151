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
