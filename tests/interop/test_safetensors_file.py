"""Safetensors files in a folder of any name, and what is no file."""

import os
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import save

from recu_analysis.interop.safetensors_file import open_safetensors

WEIGHT = torch.arange(6.0).reshape(2, 3)


@pytest.mark.parametrize("name", [b"plain", "é\u202e\n".encode(), b"\xff\xfe"])
def test_a_folder_may_have_any_name(tmp_path, name):
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name))
    folder.mkdir()
    (folder / "a.safetensors").write_bytes(save({"w": WEIGHT}, metadata={"epoch": "3"}))
    with open_safetensors(folder / "a.safetensors") as file:
        assert file.metadata() == {"epoch": "3"}
        assert torch.equal(file.get_tensor("w"), WEIGHT)
    (folder / "a.safetensors").write_bytes(b"x" * 9)
    with pytest.raises(SafetensorError), open_safetensors(folder / "a.safetensors"):
        pass


def test_a_pipe_does_not_make_the_reader_wait(tmp_path):
    os.mkfifo(tmp_path / "a.safetensors")
    with pytest.raises(OSError, match="not a regular file"), open_safetensors(tmp_path / "a.safetensors"):
        pass
    with pytest.raises(FileNotFoundError), open_safetensors(tmp_path / "none.safetensors"):
        pass
