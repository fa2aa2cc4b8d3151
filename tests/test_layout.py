"""Tests stand beside the name of what they test: a module of their room, or one of few subjects."""

from pathlib import Path

TESTS = Path(__file__).parent
PACKAGE = TESTS.parent / "recu_analysis"
#: What tests of several modules are about, where no module has the name.
SUBJECTS = {
    "analysis": {"once", "planted"},
    "capture": {"framework_folders", "going_on", "repeated_checkpoints", "sums"},
    "cli": {"data_sets", "missing", "names", "run_list"},
    "docs": {
        *("authors_script", "build", "commands_page", "gallery", "mathematics_page", "notebook", "pages", "paper"),
        *("reference", "snippets"),
    },
    "figures": {"arms", "boxes", "contact_sheets", "latex", "own_settings", "plot_functions"},
    "integrations": {"accelerate", "dashboards", "quantizers", "ranks"},
    "interop": {"archives", "dtypes"},
    "nn": {"network_families"},
    "report": {"browser"},
    "store": {"bits", "object_stores", "failing", "faults", "file_systems", "hostile", "machine", "round_trip"},
    "training": {"image_folder", "pixels"},
    "": {"architecture", "benchmarks", "cases", "equal", "fuzz", "install", "layout", "public_names", "trajectory"},
}


def names(room):
    """What the modules and packages of a room are called, without the underscores that Python asks for."""
    return {path.stem.strip("_") for path in (PACKAGE / room).rglob("*") if path.suffix == ".py" or path.is_dir()}


def test_every_test_module_is_named_after_what_it_tests():
    strangers = []
    for path in TESTS.rglob("test_*.py"):
        room = path.relative_to(TESTS).parent.as_posix().strip(".")
        subject = path.stem.removeprefix("test_")
        if subject not in SUBJECTS.get(room, set()) | names(room):
            strangers.append(str(path.relative_to(TESTS)))
    assert not strangers, "name them after a module of their room, or list their subject above"
