"""Multiple-choice questions for language models: statements that differ in one name, one of them true.

`link_questions` makes such questions from the exam passages and links of any corpus, `own_questions` from those that a
corpus brings. Only reports may ask them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from kgrl.corpus import Cloze, Corpus, Split
from kgrl.errors import SettingError
from kgrl.graph.topic_graph import IntArray, TopicGraph
from kgrl.probes.mentions import N_WRONG, LinkMention, OtherTitles, mentions_of

__all__ = ["Question", "distances_from", "link_questions", "own_questions"]

_SEED = 20_26
"""Seed of all draws: the questions on a corpus are the same for every agent and seed of a run."""
_MOST_READ = 5_000
"""Topics whose exam passages are read at most."""


@dataclass(frozen=True)
class Question:
    """A true statement and false ones.

    Args:
        topic: The topic of the passage or fact that the statement is from.
        true: The true statement.
        wrong: The same statement with other names instead of the right one.
        group: Group in which results are reported: a number of hops, a distance in the graph, or what the corpus says.
        named: The topic that the true statement names; None if it is not known.
    """

    topic: int
    true: str
    wrong: tuple[str, ...]
    group: str
    named: int | None = None


def link_questions(
    corpus: Corpus, nucleus: Sequence[int] | IntArray, size: int = 64, among: IntArray | None = None
) -> list[Question]:
    """Draw sentences of exam passages that name a linked topic, and replace the name by each of 15 other titles.

    A topic that exam passages name is drawn, each at most once, and then one of the sentences that name it. The 15
    others are drawn from such topics too, of the same category (of all categories if it has too few), and are not
    linked with the topic of the passage. So knowing which titles are frequent hardly helps. Parts of titles in
    parentheses are left out. The title of the passage's topic precedes the sentence, since half of the sentences of an
    article do not name their subject.

    Args:
        corpus: The corpus with its links. Of more than 5,000 topics a sample is read.
        nucleus: The topics that distances are counted from; the sentences do not depend on it.
        size: Most sentences.
        among: Topics whose exam passages are read; all if None.

    Returns:
        Questions, grouped by the links between the nucleus and the named topic: `"0"`, `"1"`, …, or `"unlinked"`.

    Raises:
        SettingError: If no exam passage names a linked topic for which there are 15 others.
    """
    # The draws below come in a fixed order: the same corpus gives the same questions on every machine.
    rng = np.random.default_rng(_SEED)
    topics = np.flatnonzero(corpus.has(Split.EXAM))
    topics = topics if among is None else np.intersect1d(topics, among)
    naming: dict[int, list[LinkMention]] = {}
    for topic in rng.permutation(topics)[:_MOST_READ].tolist():
        for mention in mentions_of(corpus, topic, Split.EXAM):
            naming.setdefault(mention.named, []).append(mention)
    distances, titles = distances_from(corpus.graph, nucleus), OtherTitles(corpus.graph, sorted(naming))
    questions: list[Question] = []
    for named in rng.permutation(sorted(naming)).tolist():
        mention = naming[named][rng.integers(len(naming[named]))]
        wrong = tuple(map(mention.with_name, titles.others(mention, rng)))
        if len(wrong) == N_WRONG and len(questions) < size:
            group = str(distances[named]) if distances[named] >= 0 else "unlinked"
            questions.append(Question(mention.topic, mention.sentence, wrong, group, named))
    if not questions:
        raise SettingError(f"no exam passage of {corpus.name!r} names a topic that {N_WRONG} others could stand for")
    return questions


def own_questions(corpus: Corpus, size: int = 64) -> list[Question]:
    """Draw some of the questions that a corpus brings: from all groups in turn, and in a group from all topics in turn.

    Args:
        corpus: The corpus; see `Corpus.questions`.
        size: Most questions.

    Example:
        >>> graph = TopicGraph.from_links(["Logic"], [], [])
        >>> cloze = Cloze(0, "Logic was founded by ", "Aristotle", ".", ("Euclid",), "people")
        >>> own_questions(Corpus("tiny", graph, [], [], [], [cloze]))[0].wrong
        ('Logic was founded by Euclid.',)
    """
    drawn = [corpus.questions[i] for i in np.random.default_rng(_SEED).permutation(len(corpus.questions))]
    by_topic = _in_turn(drawn, ((cloze.group, cloze.topic) for cloze in drawn))
    chosen = _in_turn(by_topic, (cloze.group for cloze in by_topic))[:size]
    return [
        Question(cloze.topic, cloze.statement, tuple(map(cloze.with_name, cloze.wrong)), cloze.group)
        for cloze in chosen
    ]


def _in_turn(clozes: Sequence[Cloze], kinds: Iterable[Hashable]) -> list[Cloze]:
    """Return the first of each kind, then the second of each, and so on, otherwise in the order given."""
    seen: Counter[Hashable] = Counter()
    turns = []
    for kind in kinds:
        turns.append(seen[kind])
        seen[kind] += 1
    return [clozes[i] for i in sorted(range(len(turns)), key=turns.__getitem__)]


def distances_from(graph: TopicGraph, nucleus: Sequence[int] | IntArray) -> IntArray:
    """Return the number of links between the nucleus and each topic, in either direction, -1 if it is not reached.

    Args:
        graph: The topic graph.
        nucleus: Topics at distance 0.

    Returns:
        Distances, int32 of shape `[topics]`.

    Example:
        >>> distances_from(TopicGraph.from_links(["a", "b", "c", "d"], [0, 2], [1, 1]), [0]).tolist()
        [0, 1, 2, -1]
    """
    distances = np.full(len(graph), -1, dtype=np.int32)
    reached = np.unique(np.asarray(nucleus, dtype=np.int64))
    distance = 0
    while len(reached):  # breadth first, one distance at a time
        distances[reached] = distance
        linked = np.unique(np.concatenate([graph.neighbours(int(topic)) for topic in reached]))
        reached = linked[distances[linked] < 0]
        distance += 1
    return distances
