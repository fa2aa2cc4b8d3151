"""The verdict before a table says what its numbers carry, and never more."""

import math
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recu_analysis.analysis.deadness import CRITERIA
from recu_analysis.analysis.ground import Ground, ground_of, weakest
from recu_analysis.analysis.selection import WindowSpan
from recu_analysis.analysis.verdict import of_claims, of_dead_weights, of_fit, of_flips, of_updates
from recu_analysis.analysis.verdict_reasons import of_causes, of_intervention, of_reflection
from recu_analysis.store.run import open_run
from recu_analysis.testing import synthetic_run
from recu_analysis.theory.causes import CAUSES
from recu_analysis.theory.intervals import Interval
from tests.messages import says

NAN = math.nan
EXACT = Ground("epochs 4 to 11", 0.1)
SEEDS = Ground("epochs 4 to 11", 0.1, trainings=3)
SHARE, NULL = Interval(0.139, 0.131, 0.146), Interval(0.04, NAN, NAN)

shares = st.one_of(st.just(NAN), st.floats(0.0, 1.0))
ratios = st.one_of(st.sampled_from([NAN, math.inf]), st.floats(0.0, 20.0))
grounds = st.builds(
    Ground,
    st.just("epochs 4 to 11"),
    st.one_of(st.just(NAN), st.floats(-0.2, 1.0)),
    st.booleans(),
    st.integers(1, 4),
    st.booleans(),
)


@st.composite
def intervals(draw, values):
    middle = draw(values)
    low, high = draw(st.one_of(st.just((NAN, NAN)), st.tuples(st.floats(0.0, 0.1), st.floats(0.0, 0.1))))
    return Interval(middle, middle - low, middle + high)


def check(sentence, ground, *, noise):
    """What holds of every verdict on movement; `noise` is whether its null is known."""
    assert "nan" not in sentence
    assert "inf" not in sentence
    assert sentence.endswith(".")
    assert sentence[0].isupper() or sentence[0].isdigit()
    if "cannot be told:" in sentence:
        assert "noise" not in sentence
        return
    assert ("too short to tell" in sentence) == (ground.null > 0.5)
    assert ("noise alone would" in sentence) == noise
    assert ("noise alone is not known" in sentence) == (not noise)
    assert ("this one training" in sentence) == (ground.trainings == 1)
    if not (ground.exact and ground.null <= 0.5):
        assert "than noise" not in sentence


@given(intervals(shares), intervals(shares), st.sampled_from(CRITERIA), grounds)
def test_a_verdict_on_dead_weights_says_no_more_than_it_carries(share, null, criterion, ground):
    sentence = of_dead_weights(share, null, criterion, ground)
    check(sentence, ground, noise=math.isfinite(null.estimate))
    assert ("no weight has" in sentence) == math.isnan(share.estimate)
    ends = [end for end in (null.estimate, null.low, null.high) if math.isfinite(end)]
    if "more than noise" in sentence:
        assert ground.trainings >= 3
        assert share.low > max(ends)
    if "less than noise" in sentence:
        assert ground.trainings >= 3
        assert share.high < min(ends)


@given(st.lists(st.tuples(intervals(ratios), ratios), max_size=4), grounds)
def test_a_verdict_on_updates_says_no_more_than_it_carries(layers, ground):
    sentence = of_updates([each for each, _ in layers], [null for _, null in layers], ground)
    known = [(each, null) for each, null in layers if math.isfinite(each.estimate)]
    check(sentence, ground, noise=all(math.isfinite(null) for _, null in known))
    assert ("cannot be told" in sentence) == (not known)
    stuck = sum(each.low < each.high < null / 2 for each, null in known)
    moving = sum(each.high > each.low > null / 2 > 0.0 for each, null in known)
    judged = re.search(r"so (\d) of (\d) layers? (?:is|are) stuck .*?(?:and (\d) undecided)?\.$", sentence)
    if judged:
        assert ground.exact
        assert [int(each or 0) for each in judged.groups()] == [stuck, len(known), len(known) - stuck - moving]


@given(st.lists(st.tuples(shares, shares), max_size=4), grounds)
def test_a_verdict_on_flips_says_no_more_than_it_carries(layers, ground):
    locked, nulls = [share for share, _ in layers], [null for _, null in layers]
    sentence = of_flips(locked, nulls, ground, ended=False)
    assert of_flips(locked, nulls, ground, ended=True).endswith("cannot be told: no update follows epochs 4 to 11.")
    check(sentence, ground, noise=all(map(math.isfinite, nulls)))
    assert ("cannot be told" in sentence) == all(map(math.isnan, locked))
    assert "than noise" not in sentence, "shares of one training have no interval"


