"""Markup that shows no prose, taken out of wikitext: comments, tags of extensions, templates, variants and tables.

Each step reads the text once, from left to right, with a stack where marks nest. So the time is proportional to the
text's length, whatever the text holds: marks that are never closed, too.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from typing import NamedTuple

import regex

from kgrl.data.wikimedia.wiki_site import WikiSite, folded
from kgrl.data.wikimedia.wiki_words import DISAMBIGUATION_SWITCHES, SWITCHES, VARIANTS

__all__ = ["FORMULA", "VisibleMarkup", "decoded", "unshielded", "visible_markup"]

FORMULA = "\U0010fffd"
"""Mark of a place where a formula was, in visible markup."""

_FORMULAS = ("math", "chem", "ce")
_LITERAL = ("nowiki", "pre")
_HIDDEN = (
    "categorytree|charinsert|dynamicpagelist|embedvideo|gallery|graph|hiero|imagemap|includeonly|indicator|infobox|"
    "inputbox|mapframe|maplink|phonos|quiz|ref|references|rss|score|script|source|style|syntaxhighlight|templatedata|"
    "templatestyles|timeline|youtube"
)
_EXTENSION = re.compile(
    rf"(?:(?<=\n)[ \t]*)?<!--|<(/?)({'|'.join((*_FORMULAS, *_LITERAL, _HIDDEN))})(?=[\s/>])", re.IGNORECASE
)
_REST_OF_LINE = re.compile(r"[ \t]*\n")
_BRACES = re.compile(r"\{{2,}|\}{2,}")
_TEMPLATE_NAME = re.compile(r"[^{}|<>\[\]\n#]{1,200}")
_UNCLOSED_TEMPLATE = re.compile(r"^\{\{+[^{}|\n]{0,100}$|\{\{+[^{}|\n]{0,100}\||\{\{+|\}\}+", re.MULTILINE)
_VARIANT_MARK = re.compile(r"-\{|\}-")
_MOST_VARIANTS = 10
"""Deepest nesting of variants that is read."""
_FLAGS = re.compile(r"\s*(?:[A-Z-]|[a-z]{2,3}(?:-[a-z]+)*)?(?:\s*;\s*(?:[A-Z-]|[a-z]{2,3}(?:-[a-z]+)*))*\s*")
_UNSHOWN = frozenset({"T", "H", "-"})
"""Flags of rules that convert elsewhere and show nothing in their place."""
_RULE = re.compile(rf"(?:^|;)\s*(?:[^;]*?=>\s*)?((?:{'|'.join(VARIANTS)})(?:-[a-z]+)*)\s*:")
_TABLE = re.compile(r"^[ \t:]*(?:(?P<opens>\{\|)|\|\})", re.MULTILINE)
_TABLE_TAG = re.compile(r"<(?:(?P<opens>table)|/table)(?=[\s/>])[^<>]*>", re.IGNORECASE)
_OPEN_TABLE = re.compile(r"^[ \t:]*\{\|.*$", re.MULTILINE)
_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
_CAPITAL = r"\p{Lu}\p{Lt}\p{Lo}\p{Lm}\p{Georgian}"
_SWITCH = regex.compile(
    rf"__(?:[{_CAPITAL}](?:_?[{_CAPITAL}\p{{M}}\p{{Cf}}\p{{Nd}}'’-]){{1,60}}|(?i:{SWITCHES}))__", regex.VERSION1
)
"""Words that change how a page behaves. Of 2,462 in MediaWiki's message files all but 10 misspelled ones match."""
_DISAMBIGUATION = frozenset(folded(word) for word in DISAMBIGUATION_SWITCHES.split("|"))
_SIGNS = "[]{}<>'|=*#:;_~-!&"
_SHIELD = {ord(sign): chr(0x10F000 + ord(sign)) for sign in _SIGNS}
_UNSHIELD = {ord(kept): chr(sign) for sign, kept in _SHIELD.items()}


