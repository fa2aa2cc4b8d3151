"""The start of the command recu-analyze, and of python -m recu_analysis."""

import sys


def main() -> None:
    """Run the command line; Ctrl-C during loading also gives one sentence."""
    try:
        from recu_analysis.cli import main as run
    except KeyboardInterrupt:
        sys.stderr.write("Error: stopped by Ctrl-C before anything was done\n")
        sys.exit(130)
    run()


if __name__ == "__main__":
    main()
