"""The run directory's names and versions."""

from __future__ import annotations

import os
import re
import secrets

#: What is written; format 1 is read too.
FORMAT_VERSION = 2
SHARD_FORMAT = "recu-analysis-window/"
MAX_HEADER_BYTES = 16 * 2**20
#: The largest whole number that readers take, and how deep they take JSON in JSON.
MAX_WHOLE = 2**63 - 1
MAX_DEPTH = 100
#: metrics.jsonl grows with every mark.
MAX_METRICS_BYTES = 2**30

RUN_FILE = "run.json"
LOCK_FILE = "lock"
HISTORY = "history"
STAGING = "staging"
SEGMENT_FILE = "segment.json"
METRICS_FILE = "metrics.jsonl"
REFUSED_FILE = "refused.json"
CHECKPOINTS = "checkpoints"

SEGMENT_NAME = re.compile(r"segment-(\d{4}|[1-9]\d{4,})", re.ASCII)
WINDOW_NAME = re.compile(r"window-(\d{6}|[1-9]\d{6,})", re.ASCII)
#: What a recorder makes that is not part of a run yet, or no longer: whatever has another name is somebody's.
PART_NAME = re.compile(r"\.\d+-[0-9a-f]{16}\.part", re.ASCII)
SHARD_NAME = re.compile(r"(\d{5})-of-(\d{5})\.safetensors", re.ASCII)


def part_name() -> str:
    """A new name of what is not part of the run, hidden from users."""
    return f".{os.getpid()}-{secrets.token_hex(8)}.part"


def segment_name(number: int) -> str:
    """Folder of the segment of that number."""
    return f"segment-{number:04d}"


def window_name(number: int) -> str:
    """Folder of the window of that number."""
    return f"window-{number:06d}"


def shard_name(rank: int, world_size: int) -> str:
    """File of one rank's part of a window; ranks count from 0, file names from 1."""
    return f"{rank + 1:05d}-of-{world_size:05d}.safetensors"
