from .data import RunData as RunData
from .page import write_report as write_report
