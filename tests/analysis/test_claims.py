"""The paper's claims on synthetic runs in which they are true, false and undecidable."""

import json
import math

import numpy as np
import pytest

from recu_analysis import claims, open_run
from recu_analysis.analysis.claims.finding import judge
from recu_analysis.testing import synthetic_run
from recu_analysis.theory.intervals import Interval
from recu_analysis.theory.standardize import WeightTransform

FREE = WeightTransform(centre=True, target=2.0)
CLAMPED = WeightTransform(centre=True, target=2.0, clamp=True)


def walk_of(draw, *, keep=0.8, updates=12, hold=False, seed=0):
    """Weights of two layers that forget at a known rate; with `hold`, those far from zero never move."""
    generator = np.random.default_rng(seed)
    history = {}
    for name in ("one", "two"):
        steps = [draw(generator, (16, 300))]
        for _ in range(updates):
            step = keep * steps[-1] + math.sqrt(1 - keep**2) * draw(generator, (16, 300))
            steps.append(np.where(np.abs(steps[0]) > 1.0, steps[0], step) if hold else step)
        history[name] = np.array(steps, np.float32)
    return history


def normal(generator, shape):
    return generator.normal(size=shape)


def make(path, history, transform=FREE, **settings):
    made = synthetic_run(path, history, windows=6, transform=transform)
    file = made.path / "run.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"configuration": settings}))
    return open_run(made.path)


def verdicts(*groups):
    table = claims(*groups).set_index("id")
    assert table["why"].str.len().min() > 10
    return table


def test_free_normal_weights_contradict_dead_tails_and_laplace(tmp_path):
    table = verdicts(make(tmp_path / "run", walk_of(normal)))
    assert table.loc["C1a", "verdict"] == "contradicted"
    assert table.loc["C1a", "estimate"] == pytest.approx(1.0, abs=0.15)
    assert table.loc["C2", "verdict"] == "contradicted"
    assert table.loc["C2", "estimate"] == pytest.approx(2.0, abs=0.2)
    assert table.loc["C5", "verdict"] == "contradicted"
    assert table.loc["C5", "estimate"] == pytest.approx(1.128, abs=0.02)
    assert table.loc["C3b", ["verdict", "estimate"]].tolist() == ["contradicted", 0.55]
    assert table.loc["C9", ["verdict", "estimate"]].tolist() == ["contradicted", 0.0]
    assert table.loc[["C6", "C7"], "verdict"].tolist() == ["cannot tell"] * 2


def test_a_tail_that_is_held_supports_dead_tails(tmp_path):
    # The core forgets at once, so that the whole layer's memory falls to the tail's share.
    table = verdicts(make(tmp_path / "run", walk_of(normal, keep=0.0, hold=True)))
    if table.loc["C1a", "verdict"] != "cannot tell":
        assert table.loc["C1a", "verdict"] == "supported"
        assert table.loc["C1b", "verdict"] == "supported"
    else:
        assert "memory stays above 1/2" in table.loc["C1a", "why"]


def test_laplace_weights_support_laplace_and_the_scale(tmp_path):
    generator = np.random.default_rng(1)
    history = {
        name: np.array([generator.laplace(size=(16, 600)) for _ in range(13)], np.float32) for name in ("one", "two")
    }
    table = verdicts(make(tmp_path / "run", history))
    assert table.loc["C2", "verdict"] == "supported"
    assert table.loc["C5", "verdict"] == "supported"


def test_short_and_sampled_runs_cannot_tell(tmp_path):
    short = verdicts(make(tmp_path / "short", walk_of(normal, keep=0.999)))
    assert short.loc[["C1a", "C1b", "C2"], "verdict"].tolist() == ["cannot tell"] * 3
    assert "train longer" in short.loc["C1a", "why"]
    sampled = open_run(
        synthetic_run(tmp_path / "sampled", walk_of(normal), windows=6, transform=FREE, exact=False).path
    )
    assert "sampled from checkpoints" in verdicts(sampled).loc["C1a", "why"]


def test_a_run_that_clamps_needs_one_that_does_not(tmp_path):
    clamped = make(tmp_path / "clamped", walk_of(normal), CLAMPED, seed=0)
    assert "--no-recu" in verdicts(clamped).loc["C1a", "why"]
    assert "give --baseline" in verdicts(clamped).loc["C6", "why"]
    random = make(tmp_path / "random", walk_of(normal), FREE, seed=0, mask="random", recu=True)
    assert verdicts(random).loc["C1a", "verdict"] == "cannot tell"


def test_three_pairs_of_seeds_carry_a_verdict_on_trainings(tmp_path):
    ours = [make(tmp_path / f"o{s}", walk_of(normal, keep=0.5, seed=s), CLAMPED, seed=s) for s in range(3)]
    theirs = [make(tmp_path / f"t{s}", walk_of(normal, keep=0.9, seed=s), FREE, seed=s) for s in (2, 0, 1)]
    table = verdicts(ours, theirs)
    assert table.loc["C6", "verdict"] == "supported"  # faster steps flip more of the tail
    assert table.loc["C6", "low"] > 1.1
    # Every run logs the same accuracy: no difference, which supports nothing.
    assert table.loc["C7", ["verdict", "estimate"]].tolist() == ["not supported", 0.0]
    swapped = [make(tmp_path / f"s{s}", walk_of(normal, keep=0.9, seed=s), CLAMPED, seed=s) for s in range(3)]
    others = [make(tmp_path / f"u{s}", walk_of(normal, keep=0.5, seed=s), FREE, seed=s) for s in range(3)]
    assert verdicts(swapped, others).loc["C6", "verdict"] == "contradicted"
    assert verdicts(ours[:1], theirs).loc["C6", "verdict"] == "cannot tell"
    # Shells expand --baseline t* into one baseline and two more runs; they are told apart by what they do.
    assert verdicts([*ours, *theirs[1:]], theirs[:1]).equals(table)
    assert verdicts([*theirs, *ours]).equals(table)


@pytest.mark.parametrize(
    ("interval", "verdict"),
    [
        ((0.3, 0.2, 0.4), "supported"),
        ((0.9, 0.85, 0.95), "contradicted"),
        ((0.6, 0.4, 0.9), "not supported"),
        ((0.6, math.nan, math.nan), "cannot tell"),
    ],
)
def test_verdicts_follow_the_interval(interval, verdict):
    found = judge(Interval(*interval), supported=(-math.inf, 0.5), contradicted=[(0.8, math.inf)], shown="x")
    assert found.verdict == verdict
