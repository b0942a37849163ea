"""Formats of documents: prose, titles, links and encodings as they are written in real files."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kgrl.data.building.decoding import decode_text
from kgrl.data.building.html_pages import read_html
from kgrl.data.building.markup_files import plain_paragraphs, read_markdown, read_plain, read_rst

GIT_PAGES = Path("/usr/share/doc/git/html")


def test_a_page_gives_prose_headings_links_and_anchors() -> None:
    page = read_html(
        """<html><head><title>git-add(1)</title><style>p {}</style></head><body>
        <nav><a href="home.html">Home page of the whole site, with much text.</a></nav>
        <h1 id="top">git-add(1) Manual Page</h1><p>Adds <em>file</em> contents to the index.
        <h2 id="options">OPTIONS</h2>
        <dl><dt>-n</dt><dt>--dry-run</dt><dd><p>Do not add the files, just show them.</p></dd></dl>
        <pre>git add -n this is code and not prose, whatever it says.</pre>
        <h2>SEE ALSO</h2><p>The page about commits tells more, see <a href="git-commit.html#d">git-commit(1)</a>.</p>
        <script>var x = "a script is no prose at all, never.";</script></body></html>""",
        "git-add.html",
    )
    assert page.title == "git-add(1)"
    assert [section.heading for section in page.sections] == ["git-add(1) Manual Page", "OPTIONS", "SEE ALSO"]
    assert page.sections[0].text == "Adds file contents to the index."
    assert page.sections[1].text == "-n, --dry-run: Do not add the files, just show them."
    assert page.sections[1].anchors == ["options"]
    # What a page lists as related is no prose, and its links count.
    assert (page.sections[2].text, page.sections[2].links) == ("", ["git-commit.html#d"])
    assert page.left_out == {"navigation and forms": 1, "code": 1}


def test_where_a_page_says_what_is_main_the_rest_is_left_out() -> None:
    page = read_html("<p>A menu that has sentences.</p><main><h1>Set</h1><p>A set has members.</main><p>Imprint.", "s")
    assert page.text == "A set has members."
    assert read_html("<p>The whole text of it.</p><main></main>", "s").text == "The whole text of it."


@given(st.text(st.sampled_from("<>/!-[]&;#pamin heo=\"'x1 \n"), max_size=200))
def test_any_page_is_read(text: str) -> None:
    assert all(section.text == section.text.strip() for section in read_html(text, "any").sections)


def test_front_matter_tells_title_and_category() -> None:
    page = read_markdown("---\ntitle: On sets\ncategory: Maths\n---\n# Sets\n\nA set has members.\n", "sets.md")
    assert (page.title, page.category, page.text) == ("On sets", "Maths", "A set has members.")
    assert read_markdown("---\n- no table\n---\nA set has members.\n", "s.md").text == "A set has members."


def test_references_of_sphinx_are_links_and_its_directives_are_read() -> None:
    page = read_rst(
        """.. _the-sets:

Sets
====

A set has members, see :ref:`laws of logic <the-laws>` and :class:`~set.Set`.

.. versionadded:: 3.1

   Sets can be written down in braces, too.

.. toctree::

   other
   more

Laws
----

They are few, and :unknown-role:`never` broken.
""",
        "sets.rst",
    )
    assert page.title == "Sets"
    assert page.sections[0].links == ["label:the-laws"]
    assert page.sections[0].text.split("\n\n") == [
        "A set has members, see laws of logic and set.Set.",
        "Sets can be written down in braces, too.",
    ]
    assert page.sections[1].text == "They are few, and never broken."
    assert "the-sets" in {anchor for section in page.sections for anchor in section.anchors}


def test_files_are_not_included_into_a_text(tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("This is a secret that nobody may read.")
    for directive in ("include", "literalinclude", "raw:: html\n   :file"):
        page = read_rst(f"Sets have members.\n\n.. {directive}:: {tmp_path / 'secret.txt'}\n", "s.rst")
        assert "secret" not in page.text.replace("secret.txt", "")


@given(st.text(st.sampled_from(" .:`_*|\n-=a<>[]\\"), max_size=80))
def test_any_restructured_text_is_read(text: str) -> None:
    assert read_rst(text, "any").key == "any"


def test_lines_that_were_broken_for_their_length_are_joined() -> None:
    text = (
        "Contents\nLogic is the study of what follows from what and\nwhy. It is old.\n\n"
        "数学是研究数量、结构以及空间等概念的一门学\n科。"
    )
    assert list(plain_paragraphs(text)) == [
        "Contents",
        "Logic is the study of what follows from what and why. It is old.",
        "数学是研究数量、结构以及空间等概念的一门学科。",
    ]
    assert read_plain(text, "a.txt").text.startswith("Logic is")


@given(
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=50),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32"]),
)
def test_unicode_is_read_as_it_was_written(text: str, encoding: str) -> None:
    text = text.removeprefix("\ufeff")
    if encoding != "utf-8" or text.encode()[:2] not in (b"\xff\xfe", b"\xfe\xff"):
        assert decode_text(text.encode(encoding)) == (text, encoding.removesuffix("-sig"))


def test_other_encodings_are_declared_or_told_by_their_bytes() -> None:
    page = '<meta charset="windows-1251"><p>Множество состоит из элементов.'
    assert decode_text(page.encode("cp1251")) == (page, "cp1251")
    words = "Évora é uma cidade antiga, e as ruas são estreitas. À tarde há música na praça. " * 5
    assert decode_text(words.encode("latin-1"))[0] == words


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"\x89PNG\r\n\x1a\n" + bytes(20), "binary file"),
        ("Évora é antiga, não é nova, está só.".encode() + b"\xff", "damaged UTF-8"),
        (b"\xff\xfea", "not in the encoding that it says"),
    ],
)
def test_what_is_no_text_is_named(data: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        decode_text(data)


@pytest.mark.integration
@pytest.mark.skipif(not GIT_PAGES.is_dir(), reason="git's manual pages are not installed: apt-get install git-doc")
def test_pages_of_gits_manual_have_their_titles_and_links() -> None:
    page = read_html((GIT_PAGES / "git-add.html").read_text(encoding="utf-8"), "git-add.html")
    links = {link for section in page.sections for link in section.links}
    assert page.title == "git-add(1)" and {"git-commit.html", "git-status.html"} <= links
    assert "This command updates the index" in page.text
