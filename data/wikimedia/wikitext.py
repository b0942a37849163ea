"""Wikitext: plain text, links, categories and redirect targets of a page's markup.

`kgrl.data.wikimedia.markup` takes out what shows no prose. What is left is read here in one pass, in time proportional
to its length: links, tags, lists and headings. General parsers take time by the square of some markup.
"""

from __future__ import annotations

import re
import unicodedata
import urllib.parse
from dataclasses import dataclass

from kgrl.data.wikimedia.markup import FORMULA, decoded, unshielded, visible_markup
from kgrl.data.wikimedia.wiki_site import CATEGORY, FILE, TEMPLATE, WikiSite, folded
from kgrl.data.wikimedia.wiki_words import REDIRECT_WORDS
from kgrl.system.prose import ends_sentence, is_appendix

__all__ = ["Article", "disambiguation_list", "normal_title", "read_wikitext", "redirect_target"]

_REDIRECT = re.compile(r"\s*[#＃][^\S\n]*([^\s:\[\]]{1,40})\s*:?\s*\[\[\s*:?\s*([^\]|\n]+)")
_SCHEME = r"(?:https?|ftps?|sftp|ircs?|git|svn|ssh|gopher|telnet|nntp|rtsp|mms)://"
_OTHER = "(?:mailto|news|tel|sip|geo|urn|xmpp):"
_TOKEN = re.compile(
    rf"""
    (?P<link>\[\[)
    | (?P<site>\[(?:{_SCHEME}|//|{_OTHER})[^\s\[\]<>"]*[ \t]*)
    | (?P<end>\])
    | (?P<quotes>'{{2,}})
    | (?P<tag></?(?P<name>[a-z][a-z0-9-]*)(?=[\s/>])[^<>]*>)
    | (?P<url>(?<![^\W_]){_SCHEME}[^\s\[\]<>"|]*[^\s\[\]<>"|,;.:!?)'])
    | (?P<line>\n)
    """,
    re.VERBOSE | re.IGNORECASE,
)
_BRACKETS = re.compile(rf"\[\[|\[(?={_SCHEME}|//|{_OTHER})|\]+|\n", re.IGNORECASE)
_LONGEST_TARGET = 1_000
"""Characters of a link in which its target ends."""
_UNCLOSED = re.compile(r"([^\[\]|\n]{0,255})\|")
_BLOCKS = frozenset(
    [
        "address",
        "article",
        "blockquote",
        "center",
        "dd",
        "div",
        "dl",
        "dt",
        "figure",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "hr",
        "li",
        "ol",
        "p",
        "section",
        "ul",
    ]
)
"""Tags around paragraphs."""
_INLINE = frozenset(
    [
        "abbr",
        "b",
        "bdi",
        "bdo",
        "big",
        "br",
        "cite",
        "code",
        "data",
        "del",
        "dfn",
        "em",
        "font",
        "i",
        "ins",
        "kbd",
        "mark",
        "nobr",
        "noinclude",
        "noprint",
        "nowiki",
        "onlyinclude",
        "poem",
        "q",
        "rb",
        "rp",
        "rt",
        "rtc",
        "ruby",
        "s",
        "samp",
        "small",
        "span",
        "strike",
        "strong",
        "sub",
        "sup",
        "table",
        "tbody",
        "td",
        "th",
        "thead",
        "time",
        "tr",
        "translate",
        "tt",
        "tvar",
        "u",
        "var",
        "wbr",
    ]
)
_LIST = frozenset("*#:;")
_QUALIFIER = re.compile(r"\s*[(（][^()（）]*[)）]\s*$|[,，،].*$", re.DOTALL)
_QUOTES = re.compile(r"'{2,}")
_WEB = re.compile(rf"(?:{_SCHEME}|//)", re.IGNORECASE)
_SPACE, _SPACES = re.compile(r"\s*"), re.compile(r"[ \t]{2,}")
_EMPTY = re.compile(r" [(（][\s,;]*[)）]")
_HOLLOW = re.compile(r"\([ \t]*[,;][ \t]*")
"""Brackets that templates of pronunciations leave with nothing inside, or with nothing at their beginning."""
_NO_TITLE = re.compile(rf"[<>\[\]{{}}|\n{FORMULA}]")
_RULE = re.compile(r"^-{4,}")
_HEADING = re.compile(r"(=+)([^=].*?|=*?)=+")
_BARE_FORMULA = re.compile(rf"[*#:;\s]*{FORMULA}[\s,.;:{FORMULA}]*")
_FORMULAS = re.compile(rf"[ \t]*{FORMULA}[ \t{FORMULA}]*([,.;:)])?")
_UNKNOWN = WikiSite()
_REDIRECTS = frozenset(folded(word) for words in REDIRECT_WORDS.values() for word in words.split())


