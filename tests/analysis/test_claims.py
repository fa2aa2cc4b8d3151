"""The paper's claims on synthetic runs in which they are true, false and undecidable."""

import math
from pathlib import Path

import numpy as np
import pytest

from recu_analysis import claims, dead_weights, open_run
from recu_analysis.analysis.claims import distribution, laws, movement, outcome
from recu_analysis.analysis.claims.finding import Median, judge
from recu_analysis.errors import InputError, WindowNotFoundError
from recu_analysis.store.thin import thin
from recu_analysis.testing import random_walk, synthetic_run
from recu_analysis.theory.inheritance import UpdateRule
from recu_analysis.theory.intervals import Interval
from recu_analysis.theory.standardize import WeightTransform
from tests.editing import edit_run, marks_of, write_marks
from tests.messages import says

CHECKPOINTS = Path(__file__).parents[2] / "checkpoints"
FREE = WeightTransform(center=True, target=2.0)
CLAMPED = WeightTransform(center=True, target=2.0, clamp=True)


def walk_of(draw, *, keep=0.8, updates=12, seed=0):
    """Weights of two layers that forget at a known rate."""
    generator = np.random.default_rng(seed)
    history = {}
    for name in ("one", "two"):
        steps = [draw(generator, (16, 300))]
        for _ in range(updates):
            steps.append(keep * steps[-1] + math.sqrt(1 - keep**2) * draw(generator, (16, 300)))
        history[name] = np.array(steps, np.float32)
    return history


def normal(generator, shape):
    return generator.normal(size=shape)


def make(path, history, transform=FREE, windows=6, **settings):
    made = synthetic_run(path, history, windows=windows, transform=transform)
    edit_run(made.path, configuration=settings)
    return open_run(made.path)


def verdicts(*groups):
    table = claims(groups[0], baseline=groups[1] if groups[1:] else None).set_index("id")
    assert table["why"].str.len().min() > 10
    return table


def test_what_one_run_is_measured_for_is_said_where_there_are_several(tmp_path):
    runs = [make(tmp_path / f"run{seed}", walk_of(normal, seed=seed), seed=seed) for seed in range(2)]
    table = verdicts(runs)
    said = table["why"].str.endswith("; measured on run0 only")
    assert set(table.index[said]) == {"C3a", "C3b", "C4", "C8"}
    assert not verdicts(runs[0])["why"].str.contains("measured on").any()


def test_runs_of_several_kinds_are_pooled_without_a_verdict(tmp_path):
    runs = [
        make(tmp_path / f"run{number}", walk_of(normal, seed=number), seed=seed, lr=lr)
        for number, (seed, lr) in enumerate([(0, 0.1), (1, 0.1), (0, 0.2)])
    ]
    table, alike = verdicts(runs), verdicts(runs[:2])
    concerned = ["C1a", "C1b", "C2", "C5"]
    assert table.loc[concerned, "verdict"].tolist() == ["cannot tell"] * 4
    for why in table.loc[concerned, "why"]:
        says(why, "2 experiments (run0, run1; run2)", "differ in lr", "pooled")
    assert table.loc[concerned, "estimate"].notna().all()
    assert "cannot tell" not in alike.loc[concerned, "verdict"].tolist()
    assert table.loc["C9", "verdict"] == "algebra", "a count over all of them is no estimate"


@pytest.mark.parametrize(
    ("distance", "verdict", "words"),
    [
        ((0.3, 0.2, 0.4), "supported", "the interval lies below 0.5"),
        ((0.9, 0.81, 1.0), "contradicted", "the interval lies above 0.8"),
        ((0.65, 0.6, 0.7), "intermediate", "in between"),
        ((0.46, 0.34, 0.62), "undecided", "does not lie fully below 0.5"),
        ((0.46, math.nan, math.nan), "cannot tell", "an interval needs"),
    ],
)
def test_a_tail_is_stuck_only_where_the_interval_says_so(tmp_path, monkeypatch, distance, verdict, words):
    """The risk of a flip is told and does not decide: noise alone gives any value, by the length of the windows."""
    monkeypatch.setattr(movement, "median_ratio", lambda *_: Median(Interval(0.3, 0.2, 0.4), 2, 0, 0))
    monkeypatch.setattr(movement, "over_null", lambda *_: Median(Interval(*distance), 2, 0, 0))
    found = movement.barely_flips([make(tmp_path / "run", walk_of(normal))]).run()
    assert found.verdict == verdict
    says(found.why, words, "risk of a flip, tail to core: 0.30 (0.20 to 0.40), where noise alone gives 0.")
    assert "nan" not in found.why


