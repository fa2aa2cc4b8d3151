"""Runs of earlier versions: a setting that they do not have counts as what the training did then."""

from __future__ import annotations

from dataclasses import replace

from recu_analysis import open_run
from recu_analysis.analysis.arms import INCIDENTAL, arms, differing
from recu_analysis.analysis.earlier_settings import LATER, configuration_of
from recu_analysis.testing import random_walk, synthetic_run
from recu_analysis.training.config import TrainingConfig


def test_an_absent_setting_of_our_training_is_its_default_and_nothing_else(tmp_path):
    run = open_run(synthetic_run(tmp_path / "run", {"a": random_walk((4, 6), 4)}).path)

    def made(**configuration):
        return replace(run, header=replace(run.header, configuration=configuration, run_id=str(configuration)))

    now = TrainingConfig(seed=1).to_dict()
    assert {name: now[name] for name in LATER} == LATER
    earliest = {name: value for name, value in now.items() if name not in LATER} | {"seed": 0}
    assert configuration_of(made(**earliest)) == now | {"seed": 0}
    assert len(arms({"then": made(**earliest), "now": made(**now)})) == 1
    other = {bool: True, str: "other", int: 7, list: ["grad"], type(None): "held"}
    for name in LATER:
        changed = now | {name: False if now[name] is True else other[type(now[name])]}
        pair = {"then": made(**earliest), "now": made(**changed)}
        assert len(arms(pair)) == (1 if name in INCIDENTAL else 2), name
        assert differing(pair.values()) == sorted({name, "seed"})
    # A user's own configuration has other settings.
    pair = {"one": made(lr=1.0, seed=0), "two": made(lr=1.0, seed=1, optimizer="sgd")}
    assert len(arms(pair)) == 2
