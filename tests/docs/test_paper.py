"""The page of docs/howto/paper.md compiles with what its commands write."""

import re
import shlex
import shutil
import subprocess

import pytest

from tests.cli_runner import run_cli
from tests.docs import hidden
from tests.docs.pages import blocks, lines_of

PAGE = "howto/paper.md"


@pytest.mark.extras
def test_the_page_compiles(tmp_path, monkeypatch):
    if not shutil.which("pdflatex"):
        pytest.skip("needs pdflatex")
    hidden.workspace(tmp_path)
    monkeypatch.chdir(tmp_path)
    commands, page, compiled = (
        next(block for block in blocks(language) if block.page == PAGE) for language in ("bash", "latex", "text")
    )
    for line in lines_of(commands):
        done = run_cli(*shlex.split(line)[1:])
        assert done.exit_code == 0, done.stderr
    (tmp_path / "page.tex").write_text(page.code, encoding="utf-8")
    for line in lines_of(compiled):
        program, *arguments = shlex.split(line)
        subprocess.run([program, "-interaction=nonstopmode", "-halt-on-error", *arguments], check=True, timeout=120)
    log = (tmp_path / "page.log").read_text(errors="replace")
    assert not re.search(r"undefined|LaTeX Warning: Reference", log)
    assert not re.findall(r"^Overfull \\hbox \((\d+)", log, flags=re.MULTILINE)
    assert (tmp_path / "page.pdf").stat().st_size > 20_000
