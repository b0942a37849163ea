"""A made-up corpus that is small, varied and the same on every run."""

from __future__ import annotations

import numpy as np

from kgrl.corpus import Corpus, cut, split_passages
from kgrl.graph import TopicGraph

__all__ = ["make_tiny_corpus"]

_CATEGORIES = {
    "Mathematics": (
        "Number Set Function Group Ring Field Vector Matrix Limit Series Graph Proof Angle Circle",
        "theorem equation symmetry axiom product sum mapping structure operation order size pattern",
        "counts measures proves orders combines divides compares transforms",
        "finite abstract prime regular infinite simple discrete elegant",
    ),
    "Nature": (
        "River Forest Mountain Ocean Desert Island Storm Glacier Meadow Volcano Lake Valley Cave",
        "water soil animal plant season climate stone wind rain seed root shore predator",
        "shelters feeds erodes floods covers warms shapes carries",
        "wild cold fertile ancient dry deep rocky green",
    ),
    "Craft": (
        "Pottery Weaving Carpentry Masonry Glass Bookbinding Dyeing Forging Basketry Leather Paper Bronze Bread",
        "tool workshop clay thread timber pigment furnace apprentice guild vessel pattern blade oven",
        "joins hardens colours decorates repairs carves polishes heats",
        "skilled fine handmade durable local painted heavy useful",
    ),
}
_TEMPLATES = (
    "{title} is a {adjective} {noun} that {verb} every {noun2} known in {other}.",
    "In early times the {adjective} {noun} {verb} the {noun2}, and {title} was named after it.",
    "Most writers agree that {title} {verb} a {noun} more often than a {adjective} {noun2}.",
    "Where a {noun} meets the {adjective} {noun2}, {title} {verb} both and changes neither.",
    "A student of {other} may find that the {noun} of {title} {verb} its {adjective} {noun2}.",
    "By the year {year} some {noun} had become {adjective}, which {verb} the {noun2} of {title} to this day.",
    "Without a {adjective} {noun}, so the saying goes, {title} {verb} no {noun2} at all.",
    "There are {count} kinds of {noun} in {title}; the {adjective} one {verb} the {noun2}.",
)
_SENTENCES = 24


def make_tiny_corpus(seed: int = 0) -> Corpus:
    """Write the texts and draw the links of `tiny_corpus`."""
    rng = np.random.default_rng(seed)
    titles = [(title, name) for name, (titles, *_) in _CATEGORIES.items() for title in titles.split()]
    texts: list[str] = []
    topics: list[int] = []
    splits: list[int] = []
    for topic, (title, category) in enumerate(titles):
        passages = cut(_write(title, category, [t for t, c in titles if c == category], rng))
        texts += passages
        topics += [topic] * len(passages)
        splits += split_passages(title, passages).tolist()
    graph = TopicGraph.from_links([t for t, _ in titles], *_draw_links(len(titles), rng), [c for _, c in titles])
    return Corpus("tiny", graph, texts, topics, splits)


def _write(title: str, category: str, siblings: list[str], rng: np.random.Generator) -> str:
    """Made-up prose about one topic."""
    _, nouns, verbs, adjectives = (words.split() for words in _CATEGORIES[category])

    def sentence() -> str:
        noun, noun2 = rng.choice(nouns, size=2, replace=False)
        return str(rng.choice(_TEMPLATES)).format(
            title=title,
            noun=noun,
            noun2=noun2,
            verb=rng.choice(verbs),
            adjective=rng.choice(adjectives),
            other=rng.choice(siblings),
            year=int(rng.integers(900, 2000)),
            count=int(rng.integers(2, 90)),
        )

    return " ".join(sentence() for _ in range(_SENTENCES))


def _draw_links(n: int, rng: np.random.Generator) -> tuple[list[int], list[int]]:
    """A ring, which connects the graph, and two links from each topic, mostly to topics of like number."""
    sources, targets = list(range(n)), [(i + 1) % n for i in range(n)]
    for topic in range(n):
        near = (topic + int(rng.integers(2, 9))) % n
        far = int(rng.integers(n))
        sources += [topic, topic]
        targets += [near, far]
    return sources, targets
