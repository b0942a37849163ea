"""Wikitext: plain text, links, categories and what a redirect leads to.

mwparserfromhell reads the markup. It is quick on articles and slow on what was made to be slow, so what is handed to it
is bounded: deep or endless markup is read by a plain fallback that only takes brackets away.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass

import mwparserfromhell
from mwparserfromhell.nodes import ExternalLink, HTMLEntity, Node, Tag, Text, Wikilink
from mwparserfromhell.wikicode import Wikicode

__all__ = ["Article", "read_wikitext", "redirect_target"]

_MOST_CHARACTERS = 1_000_000
"""Of a page's markup; longer ones are read by the fallback. The longest articles of Wikipedia have half as many."""
_MOST_OPENINGS = 8_000
"""Of templates, links, tables and tags on a page; more are read by the fallback."""
_DEEPEST = 40
_SKIPPED_TAGS = {
    "ref",
    "references",
    "gallery",
    "math",
    "table",
    "timeline",
    "code",
    "syntaxhighlight",
    "score",
    "chem",
}
_CATEGORY = re.compile(r"\s*(?:category|catégorie|categoría|kategorie|categoria|категория)\s*:\s*(.+)", re.IGNORECASE)
_NAMESPACE = re.compile(r"\s*:?[^\W\d_][\w -]{0,30}:\S")
_REDIRECT = re.compile(r"\s*#\s*[^\W\d_]{4,20}\s*:?\s*\[\[\s*([^\]|\n]+)")
_OPENINGS = re.compile(r"\{\{|\[\[|\{\||<[a-zA-Z]")
_DISAMBIGUATION = re.compile(
    r"\{\{\s*(?:disambig|disambiguation|dab|hndis|geodis|homonymie|desambiguación|desambiguacion|begriffsklärung)"
    r"[^{}]{0,200}\}\}|__DISAMBIG__",
    re.IGNORECASE,
)
_HEADING = re.compile(r"^\s*=+\s*(.*?)\s*=+\s*$", re.MULTILINE)
_BREAKS = re.compile(r"\n{3,}")


@dataclass(frozen=True)
class Article:
    """What a page's markup says.

    Args:
        text: Plain text, paragraphs parted by line feeds; no templates, tables, references or media.
        links: Titles of articles it links to, in the order of the text, each once.
        categories: Its categories, without the namespace.
        disambiguation: Whether it is only a choice of other pages.
        plain: Whether its markup was too much to be parsed, so that brackets were only taken away.
    """

    text: str
    links: tuple[str, ...]
    categories: tuple[str, ...]
    disambiguation: bool
    plain: bool = False


def redirect_target(text: str) -> str | None:
    """Return the title that a page redirects to, None where it does not.

    Example:
        >>> redirect_target("#REDIRECT [[Set theory#History]]")
        'Set theory'
    """
    found = _REDIRECT.match(text[:2_000])
    return None if found is None else normal_title(found.group(1).split("#")[0]) or None


def normal_title(title: str) -> str:
    """Return a title as MediaWiki writes it: no underscores, single spaces, a capital first letter.

    Example:
        >>> normal_title("  set_theory ")
        'Set theory'
    """
    clean = " ".join(title.replace("_", " ").split())
    return clean[:1].upper() + clean[1:]


def read_wikitext(text: str) -> Article:
    """Read a page's markup.

    Args:
        text: The wikitext.

    Example:
        >>> article = read_wikitext("'''Logic''' is {{Small|old}} [[reasoning|thought]].[[Category:Philosophy]]")
        >>> article.text, article.links, article.categories
        ('Logic is thought.', ('Reasoning',), ('Philosophy',))
    """
    disambiguation = _DISAMBIGUATION.search(text) is not None
    if len(text) > _MOST_CHARACTERS or _too_deep(text):
        return _read_plainly(text, disambiguation)
    links: dict[str, None] = {}
    categories: dict[str, None] = {}
    parts: list[str] = []
    try:
        _walk(mwparserfromhell.parse(text, skip_style_tags=False), parts, links, categories)
    except RecursionError:
        return _read_plainly(text, disambiguation)
    return Article(_tidy("".join(parts)), tuple(links), tuple(categories), disambiguation)


def _too_deep(text: str) -> bool:
    """Whether there is more markup than an article has, in number or in depth."""
    if sum(1 for _ in _OPENINGS.finditer(text)) > _MOST_OPENINGS:
        return True
    depth = deepest = 0
    for token in re.finditer(r"\{\{|\}\}|\[\[|\]\]|\{\||\|\}", text):
        depth = depth + 1 if token.group() in {"{{", "[[", "{|"} else max(0, depth - 1)
        deepest = max(deepest, depth)
    return deepest > _DEEPEST


def _walk(code: Wikicode, parts: list[str], links: dict[str, None], categories: dict[str, None]) -> None:
    for node in code.nodes:
        if isinstance(node, Text):
            parts.append(str(node.value))
        elif isinstance(node, Wikilink):
            _take_link(node, parts, links, categories)
        elif isinstance(node, Tag):
            _take_tag(node, parts, links, categories)
        elif isinstance(node, HTMLEntity):
            parts.append(html.unescape(str(node)))
        elif isinstance(node, ExternalLink) and node.title is not None:
            _walk(node.title, parts, links, categories)
        else:
            _take_heading(node, parts, links, categories)


def _take_heading(node: Node, parts: list[str], links: dict[str, None], categories: dict[str, None]) -> None:
    """A heading's words; templates, comments and arguments have no text of their own."""
    if type(node).__name__ == "Heading":
        _walk(node.title, parts, links, categories)


def _take_tag(node: Tag, parts: list[str], links: dict[str, None], categories: dict[str, None]) -> None:
    name = str(node.tag).strip().lower()
    if name in _SKIPPED_TAGS:
        return
    if name in {"br", "li", "dd", "dt", "hr", "p", "div"}:
        parts.append("\n")
    if node.contents is not None:
        _walk(node.contents, parts, links, categories)


def _take_link(node: Wikilink, parts: list[str], links: dict[str, None], categories: dict[str, None]) -> None:
    target = str(node.title)
    if found := _CATEGORY.fullmatch(target):
        categories[normal_title(found.group(1))] = None
        return
    if _NAMESPACE.match(target):  # a file, a template, another language
        return
    title = normal_title(target.lstrip(":").split("#")[0])
    if title and not re.search(r"[<>\[\]{}|\n]", title):
        links[title] = None
    if node.text is None:
        parts.append(target.lstrip(":"))
    else:
        _walk(node.text, parts, links, categories)


def _read_plainly(text: str, disambiguation: bool) -> Article:
    """Take brackets and tags away, in time proportional to the text."""
    links = dict.fromkeys(
        normal_title(found.split("#")[0])
        for found in re.findall(r"\[\[([^\[\]|{}<>\n]{1,255})", text)
        if not _NAMESPACE.match(found)
    )
    plain = re.sub(r"\[\[(?:[^\[\]|\n]{0,255}\|)?|\]\]|\{\{|\}\}|\{\||\|\}|'{2,5}|<[^<>\n]{0,200}>", "", text)
    return Article(_tidy(html.unescape(plain)), tuple(filter(None, links)), (), disambiguation, plain=True)


def _tidy(text: str) -> str:
    """Lines without markup's leftovers, and no more than one empty line in a row."""
    text = _HEADING.sub(r"\1", text)
    lines = (line.lstrip("*#:; \t").rstrip() for line in text.split("\n"))
    return _BREAKS.sub("\n\n", "\n".join(lines)).strip()
