"""Run the command line as a module: python -m recu_analysis."""

from recu_analysis.cli import main

main()
