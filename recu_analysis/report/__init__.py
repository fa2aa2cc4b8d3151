"""The report: runs as one self-contained HTML page."""

from recu_analysis.report.page import report
from recu_analysis.report.writing import write_report

__all__ = ["report", "write_report"]
