"""Words of a text in any script, in the one form in which texts are compared."""

from __future__ import annotations

import unicodedata

import regex

__all__ = ["canonical", "without_case", "words_of"]

# Where Unicode's default rules break around every letter (the word-break property "Other": Han, Hiragana, Thai and
# others that write no spaces), each letter with its marks counts as a word; elsewhere each run of letters and digits.
_WORD = regex.compile(r"[\w&&\p{WB=Other}]\p{M}*|[\w--\p{WB=Other}]+", regex.V1)
_INVISIBLE = regex.compile(r"\p{Cf}+")
"""Format characters: soft hyphens, zero-width spaces and joiners, marks of direction."""


def words_of(text: str) -> list[str]:
    """Return the words of a text, without case, in composed form and without invisible characters.

    Two spellings of one text have the same words: composed or decomposed accents, ligatures, full width, soft hyphens,
    no-break spaces. Case is folded and compatible characters are the same (Unicode's NFKC and case folding). In scripts
    without spaces every letter is a word.

    Example:
        >>> words_of("Don't panic: C is a letter.")
        ['don', 't', 'panic', 'c', 'is', 'a', 'letter']
        >>> words_of("E\u0301vora") == words_of("Évora") == words_of("é\u00advora")
        True
        >>> words_of("数学")
        ['数', '学']
    """
    found: list[str] = _WORD.findall(without_case(text))
    return found


def without_case(text: str) -> str:
    """Return a text without case and invisible characters, in the one form in which words are compared.

    Example:
        >>> without_case("STRASSE") == without_case("Straße"), without_case("İstanbul"), without_case("IŞIK")
        (True, 'istanbul', 'işik')
    """
    if text.isascii():
        return text.casefold()
    plain = unicodedata.normalize("NFKC", _INVISIBLE.sub("", text)).casefold()
    # Turkish has two letters i, each with a capital of its own. Whatever the language, they count as one.
    return unicodedata.normalize("NFKC", plain.replace("i\u0307", "i").replace("ı", "i"))


def canonical(text: str) -> str:
    """Return a text in composed form, without invisible characters and with single spaces for white space.

    Example:
        >>> canonical("E\u0301vo\u00adra  is\u00a0old") == "Évora is old"
        True
    """
    plain = text if text.isascii() else unicodedata.normalize("NFC", _INVISIBLE.sub("", text))
    return " ".join(plain.split())
