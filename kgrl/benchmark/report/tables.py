"""The tables of a benchmark's report, each in three forms: on the page, as CSV, and in Markdown.

Names, titles and error messages come from others: each form escapes them in its own way.
"""

from __future__ import annotations

import csv
import html
import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from kgrl.benchmark.report.results import Row

__all__ = ["Column", "Table", "number", "share", "span"]

NONE = "none"
"""What stands where a figure does not exist."""


@dataclass(frozen=True)
class Column:
    """A column as it is read: its heading, and what is written for a row.

    Args:
        heading: The heading.
        shown: From a row to text.
        unit: A line under the heading, or nothing.
        detail: From a row to what stands smaller beside it, an interval for example, or nothing.
        text: Whether it is text, and not a number.
        style: A class of the page's cells, from a row, or nothing.
    """

    heading: str
    shown: Callable[[Row], str]
    unit: str = ""
    detail: Callable[[Row], str] | None = None
    text: bool = False
    style: Callable[[Row], str] | None = None


@dataclass(frozen=True)
class Table:
    """Rows, all of whose plain values go into the CSV, and the columns that are read.

    Args:
        columns: What is read, the row's name first.
        rows: The rows.
    """

    columns: Sequence[Column]
    rows: Sequence[Row]

    def html(self, caption: str) -> str:
        """Return the table as an element that scrolls sideways and can be reached by keyboard.

        Args:
            caption: What it shows, for readers who hear it.
        """
        heads = "".join(_head(column) for column in self.columns)
        body = "".join(self._row(row) for row in self.rows)
        name = html.escape(caption, quote=True)
        table = f'<table><caption class="unseen">{name}</caption><thead><tr>{heads}</tr></thead><tbody>{body}</tbody>'
        return f'<div class="scroll" tabindex="0" role="region" aria-label="{name}">{table}</table></div>'

    def markdown(self) -> str:
        """Return the table in Markdown, with pipes and line breaks escaped."""
        lines = [[f"{c.heading} ({c.unit})" if c.unit else c.heading for c in self.columns]]
        lines += [["---" if column.text else "---:" for column in self.columns]]
        lines += [[_cell(_line(column, row)) for column in self.columns] for row in self.rows]
        return "".join(f"| {' | '.join(line)} |\n" for line in lines)

    def csv(self) -> str:
        """Return every plain value of the rows as CSV: numbers in full, an empty field for None."""
        names = list(dict.fromkeys(name for row in self.rows for name in row))
        written = io.StringIO()
        writer = csv.DictWriter(written, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        return written.getvalue()

    def _row(self, row: Row) -> str:
        first, *others = self.columns
        cells = "".join(f"<td{_class(column, row)}>{_inside(column, row)}</td>" for column in others)
        return f'<tr><th scope="row">{html.escape(first.shown(row))}</th>{cells}</tr>'


def number(value: Any, form: str = ".3f") -> str:
    """Return a figure as text, or that there is none.

    Example:
        >>> number(1234.5, ",.0f"), number(None)
        ('1,234', 'none')
    """
    return NONE if value is None else format(value, form)


def share(value: Any) -> str:
    """Return a share as per cent, or that there is none."""
    return number(value, ".1%")


def span(low: Any, high: Any, form: str = ".3f") -> str:
    """Return an interval as text; a limit that is None is open.

    Example:
        >>> span(1.0, 2.5, ".1f"), span(1.0, None, ".1f"), span(None, 2.0, ".1f"), span(None, None)
        ('1.0 to 2.5', '1.0 or more', '2.0 or less', 'unbounded')
    """
    if low is None and high is None:
        return "unbounded"
    if low is None or high is None:
        return f"{high:{form}} or less" if low is None else f"{low:{form}} or more"
    return f"{low:{form}} to {high:{form}}"


def listed(lines: Iterable[str]) -> str:
    """Return lines of untrusted text as a list of the page."""
    return f"<ul>{''.join(f'<li>{html.escape(line)}</li>' for line in lines)}</ul>"


def _head(column: Column) -> str:
    unit = f"<small>{html.escape(column.unit)}</small>" if column.unit else ""
    text = ' class="text"' if column.text else ""
    return f'<th scope="col"{text}>{html.escape(column.heading)}{unit}</th>'


def _detail(column: Column, row: Row) -> str:
    return column.detail(row) if column.detail else ""


def _inside(column: Column, row: Row) -> str:
    detail = _detail(column, row)
    return html.escape(column.shown(row)) + (f"<small>{html.escape(detail)}</small>" if detail else "")


def _line(column: Column, row: Row) -> str:
    detail = _detail(column, row)
    return column.shown(row) + (f" ({detail})" if detail else "")


def _class(column: Column, row: Row) -> str:
    names = (["text"] if column.text else []) + ([column.style(row)] if column.style else [])
    return f' class="{html.escape(" ".join(names))}"' if names else ""


def _cell(text: str) -> str:
    """Text within a cell of Markdown: what would be markup or end the cell is escaped."""
    line = html.escape(" ".join(text.split()), quote=False)
    return "".join(f"\\{character}" if character in "\\|`*_[]" else character for character in line)