@given(st.lists(st.tuples(intervals(ratios), st.floats(1.0, 100.0)), max_size=4), st.booleans(), grounds)
def test_a_verdict_on_a_distribution_says_no_more_than_it_carries(layers, raw, ground):
    sentence = of_fit([each for each, _ in layers], [count for _, count in layers], ground, raw=raw)
    assert "nan" not in sentence
    assert "noise" not in sentence
    if "lighter" in sentence:
        assert any(each.low > 1.0 and (raw or count >= 40) for each, count in layers)
    if "heavier" in sentence:
        assert not raw
        assert any(each.high < 1.0 for each, _ in layers)


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        (
            of_dead_weights(Interval(0.139, NAN, NAN), NULL, "tail-silent", EXACT),
            "13.9 % of the weights of this one training stand far from zero and did not change their sign in epochs 4 "
            "to 11; noise alone would leave 4.0 %.",
        ),
        (
            of_dead_weights(SHARE, NULL, "tail-silent", SEEDS),
            "13.9 % (95 % interval 13.1 to 14.6 %) of the weights of these 3 trainings stand far from zero and did not "
            "change their sign in epochs 4 to 11: more than noise alone would leave, which is 4.0 %.",
        ),
        (
            of_dead_weights(SHARE, Interval(0.12, 0.11, 0.13), "silent", SEEDS),
            "13.9 % (95 % interval 13.1 to 14.6 %) of the weights of these 3 trainings did not change their sign in "
            "epochs 4 to 11; noise alone would leave 12.0 %, and the two cannot be told apart.",
        ),
        (
            of_dead_weights(SHARE, NULL, "silent", Ground("epochs 0 to 3", 0.7)),
            "The windows are too short to tell dead weights from slow ones: 13.9 % (95 % interval 13.1 to 14.6 %) of "
            "the weights of this one training did not change their sign in epochs 0 to 3; noise alone would leave "
            "4.0 %.",
        ),
        (
            of_dead_weights(SHARE, Interval(NAN, NAN, NAN), "silent", Ground("windows 1 to 4", exact=False)),
            "13.9 % (95 % interval 13.1 to 14.6 %) of the weights of this one training have the same sign at every "
            "checkpoint of windows 1 to 4; changes between checkpoints were not seen; noise alone is not known; it "
            "is not known whether the windows are long enough.",
        ),
        (
            of_updates([Interval(0.3, 0.2, 0.4), Interval(1.0, 0.9, 1.1), Interval(0.9, NAN, NAN)], [0.96] * 3, EXACT),
            "The weights far from zero of this one training changed their sign 0.90 times as often as their distance "
            "alone predicts from the start to the end of epochs 4 to 11 (median of 3 layers); noise alone would give "
            "0.96, so 1 of 3 layers is stuck (less than half of what noise gives), and 1 undecided.",
        ),
        (
            of_flips([0.3, 0.2, 0.4], [0.1, 0.09, 0.08], Ground("epoch 3", 0.09), ended=False),
            "30.0 % of the signs of this one training did not change again after epoch 3 (median of 3 layers); noise "
            "alone would leave 9.0 %.",
        ),
        (
            of_fit([Interval(1.9, 1.8, 2.0), Interval(1.1, 0.9, 1.2)], [144, 144], Ground("epoch 11"), raw=False),
            "The weights of this one training have lighter tails than a Laplace distribution in 1 of 2 layers at "
            "the end of epoch 11 (1 cannot be told): shape 1.50 (median of 2 layers), "
            "where 1 is a Laplace and 2 a normal distribution.",
        ),
        (
            of_claims(["supported", "cannot tell", "supported", "contradicted"]),
            "Of 4 claims: 2 supported, 1 contradicted, 1 cannot tell; in tests of several claims at once, about one in "
            "twenty true claims fails by chance.",
        ),
        (of_claims(["algebra", "cannot tell", "supported"]), "Of 3 claims: 1 supported, 1 algebra, 1 cannot tell."),
    ],
)
def test_examples(sentence, expected):
    assert sentence == expected


@given(st.lists(intervals(st.floats(0.0, 1.0)), min_size=8, max_size=8), st.floats(0.0, 1.0), grounds)
def test_a_verdict_on_causes_says_no_more_than_it_carries(found, silent, ground):
    by_cause = dict(zip(CAUSES, found, strict=True))
    sentence = of_causes(silent, by_cause, 0.046, "epochs 0 to 3", ground)
    if silent == 0.0:
        assert sentence.startswith("No weight")
        return
    check(sentence, ground, noise=True)
    assert "than noise" not in sentence, "the null holds for noise of a steady size only"
    assert ("slow channels" in sentence) == (by_cause["slow channel"].estimate >= 0.01)


