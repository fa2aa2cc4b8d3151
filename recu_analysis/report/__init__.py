"""The report: runs as one HTML page that needs nothing else."""

from recu_analysis.report.page import report
from recu_analysis.report.writing import write_report

__all__ = ["report", "write_report"]
