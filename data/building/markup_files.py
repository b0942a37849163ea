"""Markdown, reStructuredText and plain text read into documents.

Markdown and reStructuredText are turned into HTML by the libraries that are kept for them (markdown-it-py, docutils),
so that one reader decides what is prose.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any
from urllib.parse import quote

from kgrl.data.building.document import Document, Section, prose_of
from kgrl.data.building.html_pages import read_html
from kgrl.errors import DataError, MissingDataError
from kgrl.system.prose import clean_line
from kgrl.system.schemas import decode_yaml
from kgrl.system.sentences import word_count

__all__ = ["BY_LABEL", "BY_TITLE", "plain_paragraphs", "read_markdown", "read_plain", "read_rst"]

BY_TITLE, BY_LABEL = "title:", "label:"
"""Beginnings of links that name a title (`[[Title]]`) or a label (`:ref:`) instead of a place."""
_FRONT = re.compile(r"\A---[ \t]*\n(.*?)\n(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL)
_WIKI_LINK = re.compile(r"(?<!!)\[\[([^\[\]|#\n]+)(?:#[^\[\]|\n]*)?(?:\|([^\[\]\n]+))?\]\]")
_DIRECTIVE = re.compile(r"^\s*\.\. (?:\|[^|\n]+\| )?([A-Za-z][\w:.+-]*)::", re.MULTILINE)
_ROLE = re.compile(r":([A-Za-z][\w:.+-]*):`|`:([A-Za-z][\w:.+-]*):")
_ROLE_TARGET = re.compile(r"(.+?)\s*<([^<>]+)>\Z", re.DOTALL)
_WITHOUT_PROSE = {"toctree", "index", "literalinclude", "testcode", "testsetup", "doctest", "sourcecode", "only"}
"""Directives of Sphinx whose content is not prose, or not of every reader."""
_WRAPPED_WORDS = 8
"""Words of a line that was broken for its length; a shorter line was broken on purpose."""


def read_markdown(text: str, key: str) -> Document:
    r"""Return the document of a Markdown file; front matter may state `title` and `category`, `[[Title]]` is a link.

    Example:
        >>> page = read_markdown("# Sets\nA set has [members](m.md), and [[Logic|laws]].", "sets.md")
        >>> page.title, page.sections[0].text, page.sections[0].links
        ('Sets', 'A set has members, and laws.', ['m.md', 'title:Logic'])
    """
    front = _FRONT.match(text)
    told = _front_matter(front[1]) if front else {}
    body = text[front.end() :] if front else text
    linked = _WIKI_LINK.sub(lambda m: f"[{m[2] or m[1]}](<{BY_TITLE}{quote(m[1].strip())}>)", body)
    page = read_html(_markdown().render(linked), key)
    page.title = clean_line(str(told.get("title") or "")) or page.title
    page.category = clean_line(str(told.get("category") or ""))
    return page


def read_rst(text: str, key: str) -> Document:
    r"""Return the document of a reStructuredText file; roles and directives of Sphinx are read for their text.

    Raises:
        MissingDataError: If docutils is not installed.

    Example:
        >>> page = read_rst("Sets\n====\n\nA set has members, see :doc:`logic` and `laws <l.html>`_.\n", "sets.rst")
        >>> page.title, page.sections[0].text, page.sections[0].links
        ('Sets', 'A set has members, see logic and laws.', ['logic', 'l.html'])
    """
    try:
        import docutils.core
    except ImportError as error:
        raise MissingDataError("reStructuredText needs a package: pip install 'kgrl[rst]'") from error
    _register_unknown(text)
    settings = {
        # Nothing but the text is read: no files, no raw HTML, no configuration.
        "file_insertion_enabled": False,
        "raw_enabled": False,
        "_disable_config": True,
        "report_level": 5,
        "halt_level": 6,
        "doctitle_xform": False,
        "sectsubtitle_xform": False,
        "syntax_highlight": "none",
        "initial_header_level": 1,
        "embed_stylesheet": False,
        "line_length_limit": 10**7,
    }
    parts = docutils.core.publish_parts(text, writer="html5", settings_overrides=settings)
    return read_html(parts["html_body"], key)


def read_plain(text: str, key: str) -> Document:
    r"""Return the document of a plain text: one section of prose.

    Example:
        >>> read_plain("Logic is old, and\nit is the study of\nreasoning.", "logic.txt").text
        'Logic is old, and it is the study of reasoning.'
    """
    return Document(key, sections=[prose_of(Section(), plain_paragraphs(text))])


def plain_paragraphs(text: str) -> Iterator[str]:
    """Yield the paragraphs of a plain text, each on one line.

    Lines that were broken for their length are joined: a line goes on in the next if it has eight words, or if the next
    begins with a small letter. An empty line ends a paragraph.
    """
    gathered = last = ""
    for line in [*text.splitlines(), ""]:
        line = line.strip()
        if gathered and (not line or not (line[0].islower() or word_count(last) >= _WRAPPED_WORDS)):
            yield gathered
            gathered = ""
        # In scripts without spaces a line end is no space.
        space = " " if gathered and (gathered[-1].isascii() or line[:1].isascii()) else ""
        gathered, last = f"{gathered}{space}{line}", line


def _front_matter(text: str) -> dict[str, Any]:
    """Return the fields of a front matter; none if it is not a table, since Markdown has no rule for it."""
    try:
        return decode_yaml(text, dict[str, Any], "front matter")
    except DataError:
        return {}


@cache
def _markdown() -> Any:
    from markdown_it import MarkdownIt  # here, since few read Markdown

    return MarkdownIt("commonmark").enable(["table", "strikethrough"])


def _register_unknown(text: str) -> None:
    """Teach docutils the roles and directives that a text uses and only Sphinx, or an extension, knows."""
    from docutils.parsers.rst import directives, roles

    for name in set(_DIRECTIVE.findall(text)):
        if name.lower() not in directives._directive_registry and name not in directives._directives:
            directives.register_directive(name, _directive(name))
    for name in {first or second for first, second in _ROLE.findall(text)}:
        if name.lower() not in roles._role_registry and name not in roles._roles:
            roles.register_local_role(name, _role)


def _directive(name: str) -> type:
    """Return a directive that reads its content as text, or passes over it."""
    from docutils import nodes
    from docutils.parsers.rst import Directive

    class Unknown(Directive):  # type: ignore[misc]
        """A directive that docutils does not know."""

        optional_arguments, final_argument_whitespace, has_content = 100, True, True

        def run(self) -> list[Any]:
            """Return the nodes of the content."""
            if name.split(":")[-1].lower() in _WITHOUT_PROSE or name.lower().startswith("auto"):
                return []
            node = nodes.container()
            self.state.nested_parse(self.content, self.content_offset, node)
            return [node]

    return Unknown


def _role(role: str, rawtext: str, text: str, lineno: int, inliner: Any, *options: Any) -> tuple[list[Any], list[Any]]:
    """Return the text of a role that docutils does not know, as a link if it refers to another place."""
    from docutils import nodes

    found = _ROLE_TARGET.match(text)
    shown, target = (found[1], found[2]) if found else (text.lstrip("~!"), text.lstrip("~!"))
    kind = role.split(":")[-1].lower()
    if kind == "doc":
        return [nodes.reference(rawtext, shown.split("/")[-1] if found is None else shown, refuri=target)], []
    if kind in ("ref", "numref", "term"):
        return [nodes.reference(rawtext, shown, refuri=BY_LABEL + quote(nodes.make_id(target)))], []
    return [nodes.inline(rawtext, shown)], []
