"""Folders of torch.distributed.checkpoint: bitwise the saved tensors, and nothing in them is run."""

import json
import pickle
import warnings

import numpy as np
import pytest
import torch
import torch.distributed.checkpoint as dcp
from torch import nn

from recu_analysis.capture.importer import POSITIONS, import_checkpoints
from recu_analysis.errors import CheckpointError
from recu_analysis.interop import distributed_checkpoint
from recu_analysis.interop.checkpoints import read_state
from tests.capture import codebase_layers as codebases
from tests.messages import says


def state(seed):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(1, 2, 3), codebases.recu(), nn.Linear(4, 2)).state_dict()


def save(folder, content):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns that there is one process
        dcp.save(content, checkpoint_id=str(folder), no_dist=True)
    return folder / ".metadata"


def test_folders_are_imported_in_the_order_of_their_steps(tmp_path):
    for step in (20, 3):
        momentum = {"0.weight": torch.ones(2, 1, 3, 3)}
        save(tmp_path / f"s{100 - step}", {"model": state(step), "optim": momentum, "global_step": step, "epoch": 0})
    run = import_checkpoints(tmp_path, tmp_path / "run")
    assert run.configuration == {"imported": ["s97/.metadata", "s80/.metadata"], "update_numbers": "global_step"}
    np.testing.assert_array_equal(run.windows[1]["1"].weight, state(20)["1.weight"].numpy())


@pytest.mark.parametrize("wrap", [lambda tensors: tensors, lambda tensors: {"state_dict": tensors}])
def test_all_tensors_are_bitwise_those_that_were_saved(tmp_path, wrap):
    found = read_state(save(tmp_path / "a", wrap(state(1)))).tensors
    assert found.keys() == state(1).keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in state(1).items())


def test_folders_of_a_trainer_have_its_step(tmp_path):
    for step in (5, 12):
        save(tmp_path / f"checkpoint-{step}" / "pytorch_model_fsdp_0", {"model": state(step)})
        (tmp_path / f"checkpoint-{step}" / "trainer_state.json").write_text(json.dumps({"global_step": step}))
    run = import_checkpoints(str(tmp_path / "checkpoint-*" / "pytorch_model_fsdp_0"), tmp_path / "run")
    assert [window.last_update for window in run.windows] == [5, 12]


def edited(path, change):
    """The metadata with another content."""
    content = pickle.loads(path.read_bytes())
    change(content)
    path.write_bytes(pickle.dumps(content))


def in_rows(content, *, offsets=(0, 2)):
    """Say that two parts of one size lie at these rows of a larger tensor."""
    entry = content.state_dict_metadata["w"]
    entry.size = torch.Size([4, 3])
    (index, place), *_ = content.storage_data.items()
    content.storage_data = {type(index)("w", torch.Size([row, 0]), at): place for at, row in enumerate(offsets)}


def test_tensors_of_several_ranks_are_put_together(tmp_path):
    part = torch.arange(6.0).reshape(2, 3)
    path = save(tmp_path / "a", {"w": part})
    edited(path, in_rows)
    torch.testing.assert_close(read_state(path).tensors["w"], torch.cat([part, part]), rtol=0, atol=0)
    for offsets in ((0, 0), (0, 1), (0, 3), (-1, 1)):
        edited(path, lambda content, offsets=offsets: in_rows(content, offsets=offsets))
        with pytest.raises(CheckpointError, match="the parts of 'w' do not fit"):
            read_state(path)


def places(**changes):
    def change(content):
        for place in content.storage_data.values():
            place.__dict__.update(changes)

    return change


@pytest.mark.parametrize(
    ("change", "facts"),
    [
        (places(relative_path="../b.distcp"), ["'../b.distcp'", "not the name of a file"]),
        (places(relative_path="gone.distcp"), ["'gone.distcp'", "get the missing file"]),
        (places(length=10**9), ["cut short"]),
        (places(length=700), ["cannot be read as a file of torch.save"]),
        (places(transform_descriptors=["zip"]), ["compressed"]),
        (lambda content: content.storage_data.clear(), ["the parts of 'w' do not fit"]),
        (lambda content: content.__dict__.pop("storage_data"), ["get the folder again"]),
    ],
)
def test_damage_is_one_sentence(tmp_path, change, facts):
    path = save(tmp_path / "a", {"w": torch.ones(2, 3)})
    edited(path, change)
    with pytest.raises(CheckpointError) as caught:
        read_state(path)
    says(str(caught.value), tmp_path / "a", *facts)


def test_a_flipped_bit_in_a_tensor_is_found(tmp_path):
    path = save(tmp_path / "a", {"w": torch.full((64, 64), 0.5)})
    (file,) = path.parent.glob("*.distcp")
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 4
    file.write_bytes(content)
    with pytest.raises(CheckpointError, match="checksum"):
        read_state(path)


class Evil:
    def __reduce__(self):
        return print, ("run",)


@pytest.mark.parametrize("place", ["storage_data", "planner_data"])
def test_nothing_in_the_metadata_is_run(tmp_path, capsys, place):
    path = save(tmp_path / "a", {"w": torch.ones(2, 3)})
    edited(path, lambda content: setattr(content, place, Evil()))
    with pytest.raises(CheckpointError, match=r"it has builtins\.print"):
        read_state(path)
    assert not capsys.readouterr().out


def test_folders_without_steps_are_in_natural_order(tmp_path):
    for at in (2, 11):
        save(tmp_path / f"step_{at}", state(at))
    run = import_checkpoints(tmp_path, tmp_path / "run")
    assert run.configuration["update_numbers"] == POSITIONS
    assert run.configuration["imported"] == ["step_2/.metadata", "step_11/.metadata"]


def test_a_bytearray_longer_than_the_memory_is_refused_before_python_allocates_it(tmp_path, monkeypatch):
    """Python 3.11 lets go of it half made, and may print a SystemError that nobody can catch."""
    begun = []
    monkeypatch.setattr(distributed_checkpoint, "_Plain", lambda _: begun.append("an unpickler"))
    metadata = save(tmp_path / "a", {"model": state(1)})
    metadata.write_bytes(pickle.PROTO + b"\x05" + pickle.BYTEARRAY8 + (2**62).to_bytes(8, "little") + b"abcd.")
    with pytest.raises(CheckpointError):
        read_state(metadata)
    assert not begun


def test_frames_that_overlap_are_refused(tmp_path):
    """Python's unpickler, in C, read such a file for ever."""
    metadata = save(tmp_path / "a", {"model": state(1)})
    whole = metadata.read_bytes()
    assert whole[2:3] == pickle.FRAME
    length = int.from_bytes(whole[3:11], "little")
    for outer, inner in ((length + 9, 3), (length + 9, length), (length + 900, None)):
        frames = [pickle.FRAME + size.to_bytes(8, "little") for size in (outer, inner) if size is not None]
        metadata.write_bytes(whole[:2] + b"".join(frames) + whole[11:])
        with pytest.raises(CheckpointError, match="a frame that overlaps another one"):
            read_state(metadata)
