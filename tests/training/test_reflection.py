"""Reflected weights: how many return and leave, beside a plain count, for each layer and for all."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import recu_analysis as ra
from recu_analysis.analysis.final_windows import choose
from recu_analysis.analysis.weight_groups import WEIGHT_GROUPS
from recu_analysis.errors import InputError
from recu_analysis.intervention.draws import drawer
from recu_analysis.training import checkpoint, loop, trained_run
from recu_analysis.training.config import TrainingConfig
from recu_analysis.training.loop import train
from recu_analysis.training.reflection import reflect_and_train
from recu_analysis.training.trained_run import load_trained_run
from tests.training.short_training import SETTINGS

pytestmark = pytest.mark.usefixtures("few_digits")


def test_reflected_weights_are_counted_and_few_return_without_a_step(tmp_path, monkeypatch):
    train(TrainingConfig(**SETTINGS), tmp_path / "run")
    monkeypatch.setattr(trained_run, "load_images", loop.load_dataset)
    trained = load_trained_run(tmp_path / "run", torch.device("cpu"))
    run = ra.open_run(tmp_path / "run")
    draws = drawer(run, choose(run, None), run.header.layers[:3], WEIGHT_GROUPS, 0.85, seed=0)

    def table(**more):
        return reflect_and_train(trained, tmp_path / "run", draws, epochs=1, share=0.1, repeats=2, **more)

    still = table(lr=1e-12)
    assert still["layer"].unique().tolist() == [*run.layer_names[:3], "all"]
    assert still.groupby("row", sort=False)["layer"].nunique().to_dict() == {"layer": 3, "total": 1}
    rows = still.set_index(["layer", "group"])
    total = sum(spec.weights for spec in run.header.layers[:3])
    assert rows.loc[("all", "all"), "reflected"] == pytest.approx(0.1 * total, rel=0.01)
    assert rows.loc[("all", "all"), "reflected"] == rows.loc["all"].drop("all")["reflected"].sum()
    # Only weights near the mean of their channel, which the reflection moves, change their sign.
    assert rows.loc[("all", "all"), "returned_fraction"] < 0.05
    assert rows.loc[("all", "all"), "left_fraction"] < 0.05
    assert still["decay_time"].iloc[0] == pytest.approx(4 * 1e-12 * 1e-2 / (1 - 0.9))
    moving = reflect_and_train(trained, tmp_path / "run", draws, epochs=1, share=0.1, lr=0.1)
    moving = moving.set_index(["layer", "group"])
    for layer in run.layer_names[:3]:
        weight = run.windows[-1][layer].weight.reshape(len(run.windows[-1][layer].weight), -1)
        before = (weight >= weight.mean(axis=1, keepdims=True)).reshape(-1)
        after = (trained.model.get_submodule(layer).binary_weight() > 0).flatten().numpy()
        for group, of in draws.members.items():
            some = draws.draw(layer, group, 0, round(0.1 * len(of[layer])))
            rest = np.array(sorted({*of[layer]} - {*some}))
            assert moving.loc[(layer, group), "reflected"] == len(some)
            if len(some):
                same = np.mean(before[some] == after[some])
                assert moving.loc[(layer, group), "returned_fraction"] == pytest.approx(same)
            assert moving.loc[(layer, group), "left_fraction"] == pytest.approx(np.mean(before[rest] != after[rest]))
    before = checkpoint.load_position(tmp_path / "run")
    assert before.epochs == 3, "the checkpoint stays"
    with pytest.raises(InputError, match="between 0 and 1"):
        reflect_and_train(trained, tmp_path / "run", draws, epochs=1, share=1.0)


def test_validation_images_are_spaced_over_the_data():
    data = trained_run.load_images("digits")
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(data.val_images[0].numel(), 10))
    trained = trained_run.TrainedRun(TrainingConfig(), 1, 1, data, model, None, torch.device("cpu"))
    (part,) = list(trained.validation(10)(model))
    logits = model(data.val_images[::36])
    assert torch.allclose(
        part["loss"], torch.nn.functional.cross_entropy(logits, data.val_labels[::36], reduction="none")
    )
    assert torch.equal(part["correct"], logits.argmax(dim=1) == data.val_labels[::36])
    assert [len(each) for each in trained.training_inputs(260)] == [250, 10]
    assert sum(len(each["loss"]) for each in trained.validation(10**6)(model)) == 360
