"""The loop: bitwise resumption, clean stops, what is refused, and what a run directory then holds."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from recu_analysis.analysis.layers import layer_table
from recu_analysis.capture.adapters import binary_layers
from recu_analysis.errors import (
    DamagedError,
    InputError,
    RecuError,
    RunExistsError,
    StoreError,
)
from recu_analysis.nn import BINARIZERS, BinaryConv2d, build_network
from recu_analysis.store.run import open_run
from recu_analysis.training import checkpoint, loop
from recu_analysis.training.config import TrainingConfig
from recu_analysis.training.data import batches
from recu_analysis.training.loop import evaluate, train
from recu_analysis.training.optim import build
from recu_analysis.training.step import Step
from tests.training.short_training import BATCHES, SETTINGS, stop_after, times_of_files

pytestmark = pytest.mark.usefixtures("few_digits")


def state(run_dir):
    """The bytes of a checkpoint's model and momentum."""
    tensors = checkpoint._read(run_dir / "checkpoints" / checkpoint.NAME, with_tensors=True)[1]
    return {name: tensor.numpy().tobytes() for name, tensor in tensors.items()}


@pytest.mark.parametrize(
    ("stop", "fields"),
    [
        (BATCHES + 2, {}),
        (2 * BATCHES + 1, {}),
        (2 * BATCHES + 1, {"recu": False}),
        (BATCHES + 2, {"momentum": 0.0, "accumulate": 3, "control": "signs"}),
        (2 * BATCHES + 1, {"mask": "random", "initial_scale": 0.5, "augment": True}),
        (BATCHES + 2, {"optimizer": "adam", "lr": 0.01, "schedule": "linear"}),
        (2 * BATCHES + 1, {"channels_last": True, "accumulate": 2, "schedule": "step", "center": False}),
        (2 * BATCHES + 1, {"binarizer": "ir-net", "control": "labels"}),
        (2 * BATCHES + 1, {"levels": 3}),
        (BATCHES + 2, {"bits": 3, "lr": 0.01, "optimizer": "adamw"}),
        (BATCHES + 2, {"quantile": "empirical", "alpha": "analytic", "scale": None, "scale_activations": False}),
    ],
)
def test_a_resumed_training_ends_with_bitwise_the_same_weights(tmp_path, stop, fields):
    config = TrainingConfig(**SETTINGS, **fields)
    whole = train(config, tmp_path / "whole")
    part = train(config, tmp_path / "parts", should_stop=stop_after(stop))
    assert (part.stopped, part.epochs) == (True, stop // BATCHES)
    torch.manual_seed(123)
    rest = train(config, tmp_path / "parts", resume=True)
    assert (rest.stopped, rest.epochs, rest.val_top1) == (False, 3, whole.val_top1)
    assert state(tmp_path / "parts") == state(tmp_path / "whole")

    straight, resumed = open_run(tmp_path / "whole"), open_run(tmp_path / "parts")
    columns = ["update", "epoch", "lr", "train_loss", "val_loss", "val_top1"]
    assert resumed.metrics[columns].equals(straight.metrics[columns])
    for ours, theirs in zip(resumed.windows, straight.windows, strict=True):
        assert (ours.number, ours.first_update, ours.last_update) == (
            theirs.number,
            theirs.first_update,
            theirs.last_update,
        )
        assert not ours.partial
        for layer in straight.layer_names:
            for kind in ("weight", "path", "zpath", "flips", "first_flip", "last_flip"):
                assert getattr(ours[layer], kind).tobytes() == getattr(theirs[layer], kind).tobytes(), (layer, kind)
    after = [window.first_update - 1 for window in resumed.windows[1:]]
    assert after == [window.last_update for window in resumed.windows[:-1]]


@pytest.mark.parametrize("method", ["bnn", "xnor", "bi-real", "ir-net"])
def test_a_published_method_is_trained_and_measured(tmp_path, method):
    train(TrainingConfig(epochs=1, batch_size=50, warm_up=0, binarizer=method), tmp_path)
    run = open_run(tmp_path)
    assert all(layer.transform == BINARIZERS[method].transform() for layer in run.header.layers)
    table = layer_table(run)
    assert (table.loc[table["window"] == 1, "flip_ratio"] > 0).all()
    assert (table["tau"] == 1).all()


def test_the_error_decay_goes_on_with_the_epochs(tmp_path, monkeypatch):
    told = []
    monkeypatch.setattr(loop, "set_progress", lambda model, progress: told.append(progress))
    train(TrainingConfig(epochs=4, batch_size=50, warm_up=0), tmp_path)
    assert told == [0.0, 0.25, 0.5, 0.75]


def test_the_weights_are_those_of_a_plain_loop_without_recording(tmp_path):
    train(TrainingConfig(**SETTINGS, seed=3), tmp_path / "run")
    data = loop.load_dataset("digits", None)
    torch.manual_seed(3)
    model = build_network("resnet20")
    latent = [module.weight for module in model.modules() if isinstance(module, BinaryConv2d)]
    others = [p for p in model.parameters() if all(p is not weight for weight in latent)]
    assert (len(latent), len(others)) == (18, 3 + 18 * 3 + 4)
    groups = [{"params": latent, "weight_decay": 1e-2}, {"params": others, "weight_decay": 5e-4}]
    optimizer = torch.optim.SGD(groups, lr=0.1, momentum=0.9)
    for epoch in range(3):
        tau = 0.85 + 0.14 * (math.exp(epoch / 3) - 1) / (math.e - 1)
        for module in model.modules():
            if isinstance(module, BinaryConv2d):
                module.tau.fill_(tau)
        for group in optimizer.param_groups:
            group["lr"] = 0.5 * 0.1 * (1 + math.cos(math.pi * epoch / 3))
        for batch in batches(100, 32, seed=3, epoch=epoch):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(data.train_images[batch]), data.train_labels[batch]).backward()
            optimizer.step()
    recorded = state(tmp_path / "run")
    for name, tensor in model.state_dict().items():
        assert recorded[f"model/{name}"] == tensor.numpy().tobytes(), name


