"""The authors' checkpoint files: read and written as theirs, and hostile ones refused without running anything."""

from __future__ import annotations

import argparse
import os
import pickle
import zipfile
from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch import nn

from recu_analysis.errors import CheckpointError, InputError
from recu_analysis.interop import official
from recu_analysis.interop.official import OfficialCheckpoint, load_into, load_official, save_official
from recu_analysis.nn import build_network, set_tau
from recu_analysis.nn.layers import binary_modules
from tests.messages import says


@pytest.fixture(scope="module")
def trained():
    """A network after one step of the authors' optimizer and scheduler."""
    torch.manual_seed(0)
    model = build_network("resnet20")
    optimizer = torch.optim.SGD(
        [{"params": model.parameters(), "initial_lr": 0.1}], lr=0.1, momentum=0.9, weight_decay=5e-4
    )
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 600 - 4, eta_min=0, last_epoch=-1)
    set_tau(model, 0.9)
    model(torch.randn(4, 3, 16, 16)).square().sum().backward()
    optimizer.step()
    scheduler.step()
    return model, optimizer, scheduler


@pytest.fixture
def path(tmp_path):
    return tmp_path / "checkpoint.pth.tar"


def as_the_authors_save(path, model, *, prefix="", tau_shape=(1,), best=np.pi, **more):
    """What main.py puts into its file, with the two forms of names and of tau."""
    state = OrderedDict((prefix + key, value) for key, value in model.state_dict().items())
    for key in state:
        if key.endswith("tau"):
            state[key] = state[key].reshape(tau_shape)
    torch.save({"epoch": 600, "model": "resnet20_1w1a", "state_dict": state, "best_prec1": best}, path, **more)


def same(ours, theirs):
    assert ours.keys() == theirs.keys()
    return all(torch.equal(ours[key], theirs[key]) for key in ours)


def test_a_network_whose_tau_was_replaced_as_the_authors_do_takes_its_own_file(path):
    model = build_network("resnet20")
    for layer in binary_modules(model):
        layer.tau = torch.tensor([0.9])
    save_official(path, model, epoch=1, name="resnet20_1w1a", best_top1=10.0)
    set_tau(model, 0.7)
    load_into(model, load_official(path))
    assert {layer.tau.shape for layer in binary_modules(model)} == {(1,)}
    assert float(model.layer1[0].conv1.tau) == pytest.approx(0.9)


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("tau_shape", [(), (1,)])
@pytest.mark.parametrize("zipped", [True, False])
def test_a_file_of_the_authors_gives_its_network(trained, path, prefix, tau_shape, zipped):
    as_the_authors_save(path, trained[0], prefix=prefix, tau_shape=tau_shape, _use_new_zipfile_serialization=zipped)
    checkpoint = load_official(path)
    assert (checkpoint.epoch, checkpoint.name, checkpoint.classes) == (600, "resnet20_1w1a", 10)
    assert checkpoint.best_top1 == pytest.approx(np.pi)
    assert checkpoint.optimizer is None
    other = build_network("resnet20")
    load_into(other, checkpoint)
    assert same(other.state_dict(), trained[0].state_dict())
    assert float(other.layer1[0].conv1.tau) == pytest.approx(0.9)


@pytest.mark.parametrize("best", [torch.tensor(87.5), torch.tensor([87.5]), 87.5])
def test_the_best_accuracy_may_be_a_tensor(trained, path, best):
    as_the_authors_save(path, trained[0], best=best)
    assert load_official(path).best_top1 == 87.5


