"""Planted noise: topics that teach nothing useful, put into a real corpus to see which agents pick them.

Each planted topic is the twin of a real one, drawn at random: it has the same category, as many links, and as many
passages for training and probing. Planted topics have no exam passages. Their `Kind` decides their text.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from kgrl.corpus import Corpus, Split
from kgrl.data.wikimedia.vital import find_leads, read_leads
from kgrl.errors import SettingError
from kgrl.graph.topic_graph import IntArray, TopicGraph

__all__ = ["FOREIGN", "TRAP_SEED", "Kind", "Planted", "extended", "noisy", "numbered", "plant", "twin_links"]

TRAP_SEED = 6
"""Seed of the traps of corpora by name, such as `noisy:vital`."""

FOREIGN = "fr"
"""Language of the vital articles that planted topics in another language take their text from."""
_REPLACED = 0.1
"""Share of the words of a near-duplicate that are taken from elsewhere in the corpus."""
_BOILERPLATE = (
    "This page is under construction.",
    "All rights reserved.",
    "Click here to return to the main menu.",
    "Your session has expired and you have been signed out.",
    "Cookies help us to improve our services.",
    "Please check back later for updates.",
    "Terms and conditions apply to all visitors.",
    "Subscribe to our newsletter for more information.",
)


class Kind(Enum):
    """Kind of text of a planted topic."""

    SHUFFLED = "shuffled words"
    IDENTIFIERS = "random identifiers"
    FOREIGN = "another language"
    DUPLICATE = "near-duplicate text"
    BOILERPLATE = "boilerplate"


@dataclass(frozen=True)
class Planted:
    """A corpus with planted topics, which come after the real ones.

    Args:
        corpus: The corpus.
        real: Number of real topics.
        kinds: The kind of each planted topic, `[planted]`.
    """

    corpus: Corpus
    real: int
    kinds: tuple[Kind, ...]

    @property
    def is_planted(self) -> NDArray[np.bool_]:
        """Mask of the planted topics, bool `[topics]`."""
        return np.arange(len(self.corpus.graph)) >= self.real


def plant(corpus: Corpus, foreign: Sequence[str], share: float = 0.3, seed: int = 0) -> Planted:
    """Plant topics of all kinds, in equal parts, into a corpus.

    Args:
        corpus: The corpus; its passages keep their splits.
        foreign: Texts in another language, for the topics of that kind.
        share: Planted topics as a share of all topics.
        seed: Seeds twins, links and texts.

    Raises:
        SettingError: If the share is not between 0 and 1, or there are no foreign texts.

    Example:
        >>> graph = TopicGraph.from_links(["Logic", "Set"], [0], [1])
        >>> corpus = Corpus("two", graph, ["Logic asks what follows.", "A set has members."], [0, 1], [0, 0])
        >>> planted = plant(corpus, ["La logique étudie le raisonnement."], share=0.5)
        >>> planted.corpus.graph.titles[2:], planted.is_planted.tolist()
        (('Logic (2)', 'Set (2)'), [False, False, True, True])
    """
    if not 0 < share < 1 or not foreign:
        raise SettingError(f"planting needs a share between 0 and 1, not {share}, and texts in another language")
    rng = np.random.default_rng(seed)
    real = len(corpus.graph)
    count = round(real * share / (1 - share))  # so that count / (real + count) is the share
    with_text = np.flatnonzero(corpus.has(Split.TRAIN))
    # Every topic is a twin once before any is twice.
    twins = np.sort(np.resize(rng.permutation(with_text), count))
    kinds = [list(Kind)[i] for i in rng.permutation(np.arange(count) % len(Kind))]
    writers = _writers(corpus, foreign, rng)
    texts: list[tuple[int, str, Split]] = []
    for at, (twin, kind) in enumerate(zip(twins.tolist(), kinds, strict=True)):
        for split in (Split.TRAIN, Split.PROBE):
            source = corpus.of(twin, Split.TRAIN).texts  # probe texts, too: held-out text must not be trained on
            own = len(corpus.ids_of(twin, split))
            texts += [(real + at, writers[kind](source[i % len(source)]), split) for i in range(own)]
    titles = numbered([corpus.graph.titles[twin] for twin in twins], corpus.graph.titles)
    categories = [corpus.graph.categories[twin] for twin in twins]
    links = twin_links(corpus.graph, twins, rng)
    return Planted(extended(corpus, f"{corpus.name}-noisy", titles, categories, links, texts), real, tuple(kinds))


def noisy(corpus: Corpus) -> Planted:
    """Plant noise: three topics in ten teach nothing of use."""
    return plant(corpus, read_leads(find_leads(FOREIGN)).texts, seed=TRAP_SEED)


def numbered(titles: Sequence[str], taken: Sequence[str]) -> list[str]:
    """Return titles made new by a number, the first that is free: `Logic (2)`."""
    used, new = set(taken), []
    for title in titles:
        number = 2
        while f"{title} ({number})" in used:
            number += 1
        new.append(f"{title} ({number})")
        used.add(new[-1])
    return new


def twin_links(graph: TopicGraph, twins: IntArray, rng: np.random.Generator) -> tuple[list[int], list[int]]:
    """Draw links for new topics, as many of them from and to each as its twin has.

    The other ends are drawn in proportion to their degrees, among real and new topics. So random walks and frontiers
    meet new topics about as often as their share of all topics says.

    Args:
        graph: The graph of the real topics, numbered from 0; new topics are numbered after them.
        twins: The twin of each new topic, shape `[new]`.
        rng: The generator.

    Returns:
        Sources and targets of the new links.
    """
    out, into = (np.bincount(ends, minlength=len(graph)) for ends in graph.links())
    degree = np.concatenate([graph.degree, graph.degree[twins]]).astype(np.float64)
    odds = degree / degree.sum()
    sources: list[int] = []
    targets: list[int] = []
    for new, twin in enumerate(twins.tolist(), start=len(graph)):
        leaving, coming = max(1, int(out[twin])), int(into[twin])
        ends = rng.choice(len(odds), size=leaving + coming, p=odds)
        ends = np.where(ends == new, twin, ends)  # no link of a topic with itself
        sources += [new] * leaving + ends[leaving:].tolist()
        targets += ends[:leaving].tolist() + [new] * coming
    return sources, targets


def extended(
    corpus: Corpus,
    name: str,
    titles: Sequence[str],
    categories: Sequence[str],
    links: tuple[Sequence[int], Sequence[int]],
    texts: Sequence[tuple[int, str, Split]],
) -> Corpus:
    """Return a corpus with more topics, links and passages. Existing topics and passages keep their numbers.

    Prerequisites are those of the corpus.

    Args:
        corpus: The corpus.
        name: The name of the new one.
        titles: Titles of the new topics.
        categories: Their categories.
        links: Sources and targets of the new links; their places are unknown.
        texts: Topic, text and split of each new passage, topics ascending.
    """
    graph, (sources, targets) = corpus.graph, corpus.graph.links()
    grown = TopicGraph.from_links(
        [*graph.titles, *titles],
        np.concatenate([sources, np.asarray(links[0], dtype=np.int32)]),
        np.concatenate([targets, np.asarray(links[1], dtype=np.int32)]),
        [*graph.categories, *categories],
    )
    if graph.places is not None:
        places = np.full(grown.n_links, -1, dtype=np.int32)
        places[grown.positions(sources, targets)] = graph.places
        grown = grown.with_places(places)
    grown = grown.with_prerequisites(*graph.prerequisites())  # planted topics neither need nor are needed
    return Corpus(
        name,
        grown,
        [*corpus.texts, *(text for _, text, _ in texts)],
        np.concatenate([corpus.topics, np.array([topic for topic, _, _ in texts], dtype=np.int32)]),
        np.concatenate([corpus.splits, np.array([split for _, _, split in texts], dtype=np.uint8)]),
        corpus.questions,
    )


def _writers(corpus: Corpus, foreign: Sequence[str], rng: np.random.Generator) -> dict[Kind, Callable[[str], str]]:
    """Return for each kind a function that writes a passage as long as a given one."""
    train = np.flatnonzero(corpus.splits == Split.TRAIN)
    # Words by their frequency in a sample of passages.
    vocabulary = [
        word
        for i in rng.choice(train, min(500, len(train)), replace=False).tolist()
        for word in corpus.texts[i].split()
    ]

    def words(count: int) -> list[str]:
        """Draw words of the corpus."""
        return [vocabulary[i] for i in rng.integers(len(vocabulary), size=count)]

    def shuffled(text: str) -> str:
        """Shuffle the words of a text."""
        return " ".join(rng.permutation(np.array(text.split(), dtype=object)))

    def identifiers(text: str) -> str:
        """Draw identifiers, one for three words, since each has several tokens."""
        return " ".join(f"{rng.integers(16**8):08x}" for _ in range(max(1, len(text.split()) // 3)))

    def another_language(text: str) -> str:
        """Draw a foreign text and cut it to the length of a text."""
        found = str(foreign[int(rng.integers(len(foreign)))]).split()
        return " ".join(found[: max(1, len(text.split()))])

    def duplicate(text: str) -> str:
        """Replace a tenth of the words of a text."""
        own = text.split()
        for at, word in zip(np.flatnonzero(rng.random(len(own)) < _REPLACED), words(len(own)), strict=False):
            own[at] = word
        return " ".join(own)

    def boilerplate(text: str) -> str:
        """Draw sentences of boilerplate, one for eight words."""
        sentences = max(1, len(text.split()) // 8)
        return " ".join(_BOILERPLATE[i] for i in rng.integers(len(_BOILERPLATE), size=sentences).tolist())

    return {
        Kind.SHUFFLED: shuffled,
        Kind.IDENTIFIERS: identifiers,
        Kind.FOREIGN: another_language,
        Kind.DUPLICATE: duplicate,
        Kind.BOILERPLATE: boilerplate,
    }
