"""Checkpoints become a run: signs, net movement, order, numbers, and one sentence for everything that is wrong."""

import pickle
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import recu_analysis as ra
from recu_analysis.capture.adapters import binary_layers, registry
from recu_analysis.capture.importer import POSITIONS, import_checkpoints
from recu_analysis.errors import CheckpointError, InputError, NoBinaryLayersError, RunExistsError, StoreError
from recu_analysis.interop.checkpoint_files import checkpoint_files, natural
from recu_analysis.interop.checkpoints import read_state
from recu_analysis.store.record import merged
from recu_analysis.store.run import open_run
from tests.capture import codebase_layers as codebases


def network(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(1, 2, 3), codebases.recu(), nn.BatchNorm2d(4), nn.Linear(4, 2))


def save(path, model, prefix="module.", **entries):
    state = {prefix + name: value for name, value in model.state_dict().items()}
    torch.save(entries | {"state_dict": state}, path)
    return path


@pytest.fixture
def series(tmp_path):
    """Three checkpoints, epoch 9 to 11, and the binary layer's weights in them."""
    folder = tmp_path / "results"
    folder.mkdir()
    weights = []
    for epoch in (9, 10, 11):
        model = network(epoch)
        model[1].tau.fill_(0.8 + 0.01 * epoch)
        weights.append(model[1].weight.detach().numpy().astype(np.float64))
        save(folder / f"epoch{epoch}.pth.tar", model, epoch=epoch)
    (folder / "log.txt").write_text("nothing")
    return folder, weights


def leftovers(folder):
    return [path.name for path in folder.iterdir() if path.name.startswith(".")]


def test_a_folder_becomes_a_run_with_net_movement(series, tmp_path):
    folder, weights = series
    made = import_checkpoints([folder], tmp_path / "run")
    assert made.configuration["imported"] == [f"epoch{epoch}.pth.tar" for epoch in (9, 10, 11)]
    assert (len(made.layers), made.configuration["update_numbers"]) == (1, "epoch")
    run = open_run(tmp_path / "run")
    assert [(w.number, w.first_update, w.last_update, w.exact) for w in run.windows] == [
        (0, 10, 9, False),
        (1, 10, 10, False),
        (2, 11, 11, False),
    ]
    centered = [rows - rows.mean(axis=(1, 2, 3), keepdims=True) for rows in weights]
    z = [rows / rows.std(axis=(1, 2, 3), ddof=1, keepdims=True) for rows in centered]
    for number in (1, 2):
        record = run.windows[number]["1"]
        np.testing.assert_array_equal(record.weight, weights[number].astype(np.float32))
        np.testing.assert_allclose(record.path, np.abs(weights[number] - weights[number - 1]), rtol=1e-6)
        np.testing.assert_allclose(record.zpath, np.abs(z[number] - z[number - 1]), rtol=1e-5)
        flipped = (centered[number] < 0) != (centered[number - 1] < 0)
        np.testing.assert_array_equal(record.flips, flipped)
        np.testing.assert_array_equal(record.last_flip, np.where(flipped, 9 + number, -1))
        assert flipped.any()
        assert record.summary.tau == pytest.approx(0.8 + 0.01 * (9 + number))
        assert np.isnan(record.summary.lr)
    assert run.metrics["epoch"].tolist() == [9, 10, 11]
    assert run.header.layers[0].adapter == "recu"
    assert not leftovers(tmp_path)


def test_tables_work_on_an_imported_run_and_say_sampled(series, tmp_path):
    folder, _ = series
    import_checkpoints([folder], tmp_path / "run")
    run = ra.open_run(tmp_path / "run")
    table = ra.layer_table(run)
    assert not table["exact"].any()
    assert table["epoch"].tolist() == [9.0, 10.0, 11.0]
    assert table["mobility"].notna().tolist() == [False, True, True]
    assert not ra.dead_weights(run)["exact"].any()
    assert run.configuration == {
        "imported": ["epoch9.pth.tar", "epoch10.pth.tar", "epoch11.pth.tar"],
        "update_numbers": "epoch",
    }


