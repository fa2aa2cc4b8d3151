"""The loop: bitwise resumption, clean stops, what is refused, and what a run directory then holds."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch

from recu_analysis.errors import (
    DamagedError,
    DataError,
    InputError,
    NoRoomError,
    RecuError,
    RunExistsError,
    StoreError,
)
from recu_analysis.nn import BinaryConv2d, build_network
from recu_analysis.store.run import open_run
from recu_analysis.training import checkpoint, loop
from recu_analysis.training.config import TrainingConfig
from recu_analysis.training.data import Dataset, batches, load_dataset
from recu_analysis.training.loop import evaluate, train

#: 100 images in batches of 32: three of them whole, one of 4.
SETTINGS = {"epochs": 3, "batch_size": 32, "warm_up": 1}
BATCHES = 4


@pytest.fixture(autouse=True)
def few_digits(monkeypatch):
    """The real digits, 100 to train and 40 to validate, on one thread."""
    whole = load_dataset("digits")
    parts = (whole.train_images[:100], whole.train_labels[:100], whole.val_images[:40], whole.val_labels[:40])
    monkeypatch.setattr(loop, "load_dataset", lambda name, data_dir: Dataset(*parts, classes=10))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def stop_after(updates):
    """A should_stop that says so at that batch."""
    calls = iter(range(1, 10**6))
    return lambda: next(calls) >= updates


def state(run_dir):
    """The bytes of a checkpoint's model and momentum."""
    tensors = checkpoint._read(run_dir / "checkpoints" / checkpoint.NAME, with_tensors=True)[1]
    return {name: tensor.numpy().tobytes() for name, tensor in tensors.items()}


def files(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file() and path.name != "lock"}


@pytest.mark.parametrize("fields", [{}, {"recu": False}, {"momentum": 0.0}, {"mask": "random", "initial_scale": 0.5}])
@pytest.mark.parametrize("stop", [BATCHES + 2, 2 * BATCHES + 1])
def test_a_resumed_training_ends_with_bitwise_the_same_weights(tmp_path, fields, stop):
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


def test_a_damaged_checkpoint_stops_the_resumption_and_not_the_reader(tmp_path):
    config = TrainingConfig(**SETTINGS)
    train(config, tmp_path / "run", should_stop=stop_after(BATCHES + 1))
    file = tmp_path / "run/checkpoints/last.safetensors"
    content = bytearray(file.read_bytes())
    content[-1000] ^= 1
    file.write_bytes(content)
    before = files(tmp_path / "run")
    with pytest.raises(DamagedError, match=r"last.safetensors is damaged"):
        train(config, tmp_path / "run", resume=True)
    assert files(tmp_path / "run") == before
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


def test_a_finished_training_resumed_does_nothing(tmp_path):
    config = TrainingConfig(**SETTINGS | {"epochs": 2})
    train(config, tmp_path / "run")
    before = files(tmp_path / "run")
    result = train(config, tmp_path / "run", resume=True, on_batch=lambda progress: pytest.fail("trained again"))
    assert (result.epochs, result.stopped) == (2, False)
    assert files(tmp_path / "run") == before