def test_what_does_not_carry_a_judgement_gets_none():
    two = of_dead_weights(SHARE, NULL, "silent", Ground("epochs 4 to 11", 0.1, trainings=2))
    assert two.endswith("; noise alone would leave 4.0 %.")
    none = of_dead_weights(Interval(0.0, 0.0, 0.0), Interval(0.14, NAN, NAN), "silent", SEEDS)
    assert "cannot be told apart" in none, "so few weights that none is silent"
    all_dead = of_dead_weights(Interval(0.3, 0.3, 0.3), NULL, "tail-silent", SEEDS)
    assert ": more than noise alone would leave, which is 4.0 %" in all_dead
    astride, flat = Interval(0.5, 0.4, 0.6), Interval(0.0, 0.0, 0.0)
    assert "so 0 of 2 layers are stuck (less than half of what noise gives), and 2 undecided" in of_updates(
        [astride, flat], [1.0, 1.0], EXACT
    )


def test_the_weakest_windows_decide_for_several_runs():
    assert weakest([0.1, 0.3]) == 0.3
    assert weakest([0.1, NAN, 0.7]) == 0.7, "too short, whatever the other is"
    assert math.isnan(weakest([0.1, NAN]))
    assert math.isnan(weakest([]))


def test_a_bound_of_noise_carries_more_but_never_less():
    sentence = of_dead_weights(SHARE, NULL, "tail-silent", SEEDS, at_most=True)
    assert sentence.endswith("epochs 4 to 11: more than noise alone would leave, which is at most 4.0 %.")
    under = of_dead_weights(SHARE, Interval(0.9, 0.8, 1.0), "tail-silent", SEEDS, at_most=True)
    assert under.endswith("; noise alone would leave at most 90.0 %, and the two cannot be told apart.")


def test_windows_that_begin_with_the_training_are_not_compared_with_noise(tmp_path):
    """Noise that is large at first and small later left 43 % of a tail silent, and noise of one size 26 %."""
    run = open_run(synthetic_run(tmp_path / "run", windows=5).path)
    grounds = [ground_of({"run": run}, {"run": WindowSpan(start, 6)}, [0.1]) for start in (0, 1, 2)]
    assert [ground.from_start for ground in grounds] == [True, True, False]
    sentence = of_dead_weights(SHARE, NULL, "tail-silent", replace(SEEDS, from_start=True))
    assert sentence.endswith(
        "; noise of one size would leave 4.0 %, but noise changes its size at the start of a training."
    )


def test_an_intervention_is_told_by_the_differences_between_groups():
    rises = {
        "tail-silent": Interval(0.2, 0.1, 0.3),
        "core-flipped": Interval(0.03, NAN, NAN),
        "random": Interval(0, 0, 0),
    }
    differences = {
        ("tail-silent", "tail-flipped"): Interval(0.07, 0.05, 0.09),
        ("tail-silent", "core-silent"): Interval(0.001, -0.01, 0.012),
        ("core-silent", "core-flipped"): Interval(-0.02, -0.03, -0.01),
        ("tail-flipped", "core-flipped"): Interval(0.9, NAN, NAN),
        ("tail-silent", "random"): Interval(0.5, 0.4, 0.6),
    }
    told = of_intervention(rises, differences, EXACT)
    says(
        told,
        "this one training",
        "+0.2000 (tail-silent), +0.0300 (core-flipped) and +0.0000 (random)",
        "epochs 4 to 11",
    )
    says(told, "tail-silent costs more than tail-flipped (difference +0.0700, +0.0500 to +0.0900)")
    says(told, "tail-silent and core-silent cannot be told apart (difference +0.0010, -0.0100 to +0.0120)")
    says(told, "core-silent costs less than core-flipped")
    assert "0.9000" not in told, "without an interval nothing is compared"
    assert "0.5000" not in told, "random weights only if there is nothing else"
    says(of_intervention(rises, {("mine", "random"): Interval(0.5, 0.4, 0.6)}, EXACT), "mine costs more than random")
    says(of_intervention(rises, {}, Ground("epochs 0 to 1", 0.9)), "too short to tell", "negating binary weights")
    says(of_intervention({}, {}, EXACT), "cannot be told")


def test_a_reflection_tells_more_than_noise_only_with_time_and_intervals():
    def told(returned, left, decay_time=2.0):
        return of_reflection({"all": Interval(*returned)}, {"all": Interval(*left)}, decay_time)

    for sentence, words in (
        (told((0.4, 0.35, 0.45), (0.2, 0.15, 0.25)), "drawn to where they were"),
        (told((0.1, 0.05, 0.14), (0.2, 0.15, 0.25)), "fewer return"),
        (told((0.2, 0.1, 0.3), (0.2, 0.15, 0.25)), "cannot be told apart"),
        (told((0.4, NAN, NAN), (0.2, NAN, NAN)), "cannot be told apart"),
        (told((0.4, 0.35, 0.45), (0.2, 0.15, 0.25), 0.3), "T of 0.30 is too short to tell"),
        (told((0.4, 0.35, 0.45), (0.2, 0.15, 0.25), NAN), "T is not known"),
        (told((NAN, NAN, NAN), (0.2, NAN, NAN)), "cannot be told"),
    ):
        assert words in sentence
        assert "nan" not in sentence
        assert ("drawn" in sentence) == (words == "drawn to where they were")
