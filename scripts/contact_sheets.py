"""Draw every figure at the widths of four kinds of pages, and lay them side by side: figures/sheets/*.png."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

FOLDER = Path(__file__).parents[1]
SHEETS = FOLDER / "figures" / "sheets"
PAGES = [("iccv", "column"), ("iccv", "page"), ("neurips", "page"), ("talk", "page")]
#: Dots per inch of a sheet, and of the figures.
SHEET_DPI, DPI = 150, 300
#: Width of a sheet, margin, and the height of a name above its figure, in pixels.
WIDTH, MARGIN, NAME = 2140, 20, 24


def drawn(folder: Path, venue: str, width: str) -> Iterator[tuple[str, Image.Image]]:
    """The name and picture of every figure at a width; SystemExit if the figures cannot be drawn."""
    options = ["--venue", venue, "--width", width, "--format", "png"]
    script = FOLDER / "scripts" / "figures.sh"
    # Its list of files is not shown, but what it says of a failure is.
    done = subprocess.run([script, folder, *options], check=False, stdout=subprocess.DEVNULL)  # noqa: S603 - ours
    if done.returncode:
        sys.exit(
            f"scripts/figures.sh could not draw the figures for {venue}, {width} (exit code {done.returncode}; its "
            "message is above). It needs recu-analyze in .venv, which make sheets installs, or its path in ANALYZE"
        )
    for path in sorted(folder.glob("*.png")):
        with Image.open(path) as picture:
            size = (picture.width * SHEET_DPI // DPI, picture.height * SHEET_DPI // DPI)
            yield path.stem, picture.convert("RGB").resize(size, Image.Resampling.LANCZOS)


def places(pictures: Sequence[Image.Image]) -> tuple[list[tuple[int, int]], int]:
    """Where each picture stands, in rows from left to right, and the height of the sheet."""
    found, left, top, bottom = [], MARGIN, MARGIN, MARGIN
    for picture in pictures:
        if left > MARGIN and left + picture.width + MARGIN > WIDTH:
            left, top = MARGIN, bottom
        found.append((left, top))
        left += picture.width + MARGIN
        bottom = max(bottom, top + NAME + picture.height + MARGIN)
    return found, bottom


def sheet(named: Sequence[tuple[str, Image.Image]]) -> Image.Image:
    """All pictures on one sheet, each with its name above."""
    # The highest first: rows then have pictures of similar heights.
    ordered = sorted(named, key=lambda each: -each[1].height)
    at, height = places([picture for _, picture in ordered])
    whole = Image.new("RGB", (WIDTH, height), "#e6e6e6")
    pen = ImageDraw.Draw(whole)
    for (name, picture), (left, top) in zip(ordered, at, strict=True):
        pen.text((left, top + 4), name, fill="black", font_size=16)
        whole.paste(picture, (left, top + NAME))
    # All colors, also rare ones: those of runs and of the tail must not be taken for others.
    return whole.quantize(256, Image.Quantize.MAXCOVERAGE, kmeans=4, dither=Image.Dither.NONE)


def main() -> None:
    """Write the sheets."""
    SHEETS.mkdir(exist_ok=True)
    for venue, width in PAGES:
        with tempfile.TemporaryDirectory() as folder:
            made = sheet(list(drawn(Path(folder), venue, width)))
        made.save(SHEETS / f"{venue}-{width}.png", optimize=True)


if __name__ == "__main__":
    main()
