"""Answers of MediaWiki's API: the parts that kgrl reads, for versions 1.19 and later.

Other fields are ignored, since sites may say more. A field of another type than the one declared makes the answer
unusable.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from kgrl.data.wikimedia.limits import SiteError

__all__ = ["Answer", "FoundPage", "Query", "Redirect", "decode_answer", "error_code", "merged"]

_BOM = b"\xef\xbb\xbf"
_MOST_BRACES, _MOST_QUOTES = 500_000, 1_000_000
"""Tables and texts of an answer, with the braces of markup; an answer lists some 500 pages."""
Nothing = tuple[()]
"""An empty list, which PHP makes of an empty table."""
Continuation = dict[str, str | int]


class Redirect(msgspec.Struct):
    """A redirect that the site followed."""

    origin: str = msgspec.field(name="from")
    to: str


class Category(msgspec.Struct):
    """A category of a page, its title with the namespace."""

    title: str


class Content(msgspec.Struct):
    """A text of a revision; under a star before 1.25."""

    content: str | None = None
    contentmodel: str | None = None
    star: str | None = msgspec.field(name="*", default=None)


class RevisionSlots(msgspec.Struct):
    """The texts of a revision; others than the main one are not read."""

    main: Content | None = None


class PageProperties(msgspec.Struct):
    """The properties of a page that were asked for."""

    disambiguation: str | int | bool | msgspec.UnsetType = msgspec.UNSET


class Revision(Content):
    """A revision: its text is in a slot since 1.32, and beside them before."""

    slots: RevisionSlots | Nothing = ()

    @property
    def main(self) -> Content:
        """Its text, wherever the site puts it."""
        return self.slots.main or self if isinstance(self.slots, RevisionSlots) else self

    @property
    def markup(self) -> str:
        """Its markup, `""` where the site hides it."""
        return self.main.content or self.main.star or ""


class FoundPage(msgspec.Struct):
    """A page; fields are missing where the site has none, or gives them in another piece of the answer."""

    title: str = ""
    ns: int = 0
    missing: bool | str = False
    invalid: bool | str = False
    contentmodel: str | None = None
    pagelanguage: str | None = None
    extract: str | None = None
    categories: list[Category] = []
    pageprops: PageProperties | Nothing = ()
    revisions: list[Revision] = []

    @property
    def model(self) -> str:
        """The content model of its text, as the page or its revision says."""
        said = (self.contentmodel, *(revision.main.contentmodel for revision in self.revisions))
        return next((model for model in said if model and model != "wikitext"), "wikitext")

    @property
    def absent(self) -> bool:
        """True for what is no article; before 1.25 a mark that is there is an empty text."""
        return self.missing is not False or self.invalid is not False or self.ns != 0

    @property
    def disambiguation(self) -> bool:
        """True if it has the property of a list of meanings, whatever its value."""
        return isinstance(self.pageprops, PageProperties) and self.pageprops.disambiguation is not msgspec.UNSET


class Query(msgspec.Struct):
    """The part of an answer that was asked for."""

    pages: list[FoundPage] | dict[str, FoundPage] = []
    redirects: list[Redirect] = []

    def listed(self) -> list[FoundPage]:
        """Return the pages; sites before 1.25 give a table by number."""
        return list(self.pages.values()) if isinstance(self.pages, dict) else self.pages


class Answer(msgspec.Struct, rename={"onward": "continue", "onward_by_part": "query-continue"}):
    """An answer, or a piece of one; `error` is there if the site refuses."""

    query: Query | Nothing = ()
    onward: Continuation | Nothing = ()
    onward_by_part: dict[str, Continuation] | Nothing = ()
    error: msgspec.Raw = msgspec.Raw()

    @property
    def following(self) -> Continuation:
        """Parameters that ask for the next piece, none if this is the last."""
        if isinstance(self.onward, dict) and self.onward:
            return self.onward
        parts = self.onward_by_part.values() if isinstance(self.onward_by_part, dict) else ()
        return {name: value for part in parts for name, value in part.items()}  # before 1.21, for each part of a query

    @property
    def found(self) -> Query:
        """The part that was asked for, empty where the answer lacks it."""
        return self.query if isinstance(self.query, Query) else Query()


class _Error(msgspec.Struct):
    code: str = ""


_DECODER = msgspec.json.Decoder(Answer)


def decode_answer(content: bytes) -> Answer:
    """Return the answer that a text holds.

    Raises:
        SiteError: If it is not JSON, nested too deeply, not of the declared shape, or has more parts than any article:
            each takes a hundred times the memory of its text.
    """
    if content.count(b"{") > _MOST_BRACES or content.count(b'"') - content.count(b'\\"') > _MOST_QUOTES:
        raise SiteError("its answer has more parts than that about any article")
    try:
        return _DECODER.decode(content.removeprefix(_BOM))
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise SiteError(
            f"its answer is not one of MediaWiki's API ({error}); check that the address is that of its api.php"
        ) from error


def error_code(error: msgspec.Raw) -> str:
    """Return the code of an error that a site told, `""` if it has none."""
    try:
        return msgspec.json.decode(error, type=_Error).code
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return ""


def merged(pieces: Iterable[Query]) -> tuple[FoundPage, list[str]] | None:
    """Return the one page of an answer that comes in pieces, and the titles that redirect to it; None if it is absent.

    Raises:
        SiteError: If a piece has several pages.
    """
    page: FoundPage | None = None
    redirects: list[str] = []
    for query in pieces:
        listed = query.listed()
        if len(listed) > 1:
            raise SiteError(f"it gives {len(listed)} pages for one title")
        if not listed or listed[0].absent:
            return None
        if page is None:
            page, redirects = listed[0], [redirect.origin for redirect in query.redirects]
        else:
            _add(page, listed[0])
    return None if page is None else (page, redirects)


def _add(page: FoundPage, piece: FoundPage) -> None:
    """Add the fields of a later piece; only lists of categories go on from piece to piece."""
    page.categories += piece.categories
    page.pageprops = piece.pageprops if piece.disambiguation else page.pageprops
    page.revisions = piece.revisions or page.revisions
    for name in ("contentmodel", "pagelanguage", "extract"):
        if (value := getattr(piece, name)) is not None:
            setattr(page, name, value)
