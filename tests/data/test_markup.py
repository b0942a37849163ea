"""Markup that shows no prose leaves nothing in the text, and takes no prose with it."""

from __future__ import annotations

import pytest

from kgrl.data.wikimedia.wiki_site import WikiSite
from kgrl.data.wikimedia.wikitext import read_wikitext


def _shown(text: str, language: str = "") -> str:
    return read_wikitext(text, WikiSite(language)).text


@pytest.mark.parametrize(
    ("written", "language", "shown"),
    [
        ("-{zh-tw:網路; zh-cn:网络;}-很快。", "zh", "网络很快。"),
        ("-{zh-tw:網路; zh-cn:网络;}-很快。", "zh-tw", "網路很快。"),
        ("-{zh-hk:的士}-很快。", "zh", "的士很快。"),
        ("-{H|zh:甲;zh-tw:乙}--{T|zh:丙}-丁。", "zh", "丁。"),
        ("-{A|zh-cn:甲;zh-tw:乙}-丁。", "zh", "甲丁。"),
        ("-{zh-hans;zh-hant|北京}-大。", "zh", "北京大。"),
        ("-{甲=>zh-tw:乙}-丁。", "zh", "乙丁。"),
        ("[[电脑|-{zh-cn:计算机;zh-tw:電腦}-]]快。", "zh", "计算机快。"),
        ("Реч -{ostaje}- ту.", "sr", "Реч ostaje ту."),
        ("2-{methyl}-4 is not one.", "en", "2-{methyl}-4 is not one."),
    ],
)
def test_variants_of_a_language_show_one_form(written: str, language: str, shown: str) -> None:
    assert _shown(written, language) == shown


@pytest.mark.parametrize(
    "table",
    [
        "{| class=x\n! Year !! Name\n|-\n| 1990 || Foo\n",
        "{{Table start}}\n|-\n! Year\n| 1990 || style='x' | 12\n{{Table end}}\n",
        "|-\n! Year\n! Name\n|}\n",
        ":{|\n|a\n|}\n",
        "<table><tr><td>[[cell]]</td></tr></table>\n",
        "{|\n|a\n{|\n|b\n|}\n|c\n|}\n",
        "{{Infobox person\n| name = Ada\n| born = 1815\n",
    ],
)
def test_tables_leave_nothing_and_take_no_prose(table: str) -> None:
    assert _shown(f"Before it.\n\n{table}\nBehind it.").split("\n\n") == ["Before it.", "Behind it."]


@pytest.mark.parametrize("name", ["imagemap", "mapframe", "graph", "style", "source", "inputbox", "timeline", "score"])
@pytest.mark.parametrize("end", ["</{}>", "</{} >", ""])
def test_content_that_is_no_text_goes_even_without_an_end(name: str, end: str) -> None:
    inside = 'type=search\n{"a": [1]} [[Hidden]]'
    article = read_wikitext(f"Before it.\n\n<{name} a=1>\n{inside}\n{end.format(name.upper())}\n\nBehind it.")
    assert (article.text, article.links) == ("Before it.\n\nBehind it.", ())


_SWITCHES = (
    "__NOTOC__", "__notoc__", "__KEIN_INHALTSVERZEICHNIS__", "__БЕЗ_ОГЛАВЛЕНИЯ__", "__İÇİNDEKİLERYOK__",
    "__目次非表示__", "__लघुअनुक्रम_नहीं__", "__უსარჩევო__", "__لافهرس__",
)  # fmt: skip


@pytest.mark.parametrize("switch", _SWITCHES)
def test_switches_of_every_language_go(switch: str) -> None:
    assert _shown(f"{switch}Before{switch} it.\n{switch}") == "Before it."


@pytest.mark.parametrize(
    "switch", ["__DISAMBIG__", "__BEGRIFFSKLÄRUNG__", "__曖昧さ回避__", "__HOMONYMIE__", "__동음이의__"]
)
def test_switches_of_disambiguation_are_those_of_every_language(switch: str) -> None:
    assert read_wikitext(f"It may be [[a]] or [[b]].\n{switch}").disambiguation


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("[[Mars (planet)|]] is red.", "Mars is red."),
        ("[[Paris, Texas|]] is small.", "Paris is small."),
        ("[[Help:Writing (basics)|]] helps.", "Writing helps."),
        ("[[|Mars]] is red.", "Mars is red."),
        ("[[a|b|c]] is odd.", "b c is odd."),
        ("[[a|b [http://x.org c]]] goes on.", "b c goes on."),
        ("[[File:a.jpg|thumb|x [http://x.org c]]]It goes on.", "It goes on."),
        ("[[File:a.jpg|thumb|never closed\n\nIt goes on.", "It goes on."),
        ("[[never closed|and so on.", "and so on."),
        ("[http://x.org never closed", "never closed"),
        ("See //x and http://x.org/a?b=c, or not.", "See //x and , or not."),
        ("See http://x.org/a_(b), or (http://x.org/c) it.", "See , or it."),
        ("Ada ({{IPA|x}}; born 1815) and Bob ({{IPA|y}}) ran f().", "Ada (born 1815) and Bob ran f()."),
        ("a < b and <stdio.h> and <y> are shown.", "a < b and <stdio.h> and <y> are shown."),
        ("R&D, AT&T; &copy; and &#65;&#x42;&#9999999999;", "R&D, AT&T; © and AB&#9999999999;"),
        ("L''''étoile''' est ''belle''.", "L'étoile est belle."),
        ("<nowiki>[[a]] {{b}} ''c'' -{d}- &lt;</nowiki>", "[[a]] {{b}} ''c'' -{d}- <"),
        ("Before<!-- never closed", "Before"),
        ("One line.\n<!-- a remark -->\nThe next.", "One line. The next."),
        ("<includeonly>no</includeonly><noinclude>yes</noinclude>", "yes"),
        ("word{{!}}word", "word|word"),
    ],
)
def test_words_that_are_seen_stay(written: str, shown: str) -> None:
    assert _shown(written) == shown


@pytest.mark.parametrize(
    "between", ["<math>x</math>", "\n:<math>x</math>\n", "\n\n: <math>x</math>,\n\n", "<chem>H2O</chem>"]
)
def test_a_formula_leaves_its_sentence_whole(between: str) -> None:
    text = _shown(f"The mass is {between} and it is at rest.")
    assert text.replace(" ,", "") == "The mass is and it is at rest."


def test_hard_wrapped_lines_are_one_paragraph_and_lists_are_not() -> None:
    text = "Logic is the\nstudy of reason.\n* One item\n* Another\n;Term : its meaning\nIt is\nold."
    assert _shown(text).split("\n\n") == [
        "Logic is the study of reason.", "One item", "Another", "Term", "its meaning", "It is old.",
    ]  # fmt: skip


@pytest.mark.parametrize("heading", ["See also", "Siehe auch", "関連項目"])
def test_appendices_keep_their_links_and_lose_their_words(heading: str) -> None:
    article = read_wikitext(f"Logic is old.\n== {heading} ==\n* [[Set]]\n=== More ===\nx\n== History ==\nIt began.")
    assert article.text.split("\n\n") == ["Logic is old.", "History", "It began."]
    assert article.links == ("Set",)