def test_a_control_has_labels_that_are_drawn_anew_for_every_batch(tmp_path, monkeypatch):
    truth = loop.load_dataset("digits", None).train_labels
    seen, call = torch.zeros(2 * BATCHES, len(truth), dtype=torch.int64) - 1, Step.__call__

    def watched(self, part, batch):
        seen[self.update, part.indices] = batch[1]
        return call(self, part, batch)

    monkeypatch.setattr(Step, "__call__", watched)
    for control, chance in (("none", 1.0), ("labels", 0.1)):
        train(TrainingConfig(**SETTINGS | {"epochs": 2}, control=control), tmp_path / control)
        first, second = (epoch.max(dim=0).values for epoch in seen.split(BATCHES))
        equal = [float((ours == theirs).double().mean()) for ours, theirs in ((first, truth), (first, second))]
        assert equal == pytest.approx([chance, chance], abs=0.15 * (chance < 1.0)), control


def test_a_damaged_checkpoint_stops_the_resumption_and_not_the_reader(tmp_path):
    config = TrainingConfig(**SETTINGS)
    train(config, tmp_path / "run", should_stop=stop_after(BATCHES + 1))
    file = tmp_path / "run/checkpoints/last.safetensors"
    content = bytearray(file.read_bytes())
    content[-1000] ^= 1
    file.write_bytes(content)
    before = times_of_files(tmp_path / "run")
    with pytest.raises(DamagedError, match=r"last.safetensors is damaged"):
        train(config, tmp_path / "run", resume=True)
    assert times_of_files(tmp_path / "run") == before
    assert [window.last_update for window in open_run(tmp_path / "run").windows] == [0, BATCHES, BATCHES + 1]


