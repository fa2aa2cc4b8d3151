"""Exported figures: complete, the same bytes each time, fonts a publisher takes, nothing half written."""

from __future__ import annotations

import json
import os
import re
import struct
import subprocess
import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

from recu_analysis.errors import InputError, StoreError
from recu_analysis.figures.print.export import check_folder, export
from recu_analysis.figures.print.style import panels, style

ALL = ("pdf", "png", "svg")
DATA = pd.DataFrame({"z": np.linspace(-4.0, 4.0, 41)}).assign(weights=lambda data: np.exp(-(data["z"] ** 2)))
PROVENANCE = {"versions": {"numpy": "2.1"}, "runs": ["a1b2"], "command": "recu-analyze dead-weights"}


def drawn(axes):
    """Draw a line with a legend, the unit of its axis, and a title with mathematics."""
    axes.plot("z", "weights", data=DATA, label="weights")
    axes.set(xlabel="standard deviations of its channel", title="$10^{-3}$ per update")
    axes.legend()


def write(directory, formats=ALL, width="page", **arguments):
    """Draw two panels, and export them."""
    with style(width):
        figure, axes = panels(2, width)
        for ax in axes:
            drawn(ax)
        fields = {"caption": "Dead.", "label": "fig:dead", "provenance": PROVENANCE, **arguments}
        return export(figure, DATA, "dead-weights", directory, formats=formats, **fields)


def contents(directory):
    return {path.name: path.read_bytes() for path in directory.iterdir()}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """What one export wrote, for the tests that only look at it; drawing all formats takes most of a second."""
    return write(tmp_path_factory.mktemp("written") / "new" / "folder")


@pytest.fixture(scope="module")
def folder(written):
    return written[0].parent


def test_every_file_is_there_and_nothing_else(written, folder):
    names = [f"dead-weights.{end}" for end in (*ALL, "csv", "tex", "json")]
    assert [path.name for path in written] == names
    assert sorted(contents(folder)) == sorted(names)


def test_same_data_give_the_same_bytes(folder, tmp_path):
    write(tmp_path)
    assert contents(tmp_path) == contents(folder)


def test_same_figure_exported_again_gives_the_same_bytes(tmp_path):
    with style():
        figure, (axes,) = panels(1, "column")
        drawn(axes)
        for name in ("a", "b"):
            export(figure, DATA, "m", tmp_path / name, formats=ALL, caption="", label="m", provenance={})
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_layout_goes_on_after_an_export(tmp_path):
    with style():
        figure, (axes,) = panels(1, "column")
        engine = figure.get_layout_engine()
        export(figure, DATA, "m", tmp_path, formats=("png",), caption="", label="m", provenance={})
        before = axes.get_position().x0
        axes.set_ylabel("two\nlines")
        figure.draw_without_rendering()
    assert figure.get_layout_engine() is engine
    assert axes.get_position().x0 > before


SCRIPT = """
import sys
from recu_analysis.figures.print.export import export
from recu_analysis.figures.print.style import panels, style
import pandas as pd
with style():
    figure, axes = panels(1)
    axes[0].plot([0, 1], label="a")
    axes[0].legend()
    export(figure, pd.DataFrame({"a": [1]}), "x", sys.argv[1], formats=("pdf", "png", "svg"),
           caption="c", label="l", provenance={})
"""


