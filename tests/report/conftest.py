"""Synthetic runs that the report's tests share: one that is sound, and one that is hostile."""

import pytest

import recu_analysis as ra
from recu_analysis.testing import random_walk, synthetic_run
from tests.editing import edit_run, marks_of, write_marks

#: Texts that would become markup, end a script or break a mathematical text, where something lets them.
HOSTILE = (
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "\" onmouseover='alert(1)' <!-- {{ 7*7 }} \u2028 &amp; ]]> \\input{x} $\\alpha$ \u202e" + 20 * "long_name.",
)
TAME = ("first", "second", "third")


def named_run(folder, texts, *, seed=0):
    """A run whose layers, configuration and metrics are called what `texts` say."""
    shapes = [(4, 3, 3, 3), (8, 40), (4, 4)]
    history = {name: random_walk(shape, 20, seed=seed) for name, shape in zip(texts, shapes, strict=True)}
    path = synthetic_run(folder, history).path
    configuration = {text: text for text in texts} | {"epochs": 4}
    edit_run(path, configuration=configuration, environment={"versions": {texts[0]: texts[1]}})
    write_marks(path, [mark | {texts[0]: texts[1], texts[2]: 1.5} for mark in marks_of(path)])
    return ra.open_run(path)


@pytest.fixture(scope="session")
def tame(tmp_path_factory):
    return named_run(tmp_path_factory.mktemp("tame") / "run", TAME)


@pytest.fixture(scope="session")
def hostile(tmp_path_factory):
    return named_run(tmp_path_factory.mktemp("hostile") / "run", HOSTILE)
