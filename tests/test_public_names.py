"""The public names stand once, in the stub: what can be imported, listed, pickled and checked follows from it."""

import ast
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

import recu_analysis

STUB = Path(recu_analysis.__file__).with_suffix(".pyi")
NAMES = [
    alias.name for node in ast.parse(STUB.read_text()).body if isinstance(node, ast.ImportFrom) for alias in node.names
]


def python(code, **variables):
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | variables)


def test_the_stub_lists_every_name_once_and_dir_shows_it():
    assert sorted(NAMES) == recu_analysis.__all__ == dir(recu_analysis)
    assert len(NAMES) == len(set(NAMES))


def test_every_name_stands_for_type_checkers_too():
    for node in ast.parse(STUB.read_text()).body:
        if isinstance(node, ast.ImportFrom):
            assert all(alias.asname == alias.name for alias in node.names), "a stub exports only what is renamed so"


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_what_its_home_has_and_can_be_pickled(name):
    value = getattr(recu_analysis, name)
    assert value.__name__ == name
    assert pickle.loads(pickle.dumps(value)) is value


def test_a_mistyped_name_is_told_with_the_one_that_was_meant():
    done = python("import recu_analysis as ra; ra.recrod")
    assert done.stderr.splitlines()[-1] == (
        "AttributeError: recu_analysis has no attribute 'recrod'; did you mean record?"
    )
    with pytest.raises(ImportError, match="cannot import name 'recrod' from 'recu_analysis'"):
        exec("from recu_analysis import recrod")


@pytest.mark.parametrize(("eager", "loaded"), [("", "False True"), ("1", "True True")])
def test_all_names_are_imported_lazily_or_at_once(eager, loaded):
    torch = "print('torch' in sys.modules, end=' ')"
    done = python(
        f"import sys, recu_analysis; {torch}; from recu_analysis import *; {torch}; record", EAGER_IMPORT=eager
    )
    assert done.stdout.strip() == loaded, done.stderr
