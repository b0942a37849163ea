"""Sentences of a text in any script, bounded in length, and the words by which lengths are measured."""

from __future__ import annotations

import re
from collections.abc import Iterator

import regex
import sentencex

__all__ = ["sentences_of", "word_count"]

_LONGEST, _PART = 150, 50
"""Words of the longest sentence, and of the parts of longer ones."""
_LETTERS_A_WORD = 2
"""Letters that count as a word in scripts without spaces; words of Chinese text are about as long."""
_MOST_LETTERS = 20
"""Characters that count as at least one word: a word without end is as long as many."""
_STRETCH = 20_000
"""Characters that are segmented at once: unclosed quotation marks take the segmenter time by the square of these."""

_PARAGRAPH_END = re.compile(r"\n\s*\n|\u2029")
_UNSPACED = regex.compile(r"[\w&&\p{WB=Other}]", regex.V1)
"""A letter where Unicode's default rules break words around every letter: Han, Hiragana, Thai, Khmer and others."""
_CLUSTER = regex.compile(r"\X")
_INITIAL = regex.compile(r"(?:^|[^\w.])\p{Lu}\.\s*$")
_SHORT = regex.compile(r"(?:^|[^\w])\w{1,2}\.\s*$")
_QUOTATION = regex.compile(r"[?!…][”“»«’\"]\s*$")
_DANGLING = regex.compile(r"\s[\p{Pi}\p{Ps}’'¿¡]\s*$")
"""A sign that opens the next sentence, such as the Dutch apostrophe of ’s Nachts."""
_SMALL = regex.compile(r"\p{Ll}")


def sentences_of(text: str, language: str = "en") -> list[str]:
    """Split a text into sentences, with single spaces for white space.

    The library sentencex decides where a sentence ends; it knows the full stops of all scripts and the abbreviations of
    many languages. An empty line ends a sentence, too. What is longer than 150 words without an end, as in scripts
    that mark none, is cut by length: at a space if there is one, else between two letters.

    Args:
        text: The text.
        language: The code of its language, such as `"en"`, for the abbreviations. A language that sentencex does not
            know has those of English.

    Example:
        >>> sentences_of("Dr. Ada met J. R. Smith. iPhones were new.")
        ['Dr. Ada met J. R. Smith.', 'iPhones were new.']
        >>> sentences_of("今天下雨。我们走吧！", "zh")
        ['今天下雨。', '我们走吧！']
    """
    found = (
        piece
        for paragraph in _PARAGRAPH_END.split(text)
        for stretch in _stretches(" ".join(paragraph.split()))
        for sentence in _segmented(stretch, language)
        for piece in _bounded(sentence)
    )
    return list(found)


def word_count(text: str) -> int:
    """Count the words of a text; two letters of a script without spaces between words count as one.

    Example:
        >>> word_count("I don't know"), word_count("逻辑研究推理")
        (3, 3)
    """
    unspaced = 0 if text.isascii() else len(_UNSPACED.findall(text)) // _LETTERS_A_WORD
    return max(len(text.split()), unspaced, len(text) // _MOST_LETTERS)


def _stretches(paragraph: str) -> Iterator[str]:
    """Yield a paragraph in parts that the segmenter takes at once; nearly all are whole."""
    while len(paragraph) > _STRETCH:
        end = paragraph.rfind(" ", 0, _STRETCH) + 1 or _STRETCH
        yield paragraph[:end].rstrip()
        paragraph = paragraph[end:]
    if paragraph:
        yield paragraph


def _segmented(text: str, language: str) -> Iterator[str]:
    # The segmenter takes UTF-8, which has no lone surrogates.
    whole = text.encode("utf-8", "replace").decode()
    held = ""
    for piece in sentencex.segment(language, whole):
        opening = ""
        if held and not (language != "en" and _goes_on(held, piece)):
            if language != "en" and (sign := _DANGLING.search(held)):
                held, opening = held[: sign.start()], sign[0].strip()
            yield held.rstrip()
            held = ""
        held += opening + piece
    if held.strip():
        yield held.rstrip()


def _goes_on(before: str, after: str) -> bool:
    """Return whether a sentence goes on behind an initial, or before a small letter behind a short word or a quotation.

    In English sentencex knows. Its lists for other languages are shorter: the French `M.` and the Russian `т. е.` are
    missing.
    """
    return bool(
        _INITIAL.search(before) or (_SMALL.match(after) and (_SHORT.search(before) or _QUOTATION.search(before)))
    )


def _bounded(sentence: str) -> Iterator[str]:
    """Yield a sentence, or its parts if it is too long."""
    if word_count(sentence) <= _LONGEST:
        yield sentence
        return
    gathered, size = "", 0
    for piece in _pieces(sentence):
        if gathered and size + word_count(piece) > _PART:
            yield gathered.rstrip()
            gathered, size = "", 0
        gathered += piece
        size += word_count(piece)
    yield gathered.rstrip()


def _pieces(sentence: str) -> Iterator[str]:
    """Yield the words with the space behind; a word without end is cut between letters."""
    most = _PART * _LETTERS_A_WORD
    for word in sentence.split(" "):
        letters: list[str] = _CLUSTER.findall(word) if len(word) > most else [word]
        *parts, last = ("".join(letters[start : start + most]) for start in range(0, len(letters), most))
        yield from parts
        yield f"{last} "
