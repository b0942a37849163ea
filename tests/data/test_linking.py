"""Mentions are found by longest match, and told from links by context."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kgrl.data.text.linking import best_of_mention, find_candidates, find_links, link_features, link_probability
from kgrl.data.text.mentions import Form, MentionFinder, tokenize


def mentioned(titles: list[str], text: str) -> list[list[str]]:
    """The titles that each mention in a text may stand for."""
    finder = MentionFinder(titles)
    return [[titles[t] for t, _ in mention.targets] for mention in finder.find(tokenize(text), text)]


@pytest.mark.parametrize(
    ("titles", "text", "expected"),
    [
        (["New York", "York", "New York City"], "From York to New York City.", [["York"], ["New York City"]]),
        (["City", "Fox", "Berry"], "Cities, foxes and a berry.", [["City"], ["Fox"], ["Berry"]]),
        (["Vikings"], "A Viking came.", [["Vikings"]]),
        (["State (polity)"], "A state may fail.", [["State (polity)"]]),
        (["Mercury (planet)", "Mercury (element)"], "Mercury.", [["Mercury (planet)", "Mercury (element)"]]),
        (["Mercury", "Mercury (element)"], "Mercury.", [["Mercury", "Mercury (element)"]]),
        (["Coca-Cola", "Earth"], "Coca–Cola is Earth's drink.", [["Coca-Cola"], ["Earth"]]),
        (["Paris France"], "He loved Paris. France was cold.", []),
        (["J. S. Bach", "St. Louis"], "J. S. Bach in St. Louis", [["J. S. Bach"], ["St. Louis"]]),
        (["C", "C++"], "C++ and C.", [["C++"], ["C"]]),
        (["Émile Zola", "Œuvre"], "Émile Zola et ses œuvres.", [["Émile Zola"], ["Œuvre"]]),
        (["Cheval (animal)"], "Des chevals.", [["Cheval (animal)"]]),
        (["1", "..."], "1 and ... more.", [["1"]]),
    ],
)
def test_mentions(titles: list[str], text: str, expected: list[list[str]]) -> None:
    assert mentioned(titles, text) == expected


def test_aliases_are_mentions_too() -> None:
    finder = MentionFinder(["Charles Chaplin"], [["Charlie Chaplin"]])
    text = "Charlie Chaplin acted."
    assert [m.targets for m in finder.find(tokenize(text), text)] == [((0, Form.TITLE),)]


words = st.sampled_from(["red", "Fox", "foxes", "New", "York", "city", "cities", ".", ",", "(x)"])


@given(st.lists(words, max_size=25), st.lists(st.lists(words, min_size=1, max_size=3), max_size=6))
def test_mentions_do_not_overlap_and_run_left_to_right(text_words: list[str], title_words: list[list[str]]) -> None:
    text = " ".join(text_words)
    tokens = tokenize(text)
    last = -1
    for mention in MentionFinder([" ".join(ws) for ws in title_words]).find(tokens, text):
        assert last < mention.first <= mention.last < len(tokens)
        assert mention.targets
        last = mention.last


def unit(*rows: list[float]) -> np.ndarray:
    array = np.array(rows, dtype=np.float32)
    return array / np.linalg.norm(array, axis=1, keepdims=True)


TITLES = ["Parliament", "State (polity)", "Duck", "Well", "Aquifer"]
TEXTS = [
    "A parliament makes the laws of a state. The state obeys.",
    "In politics a state is a body that rules a land through a parliament.",
    "A duck is a bird that swims well. Its state of health shows in its feathers.",
    "A hole dug for water is called a well, and it reaches an aquifer.",
    "Rock that bears water is an aquifer. People drink from it by a well.",
]
# Politics, water, and a bird that is neither.
NEAR = unit([1, 0, 0.1], [0.95, 0.05, 0], [-0.3, -0.3, 1], [0, 1, 0.1], [0, 0.95, 0])


def linked(titles: list[str], texts: list[str], embeddings: np.ndarray) -> set[tuple[str, str]]:
    sources, targets = find_links(titles, texts, embeddings)
    return {(titles[a], titles[b]) for a, b in zip(sources, targets, strict=True)}


def test_context_tells_links_from_mere_words() -> None:
    links = linked(TITLES, TEXTS, NEAR)
    assert {("Parliament", "State (polity)"), ("Well", "Aquifer"), ("Aquifer", "Well")} <= links
    assert not any(source == "Duck" for source, _ in links)


def test_a_topic_never_links_to_itself_and_no_link_repeats() -> None:
    sources, targets = find_links(TITLES, TEXTS, NEAR)
    assert np.all(sources != targets)
    assert len(set(zip(sources.tolist(), targets.tolist(), strict=True))) == len(sources)


def test_an_ambiguous_word_links_to_the_nearest_topic_only() -> None:
    titles = ["Venus", "Mercury (planet)", "Mercury (element)"]
    texts = ["Between Venus and the Sun there is Mercury.", "A planet near Venus.", "A metal."]
    links = linked(titles, texts, unit([1, 0.1, 0], [1, 0, 0], [-1, 0.3, 1]))
    assert ("Venus", "Mercury (planet)") in links
    assert ("Venus", "Mercury (element)") not in links


def test_of_one_mention_the_best_target_is_taken() -> None:
    candidates = find_candidates(["A", "B (x)", "B (y)"], ["A b is here.", "", ""])
    assert candidates.targets.tolist() == [1, 2]
    assert best_of_mention(candidates, np.array([0.2, 0.9])).tolist() == [False, True]


def test_capitals_tell_names_from_common_nouns() -> None:
    def features(text: str) -> dict[str, float]:
        candidates = find_candidates(["Reader", "Turkey"], [text, "The country is called Turkey."])
        return {name: float(column[0]) for name, column in candidates.counted.items()}

    assert features("They roast a turkey.")["capitalised"] < features("They visit Turkey.")["capitalised"]
    assert features("He met Paul Turkey.")["after_name"] == 1 > features("In Turkey.")["after_name"]
    assert features("He saw Turkey Street.")["before_name"] == 1 > features("He saw Turkey.")["before_name"]


def test_features_and_probabilities_have_one_row_a_candidate() -> None:
    candidates = find_candidates(TITLES, TEXTS)
    probability = link_probability(link_features(candidates, NEAR))
    assert probability.shape == candidates.sources.shape
    assert np.all((probability > 0) & (probability < 1))


def test_texts_without_mentions_have_no_links() -> None:
    sources, targets = find_links(["Alpha", "Beta"], ["Nothing.", ""], unit([1, 0], [0, 1]))
    assert len(sources) == len(targets) == 0


@pytest.mark.parametrize(
    ("title", "text"),
    [
        ("Évora", "E\u0301vora is a town"),
        ("हिन्दी", "वह हिन्दी भाषा"),
        ("İstanbul", "in ISTANBUL and istanbul"),
        ("数学", "我学数学课"),
        ("ภาษาไทย", "เรียนภาษาไทยทุกวัน"),
        ("ﬁsh", "a fish swims"),
        ("ابهام‌زدایی", "این ابهام‌زدایی است"),
        ("Straße", "die STRASSE"),
    ],
)
def test_mentions_in_every_script_and_spelling(title: str, text: str) -> None:
    assert [mention.targets[0][0] for mention in MentionFinder([title]).find(tokenize(text), text)][:1] == [0]


def test_a_word_with_marks_is_one_word() -> None:
    assert [token.text for token in tokenize("हिन्दी भाषा, 5 km²")] == ["हिन्दी", "भाषा", "5", "km²"]