def test_other_processes_without_a_display_give_the_same_bytes(tmp_path):
    started = []
    for seed in ("1", "2"):
        kept = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "MPLBACKEND")}
        environment = {**kept, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        started.append(subprocess.Popen([sys.executable, "-c", SCRIPT, str(tmp_path / seed)], env=environment))
    assert [process.wait(timeout=120) for process in started] == [0, 0]
    assert contents(tmp_path / "1") == contents(tmp_path / "2")


def test_no_file_has_a_date(folder):
    for content in contents(folder).values():
        assert not re.search(rb"CreationDate|ModDate|dc:date|tIME", content)


def test_pdf_embeds_truetype_fonts(tmp_path):
    with mpl.rc_context({"pdf.compression": 0}):
        write(tmp_path, ("pdf",))
    content = (tmp_path / "dead-weights.pdf").read_bytes()
    assert b"/Type3" not in content
    assert b"/FontFile2" in content
    assert b"STIXGeneral" in content


def test_output_does_not_depend_on_the_settings_at_the_call(tmp_path):
    with style():
        figure, (axes,) = panels(1, "column")
        drawn(axes)
    with mpl.rc_context({"savefig.bbox": "tight", "svg.hashsalt": None, "pdf.fonttype": 3, "pdf.compression": 0}):
        export(figure, DATA, "m", tmp_path, formats=ALL, caption="", label="m", provenance={})
    assert b"/Type3" not in (tmp_path / "m.pdf").read_bytes()
    assert png_size((tmp_path / "m.png").read_bytes())[0] == 975


def png_size(content):
    return struct.unpack(">II", content[16:24])


def test_size_is_exactly_the_figure_s(folder):
    assert png_size((folder / "dead-weights.png").read_bytes())[0] == int(6.875 * 300)
    box = re.search(rb"/MediaBox \[ ?0 0 ([\d.]+)", (folder / "dead-weights.pdf").read_bytes())
    assert float(box[1]) == pytest.approx(6.875 * 72)


def test_svg_has_text_as_text(folder):
    assert "standard deviations of its channel" in (folder / "dead-weights.svg").read_text()


def test_provenance_is_beside_and_inside(tmp_path):
    write(tmp_path)
    text = (tmp_path / "dead-weights.json").read_text()
    assert json.loads(text) == PROVENANCE
    assert text.index('"command"') < text.index('"runs"') < text.index('"versions"')
    for end in ALL:
        assert b"recu-analyze dead-weights" in (tmp_path / f"dead-weights.{end}").read_bytes()


def test_csv_has_nine_digits(tmp_path):
    data = pd.DataFrame({"run": ["a", "b"], "value": [1 / 3, np.nan], "count": [1, 2]})
    with style():
        figure, _ = panels(1)
        export(figure, data, "x", tmp_path, formats=("png",), caption="", label="x", provenance={})
    assert (tmp_path / "x.csv").read_text() == "run,value,count\na,0.333333333,1\nb,,2\n"


@pytest.mark.parametrize(("width", "environment"), [("page", "figure*"), ("column", "figure")])
def test_latex_includes_the_figure_unscaled(tmp_path, width, environment):
    write(tmp_path, ("pdf",), width=width, caption="50 % of $w_c$", label="fig:layer2.0 conv_2")
    inches = {"page": "6.875", "column": "3.25"}[width]
    assert (tmp_path / "dead-weights.tex").read_text() == (
        f"\\begin{{{environment}}}[t]\n"
        "  \\centering\n"
        f"  \\includegraphics[width={inches}in]{{dead-weights.pdf}}\n"
        "  \\caption{50\\,\\% of $w_c$}\n"
        "  \\label{fig:layer2.0-conv_2}\n"
        f"\\end{{{environment}}}\n"
    )


def test_latex_includes_the_png_where_there_is_no_pdf(tmp_path):
    write(tmp_path, ("svg", "png"))
    assert "{dead-weights.png}" in (tmp_path / "dead-weights.tex").read_text()


def test_unknown_format_names_the_known(tmp_path):
    with pytest.raises(InputError, match="'eps'; known are pdf, png, svg, pgf"):
        write(tmp_path, ("pdf", "eps"))
    assert contents(tmp_path) == {}


def test_pgf_without_latex_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match=r"^pgf needs LaTeX, and none of pdflatex, .* is on the PATH; .*choose pdf$"):
        write(tmp_path / "drawn", ("pdf", "pgf"))
    assert not (tmp_path / "drawn").exists()


def test_a_folder_is_made_or_refused(tmp_path):
    check_folder(tmp_path / "new" / "folder")
    assert list((tmp_path / "new").rglob("*")) == [tmp_path / "new" / "folder"]
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"^figures cannot be written into .*file.*; choose a directory"):
        check_folder(tmp_path / "file" / "folder")


@pytest.mark.parametrize("stem", ["", "../x", "a/b", ".hidden", "a b", "x\n"])
def test_stem_must_be_a_file_name(stem, tmp_path):
    figure, _ = panels(1)
    with pytest.raises(InputError, match="name of letters"):
        export(figure, pd.DataFrame({"a": [1]}), stem, tmp_path, caption="", label="", provenance={})


def test_directory_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"^cannot write the figure .*dead-weights\.pdf: .*; choose a directory"):
        write(tmp_path / "file" / "folder", ("pdf",))


def test_failed_write_keeps_the_old_file_and_leaves_nothing(tmp_path, monkeypatch):
    write(tmp_path, ("pdf",))
    before = contents(tmp_path)

    def full(self, *_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "rename", full)
    with pytest.raises(StoreError, match="No space left on device"):
        write(tmp_path, ("pdf",), caption="another")
    assert contents(tmp_path) == before
