"""The null beside statistics of movement: of noise alone it is what is measured, and thinning does not change it."""

import numpy as np
import pandas as pd
import pytest
import torch

import recu_analysis as ra
from recu_analysis.analysis.ground import Ground
from recu_analysis.analysis.null import bounded_layers
from recu_analysis.analysis.verdict import of_dead_weights
from recu_analysis.nn.functional import recu, standardize
from recu_analysis.testing import random_walk, synthetic_run
from recu_analysis.theory.inheritance import UpdateRule
from recu_analysis.theory.intervals import student
from recu_analysis.theory.standardize import WeightTransform

CENTERED = WeightTransform(center=True, target=2.0)
DECAY = 0.02


def noise(shape, updates, speed=1.0, seed=0, sizes=(), dead=None):
    """Weights in equilibrium under SGD with momentum 0.9, lr 0.1 and weight decay 0.02; each channel has its scale.

    The last updates have noise of their own sizes, and in them `dead` tells from (w, w at their start) which weights
    do not move.
    """
    generator, rule = np.random.default_rng(seed), UpdateRule(0.9)
    matrix, gain = rule.matrix(0.1, DECAY), rule.gain(0.1)
    w, m = np.zeros((2, *shape))
    steps = []
    for update in range(-600, updates + 1):
        ours = update - (updates + 1 - len(sizes))
        force = generator.normal(size=shape) * speed * (sizes[ours] if ours >= 0 else 1.0)
        fixed = dead(steps[-1 - ours]) if dead is not None and ours >= 0 else np.zeros(shape, bool)
        moved = (matrix[at, 0] * w + matrix[at, 1] * m + gain[at] * force for at in (0, 1))
        w, m = (np.where(fixed, before, after) for before, after in zip((w, 0.0 * m), moved, strict=True))
        if update >= 0:
            steps.append(w)
    return np.array(steps, np.float32)


def scores(weights):
    """Standard scores by channel, shape (channels, weights)."""
    return (weights - weights.mean(axis=1, keepdims=True)) / weights.std(axis=1, ddof=1, keepdims=True)


def far(weights):
    """The tail: the 30 % of the weights that are farthest from zero."""
    z = np.abs(scores(weights))
    return z >= np.quantile(z, 0.7)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    speeds = np.linspace(0.5, 3.0, 32).reshape(-1, 1)
    walks = {"a": noise((32, 300), 80, speeds), "b": noise((32, 300), 80, seed=1)}
    made = synthetic_run(
        tmp_path_factory.mktemp("null") / "run", walks, windows=8, transform=CENTERED, decay_time=DECAY, momentum=0.9
    )
    return made.path


def test_of_noise_alone_the_null_is_what_is_measured(path):
    dead = ra.dead_weights(path, windows="3:9")
    for name in ("silent_fraction", "silent_fraction_tail", "silent_fraction_core", "tail_silent_fraction"):
        np.testing.assert_allclose(dead[f"{name}_null"], dead[name], atol=0.045, err_msg=name)
    np.testing.assert_allclose(dead["autocorrelation_null"], dead["autocorrelation"], atol=0.03)
    tails = ra.tails(path, windows="3:9")
    for name in ("mobility_ratio", "flip_risk_ratio", "distance_ratio_tail", "distance_ratio_core"):
        np.testing.assert_allclose(tails[f"{name}_null"], tails[name], atol=0.09, err_msg=name)
    flips = ra.flip_table(path)
    for name in ("flip_ratio", "silent_fraction", "reversals", "locked_fraction", "autocorrelation_to_end"):
        np.testing.assert_allclose(flips[f"{name}_null"], flips[name], atol=0.05, err_msg=name)


