"""Ratios of this version beside those of the last release, in ratios.toml; a warning for each that is larger.

python -m benchmarks.ratios              compare; exit code 1 if a ratio is larger than it was
python -m benchmarks.ratios --record     write the ratios of this version into the file
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

from recu_analysis.version import __version__

FILE = Path(__file__).with_name("ratios.toml")
#: Benchmarks whose ratios are of our time over that of other work, by turns: less is better.
BENCHMARKS = ("kernel", "window", "files", "startup")
#: How much larger than the upper quartile of the release a median may be: another machine has other ratios, too.
MORE = 1.1
_LINE = re.compile(r"^ *(?P<name>\S.* / .*): (?P<middle>[\d.]+) \(quartiles (?P<low>[\d.]+) to (?P<high>[\d.]+)\)$")


@dataclass(frozen=True, slots=True)
class Ratio:
    """The median of a ratio over rounds, and its quartiles."""

    middle: float
    low: float
    high: float


def main() -> None:
    """Measure, and compare or record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--record", action="store_true", help="Write the ratios of this version into the file.")
    told = parser.parse_args()
    found = {name: ratios_of(printed(name)) for name in BENCHMARKS}
    if told.record:
        FILE.write_text(as_toml(__version__, found), encoding="utf-8")
        print(f"wrote {FILE.name}, of version {__version__}")
        return
    version, before = recorded(FILE.read_text(encoding="utf-8"))
    slower = list(larger(before, found))
    print(f"{sum(map(len, found.values()))} ratios beside those of version {version}")
    for line in slower:
        print(f"warning: {line}")
    sys.exit(1 if slower else 0)


def printed(name: str) -> str:
    """What a benchmark prints, which is also shown."""
    done = subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=True, stdout=subprocess.PIPE, text=True)
    print(done.stdout, flush=True)
    return done.stdout


def ratios_of(text: str) -> dict[str, Ratio]:
    """The ratios in what a benchmark printed, by their names; see `benchmarks.timing.ratio_line`."""
    lines = filter(None, map(_LINE.match, text.splitlines()))
    return {line["name"]: Ratio(*(float(line[each]) for each in ("middle", "low", "high"))) for line in lines}


def larger(before: dict[str, dict[str, Ratio]], now: dict[str, dict[str, Ratio]]) -> list[str]:
    """A sentence for each ratio that is larger than it was, and for each that is no longer measured."""
    found = []
    for benchmark, ratios in before.items():
        for name, old in ratios.items():
            new = now.get(benchmark, {}).get(name)
            if new is None:
                found.append(f"{benchmark}: {name} is no longer measured")
            elif new.middle > MORE * old.high:
                found.append(f"{benchmark}: {name} is {new.middle:g}, and was {old.middle:g} (at most {old.high:g})")
    return found


def as_toml(version: str, ratios: dict[str, dict[str, Ratio]]) -> str:
    """The file of a release: a table for each benchmark, with median and quartiles of each ratio."""
    lines = ["# Ratios of the last release, by python -m benchmarks.ratios --record: median, quartiles.", ""]
    lines.append(f'version = "{version}"')
    for benchmark, found in ratios.items():
        lines += ["", f"[{benchmark}]"]
        lines += [f'"{name}" = [{each.middle}, {each.low}, {each.high}]' for name, each in found.items()]
    return "\n".join([*lines, ""])


def recorded(text: str) -> tuple[str, dict[str, dict[str, Ratio]]]:
    """The version and the ratios of a file."""
    tables = tomllib.loads(text)
    version = tables.pop("version")
    return version, {name: {of: Ratio(*values) for of, values in table.items()} for name, table in tables.items()}


if __name__ == "__main__":
    main()
