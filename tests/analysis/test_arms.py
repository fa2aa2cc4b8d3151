"""Which runs are seeds of one experiment, against a plain pairwise rule, and what is refused as a seed."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from recu_analysis import open_run
from recu_analysis.analysis.arms import apart, arms, pairs, uneven
from recu_analysis.errors import InputError
from recu_analysis.testing import random_walk, synthetic_run


@pytest.fixture(scope="module")
def make(tmp_path_factory):
    """Makes runs of any configuration; each has an id of its own."""
    folder = tmp_path_factory.mktemp("arms")
    walks = {"seen": random_walk((4, 6), 4), "longer": random_walk((4, 6), 8)}
    kinds = {name: open_run(synthetic_run(folder / name, {"a": walk}, windows=2).path) for name, walk in walks.items()}
    kinds["sampled"] = open_run(synthetic_run(folder / "sampled", {"a": walks["seen"]}, exact=False).path)
    kinds["other"] = open_run(synthetic_run(folder / "other", {"b": walks["seen"]}, windows=2).path)
    numbers = itertools.count()

    def run(kind="seen", **configuration):
        base = kinds[kind]
        name = f"run{next(numbers)}"
        header = replace(base.header, run_id=name, configuration=configuration)
        return replace(base, path=base.path.with_name(name), header=header)

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
    with pytest.raises(InputError, match="are one run, and one seed; give it once"):
        arms({"a": run, "copy": replace(run, path=run.path.with_name("copy"))})
    again = make(seed=3, lr=1, device="cuda")
    with pytest.raises(
        InputError, match=r"^a and again have the same configuration and the same seed, 3: they are one"
    ):
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
        ({"lr": 1}, "the configuration of b says no seed"),
        ({"kind": "sampled", "seed": 1, "lr": 1}, "some were sampled from checkpoints"),
        ({"kind": "other", "seed": 1, "lr": 1}, "their layers differ"),
        ({"seed": 1}, "they differ in lr"),
        ({"seed": 1, "lr": 1} | {f"s{at}": at for at in range(8)}, "they differ in s0, s1, s2, s3, s4, s5 and 2 more"),
    ],
)
def test_why_runs_are_apart_is_said(make, second, reason):
    said = apart({"a": make(seed=0, lr=1), "b": make(**second)})
    assert said == f"these runs are 2 experiments (a; b) and not seeds of one, since {reason}"


def test_pairs_have_the_same_seed(make):
    ours, theirs = [make(seed=at) for at in (0, 1, 2)], [make(seed=at) for at in (2, 5, 0)]
    assert pairs(ours, theirs) == [(ours[0], theirs[2]), (ours[2], theirs[0])]
    assert pairs(ours, []) == []
    with pytest.raises(InputError, match="have the same seed and are taken for one arm; leave one out"):
        pairs(ours, [*theirs, make(seed=5)])


def test_without_seeds_only_two_single_runs_are_a_pair(make):
    ours, theirs = [make(), make()], [make(seed=0), make()]
    assert pairs(ours[:1], theirs[:1]) == [(ours[0], theirs[0])]
    assert pairs(ours, theirs) == []
    assert pairs([make(seed=1)], [make(seed=2)]) == []


def test_trainings_that_ended_elsewhere_are_named(make):
    runs = {"a": make(seed=0), "b": make("longer", seed=1), "c": make(seed=2)}
    assert grouped(runs) == [["a", "b", "c"]]
    assert uneven(runs) == "they ended after other numbers of updates: a, c after 4; b after 8"
    assert uneven({"a": runs["a"], "c": runs["c"]}) == ""
