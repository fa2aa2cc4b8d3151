"""The built pages: without a warning, with every formula as MathML, and with nothing from elsewhere."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import recu_analysis as ra
from scripts.public_tables import columns

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
    for page in (ROOT / "docs").rglob("*.md"):
        built = site / page.relative_to(ROOT / "docs").with_suffix(".html")
        for picture in re.findall(r'<img[^>]* src="([^"]+)"', built.read_text(encoding="utf-8")):
            assert (built.parent / picture).is_file()
    assert not list(site.rglob("*.ipynb"))


def test_every_formula_is_mathml(site):
    source = (ROOT / "docs" / "mathematics.md").read_text(encoding="utf-8")
    formulas = len(re.findall(r"\$\$.*?\$\$|\$[^$]+\$", source, flags=re.DOTALL))
    built = (site / "mathematics.html").read_text(encoding="utf-8")
    assert built.count("<math ") == formulas > 100
    assert "arithmatex" not in built


def test_every_public_name_has_an_entry(site):
    built = "".join(page.read_text(encoding="utf-8") for page in (site / "reference").glob("*.html"))
    entries = re.findall(r'<h2 id="recu_analysis\.(\w+)" class="doc doc-heading">', built)
    assert sorted(entries) == sorted({*ra.__all__} - {"RecuError"})  # which stands among the errors
    assert built.count("Columns of the table:") == len([name for name in columns() if name in ra.__all__])


def test_nothing_is_loaded_from_elsewhere(site):
    loading = r'<(?:script|img|iframe|source)[^>]*\ssrc="([^"]+)"|<link[^>]*\shref="([^"]+)"'
    for page in site.rglob("*.html"):
        for match in re.finditer(loading, page.read_text(encoding="utf-8")):
            assert not re.match(r"(https?:)?//", match[1] or match[2]), page.name
    for sheet in site.rglob("*.css"):
        assert not re.search(r"(@import|url\()\s*[\"']?(https?:)?//", sheet.read_text(encoding="utf-8")), sheet.name
