"""Reports: one self-contained HTML page about some runs."""

from kgrl.report.data import RunData
from kgrl.report.page import write_report

__all__ = ["RunData", "write_report"]
