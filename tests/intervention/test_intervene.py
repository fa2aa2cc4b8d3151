"""Interventions: what they measure beside a plain loop and finite differences, and that the model is as before."""

from __future__ import annotations

import copy
import random

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import recu_analysis as ra
from recu_analysis.analysis.final_windows import choose
from recu_analysis.errors import InputError
from recu_analysis.intervention.draws import GROUPS, drawer
from recu_analysis.intervention.intervene import compared
from recu_analysis.intervention.rise import rise
from recu_analysis.store.layer_selection import select_layers
from tests.intervention.networks import IMAGES, trained
from tests.messages import facts

LAYERS = ("own", "recu", "xnor", "ir")


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("intervention"))


def some(shape, seed):
    """A mask of a tenth of a layer's weights."""
    mask = np.zeros(np.prod(shape), dtype=bool)
    mask[np.random.default_rng(seed).choice(mask.size, mask.size // 10, replace=False)] = True
    return mask.reshape(shape)


def masks_of(done):
    return {name: some(tuple(getattr(done.model, name).weight.shape), seed) for seed, name in enumerate(LAYERS)}


def replaced(model, factors):
    """A copy whose layers multiply their binary weights by factors, written out for each of them."""
    plain = copy.deepcopy(model).eval()

    def own(module, factor):
        size = module.weight.abs().mean(dim=(1, 2, 3), keepdim=True)
        signs = torch.where(module.weight < 0, -1.0, 1.0)
        return lambda values: F.conv2d(values, signs * size * factor, padding=1)

    def binary(module, factor):
        signs, scale = module.binary_weight(), module._factor(module.standardized_weight())
        product = F.linear if module is plain.ir else lambda values, weight: F.conv2d(values, weight, padding=1)
        return lambda values: product(module.binary_input(values), signs * factor) * scale

    for name, factor in factors.items():
        module = getattr(plain, name)
        module.forward = (own if name == "own" else binary)(module, factor)
    return plain


def losses(done, factors):
    with torch.no_grad():
        return done.evaluate(replaced(done.model, factors))["loss"].double().numpy()


def test_rises_are_those_of_a_plain_loop(done):
    masks = masks_of(done)
    table = ra.intervene(done.model, done.run, done.evaluate, groups={"mine": masks}, repeats=2)
    assert table["layer"].unique().tolist() == [*LAYERS, "all"]
    assert set(table["group"]) == {"mine", "random"}
    assert (table["images"] == IMAGES).all()
    assert table.groupby("row")["layer"].unique().map(list).to_dict() == {"layer": [*LAYERS], "total": ["all"]}
    assert set(table["reference"]) == {"unchanged", "random"}
    mine = table[(table["group"] == "mine") & (table["reference"] == "unchanged")].set_index("layer")
    factors = {name: torch.where(torch.from_numpy(mask), -1.0, 1.0) for name, mask in masks.items()}
    before = losses(done, {})
    for layer in [*LAYERS, "all"]:
        chosen = factors if layer == "all" else {layer: factors[layer]}
        rises = losses(done, chosen) - before
        assert mine["rise"][layer] == pytest.approx(rises.mean(), abs=1e-6)
        assert mine["image_error"][layer] == pytest.approx(rises.std(ddof=1) / IMAGES**0.5, rel=1e-4)
        assert mine["negated"][layer] == sum(int((each < 0).sum()) for each in chosen.values())
        assert mine["draw_error"][layer] == 0.0, "the whole group is negated in every draw"
        assert mine["rise_low"][layer] < mine["rise"][layer] < mine["rise_high"][layer]
    right = done.evaluate(replaced(done.model, factors))["correct"].float().mean()
    usual = done.evaluate(replaced(done.model, {}))["correct"].float().mean()
    assert mine["accuracy_change"]["all"] == pytest.approx(float(right - usual), abs=1e-6)
    assert mine["accuracy_change_low"]["all"] < mine["accuracy_change"]["all"] < mine["accuracy_change_high"]["all"]
    assert abs(mine["rise"]["all"]) > 0.01


def test_groups_are_compared_image_by_image(done):
    groups = ("tail-silent", "tail-flipped", "core-silent", "core-flipped", "random")
    table = ra.intervene(done.model, done.run, done.evaluate, layers="recu", repeats=2)
    negated = table.loc[(table["reference"] == "unchanged") & (table["negated"] > 0), "group"]
    assert len(negated) >= 4
    table = table.set_index(["group", "reference"])
    pairs = [pair for pair in table.index if pair[1] != "unchanged"]
    assert pairs == compared(list(negated))
    run = ra.open_run(done.run)
    draws = drawer(run, choose(run, None), select_layers(run, "recu"), groups, 0.85, seed=0)
    size = draws.size("recu")

    def after(group, repeat):
        factor = np.ones(324, dtype=np.float32)
        factor[draws.draw("recu", group, repeat, size)] = -1.0
        return losses(done, {"recu": torch.from_numpy(factor).reshape(6, 6, 3, 3)})

    for pair in pairs:
        expected = rise(np.stack([after(pair[0], repeat) - after(pair[1], repeat) for repeat in range(2)]))
        for name, value in expected.items():
            assert table.loc[pair, name] == pytest.approx(value, abs=1e-5), (pair, name)
        for name in ("rise", "predicted_rise", "accuracy_change"):
            first, second = (table.loc[(group, "unchanged"), name] for group in pair)
            assert table.loc[pair, name] == pytest.approx(first - second, abs=1e-9)


def test_which_groups_are_compared():
    named = [("tail-silent", "tail-flipped"), ("core-silent", "core-flipped"), ("tail-silent", "core-silent")]
    named.append(("tail-flipped", "core-flipped"))
    assert compared([*GROUPS]) == [*named, *((group, "random") for group in GROUPS[:-1])]
    assert compared(["tail-silent", "core-silent"]) == [("tail-silent", "core-silent")]
    assert compared(["mine", "random"]) == [("mine", "random")]
    assert compared(["random"]) == []


def test_the_prediction_is_the_gradient_times_the_change(done):
    mask = masks_of(done)["ir"]
    table = ra.intervene(done.model, done.run, done.evaluate, layers="ir", groups={"mine": {"ir": mask}}, repeats=1)
    assert table["row"].unique().tolist() == ["layer"], "one layer needs no row for all"
    step, slope = 0.05, 0.0
    # The last binary layer: its loss is a smooth function of its binary weights.
    for index in np.argwhere(mask):
        ends = []
        for sign in (1.0, -1.0):
            factor = torch.ones(mask.shape, dtype=torch.float64)
            factor[tuple(index)] += sign * step
            ends.append(losses(done, {"ir": factor.float()}).mean())
        slope += (ends[0] - ends[1]) / (2.0 * step)
    mine = table[table["group"] == "mine"].iloc[0]
    assert mine["predicted_rise"] == pytest.approx(-2.0 * slope, rel=2e-3)
    with torch.no_grad():
        parts = lambda model: iter([done.evaluate(model)["loss"][:7], done.evaluate(model)["loss"][7:]])  # noqa: E731
    again = ra.intervene(done.model, done.run, parts, layers="ir", groups={"mine": {"ir": mask}}, repeats=1)
    assert again["predicted_rise"].to_numpy() == pytest.approx(table["predicted_rise"].to_numpy(), rel=1e-5)
    assert again["accuracy_change"].isna().all()
    blind = ra.intervene(done.model, done.run, torch.no_grad()(done.evaluate), layers="ir", repeats=1)
    assert blind.loc[blind["negated"] > 0, "predicted_rise"].isna().all()


def test_what_negates_nothing_rises_by_exactly_0(done):
    empty = {name: np.zeros_like(mask) for name, mask in masks_of(done).items()}
    groups = {"none": empty, "first": {"own": some((6, 2, 3, 3), 3)}}
    inputs = [done.images[:20], done.images[20:]]
    table = ra.intervene(done.model, done.run, done.evaluate, groups=groups, reestimate=inputs, repeats=2)
    none = table[(table["group"] == "none") | ((table["group"] == "first") & ~table["layer"].isin(["own", "all"]))]
    assert set(none["batch_norm"]) == {"fixed", "re-estimated"}
    assert (none[["negated", "rise", "rise_low", "rise_high", "image_error", "accuracy_change"]] == 0.0).all(axis=None)
    assert (none.loc[none["batch_norm"] == "fixed", "predicted_rise"] == 0.0).all()
    assert (table.loc[table["layer"] == "all", "negated"] == 0).all(), "no layer has weights of every group"


def test_statistics_are_estimated_again_with_the_weights_negated(done):
    mask = masks_of(done)["own"]
    inputs = [done.images[:20], done.images[20:]]
    groups = {"mine": {"own": mask}}
    table = ra.intervene(done.model, done.run, done.evaluate, layers="own", groups=groups, reestimate=inputs, repeats=1)
    found = {}
    for name, factors in (("before", {}), ("after", {"own": torch.where(torch.from_numpy(mask), -1.0, 1.0)})):
        plain = replaced(done.model, factors)
        norms = [plain.norm, plain.norm2, plain.norm3]
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None
            norm.train()
        with torch.no_grad():
            for each in inputs:
                plain(each)
            found[name] = done.evaluate(plain.eval())["loss"].double().mean()
    row = table[(table["group"] == "mine") & (table["batch_norm"] == "re-estimated")].iloc[0]
    assert row["loss"] == pytest.approx(float(found["before"]), abs=1e-6)
    assert row["rise"] == pytest.approx(float(found["after"] - found["before"]), abs=1e-6)


def snapshot(model):
    state = {name: each.clone() for name, each in model.state_dict().items()}
    gradients = [None if each.grad is None else each.grad.clone() for each in model.parameters()]
    flags = [each.requires_grad for each in model.parameters()]
    modules = [
        (each.training, getattr(each, "momentum", 0), len(each._forward_hooks), len(each._forward_pre_hooks))
        for each in model.modules()
    ]
    return state, gradients, flags, modules, (torch.get_rng_state(), np.random.rand(), random.random())  # noqa: NPY002


def alike(first, second):
    if isinstance(first, torch.Tensor):
        return torch.equal(first, second)
    if isinstance(first, dict):
        return all(alike(first[name], second[name]) for name in first | second)
    if isinstance(first, list | tuple):
        return len(first) == len(second) and all(map(alike, first, second))
    return first == second


@pytest.mark.parametrize("ends_with", [None, ValueError, KeyboardInterrupt])
def test_the_model_is_bitwise_as_before(done, ends_with):
    model, calls = done.model, []

    def evaluate(given):
        calls.append(1)
        if ends_with and len(calls) == 6:
            given.own.register_forward_pre_hook(interrupt)
        random.random(), np.random.rand(), torch.rand(1)  # noqa: NPY002
        return done.evaluate(given)

    def interrupt(*_):
        raise ends_with("in the middle of a pass")

    model.train()
    model.norm2.eval()
    model.last.bias.requires_grad_(False)
    np.random.seed(1), random.seed(1)  # noqa: NPY002
    before = snapshot(model)
    np.random.seed(1), random.seed(1)  # noqa: NPY002
    arguments = {"repeats": 1, "reestimate": [done.images]}
    if ends_with is None:
        ra.intervene(model, done.run, evaluate, **arguments)
    else:
        with pytest.raises(ends_with, match="in the middle"):
            ra.intervene(model, done.run, evaluate, **arguments)
    after = snapshot(model)
    model.last.bias.requires_grad_(True)
    assert alike(before, after)
    assert torch.overrides._get_current_function_mode() is None


def test_groups_have_equal_sizes_and_draws_follow_the_seed(done):
    def table(**more):
        return ra.intervene(done.model, done.run, done.evaluate, layers=["recu", "xnor"], repeats=2, **more)

    first = table()
    assert first["group"].unique().tolist() == ["tail-silent", "core-silent", "tail-flipped", "core-flipped", "random"]
    for _, rows in first[first["row"] == "layer"].groupby("layer"):
        assert len(set(rows["negated"]) - {0}) == 1
    assert first.equals(table())
    assert not first.equals(table(seed=1))
    alone = table(groups=["random"])
    assert (alone["negated_fraction"] == 1.0).all(), "as many as the smallest group of those that are asked for"


def test_what_cannot_be_measured_is_said(done):
    def refused(*words, model=done.model, evaluate=done.evaluate, **more):
        with pytest.raises(InputError, match=facts(*words)):
            ra.intervene(model, done.run, evaluate, **more)

    refused("two evaluations", "differ", evaluate=lambda model: done.evaluate(model)["loss"] + torch.rand(1))
    refused("shape ()", "reduction='none'", evaluate=lambda model: done.evaluate(model)["loss"].mean())
    refused("mapping without 'loss'", evaluate=lambda model: {"top1": torch.ones(3)})
    refused("not None", evaluate=lambda model: None)
    refused("1 images", evaluate=lambda model: done.evaluate(model)["loss"][:1])
    refused("NaN", "40", evaluate=lambda model: done.evaluate(model)["loss"] * torch.nan)
    refused("the whole model", "training mode", evaluate=lambda model: done.evaluate(model.train()))
    refused("norm2", "training mode", evaluate=lambda model: done.evaluate(model if model.norm2.train() else None))
    refused("weights of own, recu, xnor, ir", "model", evaluate=lambda model: torch.ones(4))
    refused("tail-silnet", "tail-silent", groups=["tail-silnet"])
    refused("mask", "'mine'", "'own'", "108 weights", groups={"mine": {"own": np.ones(3, dtype=bool)}})
    refused("mask", "'mine'", "'own'", groups={"mine": {"own": np.ones((6, 2, 3, 3))}})
    refused("layer of group 'mine'", "'onw'", "own, recu", groups={"mine": {"onw": some((6, 2, 3, 3), 3)}})
    refused("'random'", "another name", groups={"random": masks_of(done)})
    refused("repeats", "0", repeats=0)
    refused("seed", "-1", seed=-1)
    refused("reestimate=", "cannot be called", reestimate=[(done.images, 3)])
    moved = copy.deepcopy(done.model)
    with torch.no_grad():
        moved.xnor.weight[0, 0] *= -1.0
    refused("9 of 324", "'xnor'", "end of", model=moved)
    other = copy.deepcopy(done.model)
    other.recu.weight = torch.nn.Parameter(torch.randn(6, 3, 3, 3))
    refused("'recu'", "6x6x3x3", "6x3x3x3", model=other)
    real = copy.deepcopy(done.model)
    real.own.forward = lambda values: F.conv2d(values, real.own.weight, padding=1)
    refused("'own'", "is real", model=real)
    plain = torch.nn.Sequential()
    for name in LAYERS:
        plain.add_module(name, getattr(done.model, name))
    refused("no batch normalization", "reestimate=", model=plain, reestimate=[done.images])
