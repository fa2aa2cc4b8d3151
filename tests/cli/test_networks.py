"""The commands layers and evaluate as a user types them."""

import json
from types import SimpleNamespace

import pytest
import torch
from click.testing import CliRunner

from recu_analysis.cli import cli
from recu_analysis.interop.official import save_official
from recu_analysis.nn import build_network
from recu_analysis.training import checkpoint
from recu_analysis.training.config import TrainingConfig


def run_cli(*arguments):
    """The outcome of a command line, in this process: torch is loaded once for all."""
    return CliRunner(env={"COLUMNS": "80"}).invoke(cli, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run's checkpoint and files of the authors, all of untrained networks, and files that are none."""
    path = tmp_path_factory.mktemp("checkpoints")
    torch.manual_seed(0)
    model = build_network("resnet20")
    (path / "run").mkdir()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    checkpoint.save(path / "run", model, optimizer, checkpoint.TrainingPosition(0, 0, TrainingConfig()))
    save_official(path / "model_best.pth.tar", model, epoch=7, name="resnet20_1w1a", best_top1=12.5)
    nan = build_network("resnet20")
    with torch.no_grad():
        nan.layer1[0].conv1.weight.fill_(torch.nan)
    save_official(path / "nan.pth.tar", nan, epoch=7, name="n", best_top1=1.0)
    tau = build_network("resnet20")
    tau.layer1[0].conv1.tau.fill_(torch.nan)
    save_official(path / "tau.pth.tar", tau, epoch=7, name="n", best_top1=1.0)
    negative = build_network("resnet20")
    negative.bn1.running_var.mul_(-1)
    save_official(path / "negative.pth.tar", negative, epoch=7, name="n", best_top1=1.0)
    sparse = build_network("resnet20").state_dict()
    torch.save({"state_dict": sparse | {"linear.weight": sparse["linear.weight"].to_sparse()}}, path / "sparse.pth.tar")
    torch.save({"state_dict": {"a": torch.ones(2)}}, path / "a.pth")
    save_official(path / "three.pth.tar", build_network("resnet20", 3), epoch=7, name="n", best_top1=1.0)
    save_official(path / "vgg.pth.tar", build_network("vgg_small"), epoch=7, name="n", best_top1=1.0)
    torch.save({"weights": 3}, path / "other.pth")
    (path / "text.pth").write_text("no checkpoint")
    return path


def test_layers_of_a_network_by_name_fit_80_columns():
    done = run_cli("layers", "reactnet18")
    assert done.exit_code == 0
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0].split() == ["name", "shape", "weight", "binary", "why"]
    assert lines[1].split() == ["conv", "64x3x7x7", "9408", "no", "first", "convolution", "stays", "real"]
    assert sum(" yes " in line for line in lines) == 16
    assert lines[-1] == "16 of 21 layers are binary: 10985472 of 11172032 weights, 98.3 %"


def test_layers_of_a_checkpoint_and_what_it_says_of_itself(folder):
    done = run_cli("layers", folder / "model_best.pth.tar")
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0] == "network resnet20_1w1a, epoch 7, best top-1 12.50 %, tau 0.8500"
    assert lines[-1] == "18 of 20 layers are binary: 267264 of 268336 weights, 99.6 %"


def test_a_checkpoint_that_says_little_of_itself(tmp_path):
    torch.save({"state_dict": {"a.weight": torch.ones(2, 3), "a.tau": torch.ones(3)}}, tmp_path / "a.pth")
    done = run_cli("layers", tmp_path / "a.pth")
    assert done.exit_code == 0
    assert done.stdout.splitlines()[0] == "the checkpoint says nothing of itself"
    assert done.stdout.splitlines()[-1] == "0 of 1 layers are binary: 0 of 6 weights, 0.0 %"
    torch.save({"state_dict": {}}, tmp_path / "empty.pth")
    assert "empty.pth holds no tensors by name" in run_cli("layers", tmp_path / "empty.pth").stderr


def test_layers_of_checkpoints_of_other_kinds(folder, tmp_path):
    own = json.loads(run_cli("layers", folder / "run/checkpoints/last.safetensors", "--format", "json").stdout)
    assert own == json.loads(run_cli("layers", folder / "model_best.pth.tar", "--format", "json").stdout)
    flat = {"module.a.binary_conv.weights": torch.rand(36, 1), "module.a.bn1.weight": torch.rand(4)}
    torch.save({"model_state_dict": flat}, tmp_path / "flat.ckpt")
    (row,) = json.loads(run_cli("layers", tmp_path / "flat.ckpt", "--format", "json").stdout)
    assert (row["name"], row["shape"], row["binary"]) == ("a.binary_conv", "4x9", True)
    assert row["why"].startswith("layer of Bi-Real or ReActNet")


def test_layers_in_other_formats_are_a_row_each(folder, tmp_path):
    rows = json.loads(run_cli("layers", folder / "model_best.pth.tar", "--format", "json").stdout)
    assert len(rows) == 20
    assert rows[1] == {
        "name": "layer1.0.conv1",
        "shape": "16x16x3x3",
        "weights": 2304,
        "binary": True,
        "why": "layer of ReCU, by alpha and tau beside the weight: sign of w - mean of its channel; b* = 2 and clamp "
        "as published",
    }
    done = run_cli("layers", "resnet20", "--format", "csv", "-o", tmp_path / "layers.csv")
    assert (done.exit_code, done.stdout) == (0, "")
    assert (tmp_path / "layers.csv").read_text().startswith("name,shape,weights,binary,why\nconv1,16x3x3x3,432,False,")