def test_layers_without_a_ratio_are_counted(tmp_path):
    walk = walk_of(normal)
    walk["silent"] = np.repeat(walk["one"][:1], 13, axis=0)
    why = verdicts(make(tmp_path / "run", walk))["why"]
    says(why["C1a"], "median layer of 2", "1 without a value")
    says(why["C1b"], "median layer of 2", "1 without a value")


def test_a_baseline_is_other_runs_that_do_not_clamp(tmp_path):
    clamped = [make(tmp_path / f"c{seed}", walk_of(normal, seed=seed), CLAMPED, seed=seed) for seed in range(2)]
    free = make(tmp_path / "free", walk_of(normal), seed=0)
    with pytest.raises(InputError, match=r"c1.*baseline"):
        claims(clamped[0], baseline=clamped[1])
    with pytest.raises(InputError, match=r"one run.*once"):
        claims([free], baseline=[free])


def test_what_stands_in_for_the_clamp_is_named(tmp_path):
    masked = [
        make(tmp_path / f"m{seed}", walk_of(normal, seed=seed), seed=seed, mask="random", recu=True)
        for seed in range(3)
    ]
    free = [make(tmp_path / f"f{seed}", walk_of(normal, seed=seed + 5), seed=seed) for seed in range(3)]
    assert verdicts(masked, free).loc["C6", "why"].startswith("tested on the random mask ")


def test_claims_about_entropy_need_their_condition(tmp_path):
    small = {name: 0.01 * walk for name, walk in walk_of(normal).items()}
    raw = WeightTransform(center=False, target=None)
    table = verdicts(make(tmp_path / "small", small, raw))
    assert table.loc[["C4", "C8"], "verdict"].tolist() == ["cannot tell"] * 2
    assert "no layer has b above 1/e" in table.loc["C4", "why"]
    large = walk_of(normal)
    table = verdicts(make(tmp_path / "mixed", {"one": large["one"], "two": small["two"]}, raw))
    assert table.loc[["C4", "C8"], "verdict"].tolist() == ["algebra"] * 2
    says(table.loc["C4", "why"], "the 1 of 2", "1/e")
    assert table.loc["C8", "estimate"] > 0.9


def test_free_normal_weights_contradict_dead_tails_and_laplace(tmp_path):
    table = verdicts(make(tmp_path / "run", walk_of(normal)))
    assert table.loc["C1a", "verdict"] == "contradicted"
    assert table.loc["C1a", "estimate"] == pytest.approx(1.0, abs=0.15)
    assert table.loc["C2", "verdict"] == "contradicted"
    assert table.loc["C2", "estimate"] == pytest.approx(2.0, abs=0.2)
    assert table.loc["C5", "verdict"] == "contradicted"
    assert table.loc["C5", "estimate"] == pytest.approx(1.128, abs=0.02)
    assert table.loc["C3b", ["verdict", "estimate"]].tolist() == ["algebra", 0.55]
    assert table.loc["C9", ["verdict", "estimate"]].tolist() == ["algebra", 0.0]
    assert table.loc[["C6", "C7"], "verdict"].tolist() == ["cannot tell"] * 2


def stuck_tail(generator):
    """Weights near -1 and 1: those inside take a new sign and size at every update, those outside never move."""
    steps = [generator.choice([-1.0, 1.0], (16, 300)) * generator.uniform(0.8, 1.0, (16, 300))]
    outside = generator.random((16, 300)) < 0.3
    steps[0][outside] *= 1.4
    for _ in range(12):
        new = generator.choice([-1.0, 1.0], (16, 300)) * generator.uniform(0.8, 1.0, (16, 300))
        steps.append(np.where(outside, steps[0], new))
    return np.array(steps, np.float32)


