"""Hooks of `make docs`: convert formulas to MathML, and add the pictures of figures/ to the gallery."""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from latex2mathml.converter import convert
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

#: Corrections of spacing in the converter's output: words are spaced letter by letter, bars like operators, and
#: function names too widely or not at all.
SPACING = [
    (r'(?:<mi mathvariant="normal">\w</mi>){2,}', lambda match: f"<mi>{re.sub('<[^>]*>', '', match[0])}</mi>"),
    (r'<mo stretchy="false">&#x0007C;</mo>', '<mo stretchy="false" lspace="0" rspace="0">&#x0007C;</mo>'),
    (r"<mo>(/|&#x0002F;)</mo>", r'<mo lspace="0" rspace="0">\1</mo>'),
    (r"<mo>(max|min)</mo>", r"<mi>\1</mi>"),
    (r"(?<=</mi>|</mn>)<mi>ln</mi>", '<mspace width="0.17em" /><mi>ln</mi>'),
    (r'<mi>ln</mi>(?!<mo stretchy="(?:false|true)")', '<mi>ln</mi><mspace width="0.17em" />'),
]

PICTURES = Path(__file__).parents[1] / "figures"
#: Placeholder of a formula in the output of pymdownx.arithmatex.
FORMULA = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.DOTALL)


def on_files(files: Files, config: MkDocsConfig, **_: Any) -> Files:
    """Add the pictures of figures/ to the pages."""
    for picture in sorted(PICTURES.rglob("*.png")):
        name = picture.relative_to(PICTURES).as_posix()
        files.append(File.generated(config, f"pictures/{name}", abs_src_path=str(picture)))
    return files


def spaced(mathml: str) -> str:
    """MathML with the spacing of a printed formula."""
    for pattern, replacement in SPACING:
        mathml = re.sub(pattern, replacement, mathml)
    return mathml


def on_page_content(content: str, page: Page, **_: Any) -> str:
    """Convert every formula of a page to MathML, which browsers show without a script."""

    def written(match: re.Match[str]) -> str:
        formula = html.unescape(match[2]).strip()
        display = "block" if match[1] == "div" else "inline"
        mathml = spaced(convert(formula, display=display))
        if "\\" in mathml:
            raise PluginError(f"{page.file.src_path}: no MathML for {formula}")
        return f'<div class="formula">{mathml}</div>' if display == "block" else mathml

    return FORMULA.sub(written, content)
