"""Bytes of text files decoded: UTF-8, what a mark or a declaration says, or what the bytes look like."""

from __future__ import annotations

import codecs
import re

__all__ = ["BINARY", "decode_text"]

BINARY = "binary file"
"""The kind of problem of a file that is no text."""
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_DECLARED = re.compile(rb"(?:charset|encoding)\s*=\s*[\"']?\s*([A-Za-z][\w.:-]*)", re.IGNORECASE)
_HEAD, _LOOKED_AT = 2048, 1 << 17
"""Bytes in which a declaration is searched for, and bytes by which an encoding is guessed."""
_DAMAGED = 4
"""A text with this many letters in UTF-8 for each byte that is not UTF-8 is in UTF-8 and damaged."""


def decode_text(data: bytes) -> tuple[str, str]:
    """Return the text of a file and the name of its encoding.

    Args:
        data: The file's bytes.

    Raises:
        ValueError: If the bytes are no text, or in no encoding that can be told; the message says which.

    Example:
        >>> decode_text("Évora".encode("utf-16"))
        ('Évora', 'utf-16')
        >>> decode_text(b"PNG" + bytes(9))
        Traceback (most recent call last):
        ...
        ValueError: binary file
    """
    for mark, name in _MARKS:
        if data.startswith(mark):
            return _decoded(data, name), name.removesuffix("-sig")
    if b"\0" in data:
        raise ValueError(BINARY)
    try:
        return data.decode(), "utf-8"
    except UnicodeDecodeError as error:
        at = error.start
    declared = _DECLARED.search(data[:_HEAD])
    if declared and (name := _known(declared[1].decode())):
        return _decoded(data, name), name
    replaced = data.decode(errors="replace")
    if sum(letter > "\x7f" for letter in replaced) > _DAMAGED * replaced.count("\ufffd"):
        raise ValueError(f"damaged UTF-8: invalid at byte {at}")
    return _guessed(data, at)


def _known(name: str) -> str:
    """Return Python's name of an encoding; `""` for one that it does not know, or that is not an encoding of text."""
    try:
        found = codecs.lookup(name)
    except LookupError:
        return ""
    # Browsers, and so the authors of pages, mean Windows' Latin when they say Latin-1 or ASCII.
    return "cp1252" if found.name in ("iso8859-1", "ascii") else found.name if found._is_text_encoding else ""


def _decoded(data: bytes, name: str) -> str:
    try:
        return data.decode(name)
    except UnicodeDecodeError as error:
        raise ValueError(f"not in the encoding that it says, {name}: invalid at byte {error.start}") from error


def _guessed(data: bytes, at: int) -> tuple[str, str]:
    """Return text and encoding by the shape of the bytes."""
    from charset_normalizer import from_bytes  # here, since nearly all files are UTF-8

    best = from_bytes(data[:_LOOKED_AT]).best()
    if best is None:
        raise ValueError(f"neither UTF-8 (invalid at byte {at}) nor in another encoding that can be told")
    return _decoded(data, best.encoding), best.encoding
