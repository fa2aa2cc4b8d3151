"""Damage runs, checkpoints and command lines for some minutes: python -m tests.fuzz --minutes 5 --seed 1.

Every input must be answered by a result, or by a sentence of ours with exit code 1 or 2, in time and within the memory.
A table of a damaged run is the same as before the damage, or the damage is told.
"""

import argparse
import contextlib
import hashlib
import random
import re
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from dataclasses import replace
from pathlib import Path

from recu_analysis.training.data import cifar
from recu_analysis.training.data.loading import DATASETS
from tests.cli_runner import Done, run_cli
from tests.fuzz import inputs, mutations
from tests.training import cifar_files

#: Seconds of the processor, and bytes beyond those at the start that one input may take.
SECONDS, MEMORY = 60, 6 * 2**30
#: Commands that read a run; those of TABLES print numbers of it.
TABLES = (
    ("dead-weights", "RUN", "--format", "csv"),
    ("flips", "RUN", "--format", "csv"),
    ("updates", "RUN", "--format", "csv"),
    ("fit", "RUN", "--format", "csv"),
    ("info", "RUN", "--format", "json", "--columns", "what"),
)
READING = (
    *TABLES,
    *(("verify", "RUN"), ("info", "RUN"), ("causes", "RUN"), ("watch", "--once", "RUN"), ("claims", "RUN")),
    ("compare", "RUN", "OTHER"),
    ("compare", "RUN", "OTHER", "--curves"),
    ("thin", "RUN", "--windows", "0,2,4", "-o", "NEW"),
)
LEVELS = (("levels", "RUN", "--format", "csv"), ("levels", "RUN"), *READING)
IMPORTING = (("import", "RUN", "--run-dir", "NEW"), ("layers", "RUN/e0.pth"))
#: A training that reads a data set.
SHORTLY = ("--epochs", "1", "--warm-up", "0", "--batch-size", "64", "--device", "cpu", "--quiet")
#: Words for command lines.
WORDS = (
    *("--layer", "--windows", "--columns", "--format", "-o", "--quiet", "--color", "--debug", "--jobs", "--tail-tau"),
    *("--criterion", "--seeds", "--by-layer", "--curves", "--baseline", "--tau", "--points", "--epochs", "--safe-csv"),
    *("RUN", "OTHER", "NEW", "NEW.csv", "NEW.tex", "csv", "json", "latex", "window", "a", "*", "[", "b.*", "1:3"),
    *("", "9" * 5000, "1e400", "nan", "\x1b[31m", "\udc80", "é", "--", "-", "/dev/full", "/dev/null", "0.9", "3", "-1"),
)
COMMANDS = (
    *("info", "verify", "thin", "layers", "dead-weights", "updates", "flips", "causes", "compare", "claims", "fit"),
)


class Slow(BaseException):
    """An input took too long."""


