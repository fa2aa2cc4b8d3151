"""A two-column page of exported figures and tables, compiled as a reader of a paper would."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest

from recu_analysis.figures import draw_figure

pytestmark = [
    pytest.mark.extras,
    pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs pdflatex"),
]

PAGE = r"""
\documentclass[10pt,twocolumn]{article}
\usepackage{graphicx,booktabs,pgf}
\setlength{\textwidth}{6.875in}\setlength{\columnsep}{0.3125in}\setlength{\oddsidemargin}{-0.2in}
\setlength{\textheight}{9.2in}\setlength{\topmargin}{-0.6in}
\pdfcompresslevel=0 \pdfobjcompresslevel=0
\begin{document}
%s
See %s.
\end{document}
"""


def compiled(folder, names):
    """Log and PDF of a page with these figures, compiled twice for its references."""
    references = ", ".join(rf"\ref{{{'tab' if name.startswith('table') else 'fig'}:{name}}}" for name in names)
    (folder / "page.tex").write_text(PAGE % ("\n".join(rf"\input{{{name}}}" for name in names), references))
    for _ in range(2):
        done = subprocess.run(
            ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "page"],
            cwd=folder,
            capture_output=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stdout[-2000:].decode(errors="replace")
    return (folder / "page.log").read_text(errors="replace"), (folder / "page.pdf").read_bytes()


def test_three_figures_and_the_tables_fit_a_two_column_page(trained, tmp_path):
    runs = {"a": trained("a"), "b": trained("b", seed=1), "c": trained("c", recu=False)}
    names = ["fig3", "fig5", "schedule", *(f"table{number}" for number in range(1, 6))]
    for name in names:
        draw_figure(name, runs, directory=tmp_path / "page")
    log, page = compiled(tmp_path / "page", names)
    assert not re.findall(r"Overfull \\hbox \((\d{2,}|[2-9])\.\d*pt", log)
    assert "undefined" not in log
    assert b"/Type3" not in page
    assert b"STIXGeneral" in page
    assert b"/FontFile2" in page


def test_a_page_takes_pgf(tmp_path):
    draw_figure("fig3", {}, directory=tmp_path / "page", formats=("pgf",))
    assert (tmp_path / "page" / "fig3.pgf").read_text().startswith('% fig3: {"command": "recu_analysis.draw_figure(')
    _, page = compiled(tmp_path / "page", ["fig3"])
    assert b"/Type3" not in page


def test_pgf_has_the_same_bytes_each_time(tmp_path):
    made = [draw_figure("schedule", {}, directory=tmp_path / name, formats=("pgf",)) for name in "ab"]
    assert made[0][0].read_bytes() == made[1][0].read_bytes()
