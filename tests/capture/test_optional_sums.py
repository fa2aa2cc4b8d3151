"""What a recording keeps: what is left out reads as missing; flip averages and gradients equal a plain loop."""

import math

import numpy as np
import pytest
import torch
from torch.amp import GradScaler

import recu_analysis as ra
from recu_analysis.analysis.deadness import dead_weights
from recu_analysis.analysis.distance import tails
from recu_analysis.analysis.flips import flip_table
from recu_analysis.analysis.magnitude import by_magnitude
from recu_analysis.capture.accumulate import CpuAccumulator, DeviceAccumulator
from recu_analysis.capture.optional_sums import OptionalSum
from recu_analysis.cli.info import describe
from recu_analysis.errors import DamagedError, InputError, NotRecordedError, StoreError
from recu_analysis.store.quantities import requests_of, rows_of
from recu_analysis.store.record import merged
from recu_analysis.store.thin import thin
from recu_analysis.store.verify import verify
from tests.capture.plain_loops import assert_same_windows, loss_of, plain_record, sgd, step, tiny, weights
from tests.editing import edit_run
from tests.messages import says
from tests.trajectory import trajectory

TENSORS = {"path": ["path"], "zpath": ["zpath"], "flip_times": ["first_flip", "last_flip"]}
TENSORS |= {"ema": ["ema"], "grad": ["grad"]}


def record(path, only, updates=12, every=4):
    """A short recorded training that keeps these quantities, and its weights after every update."""
    model = tiny()
    optimizer = sgd(model)
    history = [weights(model)]
    with ra.record(model, optimizer, path, only=only, every=every) as recorder:
        for update in range(updates):
            step(model, optimizer, update)
            history.append(weights(model))
        recorder.mark(epoch=0)
    return ra.open_run(path), history


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    return record(tmp_path_factory.mktemp("bare") / "run", ())


@pytest.mark.parametrize("left_out", ["path", "zpath", "flip_times"])
def test_what_is_left_out_is_nowhere_and_the_rest_is_as_ever(tmp_path, left_out):
    kept = [each for each in ("path", "zpath", "flip_times") if each != left_out]
    run, history = record(tmp_path / "run", kept)
    assert requests_of(run.header.quantities) == tuple(kept)
    names = run.windows[1].file.entries
    assert {f"{kind}/1" in names for kind in TENSORS[left_out]} == {False}
    expected = plain_record([each["1"] for each in history[:5]])
    for quantity, wanted in expected.items():
        record_of = run.windows[1]["1"]
        if quantity in TENSORS[left_out]:
            with pytest.raises(NotRecordedError, match=f"window 1 .* has no {left_out}: the run was recorded without"):
                getattr(record_of, quantity)
        else:
            np.testing.assert_allclose(getattr(record_of, quantity), wanted, rtol=1e-5, atol=1e-12)
    assert set(verify(run.path)["verdict"]) == {"whole"}


@pytest.mark.parametrize("kind", [CpuAccumulator, DeviceAccumulator])
@pytest.mark.parametrize("kept", [(), ("path",), ("zpath", "ema"), ("flip_times",)])
def test_both_kernels_keep_what_they_are_told(kind, kept):
    generator = torch.Generator().manual_seed(0)
    states = [torch.randn(5, 30, generator=generator) for _ in range(6)]
    whole, part = kind(states[0], center=True), kind(states[0], center=True, quantities=kept)
    for update, weight in enumerate(states[1:], start=1):
        whole.advance(weight, update)
        part.advance(weight, update)
        if "ema" in kept:
            assert torch.equal(part.flipped_at(update), whole.flipped_at(update))
    taken = part.take()
    for name, wanted in whole.take().items():
        quantity = "flip_times" if name in TENSORS["flip_times"] else name
        if quantity in TENSORS and quantity not in kept:
            assert name not in taken
        else:
            np.testing.assert_array_equal(taken[name], wanted)


def test_tables_of_a_bare_run_say_nan_where_they_do_not_know(bare):
    run, _ = bare
    table = ra.layer_table(run).query("updates > 0")
    unknown = [f"{name}{part}" for name in ("update_magnitude", "mobility") for part in ("", "_tail", "_core")]
    assert table[[*unknown, "still_fraction"]].isna().all(axis=None)
    assert (
        table[["flip_ratio", "silent_fraction", "dead_fraction", "autocorrelation", "net_displacement"]]
        .notna()
        .all(axis=None)
    )
    dead = dead_weights(run)
    assert dead["silent_fraction"].notna().all()
    assert dead[["still_fraction", "tail_still_fraction", "mobility_tail"]].isna().all(axis=None)
    for criterion in ("still", "tail-still"):
        with pytest.raises(NotRecordedError, match=f"'{criterion}' needs zpath of the effective weights"):
            dead_weights(run, criterion=criterion)
    assert by_magnitude(run, bins=4)["flip_probability"].notna().all()
    assert tails(run)["mobility_ratio"].isna().all()
    assert flip_table(run)["flip_ratio_predicted"].isna().all()


