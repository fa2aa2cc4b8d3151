"""Which weights a group has: by silence, by the cause of silence, or all."""

from __future__ import annotations

import numpy as np
import pytest

import recu_analysis as ra
from recu_analysis.analysis.cause_groups import cause_groups_query
from recu_analysis.analysis.selection import WindowSpan
from recu_analysis.analysis.weight_groups import weight_groups_query
from recu_analysis.errors import InputError, NotRecordedError, WindowNotFoundError
from recu_analysis.intervention.draws import NAMES, drawer
from recu_analysis.testing import synthetic_run
from tests.messages import facts


def test_groups_are_those_of_their_names(tmp_path):
    run = ra.open_run(synthetic_run(tmp_path / "run", gradient_stats=True).path)
    span, specs = WindowSpan(2, 5), run.header.layers
    found = drawer(run, span, specs, NAMES, 0.85, 0).members
    assert [*found] == [*NAMES]
    silence, causes = (query(run, span, specs).run() for query in (weight_groups_query, cause_groups_query))
    for spec in specs:
        for group, mask in (silence[spec.name] | causes[spec.name]).items():
            assert found[group][spec.name].tolist() == np.flatnonzero(mask).tolist()
        assert found["random"][spec.name].tolist() == list(range(spec.weights))
    for groups, first, error, words in (
        (["hold"], 2, InputError, ["'hold'", "held"]),
        ([], 2, InputError, ["no group", "held"]),
        (["held"], 1, WindowNotFoundError, ["windows before"]),
    ):
        with pytest.raises(error, match=facts(*words)):
            drawer(run, WindowSpan(first, 5), specs, groups, 0.85, 0)
    plain = ra.open_run(synthetic_run(tmp_path / "plain").path)
    with pytest.raises(NotRecordedError, match="gradient-stats"):
        drawer(plain, span, specs, ["held"], 0.85, 0)
