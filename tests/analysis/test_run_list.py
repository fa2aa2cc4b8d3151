"""Lists of runs: what they say wins, and what is wrong in one is a sentence that names its entry."""

import re

import pytest

import recu_analysis as ra
from recu_analysis.analysis.arms import arms, seed_of
from recu_analysis.errors import InputError, RecuError
from recu_analysis.testing import random_walk, synthetic_run
from recu_analysis.theory.standardize import WeightTransform
from tests.editing import edit_run


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three runs of one network in a folder, none of which says how it was trained."""
    place = tmp_path_factory.mktemp("lists")
    for seed, name in enumerate("abc"):
        transform = WeightTransform(center=True, target=2.0, clamp=name != "c")
        walk = {"conv": random_walk((4, 6), 4, seed=seed)}
        edit_run(synthetic_run(place / "runs" / name, walk, transform=transform).path, configuration={})
    return place


def written(folder, text):
    path = folder / "runs.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_a_list_says_labels_arms_and_seeds(folder):
    text = """
    [[run]]
    folder = "runs/b"
    label = "ReCU, seed 1"
    arm = "ReCU"
    seed = 1
    [[run]]
    folder = "runs/a"
    arm = "ReCU"
    seed = 0
    [[run]]
    folder = "runs/c"
    """
    runs = ra.open_runs(written(folder, text))
    assert list(runs) == ["ReCU, seed 1", "a", "c"]
    assert [run.path for run in runs.values()] == [folder / "runs" / name for name in "bac"]
    assert [seed_of(run) for run in runs.values()] == [1, 0, None]
    assert [list(arm.runs) for arm in arms(runs)] == [["ReCU, seed 1", "a"], ["c"]]


def entry(folder="runs/a", **more):
    return "\n".join(["[[run]]", f'folder = "{folder}"', *(f"{key} = {value}" for key, value in more.items()), ""])


WRONG = {
    "": "PATH lists no runs; write [[run]] with folder",
    "run = 3": "PATH lists no runs; write",
    "run = [3]": "PATH, run 1 is not a table; write",
    "runs = []": "PATH: a list of runs has only [[run]] entries, not 'runs'",
    "[[run]": "PATH is not a list of runs, since it is not TOML: Expected ']]'",
    b"\xff": "PATH is not a list of runs: it is not UTF-8 text",
    f"run = {'[' * 5000}": "PATH is not a list of runs: its values are nested too deeply",
    "#" * (2**20 + 1): "PATH is larger than 1048576 bytes",
    "[[run]]": "PATH, run 1 has no folder; give the run directory",
    "[[run]]\nfolder = 3": "PATH, run 1: folder must be text, not 3",
    entry() + entry("runs/b", sed=1): "PATH, run 2: no key is called 'sed'; known are folder, label, arm, seed",
    entry(seed="true"): "PATH, run 1: seed must be a whole number, not True",
    entry(seed="1.0"): "PATH, run 1: seed must be a whole number, not 1.0",
    entry(arm="[1]"): "PATH, run 1: arm must be text, not [1]",
    entry(label='" "'): "PATH, run 1: label must be one line of text without dollar signs, not ' '",
    entry(label=r'"a\nb"'): r"PATH, run 1: label must be one line of text without dollar signs, not 'a\nb'",
    entry(arm=r'"$\\frac$"'): "PATH, run 1: arm must be one line of text without dollar signs",
    entry("runs/z"): "PATH, run 1: there is no folder 'runs/z' beside runs.toml",
    entry(r"\u0000"): r"PATH, run 1: there is no folder '\x00' beside runs.toml",
    entry() + entry("runs/../runs/a"): "PATH, run 2: the folder FOLDER/runs/../runs/a is also in run 1",
    entry(label='"x"') + entry("runs/b", label='"x"'): "PATH, run 2: the label 'x' is also in run 1",
    entry(arm='"x"', seed=1) + entry("runs/c") + entry("runs/b", arm='"x"', seed=1): (
        "PATH, run 3: the seed 1 of the arm 'x' is also in run 1"
    ),
    entry(arm='"baseline"'): "PATH, run 1: the arm is 'baseline', but the layers of FOLDER/runs/a clamp their weights",
    entry(label='"b"') + entry("runs/b"): "two runs have the label 'b'; give each run its own label",
    entry(f"{'x' * 5000}"): "PATH, run 1: there is no folder 'xxx",
    f'[[run]]\nfolder = "runs/a"\nseed = {"9" * 5000}\n': "PATH is not a list of runs, since it is not TOML: Exceeds",
    entry("runs"): "FOLDER/runs is not a run directory but contains some; name one: a, b, c",
}


@pytest.mark.parametrize("text", WRONG, ids=lambda text: str(text[:20]))
def test_what_is_wrong_is_one_sentence(folder, text):
    path = written(folder, text)
    sentence = WRONG[text].replace("PATH", str(path)).replace("FOLDER", str(folder))
    with pytest.raises(RecuError, match=f"^{re.escape(sentence)}") as caught:
        ra.open_runs(path)
    assert str(caught.value).isprintable()


def test_an_arm_that_the_configuration_denies_is_refused(folder, tmp_path):
    path = synthetic_run(tmp_path / "free", {"conv": random_walk((4, 6), 4)}).path
    edit_run(path, configuration={"recu": False})
    with pytest.raises(InputError, match=r"run 1: the arm is 'ReCU'.*recu: false"):
        ra.open_runs(written(tmp_path, entry("free", arm='"ReCU"')))


def test_a_byte_order_mark_is_no_obstacle(folder):
    assert list(ra.open_runs(written(folder, b"\xef\xbb\xbf" + entry(label='"one"').encode()))) == ["one"]


def test_a_list_that_is_not_there_is_said(folder):
    with pytest.raises(InputError, match=r"none\.toml does not exist; a list of runs has \[\[run\]\] with folder = "):
        ra.open_runs(folder / "none.toml")
    with pytest.raises(InputError, match=r"lists.* is not a file; a list of runs has"):
        ra.open_runs(folder)


def test_a_run_and_what_is_no_path_are_told_from_a_list(folder):
    for given, fact in [
        (folder / "runs/a", "run directory.*open_run"),
        (None, "not None"),
        ([folder], "not a list"),
    ]:
        with pytest.raises(InputError, match=fact):
            ra.open_runs(given)
