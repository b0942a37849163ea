"""Cleaning of hard-wrapped article text: prose is joined into paragraphs, and everything else is dropped.

Made for the text dumps of the 2007 Wikipedia Selection for schools, which Wikispeedia ships.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

__all__ = ["clean_article"]

_MARGIN = 73
"""Width in columns. A line that had room for the next word within this width was broken on purpose, not wrapped. Over
all lines of the dump, line ends become two hundred times as frequent from 74 to 75 columns (73 in block quotes)."""

_LEAST_WORDS = 8
"""Words of the shortest paragraph that is kept; headings and captions have fewer."""
_ENLARGE = "Enlarge"
_HEADER = re.compile(r"\A\s*#copyright.*?^2007 Schools Wikipedia Selection\..*?\n\s*\n", re.DOTALL | re.MULTILINE)
_FOOTER = re.compile(r'^\s*Retrieved from "[^\n]*\n.*\Z', re.DOTALL | re.MULTILINE)
_BULLET = re.compile(r"\s{3,}(?:[*o+#]|\d{1,3}\.)\s+(?=\S)")
_SENTENCE_END = re.compile(r"[.!?:][\"'”’)\]]*\Z")
_SENTENCE_START = re.compile(r"[\"'“‘(\[]?[^\W_a-z]")
_NOTICE = re.compile(
    r"\^|SOS Children|CAPTION:|Image:|For other uses|Main article|See also|Infobox"
    r"|Note: This page|Without proper rendering"
    r"|This (?:article|page|image) |This is a (?:featured|spoken) article|[^.]*(?:redirects? here|\(disambiguation\))"
)
_APPENDICES = {
    "bibliography", "external links", "footnotes", "further reading", "gallery", "image gallery", "notes", "references",
    "see also", "sister cities", "sources",
}  # fmt: skip
_REPAIRS = (
    (re.compile(r"\{+`?\{?[^{}]*\}+"), ""),  # templates the dump did not expand
    (re.compile(r"^=+\s*"), ""),
    (re.compile(r"(?<=[A-Za-z)])\[(\d+)\]"), r"\1"),  # subscripts: H[2]O
    (re.compile(r"([(\[])\s+"), r"\1"),  # the dump puts a space before every link
    (re.compile(r"(^|[\s(])([\"“]) (?=\w)"), r"\1\2"),
    (re.compile(r"(?<=\d)([–-]) (?=\d)"), r"\1"),
    (re.compile(r"\s+([,;.)])(?=\s|$)"), r"\1"),
    (re.compile(r"\(\s*[,;]?\s*\)"), ""),  # the rest of a removed pronunciation
    (re.compile(r"\s{2,}"), " "),
)


def clean_article(text: str) -> str:
    """Return the prose of an article, one paragraph a line.

    Header, footer, headings, appendices, infoboxes, tables, captions, footnotes and lists of names are dropped; list
    items that are sentences stay.

    Args:
        text: An article as `plaintext_articles` holds it.

    Example:
        >>> print(clean_article('''   #copyright
        ...
        ... Mars
        ...
        ... 2007 Schools Wikipedia Selection. Related subjects: Space
        ...
        ...    Mass 6.4e23 kg
        ...    Radius 3390 km
        ...
        ...    Mars is the fourth planet from the Sun in the Solar System, named after
        ...    the Roman god of war ( Mars).
        ...
        ...    Retrieved from " http://en.wikipedia.org/wiki/Mars"
        ... '''))
        Mars is the fourth planet from the Sun in the Solar System, named after the Roman god of war (Mars).
    """
    body = _FOOTER.sub("", _HEADER.sub("", text.replace("\r\n", "\n")))
    paragraphs: dict[str, None] = {}  # in order; the dump has some paragraphs twice
    for section in _sections(body.split("\n")):
        found = list(_paragraphs(section))
        # A caption stands both before and after the word "Enlarge" below its picture.
        captions = {at + side for at, paragraph in enumerate(found) if paragraph == _ENLARGE for side in (-1, 1)}
        for at, paragraph in enumerate(found):
            if at not in captions and _is_prose(paragraph):
                for pattern, replacement in _REPAIRS:
                    paragraph = pattern.sub(replacement, paragraph)
                paragraphs[paragraph.strip()] = None
    return "\n\n".join(paragraphs)


def _sections(lines: list[str]) -> Iterator[list[str]]:
    """Yield the lines of each section without its heading; appendices are left out."""
    section: list[str] = []
    wanted = True
    for line in lines:
        if line[:1].strip():  # only headings start in the first column
            if wanted:
                yield section
            section, wanted = [], line.strip().lower() not in _APPENDICES
        else:
            section.append(line)
    if wanted:
        yield section


def _paragraphs(lines: list[str]) -> Iterator[str]:
    """Yield paragraphs joined from hard-wrapped lines. A line that was broken on purpose ends its paragraph."""
    gathered: list[str] = []
    last = ""
    for line in [*lines, ""]:
        words = line.split()
        starts = not words or _ENLARGE in (line.strip(), last.strip()) or _BULLET.match(line) is not None
        if gathered and (starts or len(last) + 1 + len(words[0]) < _MARGIN):
            yield " ".join(gathered)
            gathered = []
        gathered += _BULLET.sub("", line).split()
        last = line


def _is_prose(paragraph: str) -> bool:
    """Return whether a paragraph consists of sentences, unlike captions, table rows, headings and names."""
    return bool(
        paragraph.count(" ") >= _LEAST_WORDS - 1
        and _SENTENCE_END.search(paragraph)
        and _SENTENCE_START.match(paragraph)
        and not _NOTICE.match(paragraph)
    )