def far_tail(generator):
    """Normal weights that forget at once, but for those far from zero now, which move little as long as they are."""
    steps = [generator.normal(size=(16, 300))]
    for _ in range(12):
        size = np.abs(steps[-1])
        keep = np.where(size > np.quantile(size, 0.7), 0.97, 0.0)
        steps.append(keep * steps[-1] + np.sqrt(1 - keep**2) * generator.normal(size=size.shape))
    return np.array(steps, np.float32)


@pytest.mark.parametrize(
    ("kind", "found"), [(stuck_tail, ["supported", "supported"]), (far_tail, ["intermediate", "contradicted"])]
)
def test_a_slow_tail_supports_what_it_does(tmp_path, kind, found):
    generator = np.random.default_rng(0)
    table = verdicts(make(tmp_path / "run", {name: kind(generator) for name in ("one", "two")}))
    assert table.loc[["C1a", "C1b"], "verdict"].tolist() == found


def with_accuracies(run, accuracies):
    """The run, its validation accuracies replaced."""
    marks = zip(marks_of(run.path), accuracies, strict=True)
    write_marks(run.path, [mark | {"val_top1": value} for mark, value in marks])
    return open_run(run.path)


@pytest.mark.parametrize(
    ("quick", "slow", "verdict", "estimate"),
    [
        # 90, 95 and 98 % of 90 are 81, 85.5 and 88.2: reached after 2, 3, 4 epochs and after 4, 5, 6.
        ([80, 82, 86, 89, 90, 90], [20, 50, 80, 82, 86, 90], "supported", -2.0),
        ([20, 50, 80, 82, 86, 90], [80, 82, 86, 89, 90, 90], "contradicted", 2.0),
        ([10, 20, 30, 40, 50, 60], [80, 82, 86, 89, 90, 90], "contradicted", 3.0),
    ],
)
def test_speed_is_that_of_the_curves(tmp_path, quick, slow, verdict, estimate):
    found = outcome.trains_faster(*arms(tmp_path, quick, slow))
    assert (found.verdict, found.value.estimate) == (verdict, estimate)
    assert ("not reached" in found.why) == (max(quick) < 81)


def arms(tmp_path, quick, slow, seeds=3):
    """Runs of so many seeds in two arms with these accuracies, epoch by epoch."""
    groups = []
    for name, curve in (("o", quick), ("t", slow)):
        history = {"one": random_walk((2, 5), 2 * len(curve))}
        made = [make(tmp_path / f"{name}{s}", history, windows=len(curve), seed=s) for s in range(seeds)]
        groups.append([with_accuracies(run, curve) for run in made])
    return groups


def test_epochs_of_other_data_are_not_compared(tmp_path):
    ours, theirs = arms(tmp_path, [80, 82, 86, 89, 90, 90], [20, 50, 80, 82, 86, 90])
    edit_run(theirs[0].path, configuration=theirs[0].configuration | {"dataset": "digits"})
    found = outcome.trains_faster(ours, [open_run(theirs[0].path), *theirs[1:]])
    assert found.verdict == "cannot tell"
    says(found.why, "o0 and t0", "data sets")


def test_what_is_not_reached_in_fewer_epochs_is_not_faster(tmp_path):
    """Two epochs that reach nothing are less than the five the baseline needs, and say nothing."""
    found = outcome.trains_faster(*arms(tmp_path, [10, 20], [10, 20, 30, 40, 90, 90]))
    assert (found.verdict, found.value.estimate) == ("cannot tell", -3.0)
    says(found.why, "9 not reached")


def test_epochs_are_those_of_the_marks(tmp_path):
    ours, theirs = arms(tmp_path, [10, 90, 90], [10, 20, 90])
    for run in ours:
        write_marks(run.path, [mark | {"epoch": mark["epoch"] / 2} for mark in marks_of(run.path)])
    found = outcome.trains_faster([open_run(run.path) for run in ours], theirs)
    assert (found.verdict, found.value.estimate) == ("supported", 0.5 - 2.0)


def test_accuracies_that_were_not_logged_are_missed(tmp_path):
    ours, theirs = arms(tmp_path, [None, None], [10, 20])
    says(outcome.trains_faster(ours, theirs).why, "o0", "no epoch and val_top1")


