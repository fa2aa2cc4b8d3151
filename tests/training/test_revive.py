"""Revived weights: which ones, what becomes of them, and that a resumed training repeats it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import recu_analysis as ra
from recu_analysis.analysis.cause_groups import cause_groups_query
from recu_analysis.analysis.final_windows import final_windows
from recu_analysis.analysis.selection import WindowSpan
from recu_analysis.errors import InputError
from recu_analysis.nn import BinaryConv2d, BinaryLinear
from recu_analysis.testing import synthetic_run
from recu_analysis.theory.causes import CAUSE_GROUPS
from recu_analysis.training.changes import HOW, change
from recu_analysis.training.config import TrainingConfig
from recu_analysis.training.loop import train
from recu_analysis.training.revival import CAUSES, NAMES, Revival, revival_of
from recu_analysis.training.revive import chosen_weights, revive
from tests.messages import facts
from tests.training.short_training import BATCHES, SETTINGS, stop_after

pytestmark = pytest.mark.usefixtures("few_digits")


def test_the_setting_says_which_weights_and_when():
    assert revival_of("tail-silent", 9) == Revival("tail-silent", at_random=False, epochs=(4,))
    assert revival_of("random-tail-silent:7,2", 9) == Revival("tail-silent", at_random=True, epochs=(2, 7))
    for text, words in (
        ("tail-silnet:3", ["'tail-silnet'", "tail-silent"]),
        ("tail-silent:", ["tail-silent:8,16"]),
        ("tail-silent:a", ["'tail-silent:a'"]),
        ("tail-silent:0", ["1 to 8", "before 0"]),
        ("tail-silent:3,9", ["1 to 8", "before 3, 9"]),
        ("tail-silent", ["1 to 0"]),
    ):
        with pytest.raises(InputError, match=facts(*words)):
            TrainingConfig(revive=text, epochs=1 if text == "tail-silent" else 9, warm_up=0)
    assert len(NAMES) == 2 * len(CAUSES)
    recorded = {"quantities": ("gradient-stats",), "warm_up": 0}
    assert TrainingConfig(revive="random-slow-channel:2", epochs=3, **recorded).revival.cause == "slow-channel"
    for settings, words in (
        ({"revive": "held:2", "epochs": 9}, ["weights that are held", "gradient-stats"]),
        ({"revive": "held:1", "epochs": 9} | recorded, ["2 to 8", "before 1", "held:4"]),
        ({"revive_how": "shrink"}, ["revive_how has no effect without revive"]),
    ):
        with pytest.raises(InputError, match=facts(*words)):
            TrainingConfig(**settings)


def test_weights_are_changed_about_the_point_where_their_sign_changes():
    for center in (True, False):
        for how in HOW:
            torch.manual_seed(0)
            layer = BinaryConv2d(4, 6, 3, bias=False, center=center).to(memory_format=torch.channels_last)
            optimizer = torch.optim.SGD(layer.parameters(), lr=0.1, momentum=0.9)
            layer.weight.grad = torch.randn_like(layer.weight)
            optimizer.step()
            momentum = optimizer.state[layer.weight]["momentum_buffer"]
            before = [each.detach().clone().double().numpy().reshape(6, -1) for each in (layer.weight, momentum)]
            chosen = np.random.default_rng(1).choice(216, 20, replace=False)
            change(layer, chosen, how, optimizer, np.random.default_rng(2))
            drawn = np.random.default_rng(2).standard_normal(20)
            for part, (old, new) in enumerate(zip(before, (layer.weight, momentum), strict=True)):
                expected, (factor, noise) = old.copy(), HOW[how]
                for index, normal in zip(chosen, drawn, strict=True):
                    row, column = divmod(int(index), 36)
                    middle = old[row].mean() if center else 0.0
                    expected[row, column] = middle + factor * (old[row, column] - middle)
                    expected[row, column] += 0.0 if part else noise * old[row].std(ddof=1) * normal
                got = new.detach().double().numpy().reshape(6, -1)
                np.testing.assert_allclose(got, expected, atol=1e-6)
                untouched = np.setdiff1d(np.arange(216), chosen)
                assert (got.reshape(-1)[untouched] == old.reshape(-1)[untouched]).all()


def test_a_training_revives_what_its_run_shows_and_repeats_it_when_resumed(tmp_path):
    config = TrainingConfig(**SETTINGS, revive="tail-silent:2", revive_how="redraw")
    train(config, tmp_path / "whole")
    train(config, tmp_path / "parts", should_stop=stop_after(2 * BATCHES + 1))
    train(config, tmp_path / "parts", resume=True)
    whole, parts = ra.open_run(tmp_path / "whole"), ra.open_run(tmp_path / "parts")
    dead = ra.dead_weights(whole, windows="1:3").set_index("layer")["dead"]
    revived = whole.metrics.set_index("epoch")["revived"]
    assert revived[2] == parts.metrics.set_index("epoch")["revived"][2] == dead.sum() > 0
    assert revived[[0, 1]].isna().all()
    for layer in whole.layer_names:
        end, again = whole.windows[-1][layer], parts.windows[-1][layer]
        assert end.weight.tobytes() == again.weight.tobytes()
        assert end.summary.more["outside_weights"] == dead[layer], "the run says that they moved outside updates"


def test_weights_with_a_cause_of_silence_are_those_that_the_causes_count(tmp_path):
    run = synthetic_run(tmp_path / "run", gradient_stats=True).path
    counted = ra.causes(run, windows="2:").query("row == 'layer' and group == 'tail-silent'")
    opened, total = ra.open_run(run), 0
    masks = cause_groups_query(opened, WindowSpan(2, 5), opened.header.layers).run()
    for layer, rows in counted.groupby("layer"):
        for row in rows.itertuples():
            found = masks[layer][row.cause.replace(" ", "-")]
            assert found.sum() == round(row.share * row.weights)
            total += found.sum()
        assert np.sum([*masks[layer].values()], axis=0).max() == 1, "a weight has one cause"
    assert total == counted.groupby("layer")["weights"].first().sum() > 0
    for cause in CAUSE_GROUPS:  # all windows are final or not: the causes need windows before those that are tested
        chosen = chosen_weights(opened, cause)
        span = final_windows(opened).span
        tested = span if span.start > 1 else WindowSpan(3, 5)
        expected = cause_groups_query(opened, tested, opened.header.layers).run()
        assert {name: list(some) for name, some in chosen.items()} == {
            name: list(np.flatnonzero(of[cause])) for name, of in expected.items()
        }


def test_as_many_random_weights_are_the_control(tmp_path, synthetic_path):
    run = ra.open_run(synthetic_path)
    chosen = chosen_weights(run, "tail-silent")
    model = torch.nn.ModuleDict(
        {spec.name: BinaryLinear(spec.weights // spec.shape[0], spec.shape[0]) for spec in run.header.layers}
    )
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for name, at_random in (("tail-silent", False), ("random-tail-silent", True)):
        before = {layer: each.weight.detach().clone() for layer, each in model.items()}
        config = TrainingConfig(revive=f"{name}:2", revive_how="shrink")
        assert revive(config, config.revival, synthetic_path, model, optimizer, 2) == sum(map(len, chosen.values())) > 0
        for layer, indices in chosen.items():
            moved = np.flatnonzero((before[layer] != model[layer].weight).numpy())
            assert len(moved) == len(indices)
            assert (moved.tolist() == indices.tolist()) != at_random
