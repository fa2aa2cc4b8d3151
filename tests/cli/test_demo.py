"""recu-analyze demo: whether it goes on with what is there."""

from __future__ import annotations

import pytest

from recu_analysis.errors import InputError
from tests.cli_runner import run_cli


@pytest.mark.parametrize(("holds", "resumed"), [(None, False), ([], False), (["lock"], False), (["run.json"], True)])
def test_it_goes_on_with_a_run_and_takes_an_empty_folder_for_a_new_one(tmp_path, monkeypatch, holds, resumed):
    told = []

    def stopped(*_, resume, **__):
        told.append(resume)
        raise InputError("no further")

    monkeypatch.setattr("recu_analysis.cli.train.run_training", stopped)
    if holds is not None:
        (tmp_path / "recu").mkdir()
    for name in holds or []:
        (tmp_path / "recu" / name).touch()
    assert run_cli("demo", "--directory", tmp_path).exit_code == 1
    assert told == [resumed]
