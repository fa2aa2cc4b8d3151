"""A process of its own for recordings that die, or that the system refuses something."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture(scope="module")
def order_recording() -> Iterator[Callable[..., dict[str, Any]]]:
    """Give an order to record_and_die.py and return its answer."""
    command = [sys.executable, str(Path(__file__).with_name("record_and_die.py"))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:

        def order(path, **what):
            process.stdin.write(json.dumps({"path": str(path)} | what) + "\n")
            process.stdin.flush()
            return json.loads(process.stdout.readline())

        yield order
        process.stdin.close()
