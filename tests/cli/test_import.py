"""recu-analyze import, and the other commands on what it made."""

import json

import pytest
import torch
from torch import nn

from recu_analysis.nn import BinaryConv2d
from tests.cli_runner import refusal, run_cli, wrong_usage
from tests.messages import says


def save(path, epoch, **entries):
    torch.manual_seed(epoch)
    model = nn.Sequential(nn.Conv2d(1, 4, 3), BinaryConv2d(4, 8, 3), BinaryConv2d(8, 8, 3))
    torch.save({"state_dict": model.state_dict(), "epoch": epoch} | entries, path)


@pytest.fixture(scope="module")
def imported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("import")
    for epoch in (2, 10, 11):
        save(folder / f"epoch{epoch}.pth", epoch)
    return folder / "run", run_cli("import", folder / "epoch*.pth", "--run-dir", folder / "run")


def test_it_says_what_it_made_and_what_is_missing_in_it(imported):
    path, done = imported
    assert done.exit_code == 0
    assert done.stdout == ""
    made, order, missing = done.stderr.splitlines()
    says(made, "3 checkpoints", "2 binary layers", path)
    says(order, "epoch2.pth (2), ", "epoch11.pth (11)", "epochs")
    says(missing, "sampled", "net", "twice", f"recu-analyze dead-weights {path}")


@pytest.mark.parametrize(
    ("command", "facts"),
    [
        ("info", ["sampled from checkpoints"]),
        ("dead-weights", ["sampled from checkpoints", "flips", "between checkpoints"]),
        ("updates", ["sampled from checkpoints", "net"]),
        ("flips", ["sampled from checkpoints", "flips"]),
        ("claims", ["cannot tell"]),
    ],
)
def test_every_command_works_on_it_and_says_sampled(imported, command, facts):
    done = run_cli(command, imported[0])
    assert done.exit_code == 0
    says(" ".join(done.stdout.split()), *facts)
    assert "nan" not in done.stdout


def test_the_learning_rates_are_not_known(imported):
    (said,) = [line for line in run_cli("dead-weights", imported[0]).stdout.splitlines() if line.startswith("T ")]
    says(said, "learning rates", "not known")
    assert json.loads(run_cli("dead-weights", imported[0], "--format", "json").stdout)[0]["decay_time"] is None


def test_figures_say_sampled_and_leave_out_what_was_not_logged(imported, tmp_path):
    done = run_cli("figures", imported[0], "--only", "magnitude", "-o", tmp_path)
    assert done.exit_code == 0
    caption = (tmp_path / "magnitude.tex").read_text()
    says(caption, "Sampled from checkpoints", "net", ": run.")
    assert run_cli("figures", imported[0], "--only", "fig5", "-o", tmp_path).exit_code == 1


def test_figures_without_names_go_on_past_those_that_cannot_be_drawn(imported, tmp_path, monkeypatch):
    from recu_analysis.figures import registry

    some = {name: registry.FIGURES[name] for name in ("fig5", "mask", "fig2", "lockin")}
    monkeypatch.setattr(registry, "FIGURES", some)
    done = run_cli("figures", imported[0], "-o", tmp_path)
    assert done.exit_code == 0
    first, second = [line for line in done.stderr.splitlines() if line.startswith("Warning: ")]
    says(first, "fig5 is left out", "run run", "val_top1")
    says(second, "mask is left out", "gradients")
    assert (tmp_path / "lockin.pdf").exists()
    says((tmp_path / "fig2.tex").read_text(), "Layer: 2, in the middle of the binary layers")


def test_one_checkpoint_shows_states_only(tmp_path):
    save(tmp_path / "a.pth", 3)
    done = run_cli("import", tmp_path / "a.pth", "--run-dir", tmp_path / "run")
    made, following = done.stderr.splitlines()
    says(made, "1 checkpoint ", "2 binary layers", tmp_path / "run")
    says(following, "no movement", f"recu-analyze fit {tmp_path / 'run'}")
    assert run_cli("fit", tmp_path / "run").exit_code == 0
    (decay_time,) = [line for line in run_cli("info", tmp_path / "run").stdout.splitlines() if line.startswith("T ")]
    assert decay_time.split()[1:] == ["not", "known"]
    says(refusal("dead-weights", tmp_path / "run"), tmp_path / "run", "one checkpoint", "import two or more")


def test_ternary_checkpoints_lead_to_the_table_of_their_states(tmp_path):
    for epoch in (1, 2):
        save(tmp_path / f"{epoch}.pth", epoch)
    options = ["--run-dir", tmp_path / "run", "--layer", "[12]", "--adapter", "bitnet-b158"]
    made, _, sampled = run_cli("import", tmp_path, *options).stderr.splitlines()
    says(made, "2 checkpoints", "2 quantized layers", tmp_path / "run")
    says(sampled, "sampled", f"recu-analyze levels {tmp_path / 'run'}")
    says(run_cli("levels", tmp_path / "run").stdout, "sampled from checkpoints")


def test_positions_are_said_to_be_positions(tmp_path):
    for name, seed in (("a", 3), ("b", 4)):
        save(tmp_path / f"{name}.pth", seed)
        torch.save(torch.load(tmp_path / f"{name}.pth")["state_dict"], tmp_path / f"{name}.pth")
    done = run_cli("import", tmp_path, "--run-dir", tmp_path / "run")
    says(done.stderr, "a.pth (1), b.pth (2)", "positions")


@pytest.mark.parametrize(
    ("ask", "arguments", "facts"),
    [
        (refusal, ["missing.pth", "--run-dir", "run"], ["missing.pth", "does not exist"]),
        (wrong_usage, ["a.pth"], ["Missing option", "--run-dir"]),
        (wrong_usage, ["--run-dir", "run"], ["Missing argument"]),
        (wrong_usage, ["a.pth", "--run-dir", "run", "--adapter", "ir-net"], ["--adapter", "--layer"]),
        (refusal, ["a.pth", "--run-dir", "run", "--layer", "x"], ["a.pth", "'x'", "0 (4x1x3x3)"]),
    ],
)
def test_wrong_input_is_one_sentence(tmp_path, monkeypatch, ask, arguments, facts):
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "a.pth", 3)
    says(ask("import", *arguments), *facts)
    assert not (tmp_path / "run").exists()


def test_the_help_names_the_danger():
    text = " ".join(run_cli("import", "--help").stdout.replace("│", " ").split())
    says(text, "--unsafe-load", "DANGER: this runs whatever code it contains")
