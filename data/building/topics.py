"""Choice of topics: documents, or their sections by headings; and titles that are unique.

The rule: topics are documents, unless there are fewer than 50 documents and their headings make three times as many
sections with text, or 100 documents and more of which most have no title. Topics of the latter are concepts
(`kgrl.data.building.concepts`). A section of fewer than 30 words belongs to the one before.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from kgrl.corpus import cut
from kgrl.data.building.document import Document, Section
from kgrl.data.building.spool import Spool, SpooledTexts
from kgrl.system.prose import clean_line
from kgrl.system.sentences import word_count
from kgrl.system.words import canonical

__all__ = ["TopicKind", "Topics", "chosen_kind", "document_title", "sections_of", "topics_of", "without_site_name"]

TopicKind = Literal["documents", "sections", "concepts"]

_FEW_DOCUMENTS, _MORE_SECTIONS = 50, 3
_MANY_UNTITLED, _UNTITLED_SHARE = 100, 0.5
_LEAST_WORDS = 30
"""Words of the shortest section that is a topic."""
_LONGEST_TITLE = 120
_TITLE_WORDS, _TITLE_LETTERS = 8, 60
"""Words, and letters, of a text that stand for a title where it has none."""
_NUMBER = re.compile(r"^(?:\d+(?:\.\d+)*\.?|[IVXLC]+\.)\s+(?=\S)|[¶#§\uf0c1]+$")
"""The number before a heading, and the sign behind it that links to it."""
_SUFFIX = re.compile(r"\s+[|–—·:-]+\s+[^|–—·]+$")
"""The name of a site behind the title of a page."""
_SUFFIX_SHARE = 0.5


@dataclass
class Topics:
    """Topics, the parts of documents that tell about them, and their titles.

    Args:
        kind: Documents, sections or concepts.
        why: The reason for the kind.
        titles: Unique titles.
        titled: Whether each title is one that the text brings, not made from its first words, bool `[topics]`.
        documents: The document of each topic, ascending, int32 `[topics]`.
        starts: The first section of each topic in its document, int32 `[topics]`; -1 for all sections.
        parents: The topic that each topic is a part of by headings, -1 for none, int32 `[topics]`.
        renamed: Number of titles that got a number or the title of their document, since others are the same.
    """

    kind: TopicKind
    why: str
    titles: list[str]
    titled: NDArray[np.bool_]
    documents: NDArray[np.int32]
    starts: NDArray[np.int32]
    parents: NDArray[np.int32]
    renamed: int

    def __len__(self) -> int:
        return len(self.titles)

    def sections(self, topic: int, document: Document) -> list[Section]:
        """Return the sections of a topic's document that tell about it."""
        if self.starts[topic] < 0:
            return document.sections
        following = topic + 1 < len(self) and self.documents[topic + 1] == self.documents[topic]
        return document.sections[self.starts[topic] : self.starts[topic + 1] if following else None]

    def passages(self, spool: Spool, language: str) -> Iterator[list[str]]:
        """Yield the passages of each topic, cut at the ends of sentences."""
        return (cut(text, language=language) for text in self.texts(spool))

    def texts(self, spool: Spool) -> SpooledTexts:
        """Return the text of each topic, read from the disk when it is asked for."""

        def read(topic: int) -> str:
            found = self.sections(topic, spool[int(self.documents[topic])])
            return "\n\n".join(section.text for section in found if section.text)

        return SpooledTexts(len(self), read)


@dataclass
class _Made:
    """Topics as they are made."""

    names: list[str] = field(default_factory=list)
    titled: list[bool] = field(default_factory=list)
    documents: list[int] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)
    parents: list[int] = field(default_factory=list)

    def add(self, name: str, titled: bool, document: int, start: int = -1, parent: int = -1) -> int:
        """Add a topic and return its number."""
        self.names.append(name)
        self.titled.append(titled)
        self.documents.append(document)
        self.starts.append(start)
        self.parents.append(parent)
        return len(self.names) - 1


def document_title(document: Document) -> tuple[str, bool]:
    """Return the title of a document, and whether it was not made from the first words of its text.

    Example:
        >>> document_title(Document("a.txt", sections=[Section(text="It is the study of reasoning, old and new.")]))
        ('It is the study of reasoning, old and', False)
    """
    for written in (document.title, document.stem):
        if title := _shortened(_NUMBER.sub("", clean_line(written)).strip()):
            return title, True
    words = document.text[:500].split()[:_TITLE_WORDS]
    return " ".join(words)[:_TITLE_LETTERS].rstrip(" .,;:") or "Untitled", False


def _shortened(title: str) -> str:
    if len(title) <= _LONGEST_TITLE:
        return title if canonical(title) else ""
    return title[:_LONGEST_TITLE].rsplit(" ", 1)[0] + "…"


