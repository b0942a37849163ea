"""HTML pages read into sections of prose.

Left out are scripts, forms, navigation, code and everything outside of `<main>` where a page has one. The terms of a
definition list lead the paragraph that explains them.
"""

from __future__ import annotations

import re
from collections import Counter
from html.parser import HTMLParser

from kgrl.data.building.document import Document, Section, prose_of
from kgrl.system.prose import clean_line

__all__ = ["read_html"]

_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_SILENT = {
    **dict.fromkeys(("script", "style", "template", "noscript", "svg", "math"), ""),
    **dict.fromkeys(("nav", "footer", "aside", "form", "select", "button", "textarea"), "navigation and forms"),
    "pre": "code",
}
"""Elements whose text is not prose, and the kind under which they are counted; `""` for those that show nothing."""
_BLOCKS = frozenset(
    [
        "address",
        "article",
        "blockquote",
        "body",
        "caption",
        "center",
        "dd",
        "details",
        "dialog",
        "div",
        "dl",
        "dt",
        "fieldset",
        "figcaption",
        "figure",
        "hgroup",
        "header",
        "hr",
        "html",
        "li",
        "main",
        "ol",
        "option",
        "p",
        "section",
        "summary",
        "table",
        "tbody",
        "td",
        "tfoot",
        "th",
        "thead",
        "tr",
        "ul",
    ]
)
_VOID = frozenset(
    ["area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"]
)
_MARKED = re.compile(r"<!\[(?!CDATA\[)[^>]*>?")
"""Marked sections, which browsers take for comments, and at some of which the parser stops."""
_NAVIGATION = {"navigation", "search", "banner", "contentinfo", "complementary"}
"""Roles of elements beside the text."""


def read_html(text: str, key: str) -> Document:
    """Return the document of an HTML page, or of a part of one.

    Args:
        text: The page; elements may be left open.
        key: The key of the document.

    Example:
        >>> page = read_html("<title>Sets</title><h1>Sets</h1><p>A set has <a href='m.html'>members</a>.", "sets.html")
        >>> page.title, [(section.heading, section.text, section.links) for section in page.sections]
        ('Sets', [('Sets', 'A set has members.', ['m.html'])])
    """
    reader = _Reader()
    reader.feed(_MARKED.sub("", text))
    reader.close()
    return reader.document(key)


class _Reader(HTMLParser):
    """Collector of the sections of a page."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._title: list[str] = []
        self._in_title = False
        self._parts: list[str] = []  # the paragraph or heading that is being read
        self._terms: list[str] = []  # terms of a definition list that wait for their paragraph
        self._silent: list[str] = []  # open elements of one name that show no prose
        self._heading = 0  # level of the heading that is being read
        self._main = 0  # number of open <main>
        self._anchors: list[str] = []  # names that wait for the text they stand before
        self._sections = [Section()]
        self._paragraphs: list[list[str]] = [[]]
        self._in_main = [False]
        self._left_out: Counter[str] = Counter()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Begin an element."""
        told = {name: value or "" for name, value in attrs}
        if tag == "title" and not self._title:
            self._in_title = True
        if self._silent:
            if tag == self._silent[0] and tag not in _VOID:
                self._silent.append(tag)
            return
        if tag in _BLOCKS or tag in _HEADINGS or tag in _SILENT or tag == "br":
            self._end_block(soft=tag == "br")
        if (tag in _SILENT or told.get("role") in _NAVIGATION) and tag not in _VOID:
            self._left_out[_SILENT.get(tag, "navigation and forms")] += 1
            self._silent.append(tag)
            return
        if tag == "main":
            self._main += 1
            self._begin_section(0)
        if tag in _HEADINGS:  # also ends a heading that was left open
            self._heading = _HEADINGS[tag]
            self._begin_section(self._heading)
        self._note(tag, told)

    def handle_endtag(self, tag: str) -> None:
        """End an element; one that was not begun is passed over."""
        if tag == "title":
            self._in_title = False
        if self._silent:
            if tag == self._silent[0]:
                self._silent.pop()
            return
        if tag in _BLOCKS or tag in _HEADINGS:
            self._end_block(term=tag == "dt")
            self._heading = 0 if tag in _HEADINGS else self._heading
        if tag == "main" and self._main:
            self._main -= 1
            self._begin_section(0)

    def handle_data(self, data: str) -> None:
        """Read text."""
        if self._in_title:
            self._title.append(data)
        elif not self._silent:
            self._parts.append(data)

    def document(self, key: str) -> Document:
        """Return the document, once all was read."""
        self._end_block()
        self._sections[-1].anchors += self._anchors
        kept = any(
            paragraphs for paragraphs, main in zip(self._paragraphs, self._in_main, strict=True) if main
        )  # a page with an empty <main> has its text elsewhere
        found = [
            prose_of(section, paragraphs)
            for section, paragraphs, main in zip(self._sections, self._paragraphs, self._in_main, strict=True)
            if main or not kept
        ]
        first = next((section.heading for section in found if section.level == 1), "")
        counted = {kind: n for kind, n in self._left_out.items() if kind}
        title = clean_line(" ".join(self._title)) or first
        return Document(key, title, [s for s in found if s.text or s.heading or s.links], left_out=counted)

    def _note(self, tag: str, told: dict[str, str]) -> None:
        """Note the link and the anchor of an element."""
        if tag == "a" and told.get("href"):
            self._sections[-1].links.append(told["href"].strip())
        names = [told[name] for name in ("id", "name") if told.get(name) and (name == "id" or tag == "a")]
        # An element around a heading and its text stands before the heading that it belongs to.
        (self._sections[-1].anchors if self._heading else self._anchors).extend(names)

    def _begin_section(self, level: int) -> None:
        self._sections.append(Section(level=level, anchors=self._anchors if level else []))
        self._anchors = [] if level else self._anchors
        self._paragraphs.append([])
        self._in_main.append(self._main > 0)

    def _end_block(self, soft: bool = False, term: bool = False) -> None:
        """End the paragraph, the heading or the term that was being read; a soft end is a line end in a paragraph."""
        if soft:
            self._parts.append(" ")
            return
        text = clean_line("".join(self._parts))
        self._parts = []
        if self._heading:
            self._sections[-1].heading = f"{self._sections[-1].heading} {text}".strip()
        elif term:
            self._terms += [text] if text else []
        elif text:
            self._sections[-1].anchors += self._anchors
            self._anchors = []
            terms, self._terms = self._terms, []
            self._paragraphs[-1].append(f"{', '.join(terms)}: {text}" if terms else text)
