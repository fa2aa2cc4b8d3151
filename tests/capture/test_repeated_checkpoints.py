"""Files that repeat the step or the weights of another one are left out of an import, and named."""

import pytest
import torch
from torch import nn

from recu_analysis.capture.importer import import_checkpoints
from recu_analysis.errors import RecordingWarning
from tests.capture import codebase_layers as codebases


def save(path, seed, **entries):
    torch.manual_seed(seed)
    torch.save({"state_dict": nn.Sequential(codebases.recu()).state_dict()} | entries, path)


@pytest.mark.parametrize(
    ("files", "kept", "named"),
    [
        ({"best": 2, "e1": 1, "e2": 2, "e10": 3}, ["e1", "e2", "e10"], r"best.pt \(the weights of e2.pt\)"),
        ({"e1": 1, "e2": 2, "last": 2}, ["e1", "e2"], r"last.pt \(the weights of e2.pt\)"),
    ],
)
def test_files_with_the_weights_of_another_are_left_out(tmp_path, files, kept, named):
    for name, seed in files.items():
        save(tmp_path / f"{name}.pt", seed)
    with pytest.warns(RecordingWarning, match=named):
        run = import_checkpoints(tmp_path, tmp_path / "run")
    assert run.configuration["imported"] == [f"{name}.pt" for name in kept]


def test_files_with_the_step_of_another_are_left_out(tmp_path):
    for name, seed, step in (("average", 9, 20), ("s10", 1, 10), ("s20", 2, 20)):
        save(tmp_path / f"{name}.ckpt", seed, global_step=step, epoch=0)
    with pytest.warns(RecordingWarning, match=r"average.ckpt \(the step of s20.ckpt\)"):
        run = import_checkpoints(tmp_path, tmp_path / "run")
    assert [window.last_update for window in run.windows] == [10, 20]


def test_a_training_that_stands_still_is_no_repeat(tmp_path, recwarn):
    for epoch in (4, 5):
        save(tmp_path / f"e{epoch}.pt", 1, epoch=epoch)
    assert len(import_checkpoints(tmp_path, tmp_path / "run").windows) == 2
    assert not recwarn
