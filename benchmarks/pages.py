"""Pages of docs/results whose tables scripts write between comments; the text around the tables is written by hand."""

from __future__ import annotations

__all__ = ["fill"]


def fill(page: str, name: str, text: str) -> str:
    """Return a page with new text between the two comments that name its place.

    Raises:
        SystemExit: If the page does not have the two comments.
    """
    begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->\n"
    before, found, rest = page.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise SystemExit(f"the page needs the lines {begin.strip()} and {end.strip()}")
    return f"{before}{begin}\n{text}\n{end}{after}"
