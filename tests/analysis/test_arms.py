"""Which runs are seeds of one experiment, against a plain pairwise rule, and what is refused as a seed."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from recu_analysis import open_run
from recu_analysis.analysis.arms import (
    apart,
    arm_and_baseline,
    arm_numbers,
    arms,
    labeled,
    pairs,
    seed_of,
    seedless,
    uneven,
)
from recu_analysis.errors import InputError
from recu_analysis.testing import random_walk, synthetic_run
from recu_analysis.theory.standardize import WeightTransform
from tests.messages import facts, says


@pytest.fixture(scope="module")
def make(tmp_path_factory):
    """Makes runs of any configuration; each has an id of its own."""
    folder = tmp_path_factory.mktemp("arms")
    walks = {"seen": random_walk((4, 6), 4), "longer": random_walk((4, 6), 8)}
    kinds = {name: open_run(synthetic_run(folder / name, {"a": walk}, windows=2).path) for name, walk in walks.items()}
    kinds["sampled"] = open_run(synthetic_run(folder / "sampled", {"a": walks["seen"]}, exact=False).path)
    kinds["other"] = open_run(synthetic_run(folder / "other", {"b": walks["seen"]}, windows=2).path)
    free = WeightTransform(center=True, target=2.0)
    kinds["free"] = open_run(synthetic_run(folder / "free", {"a": walks["seen"]}, windows=2, transform=free).path)
    numbers = itertools.count()

    def run(kind="seen", listed=(), **configuration):
        base = kinds[kind]
        name = f"run{next(numbers)}"
        header = replace(base.header, run_id=name, configuration=configuration)
        return replace(base, path=base.path.with_name(name), header=header, **dict(listed))

    return run


def grouped(runs):
    return [list(arm.runs) for arm in arms(runs)]


def test_runs_that_say_no_seed_are_experiments_of_their_own(make):
    assert grouped({name: make() for name in "abc"}) == [["a"], ["b"], ["c"]]
    assert grouped({"a": make(lr=1), "b": make(lr=1), "c": make(lr=1, seed=None)}) == [["a"], ["b"], ["c"]]
    assert grouped({"a": make(lr=1), "b": make(lr=1, seed=0), "c": make(lr=1, seed=1)}) == [["a"], ["b", "c"]]


def test_what_is_no_part_of_the_experiment_may_differ(make):
    runs = {
        "a": make(seed=0, lr=1, device="cpu", run_dir="runs/a"),
        "b": make(seed=1, lr=1.0, device="cuda", run_dir="runs/b", data_dir="/data", quantities=["grad"]),
    }
    assert grouped(runs) == [["a", "b"]]
    assert apart(runs) == ""


def test_groups_are_those_of_a_plain_rule(make):
    """Two runs are together if and only if both say a seed and nothing that counts differs."""
    seeds = itertools.count()
    kinds = list(itertools.product(["seen", "sampled", "other"], [True, False], [{"lr": 1}, {"lr": 2}, {}]))
    told = [(kind, seeded, settings) for kind, seeded, settings in kinds for _ in range(2)]
    runs = {
        str(at): make(kind, **settings, **({"seed": next(seeds)} if seeded else {}))
        for at, (kind, seeded, settings) in enumerate(told)
    }
    together = {frozenset(pair) for group in grouped(runs) for pair in itertools.combinations(group, 2)}
    expected = {
        frozenset((str(a), str(b)))
        for a, b in itertools.combinations(range(len(told)), 2)
        if told[a] == told[b] and told[a][1]
    }
    assert together == expected
    assert len(expected) == 9


def test_one_run_and_one_seed_are_not_two(make):
    run = make(seed=3, lr=1)
    with pytest.raises(InputError, match="are one run; give it once"):
        arms({"a": run, "copy": replace(run, path=run.path.with_name("copy"))})
    again = make(seed=3, lr=1, device="cuda")
    with pytest.raises(InputError, match=facts("a and again", "the same configuration", "the same seed, 3")):
        arms({"a": run, "again": again})
    assert grouped({"a": run, "other": make(seed=3, lr=2)}) == [["a"], ["other"]]


def test_seeds_and_settings_may_be_anything_that_a_configuration_holds(make):
    runs = {"a": make(seed=[1, 2], more={"x": [1]}), "b": make(seed=[1, 3], more={"x": [1]}), "c": make(seed="1")}
    assert grouped(runs) == [["a", "b"], ["c"]]
    with pytest.raises(InputError, match=r"the same seed, \[1, 2\]"):
        arms({"a": runs["a"], "b": make(seed=[1, 2], more={"x": [1]})})


@pytest.mark.parametrize(
    ("second", "reason"),
    [
        ({"seed": 1, "lr": 2}, "they differ in lr"),
        ({"lr": 1}, "the configuration of b gives no seed"),
        ({"kind": "sampled", "seed": 1, "lr": 1}, "only some were sampled from checkpoints"),
        ({"kind": "other", "seed": 1, "lr": 1}, "their layers differ"),
        ({"seed": 1}, "they differ in lr"),
        ({"seed": 1, "lr": 1} | {f"s{at}": at for at in range(8)}, "they differ in s0, s1, s2, s3, s4, s5 and 2 more"),
    ],
)
def test_why_runs_are_apart_is_said(make, second, reason):
    says(apart({"a": make(seed=0, lr=1), "b": make(**second)}), "2 experiments (a; b)", f"since {reason}")


def test_pairs_have_the_same_seed(make):
    ours, theirs = [make(seed=at) for at in (0, 1, 2)], [make(seed=at) for at in (2, 5, 0)]
    assert pairs(ours, theirs) == [(ours[0], theirs[2]), (ours[2], theirs[0])]
    assert pairs(ours, []) == []
    with pytest.raises(InputError, match=r"have the same seed.*remove one"):
        pairs(ours, [*theirs, make(seed=5)])


def test_without_seeds_only_two_single_runs_are_a_pair(make):
    ours, theirs = [make(), make()], [make(seed=0), make()]
    assert pairs(ours[:1], theirs[:1]) == [(ours[0], theirs[0])]
    assert pairs(ours, theirs) == []
    assert pairs([make(seed=1)], [make(seed=2)]) == []


def test_trainings_that_ended_elsewhere_are_named(make):
    runs = {"a": make(seed=0), "b": make("longer", seed=1), "c": make(seed=2)}
    assert grouped(runs) == [["a", "b", "c"]]
    assert uneven(runs) == "they ended after different numbers of updates: a, c after 4; b after 8"
    assert uneven({"a": runs["a"], "c": runs["c"]}) == ""


def test_runs_that_a_list_calls_one_arm_are_its_seeds_and_no_others(make):
    runs = {
        "a": make(lr=1, listed={"arm": "mine"}),
        "b": make(lr=2, listed={"arm": "mine", "stated_seed": 1}),
        "c": make(lr=2, seed=2),
        "d": make(lr=2, seed=3, listed={"stated_seed": 0}),
        "e": make(listed={"arm": "other"}),
    }
    assert grouped(runs) == [["a", "b"], ["c", "d"], ["e"]]
    assert arm_numbers(runs) == {"a": 0, "b": 0, "c": 1, "d": 1, "e": 2}
    assert [arm.name for arm in arms(runs)] == ["mine", None, "other"]
    assert [seed_of(run) for run in runs.values()] == [None, 1, 2, 0, None]
    assert seedless(runs | {"f": make()}) == ["f"]
    assert apart(runs).endswith("not seeds of one, since their arms are mine, not given, other")


@pytest.mark.parametrize(
    ("kind", "settings", "reason"),
    [
        ("other", {}, "their layers differ"),
        ("sampled", {}, "only some were sampled from checkpoints"),
        ("seen", {"mask": "random"}, "they do not stop the same gradients"),
    ],
)
def test_an_arm_of_unlike_runs_is_refused(make, kind, settings, reason):
    runs = {"a": make(listed={"arm": "mine"}), "b": make(kind, listed={"arm": "mine"}, **settings)}
    with pytest.raises(InputError, match=facts("a and b", "'mine'", f"since {reason}; give them")):
        arms(runs)
    assert arm_numbers(runs) == {"a": 0, "b": 0}


def test_a_seed_of_an_arm_is_there_once(make):
    runs = {name: make(seed=3, lr=at, listed={"arm": "mine"}) for at, name in enumerate("ab")}
    with pytest.raises(InputError, match=facts("a and b", "the same arm", "the same seed, 3")):
        arms(runs)
    assert grouped(runs | {"b": replace(runs["b"], stated_seed=4)}) == [["a", "b"]]


def test_pairs_follow_the_seeds_of_a_list(make):
    ours = [make(seed=9, listed={"stated_seed": at}) for at in (0, 1)]
    theirs = [make(listed={"stated_seed": 1}), make(seed=0)]
    assert pairs(ours, theirs) == [(ours[0], theirs[1]), (ours[1], theirs[0])]


def test_runs_of_which_one_clamps_are_no_seeds_though_their_configurations_agree(make):
    runs = {"a": make(seed=0), "b": make("free", seed=1)}
    assert grouped(runs) == [["a"], ["b"]]
    assert apart(runs).endswith("since they do not stop the same gradients")
    settings = {"a": make(seed=0, recu=True), "b": make("free", seed=1, recu=False)}
    assert apart(settings).endswith("since they differ in recu"), "which says it already"


def test_the_first_arm_with_a_clamp_of_its_own_is_tested_beside_the_first_without(make):
    random, clamped, free = make(mask="random", seed=0), make(seed=0), make("free", seed=0)
    runs = {"random": random, "free": free, "clamped": clamped, "seed": make(seed=1), "bare": make("free")}
    assert [list(arm.runs) for arm in arm_and_baseline(runs)] == [["clamped", "seed"], ["free"]]
    assert [list(arm.runs) for arm in arm_and_baseline({"free": free, "random": random})] == [["random"], ["free"]]
    assert [arm and list(arm.runs) for arm in arm_and_baseline({"free": free})] == [["free"], None]


def test_labels_of_a_list_win_over_folders_and_are_there_once(make):
    runs = [make(listed={"label": "mine"}), make()]
    assert list(labeled(runs)) == ["mine", runs[1].path.name]
    with pytest.raises(InputError, match=r"^two runs have the label 'mine'; give each run its own label$"):
        labeled([*runs, make(listed={"label": "mine"})])