class VisibleMarkup(NamedTuple):
    """Markup that shows prose, and what was learned from the rest.

    Args:
        markup: Links, tags, lists, headings and words. What is shown literally has its signs shielded.
        templates: Names of templates, each once.
        disambiguation: Whether a switch says that it is a disambiguation page.
    """

    markup: str
    templates: tuple[str, ...]
    disambiguation: bool


def visible_markup(text: str, site: WikiSite) -> VisibleMarkup:
    """Take out of a page's markup what shows no prose.

    Example:
        >>> visible_markup("{{Short|x}}Ada<!-- who? --> wrote.<ref>Old</ref>__NOTOC__", WikiSite()).markup
        'Ada wrote.'
    """
    shown, templates = _without_templates(_Extensions(text).taken_out())
    disambiguation = any(folded(switch.strip("_")) in _DISAMBIGUATION for switch in _SWITCH.findall(shown))
    shown = _SWITCH.sub("", shown)
    if site.language.split("-")[0] in VARIANTS or not site.language:
        shown = _in_one_variant(shown, site.language)
    for tokens in (_TABLE, _TABLE_TAG):
        shown = _cut_out(shown, _outermost(shown, tokens))
    return VisibleMarkup(_OPEN_TABLE.sub("", shown), templates, disambiguation)


def decoded(text: str) -> str:
    """Return a text with the characters that its entities stand for. Without a semicolon there is no entity."""
    return _ENTITY.sub(lambda entity: html.unescape(entity[0]), text)


def unshielded(text: str) -> str:
    """Return a text with the signs that were shielded, because they are shown literally."""
    return text.translate(_UNSHIELD)


def _cut_out(text: str, spans: Iterable[tuple[int, int]]) -> str:
    """Return a text without some spans, which are in order and do not overlap."""
    parts, at = [], 0
    for start, end in spans:
        parts.append(text[at:start])
        at = end
    return "".join((*parts, text[at:]))