def test_a_real_valued_twin_is_listed():
    done = run_cli("layers", "resnet20-real")
    assert done.exit_code == 0
    assert done.stdout.splitlines()[-1] == "0 of 20 layers are binary: 0 of 268336 weights, 0.0 %"


def test_a_run_and_a_file_of_the_same_network_score_the_same(folder):
    done = run_cli("evaluate", folder / "run")
    assert done.exit_code == 0
    assert done.stderr == ""
    first, second = done.stdout.splitlines()
    assert first == "resnet20 on 360 images of digits"
    file = folder / "model_best.pth.tar"
    official = run_cli("evaluate", file, "--network", "resnet20", "--dataset", "digits", "--format", "json")
    (row,) = json.loads(official.stdout)
    assert second == f"top-1 {row['top1']:.2f} %, top-5 {row['top5']:.2f} %, loss {row['loss']:.4f}"
    assert (row["network"], row["dataset"], row["images"]) == ("resnet20", "digits", 360)


def test_weights_that_are_nan_are_said_of_a_network_whose_signs_hide_them(folder):
    done = run_cli("evaluate", folder / "nan.pth.tar", "--network", "resnet20", "--dataset", "digits")
    assert done.exit_code == 0
    assert done.stderr.startswith("Warning: layer1.0.conv1.weight of ")
    assert done.stderr.count("\n") == 1


def test_outputs_that_are_nan_are_said_and_a_tau_that_is_nan_changes_none(folder):
    done = run_cli("evaluate", folder / "negative.pth.tar", "--network", "resnet20", "--dataset", "digits")
    assert (done.exit_code, done.stderr.count("\n")) == (0, 1)
    assert done.stderr.startswith("Warning: outputs of ")
    assert run_cli("evaluate", folder / "tau.pth.tar", "--network", "resnet20", "--dataset", "digits").stderr == ""


def test_tensors_that_are_not_listed_are_named(folder):
    done = run_cli("layers", folder / "sparse.pth.tar")
    assert done.stderr == (
        f"Warning: left out of {folder / 'sparse.pth.tar'}, as no ordinary tensors of real numbers: linear.weight\n"
    )
    assert done.stdout.splitlines()[-1].startswith("18 of 19 layers are binary")


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["evaluate", "nosuchrun"], 1, "nosuchrun does not exist"),
        (["layers", "a.pth"], 1, "a.pth holds no layer: none of its tensors is called weight and has two axes"),
        (["layers", "resnet2"], 1, "Error: no network is called 'resnet2'; did you mean resnet20 or resnet18?"),
        (["layers", "none.pth.tar"], 1, "Error: none.pth.tar does not exist"),
        (["layers", "other.pth"], 1, "Error: other.pth holds no tensors by name, neither itself nor in an entry"),
        (["layers", "run"], 1, "Error: run is a folder; name the file in it"),
        (["layers", "x" * 300], 1, "xxx cannot be read: File name too long"),
        (["evaluate", "x" * 300], 1, "xxx cannot be read: File name too long"),
        (["layers"], 2, "Missing argument 'NETWORK|CHECKPOINT'"),
        (["evaluate", "none.pth", "--network", "resnet20", "--dataset", "digits"], 1, "Error: none.pth does not exist"),
        (["evaluate", "text.pth", "--network", "resnet20", "--dataset", "digits"], 1, "Error: text.pth cannot be read"),
        (["evaluate", "model_best.pth.tar"], 2, "needs --network and --dataset"),
        (["evaluate", "model_best.pth.tar", "--network", "vgg_small", "--dataset", "digits"], 1, "not hold vgg_small:"),
        (["evaluate", "model_best.pth.tar", "--network", "resnet20", "--dataset", "x"], 1, "no data set is called 'x'"),
        (["evaluate", "three.pth.tar", "--network", "resnet20", "--dataset", "digits"], 1, "tells 3 classes apart"),
        (["evaluate", "vgg.pth.tar", "--network", "vgg_small", "--dataset", "digits"], 1, "(batch, 3, 32, 32), not"),
        (["evaluate", "."], 1, "Error: . holds no checkpoints/last.safetensors; name a run of recu-analyze train"),
        (["evaluate", "run", "--network", "resnet18"], 1, "Error: run is a run of resnet20, not of resnet18"),
    ],
)
def test_bad_input_is_one_sentence(folder, monkeypatch, arguments, code, text):
    monkeypatch.chdir(folder)
    done = run_cli(*arguments)
    assert done.exit_code == code
    assert text in done.stderr
    assert done.stdout == ""
    assert isinstance(done.exception, SystemExit)
    if code == 1:
        assert done.stderr.count("\n") == 1


def test_help_has_an_example_and_fits():
    for name in ("layers", "evaluate"):
        shown = run_cli(name, "--help").stdout
        assert "Example: recu-analyze" in shown
        assert max(map(len, shown.splitlines())) <= 80


def test_whoever_trusts_a_file_says_so(folder, tmp_path):
    file = tmp_path / "own.pth.tar"
    content = torch.load(folder / "model_best.pth.tar", weights_only=True)
    torch.save(content | {"arguments": SimpleNamespace(lr=0.1)}, file)
    for arguments in (["layers", file], ["evaluate", file, "--network", "resnet20", "--dataset", "digits"]):
        assert "repeat this with --unsafe-load" in run_cli(*arguments).stderr
        plain = [folder / "model_best.pth.tar" if each is file else each for each in arguments]
        trusted = run_cli(*arguments, "--unsafe-load")
        assert (trusted.exit_code, trusted.stdout) == (0, run_cli(*plain).stdout)
