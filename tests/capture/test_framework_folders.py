"""Folders that frameworks write: their models are imported, in the order of their steps, and nothing else in them."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from recu_analysis.capture.importer import POSITIONS, import_checkpoints
from recu_analysis.errors import CheckpointError
from tests.capture import codebase_layers as codebases
from tests.messages import says


def state(seed):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(1, 2, 3), codebases.recu(), nn.Linear(4, 2)).state_dict()


def trainer_folder(folder, step, name="model.safetensors", seed=None):
    """As transformers writes it, with files beside the model that are no models."""
    folder.mkdir(parents=True)
    if name.endswith(".bin"):
        torch.save(state(seed or step), folder / name)
    else:
        save_file(state(seed or step), folder / name)
    torch.save({"state": {}, "param_groups": []}, folder / "optimizer.pt")
    (folder / "rng_state_1.pth").write_bytes(b"no file of torch")
    torch.save({"last_epoch": 1}, folder / "scheduler.pt")
    (folder / "trainer_state.json").write_text(json.dumps({"global_step": step, "epoch": step / 7}))


def shard(folder, name, tensors, index=None):
    """A model in two files, with an index."""
    folder.mkdir(parents=True)
    names = list(tensors)
    files = {f"{name[0]}-0000{at + 1}-of-00002{name[1]}": names[at::2] for at in range(2)}
    for file, own in files.items():
        part = {each: tensors[each] for each in own}
        if name[1] == ".bin":
            torch.save(part, folder / file)
        else:
            save_file(part, folder / file)
    weight_map = {each: file for file, own in files.items() for each in own}
    (folder / f"{name[0]}{name[1]}.index.json").write_text(json.dumps({"weight_map": weight_map} | (index or {})))
    return folder / f"{name[0]}{name[1]}.index.json"


def numbers(run):
    return [window.last_update for window in run.windows]


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
@pytest.mark.parametrize("source", ["out", "out/checkpoint-*", "out/checkpoint-*/*model*"])
def test_folders_of_transformers_have_their_steps(tmp_path, name, source):
    for step in (24, 8, 136):
        trainer_folder(tmp_path / "out" / f"checkpoint-{step}", step, name)
    (tmp_path / "out" / "runs").mkdir()
    run = import_checkpoints(str(tmp_path / source), tmp_path / "run")
    assert run.configuration["imported"] == [f"checkpoint-{step}/{name}" for step in (8, 24, 136)]
    assert run.configuration["update_numbers"] == "global_step"
    assert numbers(run) == [8, 24, 136]
    np.testing.assert_array_equal(run.windows[1]["1"].weight, state(24)["1.weight"].numpy())
    assert numbers(import_checkpoints(tmp_path / "out" / "checkpoint-24", tmp_path / "one")) == [24]


def test_folders_without_steps_are_in_natural_order(tmp_path):
    for at in (2, 11):  # as accelerate writes them
        (tmp_path / f"checkpoint_{at}").mkdir()
        save_file(state(at), tmp_path / f"checkpoint_{at}" / "model.safetensors")
        torch.save({"state": {}}, tmp_path / f"checkpoint_{at}" / "optimizer.bin")
    run = import_checkpoints(tmp_path, tmp_path / "run")
    assert run.configuration["imported"] == ["checkpoint_2/model.safetensors", "checkpoint_11/model.safetensors"]
    assert (run.configuration["update_numbers"], numbers(run)) == (POSITIONS, [1, 2])


@pytest.mark.parametrize("name", [("model", ".safetensors"), ("pytorch_model", ".bin")])
def test_a_model_in_several_files_is_one_model(tmp_path, name):
    for step in (3, 20):
        index = shard(tmp_path / f"step{step}", name, state(step))
    run = import_checkpoints(tmp_path, tmp_path / "run")
    assert run.configuration["imported"] == [f"step{step}/{index.name}" for step in (3, 20)]
    np.testing.assert_array_equal(run.windows[1]["1"].weight, state(20)["1.weight"].numpy())
    assert import_checkpoints(index, tmp_path / "alone").configuration["imported"] == [index.name]


@pytest.mark.parametrize(
    ("index", "facts"),
    [
        (
            {"weight_map": {"1.weight": "../other.safetensors"}},
            ["'1.weight'", "'../other.safetensors'", "not the name"],
        ),
        ({"weight_map": {"1.weight": 7}}, ["'1.weight'", "7"]),
        ({"weight_map": {"1.weight": "gone.safetensors"}}, ["'gone.safetensors'", "get the missing file"]),
        ({"weight_map": {"1.weight": "x" * 300}}, ["'xxx", "get the missing file"]),
        ({"weight_map": {"9.weight": "model-00001-of-00002.safetensors"}}, ["does not have '9.weight'"]),
        ({"weight_map": []}, ["damaged", "not an index"]),
    ],
)
def test_a_wrong_index_is_one_sentence(tmp_path, index, facts):
    path = shard(tmp_path / "a", ("model", ".safetensors"), state(1), index)
    with pytest.raises(CheckpointError) as caught:
        import_checkpoints(path, tmp_path / "run")
    says(str(caught.value), tmp_path / "a", *facts)
    assert not (tmp_path / "run").exists()


def test_other_checkpoints_beside_a_model_are_taken_too(tmp_path):
    save_file(state(1), tmp_path / "model.safetensors")
    for at in (2, 3):
        torch.save(state(at), tmp_path / f"epoch{at}.pt")
    run = import_checkpoints(tmp_path, tmp_path / "run")
    assert run.configuration["imported"] == ["epoch2.pt", "epoch3.pt", "model.safetensors"]


def test_a_damaged_trainer_state_is_named(tmp_path):
    trainer_folder(tmp_path / "checkpoint-5", 5)
    (tmp_path / "checkpoint-5" / "trainer_state.json").write_text('{"global_step": 5')
    with pytest.raises(
        CheckpointError, match=r"trainer_state\.json cannot be read.*step of model\.safetensors.*repair"
    ):
        import_checkpoints(tmp_path, tmp_path / "run")


@pytest.mark.parametrize(
    ("pattern", "facts"),
    [
        ("log*", ["matches no checkpoint", "logs"]),
        ("**/optim*", ["matches no checkpoint", "optimizer.pt"]),
        ("epoch[0-9].pth", ["no file matches", "epoch[0-9].pth"]),
    ],
)
def test_a_pattern_without_a_checkpoint_is_one_sentence(tmp_path, pattern, facts):
    (tmp_path / "logs" / "deep").mkdir(parents=True)
    torch.save({"state": {}}, tmp_path / "logs" / "deep" / "optimizer.pt")
    with pytest.raises(CheckpointError) as caught:
        import_checkpoints(str(tmp_path / pattern), tmp_path / "run")
    says(str(caught.value), *facts, "check the")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", [("model", ".safetensors"), ("diffusion_pytorch_model", ".safetensors")])
@pytest.mark.parametrize("source", ["a", "a/*"])
def test_parts_of_a_model_are_no_checkpoints(tmp_path, name, source):
    index = shard(tmp_path / "a", name, state(3))
    run = import_checkpoints(str(tmp_path / source), tmp_path / "run")
    assert run.configuration["imported"] == [index.name]
    part = tmp_path / "a" / f"{name[0]}-00001-of-00002{name[1]}"
    with pytest.raises(CheckpointError, match=f"{part.name} is one of several files .* give {index.name}"):
        import_checkpoints(part, tmp_path / "other")
    index.unlink()
    with pytest.raises(CheckpointError, match=f"is one of several files .* get {index.name}"):
        import_checkpoints(str(tmp_path / source), tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_a_model_in_one_file_of_one_and_epochs_of_many_are_checkpoints(tmp_path):
    for name in ("model-00001-of-00001.safetensors", "epoch-3-of-10.safetensors"):
        save_file(state(len(name)), tmp_path / name)
    assert len(import_checkpoints(tmp_path, tmp_path / "run").windows) == 2
