"""Inputs that atheris chooses by what the parsers do: python -m tests.fuzz.guided FOLDER -max_total_time=120.

FOLDER keeps inputs that reached something new; further arguments are those of libFuzzer.
"""

import subprocess
import sys
from pathlib import Path


def main() -> None:
    """Fuzz until libFuzzer ends; a finding is an exception that is not ours, a hang, or too much memory."""
    try:
        import atheris
    except ModuleNotFoundError:
        sys.exit("atheris is not installed, so nothing guides the inputs; pip install atheris, or use make test-fuzz")
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    # In a process of its own, because numba cannot compile the code that atheris has changed.
    subprocess.run([sys.executable, "-m", "tests.fuzz.parsers", folder], check=True)
    with atheris.instrument_imports(include=["recu_analysis"]):
        from tests.fuzz import parsers
    atheris.Setup([sys.argv[0], "-timeout=60", "-rss_limit_mb=6000", *sys.argv[2:], str(folder)], parsers.one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
