"""What is said of a name that is not known, and where PyTorch is not installed."""

import subprocess
import sys

import pytest

from recu_analysis.errors import InputError, WindowsWarning, hint, listed, unknown

MANY = [f"layer{stage}.{block}.conv{number}" for stage in (1, 2, 3, 4) for block in range(5) for number in (1, 2)]


@pytest.mark.parametrize(
    ("name", "known", "text"),
    [
        ("pdff", ["pdf", "png"], "known are pdf, png"),
        ("layer1.0.convv1", MANY, "did you mean layer1.0.conv1 or "),
        ("fc", MANY, "known are layer1.0.conv1, layer1.0.conv2, "),
        ("fc", MANY, " and 10 more"),
        (None, MANY, "known are "),
        ("layer1.0.shortcut", MANY, "did you mean layer1.0.conv1 or layer1.0.conv2?"),
        ("layer1.unit_of_the_tail.q", MANY, "known are "),
    ],
)
def test_the_nearest_of_many_names_or_which_there_are(name, known, text):
    assert text in hint(name, known)


def test_an_unknown_name_is_one_sentence():
    assert str(unknown("venue", "x", ["a", "b"])) == "no venue is called 'x'; known are a, b"


def test_a_list_says_how_much_it_leaves_out():
    assert listed(["a", "b", "c"], 3) == "a, b, c"
    assert listed(["a", "b", "c"], 2) == "a, b and 1 more"


@pytest.mark.parametrize("kind", [InputError, lambda text: WindowsWarning(text, 3, "8:13")])
def test_what_was_given_by_mistake_does_not_fill_the_screen(kind):
    told = str(kind(f"no run {'9' * 5000} is here"))
    assert "999... (5000 characters)" in told
    assert len(told) < 200
    path = "/folder" * 100
    assert path in str(kind(f"no run {path} is here"))


#: Python code, after which torch is not found.
WITHOUT_TORCH = """
import sys
class Without:
    def find_spec(self, name, path=None, target=None):
        if name == "torch": raise ModuleNotFoundError("No module named 'torch'", name="torch")
sys.meta_path.insert(0, Without())
import recu_analysis as ra
"""


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("ra.record", "recu_analysis.errors.MissingExtraError"),
        ("from recu_analysis import find_binary_layers", "recu_analysis.errors.MissingExtraError"),
        ("from recu_analysis.cli import main; main(['layers', 'resnet20'])", "Error"),
        ("from recu_analysis.errors import needing_torch\nwith needing_torch(): import nothing", "ModuleNotFoundError"),
    ],
)
def test_what_needs_torch_says_so_where_it_is_not_installed(code, error):
    done = subprocess.run([sys.executable, "-c", WITHOUT_TORCH + code], capture_output=True, text=True)
    missing = "No module named 'nothing'" if error == "ModuleNotFoundError" else "PyTorch is not installed: recording"
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(f"{error}: {missing}"), done.stderr
    assert ("Traceback" in done.stderr) == (error != "Error")
