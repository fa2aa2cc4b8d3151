"""Changing what a run directory says by hand, with seals that fit, as a forger would."""

import json

from recu_analysis.store.sealing import dump_mark, sealed, unsealed


def run_json(path):
    """The content of run.json, without its seal."""
    return unsealed((path / "run.json").read_bytes(), "run.json")


def edit_run(path, **changes):
    """Give fields of run.json other values."""
    (path / "run.json").write_text(json.dumps(sealed(run_json(path) | changes)))


def marks_of(path, segment=0):
    """What was logged in a segment."""
    lines = (path / f"history/segment-{segment:04}/metrics.jsonl").read_text().splitlines()
    return [unsealed(line, "metrics")["mark"] for line in lines]


def write_marks(path, marks, segment=0):
    """Log other marks in a segment."""
    lines = [dump_mark(mark, number) for number, mark in enumerate(marks, start=1)]
    (path / f"history/segment-{segment:04}/metrics.jsonl").write_text("".join(lines))
