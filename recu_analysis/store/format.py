"""File names, folder names and version numbers of the run directory."""

from __future__ import annotations

import os
import re
import secrets

#: The format that is written. Format 1 can also be read.
FORMAT_VERSION = 2
SHARD_FORMAT = "recu-analysis-window/"
MAX_HEADER_BYTES = 16 * 2**20
#: The largest whole number and the deepest nesting of JSON that readers accept.
MAX_WHOLE = 2**63 - 1
MAX_DEPTH = 100
#: Limit for metrics.jsonl, which grows with every mark.
MAX_METRICS_BYTES = 2**30

RUN_FILE = "run.json"
LOCK_FILE = "lock"
HISTORY = "history"
STAGING = "staging"
SEGMENT_FILE = "segment.json"
END_FILE = "end.json"
METRICS_FILE = "metrics.jsonl"
REFUSED_FILE = "refused.json"
CHECKPOINTS = "checkpoints"

SEGMENT_NAME = re.compile(r"segment-(\d{4}|[1-9]\d{4,})", re.ASCII)
WINDOW_NAME = re.compile(r"window-(\d{6}|[1-9]\d{6,})", re.ASCII)
#: Temporary files and folders of a recorder. Entries with other names are never deleted.
PART_NAME = re.compile(r"\.\d+-[0-9a-f]{16}\.part", re.ASCII)
SHARD_NAME = re.compile(r"(\d{5})-of-(\d{5})\.safetensors", re.ASCII)


def part_name() -> str:
    """A new hidden name for a temporary file or folder."""
    return f".{os.getpid()}-{secrets.token_hex(8)}.part"


def segment_name(number: int) -> str:
    """Name of a segment's folder."""
    return f"segment-{number:04d}"


def window_name(number: int) -> str:
    """Name of a window's folder."""
    return f"window-{number:06d}"


def shard_name(rank: int, world_size: int) -> str:
    """Name of the file with one rank's part of a window; ranks count from 0, file names from 1."""
    return f"{rank + 1:05d}-of-{world_size:05d}.safetensors"
