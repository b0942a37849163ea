"""A document as its format gave it: sections of prose with their headings, links and anchors."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct, field

from kgrl.system.prose import clean_text, is_appendix

__all__ = ["Document", "Section", "prose_of"]


class Section(Struct, omit_defaults=True):
    """The text between a heading and the next.

    Args:
        heading: The heading, `""` for the text before the first one.
        level: Level of the heading, 1 for the largest; 0 for the text before the first.
        text: The prose, one paragraph a line.
        links: Places that it links to, as written.
        anchors: Names by which a link may lead to it.
    """

    heading: str = ""
    level: int = 0
    text: str = ""
    links: list[str] = field(default_factory=list)
    anchors: list[str] = field(default_factory=list)


class Document(Struct, omit_defaults=True):
    """A document of a source.

    Args:
        key: The place that links to it name: its path below the folder, or the URL of its record.
        title: The title; `""` if it has none.
        sections: Its sections in order.
        category: The category that it states; `""` for none.
        stem: The name of its file without the ending, which titles it if nothing else does; `""` for records.
        left_out: Number of elements without prose that were left out, by kind.
    """

    key: str
    title: str = ""
    sections: list[Section] = field(default_factory=list)
    category: str = ""
    stem: str = ""
    left_out: dict[str, int] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """The prose of all sections, one paragraph a line."""
        return "\n\n".join(section.text for section in self.sections if section.text)


def prose_of(section: Section, paragraphs: Iterable[str]) -> Section:
    """Return a section with the prose of some paragraphs: none for references, links and the like.

    Links of such sections count: "See also" names what a text is related to.
    """
    section.text = "" if is_appendix(section.heading) else clean_text("\n".join(paragraphs))
    return section