def sections_of(document: Document) -> list[int]:
    """Return the sections with which topics begin, if sections are topics: those of 30 words or more."""
    return [at for at, section in enumerate(document.sections) if word_count(section.text) >= _LEAST_WORDS]


def chosen_kind(documents: int, sections: int, untitled: int, asked: TopicKind | None) -> tuple[TopicKind, str]:
    """Return the kind of topics, and the reason.

    Args:
        documents: Number of documents.
        sections: Number of their sections with text.
        untitled: Number of documents without a title and a file's name.
        asked: The kind that was asked for; by the rule if None.

    Example:
        >>> chosen_kind(3, 40, 0, None)[0], chosen_kind(300, 4000, 0, None)[0], chosen_kind(300, 300, 300, None)[0]
        ('sections', 'documents', 'concepts')
    """
    if asked is not None:
        return asked, "it was asked for"
    counted = f"{documents:,} documents with {sections:,} sections of {_LEAST_WORDS} words or more"
    if documents < _FEW_DOCUMENTS and sections >= _MORE_SECTIONS * documents:
        return "sections", f"{counted}: fewer than {_FEW_DOCUMENTS} documents, {_MORE_SECTIONS} times as many sections"
    if documents >= _MANY_UNTITLED and untitled > _UNTITLED_SHARE * documents:
        return "concepts", f"{counted}: {untitled:,} of the documents have no title"
    return "documents", counted


def topics_of(kind: TopicKind, why: str, spool: Spool, kept: Sequence[int], titles: Sequence[str]) -> Topics:
    """Return the topics of the documents that are kept.

    Args:
        kind: Documents or sections.
        why: The reason for the kind.
        spool: All documents.
        kept: The documents to use, ascending.
        titles: The title of each document in the spool, `""` for one whose text has to make it.
    """
    made = _Made()
    for number in kept:
        document = spool[number]
        title, titled = (titles[number], True) if titles[number] else document_title(document)
        begins = sections_of(document) if kind == "sections" else []
        if not begins:
            made.add(title, titled, number)
        else:
            _add_sections(made, document, number, begins, title)
    names = made.names if kind == "documents" else _told_apart(made, titles, kept)
    unique = _numbered(names)
    return Topics(
        kind,
        why,
        unique,
        np.array(made.titled, dtype=bool),
        documents=np.array(made.documents, dtype=np.int32),
        starts=np.array(made.starts, dtype=np.int32),
        parents=np.array(made.parents, dtype=np.int32),
        renamed=sum(old != new for old, new in zip(made.names, unique, strict=True)),
    )


def _add_sections(made: _Made, document: Document, number: int, begins: list[int], title: str) -> None:
    """Add the topics of a document's sections; each is a part of the one whose heading is above its own."""
    above: list[tuple[int, int]] = []  # level and topic of the headings that are open
    for order, at in enumerate(begins):
        section = document.sections[at]
        heading = _shortened(_NUMBER.sub("", clean_line(section.heading)).strip())
        while above and above[-1][0] >= section.level:
            above.pop()
        parent = above[-1][1] if above else -1
        # What stands before the first topic's heading is without text; its links are the first topic's.
        topic = made.add(heading or title, True, number, 0 if order == 0 else at, parent)
        above.append((section.level, topic))


def _told_apart(made: _Made, titles: Sequence[str], kept: Sequence[int]) -> list[str]:
    """Return the names of sections, with the document's title before those that several have."""
    counts = Counter(canonical(name).casefold() for name in made.names)
    return [
        name
        if counts[canonical(name).casefold()] == 1 or not titles[document] or name == titles[document]
        else f"{titles[document]}: {name}"
        for name, document in zip(made.names, made.documents, strict=True)
    ]


def _numbered(names: Sequence[str]) -> list[str]:
    """Return unique names: the second of a name has " (2)" behind it."""
    given: set[str] = set()
    next_number: Counter[str] = Counter()
    unique = []
    for name in names:
        key, shown = canonical(name), name
        while canonical(shown) in given:
            next_number[key] += 1
            shown = f"{name} ({next_number[key] + 1})"
        given.add(canonical(shown))
        unique.append(shown)
    return unique


def without_site_name(titles: Sequence[str]) -> list[str]:
    """Return titles without the ending that half of them share, such as " — My Site".

    Example:
        >>> without_site_name(["Set — Logic Handbook", "Proof — Logic Handbook", "Index"])
        ['Set', 'Proof', 'Index']
    """
    endings = Counter(_endings(titles))
    common = [ending for ending, n in endings.items() if n >= 2 and n >= _SUFFIX_SHARE * len(titles)]
    ending = max(common, key=len, default="")
    return [title.removesuffix(ending) if ending else title for title in titles]


def _endings(titles: Sequence[str]) -> Iterator[str]:
    for title in titles:
        if found := _SUFFIX.search(title):
            yield found[0]
