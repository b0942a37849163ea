"""Display of objects: the expression that makes one, counts, and tables for notebooks.

Titles come from untrusted sources. Every cell of a table is escaped, so that no title becomes markup.
"""

from __future__ import annotations

import html
import inspect
import reprlib
from collections.abc import Iterable, Sequence
from typing import Any

__all__ = ["constructor_text", "count_text", "html_table", "options_of", "title_text"]

_LONGEST = 200
"""Most letters of a table's cell."""

_titles = reprlib.Repr()
_titles.maxstring = 60


def options_of(thing: object, *, changed: bool = False) -> dict[str, Any]:
    """Return the constructor's arguments of an object, read from its attributes of the same names.

    Args:
        thing: The object. Arguments that it does not keep under their names are left out.
        changed: Leave out arguments that have their default value, too.

    Example:
        >>> from kgrl.rewards import FacilityLocation
        >>> options_of(FacilityLocation(sample=64)), options_of(FacilityLocation(), changed=True)
        ({'sample': 64}, {})
    """
    parameters = inspect.signature(type(thing)).parameters.values()
    options = {p.name: getattr(thing, p.name) for p in parameters if hasattr(thing, p.name)}
    defaults = {p.name: p.default for p in parameters} if changed else {}
    # By type first: to compare an array with its default would give an array.
    return {
        name: value
        for name, value in options.items()
        if name not in defaults or type(value) is not type(defaults[name]) or value != defaults[name]
    }


def constructor_text(thing: object) -> str:
    """Return the call that makes an object, such as `Closure(c=1.0)`, for classes that keep their arguments.

    A class uses it as its `__repr__`.
    """
    options = ", ".join(f"{name}={value!r}" for name, value in options_of(thing).items())
    return f"{type(thing).__name__}({options})"


def count_text(count: int, one: str, many: str | None = None) -> str:
    """Return a count with its noun.

    Args:
        count: The count.
        one: The noun in the singular.
        many: The noun in the plural; `one` with an s if None.

    Example:
        >>> count_text(1, "topic"), count_text(12_000, "topic"), count_text(2, "category", "categories")
        ('1 topic', '12,000 topics', '2 categories')
    """
    return f"{count:,} {one if count == 1 else many or f'{one}s'}"


def title_text(title: str) -> str:
    """Return a title in quotes, on one line; the middle of a long one is cut out.

    Example:
        >>> print(title_text("Set theory"), title_text("Set" * 100))
        'Set theory' 'SetSetSetSetSetSetSetSetSet...tSetSetSetSetSetSetSetSetSet'
    """
    return _titles.repr(title)


def html_table(caption: str, head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table as HTML, every text escaped; numbers are aligned to the right.

    Args:
        caption: The line above the table.
        head: The names of the columns.
        rows: The cells by row: text, numbers, or None for an empty cell. Floats are shown with four digits.

    Example:
        >>> html_table("Two & more", ["title"], [["<b>"]])
        '<table><caption>Two &amp; more</caption><thead><tr><th>title</th></tr></thead><tbody><tr><td
        style="text-align:left">&lt;b&gt;</td></tr></tbody></table>'
    """
    names = "".join(f"<th>{html.escape(name)}</th>" for name in head)
    body = "".join(f"<tr>{''.join(map(_html_cell, row))}</tr>" for row in rows)
    return (
        f"<table><caption>{html.escape(caption)}</caption><thead><tr>{names}</tr></thead><tbody>{body}</tbody></table>"
    )


def _html_cell(value: object) -> str:
    if isinstance(value, int | float):
        text, side = f"{value:.4g}" if isinstance(value, float) else f"{value:,}", "right"
    else:
        text, side = "" if value is None else str(value), "left"
        text = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
    return f'<td style="text-align:{side}">{html.escape(text)}</td>'
