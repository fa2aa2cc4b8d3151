"""The Python reference: every public name on a page, every documented module, every table with its columns."""

import inspect
import re

import pytest

import recu_analysis as ra
from recu_analysis.analysis.column_names import is_known
from scripts.public_tables import columns
from tests.docs.pages import PAGES

#: Public functions whose tables their docstrings describe: columns of networks, of files and of the paper's tables.
DESCRIBED = {"convert", "find_binary_layers", "paper_table", "verify"}


def test_every_public_table_has_its_columns_listed():
    returned = {
        name
        for name in ra.__all__
        if "DataFrame" in str(getattr(getattr(ra, name), "__annotations__", {}).get("return", ""))
    }
    known = columns()
    assert returned - DESCRIBED <= set(known)
    assert all(is_known(column) for listed in known.values() for column in listed)


def test_every_public_name_is_on_the_page_of_its_group():
    pytest.importorskip("mkdocs", reason="needs the extra docs")
    from scripts.docs_reference import MARKER, groups

    found = groups()
    assert sorted(name for names in found.values() for name in names) == sorted(ra.__all__)
    for group in found:
        text = PAGES[f"reference/{group}.md"]
        assert (MARKER in text) == (group != "errors")
        named = re.findall(r"^::: \S+\.(\w+)$", text, flags=re.MULTILINE)
        assert not set(named) & set(found[group]), "the marker puts it there"


def test_the_ends_of_an_interval_stand_beside_their_column():
    pytest.importorskip("mkdocs", reason="needs the extra docs")
    from scripts.docs_reference import column_list

    ends = [f"distance_ratio_tail_{end}" for end in ("low", "high")]
    lines = column_list(["silent_fraction", "distance_ratio_tail", *ends]).splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("- **`silent_fraction`** (share, 0 to 1) ")
    assert all(f"**`{name}`**" in lines[1] for name in ("distance_ratio_tail", *ends))


def test_every_column_has_its_line():
    pytest.importorskip("mkdocs", reason="needs the extra docs")
    from scripts.docs_reference import column_list

    for listed in columns().values():
        column_list(listed)  # needs the unit of every column whose printed values have a factor


def test_every_documented_object_has_a_docstring():
    for page, text in PAGES.items():
        for path in re.findall(r"^::: (\S+)$", text, flags=re.MULTILINE):
            module, _, name = path.rpartition(".")
            if module.startswith("recu_analysis.integrations"):
                continue  # they import what may not be installed
            try:
                found = inspect.importlib.import_module(path)
            except ModuleNotFoundError:
                found = getattr(inspect.importlib.import_module(module), name)
            assert inspect.getdoc(found), f"{page}: {path}"