def test_accuracies_that_are_texts_are_no_curves(tmp_path):
    ours, theirs = arms(tmp_path, ["good", "better", "best"], [10, 20, 30])
    says(outcome.trains_faster(ours, theirs).why, "o0", "no epoch and val_top1")
    mixed = with_accuracies(ours[0], ["good", 30, 30])
    assert outcome.trains_faster([mixed], theirs[:1]).value.estimate == 1.0 - 2.0


def test_weights_that_begin_constant_have_no_memory_to_judge_by(tmp_path):
    history = walk_of(normal)
    for walk in history.values():
        walk[0] = 0.5
    found = distribution.laplace([make(tmp_path / "run", history)]).run()
    assert found.verdict == "cannot tell"
    says(found.why, "run", "no z")


def test_pairs_that_differ_in_more_than_the_clamp_say_so(tmp_path):
    ours, theirs = (
        [
            make(tmp_path / f"{name}{s}", walk_of(normal, seed=s), transform, seed=s, recu=name == "o", lr=lr)
            for s in (0, 1)
        ]
        for name, transform, lr in (("o", CLAMPED, 0.1), ("t", FREE, 0.2))
    )
    assert verdicts(ours, theirs).loc[["C6", "C7"], "why"].str.contains("also differ in lr").all()


def test_seeds_that_ended_elsewhere_are_said(tmp_path):
    runs = [make(tmp_path / f"run{s}", walk_of(normal, updates=12 + 6 * s), seed=s) for s in range(2)]
    why = verdicts(runs).loc[["C1a", "C2", "C5"], "why"]
    assert why.str.contains("run0 after 12; run1 after 18").all()


def test_one_training_is_not_three_seeds(tmp_path):
    ours, theirs = arms(tmp_path, [90, 90], [10, 90])
    with pytest.raises(InputError, match=r"one run.*once"):
        claims([ours[0], open_run(ours[0].path), ours[1]], baseline=theirs)
    copied = make(tmp_path / "copied", {"one": random_walk((2, 5), 4)}, windows=2, seed=0)
    with pytest.raises(InputError, match=r"o0 and copied.*same seed, 0"):
        claims([*ours, copied], baseline=theirs)
    with pytest.raises(InputError, match=r"o0 and copied.*same seed"):
        outcome.trains_faster([*ours, copied], theirs)


def test_revival_is_of_as_many_updates_in_both_arms(tmp_path):
    """The arms' windows have other lengths: numbers of windows mean other updates in each."""
    groups = []
    for name, windows in (("o", 12), ("t", 4)):
        histories = [walk_of(normal, keep=0.8, seed=s) for s in range(2)]
        groups.append([make(tmp_path / f"{name}{s}", h, windows=windows, seed=s) for s, h in enumerate(histories)])
    found = movement.revived(*groups).run()
    assert found.value.estimate == 1.0
    shorter = make(tmp_path / "shorter", walk_of(normal, keep=0.8, updates=10), windows=1, seed=0)  # 10 are not 3, 6, 9
    with pytest.raises(InputError, match=r"final windows.*same number of updates"):
        movement.revived(groups[1], [shorter])
    single = make(tmp_path / "single", {"one": walk_of(normal)["one"]}, seed=0)
    with pytest.raises(InputError, match=r"different layers.*'two'"):
        movement.revived(groups[0], [single])


def test_chosen_windows_are_those_of_movement_and_distributions_are_measured_at_their_end(tmp_path):
    run = make(tmp_path / "run", walk_of(normal, keep=0.3, updates=24), windows=12)
    table = claims(run, windows="4:9").set_index("id")
    says(table.loc["C1a", "why"], "windows 4 to 8 (null autocorrelation ")
    thinned = claims(run, windows="8").set_index("id")
    assert (
        table.loc["C2", "estimate"]
        == thinned.loc["C2", "estimate"]
        != claims(run).set_index("id").loc["C2", "estimate"]
    )
    assert table.loc["C3a", "estimate"] == thinned.loc["C3a", "estimate"]
    assert table.loc["C1a", "estimate"] != thinned.loc["C1a", "estimate"]
    slow = make(tmp_path / "slow", walk_of(normal, keep=0.95, updates=48), windows=24)
    says(claims(slow, windows="4").set_index("id").loc["C1a", "why"], "above 1/2", "choose more windows")
    for wrong in ("40:", ":1"):
        with pytest.raises(WindowNotFoundError):
            claims(run, windows=wrong)


