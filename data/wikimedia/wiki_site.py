"""Rules of a wiki that its pages are read by: namespaces, titles, and the templates of disambiguation pages."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property

from kgrl.data.wikimedia.wiki_words import (
    CATEGORY_NAMES,
    DISAMBIGUATION_CATEGORIES,
    DISAMBIGUATION_TEMPLATES,
    FILE_NAMES,
    LANGUAGE_PREFIXES,
)

__all__ = ["CATEGORY", "FILE", "TEMPLATE", "WikiSite", "folded"]

FILE, CATEGORY, TEMPLATE = 6, 14, 10
_CANONICAL = {
    -2: ("Media",),
    -1: ("Special",),
    1: ("Talk",),
    2: ("User",),
    3: ("User talk",),
    4: ("Project", "Wikipedia"),
    5: ("Project talk", "Wikipedia talk"),
    FILE: ("File", "Image"),
    7: ("File talk", "Image talk"),
    8: ("MediaWiki",),
    9: ("MediaWiki talk",),
    TEMPLATE: ("Template",),
    11: ("Template talk",),
    12: ("Help",),
    13: ("Help talk",),
    CATEGORY: ("Category",),
    15: ("Category talk",),
}
"""English names of namespaces, which are understood on every wiki."""
_DOTTED = frozenset({"az", "kaa", "kk-latn", "tr"})
"""Languages whose capital i has a dot."""
_MARKS = re.compile("[\u200e\u200f\u202a-\u202e]")
"""Marks of direction, which MediaWiki takes out of titles."""


def folded(name: str) -> str:
    """Return the form in which names of namespaces and templates are compared.

    Example:
        >>> folded(" Airport_Disambiguation ")
        'airport disambiguation'
    """
    # A Turkish capital İ folds to an i and a mark of its own, which the small letter does not have.
    return " ".join(name.replace("_", " ").split()).casefold().replace("i\u0307", "i")


@dataclass(frozen=True)
class WikiSite:
    """Rules of a wiki. Without arguments, those of a site of which nothing is known.

    Args:
        language: Its language's code.
        namespaces: Numbers of its namespaces by name; more than one name may have a number. The English names are
            understood besides. None where they are not known: names in many languages are then.
        first_letter: Whether a title's first letter is a capital whatever is written.
    """

    language: str = ""
    namespaces: dict[str, int] | None = field(default=None, hash=False)
    first_letter: bool = True

    def split(self, title: str) -> tuple[int, str]:
        """Return the namespace of a title, and the rest.

        Example:
            >>> site = WikiSite("nl", {"Categorie": 14})
            >>> site.split("categorie:Wiskunde"), site.split("Category: Wiskunde"), site.split("Re:Zero")
            ((14, 'Wiskunde'), (14, 'Wiskunde'), (0, 'Re:Zero'))
        """
        prefix, colon, rest = title.partition(":")
        number = self._numbers.get(folded(prefix), 0) if colon else 0
        return (number, rest.strip()) if number else (0, title)

    def title(self, written: str) -> str:
        """Return a title as the wiki writes it: single spaces, no underscores, and its rule for the first letter.

        Example:
            >>> WikiSite().title(" set_theory "), WikiSite("tr").title("insan"), WikiSite().title("ßa")
            ('Set theory', 'İnsan', 'ßa')
            >>> WikiSite("en", first_letter=False).title("polish")
            'polish'
        """
        clean = " ".join(_MARKS.sub("", written).replace("_", " ").split())
        if not self.first_letter or not clean:
            return clean
        first = clean[0]
        # Of one letter only, as MediaWiki does: ß, ligatures and Georgian letters have no capital in titles.
        capital = "İ" if first == "i" and self.language in _DOTTED else first.title()
        return (capital if len(capital) == 1 else first) + clean[1:]

    def foreign(self, target: str) -> bool:
        """Return whether a link without a leading colon leads to the page in another language, which shows nothing."""
        prefix, colon, _ = target.partition(":")
        return bool(colon) and prefix.strip().lower() in LANGUAGE_PREFIXES

    def disambiguates(self, templates: Iterable[str], categories: Iterable[str]) -> bool:
        """Return whether a page with these templates and categories is a disambiguation page."""
        names = (folded(self._template(name)) for name in templates)
        return any(name in _TEMPLATES for name in names) or any(folded(name) in _CATEGORIES for name in categories)

    def _template(self, name: str) -> str:
        number, rest = self.split(name)
        return rest if number == TEMPLATE else name

    @cached_property
    def _numbers(self) -> dict[str, int]:
        numbers = {folded(name): number for number, names in _CANONICAL.items() for name in names}
        if self.namespaces is None:
            numbers |= dict.fromkeys(map(folded, CATEGORY_NAMES.split("|")), CATEGORY)
            numbers |= dict.fromkeys(map(folded, FILE_NAMES.split("|")), FILE)
        else:
            numbers |= {folded(name): number for name, number in self.namespaces.items() if name}
        return numbers


def _all(names: dict[str, str]) -> frozenset[str]:
    # Of all languages at once: wikis borrow one another's templates, and a page's own language is not always given.
    return frozenset(folded(name) for of_language in names.values() for name in of_language.split("|"))


_TEMPLATES, _CATEGORIES = _all(DISAMBIGUATION_TEMPLATES), _all(DISAMBIGUATION_CATEGORIES)
