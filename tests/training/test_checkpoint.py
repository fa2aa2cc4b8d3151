"""The checkpoint: what it holds, that it is replaced whole, and what is refused."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from recu_analysis.errors import DamagedError, InputError, StoreError
from recu_analysis.nn import build_network
from recu_analysis.store.sealing import seal
from recu_analysis.training import checkpoint
from recu_analysis.training.checkpoint import TrainingPosition
from recu_analysis.training.config import TrainingConfig

POSITION = TrainingPosition(3, 69, TrainingConfig())


def trained(seed=0):
    """A network and its optimizer after one update."""
    torch.manual_seed(seed)
    model = build_network("resnet20")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    model(torch.randn(4, 3, 16, 16)).square().sum().backward()
    optimizer.step()
    return model, optimizer


@pytest.fixture(autouse=True)
def history(tmp_path):
    """The folder that a recording has made before the first checkpoint is saved."""
    folder = tmp_path / "history"
    folder.mkdir()
    return folder


@pytest.fixture
def saved(tmp_path):
    model, optimizer = trained()
    checkpoint.save(tmp_path, model, optimizer, POSITION)
    return tmp_path, model, optimizer


def path(run_dir):
    return run_dir / "checkpoints" / checkpoint.NAME


def rewrite(run_dir, change_metadata=None, change_tensors=None):
    metadata, tensors = checkpoint._read(path(run_dir), with_tensors=True)
    for change, content in ((change_metadata, metadata), (change_tensors, tensors)):
        if change:
            change(content)
    save_file(tensors, path(run_dir), metadata=metadata)


def test_position_and_state_come_back(saved):
    run_dir, model, optimizer = saved
    assert checkpoint.load_position(run_dir) == POSITION
    other, other_optimizer = trained(seed=1)
    checkpoint.load_state(run_dir, other, other_optimizer)
    for ours, theirs in zip(other.state_dict().values(), model.state_dict().values(), strict=True):
        assert torch.equal(ours, theirs)
    for ours, theirs in zip(other.parameters(), model.parameters(), strict=True):
        assert torch.equal(other_optimizer.state[ours]["momentum_buffer"], optimizer.state[theirs]["momentum_buffer"])


def test_the_file_is_plain_safetensors_and_readable_by_the_umask(saved):
    assert {name.split("/")[0] for name in load_file(path(saved[0]))} == {"model", "momentum"}
    assert path(saved[0]).stat().st_mode & 0o777 == 0o644
    assert [each.name for each in path(saved[0]).parent.iterdir()] == [checkpoint.NAME]


def test_what_a_kill_leaves_lies_where_the_next_start_sweeps(saved, history, monkeypatch):
    run_dir, model, optimizer = saved
    seen = []
    real = checkpoint.save_file

    def save(tensors, file, metadata):
        real(tensors, file, metadata=metadata)
        seen.append(file.parent.parent)

    monkeypatch.setattr(checkpoint, "save_file", save)
    checkpoint.save(run_dir, model, optimizer, POSITION)
    assert seen == [history]


def test_a_failed_save_leaves_the_old_one(saved, history, monkeypatch):
    run_dir, model, optimizer = saved
    before = path(run_dir).read_bytes()

    def full(tensors, file, metadata):
        file.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(StoreError, match=r"last.safetensors.*No space left"):
        checkpoint.save(run_dir, model, optimizer, TrainingPosition(4, 92, TrainingConfig()))
    assert path(run_dir).read_bytes() == before
    assert [each.name for folder in (history, path(run_dir).parent) for each in folder.iterdir()] == [checkpoint.NAME]


def test_nothing_to_go_on_from_says_what_to_do(tmp_path):
    with pytest.raises(StoreError, match="is not a run directory"):
        checkpoint.load_position(tmp_path)
    (tmp_path / "run.json").touch()
    with pytest.raises(StoreError, match=r"no checkpoint.*--overwrite"):
        checkpoint.load_position(tmp_path)


@pytest.mark.parametrize("content", [b"", b"x" * 100, (2**40).to_bytes(8, "little") + b"{}"])
def test_a_file_that_is_no_checkpoint_is_refused(saved, content):
    path(saved[0]).write_bytes(content)
    with pytest.raises(DamagedError, match=r"last.safetensors"):
        checkpoint.load_position(saved[0])


def test_a_link_in_its_place_is_not_followed(saved):
    own = path(saved[0])
    own.rename(saved[0] / "elsewhere.safetensors")
    own.symlink_to(saved[0] / "elsewhere.safetensors")
    with pytest.raises(DamagedError, match="is a link, which is not followed"):
        checkpoint.load_position(saved[0])


def test_a_truncated_file_is_refused(saved):
    whole = path(saved[0]).read_bytes()
    path(saved[0]).write_bytes(whole[:-100])
    with pytest.raises(DamagedError, match=r"last.safetensors"):
        checkpoint.load_position(saved[0])


@pytest.mark.parametrize(
    "change",
    [
        lambda metadata: metadata.pop("position"),
        lambda metadata: metadata.update(position="{"),
        lambda metadata: metadata.update(position="[]"),
        lambda metadata: metadata.update(format="other/1"),
        lambda metadata: metadata.update(position=json.dumps({"epochs": 3, "update": 69, "config": {"lr": "fast"}})),
        lambda metadata: metadata.update(position=json.dumps({"epochs": "3", "update": 69, "config": {}})),
    ],
)
def test_a_damaged_position_is_refused(saved, change):
    rewrite(saved[0], change_metadata=change)
    with pytest.raises(DamagedError, match=r"last.safetensors"):
        checkpoint.load_position(saved[0])


@pytest.mark.parametrize(("before", "after"), [('"epochs": 3', '"epochs": 7'), ('"update": 69', '"update": 68')])
def test_a_position_changed_on_disk_is_found(saved, before, after):
    def change(metadata):
        assert before in metadata["position"]
        metadata["position"] = metadata["position"].replace(before, after)

    rewrite(saved[0], change_metadata=change)
    with pytest.raises(DamagedError, match="its position does not match its seal"):
        checkpoint.load_position(saved[0])


def test_other_settings_are_named():
    checkpoint.check_same(POSITION, TrainingConfig(), 1, "runs/a")
    checkpoint.check_same(POSITION, TrainingConfig(data_dir="elsewhere"), 1, "runs/a")
    with pytest.raises(InputError, match=r"runs/a.*epochs \(30, not 24\)"):
        checkpoint.check_same(POSITION, TrainingConfig(epochs=30), 1, "runs/a")
    with pytest.raises(InputError, match=r"runs/a.*processes \(2, not 1\)"):
        checkpoint.check_same(POSITION, TrainingConfig(), 2, "runs/a")


def test_a_checkpoint_from_before_a_setting_existed_or_had_its_name_is_read(saved):
    def older(metadata):
        place = json.loads(metadata["position"])
        del place["processes"]
        for name in ("optimizer", "schedule", "accumulate", "bfloat16", "compile", "device", "augment", "center"):
            del place["config"][name]
        place["config"]["binariser"] = place["config"].pop("binarizer")
        del place["data"]
        metadata["position"] = json.dumps(place, sort_keys=True)
        metadata["seal"] = seal(metadata["position"])

    rewrite(saved[0], change_metadata=older)
    assert checkpoint.load_position(saved[0]) == POSITION


def adam(seed=0):
    """A network and its Adam after one update."""
    model = trained(seed)[0]
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    optimizer.step()
    return model, optimizer


def test_adams_state_comes_back(tmp_path):
    model, optimizer = adam()
    checkpoint.save(tmp_path, model, optimizer, POSITION)
    other, other_optimizer = adam(seed=1)
    checkpoint.load_state(tmp_path, other, other_optimizer)
    for ours, theirs in zip(other.parameters(), model.parameters(), strict=True):
        for key in ("exp_avg", "exp_avg_sq", "step"):
            assert torch.equal(other_optimizer.state[ours][key], optimizer.state[theirs][key])


@pytest.mark.parametrize(
    "change",
    [
        lambda tensors: tensors.pop("exp_avg_sq/3"),
        lambda tensors: tensors.pop("step/3"),
        lambda tensors: tensors.update({"step/3": torch.ones(2)}),
        lambda tensors: tensors.update({"momentum/3": tensors["exp_avg/3"].clone()}),
    ],
)
def test_another_state_than_adams_is_refused(tmp_path, change):
    checkpoint.save(tmp_path, *adam(), POSITION)
    reseal(change)(tmp_path)
    with pytest.raises(DamagedError, match="does not fit the network"):
        checkpoint.load_state(tmp_path, *adam(seed=1))


def reseal(change):
    """A change of the tensors that keeps the digests right, as another program would write them."""

    def changed(run_dir):
        metadata, tensors = checkpoint._read(path(run_dir), with_tensors=True)
        change(tensors)
        metadata["digests"] = json.dumps(checkpoint._digests(tensors), sort_keys=True)
        save_file(tensors, path(run_dir), metadata=metadata)

    return changed


@pytest.mark.parametrize(
    "change",
    [
        lambda tensors: tensors.update({"momentum/0": torch.zeros(3)}),
        lambda tensors: tensors.update({"momentum/x": torch.zeros(3)}),
        lambda tensors: tensors.pop("momentum/5"),
        lambda tensors: tensors.pop("model/conv1.weight"),
        lambda tensors: tensors.update({"model/conv1.weight": torch.zeros(2)}),
        lambda tensors: tensors.update({"model/unknown": torch.zeros(2)}),
    ],
)
def test_a_state_of_another_training_is_refused_in_one_sentence(saved, change):
    reseal(change)(saved[0])
    with pytest.raises(DamagedError, match="does not fit the network") as caught:
        checkpoint.load_state(saved[0], *trained(seed=1))
    assert "\n" not in str(caught.value)


def test_one_flipped_bit_is_found(saved):
    content = bytearray(path(saved[0]).read_bytes())
    content[-1000] ^= 1
    path(saved[0]).write_bytes(bytes(content))
    with pytest.raises(DamagedError, match="do not match their checksums"):
        checkpoint.load_state(saved[0], *trained(seed=1))