def test_a_tail_that_never_flips_has_no_ratio(tmp_path):
    generator = np.random.default_rng(0)
    half = generator.choice([-1.0, 1.0], (13, 16, 30)).astype(np.float32)
    half[:, :, :9] = 1.3 * half[0, :, :9]
    walk = np.concatenate([half, -half], axis=2)  # the mean stays 0
    runs = [make(tmp_path / name, {"one": walk}, seed=0) for name in ("o", "t")]
    assert "the tail of a run never flips" in movement.revived(runs[:1], runs[1:]).run().why


def test_weights_that_forget_at_once_contradict_silent_tails(tmp_path):
    found = movement.barely_flips([make(tmp_path / "run", walk_of(normal, keep=0.0))]).run()
    assert (found.verdict, found.value.estimate) == ("contradicted", pytest.approx(1.0, abs=0.1))


def test_scales_that_nothing_holds_cannot_tell(tmp_path):
    plain = make(tmp_path / "plain", {"one": random_walk((16, 40), 6)}, WeightTransform())
    says(distribution.scale_held([plain]).run().why, "layer one of plain", "not standardize")
    few = make(tmp_path / "few", {"one": random_walk((7, 40), 6)})
    says(distribution.scale_held([few]).run().why, "interval", "8 channels", "3 seeds")


def test_a_sign_that_is_lost_changes_the_output(tmp_path):
    """A weight so small that its standardized one is -0, whose sign is +1."""
    walk = random_walk((4, 30), 6).astype(np.float64) * 100
    walk[:, 0, 0] = -5e-324
    found = outcome.changes_output([make(tmp_path / "run", {"one": walk}, WeightTransform(target=2.0))]).run()
    assert found.verdict == "supported"
    assert found.value.estimate == 8.0  # at every level and scale looked at


def test_error_and_entropy_are_those_along_the_run_s_tau(tmp_path):
    run = make(tmp_path / "run", {"one": random_walk((4, 40), 6)})
    table = distribution.over_tau_query(run).run()
    says(distribution.tension(table, run).why, "paper's tau", "0.85 to 0.99")
    for window, tau in zip(run.windows, (0.7, 0.75, 0.8, 0.82, 0.84, 0.86, 0.9), strict=True):
        object.__setattr__(window.header.layers["one"], "tau", tau)
    found = distribution.tension(table, run)
    rows = table[(table["tau"] > 0.695) & (table["tau"] < 0.905)]
    assert "the run's own tau, 0.70 to 0.90" in found.why
    assert found.value.estimate == pytest.approx(np.corrcoef(rows["qe_measured"], rows["entropy_measured"])[0, 1])


def test_laplace_weights_support_laplace_and_the_scale(tmp_path):
    generator = np.random.default_rng(1)
    history = {
        name: np.array([generator.laplace(size=(16, 600)) for _ in range(13)], np.float32) for name in ("one", "two")
    }
    table = verdicts(make(tmp_path / "run", history))
    assert table.loc["C2", "verdict"] == "supported"
    assert table.loc["C5", "verdict"] == "supported"


def test_what_cannot_be_measured_is_left_out(tmp_path):
    """Channels of one weight have no z, and a NaN has no sign; the other layers carry the verdicts."""
    whole, broken = random_walk((16, 40), 42, step=0.3), random_walk((16, 40), 42, step=0.3, seed=1)
    broken[20:, 3, 4] = np.nan
    layers = {"whole": whole, "[0] single": random_walk((16, 1), 42), "none": np.full_like(whole, np.nan)}
    odd = claims(make(tmp_path / "odd", layers | {"broken": broken}, CLAMPED))
    plain = claims(make(tmp_path / "plain", {"whole": whole, "broken": np.delete(broken, 3, axis=1)}, CLAMPED))
    odd, plain = (table.set_index("id") for table in (odd, plain))
    assert odd.loc["C9", "verdict"] == "algebra"
    assert f"signs of {16 * 40 + 15 * 40 + 16} stored weights" in odd.loc["C9", "why"]
    for name in ("C2", "C3a", "C4", "C5", "C8"):
        np.testing.assert_allclose(odd.loc[name, "estimate"], plain.loc[name, "estimate"])
    nothing = claims(make(tmp_path / "nothing", {"none": layers["none"]}, CLAMPED)).set_index("id")
    assert set(nothing["verdict"]) == {"cannot tell"}
    assert "no layer of nothing has finite, varying weights" in nothing.loc["C5", "why"]


