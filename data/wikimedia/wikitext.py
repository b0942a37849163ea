"""Wikitext: plain text, links, categories and redirect targets of a page's markup.

mwparserfromhell parses the markup. It is fast on articles and can be very slow on malicious markup, so its input is
bounded: markup that is too long or too deep is read by a simple fallback that only removes brackets.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass

import mwparserfromhell
from mwparserfromhell.nodes import ExternalLink, Heading, HTMLEntity, Tag, Text, Wikilink
from mwparserfromhell.wikicode import Wikicode

__all__ = ["Article", "read_wikitext", "redirect_target"]

_MOST_CHARACTERS = 1_000_000
"""Characters of the longest markup that is parsed. The longest articles of Wikipedia have half as many."""
_MOST_OPENINGS = 8_000
"""Most templates, links, tables and tags of a page that is parsed."""
_DEEPEST = 40
"""Most brackets inside one another on a page that is parsed."""
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
    """Content of a page's markup.

    Args:
        text: Plain text, paragraphs separated by line feeds, without templates, tables, references and media.
        links: Titles of articles it links to, in the order of the text, each once.
        categories: Its categories, without the namespace.
        disambiguation: Whether it is a disambiguation page.
        plain: Whether the markup was not parsed, and only its brackets were removed.
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
    except RecursionError:  # tags, whose depth is not checked before
        return _read_plainly(text, disambiguation)
    return Article(_tidy("".join(parts)), tuple(links), tuple(categories), disambiguation)


def _too_deep(text: str) -> bool:
    """Return whether there is more or deeper markup than an article has."""
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
        elif isinstance(node, ExternalLink | Heading) and node.title is not None:
            _walk(node.title, parts, links, categories)
        # Templates, comments and arguments have no text of their own.


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
    # Characters that no title has are left by broken markup.
    if title and not re.search(r"[<>\[\]{}|\n]", title):
        links[title] = None
    if node.text is None:
        parts.append(target.lstrip(":"))  # [[Logic]] shows its target; a leading colon shows nothing
    else:
        _walk(node.text, parts, links, categories)


def _read_plainly(text: str, disambiguation: bool) -> Article:
    """Remove brackets and tags, in time proportional to the text's length."""
    # Every expression is bounded or has no nested repetition, so that none backtracks for long.
    links = dict.fromkeys(
        normal_title(found.split("#")[0])
        for found in re.findall(r"\[\[([^\[\]|{}<>\n]{1,255})", text)
        if not _NAMESPACE.match(found)
    )
    plain = re.sub(r"\[\[(?:[^\[\]|\n]{0,255}\|)?|\]\]|\{\{|\}\}|\{\||\|\}|'{2,5}|<[^<>\n]{0,200}>", "", text)
    return Article(_tidy(html.unescape(plain)), tuple(filter(None, links)), (), disambiguation, plain=True)


def _tidy(text: str) -> str:
    """Remove markers of headings and lists, and all but one of several empty lines."""
    text = _HEADING.sub(r"\1", text)
    lines = (line.lstrip("*#:; \t").rstrip() for line in text.split("\n"))
    return _BREAKS.sub("\n\n", "\n".join(lines)).strip()
