"""The start of the command recu-analyze, and of python -m recu_analysis."""

import os
import sys


def main() -> None:
    """Run the command line; Ctrl-C during loading also gives one sentence."""
    # The command draws into files only. A notebook's MPLBACKEND may name a backend that is not installed here.
    os.environ["MPLBACKEND"] = "agg"
    try:
        from recu_analysis.cli import main as run
    except KeyboardInterrupt:
        sys.stderr.write("Error: stopped by Ctrl-C before anything was done\n")
        sys.exit(130)
    run()


if __name__ == "__main__":
    main()