def test_the_interval_over_seeds_holds_the_error_of_the_simulation(tmp_path):
    """Noise alone in 40 arms, each a layer, with 8 seeds: measured over null is 1. The same noise in all: 0.825."""
    seeds = []
    for seed in range(8):
        steps = noise((40 * 4, 150), 40, seed=seed + 10).reshape(41, 40, 4, 150)
        walks = {f"arm{at}": steps[:, at] for at in range(40)}
        made = synthetic_run(tmp_path / str(seed), walks, transform=CENTERED, decay_time=DECAY, momentum=0.9)
        table = ra.dead_weights(made.path, windows=":")
        seeds.append(table["silent_fraction_tail"] / table["silent_fraction_tail_null"])
    found = [student(arm) for arm in np.stack(seeds, axis=1)]
    held = np.mean([each.low <= 1.0 <= each.high for each in found])
    assert held >= 0.95 - 2.5 * np.sqrt(0.95 * 0.05 / len(found))


def test_the_null_of_a_clamped_layer_knows_that_the_clamp_stops_gradients(tmp_path):
    tau, generator = torch.tensor(0.85), torch.Generator().manual_seed(0)
    weight = torch.nn.Parameter(torch.randn(16, 144, generator=generator))
    optimizer = torch.optim.SGD([weight], lr=0.1, momentum=0.9, weight_decay=0.02)
    steps = []
    for update in range(281):
        if update >= 200:
            steps.append(weight.detach().numpy().copy())
        optimizer.zero_grad()
        clamped = recu(standardize(weight), tau)
        (clamped * torch.randn(16, 144, generator=generator)).sum().backward()
        optimizer.step()
    made = synthetic_run(tmp_path / "run", {"a": np.array(steps)}, decay_time=DECAY, momentum=0.9)
    dead, tails = ra.dead_weights(made.path, windows=":"), ra.tails(made.path, windows=":")
    assert tails["mobility_ratio"][0] < 0.9
    assert tails["mobility_ratio_null"][0] == pytest.approx(tails["mobility_ratio"][0], abs=0.04)
    for name in ("silent_fraction_tail", "silent_fraction_core"):
        assert dead[f"{name}_null"][0] == pytest.approx(dead[name][0], abs=0.04)


def last_windows(path, walk):
    """The windows 2 to 7 of 7, of a run with one layer."""
    made = synthetic_run(path, {"a": walk}, windows=7, transform=CENTERED, decay_time=DECAY, momentum=0.9)
    return ra.dead_weights(made.path, windows="2:8").iloc[0]


def verdict(rows):
    """The sentence on these rows of three trainings."""
    share, null = (student([row[f"tail_silent_fraction{end}"] for row in rows]) for end in ("", "_null"))
    ground = Ground("windows 2 to 7", 0.1, trainings=3)
    return of_dead_weights(share, null, "tail-silent", ground, at_most=bounded_layers(pd.DataFrame(rows)) > 0)


@pytest.mark.parametrize("dead", [far, lambda w: far(w) | (np.arange(w.shape[1]) % 4 == 0)], ids=["tail", "more"])
def test_a_planted_dead_tail_is_told_beside_what_noise_would_leave(tmp_path, dead):
    """The standard deviation grows while the tail stands still, so the core seems slow: noise needs another size."""
    sizes = np.ones(240)
    rows = [
        last_windows(tmp_path / str(seed), noise((16, 300), 280, seed=seed, sizes=sizes, dead=dead))
        for seed in range(3)
    ]
    alive = last_windows(tmp_path / "alive", noise((16, 300), 280, seed=3))
    for row in rows:
        assert row["mobility_core"] < 0.8 * row["mobility_core_null"]
        assert row["silent_fraction_tail"] > 0.99
        more = row["silent_fraction_tail_null"] - alive["silent_fraction_tail"]
        assert -0.03 < more < 0.1
    assert ": more than noise alone would leave, which is at most " in verdict(rows)