def test_short_and_sampled_runs_cannot_tell(tmp_path):
    short = verdicts(
        open_run(synthetic_run(tmp_path / "short", walk_of(normal), windows=6, transform=FREE, decay_time=1e-3).path)
    )
    assert short.loc[["C1a", "C1b", "C2"], "verdict"].tolist() == ["cannot tell"] * 3
    assert "train longer" in short.loc["C1a", "why"]
    sampled = open_run(
        synthetic_run(tmp_path / "sampled", walk_of(normal), windows=6, transform=FREE, exact=False).path
    )
    assert "sampled from checkpoints" in verdicts(sampled).loc["C1a", "why"]


def test_a_run_that_clamps_needs_one_that_does_not(tmp_path):
    clamped = make(tmp_path / "clamped", walk_of(normal), CLAMPED, seed=0)
    assert "without it" in verdicts(clamped).loc["C1a", "why"]
    assert "--baseline" in verdicts(clamped).loc["C6", "why"]
    random = make(tmp_path / "random", walk_of(normal), FREE, seed=0, mask="random", recu=True)
    assert verdicts(random).loc["C1a", "verdict"] == "cannot tell"


def test_three_pairs_of_seeds_carry_a_verdict_on_trainings(tmp_path):
    ours = [make(tmp_path / f"o{s}", walk_of(normal, keep=0.5, seed=s), CLAMPED, seed=s) for s in range(3)]
    theirs = [make(tmp_path / f"t{s}", walk_of(normal, keep=0.9, seed=s), FREE, seed=s) for s in (2, 0, 1)]
    table = verdicts(ours, theirs)
    assert table.loc["C6", "verdict"] == "supported"  # faster steps flip more of the tail
    assert table.loc["C6", "low"] > 1.1
    # Every run logs the same accuracy: no difference, which supports nothing.
    assert table.loc["C7", ["verdict", "estimate"]].tolist() == ["intermediate", 0.0]
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
        ((0.6, 0.4, 0.9), "undecided"),
        ((0.65, 0.55, 0.75), "intermediate"),
        ((0.6, math.nan, math.nan), "cannot tell"),
    ],
)
def test_verdicts_follow_the_interval(interval, verdict):
    found = judge(Interval(*interval), supported=(-math.inf, 0.5), contradicted=[(0.8, math.inf)], shown="x")
    assert found.verdict == verdict


def slow(generator, shape=(16, 300)):
    """Weights that keep 0.999 of their place at each of 12 updates: most of the start is left."""
    steps = [generator.normal(size=shape)]
    for _ in range(12):
        steps.append(0.999 * steps[-1] + 0.04 * generator.normal(size=shape))
    return np.array(steps, np.float32)


@pytest.mark.parametrize(("decay", "verdict"), [(1e-3, "supported"), (0.03, "intermediate"), (0.1, "contradicted")])
def test_what_is_left_of_the_start_is_a_matter_of_the_schedule(tmp_path, decay, verdict):
    """C10: the same weights, under three weight decays in the record."""
    walk = {"one": slow(np.random.default_rng(0))}
    run = open_run(synthetic_run(tmp_path / "run", walk, windows=6, transform=FREE, decay_time=decay).path)
    found = laws.start_left([run]).run()
    assert found.verdict == verdict
    assert found.value.estimate == pytest.approx((1.0 - decay) ** 12, rel=0.02)
    sampled = open_run(synthetic_run(tmp_path / "sampled", walk, windows=6, exact=False).path)
    assert laws.start_left([sampled]).run().verdict == "cannot tell"


