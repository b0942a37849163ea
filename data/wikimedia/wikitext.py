"""Wikitext: plain text, links, categories and redirect targets of a page's markup.

mwparserfromhell parses the markup. It is fast on articles and can be very slow on malicious markup, so its input is
bounded: markup that is too long or too deep is read by a simple fallback that only removes brackets.
"""

from __future__ import annotations

import html
import re
import unicodedata
import urllib.parse
from dataclasses import dataclass, field

import mwparserfromhell
from mwparserfromhell.nodes import ExternalLink, Heading, HTMLEntity, Tag, Text, Wikilink
from mwparserfromhell.wikicode import Wikicode

from kgrl.data.wikimedia.wiki_site import CATEGORY, FILE, TEMPLATE, WikiSite, folded
from kgrl.data.wikimedia.wiki_words import DISAMBIGUATION_SWITCHES, REDIRECT_WORDS

__all__ = ["Article", "disambiguation_list", "normal_title", "read_wikitext", "redirect_target"]

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
    "ce",
    "graph",
    "hiero",
    "imagemap",
    "inputbox",
    "mapframe",
    "maplink",
    "categorytree",
    "source",
    "style",
    "templatestyles",
}
_REDIRECT = re.compile(r"\s*[#＃][^\S\n]*([^\s:\[\]]{1,40})\s*:?\s*\[\[\s*:?\s*([^\]|\n]+)")
_OPENINGS = re.compile(r"\{\{|\[\[|\{\||<[a-zA-Z]")
_HIDING = re.compile(r"<!--|-->|<(/?)(nowiki|pre|syntaxhighlight|source)\b[^<>]{0,200}?(/?)>", re.IGNORECASE)
"""Ends of what MediaWiki does not read as markup."""
_TEMPLATE = re.compile(r"\{\{\s*([^{}|<>\[\]\n#]{1,150}?)\s*(?=\||\}\})")
_SWITCH = re.compile(r"__[^\W\d_a-z]{3,40}__")
"""Words that change how a page behaves, in the letters of any script."""
_BREAKS = re.compile(r"\n{3,}")
_UNKNOWN = WikiSite()
_REDIRECTS = frozenset(folded(word) for words in REDIRECT_WORDS.values() for word in words.split())


@dataclass(frozen=True)
class Article:
    """Content of a page's markup.

    Args:
        text: Plain text, paragraphs separated by line feeds, without templates, tables, references and media.
        links: Titles of articles it links to, in the order of the text, each once.
        categories: Its categories, without the namespace.
        disambiguation: Whether it is a disambiguation page.
        plain: Whether the markup was not parsed, and only its brackets were removed.
        templates: Names of the templates it uses, each once.
    """

    text: str
    links: tuple[str, ...]
    categories: tuple[str, ...]
    disambiguation: bool
    plain: bool = False
    templates: tuple[str, ...] = ()


def redirect_target(text: str, site: WikiSite = _UNKNOWN, *, certain: bool = False) -> str | None:
    """Return the title that a page redirects to, None where it does not.

    Args:
        text: Its markup.
        site: The rules of its wiki.
        certain: Whether it is known to be a redirect, so that any word may say so.

    Example:
        >>> redirect_target("#REDIRECT [[Set theory#History]]"), redirect_target("#重定向 [[集合论]]")
        ('Set theory', '集合论')
        >>> redirect_target("# Chapter: [[The Shire]]") is None
        True
    """
    found = _REDIRECT.match(text[:2_000])
    # A list may begin with any word and a link; only the words of wikis redirect.
    if found is None or not (certain or folded(found.group(1)) in _REDIRECTS):
        return None
    return site.title(_written(found.group(2)).split("#")[0]) or None


def normal_title(title: str) -> str:
    """Return a title as most wikis write it: no underscores, single spaces, a capital first letter.

    Example:
        >>> normal_title("  set_theory ")
        'Set theory'
    """
    return _UNKNOWN.title(title)


def read_wikitext(text: str, site: WikiSite = _UNKNOWN) -> Article:
    """Read a page's markup.

    Args:
        text: The wikitext.
        site: The rules of its wiki.

    Example:
        >>> article = read_wikitext("'''Logic''' is {{Small|old}} [[reasoning|thought]].[[Category:Philosophy]]")
        >>> article.text, article.links, article.categories
        ('Logic is thought.', ('Reasoning',), ('Philosophy',))
    """
    seen = _without_hidden(text)
    templates = tuple(dict.fromkeys(_TEMPLATE.findall(seen)))
    reading = _Reading(site)
    plain = len(text) > _MOST_CHARACTERS or _too_deep(text)
    if not plain:
        try:
            reading.walk(mwparserfromhell.parse(text, skip_style_tags=False))
        except RecursionError:  # tags, whose depth is not checked before
            plain, reading = True, _Reading(site)
    if plain:
        reading.take_plainly(text)
    categories = tuple(reading.categories)
    disambiguation = DISAMBIGUATION_SWITCHES in seen or site.disambiguates(templates, categories)
    return Article(_tidy("".join(reading.parts)), tuple(reading.links), categories, disambiguation, plain, templates)


