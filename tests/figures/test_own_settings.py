"""A user's matplotlib settings do not reach a figure; what the caller asks for does."""

from __future__ import annotations

import os
import subprocess
import sys

import matplotlib as mpl
import pytest
from PIL import Image

from recu_analysis.errors import InputError
from recu_analysis.figures.drawing import draw_figure
from recu_analysis.figures.print.one_panel import keep_panel
from recu_analysis.figures.print.style import panels, style
from tests.messages import facts

LOUD = {"axes.grid": True, "text.usetex": True, "lines.linewidth": 9.0, "font.size": 40.0, "savefig.dpi": 20}


def test_settings_of_the_user_do_not_reach_a_figure(tmp_path):
    plain = draw_figure("fig3", directory=tmp_path / "plain")
    with mpl.rc_context(LOUD):
        loud = draw_figure("fig3", directory=tmp_path / "loud")
        assert mpl.rcParams["font.size"] == 40.0, "and are left as they are"
    assert [file.read_bytes() for file in plain] == [file.read_bytes() for file in loud]


def test_no_backend_reaches_the_command(tmp_path):
    (tmp_path / "matplotlibrc").write_text("axes.grid: True\ntext.usetex: True\n")
    command = [sys.executable, "-m", "recu_analysis", "figures", "--only", "fig3", "--format", "png", "-o", "drawn"]
    env = os.environ | {"MPLBACKEND": "no-backend"}
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "drew drawn/fig3.png\n")
    (expected, *_) = draw_figure("fig3", directory=tmp_path / "plain", formats="png")
    with Image.open(expected) as one, Image.open(tmp_path / "drawn" / "fig3.png") as two:
        assert one.tobytes() == two.tobytes()


def test_a_style_sheet_replaces_settings_of_the_venue(tmp_path):
    sheet = tmp_path / "mine.mplstyle"
    sheet.write_text("lines.linewidth: 3\naxes.grid: True\nbackend: svg\n")
    with style(sheet=sheet):
        assert (mpl.rcParams["lines.linewidth"], mpl.rcParams["axes.grid"]) == (3.0, True)
        assert mpl.rcParams["font.family"][0] == "serif", "other settings stay"
    plain, mine = (
        draw_figure("fig3", directory=tmp_path / name, style=each) for name, each in [("a", None), ("b", sheet)]
    )
    assert plain[1].read_bytes() != mine[1].read_bytes()


@pytest.mark.parametrize("content", [b"lines.linewidt: 3", b"lines.linewidth: thick", b"no colon", b"\xff\xfe", None])
def test_what_is_not_a_style_sheet_is_refused(tmp_path, content):
    sheet = tmp_path / "mine.mplstyle"
    if content is not None:
        sheet.write_bytes(content)
    with pytest.raises(InputError, match=facts("mine.mplstyle is not a style sheet")), style(sheet=sheet):
        raise AssertionError
    with pytest.raises(InputError, match="not a style sheet"):
        draw_figure("fig3", directory=tmp_path / "drawn", style=sheet)
    assert not (tmp_path / "drawn").exists()


def test_one_panel_alone_has_its_labels(synthetic_pair, tmp_path):
    draw_figure("layermap", synthetic_pair, directory=tmp_path / "one", panel=1, title="$ title", formats="png")
    with Image.open(tmp_path / "one" / "layermap.png") as picture:
        assert picture.width == round(300 * 3.25), "a column of the venue"
    with pytest.raises(InputError, match="there is no panel 9"):
        draw_figure("layermap", synthetic_pair, directory=tmp_path / "none", panel=9)


def test_labels_of_neighbors_come_back():
    from recu_analysis.figures.print.fitting import outer_labels

    with style():
        figure, axes = panels(4, together=2)
        for ax in axes:
            ax.set(xlabel="epoch", ylabel="share (%)")
        outer_labels(axes)
        keep_panel(figure, 2)
        figure.draw_without_rendering()
    (left,) = figure.axes
    assert left is axes[1]
    assert left.yaxis.label.get_visible()
    assert left.get_yticklabels()[0].get_visible()


def test_names_palette_title_and_size_are_what_the_caller_says(synthetic_pair, tmp_path):
    runs = dict(zip(("Re$C_U$", "_plain"), synthetic_pair.values(), strict=True))
    files = draw_figure(
        "fliplaw", runs, directory=tmp_path, palette=["red", "blue"], title="mine", height=3.5, formats="svg"
    )
    text = files[0].read_text()
    assert all(name in text for name in ("Re$C_U$", "_plain", "mine", "#ff0000", "#0000ff"))
    assert 'height="252pt"' in text
    for name, wrong, fact in [
        ("fliplaw", {"palette": ["red"]}, "2 are needed"),
        ("fig5", {"windows": 3}, "no windows"),
    ]:
        with pytest.raises(InputError, match=fact):
            draw_figure(name, runs, directory=tmp_path / "none", **wrong)