def test_a_saved_file_has_the_authors_entries_and_comes_back(trained, path):
    model, optimizer, scheduler = trained
    save_official(
        path, model, epoch=7, name="resnet20_1w1a", best_top1=12.5, optimizer=optimizer, lr_scheduler=scheduler
    )
    entries = torch.load(path, weights_only=True)
    assert list(entries) == ["epoch", "model", "state_dict", "best_prec1", "optimizer", "lr_scheduler"]
    assert same(entries["state_dict"], model.state_dict())
    checkpoint = load_official(path)
    assert (checkpoint.epoch, checkpoint.best_top1) == (7, 12.5)
    again = torch.optim.SGD(build_network("resnet20").parameters(), lr=0.5, momentum=0.5)
    again.load_state_dict(checkpoint.optimizer)
    assert again.param_groups[0]["lr"] == optimizer.param_groups[0]["lr"]
    assert checkpoint.lr_scheduler["T_max"] == 596
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_file_without_optimizer_is_enough_to_evaluate(trained, path):
    save_official(path, trained[0], epoch=7, name="resnet20_1w1a", best_top1=12.5)
    assert load_official(path).optimizer == {}


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), RuntimeError("unexpected pos\nat 64")])
def test_a_failed_save_leaves_the_old_file(trained, path, monkeypatch, error):
    save_official(path, trained[0], epoch=1, name="n", best_top1=1.0)
    before = path.read_bytes()

    def full(_, file):
        file.write_bytes(b"half")
        raise error

    monkeypatch.setattr(official.torch, "save", full)
    with pytest.raises(CheckpointError, match=r"checkpoint.pth.tar cannot be written: (No space left|unexpected pos$)"):
        save_official(path, trained[0], epoch=2, name="n", best_top1=2.0)
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_folder_that_is_missing_is_said(trained, tmp_path):
    with pytest.raises(CheckpointError, match=r"a.pth.tar.*No such file"):
        save_official(tmp_path / "none/a.pth.tar", trained[0], epoch=1, name="n", best_top1=1.0)


class Malicious:
    """Unpickling it makes a file."""

    def __init__(self, mark):
        self.mark = str(mark)

    def __reduce__(self):
        return os.mkdir, (self.mark,)


@pytest.mark.parametrize("form", ["zip", "legacy", "pickle"])
def test_nothing_in_a_file_is_run(path, tmp_path, form):
    mark = tmp_path / "ran"
    content = {"state_dict": {}, "evil": Malicious(mark)}
    if form == "pickle":
        path.write_bytes(pickle.dumps(content, protocol=2))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=form == "zip")
    with pytest.raises(CheckpointError, match=r"checkpoint.pth.tar") as caught:
        load_official(path)
    assert not mark.exists()
    assert "runs any code in the file" in str(caught.value)
    torch.load(path, weights_only=False) if form != "pickle" else pickle.loads(path.read_bytes())
    assert mark.exists()  # the file would have


@pytest.mark.parametrize(
    ("entry", "name"),
    [(np.float64(87.5), "numpy"), (argparse.Namespace(lr=0.1), "argparse.Namespace")],
)
def test_objects_are_refused_by_name_with_the_danger(trained, path, entry, name):
    torch.save({"state_dict": trained[0].state_dict(), "best_prec1": entry}, path)
    with pytest.raises(CheckpointError) as caught:
        load_official(path)
    text = str(caught.value)
    says(text, f"{path} has an object ({name}", "runs any code", "--unsafe-load")
    assert "\n" not in text


def test_objects_are_restored_where_that_is_asked_for(trained, path):
    entries = {"state_dict": trained[0].state_dict(), "best_prec1": np.float64(87.5), "args": argparse.Namespace(lr=1)}
    torch.save(entries, path)
    checkpoint = load_official(path, unsafe_load=True)
    assert same(checkpoint.state_dict, trained[0].state_dict())
    assert checkpoint.best_top1 == 87.5
    path.write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_official(path, unsafe_load=True)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("content", [b"", b"no checkpoint", b"PK\x03\x04" + bytes(60), pickle.dumps({"a": 1}), b"\x80"])
def test_a_file_that_is_none_of_torch_is_refused(path, content):
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"torch.save.*damaged"):
        load_official(path)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("kept", [0.01, 0.5, 0.999])
def test_a_truncated_file_is_refused(trained, path, zipped, kept):
    as_the_authors_save(path, trained[0], _use_new_zipfile_serialization=zipped)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept * len(whole))])
    with pytest.raises(CheckpointError, match=r"damaged, cut short"):
        load_official(path)


def test_an_archive_made_to_fill_the_memory_is_refused(path, tmp_path):
    torch.save({"state_dict": {"weight": torch.zeros(10**6)}}, tmp_path / "plain")
    with zipfile.ZipFile(tmp_path / "plain") as plain, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bomb:
        for name in plain.namelist():
            bomb.writestr(name, plain.read(name))
    with pytest.raises(CheckpointError, match=r"compressed.*torch.save"):
        load_official(path)