def disambiguation_list(text: str, site: WikiSite) -> frozenset[str]:
    """Return the names of the templates that a wiki's own page `MediaWiki:Disambiguationspage` lists.

    Example:
        >>> sorted(disambiguation_list("* [[Template:Dab]] and [[Template:Road dis]] [[Help]]", WikiSite()))
        ['dab', 'road dis']
    """
    targets = (site.split(_written(found)) for found in re.findall(r"\[\[\s*:?([^\[\]|\n]+)", text))
    return frozenset(folded(name) for number, name in targets if number == TEMPLATE)


def _without_hidden(text: str) -> str:
    """Remove comments, and text that is not read as markup."""
    parts: list[str] = []
    hidden, start = "", 0
    # In one pass: a search for each end would take time squared on many beginnings.
    for token in _HIDING.finditer(text):
        name = (token.group(2) or "").lower()
        if not hidden and token.group() != "-->" and not token.group(1) and not token.group(3):
            parts.append(text[start : token.start()])
            hidden = name or "-->"
        elif hidden and (token.group() == hidden or (token.group(1) and name == hidden)):
            hidden, start = "", token.end()
    if not hidden:
        parts.append(text[start:])
    return " ".join(parts)


def _written(target: str) -> str:
    """Return the title that a link's target stands for, as MediaWiki reads it.

    Example:
        >>> _written("AT&amp;T"), _written("Caf%C3%A9")
        ('AT&T', 'Café')
    """
    title = html.unescape(target)
    if "%" in title:
        title = urllib.parse.unquote(title)
    return unicodedata.normalize("NFC", title)


def _too_deep(text: str) -> bool:
    """Return whether there is more or deeper markup than an article has."""
    if sum(1 for _ in _OPENINGS.finditer(text)) > _MOST_OPENINGS:
        return True
    depth = deepest = 0
    for token in re.finditer(r"\{\{|\}\}|\[\[|\]\]|\{\||\|\}", text):
        depth = depth + 1 if token.group() in {"{{", "[[", "{|"} else max(0, depth - 1)
        deepest = max(deepest, depth)
    return deepest > _DEEPEST


@dataclass
class _Reading:
    """Text, links and categories that were read so far."""

    site: WikiSite
    parts: list[str] = field(default_factory=list)
    links: dict[str, None] = field(default_factory=dict)
    categories: dict[str, None] = field(default_factory=dict)

    def walk(self, code: Wikicode) -> None:
        """Read parsed markup."""
        for node in code.nodes:
            if isinstance(node, Text):
                self.parts.append(str(node.value))
            elif isinstance(node, Wikilink):
                self._take_link(node)
            elif isinstance(node, Tag):
                self._take_tag(node)
            elif isinstance(node, HTMLEntity):
                self.parts.append(html.unescape(str(node)))
            elif isinstance(node, ExternalLink | Heading) and node.title is not None:
                self.walk(node.title)
            # Templates, comments and arguments have no text of their own.

    def take_plainly(self, text: str) -> None:
        """Remove brackets and tags, in time proportional to the text's length."""
        # Every expression is bounded or has no nested repetition, so that none backtracks for long.
        for found in re.findall(r"\[\[([^\[\]|{}<>\n]{1,255})", text):
            self._take_target(found)
        self.categories = {}
        plain = re.sub(r"\[\[(?:[^\[\]|\n]{0,255}\|)?|\]\]|\{\{|\}\}|\{\||\|\}|'{2,5}|<[^<>\n]{0,200}>", "", text)
        self.parts = [html.unescape(plain)]

    def _take_tag(self, node: Tag) -> None:
        name = str(node.tag).strip().lower()
        if name in _SKIPPED_TAGS:
            return
        if name in {"br", "li", "dd", "dt", "hr", "p", "div"}:
            self.parts.append("\n")
        if node.contents is not None:
            self.walk(node.contents)

    def _take_link(self, node: Wikilink) -> None:
        target = str(node.title)
        if not self._take_target(target):
            return
        if node.text is None:
            # [[Logic]] shows its target; a leading colon shows nothing.
            self.parts.append(html.unescape(target.strip().removeprefix(":")))
        else:
            self.walk(node.text)

    def _take_target(self, target: str) -> bool:
        """Take a link's target, and return whether the link shows anything."""
        written = _written(target).strip()
        bare = written.removeprefix(":").strip()
        number, rest = self.site.split(bare)
        foreign = not number and self.site.foreign(bare)
        # A leading colon makes a link of a category, a file or another language that would be none.
        if bare == written:
            if number == CATEGORY and rest:
                self.categories[self.site.title(rest)] = None
            if number in {CATEGORY, FILE} or foreign:
                return False
        title = self.site.title(bare.split("#")[0])
        # Characters that no title has are left by broken markup.
        if title and not number and not foreign and not re.search(r"[<>\[\]{}|\n]", title):
            self.links[title] = None
        return True


def _tidy(text: str) -> str:
    """Remove markers of headings and lists, and all but one of several empty lines."""
    lines = (_untitled(_SWITCH.sub("", line)).lstrip("*#:; \t").rstrip() for line in text.split("\n"))
    return _BREAKS.sub("\n\n", "\n".join(lines)).strip()


def _untitled(line: str) -> str:
    """Return a line without the signs of a heading."""
    clean = line.strip()
    return clean.strip("=").strip() if len(clean) > 1 and clean[0] == clean[-1] == "=" else line
