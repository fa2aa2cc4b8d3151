"""Verdicts on the paper's claims, on every arm in checkpoints/, whole and thinned in two ways, as a Markdown table.

python -m benchmarks.claims
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import recu_analysis as ra
from recu_analysis.analysis.arms import arms
from recu_analysis.analysis.claims.table import CLAIMS
from recu_analysis.analysis.kinds import stops_gradients

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from recu_analysis.store.run import Run

    #: The verdicts on one arm by claim: on the whole runs, then on the thinned ones.
    Verdicts = dict[str, list[str]]

CHECKPOINTS = Path(__file__).parents[1] / "checkpoints"
CANNOT = "cannot tell"
LETTERS = {
    "supported": "S",
    "contradicted": "C",
    "intermediate": "I",
    "undecided": "U",
    "algebra": "A",
    CANNOT: "-",
}


def shipped() -> Iterator[tuple[str, list[Run], list[Run]]]:
    """Every arm in checkpoints/: its name, its runs, and the baseline of a folder for runs that stop gradients."""
    for folder in sorted(path for path in CHECKPOINTS.iterdir() if path.is_dir()):
        found = {path.name: ra.open_run(path) for path in sorted(folder.iterdir()) if (path / "run.json").exists()}
        runs = {name: run for name, run in found.items() if all(spec.quantizer.binary for spec in run.header.layers)}
        groups = [list(arm.runs.values()) for arm in arms(runs)]
        plain = next((group for group in groups if not stops_gradients(group[0])), [])
        for group in groups:
            name = group[0].path.name.removesuffix("-0")
            yield f"{folder.name}/{name}", group, plain if stops_gradients(group[0]) else []


def ways(run: Run) -> list[tuple[int, ...]]:
    """The windows that two ways of thinning keep: first and last, and all but the last but one; fewer of short runs."""
    numbers = tuple(window.number for window in run.windows)
    kept = dict.fromkeys([(numbers[0], numbers[-1]), (*numbers[:-2], numbers[-1])])
    return [each for each in kept if 1 < len(each) < len(numbers)]


def verdicts(runs: Sequence[Run], baseline: Sequence[Run]) -> Verdicts:
    """The verdicts on one arm."""
    found = [_judged(runs, baseline)]
    for kept in ways(runs[0]):
        with tempfile.TemporaryDirectory() as folder:
            found.append(_judged(_thinned(runs, kept, folder), _thinned(baseline, kept, folder)))
    return {claim: [each[claim] for each in found] for claim in CLAIMS}


def _judged(runs: Sequence[Run], baseline: Sequence[Run]) -> dict[str, str]:
    table = ra.claims(runs, baseline=baseline or None)
    return dict(zip(table["id"], table["verdict"], strict=True))


def _thinned(runs: Sequence[Run], kept: tuple[int, ...], folder: str) -> list[Run]:
    return [ra.thin(run, windows=kept, output=Path(folder) / run.path.name) for run in runs]


def others(found: Verdicts) -> list[str]:
    """The claims on which thinning changed a verdict into another one, and not into "cannot tell"."""
    return [claim for claim, (whole, *thin) in found.items() if not {*thin} <= {whole, CANNOT} and whole != CANNOT]


def line(name: str, found: Verdicts) -> str:
    """The row of one arm: a letter per claim, and several where thinning changed the verdict."""
    cells = ["/".join(LETTERS[each] for each in (each if len(set(each)) > 1 else each[:1])) for each in found.values()]
    return f"| {name} | {' | '.join(cells)} |"


def main() -> None:
    """Print the table, and in how many places thinning gave another verdict."""
    print(f"| arm | {' | '.join(CLAIMS)} |\n|{' --- |' * (len(CLAIMS) + 1)}")
    changed = []
    for name, runs, baseline in shipped():
        found = verdicts(runs, baseline)
        print(line(name, found), flush=True)
        changed += [f"{name} {claim}" for claim in others(found)]
    print(f"\nthinning gave another verdict in {len(changed)} places {', '.join(changed)}".rstrip())


if __name__ == "__main__":
    main()