class Fuzzer:
    """One session: what it begins with, what it keeps, and what it has found."""

    def __init__(self, place: Path, seed: int) -> None:
        self.rng = random.Random(seed)
        self.place = place
        self.corpus = place / "corpus"
        self.corpus.mkdir(parents=True, exist_ok=True)
        self.room = Path(tempfile.mkdtemp(prefix="fuzz"))
        (self.room / "whole").mkdir()
        self.whole = inputs.make(self.room / "whole")
        self.seen = {file.name.rpartition("-")[2] for file in self.corpus.iterdir()}
        self.tables: dict[tuple[str, ...], Done] = {}
        self.count = self.kept = 0
        self.findings: list[str] = []

    def work(self, until: float) -> None:
        """Try inputs until a moment of the processor's time."""
        while time.process_time() < until:
            self.one()

    def one(self) -> None:
        """Try one input."""
        self.count += 1
        rng = random.Random(self.rng.random())
        rng.choice((self._damaged, self._damaged, self._damaged, self._forged, self._typed))(rng)

    def _base(self, rng: random.Random) -> tuple[str, Path]:
        """A whole input, or a damaged one that was kept."""
        kept = sorted(self.corpus.iterdir())
        if kept and rng.random() < 0.4:
            file = rng.choice(kept)
            return file.name.rsplit("-", 2)[0], file
        name = rng.choice(sorted(self.whole))
        return name, self.whole[name]

    def _damaged(self, rng: random.Random) -> None:
        self._changed(rng, mutations.damage, sealed=False)

    def _forged(self, rng: random.Random) -> None:
        self._changed(rng, mutations.forge, sealed=True)

    def _changed(self, rng: random.Random, change: mutations.Mutation, *, sealed: bool) -> None:
        name, base = self._base(rng)
        forged = sealed or "forged" in base.name
        path = self.room / "input" / name  # named as the whole one, for tables have the name
        shutil.copytree(base, path, symlinks=True)
        change(path, rng)
        command = rng.choice(_commands(name))
        done = self._run(command, path, name)
        if done is not None:
            if command in TABLES and not forged:
                self._compare(command, name, done, path)
            self._keep(command, name, done, path, forged=forged)
        shutil.rmtree(path)

    def _typed(self, rng: random.Random) -> None:
        words = [rng.choice(WORDS) for _ in range(rng.randrange(5))]
        self._run((rng.choice(COMMANDS), *words), self.whole["walked"], "walked")

    def _run(self, command: tuple[str, ...], path: Path, name: str) -> Done | None:
        new = self.room / "new"
        places = {"RUN": path, "OTHER": self.whole["walked"], "NEW": new}
        words = [re.sub("^(RUN|OTHER|NEW)", lambda found: str(places[found[1]]), word) for word in command]
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                done = run_cli(*words)
        except BaseException as error:  # what is not ours is a finding
            if isinstance(error, KeyboardInterrupt):
                raise
            self._found(f"{type(error).__name__}: {error!s:.200}", command, path, traceback.format_exc())
            return None
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0.0)
            for each in (new, *new.parent.glob("new.*")):
                if each.exists():
                    shutil.rmtree(each) if each.is_dir() else each.unlink()
        if done.exit_code not in (0, 1, 2) or ("Traceback" in done.stderr and "--debug" not in command):
            self._found(f"exit code {done.exit_code}", command, path, done.stderr)
        elif done.exit_code and not done.stderr.strip() and command[0] not in {"info", "verify"}:
            self._found("nothing is told", command, path, done.stdout)
        return done

    def _compare(self, command: tuple[str, ...], name: str, done: Done, path: Path) -> None:
        """A table that reports no damage equals the table of the whole run."""
        if (command, name) not in self.tables:
            self.tables[command, name] = self._run(command, self.whole[name], name) or done
        whole = self.tables[command, name]
        quiet = done.exit_code == 0 and done.stderr == whole.stderr
        places = ((done, path), (whole, self.whole[name]))
        own, expected = (each.stdout.replace(str(place), "RUN") for each, place in places)
        if quiet and own != expected:
            self._found("other numbers, and nothing is told", command, path, f"{own}\n---\n{expected}")

    def _keep(self, command: tuple[str, ...], name: str, done: Done, path: Path, *, forged: bool) -> None:
        """Keep an input that was answered as no other before."""
        told = re.sub(r"'.*?'|\S*/\S*|[0-9.e+-]+", "_", done.stderr)
        mark = hashlib.sha256(f"{command[0]} {done.exit_code} {told}".encode(errors="replace")).hexdigest()[:12]
        if mark not in self.seen:
            self.seen.add(mark)
            self.kept += 1
            shutil.copytree(path, self.corpus / f"{name}-{'forged' if forged else 'damaged'}-{mark}", symlinks=True)

    def _found(self, what: str, command: tuple[str, ...], path: Path, detail: str) -> None:
        self.findings.append(f"{' '.join(command)[:200]!r}: {what}")
        folder = self.place / "findings" / f"{len(self.findings):04}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        with contextlib.suppress(OSError, shutil.Error):
            shutil.copytree(path, folder / "input", symlinks=True)
        text = f"{command!r}\n{what}\n{detail}"
        (folder / "told.txt").write_text(text, encoding="utf-8", errors="backslashreplace")


def _commands(name: str) -> tuple[tuple[str, ...], ...]:
    """The commands for an input of this name."""
    if name in DATASETS:
        return (("train", "--dataset", name, "--data-dir", "RUN", "--run-dir", "NEW", *SHORTLY),)
    return {"checkpoints": IMPORTING, "distributed": IMPORTING[:1], "ternary": LEVELS}.get(name, READING)


def _slow(*_: object) -> None:
    raise Slow(f"more than {SECONDS} seconds of the processor")


def main() -> None:
    """Fuzz, say what was tried and found, and exit with 1 if something was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0, help="minutes of the processor's time")
    parser.add_argument("--seed", type=int, default=None, help="seed; by default another one each time")
    parser.add_argument("--place", type=Path, default=Path(".fuzz"), help="folder of the corpus and of findings")
    asked = parser.parse_args()
    seed = random.randrange(10**6) if asked.seed is None else asked.seed
    signal.signal(signal.SIGPROF, _slow)
    for name, kind in cifar.PUBLISHED.items():  # archives of a few images pass as the published ones
        cifar.PUBLISHED[name] = replace(kind, images=cifar_files.IMAGES, tested=cifar_files.TESTED)
    fuzzer = Fuzzer(asked.place, seed)
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MEMORY, resource.RLIM_INFINITY))
    try:
        fuzzer.work(time.process_time() + 60.0 * asked.minutes)
    except KeyboardInterrupt:
        print("stopped by Ctrl-C")
    finally:
        shutil.rmtree(fuzzer.room, ignore_errors=True)
    kinds = sorted({*fuzzer.findings})
    minutes = time.process_time() / 60.0
    print(f"seed {seed}: {fuzzer.count} inputs in {minutes:.1f} minutes, {fuzzer.kept} kept in {fuzzer.corpus}")
    print(f"{len(fuzzer.findings)} findings, in {asked.place / 'findings'}", *kinds, sep="\n")
    sys.exit(bool(kinds))


if __name__ == "__main__":
    main()