@dataclass(frozen=True)
class Article:
    """Content of a page's markup.

    Args:
        text: Plain text, paragraphs, headings and items of lists separated by empty lines, without templates, tables,
            references, formulas and media, and without appendices such as "See also".
        links: Titles of articles it links to, in the order of the text, each once.
        categories: Its categories, without the namespace.
        disambiguation: Whether it is a disambiguation page.
        templates: Names of the templates it uses, each once.
    """

    text: str
    links: tuple[str, ...]
    categories: tuple[str, ...]
    disambiguation: bool
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
    """Read a page's markup, in time proportional to its length.

    Args:
        text: The wikitext.
        site: The rules of its wiki.

    Example:
        >>> article = read_wikitext("'''Logic''' is {{Small|old}} [[reasoning|thought]].[[Category:Philosophy]]")
        >>> article.text, article.links, article.categories
        ('Logic is thought.', ('Reasoning',), ('Philosophy',))
    """
    markup, templates, switched = visible_markup(text.replace("\r\n", "\n"), site)
    reading = _Reading(site, markup)
    reading.read()
    categories = tuple(reading.categories)
    disambiguation = switched or site.disambiguates(templates, categories)
    shown = _paragraphs("".join(reading.parts))
    return Article(shown, tuple(reading.links), categories, disambiguation, templates=templates)


def disambiguation_list(text: str, site: WikiSite) -> frozenset[str]:
    """Return the names of the templates that a wiki's own page `MediaWiki:Disambiguationspage` lists.

    Example:
        >>> sorted(disambiguation_list("* [[Template:Dab]] and [[Template:Road dis]] [[Help]]", WikiSite()))
        ['dab', 'road dis']
    """
    targets = (site.split(_written(found)) for found in re.findall(r"\[\[\s*:?([^\[\]|\n]+)", text))
    return frozenset(folded(name) for number, name in targets if number == TEMPLATE)


def _written(target: str) -> str:
    """Return the title that a link's target stands for, as MediaWiki reads it.

    Example:
        >>> _written("AT&amp;T"), _written("Caf%C3%A9")
        ('AT&T', 'Café')
    """
    title = decoded(target)
    if "%" in title:
        title = urllib.parse.unquote(title)
    return unicodedata.normalize("NFC", title)


def _pairs(markup: str) -> tuple[dict[int, int], set[int]]:
    """Return the end of each link by its start, and the places of all brackets that close something."""
    ends: dict[int, int] = {}
    closing: set[int] = set()
    opened: list[tuple[int, int]] = []  # place and size of each open bracket: two for links, one for sites
    line = 0  # names of sites end with their line
    for token in _BRACKETS.finditer(markup):
        if token[0] == "\n":
            line = token.start()
        elif token[0][0] == "[":
            opened.append((token.start(), len(token[0])))
        else:
            at, run_end = token.span()
            while opened and at < run_end:
                start, size = opened[-1]
                in_link = len(opened) > 1 and opened[-2][1] > 1
                if size == 1 and (start < line or (in_link and run_end - at == 2)):
                    opened.pop()  # it is never closed
                elif size > run_end - at:
                    break
                else:
                    ends[opened.pop()[0]] = at
                    closing.update(range(at, at + size))
                    at += size
    return ends, closing


