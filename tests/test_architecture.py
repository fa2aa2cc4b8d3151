"""Who may import whom, read from the source, and what importing the package loads."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "recu_analysis"
# From the ground up: each room imports only from those above it in this list.
ROOMS = [
    "errors",
    "theory",
    "trajectory",
    "store",
    "analysis",
    "plots",
    "figures",
    "report",
    "testing",
    "nn",
    "capture",
    "integrations",
    "training",
    "cli",
]
TORCH_FROM = ROOMS.index("nn")
ALLOWED_THIRD_PARTY = {
    "errors": set(),
    "theory": {"numpy", "scipy"},
    "trajectory": {"numpy"},
    "store": {"numpy", "safetensors", "xxhash", "pandas"},
    "testing": {"numpy"},
}
FILES = sorted(PACKAGE.rglob("*.py"))


def room(path):
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


def imported(path):
    """Names of the modules that a file imports, those for the type checker left out."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typing_only = {
        id(child)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        for child in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module
            if node.module == "recu_analysis":
                yield from (f"recu_analysis.{alias.name}" for alias in node.names)


def at_top(path):
    """Modules imported when the file itself is imported."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_rooms_import_upwards_only(path):
    here = room(path)
    if here in {"__init__", "__main__"}:
        return
    assert here in ROOMS, f"{here} has no place in the architecture"
    for name in imported(path):
        parts = name.split(".")
        if parts[0] == "recu_analysis" and len(parts) > 1 and parts[1] in ROOMS:
            assert ROOMS.index(parts[1]) <= ROOMS.index(here), f"{here} imports {name}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_third_party_libraries_stay_in_their_rooms(path):
    here = room(path)
    for name in imported(path):
        top = name.split(".")[0]
        if top == "torch" and here != "cli":
            assert here in ROOMS, path
            assert ROOMS.index(here) >= TORCH_FROM, f"{here} imports torch"
        if top in {"matplotlib", "seaborn"}:
            assert here in {"plots", "figures"}, f"{here} imports {top}"
        if here in ALLOWED_THIRD_PARTY and top not in sys.stdlib_module_names and top != "recu_analysis":
            assert top in ALLOWED_THIRD_PARTY[here], f"{here} imports {top}"


@pytest.mark.parametrize("path", [p for p in FILES if room(p) in {"cli", "figures"}], ids=lambda p: p.name)
def test_commands_load_heavy_libraries_only_when_they_run(path):
    heavy = {"torch", "matplotlib", "seaborn", "sklearn", "rich"}
    assert not heavy & {name.split(".")[0] for name in at_top(path)}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_every_file_says_its_idea_first(path):
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))


def loaded(code):
    script = f"{code}\nimport sys; print(*sorted({{name.split('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "code",
    [
        "import recu_analysis as ra; dir(ra)",
        "import recu_analysis as ra; ra.open_run, ra.layer_table, ra.dead_weights",
        "from recu_analysis.cli import dead_weights, demo, figures, fit, info, tradeoff, train",
        "import recu_analysis as ra; ra.tradeoff(), ra.fit_table, ra.measured_tradeoff",
    ],
)
def test_reading_runs_loads_neither_torch_nor_matplotlib(code):
    assert not {"torch", "matplotlib", "seaborn", "numba"} & loaded(code)


def test_public_names_resolve():
    import recu_analysis

    for name in recu_analysis.__all__:
        assert getattr(recu_analysis, name) is not None
    with pytest.raises(AttributeError, match="attribute nothing"):
        _ = recu_analysis.nothing
