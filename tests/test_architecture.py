"""Who may import whom, read from the source, and what importing the package loads."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "recu_analysis"
# From the ground up: each room imports only from those above it in this list.
ROOMS = [
    "version",
    "errors",
    "theory",
    "store",
    "analysis",
    "plots",
    "figures",
    "report",
    "testing",
    "nn",
    "interop",
    "capture",
    "intervention",
    "integrations",
    "training",
    "cli",
]
TORCH_FROM = ROOMS.index("nn")
ALLOWED_THIRD_PARTY = {
    "errors": set(),
    "theory": {"numpy", "scipy", "numba"},
    "store": {"numpy", "safetensors", "xxhash", "pandas", "obstore"},
    "testing": {"numpy"},
}
FILES = sorted(PACKAGE.rglob("*.py"))
#: Libraries whose package has another name.
PACKAGES = {"PIL": "pillow", "rich_click": "rich-click", "sklearn": "scikit-learn"}
#: Where libraries of the extras may be imported: in this room and this module.
OPTIONAL = {"integrations", "recu_analysis.analysis.cluster", "recu_analysis.store.bucket"}
#: What PyTorch brings where it can be used.
WITH_TORCH = {"triton"}
HEAVY = {"torch", "matplotlib", "seaborn", "sklearn", "rich"}


def module(path):
    """The dotted name by which a file of the package is imported."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module(path): ast.parse(path.read_text(encoding="utf-8")) for path in FILES}


def room(name):
    """The room of a module; the files that open the package, which may use all of it, are in none."""
    return name.partition(".")[2].partition(".")[0]


def imports(nodes):
    """The modules that are imported by some statements; of what a package offers, the package itself."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            offered = [f"{'.' * node.level}{node.module}.{alias.name}" for alias in node.names]
            yield from (name if name in MODULES else name.rpartition(".")[0] for name in offered)


def running(tree):
    """The nodes of a file, those that only the type checker reads left out."""
    yield tree
    typing_only = isinstance(tree, ast.If) and isinstance(tree.test, ast.Name) and tree.test.id == "TYPE_CHECKING"
    for child in tree.orelse if typing_only else ast.iter_child_nodes(tree):
        yield from running(child)


IMPORTED = {name: set(imports(running(tree))) for name, tree in MODULES.items()}


def reached(name):
    """The modules of the package that a module imports, be it through others; itself where that is a circle."""
    found, ahead = set(), [name]
    while ahead:
        new = (IMPORTED[ahead.pop()] & MODULES.keys()) - found
        found |= new
        ahead += new
    return found


def pairs():
    """Every module that is in a room, and one that it imports."""
    return [(name, other) for name in MODULES if room(name) in ROOMS for other in sorted(IMPORTED[name])]


def assert_none(what, found):
    """Fail with all that was found, a line each."""
    assert not found, "\n".join([what, *sorted(" ".join(each) for each in found)])


def test_every_file_has_a_room_and_says_its_idea_first():
    assert_none("no room:", [(name,) for name in MODULES if room(name) not in {"", "__main__", *ROOMS}])
    assert_none("no docstring:", [(name,) for name, tree in MODULES.items() if not ast.get_docstring(tree)])
    assert_none("relative imports:", [pair for pair in pairs() if pair[1].startswith(".")])


def test_rooms_import_upwards_only():
    inside = [(name, other) for name, other in pairs() if other in MODULES and room(other) in ROOMS]
    downwards = [(name, other) for name, other in inside if ROOMS.index(room(other)) > ROOMS.index(room(name))]
    assert_none("a room and one below it that it imports:", downwards)


def test_no_modules_import_each_other_in_a_circle():
    reaches = {name: reached(name) for name in MODULES}
    circles = {tuple(sorted(other for other in found if name in reaches[other])) for name, found in reaches.items()}
    assert_none("modules in a circle:", circles - {()})


def test_third_party_libraries_stay_in_their_rooms():
    strangers = []
    for name, other in pairs():
        here, top = room(name), other.partition(".")[0]
        is_third_party = top not in sys.stdlib_module_names and top != "recu_analysis"
        if (
            (top == "torch" and here != "cli" and ROOMS.index(here) < TORCH_FROM)
            or (top in {"matplotlib", "seaborn"} and here not in {"plots", "figures"})
            or (is_third_party and top not in ALLOWED_THIRD_PARTY.get(here, {top}))
        ):
            strangers.append((name, other))
    assert_none("a module and a library that is not for its room:", strangers)


def test_every_library_is_declared():
    project = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [name for extra in project["optional-dependencies"].values() for name in extra]
    needed, wanted = ({re.match(r"[\w-]+", each)[0] for each in names} for names in (project["dependencies"], extras))
    known = needed | {"recu_analysis"} | WITH_TORCH | sys.stdlib_module_names
    undeclared = []
    for name, imported in IMPORTED.items():
        tops = {other.partition(".")[0] for other in imported}
        here = known | (wanted if {room(name), name} & OPTIONAL else set())
        undeclared += [(name, top) for top in tops if PACKAGES.get(top, top) not in here]
    assert_none("a module and a library that pyproject.toml does not name:", undeclared)


def test_commands_load_heavy_libraries_only_when_they_run():
    # figures.print is imported where a figure is drawn.
    commands = [name for name in MODULES if room(name) in {"cli", "figures"} and ".figures.print." not in name]
    at_top = [(name, other) for name in commands for other in imports(MODULES[name].body)]
    assert_none("loaded at once:", [pair for pair in at_top if pair[1].partition(".")[0] in HEAVY])


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
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = recu_analysis.nothing