def test_two_trainings_of_one_seed_are_alike_and_of_two_are_not(tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        train(TrainingConfig(**SETTINGS | {"epochs": 2}, seed=seed), tmp_path / name)
    assert state(tmp_path / "a") == state(tmp_path / "b") != state(tmp_path / "c")


def test_each_epoch_is_marked_with_what_it_was_and_measured(tmp_path):
    config = TrainingConfig(**SETTINGS)
    result = train(config, tmp_path / "run")
    metrics = open_run(tmp_path / "run").metrics
    assert metrics["epoch"].tolist() == [0, 1, 2]
    assert metrics["update"].tolist() == [BATCHES, 2 * BATCHES, 3 * BATCHES]
    assert metrics["lr"].tolist() == [config.learning_rate(epoch) for epoch in range(3)]
    assert metrics["tau"].tolist() == [config.tau_of(epoch) for epoch in range(3)]
    assert metrics["val_top1"].iloc[-1] == result.val_top1
    assert metrics[["train_top1", "val_top1"]].stack().between(0, 100).all()
    assert {"train_loss", "val_loss", "seconds"} <= set(metrics.columns)
    assert json.loads((tmp_path / "run" / "run.json").read_text())["configuration"] == config.to_dict()


def test_without_recu_there_is_no_tau(tmp_path):
    train(TrainingConfig(**SETTINGS | {"epochs": 2}, recu=False), tmp_path / "run")
    run = open_run(tmp_path / "run")
    assert "tau" not in run.metrics
    assert run.metrics["val_top1"].notna().all()


def test_progress_is_told_after_every_batch(tmp_path):
    told = []
    train(TrainingConfig(**SETTINGS | {"epochs": 2}), tmp_path / "run", on_batch=told.append)
    assert [(each.epoch, each.batch) for each in told] == [(e, b) for e in (0, 1) for b in (1, 2, 3, 4)]
    assert {(each.epochs, each.batches) for each in told} == {(2, BATCHES)}
    assert all(math.isfinite(each.loss) and 0 <= each.top1 <= 100 for each in told)


def test_a_stop_writes_the_open_window_as_partial(tmp_path):
    train(TrainingConfig(**SETTINGS), tmp_path / "run", should_stop=stop_after(BATCHES + 2))
    run = open_run(tmp_path / "run")
    assert run.windows[-1].last_update == BATCHES + 2
    assert run.windows[-1].partial
    assert len(run.metrics) == 1


def test_a_run_stopped_in_its_first_epoch_begins_anew(tmp_path):
    config = TrainingConfig(**SETTINGS | {"epochs": 2})
    train(config, tmp_path / "whole")
    train(config, tmp_path / "run", should_stop=stop_after(2))
    torch.manual_seed(5)
    train(config, tmp_path / "run", resume=True)
    assert state(tmp_path / "run") == state(tmp_path / "whole")
    assert [window.last_update for window in open_run(tmp_path / "run").windows] == [0, BATCHES, 2 * BATCHES]


def test_a_real_valued_twin_is_trained_and_resumed_without_a_recording(tmp_path):
    config = TrainingConfig(**SETTINGS, network="resnet20-real")
    whole = train(config, tmp_path / "whole")
    part = train(config, tmp_path / "parts", should_stop=stop_after(BATCHES + 2))
    assert (part.stopped, part.epochs) == (True, 1)
    rest = train(config, tmp_path / "parts", resume=True)
    assert (rest.epochs, rest.val_top1) == (3, whole.val_top1)
    assert state(tmp_path / "parts") == state(tmp_path / "whole")
    assert not (tmp_path / "whole/run.json").exists()
    with pytest.raises(RunExistsError, match="--overwrite"):
        train(config, tmp_path / "whole")
    train(replace(config, epochs=2), tmp_path / "whole", overwrite=True)
    assert checkpoint.load_position(tmp_path / "whole").epochs == 2


def test_a_twin_decays_the_weights_that_the_other_network_binarizes():
    model, optimizer = build(TrainingConfig(network="resnet20-real"), 10, torch.device("cpu"))
    named = {id(parameter): name for name, parameter in model.named_parameters()}
    binary = build_network("resnet20")
    expected = [f"{layer.name}.weight" for layer in binary_layers(binary)]
    assert [named[id(each)] for each in optimizer.param_groups[0]["params"]] == expected
    assert len(expected) == 18


def test_an_epoch_may_have_fewer_updates_than_the_images_give(tmp_path):
    train(TrainingConfig(**SETTINGS, epoch_updates=2), tmp_path / "run")
    assert [window.last_update for window in open_run(tmp_path / "run").windows] == [0, 2, 4, 6]


def test_a_run_that_was_only_recorded_cannot_be_resumed(tmp_path):
    train(TrainingConfig(**SETTINGS), tmp_path / "run", should_stop=stop_after(2))
    (tmp_path / "run/checkpoints/last.safetensors").unlink()
    with pytest.raises(StoreError, match=r"no checkpoint to resume from.*--overwrite"):
        train(TrainingConfig(**SETTINGS), tmp_path / "run", resume=True)


def test_a_loss_without_value_stops_at_that_update(tmp_path, monkeypatch):
    call, calls = Step.__call__, iter(range(1, 100))

    def breaking(step, *arguments):
        if next(calls) == BATCHES + 3:
            step._forward.linear.weight.data.fill_(math.nan)
        return call(step, *arguments)

    monkeypatch.setattr(Step, "__call__", breaking)
    with pytest.raises(RecuError, match=rf"loss became nan at update {BATCHES + 3}; try a learning rate below"):
        train(TrainingConfig(**SETTINGS), tmp_path / "run")
    run = open_run(tmp_path / "run")
    assert not run.problems
    assert len(run.metrics) == 1
    assert [(window.last_update, window.partial) for window in run.windows] == [
        (0, False),
        (BATCHES, False),
        (BATCHES + 2, True),
    ]


def test_weights_without_value_stop_at_the_end_of_the_epoch_though_their_signs_hide_them(tmp_path):
    config = TrainingConfig(**SETTINGS, binary_weight_decay=1e38)
    with pytest.raises(RecuError, match=r"layer1\.0\.conv1\.weight.*NaN.*epoch 0"):
        train(config, tmp_path / "run")
    windows = open_run(tmp_path / "run").windows
    assert [(window.last_update, window.partial) for window in windows] == [(0, False), (BATCHES, True)]


@pytest.mark.parametrize("factor", [1e30, 1e-30])
def test_initial_weights_whose_variance_has_no_value_are_refused(tmp_path, factor):
    with pytest.raises(InputError, match=r"scale of 1e.30.*float32"):
        train(TrainingConfig(**SETTINGS, initial_scale=factor), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_training_goes_on_with_its_own_labels_only(tmp_path, monkeypatch):
    config = TrainingConfig(**SETTINGS)
    train(config, tmp_path / "run", should_stop=stop_after(BATCHES + 1))
    data = loop.load_dataset("digits")
    swapped = replace(data, train_labels=data.train_labels.flip(0))
    with monkeypatch.context() as patched:
        patched.setattr(loop, "load_dataset", lambda *_: swapped)
        with pytest.raises(InputError, match="another data set"):
            train(config, tmp_path / "run", resume=True)
    assert train(config, tmp_path / "run", resume=True).epochs == 3


def test_an_error_of_the_caller_leaves_a_run_that_can_be_resumed(tmp_path):
    config = TrainingConfig(**SETTINGS | {"epochs": 2})

    def fail(progress):
        if progress.epoch == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "run", on_batch=fail)
    assert train(config, tmp_path / "run", resume=True).epochs == 2


def test_evaluation_leaves_the_mode_and_the_statistics_alone():
    network = build_network("resnet20").train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    images, labels = torch.randn(7, 3, 16, 16), torch.arange(7)
    loss, top1 = evaluate(network, zip(images.split(4), labels.split(4), strict=True))
    assert network.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    with torch.no_grad():
        logits = network.eval()(images)
    assert loss == pytest.approx(float(torch.nn.functional.cross_entropy(logits, labels)))
    assert top1 == pytest.approx(100 * float((logits.argmax(1) == labels).float().mean()))


def test_a_loss_without_value_never_reaches_the_weights(tmp_path):
    with pytest.raises(RecuError, match="loss became"):
        train(TrainingConfig(**SETTINGS | {"warm_up": 0}, lr=1e30), tmp_path / "run")
    run = open_run(tmp_path / "run")
    assert all(np.isfinite(run.windows[-1][layer].weight).all() for layer in run.layer_names)
