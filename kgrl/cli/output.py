"""Output of commands: tables with colour on a terminal, plain aligned text when piped.

Titles come from texts of unknown authors, so everything that is printed passes through `plain`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Protocol

from rich import box
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

__all__ = ["Advance", "plain", "progress", "show_facts", "show_table"]

_PIPED_WIDTH = 10_000
"""Columns of output that is not a terminal: wide enough that no line is wrapped."""


def plain(value: object) -> str:
    """Return a value as one line of text, without the control characters that could drive a terminal.

    Numbers get thousands separators; a float gets three decimals.

    Example:
        >>> plain("Two" + chr(27) + "[31m words"), plain(12345), plain(0.25)
        ('Two[31m words', '12,345', '0.250')
    """
    if isinstance(value, float):
        return f"{value:,.3f}"
    # A bool is an int, too, but reads as a word.
    text = f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
    return "".join(character for character in " ".join(text.split()) if character.isprintable())


def _console() -> Console:
    """Return a console on the present standard output; tests and users redirect it."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=_PIPED_WIDTH)


def show_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table and an empty line; columns of numbers are aligned to the right.

    Args:
        title: A line above the table; none if empty.
        columns: The headings.
        rows: One cell for each heading; strings, numbers or anything with a `str`.
    """
    console, rows = _console(), [list(row) for row in rows]
    table = Table(box=box.SIMPLE_HEAD if console.is_terminal else None, pad_edge=False)
    for position, heading in enumerate(columns):
        # Numbers that were formatted before are strings, and are aligned to the left with the other text.
        numeric = all(isinstance(row[position], int | float) for row in rows)
        table.add_column(Text(plain(heading)), justify="right" if numeric and rows else "left")
    _show(console, title, table, rows)


def show_facts(title: str, facts: Iterable[tuple[str, object]]) -> None:
    """Print names and values, one pair a line, and an empty line.

    Args:
        title: A line above them; none if empty.
        facts: Pairs of name and value.
    """
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    _show(_console(), title, table, facts)


def _show(console: Console, title: str, table: Table, rows: Iterable[Sequence[object]]) -> None:
    for row in rows:
        # As `Text`, since Rich reads [red] and the like in strings as markup.
        table.add_row(*(Text(plain(cell)) for cell in row))
    with console.capture() as captured:
        if title:
            console.print(Text(plain(title), style="bold cyan"))
        console.print(table)
    # Rich pads every line with blanks to the table's width; files and diffs are better without.
    console.file.write("\n".join(line.rstrip() for line in captured.get().splitlines()) + "\n\n")


class Advance(Protocol):
    """A function that tells a progress bar how much is done."""

    def __call__(self, done: int, note: str, left: float | None = None) -> None:
        """Show the progress.

        Args:
            done: Units of work that are done.
            note: A few words on the present work.
            left: Seconds that remain, where the work knows them better than the pace so far tells.
        """
        ...


class _TimeLeft(TimeRemainingColumn):
    """A column of the time that remains: as the work itself tells it, or else by the pace so far."""

    def render(self, task: Task) -> Text:
        """Return the cell."""
        left = task.fields["left"]
        return super().render(task) if left is None else Text(str(timedelta(seconds=round(left))), "progress.remaining")


@contextmanager
def progress(title: str, total: int) -> Iterator[Advance]:
    """Show a progress bar on a terminal, and nothing where output is piped.

    Args:
        title: A name for the work.
        total: Units of work in all, for example tokens or steps.

    Yields:
        A function that shows the progress; see `Advance`.
    """

    def advance(done: int, note: str, left: float | None = None) -> None:
        bar.update(task, completed=done, note=plain(note), left=left)

    console = Console(stderr=True)  # standard output is for results
    counts = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), _TimeLeft())
    # Notes hold titles, which could be read as markup.
    columns = (TextColumn("{task.description}", markup=False), *counts, TextColumn("{task.fields[note]}", markup=False))
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(plain(title), total=total, note="", left=None)
        yield advance
