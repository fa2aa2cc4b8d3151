"""The folder of a training: what is refused, what --overwrite replaces, and what nothing touches."""

from __future__ import annotations

import shutil
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file

from recu_analysis.errors import DataError, InputError, NoRoomError, RunExistsError, StoreError
from recu_analysis.nn import build_network
from recu_analysis.store.run import open_run
from recu_analysis.training import loop, run_folder
from recu_analysis.training.config import TrainingConfig
from recu_analysis.training.loop import train
from tests.training.short_training import BATCHES, SETTINGS, stop_after, times_of_files

pytestmark = pytest.mark.usefixtures("few_digits")


def test_a_finished_training_resumed_does_nothing(tmp_path):
    config = TrainingConfig(**SETTINGS | {"epochs": 2})
    train(config, tmp_path / "run")
    before = times_of_files(tmp_path / "run")
    result = train(config, tmp_path / "run", resume=True, on_batch=lambda progress: pytest.fail("trained again"))
    assert (result.epochs, result.stopped) == (2, False)
    assert times_of_files(tmp_path / "run") == before


def test_an_existing_folder_is_refused_and_untouched(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(RunExistsError, match="not a run directory"):
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


@pytest.mark.parametrize("content", ['{"project": "mine"}', '["mine"]', "", None])
def test_a_file_called_run_json_makes_no_run(tmp_path, content):
    if content is None:
        (tmp_path / "run.json").mkdir()
    else:
        (tmp_path / "run.json").write_text(content)
    (tmp_path / "history").mkdir()
    (tmp_path / "history" / "thesis.tex").write_text("mine")
    with pytest.raises(RunExistsError, match="not a run directory"):
        train(TrainingConfig(**SETTINGS), tmp_path, overwrite=True)
    assert (tmp_path / "history" / "thesis.tex").read_text() == "mine"


@pytest.mark.parametrize("name", ["notes.txt", "checkpoints/best.pth"])
def test_overwrite_deletes_nothing_that_no_training_wrote(tmp_path, name):
    train(TrainingConfig(**SETTINGS), tmp_path / "run", should_stop=stop_after(1))
    (tmp_path / "run" / name).write_text("mine")
    before = times_of_files(tmp_path / "run")
    with pytest.raises(RunExistsError, match=rf"run has {name}, which no training wrote"):
        train(TrainingConfig(**SETTINGS), tmp_path / "run", overwrite=True)
    assert times_of_files(tmp_path / "run") == before


def test_overwrite_replaces_a_damaged_run(tmp_path):
    train(TrainingConfig(**SETTINGS), tmp_path / "run", should_stop=stop_after(1))
    (tmp_path / "run" / "run.json").write_text("{")
    train(TrainingConfig(**SETTINGS | {"epochs": 2}), tmp_path / "run", overwrite=True)
    assert len(open_run(tmp_path / "run").metrics) == 2


@pytest.mark.parametrize("resume", [False, True])
def test_a_name_that_no_folder_can_have_is_one_sentence(tmp_path, resume):
    with pytest.raises(StoreError, match="File name too long"):
        train(TrainingConfig(**SETTINGS), tmp_path / ("x" * 300), resume=resume)


def test_a_folder_that_cannot_be_made_is_said_before_anything_is_announced(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(StoreError, match="cannot be written: Not a directory"):
        train(TrainingConfig(**SETTINGS), tmp_path / "file" / "run", on_start=lambda _: pytest.fail("announced"))


def test_no_other_process_moves_a_run_on_while_a_resumption_reads_it(tmp_path, monkeypatch):
    config = TrainingConfig(**SETTINGS)
    train(config, tmp_path / "run", should_stop=stop_after(BATCHES + 1))
    whole, load = tmp_path / "whole", loop.load_dataset
    train(config, whole)

    def meanwhile(*arguments):
        monkeypatch.setattr(loop, "load_dataset", load)
        with pytest.raises(StoreError, match="another process is recording into"):
            train(config, tmp_path / "run", resume=True)
        return load(*arguments)

    monkeypatch.setattr(loop, "load_dataset", meanwhile)
    assert train(config, tmp_path / "run", resume=True).epochs == 3
    ours, theirs = (load_file(run / "checkpoints/last.safetensors") for run in (tmp_path / "run", whole))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_overwrite_replaces_a_run(tmp_path):
    train(TrainingConfig(**SETTINGS), tmp_path / "run", should_stop=stop_after(BATCHES + 1))
    train(TrainingConfig(**SETTINGS | {"epochs": 2}, seed=5), tmp_path / "run", overwrite=True)
    assert open_run(tmp_path / "run").metrics["epoch"].tolist() == [0, 1]


@pytest.mark.parametrize("reason", ["data", "network"])
def test_overwrite_deletes_nothing_before_the_rest_is_sure(tmp_path, monkeypatch, reason):
    train(TrainingConfig(**SETTINGS | {"epochs": 2}), tmp_path / "run")
    before = times_of_files(tmp_path / "run")
    config = TrainingConfig(**SETTINGS, network="resnet20" if reason == "data" else "resnet2000")

    def missing(*_):
        raise DataError("the data set is missing")

    if reason == "data":
        monkeypatch.setattr(loop, "load_dataset", missing)
    with pytest.raises((DataError, InputError)):
        train(config, tmp_path / "run", overwrite=True)
    assert times_of_files(tmp_path / "run") == before


def test_resuming_with_other_settings_names_them(tmp_path):
    train(TrainingConfig(**SETTINGS | {"epochs": 2}), tmp_path / "run")
    with pytest.raises(InputError, match=r"epochs.*lr") as caught:
        train(TrainingConfig(**SETTINGS, lr=0.2), tmp_path / "run", resume=True)
    assert "momentum" not in str(caught.value)


def test_resume_and_overwrite_exclude_each_other(tmp_path):
    with pytest.raises(InputError, match="exclude each other"):
        train(TrainingConfig(**SETTINGS), tmp_path / "run", resume=True, overwrite=True)


def test_overwrite_without_room_keeps_the_old_run(tmp_path, monkeypatch):
    config = TrainingConfig(**SETTINGS | {"epochs": 2})
    train(config, tmp_path / "run")
    before = times_of_files(tmp_path / "run")

    def full(folder, needed, what):
        raise NoRoomError(f"no room for {what}")

    monkeypatch.setattr(run_folder, "check_room", full)
    with pytest.raises(NoRoomError):
        train(config, tmp_path / "run", overwrite=True)
    assert times_of_files(tmp_path / "run") == before


def test_overwrite_empties_a_folder_that_cannot_itself_be_deleted(tmp_path, monkeypatch):
    train(TrainingConfig(**SETTINGS), tmp_path / "run", should_stop=stop_after(1))
    monkeypatch.chdir(tmp_path / "run")
    train(TrainingConfig(**SETTINGS | {"epochs": 2}), ".", overwrite=True)
    assert len(open_run(tmp_path / "run").metrics) == 2


@pytest.mark.parametrize("kept", ["checkpoints", "run.json"])
def test_what_a_kill_leaves_of_a_run_that_was_being_deleted_can_be_overwritten(tmp_path, monkeypatch, kept):
    train(TrainingConfig(**SETTINGS), tmp_path / "run", should_stop=stop_after(1))
    with monkeypatch.context() as patched:
        patched.setattr(run_folder, "OWN", run_folder.OWN[: run_folder.OWN.index(kept)])
        run_folder.clear(tmp_path / "run")
    assert (tmp_path / "run" / kept).exists()
    train(TrainingConfig(**SETTINGS | {"epochs": 2}), tmp_path / "run", overwrite=True)
    assert len(open_run(tmp_path / "run").metrics) == 2


def test_a_finished_run_is_not_written_to_by_resume(tmp_path, monkeypatch):
    config = TrainingConfig(**SETTINGS | {"epochs": 1, "warm_up": 0})
    train(config, tmp_path / "run")
    monkeypatch.setattr(run_folder, "lock_directory", lambda _: pytest.fail("locked"))
    assert train(config, tmp_path / "run", resume=True).epochs == 1


def test_room_is_asked_for_before_a_folder_is_made(tmp_path, monkeypatch):
    free = loop._bytes_ahead(TrainingConfig(**SETTINGS), build_network("resnet20"), 2)  # without any to spare
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
    with pytest.raises(NoRoomError, match=r"not enough disk space.*1 epochs"):
        train(TrainingConfig(**SETTINGS | {"epochs": 1, "warm_up": 0}), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_overwrite_does_not_follow_a_link(tmp_path):
    config = TrainingConfig(**SETTINGS | {"epochs": 2})
    train(config, tmp_path / "run")
    (tmp_path / "link").symlink_to(tmp_path / "run")
    with pytest.raises(RunExistsError, match="is a link"):
        train(config, tmp_path / "link", overwrite=True)
    assert len(open_run(tmp_path / "run").metrics) == 2


def test_overwrite_leaves_a_run_that_is_being_recorded(tmp_path):
    model = build_network("resnet20")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with (
        loop.record(model, optimizer, tmp_path / "run"),
        pytest.raises(StoreError, match="another process is recording into"),
    ):
        train(TrainingConfig(**SETTINGS), tmp_path / "run", overwrite=True)
    assert len(open_run(tmp_path / "run").windows) == 1
