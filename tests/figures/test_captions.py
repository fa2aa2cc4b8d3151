"""Captions in LaTeX and as plain text: mathematics stays, names from runs are data."""

from __future__ import annotations

import pytest

from recu_analysis.figures.captions import escape_latex, in_plain_text, quoted

HOSTILE = [
    "cost $x$",
    "$",
    "$$",
    "a\\$b$",
    r"\input{/etc/passwd}",
    "_a",
    "50 %",
    "a\nb",
    "\x1b[31m",
    "\udcff",
    "n" * 200,
]


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        (r"a_b & 5 % # {x} ~ ^ \ ", r"a\_b \& 5\,\% \# \{x\} \textasciitilde{} \textasciicircum{} \textbackslash{}"),
        ("$10^{-3}$ std_dev, $|z|_c$", r"$10^{-3}$ std\_dev, $|z|_c$"),
        (r"$Q(\tau)$", r"$Q(\tau)$"),
        ("costs 5 $", r"costs 5 \$"),
        ("|z| < 1 > 0", r"\textbar{}z\textbar{} \textless{} 1 \textgreater{} 0"),
        ("two\n\nparagraphs", "two paragraphs"),
        (quoted("$x$ and $y$") + " $z$", r"\$x\$ and \$y\$ $z$"),
    ],
)
def test_latex_is_escaped_outside_mathematics(text, escaped):
    assert escape_latex(text) == escaped


def test_captions_are_plain():
    assert in_plain_text(r"$\tau = 0.82$, $16 b^2 (1 - \tau)^3$, $\ln 2$") == "τ = 0.82, 16 b² (1 - τ)³, ln 2"


@pytest.mark.parametrize("name", HOSTILE)
def test_names_are_data(name):
    """Mathematics before and after a name stays; the name is shown letter by letter."""
    caption = f"$z$ of {quoted(name)}, $\\tau$"
    shown = "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in name)
    assert in_plain_text(caption) == f"z of {shown}, τ"
    written = escape_latex(caption)
    assert written.startswith("$z$ of ")
    assert written.endswith(r", $\tau$")
    inside = written.removeprefix("$z$ of ").removesuffix(r", $\tau$")
    assert inside.replace(r"\$", "").count("$") == 0
    assert r"\input" not in inside