def test_info_says_what_a_run_does_not_keep(bare):
    says(describe(bare[0])["quantities"], "flips; ", "without path, zpath, flip_times")


def test_tables_of_a_bare_run_have_the_numbers_of_a_whole_one_elsewhere(bare, tmp_path):
    run, _ = bare
    whole, _ = record(tmp_path / "run", ("path", "zpath", "flip_times"))
    known = [
        "flip_ratio",
        "silent_fraction_tail",
        "dead_fraction",
        "autocorrelation",
        "tail_fraction",
        "nonfinite",
        "alpha",
    ]
    left, right = (ra.layer_table(each)[known].to_numpy(float) for each in (run, whole))
    np.testing.assert_array_equal(left, right)


def plain_extras(path, optimizer_of, *, scaler=None, closure=False):
    """A training with both extra quantities: the run, and their plain loop in float64 at each window's end."""
    model = tiny()
    optimizer = optimizer_of(model)
    layer = model[1].weight
    ema, total, wanted = np.zeros(layer.shape), np.zeros(layer.shape), []
    sign = (layer.detach() - layer.detach().double().mean(1, keepdim=True)).numpy() < 0
    with ra.record(model, optimizer, path, quantities=("ema", "grad"), every=5) as recorder:
        for update in range(15):
            optimizer.zero_grad()
            loss_of(model, update).backward()
            gradient = layer.grad.double().numpy().copy()
            if closure:
                optimizer.zero_grad()
                optimizer.step(lambda update=update: loss_of(model, update).backward())
            elif scaler:
                optimizer.zero_grad()
                scaler.scale(loss_of(model, update)).backward()
                if update == 7:
                    layer.grad[0, 0] = math.inf
                scaler.step(optimizer)
                scaler.update()
            else:
                optimizer.step()
            if scaler and update == 7:
                continue
            weight = layer.detach().double().numpy()
            now = weight - weight.mean(axis=1, keepdims=True) < 0
            ema = 0.999 * ema + 0.001 * (now != sign)
            total, sign = total + np.abs(gradient), now
            if recorder.update % 5 == 0:
                wanted.append((ema.copy(), total))
                total = np.zeros(layer.shape)
        recorder.mark()
    return ra.open_run(path), wanted


@pytest.mark.parametrize("way", ["plain", "fused and scaled", "adam, scaled", "closure"])
def test_flip_average_and_gradients_equal_the_plain_loop(tmp_path, way):
    scaler = GradScaler("cpu", init_scale=1024.0) if "scaled" in way else None

    def optimizer_of(model):
        return torch.optim.Adam(model.parameters(), lr=0.1) if "adam" in way else sgd(model, fused="fused" in way)

    run, wanted = plain_extras(tmp_path / "run", optimizer_of, scaler=scaler, closure=way == "closure")
    assert [window.last_update for window in run.windows][:3] == [0, 5, 10]
    assert not run.windows[0]["1"].ema.any()
    for window, (ema, total) in zip(run.windows[1:], wanted, strict=False):
        np.testing.assert_allclose(window["1"].ema, ema, rtol=1e-6)
        np.testing.assert_allclose(window["1"].grad, total, rtol=1e-5, atol=1e-7)
    assert ema.any(), "a test without flips would say nothing"
    whole = merged(run.windows[1:3], "1")
    np.testing.assert_array_equal(whole.ema, run.windows[2]["1"].ema)
    np.testing.assert_allclose(whole.grad, wanted[0][1] + wanted[1][1], rtol=1e-5, atol=1e-7)


def test_layers_without_a_gradient_add_nothing(tmp_path):
    model = tiny()
    optimizer = sgd(model)
    model[1].weight.requires_grad_(False)
    with ra.record(model, optimizer, tmp_path / "run", quantities=("grad",)) as recorder:
        step(model, optimizer, 0)
        recorder.mark()
    window = ra.open_run(tmp_path / "run").windows[1]
    assert not window["1"].grad.any()
    assert window["3"].grad.any()


@pytest.mark.parametrize("quantities", [(), ("path", "ema"), ("zpath", "flip_times", "grad", "ema")])
def test_a_thinned_run_keeps_what_the_run_kept(tmp_path, quantities):
    run, _ = record(tmp_path / "run", quantities)
    thinned = thin(run, windows=[0, 3], output=tmp_path / "thin")
    assert thinned.header.quantities == run.header.quantities
    assert set(verify(thinned.path)["verdict"]) == {"whole"}
    got, wanted = trajectory(thinned.windows[1]["3"]), merged(run.windows[1:], "3")
    for name in ("path", "zpath", "flips", "first_flip", "last_flip", "ema", "grad"):
        left, right = getattr(got, name), getattr(wanted, name)
        assert (left is None) == (right is None)
        if left is not None:
            np.testing.assert_allclose(left, right, rtol=1e-6)