class _Reading:
    """One pass over visible markup.

    Args:
        site: The rules of its wiki.
        markup: The markup.
    """

    def __init__(self, site: WikiSite, markup: str) -> None:
        self.parts: list[str] = []
        self.links: dict[str, None] = {}
        self.categories: dict[str, None] = {}
        self._site, self._markup = site, markup
        self._ends, self._closing = _pairs(markup)
        self._paired_tags = {name.lower() for name in re.findall(r"</([a-zA-Z][a-zA-Z0-9-]*)", markup)}
        self._label_end = 0  # end of the labels that are being read

    def read(self) -> None:
        """Read the markup to its end."""
        at = 0
        for token in _TOKEN.finditer(self._markup):
            if token.start() < at:
                continue  # inside of a link's target, or of what is hidden
            self._show(self._markup[at : token.start()], at)
            at = token.end()
            if token["link"]:
                at = self._link(token.start())
            elif token["end"] and token.start() not in self._closing:
                self.parts.append("]")
            elif token["quotes"]:
                # Two signs are italics, three bold, five both; what is left over is shown.
                many = len(token[0])
                self.parts.append("'" * (1 if many == 4 else max(0, many - 5)))
            elif token["url"] and "(" in token[0] and self._markup.startswith(")", at):
                at += 1  # a bracket that the address opens is part of it
            elif token["tag"]:
                self._tag(token[0], token["name"].lower())
            elif token["line"]:
                self.parts.append("\n")
        self._show(self._markup[at:], at)

    def _show(self, text: str, at: int) -> None:
        # A label has one bar before it; others are mistakes between words.
        self.parts.append(text.replace("|", " ") if at < self._label_end else text)

    def _tag(self, written: str, name: str) -> None:
        if name in _BLOCKS:
            self.parts.append("\n\n")
        elif name == "br":
            self.parts.append(" ")
        elif name not in _INLINE and name not in self._paired_tags and not written.endswith("/>"):
            self.parts.append(written)  # no tag, but words in angle brackets

    def _link(self, start: int) -> int:
        """Read the beginning of a link, and return where reading goes on."""
        begin, end = start + 2, self._ends.get(start)
        if end is None:
            return self._unclosed_link(begin)
        bar = self._markup.find("|", begin, min(end, begin + _LONGEST_TARGET))
        target = self._markup[begin : bar if bar >= 0 else min(end, begin + _LONGEST_TARGET)]
        self._label_end = max(self._label_end, end)
        if "[[" in target or "\n" in target.strip() or (bar < 0 and end - begin > _LONGEST_TARGET):
            return begin  # no link, but words
        if not self._take_target(target):
            return end + 2
        name = _QUOTES.sub("", target).strip().removeprefix(":")
        if bar < 0:
            self.parts.append("" if _WEB.match(name) else name)
            return end
        after = _SPACE.match(self._markup, bar + 1)
        if after is not None and after.end() >= end:
            # [[Mars (planet)|]] is short for [[Mars (planet)|Mars]].
            self.parts.append(_QUALIFIER.sub("", self._site.split(name)[1]))
            return end
        return bar + 1

    def _unclosed_link(self, begin: int) -> int:
        bar = _UNCLOSED.match(self._markup, begin)
        if bar is None:
            return begin
        if self._site.split(_written(bar[1]).strip())[0] in {CATEGORY, FILE}:
            line = self._markup.find("\n", begin)
            return line if line >= 0 else len(self._markup)
        return bar.end()

    def _take_target(self, target: str) -> bool:
        """Take a link's target, and return whether the link shows anything."""
        written = _written(target).strip()
        bare = written.removeprefix(":").strip()
        number, rest = self._site.split(bare)
        foreign = not number and self._site.foreign(bare)
        # A leading colon makes a link of a category, a file or another language that would be none.
        if bare == written:
            if number == CATEGORY and rest:
                self.categories[self._site.title(rest)] = None
            if number in {CATEGORY, FILE} or foreign:
                return False
        title = self._site.title(bare.split("#")[0])
        # Characters that no title has are left by broken markup.
        if title and not number and not foreign and not _NO_TITLE.search(title) and not _WEB.match(title):
            self.links[title] = None
        return True


class _Blocks:
    """Paragraphs, headings and items of lists, gathered from lines."""

    def __init__(self) -> None:
        self.found: list[list[str]] = []
        self._joins = False  # whether the next line of prose goes on with the last block
        self._after_formula = False  # then an empty line does not end it
        self._appendix = 0  # level of the heading of an appendix that goes on
        self._rows = False  # whether the last line was a row of a table

    def add(self, line: str, following: str) -> None:
        """Add a line, given the one that follows."""
        clean = _RULE.sub("", line.strip())
        row = clean.startswith("|") or (clean.startswith("!") and (self._rows or following.startswith("|")))
        self._rows = row and (self._rows or clean[:2] in {"|-", "|+"} or not clean.startswith("|"))
        heading = _HEADING.fullmatch(clean)
        if heading:
            self._head(len(heading[1]), heading[2].strip())
        elif not clean:
            self._joins = self._joins and self._after_formula
        elif self._appendix or row:
            self._joins = False
        elif _BARE_FORMULA.fullmatch(clean):
            self._pass_formula(clean)
        elif clean[0] in _LIST:
            self._list(clean)
        elif self._joins:
            self.found[-1].append(clean)
            self._after_formula = False
        else:
            self._start(clean, joins=True)

    def _start(self, text: str, *, joins: bool) -> None:
        self.found.append([text])
        self._joins, self._after_formula = joins, False

    def _head(self, level: int, title: str) -> None:
        if not 0 < self._appendix < level:
            self._appendix = level if is_appendix(title) else 0
        if not self._appendix:
            self._start(title, joins=False)
        self._joins = False

    def _list(self, clean: str) -> None:
        item = clean.lstrip("*#:; \t")
        term, _, meaning = item.partition(" : ") if clean[0] == ";" else (item, "", "")
        for text in (term, meaning):
            if text.strip():
                self._start(text.strip(), joins=False)

    def _pass_formula(self, clean: str) -> None:
        """Let prose go on behind a formula on a line of its own, unless a sentence had ended before."""
        if not self.found or ends_sentence(self.found[-1][-1]):
            return
        if clean.endswith("."):
            self.found[-1][-1] += "."
        else:
            self._joins = self._after_formula = True


def _paragraphs(text: str) -> str:
    """Return the prose of marked lines, each paragraph, heading and item of a list by itself."""
    blocks = _Blocks()
    lines = text.split("\n")
    for line, following in zip(lines, (*lines[1:], ""), strict=True):
        blocks.add(line, following.lstrip())
    shown = (_FORMULAS.sub(lambda found: found[1] or " ", " ".join(block)) for block in blocks.found)
    tidied = (_SPACES.sub(" ", _HOLLOW.sub("(", _EMPTY.sub("", block))) for block in shown)
    return "\n\n".join(unshielded(decoded(block)).strip() for block in tidied).strip()
