"""Run the command line as a module: python -m recu_analysis; and where the command recu-analyze begins."""

import sys


def main() -> None:
    """Run the command line; Ctrl-C while it is still being loaded is one sentence too."""
    try:
        from recu_analysis.cli import main as run
    except KeyboardInterrupt:
        sys.stderr.write("Error: stopped by Ctrl-C before anything was done\n")
        sys.exit(130)
    run()


if __name__ == "__main__":
    main()