def test_one_checkpoint_is_a_state_without_movement(series, tmp_path):
    folder, weights = series
    import_checkpoints([folder / "epoch10.pth.tar"], tmp_path / "run")
    run = ra.open_run(tmp_path / "run")
    assert len(ra.layer_table(run)) == len(ra.fit_table(run)) == 1
    np.testing.assert_array_equal(run.windows[0]["1"].weight, weights[1].astype(np.float32))
    with pytest.raises(LookupError, match=r"one checkpoint.*two or more"):
        ra.dead_weights(run)


def test_order_is_natural_and_the_files_numbers_go_first(tmp_path):
    for name, epoch in (("b10.pt", 1), ("b9.pt", 2)):
        save(tmp_path / name, network(epoch), epoch=epoch)
    files = [str(tmp_path / "b*.pt")]
    assert [path.name for path in checkpoint_files(files)] == ["b9.pt", "b10.pt"]
    assert import_checkpoints(files, tmp_path / "run").configuration["imported"] == ["b10.pt", "b9.pt"]
    assert sorted(map(Path, ["e2/w1", "e10/w1", "e2/w10", "e2/w9"]), key=natural) == [
        *map(Path, ["e2/w1", "e2/w9", "e2/w10", "e10/w1"])
    ]


@pytest.mark.parametrize(
    ("entries", "numbers", "kind"),
    [
        ([{"epoch": 1, "global_step": 100}, {"epoch": 2, "global_step": 250}], [100, 250], "global_step"),
        ([{"epoch": 1, "global_step": 100}, {"epoch": 2}], [1, 2], "epoch"),
        ([{"epoch": torch.tensor(3)}, {"epoch": 4.0}], [3, 4], "epoch"),
        ([{}, {"epoch": 7}], [1, 2], POSITIONS),
        ([{"epoch": 7}, {"epoch": 7}], [1, 2], POSITIONS),
        ([{"epoch": -1}, {"epoch": 10**12}], [1, 2], POSITIONS),
    ],
)
def test_what_numbers_the_windows(tmp_path, entries, numbers, kind):
    for at, own in enumerate(entries):
        save(tmp_path / f"c{at}.pth", network(at), **own)
    made = import_checkpoints([tmp_path], tmp_path / "run")
    assert made.configuration["update_numbers"] == kind
    assert [window.last_update for window in open_run(tmp_path / "run").windows] == numbers


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".pth.tar", ".th", ".ckpt"])
def test_all_suffixes_are_read_in_a_folder(tmp_path, suffix):
    save(tmp_path / f"a{suffix}", network())
    assert len(import_checkpoints([tmp_path], tmp_path / "run").layers) == 1


def test_safetensors_are_read_with_their_numbers(tmp_path):
    for step in (20, 100):
        tensors = {name: value.contiguous() for name, value in network(step).state_dict().items()}
        save_file(tensors, tmp_path / f"step{step}.safetensors", metadata={"global_step": str(step)})
    made = import_checkpoints([tmp_path], tmp_path / "run")
    assert made.configuration["update_numbers"] == "global_step"
    assert [window.last_update for window in open_run(tmp_path / "run").windows] == [20, 100]


@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "module._orig_mod.", "model.", "model._orig_mod."])
@pytest.mark.parametrize("container", ["state_dict", "model", None])
def test_containers_and_prefixes(tmp_path, prefix, container):
    state = {prefix + name: value for name, value in network().state_dict().items()}
    torch.save({container: state, "epoch": 1} if container else state, tmp_path / "a.pth")
    assert list(read_state(tmp_path / "a.pth").tensors) == list(network().state_dict())


def test_a_name_beside_the_state_is_not_a_container(tmp_path):
    torch.save({"state_dict": network().state_dict(), "model": "resnet20_1w1a"}, tmp_path / "a.pth")
    assert "1.alpha" in read_state(tmp_path / "a.pth").tensors


@pytest.mark.parametrize("codebase", ["recu", "rbnn", "bnext-warm", "rbonn", "ovsw"])
def test_layers_are_known_by_the_tensors_beside_them(tmp_path, codebase):
    torch.manual_seed(0)
    layer = codebases.LAYERS[codebase][1]()
    save(tmp_path / "a.pth", nn.Sequential(nn.Conv2d(1, 2, 3), layer))
    import_checkpoints([tmp_path / "a.pth"], tmp_path / "run")
    run = open_run(tmp_path / "run")
    (spec,) = run.header.layers
    assert spec.adapter.startswith(codebases.LAYERS[codebase][0])
    (live,) = binary_layers(layer)
    assert spec.transform == live.transform
    expected = live.weight if live.effective is None else live.effective()
    np.testing.assert_allclose(run.windows[0]["1"].operand, expected.detach().float().numpy(), rtol=1e-6)


