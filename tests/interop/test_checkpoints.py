"""Checkpoints that hold no model: pipes, states that hold themselves, and names that no file can have."""

import os

import pytest
import torch

from recu_analysis.errors import CheckpointError
from recu_analysis.interop.checkpoint_files import checkpoint_files
from recu_analysis.interop.checkpoints import read_state
from tests.messages import says


@pytest.mark.parametrize("name", ["a.pth", "model.safetensors", "model.safetensors.index.json", ".metadata"])
def test_a_pipe_does_not_make_the_reader_wait(tmp_path, name):
    os.mkfifo(tmp_path / name)
    with pytest.raises(CheckpointError, match="not a regular file"):
        read_state(tmp_path / name)


def nested(depth):
    """A state in so many entries, each in the one before."""
    state: dict = {"w": torch.ones(2)}
    for _ in range(depth):
        state = {"model": state}
    return state


def circle(length):
    """A state that is, after so many entries, its own entry."""
    states: list[dict] = [{} for _ in range(length)]
    for state, following in zip(states, [*states[1:], states[0]], strict=True):
        state["state_dict"] = following
    return states[0]


@pytest.mark.parametrize("length", [1, 3])
def test_a_state_without_end_is_one_sentence(tmp_path, length):
    torch.save(circle(length), tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match=r"a\.pth is nested too deeply, or holds itself"):
        read_state(tmp_path / "a.pth")


def test_a_state_in_a_few_entries_is_read(tmp_path):
    torch.save(nested(5), tmp_path / "a.pth")
    assert [*read_state(tmp_path / "a.pth").tensors] == ["w"]


def test_names_of_tensors_are_data(tmp_path):
    tensors = {"a\n\x1b[31m.weight": torch.ones(2, 3), "b.weight": torch.zeros(2, 3)}
    torch.save({"state_dict": tensors}, tmp_path / "a.pth")
    assert [*read_state(tmp_path / "a.pth").tensors] == [*tensors]


def test_unusual_tensors_are_named_where_nothing_else_is_there(tmp_path):
    tensors = {"a.weight": torch.ones(2, 3).to_sparse(), "b.weight": torch.ones(2, 3, dtype=torch.complex64)}
    torch.save({"model": tensors}, tmp_path / "a.pth")
    with pytest.raises(CheckpointError) as caught:
        read_state(tmp_path / "a.pth")
    says(str(caught.value), "a.pth", "a.weight (sparse_coo)", "b.weight (complex64)")


def test_a_name_that_no_file_can_have_is_one_sentence():
    with pytest.raises(CheckpointError, match="9999 cannot be read: File name too long") as caught:
        checkpoint_files(["9" * 300])
    assert len(str(caught.value)) < 400