class _Extensions:
    """Comments and tags whose content is not wikitext, found in one pass."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._unclosed: set[str] = set()  # names of tags that no end follows, and ">"

    def taken_out(self) -> str:
        """Return the text without them; what is shown literally is shielded, and formulas leave a mark."""
        parts: list[str] = []
        at = 0
        for start in _EXTENSION.finditer(self._text):
            if start.start() < at:
                continue  # inside of what is hidden already
            parts.append(self._text[at : start.start()])
            shown, at = self._comment(start) if start[2] is None else self._tag(start)
            parts.append(shown)
        return "".join((*parts, self._text[at:]))

    def _comment(self, start: re.Match[str]) -> tuple[str, int]:
        end = self._text.find("-->", start.end())
        if end < 0:
            return "", len(self._text)
        # A comment alone on its line takes the line with it, so that it does not end a paragraph.
        alone = start.start() == 0 or self._text[start.start() - 1] == "\n"
        rest = _REST_OF_LINE.match(self._text, end + 3) if alone else None
        return "", rest.end() if rest else end + 3

    def _tag(self, start: re.Match[str]) -> tuple[str, int]:
        name = start[2].lower()
        bracket = -1 if ">" in self._unclosed else self._text.find(">", start.end())
        if bracket < 0:
            self._unclosed.add(">")
            return "", start.end()
        if start[1] or self._text[bracket - 1] == "/":
            return "", bracket + 1
        end = None if name in self._unclosed else _closing(name).search(self._text, bracket + 1)
        if end is None:
            self._unclosed.add(name)
            return "", self._unclosed_end(name, bracket + 1)
        content = self._text[bracket + 1 : end.start()]
        if name in _LITERAL:
            return decoded(content).translate(_SHIELD), end.end()
        return FORMULA if name in _FORMULAS else "", end.end()

    def _unclosed_end(self, name: str, start: int) -> int:
        """Return the end of what an unclosed tag hides: the rest of its line, or a block of lines."""
        if name == "ref" or name in _LITERAL:
            return start  # prose may follow
        line = self._text.find("\n", start)
        if line >= 0 and not self._text[start:line].strip():
            line = self._text.find("\n\n", start)
        return line if line >= 0 else len(self._text)


def _closing(name: str) -> re.Pattern[str]:
    return re.compile(rf"</{name}\s*>", re.IGNORECASE)  # the re module keeps compiled expressions


def _without_templates(text: str) -> tuple[str, tuple[str, ...]]:
    """Return a text without templates and arguments, and the names of the templates."""
    spans: list[tuple[int, int]] = []
    opened: list[tuple[int, int]] = []  # the start of each run of braces, and how many of them are open
    names: dict[str, None] = {}
    for run in _BRACES.finditer(text):
        if run[0][0] == "{":
            opened.append((run.start(), len(run[0])))
            continue
        at = run.start()
        while opened and run.end() - at >= 2:
            start, many = opened.pop()
            size = min(many, run.end() - at, 3)
            begin = start + many - size
            name = _TEMPLATE_NAME.match(text, begin + size) if size == 2 else None
            if name and text[name.end() : name.end() + 1] in {"|", "}"}:
                names[name[0].strip()] = None
            at += size
            while spans and spans[-1][0] >= begin:
                spans.pop()
            spans.append((begin, at))
            if many - size >= 2:
                opened.append((start, many - size))
    # The template {{!}} writes the bar of tables.
    shown, before = [], 0
    for begin, end in spans:
        shown += [text[before:begin], "|" if text[begin:end] == "{{!}}" else ""]
        before = end
    shown.append(text[before:])
    names.pop("", None)
    return _UNCLOSED_TEMPLATE.sub("", "".join(shown)), tuple(names)


def _in_one_variant(text: str, language: str) -> str:
    """Return a text with one of the forms that `-{…}-` gives for the variants of a language."""
    order = (language, *VARIANTS.get(language.split("-")[0], "").split())
    levels: list[list[str]] = [[]]
    at = 0
    for mark in _VARIANT_MARK.finditer(text):
        levels[-1].append(text[at : mark.start()])
        at = mark.end()
        if mark[0] == "-{":
            if len(levels) <= _MOST_VARIANTS:
                levels.append([])
        elif len(levels) > 1:
            inner = "".join(levels.pop())
            levels[-1].append(_form(inner, order))
        else:
            levels[-1].append(mark[0])
    return "".join(part for level in levels for part in level) + text[at:]


def _form(inner: str, order: tuple[str, ...]) -> str:
    """Return what is shown of the rules between `-{` and `}-`.

    Example:
        >>> _form("zh-tw:網路; zh-cn:网络;", ("zh", "zh-cn")), _form("T|zh:物理", ("zh",)), _form("as it is", ("sr",))
        ('网络', '', 'as it is')
    """
    flags, bar, rest = inner.partition("|")
    if not bar or not _FLAGS.fullmatch(flags):
        flags, rest = "", inner
    if _UNSHOWN & {flag.strip() for flag in flags.split(";")}:
        return ""
    found = list(_RULE.finditer(rest))
    if not found:
        return rest
    ends = [rule.start() for rule in found[1:]] + [len(rest)]
    forms = [
        (rule[1], rest[rule.end() : end].strip().rstrip(";").strip()) for rule, end in zip(found, ends, strict=True)
    ]
    known = dict(reversed(forms))
    return next((known[code] for code in order if code in known), forms[0][1])


def _outermost(text: str, tokens: re.Pattern[str]) -> list[tuple[int, int]]:
    """Return the spans from an opening token to its end that are in no other such span."""
    spans: list[tuple[int, int]] = []
    opened: list[int] = []
    for token in tokens.finditer(text):
        if token["opens"]:
            opened.append(token.start())
        elif opened:
            begin = opened.pop()
            while spans and spans[-1][0] >= begin:
                spans.pop()
            spans.append((begin, token.end()))
    return spans