def test_an_existing_folder_is_refused_and_untouched(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(RunExistsError, match=r"--resume.*--overwrite"):
        train(TrainingConfig(**SETTINGS), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_an_empty_folder_is_used(tmp_path):
    train(TrainingConfig(**SETTINGS | {"epochs": 2}), tmp_path)
    assert len(open_run(tmp_path).metrics) == 2


def test_overwrite_never_deletes_a_strangers_folder(tmp_path):
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(RunExistsError, match="not a run directory"):
        train(TrainingConfig(**SETTINGS), tmp_path, overwrite=True)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(RunExistsError, match="not a run directory"):
        train(TrainingConfig(**SETTINGS), tmp_path / "file", overwrite=True)
    assert (tmp_path / "thesis.tex").read_text() == (tmp_path / "file").read_text() == "mine"


def test_overwrite_replaces_a_run(tmp_path):
    train(TrainingConfig(**SETTINGS), tmp_path / "run", should_stop=stop_after(BATCHES + 1))
    train(TrainingConfig(**SETTINGS | {"epochs": 2}, seed=5), tmp_path / "run", overwrite=True)
    assert open_run(tmp_path / "run").metrics["epoch"].tolist() == [0, 1]


@pytest.mark.parametrize("reason", ["data", "network"])
def test_overwrite_deletes_nothing_before_the_rest_is_sure(tmp_path, monkeypatch, reason):
    train(TrainingConfig(**SETTINGS | {"epochs": 2}), tmp_path / "run")
    before = files(tmp_path / "run")
    config = TrainingConfig(**SETTINGS, network="resnet20" if reason == "data" else "resnet2000")

    def missing(name, data_dir):
        raise DataError("the data set is missing")

    if reason == "data":
        monkeypatch.setattr(loop, "load_dataset", missing)
    with pytest.raises((DataError, InputError)):
        train(config, tmp_path / "run", overwrite=True)
    assert files(tmp_path / "run") == before


def test_resuming_with_other_settings_names_them(tmp_path):
    train(TrainingConfig(**SETTINGS | {"epochs": 2}), tmp_path / "run")
    with pytest.raises(InputError, match=r"epochs.*lr") as caught:
        train(TrainingConfig(**SETTINGS, lr=0.2), tmp_path / "run", resume=True)
    assert "momentum" not in str(caught.value)


def test_a_run_stopped_in_its_first_epoch_begins_anew(tmp_path):
    config = TrainingConfig(**SETTINGS | {"epochs": 2})
    train(config, tmp_path / "whole")
    train(config, tmp_path / "run", should_stop=stop_after(2))
    torch.manual_seed(5)
    train(config, tmp_path / "run", resume=True)
    assert state(tmp_path / "run") == state(tmp_path / "whole")
    assert [window.last_update for window in open_run(tmp_path / "run").windows] == [0, BATCHES, 2 * BATCHES]


def test_a_run_that_was_only_recorded_cannot_be_resumed(tmp_path):
    train(TrainingConfig(**SETTINGS), tmp_path / "run", should_stop=stop_after(2))
    (tmp_path / "run/checkpoints/last.safetensors").unlink()
    with pytest.raises(StoreError, match=r"no checkpoint to go on from.*--overwrite"):
        train(TrainingConfig(**SETTINGS), tmp_path / "run", resume=True)


def test_a_loss_without_value_stops_at_that_update(tmp_path, monkeypatch):
    step, calls = loop._step, iter(range(1, 100))

    def breaking(model, *arguments):
        if next(calls) == BATCHES + 2:
            model.linear.weight.data.fill_(math.nan)
        return step(model, *arguments)

    monkeypatch.setattr(loop, "_step", breaking)
    with pytest.raises(RecuError, match=rf"loss became nan at update {BATCHES + 2}; a learning rate below"):
        train(TrainingConfig(**SETTINGS), tmp_path / "run")
    assert len(open_run(tmp_path / "run").metrics) == 1


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


def test_resume_and_overwrite_exclude_each_other(tmp_path):
    with pytest.raises(InputError, match="exclude each other"):
        train(TrainingConfig(**SETTINGS), tmp_path / "run", resume=True, overwrite=True)


def test_overwrite_without_room_keeps_the_old_run(tmp_path, monkeypatch):
    config = TrainingConfig(**SETTINGS | {"epochs": 2})
    train(config, tmp_path / "run")
    before = files(tmp_path / "run")

    def full(folder, needed, what):
        raise NoRoomError(f"no room for {what}")

    monkeypatch.setattr(loop, "check_room", full)
    with pytest.raises(NoRoomError):
        train(config, tmp_path / "run", overwrite=True)
    assert files(tmp_path / "run") == before


def test_overwrite_does_not_follow_a_link(tmp_path):
    config = TrainingConfig(**SETTINGS | {"epochs": 2})
    train(config, tmp_path / "run")
    (tmp_path / "link").symlink_to(tmp_path / "run")
    with pytest.raises(RunExistsError, match="is a link"):
        train(config, tmp_path / "link", overwrite=True)
    assert len(open_run(tmp_path / "run").metrics) == 2


def test_a_loss_without_value_never_reaches_the_weights(tmp_path):
    with pytest.raises(RecuError, match="loss became"):
        train(TrainingConfig(**SETTINGS | {"warm_up": 0}, lr=1e30), tmp_path / "run")
    run = open_run(tmp_path / "run")
    assert all(np.isfinite(run.windows[-1][layer].weight).all() for layer in run.layer_names)


def test_overwrite_leaves_a_run_that_is_being_recorded(tmp_path):
    model = build_network("resnet20")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with (
        loop.record(model, optimizer, tmp_path / "run"),
        pytest.raises(StoreError, match="another process is recording into"),
    ):
        train(TrainingConfig(**SETTINGS), tmp_path / "run", overwrite=True)
    assert len(open_run(tmp_path / "run").windows) == 1
