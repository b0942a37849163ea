"""Invented worlds: what is true in them, what their passages say, and in which order they are best read."""

from __future__ import annotations

import itertools
import os
import re
import subprocess
import sys
from pathlib import Path

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kgrl.corpus import Corpus, Split, near_duplicates
from kgrl.data import load_corpus
from kgrl.data.invented import (
    RELATIONS,
    Fact,
    InventedWorld,
    Topic,
    fact_questions,
    inferable_shares,
    invent,
    load_invented,
    optimal_order,
    world_of,
)
from kgrl.data.text.linking import find_places
from kgrl.errors import SettingError, UnknownNameError
from kgrl.probes import Accuracy

SIZES, SEEDS = st.integers(8, 120), st.integers(0, 10**6)
FINGERPRINT = "ab04c20d5e77e3ba47ad7b8dba4f412a3f0effb9e9a3b5068f4f4062fb2205da"
"""Of `invented:100`; it is the same on every machine, or measurements on it could not be compared."""


@given(SIZES, SEEDS)
def test_names_are_unique(size: int, seed: int) -> None:
    topics = invent(size, seed).topics
    words = [topic.title.split()[1 if topic.category == "People" else 0] for topic in topics]
    assert len(topics) == len(set(words)) == size
    assert [topic.title for topic in topics] == sorted(topic.title for topic in topics)


@given(SIZES, SEEDS)
def test_facts_lead_to_older_topics_and_never_in_circles(size: int, seed: int) -> None:
    world = invent(size, seed)
    graph = nx.DiGraph((fact.subject, fact.object) for fact in world.stated)
    assert nx.is_directed_acyclic_graph(graph)
    assert all(world.topics[f.object].year <= world.topics[f.subject].year for f in world.stated)
    assert nx.is_weakly_connected(graph) and len(graph) == size


@given(SIZES, SEEDS)
def test_facts_are_of_their_relation_and_told_once(size: int, seed: int) -> None:
    world = invent(size, seed)
    relations = {relation.name: relation for relation in RELATIONS}
    for fact in world.stated:
        relation = relations[fact.relation]
        assert world.topics[fact.subject].category == relation.subject
        assert world.topics[fact.object].category == relation.object
    assert len({(fact.subject, fact.relation) for fact in world.facts}) == len(world.facts)


@given(SIZES, SEEDS)
def test_two_hops_follow_from_their_parts(size: int, seed: int) -> None:
    world = invent(size, seed)
    for fact in world.inferable:
        first, second = fact.parts
        assert (fact.subject, fact.object) == (first.subject, second.object)
        assert first.object == second.subject
        assert {first, second} <= set(world.stated)
        assert fact.sources == (fact.subject, first.object)


@settings(max_examples=15)
@given(SIZES, SEEDS)
def test_two_hop_facts_are_stated_nowhere_and_others_in_every_passage_of_their_topic(size: int, seed: int) -> None:
    name = f"invented:{size}:{seed}"
    world, corpus = world_of(name), load_invented(name)
    named = [{t for t, topic in enumerate(world.topics) if topic.title in text} for text in corpus.texts]
    for fact in world.inferable:
        assert not any({fact.subject, fact.object} <= names for names in named)
    for topic, names in zip(corpus.topics.tolist(), named, strict=True):
        assert names == {topic, *(fact.object for fact in world.facts_of[topic])}


@settings(max_examples=15)
@given(SIZES, SEEDS)
def test_splits_say_the_same_in_other_words(size: int, seed: int) -> None:
    corpus = load_invented(f"invented:{size}:{seed}")
    assert not near_duplicates(corpus.texts, corpus.splits).any()
    assert corpus.has(Split.TRAIN).all() and corpus.has(Split.EXAM).all()
    assert corpus.has(Split.PROBE).mean() > 0.9
    assert len(set(corpus.texts)) == len(corpus)


@settings(max_examples=15)
@given(SIZES, SEEDS)
def test_links_are_where_passages_name_other_topics(size: int, seed: int) -> None:
    name = f"invented:{size}:{seed}"
    world, graph = world_of(name), load_invented(name).graph
    assert set(zip(*(ends.tolist() for ends in graph.links()), strict=True)) == {
        (fact.subject, fact.object) for fact in world.stated
    }
    assert list(graph.titles) == [topic.title for topic in world.topics]
    assert list(graph.categories) == [topic.category for topic in world.topics]


def test_places_are_those_that_mentions_are_found_at() -> None:
    corpus = load_invented("invented:200")
    np.testing.assert_array_equal(corpus.graph.places, find_places(corpus))


@pytest.mark.parametrize("hash_seed", ["0", "1"])
def test_a_name_gives_the_same_corpus_everywhere(hash_seed: str) -> None:
    code = "from kgrl.data.invented import load_invented; print(load_invented('invented:100').fingerprint)"
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    printed = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert printed.stdout.strip() == FINGERPRINT


def test_seeds_and_sizes_give_other_worlds() -> None:
    names = ("invented:100", "invented:100:1", "invented:101")
    assert len({load_invented(name).fingerprint for name in names}) == 3
    assert load_invented("invented:100:0").fingerprint == load_invented("invented:100").fingerprint
    titles = [set(load_invented(name).graph.titles) for name in names[:2]]
    assert not titles[0] & titles[1]


