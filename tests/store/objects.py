"""A server of objects for tests: a process of this machine that the tests can fault, kill and start again."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

#: What must be in no file and no message.
SECRET = "wJalrXUtnFEMI-not-a-real-secret"
BUCKET = "bucket"


class ObjectServer:
    """Serves the folder `root`; the bucket is a folder in it, and each object a file."""

    def __init__(self, root: Path) -> None:
        self.root, self.port = root, 0
        (root / BUCKET).mkdir(parents=True)
        self.start()

    def start(self) -> None:
        """Start the process, under the same port as before."""
        command = [sys.executable, str(Path(__file__).with_name("object_server.py")), str(self.root), str(self.port)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline())

    def kill(self) -> None:
        """Kill the process; the objects stay."""
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    @property
    def environment(self) -> dict[str, str]:
        """The variables with which a process reaches the server."""
        return {
            "AWS_ACCESS_KEY_ID": "tester",
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}",
            "AWS_ALLOW_HTTP": "true",
        }

    def url(self, name: str) -> str:
        """The URL of a run."""
        return f"s3://{BUCKET}/runs/{name}"

    def folder(self, name: str) -> Path:
        """The objects of a run, as files."""
        return self.root / BUCKET / "runs" / name

    def counts(self) -> dict[str, int]:
        """Requests and bytes since the faults were last set."""
        return self._control(None)

    def fault(self, *faults: dict[str, Any]) -> None:
        """Replace the faults, and count from 0: each has `kind`, `match` (of method and address) and `times`."""
        self._control(json.dumps(faults).encode())

    def _control(self, data: bytes | None) -> dict[str, int]:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/-/", data) as answer:
            return json.load(answer)
