"""Causes of silence through the store: planted ones are found by layer, noise is undetermined, and what is refused."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.special import ndtr

import recu_analysis as ra
from recu_analysis.analysis.causes import check_recorded, is_untried, silent_weights
from recu_analysis.analysis.query import per_layer
from recu_analysis.analysis.selection import WindowSpan
from recu_analysis.errors import NotRecordedError, WindowNotFoundError
from recu_analysis.nn.layers import BinaryLinear
from recu_analysis.testing import LR, synthetic_run
from recu_analysis.theory import causes as theory
from recu_analysis.theory.causes import CAUSES
from tests.analysis.test_cohorts import tail
from tests.capture.level_layers import QUANTIZERS, Quantized, offsets, plain_movement, push, snapshot
from tests.messages import facts

#: T of an update, and updates of each of two windows; the weights that noise makes have this standard deviation.
TIME, UPDATES = 0.02, 150
WIDE = LR / np.sqrt(1.0 - (1.0 - TIME) ** 2)
#: Drift and size of the gradients of a third of each layer's weights, and their cause; the others have noise alone.
KINDS = {
    "noise": (0.0, 1.0, "undetermined"),
    "pull": (3.0, 1.0, "held"),
    "hidden": (0.0, 1e-3, "masked"),
    "rounded": (0.0, 1.0, "lost to rounding"),
    "far": (6.0, 0.01, "out of reach"),
}


def planted(kind, seed):
    """SGD without momentum; a third of the weights of each channel are of the kind. And which those are."""
    generator = np.random.default_rng(seed)
    here = np.arange(60) % 3 == 0
    side = np.where(np.arange(60) % 2, 1.0, -1.0)
    drift, size = (np.where(here, each, default) for each, default in zip(KINDS[kind][:2], (0.0, 1.0), strict=True))
    w = side * drift * WIDE + WIDE * generator.normal(size=(16, 60)) * (np.where(drift > 5.0, 0.01, 1.0))
    if kind in ("hidden", "rounded"):  # they start far from zero, and decay or stay there
        w = np.where(here, side * 3.0 * WIDE, w)
    history = [w]
    for _ in range(2 * UPDATES):
        g = size * generator.normal(size=w.shape) - side * drift * WIDE * TIME / LR
        w = np.where(here & (kind == "rounded"), w, (1.0 - TIME) * w - LR * g)
        history.append(w)
    return np.array(history, dtype=np.float32), np.broadcast_to(here, w.shape)


@pytest.fixture(scope="module")
def histories():
    return {kind: planted(kind, seed) for seed, kind in enumerate(KINDS)}


@pytest.fixture(scope="module")
def path(histories, tmp_path_factory):
    walks = {kind: walk for kind, (walk, _) in histories.items()}
    return synthetic_run(
        tmp_path_factory.mktemp("causes") / "run", walks, windows=2, decay_time=TIME, gradient_stats=True
    ).path


def silent_tail(walk):
    """The tail of the first window that did not flip in it, by a loop."""
    centered = walk[: UPDATES + 1].astype(np.float64)
    centered -= centered.mean(axis=2, keepdims=True)
    z = centered[0] / centered[0].std(axis=1, ddof=1, keepdims=True)
    signs = centered < 0
    return tail(z.ravel()).reshape(z.shape) & (signs == signs[0]).all(axis=0)


def test_planted_causes_are_found(path, histories):
    table = ra.causes(path, windows="2")
    tails = table[table["group"] == "tail-silent"].set_index(["layer", "cause"])
    for kind, (walk, here) in histories.items():
        chosen, cause = silent_tail(walk), KINDS[kind][2]
        rows = tails.loc[kind]
        assert rows["weights"].unique().tolist() == [chosen.sum()]
        assert rows["counted"].unique().tolist() == [walk[0].size]
        assert rows["share"].sum() == pytest.approx(1.0)
        of_kind = (chosen & here).sum() / chosen.sum()
        if kind in ("hidden", "rounded", "far"):
            assert rows.loc[cause, "share"] == pytest.approx(of_kind), kind
        elif kind == "pull":
            power = ndtr(3.0 * np.sqrt(np.tanh(TIME * UPDATES / 2.0)) - 1.645)  # if t is normal
            assert rows.loc[cause, "share"] == pytest.approx(power * of_kind, abs=0.07)
        else:
            assert rows.loc[cause, "share"] > 0.8
    everything = tails[tails["row"] == "total"].loc["all"]
    assert everything["weights"].iloc[0] == sum(tails.loc[kind]["weights"].iloc[0] for kind in KINDS)
    by_noise = everything.loc[["opposed", "held", "undetermined"], "share"].sum()
    assert everything["share_null"].dropna().to_dict() == pytest.approx(
        {"opposed": 0.05 * by_noise, "held": 0.05 * by_noise, "undetermined": 0.9 * by_noise}, rel=1e-3
    )
    assert (everything["share_twice"][["opposed", "held"]] < everything["share"][["opposed", "held"]]).all()
    assert set(table["cause"]) == set(CAUSES)


def trained_levels(folder, name, updates=100):
    """A quantized layer under noise; some weights are pulled to where they start, others have small gradients."""
    generator = torch.Generator().manual_seed(3)
    layer, rate = Quantized(60, 16, *QUANTIZERS[name]), 0.1
    layer.weight.data = torch.randn(16, 60, generator=generator)
    start, kind = layer.weight.detach().clone(), torch.arange(60) % 3
    size = rate / np.sqrt(1.0 - (1.0 - TIME) ** 2)  # of gradients whose noise keeps the weights as wide as they are
    optimizer = torch.optim.SGD([layer.weight], lr=rate, weight_decay=TIME / rate)
    history, gradients = [snapshot(layer)], []
    with ra.record(layer, optimizer, folder / "run", quantities=["gradient-stats"]) as recorder:
        for _ in range(2):
            for _ in range(updates):
                noise = torch.randn(start.shape, generator=generator) / size
                gradients.append(
                    torch.where(kind == 1, noise - start * TIME / rate, torch.where(kind == 2, 1e-4, 1.0) * noise)
                )
                push(layer, optimizer, gradients[-1])
                history.append(snapshot(layer))
            recorder.mark()
    return layer, history, torch.stack(gradients).double().numpy()


@pytest.mark.parametrize("name", ["bitnet", "twn", "bitnet of groups"])
def test_causes_of_weights_with_more_levels_are_those_of_a_loop(tmp_path, name):
    updates = 100
    layer, history, gradients = trained_levels(tmp_path, name, updates)
    chosen_states = np.array([layer.states(*each).numpy() for each in history[: updates + 1]])
    silent = (chosen_states == chosen_states[0]).all(axis=0)
    far = tail(offsets(layer, *history[0])[1].ravel()).reshape(silent.shape)
    tested, drive = history[updates:], gradients[updates:]
    path, offset = plain_movement(layer, tested)["zpath"], offsets(layer, *tested[0])[1]
    start, end = tested[0][0].double().numpy(), tested[-1][0].double().numpy()
    variance = sum((0.1 * (1.0 - TIME) ** (updates - 1 - at) * g) ** 2 for at, g in enumerate(drive))
    pull = np.sign(offset) * (end - (1.0 - TIME) ** updates * start) / np.sqrt(variance)
    sizes = np.abs(drive)
    small = (sizes <= 0.2 * np.median(sizes, axis=(1, 2), keepdims=True)).sum(axis=0) >= 0.5 * updates
    slow = path.mean(axis=1) < 0.25 * np.median(path.mean(axis=1))
    rules = [np.broadcast_to(slow[:, None], small.shape), small, path < np.abs(offset), pull < -1.645, pull > 1.645]
    names = ["slow channel", "masked", "out of reach", "opposed", "held"]
    found = np.select(rules, names, "undetermined")
    table = ra.causes(tmp_path / "run", windows="2").query("row == 'layer'").set_index(["group", "cause"])
    for group, members in (("tail-silent", far & silent), ("core-silent", ~far & silent)):
        assert members.sum() > 30
        assert table.loc[group, "weights"].unique().tolist() == [members.sum()]
        expected = [(found[members] == cause).mean() for cause in CAUSES]
        assert table.loc[group]["share"][list(CAUSES)].tolist() == pytest.approx(expected, abs=1e-9)
    assert {"masked", "held"} <= set(found[far & silent])


def test_noise_alone_holds_and_opposes_as_many_weights_with_more_levels(tmp_path):
    generator = torch.Generator().manual_seed(4)
    layer = Quantized(200, 100, *QUANTIZERS["bitnet"])
    optimizer = torch.optim.AdamW([layer.weight], lr=0.01, weight_decay=1.0)
    with ra.record(layer, optimizer, tmp_path / "run", quantities=["gradient-stats"]) as recorder:
        for updates in (200, 60, 60):
            for _ in range(updates):
                push(layer, optimizer, torch.randn(100, 200, generator=generator))
            recorder.mark()
    rows = ra.causes(tmp_path / "run", windows="3").query("row == 'total'").set_index(["group", "cause"])
    for group in ("tail-silent", "core-silent"):
        weights = rows.loc[group, "weights"].iloc[0]
        assert weights > 1000
        tested = rows.loc[group].loc[["opposed", "held", "undetermined"], "share"]
        for cause in ("opposed", "held"):
            assert tested[cause] / tested.sum() == pytest.approx(0.05, abs=0.005 + 3.0 * np.sqrt(0.05 / weights))


def test_slow_channels_come_first(tmp_path, histories):
    walk = histories["noise"][0].copy()
    walk[:, 0] = walk[0, 0] * (1.0 + 1e-3 * walk[:, 1])  # a channel that hardly moves
    path = synthetic_run(tmp_path / "run", {"one": walk}, windows=2, decay_time=TIME, gradient_stats=True).path
    rows = ra.causes(path, windows="2").set_index(["layer", "group", "cause"])
    chosen = silent_tail(walk)
    slow = rows.loc[("one", "tail-silent", "slow channel")]
    assert slow["share"] == pytest.approx(chosen[0].sum() / chosen.sum())


def test_the_hint_for_windows_without_windows_before_leads_to_an_answer(path, tmp_path, histories):
    runs = {2: path}
    for windows in (1, 4):
        walks = {"one": histories["noise"][0]}
        folder = tmp_path / str(windows)
        runs[windows] = synthetic_run(folder, walks, windows=windows, decay_time=TIME, gradient_stats=True).path
    for count, run in runs.items():
        for windows in ("1", "1:", ":"):
            with pytest.raises(WindowNotFoundError, match=facts("chosen in the windows before")) as refused:
                ra.causes(run, windows=windows)
            later = re.search(r"windows='(\d+:)'", str(refused.value))
            assert bool(later) == (count > 1), str(refused.value)
            assert later is None or len(ra.causes(run, windows=later[1]))


def test_rules_that_need_the_gradients_are_not_tried_where_what_they_made_is_not_defined(tmp_path):
    model = torch.nn.Sequential(*(BinaryLinear(12, 12, bias=False) for _ in range(2)))
    for name, optimizers in (
        ("none", [torch.optim.Adam(model.parameters(), lr=0.01, weight_decay=0.1)]),
        (
            "first",
            [
                torch.optim.SGD(model[0].parameters(), lr=0.01, weight_decay=0.1),
                torch.optim.Adam(model[1].parameters(), lr=0.01, weight_decay=0.1),
            ],
        ),
        ("all", [torch.optim.AdamW(model.parameters(), lr=0.01, weight_decay=0.1)]),
    ):
        with ra.record(model, optimizers, tmp_path / name, quantities=["gradient-stats"]) as recorder:
            for _ in range(2):
                for _ in range(3):
                    model.zero_grad()
                    model(torch.randn(4, 12)).square().mean().backward()
                    for optimizer in optimizers:
                        optimizer.step()
                recorder.mark()
        table = ra.causes(tmp_path / name, windows="2")
        table = table[table["weights"] > 0]
        tried = {"none": [], "first": ["0"], "all": ["0", "1", "all"]}[name]
        for cause, columns in (("held", ("share", "share_half", "share_twice", "share_null")), ("opposed", ("share",))):
            rows = table[table["cause"] == cause]
            for column in columns:
                assert rows.loc[rows[column].notna(), "layer"].unique().tolist() == tried, (name, column)
        rest = table[table["cause"] == "undetermined"]
        assert rest["share"].notna().all()
        assert rest.loc[rest["share_null"].notna(), "layer"].unique().tolist() == tried
        assert is_untried(table) == (name != "all")


def test_windows_whose_momentum_changed_are_told_from_windows_without_a_gradient(tmp_path):
    torch.manual_seed(0)
    model = BinaryLinear(12, 12, bias=False)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=0.1)
    with ra.record(model, optimizer, tmp_path / "run", quantities=["gradient-stats"]) as recorder:
        for momenta in ((0.9, 0.9), (0.9, 0.5), (None, None)):
            for momentum in momenta:
                model.zero_grad()
                if momentum is not None:
                    optimizer.param_groups[0]["momentum"] = momentum
                    model(torch.randn(4, 12)).square().mean().backward()
                optimizer.step()
            recorder.mark()
    tables = {at: ra.causes(tmp_path / "run", windows=at) for at in (2, 3)}
    assert {at: is_untried(table) for at, table in tables.items()} == {2: True, 3: False}
    still = tables[3].set_index(["row", "group", "cause"])["share"]
    assert still["layer", "tail-silent", "scheduled"] == 1.0


def test_shares_with_other_thresholds_are_those_of_every_threshold_halved_or_doubled(path):
    tested, chosen = WindowSpan(2, 3), WindowSpan(1, 2)
    run = ra.open_run(path)
    table = ra.causes(run, windows=tested)
    rows = table[table["row"] == "layer"].set_index(["layer", "group"])
    found = per_layer(run, run.header.layers, silent_weights, chosen, tested, 0.85).run()
    scaled = {"share_half": (0.125, 0.25, 0.25, 0.05, 0.5, 0.8225), "share_twice": (0.5, 1.0, 1.0, 0.2, 2.0, 3.29)}
    for column, thresholds in scaled.items():
        for layer, silent in zip(run.layer_names, found, strict=True):
            codes = theory.causes(silent.evidence, theory.Thresholds(*thresholds)).reshape(-1)
            for group, mask in silent.members.items():
                expected = [np.mean(codes[mask] == code) for code in range(len(CAUSES))]
                np.testing.assert_allclose(rows.loc[(layer, group), column], expected, rtol=1e-12)


def test_a_layer_called_all_is_not_the_row_of_all_layers(tmp_path, histories):
    walks = {"all": histories["noise"][0], "second": histories["pull"][0]}
    path = synthetic_run(tmp_path / "run", walks, windows=2, decay_time=TIME, gradient_stats=True).path
    rows = ra.causes(path, windows="2").groupby(["row", "layer"])["counted"].unique()
    counted = walks["all"][0].size
    assert {key: each.tolist() for key, each in rows.items()} == {
        ("layer", "all"): [counted],
        ("layer", "second"): [counted],
        ("total", "all"): [2 * counted],
    }


def test_what_is_missing_is_said(run, path):
    with pytest.raises(NotRecordedError, match=facts("gradient-stats", 'record(..., quantities=["gradient-stats"])')):
        ra.causes(run)
    for windows in (0, 1):  # a recording that has just begun
        with pytest.raises(NotRecordedError, match=facts("gradient-stats")):
            check_recorded(replace(run, windows=run.windows[:windows]))
    with pytest.raises(WindowNotFoundError, match=facts("before 1:2", "later windows")):
        ra.causes(path, windows="1")
