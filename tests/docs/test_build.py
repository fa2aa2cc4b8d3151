"""The built pages: without a warning, with every formula as MathML, and with nothing from elsewhere."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.extras

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    pytest.importorskip("mkdocs", reason="needs the extra docs")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    return folder


def test_every_page_is_there_with_its_pictures(site):
    for page in (ROOT / "docs").glob("*.md"):
        text = (site / page.with_suffix(".html").name).read_text(encoding="utf-8")
        for picture in re.findall(r'<img[^>]* src="([^"]+)"', text):
            assert (site / picture).is_file()
    assert not list(site.rglob("*.ipynb"))


def test_every_formula_is_mathml(site):
    source = (ROOT / "docs" / "mathematics.md").read_text(encoding="utf-8")
    formulas = len(re.findall(r"\$\$.*?\$\$|\$[^$]+\$", source, flags=re.DOTALL))
    built = (site / "mathematics.html").read_text(encoding="utf-8")
    assert built.count("<math ") == formulas > 100
    assert "arithmatex" not in built


def test_nothing_is_loaded_from_elsewhere(site):
    loading = r'<(?:script|img|iframe|source)[^>]*\ssrc="([^"]+)"|<link[^>]*\shref="([^"]+)"'
    for page in site.glob("*.html"):
        for match in re.finditer(loading, page.read_text(encoding="utf-8")):
            assert not re.match(r"(https?:)?//", match[1] or match[2]), page.name
    for sheet in site.rglob("*.css"):
        assert not re.search(r"(@import|url\()\s*[\"']?(https?:)?//", sheet.read_text(encoding="utf-8")), sheet.name