def test_flat_weights_take_their_channels_from_the_normalization_behind_them(tmp_path):
    block = nn.Module()
    block.binary_conv, block.bn1 = codebases.bi_real(), nn.BatchNorm2d(4)
    save(tmp_path / "a.pth", block)
    import_checkpoints([tmp_path / "a.pth"], tmp_path / "run")
    (spec,) = open_run(tmp_path / "run").header.layers
    assert (spec.name, spec.shape, spec.adapter) == ("binary_conv", (4, 18), "bi-real-flat")
    del block.bn1
    save(tmp_path / "b.pth", block)
    with pytest.raises(InputError, match=r"72 weights.*output channels"):
        import_checkpoints([tmp_path / "b.pth"], tmp_path / "other")


def test_named_layers_take_the_plain_sign_or_what_they_are_said_to_be(tmp_path):
    model = nn.Sequential(nn.Conv2d(1, 2, 3), codebases.ir_net(), codebases.BinConv2d())
    save(tmp_path / "a.th", model)
    import_checkpoints([tmp_path / "a.th"], tmp_path / "plain", layers=["1"])
    assert open_run(tmp_path / "plain").header.layers[0].adapter == "sign"
    import_checkpoints([tmp_path / "a.th"], tmp_path / "ir", layers=["1"], adapter="ir-net")
    (spec,) = open_run(tmp_path / "ir").header.layers
    assert (spec.adapter, spec.center) == ("ir-net", True)
    import_checkpoints([tmp_path / "a.th"], tmp_path / "xnor", layers=["2.conv"], adapter="xnor-net")
    weight = model[2].conv.weight.detach()
    np.testing.assert_allclose(
        open_run(tmp_path / "xnor").windows[0]["2.conv"].effective,
        (weight - weight.mean(1, keepdim=True)).numpy(),
        atol=1e-7,
    )


