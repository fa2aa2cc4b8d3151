"""How the fuzzer damages a folder: bytes, lines, files and folders; and values under seals that fit."""

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path

from recu_analysis.store.sealing import dump_json, seal, sealed

#: Values of JSON that code which expects another kind may stumble over.
VALUES = (
    *(None, True, -1, 0, 1, 2**31, 2**63 - 1, 2**63, 10**30, 1e308, -0.0, 1e-320),
    *("", "x", "\x1b[31m\n", "\ud800", [], [[]], {}),
)
#: Names that an entry gets.
NAMES = ["window-000009", "segment-0009", f"window-{'9' * 30}", f"segment-{'9' * 12}", "x", "é\n"]
#: Bytes that mean something in the files of a run.
BYTES = (b"\0", b"\n", b"\r", b'"', b"{", b"}", b"[", b",", b"9" * 30, b"1e999", b"NaN", b"\xff\xfe", b"-")


def files(folder: Path) -> list[Path]:
    """The regular files of a folder."""
    return sorted(file for file in folder.rglob("*") if file.is_file() and not file.is_symlink())


def damage(folder: Path, rng: random.Random) -> None:
    """Change something of a folder in one to three places, under seals that no longer fit."""
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        kind = rng.choice((_bytes, _bytes, _bytes, _bytes, _lines, _swap, _folder))
        kind(folder, rng)


def forge(folder: Path, rng: random.Random) -> None:
    """Change a value of a file of JSON, or of the header of a window, and seal it anew."""
    changed = [file for file in files(folder) if file.suffix in {".json", ".jsonl", ".safetensors"}]
    if not changed:
        return
    file = rng.choice(changed)
    try:
        {".json": _forge_json, ".jsonl": _forge_lines, ".safetensors": _forge_window}[file.suffix](file, rng)
    except (ValueError, KeyError, TypeError, RecursionError):  # it was damaged before
        _bytes(folder, rng)


def _bytes(folder: Path, rng: random.Random) -> None:
    found = files(folder)
    if not found:
        return
    # Small files as often as the many windows.
    by_name: dict[str, list[Path]] = {}
    for each in found:
        by_name.setdefault(each.name, []).append(each)
    file = rng.choice(by_name[rng.choice(sorted(by_name))])
    content = bytearray(file.read_bytes())
    at = rng.randrange(len(content) + 1)
    end = min(at + rng.choice((1, 4, 30, 4000)), len(content))
    match rng.randrange(6):
        case 0 | 1 if at < len(content):
            content[at] ^= 1 << rng.randrange(8)
        case 2:
            content[at:end] = rng.choice(BYTES)
        case 3:
            del content[at:end]
        case 4:
            content[at:at] = content[at:end]
        case _:
            del content[at:]
    file.write_bytes(content)


def _lines(folder: Path, rng: random.Random) -> None:
    found = [file for file in files(folder) if file.suffix == ".jsonl"]
    if not found:
        return _bytes(folder, rng)
    file = rng.choice(found)
    lines = file.read_bytes().splitlines(keepends=True)
    if lines:
        at = rng.randrange(len(lines))
        rng.choice((lambda: lines.pop(at), lambda: lines.insert(at, lines[at]), lambda: rng.shuffle(lines)))()
    file.write_bytes(b"".join(lines))
    return None


def _swap(folder: Path, rng: random.Random) -> None:
    """Put the content of one file into another one."""
    found = files(folder)
    if found:
        rng.choice(found).write_bytes(rng.choice(found).read_bytes())


def _folder(folder: Path, rng: random.Random) -> None:
    """Delete, rename, double or replace an entry."""
    found = sorted(folder.rglob("*"))
    if not found:
        return
    entry = rng.choice(found)
    other = entry.with_name(rng.choice([each.name for each in found] + NAMES))
    match rng.randrange(4):
        case 0:
            shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
        case 1 if not other.exists():
            entry.rename(other)
        case 2 if entry.is_dir() and not other.exists() and not entry.is_symlink():
            shutil.copytree(entry, other, symlinks=True)
        case _ if entry.is_file() and not entry.is_symlink():
            entry.unlink()
            entry.symlink_to("/etc/hostname") if rng.random() < 0.5 else entry.mkdir()


def _value(content: object, rng: random.Random) -> None:
    """Replace, remove or add a value somewhere in JSON."""
    places: list[tuple[dict | list, object]] = []
    ahead = [content]
    while ahead:
        each = ahead.pop()
        items: list[tuple[object, object]] = []
        if isinstance(each, dict):
            items = list(each.items())
        elif isinstance(each, list):
            items = list(enumerate(each))
        places += [(each, key) for key, _ in items]  # type: ignore[misc]
        ahead += [value for _, value in items]
    if not places:
        return
    holder, key = rng.choice(places)
    old = holder[key]  # type: ignore[index]
    number = isinstance(old, int | float) and not isinstance(old, bool)
    near: tuple = (old + 1, old - 1, -old, old * 2, old * 0.5) if number else ()  # type: ignore[operator]
    if rng.random() < 0.1:
        del holder[key]  # type: ignore[arg-type]
    else:
        holder[key] = rng.choice((*near, *near, *VALUES))  # type: ignore[index]


def _forge_json(file: Path, rng: random.Random) -> None:
    content = json.loads(file.read_bytes())
    content.pop("seal", None)
    _value(content, rng)
    file.write_text(json.dumps(sealed(content)))


def _forge_lines(file: Path, rng: random.Random) -> None:
    lines = [json.loads(line) for line in file.read_bytes().splitlines()]
    if not lines:
        raise ValueError
    _value(rng.choice(lines).get("mark"), rng)
    texts = [dump_json(sealed({name: line[name] for name in ("line", "mark")})) for line in lines]
    file.write_text("".join(f"{text}\n" for text in texts))


def _forge_window(file: Path, rng: random.Random) -> None:
    data = file.read_bytes()
    length = int.from_bytes(data[:8], "little")
    content = json.loads(data[8 : 8 + length])
    header = json.loads(content["__metadata__"]["header"])
    _value(header, rng)
    text = dump_json(header)
    content["__metadata__"] |= {"header": text, "seal": seal(text)}
    new = json.dumps(content).encode()
    file.write_bytes(len(new).to_bytes(8, "little") + new + data[8 + length :])


Mutation = Callable[[Path, random.Random], None]