def test_an_invented_corpus_is_a_corpus_like_others() -> None:
    corpus = load_corpus("invented:60:3")
    assert isinstance(corpus, Corpus) and corpus.name == "invented:60:3"
    assert set(corpus.graph.category_names) == {"Events", "Institutions", "People", "Places", "Works"}
    assert world_of(corpus.name).name == corpus.name


@pytest.mark.parametrize("name", ["invented:", "invented:many", "invented:100:1:2", "invented:7", "invented:100:-1"])
def test_names_of_no_world_are_refused(name: str) -> None:
    with pytest.raises(SettingError, match="invented"):
        load_corpus(name)


def test_an_invented_corpus_has_no_root_and_a_name_near_it_is_suggested(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="root"):
        load_corpus("invented:100", root=tmp_path)
    with pytest.raises(UnknownNameError, match="'invented'"):
        load_corpus("inventd")


def test_questions_have_one_true_answer_that_no_passage_gives_in_these_words() -> None:
    world, corpus = world_of("invented:400"), load_invented("invented:400")
    true = {world.statement(fact): fact for fact in world.facts}
    questions = fact_questions(world, 100)
    assert len(questions) == 100
    assert {question.group for question in questions} == {"1", "2"}
    for question in questions:
        fact = true[question.true]
        assert fact.hops == int(question.group) and fact.subject == question.topic
        assert len(set(question.wrong)) == 15 and not true.keys() & set(question.wrong)
        subject = world.topics[fact.subject].title
        assert all(subject in statement for statement in (question.true, *question.wrong))
        before, after = question.true.split(subject)
        told = re.compile(f"{re.escape(before)}[^.]*{re.escape(after)}")  # whatever the subject is called
        own = (
            corpus.texts if fact.hops == 2 else [corpus.texts[i] for i in np.flatnonzero(corpus.topics == fact.subject)]
        )
        assert not any(told.search(text) for text in own)
    assert questions == fact_questions(invent(400), 100)


def test_knowing_which_names_are_frequent_does_not_help_with_questions() -> None:
    """Who always picks the object that most facts of that relation lead to is right as often as who guesses."""
    world = world_of("invented:3000")
    often = {topic.written: 0 for topic in world.topics}
    for fact in world.stated:
        often[world.topics[fact.object].written] += 1
    known = {world.statement(fact): fact for fact in world.facts}
    questions = fact_questions(world, 1000)
    right = 0
    for question in questions:
        # What stands in the place of the object is what differs between the statements.
        before, after = question.true.split(world.topics[known[question.true].object].written)[:2]
        others = [often[wrong.removeprefix(before).removesuffix(after)] for wrong in question.wrong]
        right += often[world.topics[known[question.true].object].written] > max(others)
    low, _ = Accuracy(right, len(questions)).interval
    assert low < 1 / 16


def test_small_worlds_have_no_questions() -> None:
    with pytest.raises(SettingError, match="too small"):
        fact_questions(world_of("invented:40"))


def a_chain() -> InventedWorld:
    """Somebody's mentor was born somewhere."""
    topics = [Topic(name, "People", "mason", "patience", 1000, "she") for name in ("Ada Uno", "Bea Due", "Tre")]
    return InventedWorld("chain", tuple(topics), (Fact(0, "mentor", 1), Fact(1, "birthplace", 2)))


def test_a_fact_of_two_hops_can_be_inferred_once_both_parts_were_read() -> None:
    world = a_chain()
    assert [fact.relation for fact in world.inferable] == ["birthplace of the mentor"]
    assert "he mentor of Ada Uno " in world.statement(world.inferable[0])
    assert " Tre" in world.statement(world.inferable[0])
    np.testing.assert_allclose(inferable_shares(world, [2], [1, 0]), [0, 1 / 3, 1])
    np.testing.assert_allclose(inferable_shares(world, [0], [2, 1]), [1 / 3, 1 / 3, 1])
    best = optimal_order(world, [0])
    assert best.topics == (1, 2)
    assert best.area == pytest.approx((1 / 3 + 1 + 1) / 3)


@settings(max_examples=15)
@given(SEEDS, st.lists(st.integers(0, 7), min_size=1, max_size=2, unique=True))
def test_no_order_is_better_than_the_optimal_one(seed: int, nucleus: list[int]) -> None:
    world = invent(8, seed)
    others = [topic for topic in range(8) if topic not in nucleus]
    orders = (order for order in itertools.permutations(others) if _stays_on_frontier(world, nucleus, order))
    areas = [inferable_shares(world, nucleus, order).mean() for order in orders]
    best = optimal_order(world, nucleus)
    assert _stays_on_frontier(world, nucleus, best.topics)
    assert best.area == pytest.approx(max(areas))


def _stays_on_frontier(world: InventedWorld, nucleus: list[int], order: tuple[int, ...]) -> bool:
    linked = {pair for f in world.stated for pair in ((f.subject, f.object), (f.object, f.subject))}
    read = set(nucleus)
    for topic in order:
        if not any((topic, other) in linked for other in read):
            return False
        read.add(topic)
    return True


def test_the_search_says_how_much_it_can_do() -> None:
    assert len(optimal_order(invent(16), [3]).topics) == 15
    with pytest.raises(SettingError, match="at most 16"):
        optimal_order(invent(40), [0])
    with pytest.raises(SettingError, match="nucleus"):
        optimal_order(invent(8), [])