def test_what_cannot_be_named(tmp_path):
    save(tmp_path / "a.pth", nn.Sequential(nn.Conv2d(1, 2, 3), nn.Linear(4, 2)))
    cases = [
        (
            {},
            NoBinaryLayersError,
            r"a\.pth.*0 \(2x1x3x3\), 1 \(2x4\)",
        ),
        ({"layers": ["x*"]}, InputError, r"a\.pth.*'x\*'.*0 \(2x1x3x3\), 1 \(2x4\)"),
        (
            {"layers": ["0"], "adapter": "none"},
            InputError,
            "'none'.*bi-real-flat, binarize, bitnet, ",
        ),
        (
            {"layers": ["0"], "adapter": "rbnn"},
            InputError,
            "weight, bias.*adapter 'rbnn'",
        ),
        ({"layers": ["0"], "adapter": "recu-analysis"}, InputError, "adapter 'recu-analysis'"),
        ({"adapter": "ir-net"}, InputError, "adapter 'ir-net' .*named layers"),
    ]
    for options, kind, text in cases:
        with pytest.raises(kind, match=text):
            import_checkpoints([tmp_path / "a.pth"], tmp_path / "run", **options)
        assert not (tmp_path / "run").exists()
    with pytest.raises(InputError, match="no checkpoint is given; give the files"):
        import_checkpoints([], tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_what_has_no_layer_says_what_it_has(tmp_path):
    torch.save({"kernel": torch.ones(4, 2, 3, 3), "bias": torch.ones(4)}, tmp_path / "a.pt")
    for options in ({}, {"layers": ["kernel"]}):
        with pytest.raises(NoBinaryLayersError, match=r"a\.pt.*tensors \(kernel, bias\)"):
            import_checkpoints([tmp_path / "a.pt"], tmp_path / "run", **options)
        assert not (tmp_path / "run").exists()


def test_binarised_and_packed_weights_are_refused(tmp_path):
    model = network()
    model[1].weight.data.sign_()
    save(tmp_path / "binary.pth", model)
    with pytest.raises(InputError, match=r"layer '1' of .*binary.pth.*two values"):
        import_checkpoints([tmp_path / "binary.pth"], tmp_path / "run")
    torch.save({f"q.{name}": value for name, value in codebases.packed().state_dict().items()}, tmp_path / "packed.pth")
    with pytest.raises(InputError, match=r"layer 'q'.*ternary.*packed"):
        import_checkpoints([tmp_path / "packed.pth"], tmp_path / "run")


@pytest.fixture
def stepped(monkeypatch):
    """An adapter of saved layers with a learned step of 2 bits."""
    monkeypatch.setattr(registry, "_registered", [*registry._registered])

    @ra.adapter("stepped-here", "SteppedHere")
    def stepped(saved):
        return ra.Quantizer("uniform", -2, 1, group="tensor", step=saved.step)

    return "stepped-here"


def states_of(kind, weight, step):
    """The states of each weight by a plain loop, in float32."""
    if kind == "stepped-here":
        return [min(max(round(float(w / step)), -2), 1) for w in weight.reshape(-1)]
    one_over = np.float32(1) / weight.abs().mean()
    return [min(max(round(float(w * one_over)), -1), 1) for w in weight.reshape(-1)]


@pytest.mark.parametrize("adapter", ["bitnet-ternary", "bitnet-b158", "stepped-here"])
def test_more_than_two_levels_are_imported(tmp_path, stepped, adapter):
    torch.manual_seed(0)
    layers = [(torch.randn(8, 12), torch.tensor(0.5 + 0.2 * at)) for at in range(5)]
    for at, (weight, step) in enumerate(layers):
        state = {"lin.weight": weight, "lin.step": step}
        torch.save({"state_dict": state, "global_step": 10 * at}, tmp_path / f"{at}.pt")
    import_checkpoints([tmp_path], tmp_path / "run", layers=["lin"], adapter=adapter)
    run = open_run(tmp_path / "run")
    expected = [np.array(states_of(adapter, *layer)) for layer in layers]
    direction, reversals = np.zeros(96, int), np.zeros(96, int)
    for number, window in enumerate(run.windows):
        record = window["lin"]
        np.testing.assert_array_equal(record.states.reshape(-1), expected[number])
        if number:
            turn = np.sign(expected[number] - expected[number - 1])
            reversals += turn * direction < 0
            direction = np.where(turn, turn, direction)
            np.testing.assert_array_equal(record.flips.reshape(-1), turn != 0)
            pairs = list(zip(expected[number - 1], expected[number], strict=True))
            low, count = record.spec.quantizer.low, record.spec.quantizer.count
            for before, after in np.ndindex(count, count):
                assert record.transitions[before, after] == pairs.count((before + low, after + low))
    merged_over = merged(run.windows[1:], "lin")
    np.testing.assert_array_equal(merged_over.reversals.reshape(-1), reversals)
    assert reversals.any()
    thinned = ra.thin(run, windows=[0, 2, 4], output=tmp_path / "thin")
    for each in (run, thinned):
        assert set(ra.verify(each)["verdict"]) == {"whole"}
    table = ra.levels(run)
    assert not table["exact"].any()
    assert table["flip_ratio_threshold"].isna().all()  # not known between checkpoints
    assert table["zeros"].tolist() == [float(np.mean(each == 0)) for each in expected[1:]]


def test_weights_that_were_quantized_before_are_refused(tmp_path):
    torch.save({"lin.weight": torch.randn(4, 6).sign() * (torch.rand(4, 6) > 0.3) * 0.02}, tmp_path / "a.pt")
    with pytest.raises(InputError, match=r"layer 'lin' of .*a\.pt cannot be imported: .*already quantized"):
        import_checkpoints([tmp_path / "a.pt"], tmp_path / "run", layers=["lin"], adapter="bitnet-b158")
    assert not (tmp_path / "run").exists()


def test_a_learned_step_that_is_not_positive_is_refused(tmp_path, stepped):
    torch.save({"lin.weight": torch.randn(4, 6), "lin.step": torch.tensor(-0.1)}, tmp_path / "a.pt")
    with pytest.raises(InputError, match=r"layer 'lin' of .*a\.pt cannot be imported: the step .*positive"):
        import_checkpoints([tmp_path / "a.pt"], tmp_path / "run", layers=["lin"], adapter=stepped)


def test_checkpoints_of_two_models_are_refused(tmp_path):
    save(tmp_path / "a1.pth", network())
    for name, other, text in (
        (
            "a2.pth",
            nn.Sequential(nn.Conv2d(1, 2, 3), codebases.recu(8)),
            r"layer '1'.*4x2x3x3 \(float32, recu\).*a1.pth.*8x2x3x3",
        ),
        ("a3.pth", nn.Sequential(codebases.recu()), r"a1.pth.*layer '1'.*a3.pth"),
    ):
        save(tmp_path / name, other)
        with pytest.raises(InputError, match=text):
            import_checkpoints([tmp_path / "a1.pth", tmp_path / name], tmp_path / "run")
    assert not (tmp_path / "run").exists()
    assert not leftovers(tmp_path)


class Evil:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def test_code_in_a_file_runs_only_where_it_was_asked_for(tmp_path):
    trace = tmp_path / "trace"
    save(tmp_path / "a.pth", network(), extra=Evil(trace))
    with pytest.raises(CheckpointError, match=r"--unsafe-load \(unsafe_load=True\)$"):
        import_checkpoints([tmp_path / "a.pth"], tmp_path / "run")
    assert not trace.exists()
    assert not (tmp_path / "run").exists()
    import_checkpoints([tmp_path / "a.pth"], tmp_path / "run", unsafe_load=True)
    assert trace.exists()


def test_a_pickled_model_is_read_where_pickles_are_trusted(tmp_path):
    torch.save({"model": nn.Sequential(nn.Conv2d(1, 2, 3)), "epoch": 3}, tmp_path / "a.pth")
    import_checkpoints([tmp_path / "a.pth"], tmp_path / "run", layers=["0"], unsafe_load=True)
    assert open_run(tmp_path / "run").windows[0].last_update == 3


@pytest.mark.parametrize("unsafe", [False, True])
def test_what_is_no_checkpoint_is_one_sentence(tmp_path, unsafe):
    (tmp_path / "cut.pth").write_bytes(b"PK\x03\x04 not all of it")
    (tmp_path / "a.safetensors").write_bytes(b"\xff" * 40)
    torch.save([1, 2], tmp_path / "list.pth")
    (tmp_path / "p.pth").write_bytes(pickle.dumps({"a": 1}))
    (tmp_path / "empty").mkdir()
    for name in ("cut.pth", "a.safetensors", "list.pth", "p.pth", "missing.pth", "empty", "no*.pth"):
        with pytest.raises(CheckpointError) as caught:
            import_checkpoints([tmp_path / name], tmp_path / "run", unsafe_load=unsafe)
        assert "\n" not in str(caught.value)
        assert re.search(
            r"cannot be read|no named tensors|does not exist|no checkpoint|no file matches", str(caught.value)
        )
    assert not (tmp_path / "run").exists()


def test_an_occupied_folder_is_refused_before_anything_is_read(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine.txt").write_text("mine")
    with pytest.raises(RunExistsError, match=r"run exists.*not empty"):
        import_checkpoints([tmp_path / "missing.pth"], tmp_path / "run")
    with pytest.raises(RunExistsError, match="is a file"):
        import_checkpoints([tmp_path / "missing.pth"], tmp_path / "run" / "mine.txt")


def test_nothing_is_left_where_the_writing_fails(series, tmp_path, monkeypatch):
    from recu_analysis.store import shard_file

    real = shard_file.save_file

    def full(tensors, file, metadata):
        if '"window":2' in metadata["header"]:
            raise OSError(28, "No space left on device")
        real(tensors, file, metadata=metadata)

    monkeypatch.setattr(shard_file, "save_file", full)
    with pytest.raises(StoreError, match="No space left on device"):
        import_checkpoints([series[0]], tmp_path / "deep" / "run")
    assert not (tmp_path / "deep").exists()
    assert not leftovers(tmp_path)


def test_missing_parents_are_made_and_an_empty_folder_is_used(series, tmp_path):
    import_checkpoints([series[0]], tmp_path / "a" / "b" / "run")
    (tmp_path / "ready").mkdir()
    import_checkpoints([series[0]], tmp_path / "ready")
    for path in ("a/b/run", "ready"):
        assert len(open_run(tmp_path / path).windows) == 3
