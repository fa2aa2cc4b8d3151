"""The report: runs as one HTML page that needs nothing else."""

from recu_analysis.report.page import report

__all__ = ["report"]
