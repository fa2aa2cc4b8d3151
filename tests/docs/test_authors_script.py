"""The lines that docs/howto/authors-script.md gives, put where it says into a script of the same structure."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import recu_analysis as ra
from tests.docs.pages import PAGES, ROOT, blocks

PAGE = "howto/authors-script.md"
SCRIPT = Path(__file__).with_name("training_script.py")
#: What the page says of the places, and the line of the script above which each of its lines belongs.
PLACES = {
    "With the other imports": "import torch",
    "Directly before the loop over epochs": "    for epoch in range(",
    "In the loop, directly after the call of `validate`": "        saved = {",
    "After the loop": "    print(",
}


def patched():
    """The script with the lines of the page."""
    lines = [block.code for block in blocks("python") if block.page == PAGE]
    text = SCRIPT.read_text(encoding="utf-8")
    for (place, below), line in zip(PLACES.items(), lines, strict=True):
        assert f"{place}:\n\n<!--" in PAGES[PAGE]
        assert text.count(f"\n{below}") == 1
        indent = below[: len(below) - len(below.lstrip())]
        text = text.replace(f"\n{below}", f"\n{indent}{line}{below}")
    return text


def run_script(text, folder, *options):
    (folder / "script.py").write_text(text, encoding="utf-8")
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "script.py", *options]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return torch.load(folder / "results" / "checkpoint.pth.tar", weights_only=True)["state_dict"]


@pytest.mark.extras
def test_the_script_records_and_trains_as_before(tmp_path):
    folders = [tmp_path / "plain", tmp_path / "recorded"]
    for folder in folders:
        folder.mkdir()
    plain = run_script(SCRIPT.read_text(encoding="utf-8"), folders[0])
    recorded = run_script(patched(), folders[1])
    assert all(torch.equal(plain[name], recorded[name]) for name in plain)
    run = ra.open_run(folders[1] / "results" / "latent")
    assert run.layer_names == ["layer1.0", "layer1.1"]
    assert [window.updates for window in run.windows] == [0, 4, 4, 4]
    assert run.header.layers[0].verified
    assert run.metrics["epoch"].tolist() == [0, 1, 2]
    taus = [window["layer1.0"].summary.tau for window in run.windows[1:]]
    assert taus[0] == pytest.approx(0.85)
    assert sorted(taus) == taus
    np.testing.assert_array_equal(run.windows[3]["layer1.1"].weight, recorded["layer1.1.weight"].numpy())


@pytest.mark.extras
def test_a_script_that_resumes_goes_on_with_the_run(tmp_path):
    (option,) = [word for word in PAGES[PAGE].split("`") if word.startswith("resume=")]
    assert option == "resume=(args.start_epoch + 1) * len(train_loader)"
    resuming = patched().replace('/latent")', f'/latent", {option})')
    assert option in resuming
    run_script(patched(), tmp_path)
    run_script(resuming, tmp_path, "--resume", "--epochs", "5")
    run = ra.open_run(tmp_path / "results" / "latent")
    assert [window.updates for window in run.windows] == [0, 4, 4, 4, 4, 4]
    assert run.metrics["epoch"].tolist() == [0, 1, 2, 3, 4]
