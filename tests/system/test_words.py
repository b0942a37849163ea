"""Words in which texts are compared: one text has one list of words, however it is spelled."""

from __future__ import annotations

import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kgrl.corpus import Split, near_duplicates, wording
from kgrl.research.wording import Wording
from kgrl.retrieval import Bm25Retriever
from kgrl.system.words import words_of

PLAIN = "the quick brown fox jumps over the lazy dog every single day of the year here"
SENTENCES = {
    "Portuguese": "Évora é uma cidade antiga onde há muitas praças e também muitas igrejas de pedra ao sol.",
    "Vietnamese": "Tiếng Việt là ngôn ngữ của người Việt và là ngôn ngữ chính thức tại Việt Nam hiện nay.",
    "Korean": "한국어는 한국과 북한에서 쓰는 말이며 세계 여러 나라에서 많은 사람이 배우고 있다.",
    "Hindi": "हिन्दी भारत की एक भाषा है और इसे देश के बहुत से लोग हर दिन बोलते हैं।",
}


@pytest.mark.parametrize("text", SENTENCES.values(), ids=SENTENCES)
@pytest.mark.parametrize("form", ["NFC", "NFD", "NFKC", "NFKD"])
def test_composed_and_decomposed_spellings_are_one_text(text: str, form: str) -> None:
    assert words_of(unicodedata.normalize(form, text)) == words_of(text)


@pytest.mark.parametrize(
    "spelled",
    [
        PLAIN.replace("quick", "qu\u00adick").replace("every", "ev\u00adery"),
        PLAIN.replace("o", "o\u200b"),
        PLAIN.replace(" ", "\u00a0"),
        PLAIN.replace(" ", "\u2028"),
        "".join(chr(ord(letter) + 0xFEE0) if letter.isalpha() else letter for letter in PLAIN),
        PLAIN.upper(),
        f"\ufeff\u200e{PLAIN}\u200f",
    ],
    ids=["soft hyphens", "zero-width spaces", "no-break spaces", "line separators", "full width", "capitals", "marks"],
)
def test_a_copy_in_another_spelling_does_not_stay_in_training(spelled: str) -> None:
    assert near_duplicates([spelled, PLAIN], np.array([Split.TRAIN, Split.EXAM], np.uint8)).tolist() == [True, False]
    seen = Wording()
    seen.add([PLAIN], [Split.EXAM])
    assert seen.repeats([spelled], [Split.TRAIN]).all()
    assert wording(spelled) == wording(PLAIN)


def test_letters_of_scripts_without_spaces_are_words() -> None:
    assert words_of("我学数学课") == ["我", "学", "数", "学", "课"]
    assert len(words_of("เรียนภาษาไทย")) > 4
    assert words_of("한국어 문장") == ["한국어", "문장"]


@given(st.text())
def test_words_are_the_same_whatever_the_form(text: str) -> None:
    words = words_of(text)
    assert words_of(unicodedata.normalize("NFD", text)) == words_of(unicodedata.normalize("NFC", text))
    assert all(words) and words_of(" ".join(words)) == words


class TestSearchByWords:
    """BM25 finds one-letter words, words of every script, and accents in either form."""

    TEXTS = (
        "Rivers carry water.",
        "C is a letter.",
        "数学は数を扱う。",
        "Математика изучает числа.",
        "Évora is a town.",
        "ภาษาไทยเป็นภาษา",
        "A naïve ﬁsh swims.",
    )

    @pytest.mark.parametrize(
        ("query", "found"),
        [
            ("RIVERS", 0),
            ("C", 1),
            ("数学", 2),
            ("числа", 3),
            ("E\u0301vora", 4),
            ("évora", 4),
            ("ภาษา", 5),
            ("fish", 6),
            ("nai\u0308ve", 6),
        ],
    )
    def test_the_passage_is_found(self, query: str, found: int) -> None:
        assert Bm25Retriever(self.TEXTS).search([query], 2)[0][0, 0] == found

    def test_what_no_passage_has_is_not_found(self) -> None:
        assert Bm25Retriever(self.TEXTS).search(["zzz", "", "!!!"], 2)[0].tolist() == [[-1, -1]] * 3


@pytest.mark.parametrize(
    ("small", "capital"), [("istanbul ışık", "İSTANBUL IŞIK"), ("straße", "STRASSE"), ("ὀδυσσεύς", "ὈΔΥΣΣΕΎΣ")]
)
def test_small_and_capital_letters_are_the_same_in_every_language(small: str, capital: str) -> None:
    assert words_of(small) == words_of(capital)
