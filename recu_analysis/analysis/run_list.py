"""A list of runs: a TOML file with the folder of each run, and its label, arm and seed."""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recu_analysis.analysis.kinds import Kind, kind_of, layers_clamp
from recu_analysis.errors import InputError, hint, kind_of_value
from recu_analysis.store.format import RUN_FILE
from recu_analysis.store.labels import labels_of
from recu_analysis.store.object_path import ObjectPath
from recu_analysis.store.places import as_place
from recu_analysis.store.run import Run, open_run

if TYPE_CHECKING:
    from collections.abc import Mapping

#: The keys of an entry, and their types.
KEYS: dict[str, type] = {"folder": str, "label": str, "arm": str, "seed": int}
#: More than any list of runs needs.
MAX_BYTES = 2**20
_EXAMPLE = '[[run]] with folder = "runs/a" below it, for each run'


@dataclass(frozen=True, slots=True)
class Listed:
    """One entry of a list of runs.

    Attributes
    ----------
    where : str
        The entry's name in messages.
    folder : Path
        The run directory, which exists if it is not a URL.
    label, arm : str or None
    seed : int or None
    """

    where: str
    folder: Path
    label: str | None
    arm: str | None
    seed: int | None


def open_runs(path: str | os.PathLike[str]) -> dict[str, Run]:
    """Open the runs of a list; useful for runs that were recorded without a configuration.

    Parameters
    ----------
    path : str or path-like
        A TOML file with an entry ``[[run]]`` for each run: folder (relative to the file, or a URL) and, optionally,
        label (for tables and figures), arm (the experiment to which the run belongs) and seed (a whole number). Runs
        with the same arm are seeds of one experiment. arm and seed override the run's configuration. The arms ReCU,
        random mask and no clamp have their own colors in figures.

    Returns
    -------
    dict of str to Run
        Runs by label, in the order of the list; without a label, by the shortest unique end of the folder.

    Raises
    ------
    InputError
        If the file is not such a list, or the record of a run contradicts its entry.
    StoreError
        If a folder is not a run directory.
    """
    if not isinstance(path, str | os.PathLike):
        raise InputError(f"a list of runs must be the path of its file, not {kind_of_value(path)}")
    runs = [open_listed(entry) for entry in read_run_list(Path(path))]
    return dict(zip(labels_of(runs), runs, strict=True))


def is_run_list(path: Path) -> bool:
    """Whether a path is a list of runs, by its name."""
    return path.suffix.lower() == ".toml" and not path.is_dir()


def open_listed(entry: Listed) -> Run:
    """Open the run of an entry, with its label, arm and seed; InputError if the record contradicts the arm."""
    run = replace(open_run(entry.folder), label=entry.label, arm=entry.arm, stated_seed=entry.seed)
    if run.arm is not None and layers_clamp(run) and kind_of(run) is not Kind.RECU:
        raise InputError(f"{entry.where}: the arm is {run.arm!r}, but the layers of {run.path} clamp their weights")
    if run.arm is not None and kind_of(run) is Kind.RECU and run.configuration.get("recu") is False:
        raise InputError(f"{entry.where}: the arm is {run.arm!r}, but the configuration of {run.path} has recu: false")
    return run


def read_run_list(path: Path) -> list[Listed]:
    """The entries of a list of runs.

    Raises
    ------
    InputError
        If it is not a TOML file with [[run]] entries, a key is unknown, a value has the wrong type, a folder does not
        exist, or a folder, a label, or a seed of an arm is given twice.
    """
    content = _content(path)
    unknown = next((key for key in content if key != "run"), None)
    if unknown is not None:
        raise InputError(f"{path}: a list of runs has only [[run]] entries, not {unknown!r:.80}")
    entries = content.get("run")
    if not isinstance(entries, list) or not entries:
        raise InputError(f"{path} lists no runs; write {_EXAMPLE}")
    listed = [_listed(path, number, entry) for number, entry in enumerate(entries, start=1)]
    _check_twice(listed)
    return listed


def _content(path: Path) -> dict[str, Any]:
    try:
        if (path / RUN_FILE).is_file():
            raise InputError(f"{path} is a run directory, not a list of runs; open it with ra.open_run")
        if not path.is_file():
            there = "is not a file" if path.exists() else "does not exist"
            raise InputError(f"{path} {there}; a list of runs has {_EXAMPLE}")
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"{path} is larger than {MAX_BYTES} bytes, too large for a list of runs")
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"{path!s:.200} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InputError(f"{path} is not a list of runs: it is not UTF-8 text") from None
    except ValueError as error:  # not TOML, or a number of thousands of digits
        raise InputError(f"{path} is not a list of runs, since it is not TOML: {error!s:.200}") from None
    except RecursionError:
        raise InputError(f"{path} is not a list of runs: its values are nested too deeply") from None


def _listed(path: Path, number: int, entry: object) -> Listed:
    where = f"{path}, run {number}"
    if not isinstance(entry, dict):
        raise InputError(f"{where} is not a table; write {_EXAMPLE}")
    for key, value in entry.items():
        if key not in KEYS:
            raise InputError(f"{where}: no key is called {key!r:.80}; {hint(key, KEYS)}")
        if type(value) is not KEYS[key]:
            kind = "a whole number" if KEYS[key] is int else "text"
            raise InputError(f"{where}: {key} must be {kind}, not {value!r:.80}")
    if "folder" not in entry:
        raise InputError(f"{where} has no folder; give the run directory")
    _check_names(where, entry)
    place = as_place(entry["folder"])
    folder = place if isinstance(place, ObjectPath) else path.parent / entry["folder"]
    if not isinstance(folder, ObjectPath) and not _is_folder(folder):
        raise InputError(f"{where}: there is no folder {entry['folder']!r:.200} beside {path.name}")
    return Listed(where, folder, entry.get("label"), entry.get("arm"), entry.get("seed"))


def _is_folder(folder: Path) -> bool:
    try:
        return folder.is_dir()
    except (OSError, ValueError):  # a name that the file system does not allow
        return False


def _check_names(where: str, entry: Mapping[str, Any]) -> None:
    """Raise InputError if a label or an arm cannot be shown in tables, legends and pages."""
    for key in ("label", "arm"):
        text = entry.get(key, key)
        if not text.strip() or not text.isprintable() or "$" in text:
            raise InputError(f"{where}: {key} must be one line of text without dollar signs, not {text!r:.80}")


def _check_twice(listed: list[Listed]) -> None:
    """Raise InputError if a folder, a label, or a seed of an arm is given twice."""
    known: dict[tuple[object, ...], Listed] = {}
    for entry in listed:
        claimed: dict[tuple[object, ...], str] = {("folder", entry.folder.resolve()): f"the folder {entry.folder}"}
        if entry.label is not None:
            claimed["label", entry.label] = f"the label {entry.label!r}"
        if entry.arm is not None and entry.seed is not None:
            claimed["seed", entry.arm, entry.seed] = f"the seed {entry.seed} of the arm {entry.arm!r}"
        for key, what in claimed.items():
            if key in known:
                raise InputError(f"{entry.where}: {what} is also in run {listed.index(known[key]) + 1}")
            known[key] = entry