def test_missing_files_folders_and_pipes_are_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"none.pth does not exist; check the path$"):
        load_official(tmp_path / "none.pth")
    with pytest.raises(CheckpointError, match="is a folder; name the file in it"):
        load_official(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(CheckpointError, match="is not a regular file"):
        load_official(tmp_path / "pipe")


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (
            {"epoch": 3, "weights": {}},
            "it has a dict with the entries 'epoch', 'weights', not a dict with a state_dict",
        ),
        ({}, "it has an empty dict, not a dict with a state_dict"),
        ([1, 2], "it has a list, not a dict with a state_dict"),
        ({"state_dict": torch.ones(3)}, "with the entries 'state_dict', not a dict with a state_dict"),
        ({"state_dict": {"a": 3.0}}, "has 'a', which is not an ordinary named tensor"),
        ({"state_dict": {3: torch.ones(2)}}, "has 3, which is not an ordinary named tensor"),
        ({"state_dict": {"a": torch.ones(2).to_sparse()}}, "has 'a', which is not an ordinary named tensor"),
        ({"state_dict": {"a": torch.ones(1).expand(10**12)}}, "has 'a', which is not an ordinary named tensor"),
        ({"state_dict": {"a": torch.ones(2, device="meta")}}, "has 'a', which is not an ordinary named tensor"),
        ({"state_dict": {}, "best_prec1": "high"}, "its best_prec1 is not a number in a valid range"),
        ({"state_dict": {}, "epoch": torch.ones(2)}, "its epoch is not a number in a valid range"),
        ({"state_dict": {}, "epoch": 10**400}, "its epoch is not a number in a valid range"),
        ({"state_dict": {"a\n\x1b[2J": torch.ones(2)}}, r"has 'a\n\x1b[2J', which is not an ordinary named tensor"),
        ({"a\nb": 3}, r"it has a dict with the entries 'a\nb', not"),
        ({"state_dict": {}, "epoch": float("inf")}, "its epoch is not a number in a valid range"),
    ],
)
def test_content_of_another_kind_is_said_in_one_sentence(path, content, text):
    torch.save(content, path)
    with pytest.raises(CheckpointError) as caught:
        load_official(path)
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_of_before_batch_normalization_counted_are_taken(trained, path):
    model = trained[0]
    state = {key: value for key, value in model.state_dict().items() if not key.endswith("num_batches_tracked")}
    torch.save({"state_dict": state}, path)
    network = build_network("resnet20")
    load_into(network, load_official(str(path)))
    assert same(dict(network.named_parameters()), dict(model.named_parameters()))
    assert int(network.bn1.num_batches_tracked) == 0


def test_a_compiled_network_and_numpys_numbers_are_saved_as_plain_ones(trained, path):
    model = trained[0]
    save_official(path, torch.compile(model, backend="eager"), epoch=np.int64(3), name="n", best_top1=np.float64(3.5))
    loaded = load_official(path)
    assert (loaded.epoch, loaded.best_top1) == (3, 3.5)
    load_into(build_network("resnet20"), loaded)


@pytest.mark.parametrize(
    "wrong", [{"epoch": float("nan")}, {"epoch": 2.7}, {"epoch": -1}, {"best_top1": float("inf")}, {"best_top1": "x"}]
)
def test_what_could_not_be_read_again_is_not_saved(trained, path, wrong):
    with pytest.raises(InputError, match=rf"{next(iter(wrong))} must be a"):
        save_official(path, trained[0], **{"epoch": 1, "name": "n", "best_top1": 1.0} | wrong)
    assert not path.exists()


def test_what_does_not_fit_is_named_and_the_network_left_alone():
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    before = {key: value.clone() for key, value in model.state_dict().items()}
    state = {
        "0.weight": torch.ones(3, 4),
        "0.bias": torch.ones(3, dtype=torch.int64),
        "1.weight": torch.ones(3),
        **{f"extra{number}": torch.ones(1) for number in range(6)},
    }
    with pytest.raises(CheckpointError) as caught:
        load_into(model, OfficialCheckpoint(state))
    says(
        str(caught.value),
        "Sequential",
        "missing 1.bias, 1.running_mean, 1.running_var;",
        "unexpected extra0, extra1, extra2, extra3, extra4 and 1 more;",
        "0.weight (3x4, the network has 3x2), 0.bias (3 of int64, the network has 3)",
    )
    assert same(model.state_dict(), before)