def test_a_run_resumed_at_a_mark_goes_on_with_its_flip_averages(tmp_path):
    quantities = ("ema", "gradient-stats")
    for name, stops in (("whole", ()), ("halves", (6,))):
        model = tiny()
        optimizer = sgd(model)
        recorder = ra.record(model, optimizer, tmp_path / name, quantities=quantities)
        for update in range(12):
            step(model, optimizer, update)
            if update % 3 == 2:
                recorder.mark(epoch=update)
            if update + 1 in stops:
                recorder.close()
                recorder = ra.record(model, optimizer, tmp_path / name, quantities=quantities, resume=update + 1)
        recorder.close()
    assert_same_windows(tmp_path / "whole", tmp_path / "halves")


def test_a_sum_that_needs_the_weights_before_has_them_after_a_resume(tmp_path, monkeypatch):
    """They moved after the last update that was seen: the next one starts from those that it is taken to start from."""
    begun = []
    monkeypatch.setattr(OptionalSum, "begin", lambda _, weight: begun.append(weight.detach().clone()))
    model = tiny()
    optimizer = sgd(model)
    with ra.record(model, optimizer, tmp_path / "run", quantities=("ema",)) as recorder:
        step(model, optimizer, 0)
        seen = weights(model)
        with torch.no_grad():
            model[1].weight.mul_(0.5)
        state = recorder.state_dict()
    ra.record(model, optimizer, tmp_path / "run", quantities=("ema",), state=state).close()
    assert any(np.array_equal(each.numpy().reshape(-1), seen["1"].reshape(-1)) for each in begun)


def test_refusals(tmp_path):
    model = tiny()
    optimizer = sgd(model)
    with pytest.raises(InputError, match=r"'flip'.*path, zpath"):
        ra.record(model, optimizer, tmp_path / "a", quantities=["path", "flip"])
    with pytest.raises(InputError, match="'reversals'"):
        ra.record(model, optimizer, tmp_path / "a", only="reversals")
    assert not (tmp_path / "a").exists()
    ra.record(model, optimizer, tmp_path / "a", only=("path",)).close()
    with pytest.raises(StoreError, match=r"quantities path .*path, zpath, flip_times"):
        ra.record(model, optimizer, tmp_path / "a", resume=0)
    ra.record(model, optimizer, tmp_path / "a", only="path", resume=0).close()


def test_quantities_add_to_the_usual_ones_and_only_replaces_them(tmp_path):
    for given, kept in (
        ({"quantities": ["grad"]}, ("path", "zpath", "flip_times", "grad")),
        ({"quantities": "grad", "only": ["path"]}, ("path", "grad")),
        ({"only": ()}, ()),
    ):
        model = tiny()
        path = tmp_path / str(len(kept))
        ra.record(model, sgd(model), path, **given).close()
        assert requests_of(ra.open_run(path).header.quantities) == kept


@pytest.mark.parametrize(
    "wrong",
    [
        ["path"],
        "path",
        [1],
        None,
        [{"name": "path"}],  # the weights are not among them
        [{"name": "my speed", "of": "weights", "dtype": "float32", "merge": "sum", "kept": "default"}],
        [{"name": "speed", "of": "cars", "dtype": "float32", "merge": "sum", "kept": "default"}],
        [{"name": "speed", "of": "weights", "dtype": "object", "merge": "sum", "kept": "default"}],
        [{"name": "speed", "of": "weights", "dtype": "float32", "merge": ["sum"], "kept": "default"}],
    ],
)
def test_quantities_that_no_recording_wrote_are_damage(tmp_path, wrong):
    record(tmp_path / "run", ("ema",), updates=1)
    edit_run(tmp_path / "run", quantities=wrong)
    with pytest.raises(DamagedError, match=r"run\.json is damaged"):
        ra.open_run(tmp_path / "run")


def test_shards_that_hold_other_quantities_than_the_run_says_are_damage(tmp_path):
    record(tmp_path / "run", ("path", "ema"), updates=4)
    for said in (["path"], ["path", "ema", "grad"]):
        edit_run(tmp_path / "run", quantities=[row.to_dict() for row in rows_of(said).values()])
        assert (verify(tmp_path / "run")["verdict"] == "damaged").sum() == 2
    with pytest.raises(DamagedError, match="no checksum of tensor 'grad/1'"):
        _ = ra.open_run(tmp_path / "run").windows[1]["1"].grad