def in_equilibrium(updates, decay, factor=1.0):
    """Weights under SGD with momentum 0.9 and noise, whose steps after the first half have another size."""
    generator, rule = np.random.default_rng(1), UpdateRule(0.9)
    matrix, gain = rule.matrix(0.1, decay), rule.gain(0.1)
    w, m = generator.normal(size=(2, 16, 300))
    steps = []
    for update in range(-10 * updates, updates + 1):
        noise = generator.normal(size=w.shape)
        w, m = (matrix[at, 0] * w + matrix[at, 1] * m + gain[at] * noise for at in (0, 1))
        if update >= 0:
            steps.append(w + (factor - 1.0) * generator.normal(size=w.shape) * w.std())
    return np.array(steps, np.float32)


def test_the_forecast_holds_in_equilibrium_and_not_where_other_movement_is_added(tmp_path):
    """C11; C12 and C13 of the same runs."""
    decay = 0.02
    runs = {
        name: open_run(
            synthetic_run(
                tmp_path / name,
                {"a": in_equilibrium(60, decay, factor)},
                windows=6,
                transform=FREE,
                decay_time=decay,
                momentum=0.9,
            ).path
        )
        for name, factor in (("noise", 1.0), ("shaken", 1.2))
    }
    found = {name: laws.forecast([run]).run() for name, run in runs.items()}
    assert (found["noise"].verdict, found["shaken"].verdict) == ("supported", "contradicted")
    assert found["noise"].value.estimate == pytest.approx(1.0, abs=0.05)
    assert laws.flip_law([runs["noise"]]).run().verdict == "supported"
    lasting = laws.never_change([runs["noise"]]).run()
    silent = dead_weights(runs["noise"], windows=":")["silent_fraction"].item()
    assert lasting.value.estimate == pytest.approx(silent)
    assert lasting.verdict == ("supported" if lasting.value.low > 0.5 else "contradicted")
    says(lasting.why, "noise alone would leave 0.")


def test_laws_refuse_what_they_cannot_know(tmp_path):
    walk = walk_of(normal)
    sampled = open_run(synthetic_run(tmp_path / "sampled", walk, windows=6, exact=False).path)
    short = open_run(synthetic_run(tmp_path / "short", walk, windows=6, decay_time=1e-3).path)
    for law in (laws.forecast, laws.flip_law, laws.never_change):
        assert law([sampled]).run().verdict == "cannot tell"
    for law in (laws.forecast, laws.flip_law):
        says(law([short]).run().why, "too short to tell")


def test_windows_that_are_too_long_have_no_verdict_on_tail_and_core(tmp_path):
    run = open_run(synthetic_run(tmp_path / "run", walk_of(normal), windows=1, transform=FREE, decay_time=0.4).path)
    for claim in (movement.barely_updated, movement.barely_flips):
        says(claim([run]).run().why, "so long that noise alone would leave less than 0.05", "choose fewer windows")


QUICK = {"fashion/baseline-0", "fashion/recu-0", "mask/recu", "traces/recu"}
#: The shipped runs with more than two windows, which can be thinned; most of them in the long tests.
SHIPPED = [
    pytest.param(name, marks=[] if name in QUICK else pytest.mark.faults)
    for path in sorted(CHECKPOINTS.glob("*/*/run.json"))
    if len(list(path.parent.glob("history/*/window-*"))) > 2
    for name in [f"{path.parent.parent.name}/{path.parent.name}"]
]


@pytest.mark.parametrize("name", SHIPPED)
def test_thinning_makes_no_verdict_another(tmp_path, name):
    """It may only become "cannot tell"."""
    source = open_run(CHECKPOINTS / name)
    whole = claims(source).set_index("id")["verdict"]
    first, *inner, last = [window.number for window in source.windows]
    for at, kept in enumerate(dict.fromkeys([(first, last), (first, inner[0], last), (first, inner[-1], last)])):
        thin(source, windows=kept, output=tmp_path / str(at))
        verdict = claims(tmp_path / str(at)).set_index("id")["verdict"]
        changed = verdict[(verdict != whole) & (verdict != "cannot tell") & (whole != "cannot tell")]
        assert changed.empty, changed
