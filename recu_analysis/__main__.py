"""The start of the command recu-analyze, and of python -m recu_analysis."""

import logging
import os
import sys


def main() -> None:
    """Run the command line; Ctrl-C during loading also gives one sentence."""
    # The command draws into files only. A notebook's MPLBACKEND may name a backend that is not installed here.
    os.environ["MPLBACKEND"] = "agg"
    for name in ("matplotlib", "matplotlib.font_manager"):
        logging.getLogger(name).addFilter(_needed)
    try:
        from recu_analysis.cli import main as run
    except KeyboardInterrupt:
        sys.stderr.write("Error: stopped by Ctrl-C before anything was done\n")
        sys.exit(130)
    run()


def _needed(record: logging.LogRecord) -> bool:
    """Whether a message of matplotlib says more than its sentence on a home folder that cannot be written."""
    return not record.getMessage().startswith(("mkdir -p failed", "Matplotlib is building the font cache"))


if __name__ == "__main__":
    main()
