"""Sentences in every script: where they end, and what is done where nothing says so."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kgrl.corpus import cut, split_passages
from kgrl.system.sentences import sentences_of, word_count

# Two sentences in each script; the second begins with what a rule for English takes for the middle of a sentence.
TWO_SENTENCES = {
    "Russian": ("ru", "Логика изучает рассуждения. Что из чего следует?"),
    "Greek": ("el", "Η λογική μελετά τον συλλογισμό. Τι έπεται;"),
    "Arabic": ("ar", "المنطق هو دراسة الاستدلال. ما معنى ذلك؟"),
    "Urdu": ("ur", "منطق استدلال کا مطالعہ ہے۔ یہ قدیم ہے۔"),
    "Hebrew": ("he", "הלוגיקה היא חקר ההיסק. היא עתיקה."),
    "Hindi": ("hi", "तर्कशास्त्र तर्क का अध्ययन है। यह पुराना है।"),
    "Tamil": ("ta", "தர்க்கம் ஒரு துறை. இது பழமையானது."),
    "Chinese": ("zh", "逻辑学研究推理。它很古老！"),
    "Japanese": ("ja", "論理学は推論を研究する。古い学問である。"),
    "Korean": ("ko", "논리학은 추론을 연구한다. 오래되었다."),
    "Georgian": ("ka", "ლოგიკა სწავლობს მსჯელობას. ის ძველია."),
    "Armenian": ("hy", "Տրամաբանությունը գիտություն է։ Այն հին է։"),
    "Amharic": ("am", "ሥነ አመክንዮ ጥናት ነው። ጥንታዊ ነው።"),
    "Burmese": ("my", "ယုတ္တိဗေဒသည် ပညာရပ်ဖြစ်သည်။ ရှေးကျသည်။"),
    "Polish": ("pl", "Logika bada rozumowanie. Świat jest stary."),
    "Czech": ("cs", "Logika zkoumá usuzování. Žádná není nová."),
    "Turkish": ("tr", "Mantık akıl yürütmeyi inceler. İnsan bunu bilir."),
    "German": ("de", "Logik ist eine Lehre. „Sie ist alt“, sagt man."),
    "French": ("fr", "La logique étudie le raisonnement. « Elle est ancienne. »"),
    "Spanish": ("es", "La lógica estudia el razonamiento. ¿Es antigua?"),
    "a small letter": ("en", "Phones have logic inside. iPhone is one."),
}


@pytest.mark.parametrize(("language", "text"), TWO_SENTENCES.values(), ids=TWO_SENTENCES)
def test_a_sentence_ends_in_its_script(language: str, text: str) -> None:
    assert len(sentences_of(text, language)) == 2
    assert "".join("".join(sentences_of(text, language)).split()) == "".join(text.split())


@pytest.mark.parametrize(("language", "text"), TWO_SENTENCES.values(), ids=TWO_SENTENCES)
def test_long_text_of_any_script_has_something_held_out(language: str, text: str) -> None:
    passages = cut(" ".join([text] * 20))  # the language is not always known
    assert len(passages) >= 3
    assert set(split_passages("Logic", passages)) == {0, 1, 2}


@pytest.mark.parametrize(
    ("language", "sentence"),
    [
        ("en", "Dr. Ada met Mr. J. R. Smith at 5 p.m. in St. Petersburg."),
        ("en", "He was born c. 1900, e.g. in the U.S. Army."),
        ("fr", "M. Dupont est mort."),
        ("de", "Am 3. Oktober war z. B. Dr. Müller da."),
        ("ru", "Он родился в 1905 г. в Киеве, т. е. давно."),
        ("es", "El Sr. López vive en EE. UU. desde 1990."),
    ],
)
def test_abbreviations_end_no_sentence(language: str, sentence: str) -> None:
    assert sentences_of(sentence, language) == [sentence]


@pytest.mark.parametrize("letter", ["นี่คือตรรกศาสตร์ ", "នេះជាតក្កវិជ្ជា", "数", "x", "e\u0301", "word "])
def test_text_without_sentence_ends_is_cut_by_length(letter: str) -> None:
    text = letter * 5_000
    passages = cut(text)
    assert max(map(len, passages)) <= 1_200
    assert "".join(passages).replace(" ", "") == text.replace(" ", "")
    assert not any(passage.startswith("\u0301") for passage in passages)


def test_a_word_is_as_long_as_its_script_has_it() -> None:
    assert word_count("one two") == 2
    assert word_count("逻辑") == 1
    assert word_count("x" * 1000) == 50


def test_unclosed_quotation_marks_are_no_trap() -> None:
    assert len(sentences_of("“" * 60_000 + "A. B.")) > 1  # the segmenter alone needs minutes


@given(st.text(max_size=200))
def test_no_letter_is_lost(text: str) -> None:
    whole = "".join("".join(sentences_of(text)).split())
    assert whole == "".join(text.encode("utf-8", "replace").decode().split())


@pytest.mark.parametrize("other", ["E\u0301vora is old.", "Évo\u00adra is old.", "Évora\u00a0is  old."])
def test_the_split_does_not_depend_on_the_spelling(other: str) -> None:
    passages = ["Évora is old.", "It is in Portugal.", "It has walls.", "It has a temple.", "Its university is old."]
    respelled = [passages[0], *[p.replace("Évora is old.", other) for p in passages[1:]], other]
    assert split_passages("Évora", [*passages, passages[0]]).tolist() == split_passages("Évora", respelled).tolist()
