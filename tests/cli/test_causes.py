"""recu-analyze causes as a user types it: the sentence, the tables, every format, and what it refuses."""

import json

import pytest
import torch

import recu_analysis as ra
from recu_analysis.nn.layers import BinaryLinear
from recu_analysis.nn.quantized import TernaryLinear
from recu_analysis.testing import synthetic_run
from tests.cli_runner import refusal, run_cli
from tests.editing import edit_run
from tests.messages import says


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    """Three seeds of an experiment."""
    folder, made = tmp_path_factory.mktemp("causes"), []
    for seed in range(3):
        made.append(synthetic_run(folder / f"run-{seed}", seed=10 * seed, gradient_stats=True).path)
        edit_run(made[-1], configuration={"network": "synthetic", "seed": seed})
    return made


def test_the_sentence_the_causes_and_rho_fit_80_columns(paths):
    done = run_cli("causes", paths[0], "--windows", "3:", terminal=80)
    assert done.exit_code == 0, done.stderr
    assert max(map(len, done.stdout.splitlines())) <= 80
    first = " ".join(done.stdout.split("\n\n")[0].split())
    says(first, "this one training", "epochs 0 to 1", "epochs 2 to 3", "noise cannot be told", "noise alone would give")
    assert "more than noise" not in first, "one training has no interval"
    says(done.stdout, "undet.", "all, halved", "all, core", "rho of all layers, by window", "inherited", "tail-flipped")
    says(
        " ".join(done.stdout.split()), "below about 13, read shares of weights", "21 % each with the thresholds halved"
    )


def test_seeds_are_one_experiment(paths):
    out = run_cli("causes", *paths, "--windows", "3:").stdout
    says(" ".join(out.split()), "these 3 trainings", "run-0, run-1, run-2: silent weights are chosen in", "over seeds")


def test_every_format_has_the_causes(paths, tmp_path):
    for name, facts in (
        ("t.csv", ["layer,group,cause,counted,weights,share", "out of reach"]),
        ("t.tex", [r"\toprule", "undetermined", "rho over all tested windows"]),
        ("t.md", ["| layer |", "noise alone", "rho over all tested windows"]),
        ("t.txt", ["undet.", "rho of all layers, by window"]),
    ):
        assert run_cli("causes", paths[0], "--windows", "3:", "-o", tmp_path / name).exit_code == 0
        says((tmp_path / name).read_text(), *facts)
    run_cli("causes", paths[0], "--windows", "3:", "--layer", "second", "-o", tmp_path / "t.json")
    rows = json.loads((tmp_path / "t.json").read_text())
    assert {row["layer"] for row in rows} == {"second", "all"}
    assert {row["group"] for row in rows} == {"tail-silent", "core-silent"}


def test_a_layer_may_be_called_all(tmp_path, synthetic):
    walks = dict(zip(("all", "second"), synthetic.history.values(), strict=True))
    path = synthetic_run(tmp_path / "run", walks, gradient_stats=True).path
    done = run_cli("causes", path, "--windows", "3:")
    assert done.exit_code == 0
    causes = done.stdout.split("rho of all layers")[0]
    weights = [int(line.split()[1]) for line in causes.splitlines() if line.startswith(("all  ", "second  "))]
    assert weights[0] + weights[1] == weights[2], causes


def test_it_says_which_rules_were_not_tried(tmp_path):
    model = torch.nn.Sequential(BinaryLinear(20, 20, bias=False))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4, weight_decay=0.1)
    with ra.record(model, optimizer, tmp_path, quantities=["gradient-stats"]) as recorder:
        for _ in range(2):
            model.zero_grad()
            model(torch.randn(4, 20)).square().mean().backward()
            optimizer.step()
            recorder.mark()
    text = " ".join(run_cli("causes", tmp_path, "--windows", "2").stdout.split())
    says(text, "was not tested, for the reason below", "opposed and held were not tried: they need", "SGD and AdamW")
    assert "noise alone holds" not in text
    assert "noise alone would give" not in text
    assert "nan" not in text


def test_weights_with_more_levels_have_causes_and_adamw_has_no_rho(tmp_path):
    torch.manual_seed(0)
    layer = TernaryLinear(20, 20, bias=False)
    optimizer = torch.optim.AdamW(layer.parameters(), lr=0.01, weight_decay=1.0)
    with ra.record(layer, optimizer, tmp_path, quantities=["gradient-stats"]) as recorder:
        for _ in range(2):
            for _ in range(20):
                layer.zero_grad()
                layer(torch.randn(4, 20)).square().mean().backward()
                optimizer.step()
            recorder.mark()
    text = " ".join(run_cli("causes", tmp_path, "--windows", "2").stdout.split())
    says(text, "noise alone would give", "for sign read state", "nearest threshold", "rho is not defined", "AdamW")
    assert "nan" not in text


def test_what_it_needs_is_said(paths, synthetic):
    says(refusal("causes", synthetic.path), "gradient-stats", "train --record gradient-stats")
    says(refusal("causes", paths[0], "--windows", "1"), "before 1:2", "test later windows")
    says(refusal("causes", paths[0], "--windows", "9:"), "none of the windows")