@pytest.mark.parametrize("kind", ["falling", "bursts", "unequal weights", "weights without noise"])
def test_noise_of_several_sizes_is_never_more_than_noise(tmp_path, kind):
    sizes, speed, generator = np.ones(240), np.ones((1, 300)), np.random.default_rng(9)
    if kind == "falling":
        sizes = np.exp(-np.arange(240) / 80.0) * 2.0
    if kind == "bursts":
        sizes = np.where(np.arange(240) % 20 < 4, 3.0, 0.2)
    if kind == "unequal weights":
        speed = np.exp(generator.normal(size=(1, 300)))
    if kind == "weights without noise":
        speed = (generator.random((1, 300)) < 0.5) + 0.02
    walks = (noise((16, 300), 280, speed, seed=seed, sizes=sizes) for seed in range(3))
    rows = [last_windows(tmp_path / str(seed), walk) for seed, walk in enumerate(walks)]
    for row in rows:
        assert row["silent_fraction_tail"] < row["silent_fraction_tail_null"] + 0.03
    assert "more than noise" not in verdict(rows)


def test_a_thinned_run_has_the_same_null_of_the_same_updates(path, tmp_path):
    thinned = ra.thin(path, windows=(0, 2, 8), output=tmp_path / "thinned")
    whole, merged = (ra.dead_weights(run, windows=span) for run, span in ((path, "3:9"), (thinned, "8:9")))
    nulls = [name for name in whole if name.endswith("_null")]
    assert len(nulls) == 7
    np.testing.assert_allclose(merged[nulls], whole[nulls], atol=0.01)


def test_imported_runs_and_channels_that_do_not_vary_have_none(tmp_path):
    walks = {"a": random_walk((4, 30), 8), "still": np.full((9, 4, 30), 0.5, np.float32)}
    imported = synthetic_run(tmp_path / "imported", walks, exact=False).path
    for table in (ra.dead_weights(imported), ra.tails(imported), ra.flip_table(imported)):
        nulls = table.filter(like="_null").drop(columns="autocorrelation_to_end_null", errors="ignore")
        assert nulls.isna().to_numpy().all()
    seen = ra.dead_weights(synthetic_run(tmp_path / "seen", walks).path).set_index("layer").filter(like="_null")
    assert seen.loc["a"].notna().all()
    assert seen.loc["still"].isna().all()


def test_a_tail_that_is_held_beyond_a_clamp_moves_less_than_noise_moves_it():
    """Beyond the bound, nothing but decay moves a weight, and a held tail stays there longer. T is 1.3."""
    decay, bound, ratios = 0.004, 1.42, []
    for held in (0.0, 0.8):
        generator = np.random.default_rng(0)
        w, m = generator.uniform(-1.7, 1.7, (32, 288)), np.zeros((32, 288))
        start, path = np.zeros((2, 32, 288))
        for update in range(-400, 320):
            start = w if update == 0 else start
            before = scores(w)
            force = 0.094 * generator.normal(size=w.shape) - held * decay * start
            m = 0.9 * m + force * (np.abs(before) <= bound) + decay * w
            w = w - 0.1 * m
            path += np.abs(scores(w) - before) if update >= 0 else 0.0
        tail = far(start)
        ratios.append(path[tail].mean() / path[~tail].mean())
    assert ratios[1] < ratios[0] - 0.015


@pytest.mark.parametrize(
    ("kind", "sizes", "known"),
    [
        ("falls", [5.0] * 10 + [2.0] * 10 + [1.0] * 20, True),
        ("rises", [0.5] * 10 + [1.0] * 10 + [3.0] * 20, True),
        ("bursts within the windows", ([20.0] + [0.0] * 39) * 4, False),
    ],
)
def test_the_null_of_locked_signs_has_noise_of_each_windows_size(tmp_path, kind, sizes, known):
    """Noise of one size would leave 0.1 fewer or more; where noise changes within a window, the null is not told."""
    made = synthetic_run(
        tmp_path / "run",
        {"a": noise((32, 300), len(sizes), sizes=sizes)},
        windows=4,
        transform=CENTERED,
        decay_time=DECAY,
        momentum=0.9,
    )
    flips = ra.flip_table(made.path)
    before = flips[:-1]
    assert before["locked_fraction_null"].notna().all() == known, kind
    if known:
        np.testing.assert_allclose(before["locked_fraction_null"], before["locked_fraction"], atol=0.04)
    assert flips["locked_fraction_null"].iloc[-1] == 1.0
