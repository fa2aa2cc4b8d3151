"""scripts/contact_sheets.py lays figures side by side, and says why figures cannot be drawn."""

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest
from PIL import Image

SCRIPT = Path(__file__).parents[2] / "scripts" / "contact_sheets.py"


@pytest.fixture
def sheets():
    spec = spec_from_file_location("contact_sheets", SCRIPT)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def program(path, lines):
    """A program in place of recu-analyze."""
    path.write_text(f"#!/bin/sh\n{lines}\n")
    path.chmod(0o755)
    return str(path)


def test_a_missing_or_failing_program_is_told_with_its_message(sheets, tmp_path, monkeypatch, capfd):
    failing = program(tmp_path / "failing", 'echo "Error: no such run" >&2; exit 2')
    for analyze, code, message in (
        (str(tmp_path / "absent" / "recu-analyze"), 127, "absent/recu-analyze"),
        (failing, 2, "Error: no such run"),
    ):
        monkeypatch.setenv("ANALYZE", analyze)
        with pytest.raises(SystemExit, match=rf"for neurips, page \(exit code {code};.*ANALYZE"):
            list(sheets.drawn(tmp_path / "drawn", "neurips", "page"))
        assert message in capfd.readouterr().err


def test_figures_are_drawn_at_the_width_and_shown_in_the_size_of_print(sheets, tmp_path, monkeypatch, capfd):
    Image.new("RGB", (600, 300), "white").save(tmp_path / "one.png")
    # The last of its arguments is the folder.
    lines = f'for to; do :; done; mkdir -p "$to"; cp "{tmp_path}/one.png" "$to"; echo "$@" >> "$to/asked"'
    monkeypatch.setenv("ANALYZE", program(tmp_path / "analyze", lines))
    ((name, picture),) = sheets.drawn(tmp_path / "drawn", "talk", "page")
    assert (name, picture.size) == ("one", (300, 150))
    asked = (tmp_path / "drawn" / "asked").read_text().splitlines()
    assert asked
    assert all("--venue talk --width page --format png" in each for each in asked)
    assert capfd.readouterr() == ("", "")


def test_pictures_stand_in_rows_that_fit(sheets):
    pictures = [Image.new("RGB", (900, height)) for height in (300, 200, 100)]
    places, height = sheets.places(pictures)
    assert places[0][1] == places[1][1] < places[2][1]
    assert all(left + 900 + sheets.MARGIN <= sheets.WIDTH for left, _ in places)
    assert height == places[2][1] + sheets.NAME + 100 + sheets.MARGIN
