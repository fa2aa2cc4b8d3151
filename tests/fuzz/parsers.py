"""One function for each kind of file, which reads it from bytes; the first byte of an input chooses the function.

Files of JSON are sealed anew, since no chosen byte passes a seal.
python -m tests.fuzz.parsers FOLDER writes whole files as inputs.
"""

import contextlib
import functools
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from recu_analysis.errors import RecuError
from recu_analysis.interop.checkpoints import read_state
from recu_analysis.store.ends import with_end
from recu_analysis.store.header import RunHeader
from recu_analysis.store.sealing import seal, sealed
from recu_analysis.store.segments import Segment, read_marks, read_segment
from recu_analysis.store.shard import ShardHeader
from recu_analysis.store.tensors import TensorFile
from tests.fuzz import inputs

#: Files of runs and of checkpoints, in the order of `PARSERS`.
RUN_FILES = ("run.json", "segment.json", "end.json", "metrics.jsonl", "00001-of-00001.safetensors")
CHECKPOINTS = ("e0.pth", "a.safetensors", "a.safetensors.index.json", ".metadata")


def one(data: bytes) -> None:
    """Read one input; only errors of ours are passed over."""
    if data:
        with contextlib.suppress(RecuError):
            PARSERS[data[0] % len(PARSERS)](data[1:])


def seeds(folder: Path) -> None:
    """Write whole files as inputs."""
    with tempfile.TemporaryDirectory() as place:
        inputs.make(Path(place))
        for at, name in enumerate((*RUN_FILES, *CHECKPOINTS)):
            for number, file in enumerate(sorted(Path(place).rglob(name))):
                if file.parent.name == "segment-0001":  # the parsers read files as of segment 0
                    continue
                (folder / f"{at}-{number}").write_bytes(bytes([at]) + file.read_bytes())


@functools.cache
def _place() -> Path:
    return Path(tempfile.mkdtemp(prefix="parsed"))


def _file(name: str, data: bytes) -> Path:
    (_place() / name).write_bytes(data)
    return _place() / name


def _resealed(text: bytes) -> bytes:
    """A JSON object with a seal that fits; any other text as it is."""
    try:
        content = json.loads(text)
        content.pop("seal", None)
        return json.dumps(sealed(content)).encode()
    except (ValueError, TypeError, AttributeError, RecursionError):
        return text


def _run(data: bytes) -> None:
    RunHeader.from_json(_resealed(data), "run.json").to_json()


def _segment(data: bytes) -> None:
    read_segment(_file("segment.json", _resealed(data)).parent, 0, 2)


def _end(data: bytes) -> None:
    with_end(Segment(_file("end.json", _resealed(data)).parent, 0, 0))


def _metrics(data: bytes) -> None:
    file = _file("metrics.jsonl", b"".join(_resealed(line) + b"\n" for line in data.split(b"\n")[:-1]))
    for mark in read_marks(file.parent, 2):
        assert isinstance(mark["update"], int)


def _window(data: bytes) -> None:
    length = int.from_bytes(data[:8], "little")
    with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError, RecursionError):
        content = json.loads(data[8 : 8 + length])
        content["__metadata__"]["seal"] = seal(content["__metadata__"]["header"])
        head = json.dumps(content).encode()
        data = len(head).to_bytes(8, "little") + head + data[8 + length :]
    file = TensorFile(_file("window.safetensors", data), "window")
    header = ShardHeader.from_metadata(file.metadata, "window")
    for name in file.entries:
        file.read(name, header.digests.get(name))


def _checkpoint(name: str, data: bytes) -> None:
    read_state(_file(name, data))


PARSERS: tuple[Callable[[bytes], None], ...] = (
    *(_run, _segment, _end, _metrics, _window),
    *(functools.partial(_checkpoint, name) for name in CHECKPOINTS),
)

if __name__ == "__main__":
    seeds(Path(sys.argv[1]))
