"""recu-analyze import, and the other commands on what it made."""

import json

import pytest
import torch
from click.testing import CliRunner
from torch import nn

from recu_analysis.cli import cli
from recu_analysis.nn import BinaryConv2d


def run(*arguments):
    return CliRunner().invoke(cli, [str(each) for each in arguments], catch_exceptions=False)


def save(path, epoch, **entries):
    torch.manual_seed(epoch)
    model = nn.Sequential(nn.Conv2d(1, 4, 3), BinaryConv2d(4, 8, 3), BinaryConv2d(8, 8, 3))
    torch.save({"state_dict": model.state_dict(), "epoch": epoch} | entries, path)


@pytest.fixture(scope="module")
def imported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("import")
    for epoch in (2, 10, 11):
        save(folder / f"epoch{epoch}.pth", epoch)
    return folder / "run", run("import", folder / "epoch*.pth", "--run-dir", folder / "run")


def test_it_says_what_it_made_and_what_is_missing_in_it(imported):
    path, result = imported
    assert result.exit_code == 0
    assert result.stdout == ""
    assert result.stderr.splitlines() == [
        f"3 checkpoints of 2 binary layers are in {path}",
        "first and last: epoch2.pth, epoch11.pth; their update numbers are the files' epochs",
        "sampled: movement between two checkpoints is net, and a weight that flipped twice looks silent; next: "
        f"recu-analyze dead-weights {path}",
    ]


@pytest.mark.parametrize(
    ("command", "text"),
    [
        ("info", "sampled from checkpoints"),
        ("dead-weights", "sampled from checkpoints: flips between them are unseen"),
        ("updates", "sampled from checkpoints: movement is net"),
        ("flips", "Sampled from checkpoints: flips between them are unseen."),
        ("claims", "cannot tell"),
    ],
)
def test_every_command_works_on_it_and_says_sampled(imported, command, text):
    result = run(command, imported[0])
    assert result.exit_code == 0
    assert text in result.stdout
    assert "nan" not in result.stdout


def test_the_learning_rates_are_not_known(imported):
    assert "T, which sums learning rates, is not known here" in run("dead-weights", imported[0]).stdout
    assert json.loads(run("dead-weights", imported[0], "--format", "json").stdout)[0]["decay_time"] is None


def test_figures_say_sampled_and_leave_out_what_was_not_logged(imported, tmp_path):
    result = run("figures", imported[0], "--only", "magnitude", "-o", tmp_path)
    assert result.exit_code == 0
    caption = (tmp_path / "magnitude.tex").read_text()
    assert "Sampled from checkpoints, between which movement is net and flips are missed: run." in caption
    assert run("figures", imported[0], "--only", "fig5", "-o", tmp_path).exit_code == 1


def test_figures_without_names_go_on_past_those_that_cannot_be_drawn(imported, tmp_path, monkeypatch):
    from recu_analysis import figures

    some = {name: figures.FIGURES[name] for name in ("fig5", "fig2", "lockin")}
    monkeypatch.setattr(figures, "FIGURES", some)
    result = run("figures", imported[0], "-o", tmp_path)
    assert result.exit_code == 0
    assert "Warning: the figure fig5 is left out: run run logged no train_top1" in result.stderr
    assert "Warning: the figure fig2 is left out: no layer of" in result.stderr
    assert (tmp_path / "lockin.pdf").exists()


def test_one_checkpoint_shows_states_only(tmp_path):
    save(tmp_path / "a.pth", 3)
    result = run("import", tmp_path / "a.pth", "--run-dir", tmp_path / "run")
    assert result.stderr.splitlines() == [
        f"1 checkpoint of 2 binary layers is in {tmp_path / 'run'}",
        f"one state shows no movement; next: recu-analyze fit {tmp_path / 'run'}",
    ]
    assert run("fit", tmp_path / "run").exit_code == 0
    assert "T                              not known" in run("info", tmp_path / "run").stdout
    refused = run("dead-weights", tmp_path / "run")
    assert refused.exit_code == 1
    said = "was imported from one checkpoint, which shows no movement; import several for that"
    assert refused.stderr == f"Error: {tmp_path / 'run'} {said}\n"


def test_positions_are_said_to_be_positions(tmp_path):
    for name in ("a", "b"):
        save(tmp_path / f"{name}.pth", 3)
    result = run("import", tmp_path, "--run-dir", tmp_path / "run")
    assert "a.pth, b.pth; their update numbers are the files' positions in that order" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["missing.pth", "--run-dir", "run"], 1, "Error: missing.pth does not exist\n"),
        (["a.pth"], 2, "Missing option"),
        (["--run-dir", "run"], 2, "Missing argument"),
        (["a.pth", "--run-dir", "run", "--adapter", "ir-net"], 2, "give --layer too"),
        (
            ["a.pth", "--run-dir", "run", "--layer", "x"],
            1,
            "Error: no layer of a.pth matches 'x'; it has 0 (4x1x3x3), ",
        ),
    ],
)
def test_wrong_input_is_one_sentence(tmp_path, monkeypatch, arguments, code, text):
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "a.pth", 3)
    result = run("import", *arguments)
    assert result.exit_code == code
    assert text in result.stderr
    assert not (tmp_path / "run").exists()


def test_the_help_names_the_danger():
    text = " ".join(run("import", "--help").stdout.replace("│", " ").split())
    assert "DANGER: this runs whatever code it contains, as you." in text
