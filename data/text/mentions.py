"""Mentions of topics in texts, by longest match over every form of a title.

A mention is a guess; `kgrl.data.text.linking` decides which mentions are links.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

import regex

from kgrl.system.words import without_case

__all__ = ["Form", "Mention", "MentionFinder", "Token", "tokenize"]

_ASCII_TOKEN = re.compile(r"\w+[+#]*")
# In scripts without spaces each letter is a word, as in kgrl.system.words; marks and joiners belong to their letter.
_TOKEN = regex.compile(r"[\w&&\p{WB=Other}]\p{M}*|(?:[[\w--\p{WB=Other}]\p{No}][\p{M}\p{Cf}]*)+[+#]*", regex.VERSION1)
_GAP = re.compile(r"\s*[-–'’.,&/ ]?\s*")
"""Text that may separate two words of one mention."""
_SENTENCE_END = re.compile(r"[.!?:;\n]")
_QUALIFIER = re.compile(r"\s*\([^()]*\)$")
_SHORTEST_STEM = 4
"""Letters of the shortest singular that is made by taking an s away, so that gas and bus stay whole."""
_LONGEST_ABBREVIATION = 3
"""Most letters of a word whose full stop is part of a name: J., St., Col."""


class Form(IntEnum):
    """Form in which a mention writes a title; smaller is closer."""

    TITLE = 0
    UNQUALIFIED = 1
    """Without the parentheses: State for State (polity)."""
    INFLECTED = 2
    """The plural for the singular, or the singular for the plural."""


class Token(NamedTuple):
    """A word of a text.

    Args:
        text: The word as written.
        key: The word without case, in the form in which words are compared.
        start: Position of its first character.
        end: Position behind its last character.
        opens: Whether it opens a sentence. Its capital then carries no information.
    """

    text: str
    key: str
    start: int
    end: int
    opens: bool


@dataclass(frozen=True, slots=True)
class Mention:
    """Consecutive words of a text and the topics that they may name.

    Args:
        first: Number of its first word.
        last: Number of its last word.
        targets: Topics and the form in which each is written, closest form first.
    """

    first: int
    last: int
    targets: tuple[tuple[int, Form], ...]


def tokenize(text: str) -> list[Token]:
    """Split a text into words.

    Example:
        >>> [(t.key, t.opens) for t in tokenize("Algol 68. C++ came later.")]
        [('algol', True), ('68', False), ('c++', True), ('came', False), ('later', False)]
    """
    tokens: list[Token] = []
    end = 0
    # Of ASCII letters alone the case can be taken from the whole text, which leaves every word in its place.
    keys = text.casefold() if text.isascii() else None
    for start, stop in _spans(text):
        key = without_case(text[start:stop]) if keys is None else keys[start:stop]
        opens = not tokens or (text[end:start] != " " and _SENTENCE_END.search(text, end, start) is not None)
        tokens.append(Token(text[start:stop], key, start, stop, opens))
        end = stop
    return tokens


def _spans(text: str) -> Iterator[tuple[int, int]]:
    """Yield the start and the end of each word."""
    words = _ASCII_TOKEN.finditer(text) if text.isascii() else _TOKEN.finditer(text)
    return (match.span() for match in words)


class MentionFinder:
    """Search for mentions of topics.

    Args:
        titles: The titles; a part in parentheses may be missing in a mention.
        aliases: Further names of each topic.

    Example:
        >>> finder = MentionFinder(["State (polity)", "City", "City state"])
        >>> text = tokenize("Cities and city states: a state may be one.")
        >>> [[t for t, form in m.targets] for m in finder.find(text, "Cities and city states: a state may be one.")]
        [[1], [2], [0]]
    """

    def __init__(self, titles: Sequence[str], aliases: Sequence[Sequence[str]] | None = None) -> None:
        forms: dict[tuple[str, ...], dict[int, Form]] = {}
        self._longest: dict[str, int] = {}  # most words of a form, by its first word
        for topic, title in enumerate(titles):
            for name in (title, *(aliases[topic] if aliases else ())):
                for form, key in _forms(name):
                    held = forms.setdefault(key, {})
                    # A title and an alias may have the same words; the closer form counts.
                    held[topic] = min(form, held.get(topic, form))
                    self._longest[key[0]] = max(len(key), self._longest.get(key[0], 0))
        self._by_key = {key: tuple(sorted(held.items(), key=lambda item: item[1])) for key, held in forms.items()}

    def find(self, tokens: Sequence[Token], text: str) -> Iterator[Mention]:
        """Yield the mentions in a text from left to right, without overlaps, each the longest at its start."""
        at, keys = 0, [token.key for token in tokens]
        while at < len(tokens):
            longest = self._longest.get(keys[at], 0)
            # The longest form first: City state before City.
            for length in range(_reach(tokens, text, at, longest) if longest > 1 else longest, 0, -1):
                targets = self._by_key.get(tuple(keys[at : at + length]))
                if targets:
                    yield Mention(at, at + length - 1, targets)
                    break
            else:
                length = 1
            at += length


def _reach(tokens: Sequence[Token], text: str, at: int, longest: int) -> int:
    """Return the number of words from `at` on that can belong to one mention, at most `longest`, 1 or more."""
    reach = 1
    while reach < longest and at + reach < len(tokens):
        left, right = tokens[at + reach - 1], tokens[at + reach]
        if text[left.end : right.start] == " ":  # as nearly always
            reach += 1
            continue
        gap = _GAP.fullmatch(text, left.end, right.start)
        # A full stop is part of a name after an initial or an abbreviation; elsewhere it ends the mention.
        if gap is None or ("." in gap[0] and len(left.key) > _LONGEST_ABBREVIATION):
            break
        reach += 1
    return reach


def _forms(name: str) -> Iterator[tuple[Form, tuple[str, ...]]]:
    """Yield the forms of a name, each with its words in lower case."""
    bare = _QUALIFIER.sub("", name)
    for form, written in ((Form.TITLE, name), (Form.UNQUALIFIED, bare)):
        key = tuple(without_case(written[start:stop]) for start, stop in _spans(written))
        if not key or (form == Form.UNQUALIFIED and bare == name):
            continue
        yield form, key
    for last in _inflections(key[-1]) if key else ():
        yield Form.INFLECTED, (*key[:-1], last)


def _inflections(word: str) -> Iterable[str]:
    """Yield plurals and singulars of a word by rules of English, French and Spanish.

    Most are not words of the language; those match nothing.
    """
    if not word.isalpha():
        return
    yield from (f"{word}s", f"{word}es", f"{word}x")
    if word.endswith("y"):
        yield f"{word[:-1]}ies"
    if word.endswith("s") and len(word) > _SHORTEST_STEM:
        yield word[:-1]
