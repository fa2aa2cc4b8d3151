"""The report: runs as one self-contained HTML page."""

from recu_analysis.report.page import report

__all__ = ["report"]
