"""The gallery: its commands draw the pictures that it shows, and its Python draws panels of these."""

import re
import shlex

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from recu_analysis.figures import FIGURES, figure_query
from recu_analysis.figures.spec import OWN_CHOICE
from recu_analysis.store.labels import labels_of
from recu_analysis.store.run import open_run
from tests.cli_runner import run_cli
from tests.docs import hidden
from tests.docs.pages import PAGES, ROOT, blocks
from tests.docs.test_snippets import expanded

pytestmark = pytest.mark.extras

PAGE = "gallery.md"
SECTIONS = {
    section.split("](pictures/")[1].split(".png")[0]: section
    for section in PAGES[PAGE].split("\n## ")[1:]
    if "![" in section
}


def command_of(name):
    """The command that draws a picture, with files for patterns and without the folder."""
    section = re.sub(r"\\\n\s*", "", SECTIONS[name])
    (line,) = re.findall(r"^recu-analyze (figures .*) -o figures$", section, flags=re.MULTILINE)
    return expanded(shlex.split(line))


@pytest.mark.parametrize("name", SECTIONS)
def test_the_command_draws_the_picture(name, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    done = run_cli(*command_of(name), "-o", tmp_path)
    assert done.exit_code == 0, done.stderr
    shown, drawn = (pd.read_csv(folder / f"{name}.csv") for folder in (ROOT / "figures", tmp_path))
    pd.testing.assert_frame_equal(drawn, shown, rtol=1e-6, atol=1e-9)
    images = [Image.open(folder / f"{name}.png").convert("L") for folder in (ROOT / "figures", tmp_path)]
    assert images[0].size == images[1].size
    # The same versions give the same bytes; others may smooth a letter differently.
    differences = np.abs(np.subtract(*(np.asarray(image, dtype=float) for image in images)))
    assert (differences > 64).mean() < 0.01


def test_the_python_draws_panels_of_the_pictures(tmp_path, monkeypatch):
    hidden.workspace(tmp_path)
    monkeypatch.chdir(tmp_path)
    names, code = {}, [block.code for block in blocks("python") if block.page == PAGE]
    hidden.run(code[0], PAGE, names)
    for name, section in SECTIONS.items():
        (snippet,) = [each for each in code if f"```python\n{each}```" in section]
        hidden.run(snippet, PAGE, names)
        drawn = names.pop("ax")
        assert drawn.has_data()
        with mpl.rc_context():
            runs = [open_run(word) for word in command_of(name) if word.startswith("checkpoints/")]
            found = figure_query(name, dict(zip(labels_of(runs), runs, strict=True))).run()
            figure, _ = FIGURES[name].draw(found, OWN_CHOICE)
        panels = [(ax.get_xlabel(), ax.get_ylabel()) for ax in figure.axes]
        assert any(drawn.get_xlabel() == x and drawn.get_ylabel() == y for x, y in panels), (name, panels)
        plt.close("all")
