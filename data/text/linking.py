"""Links found in text: a classifier of the mentions that mean their topic, and the places of links in the text.

If every mention were a link, "as well" would link to Well. So each candidate is scored by a logistic model with a few
features: the similarity of the two topics, the capitals of the words, the neighbouring words, and how common the words
are. `benchmarks/link_precision.py` fitted the weights, with MiniLM's vectors, to Wikispeedia's links, on half of the
English vital articles that Wikispeedia has too; docs/results/links.md has the figures for the other half. The features
are independent of the language. French and Spanish are linked with the same weights, and the quality of that is not
measured.
"""

from __future__ import annotations

import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from kgrl.corpus import Corpus, Split
from kgrl.data.text.mentions import Form, Mention, MentionFinder, Token, tokenize
from kgrl.graph.topic_graph import IntArray

__all__ = [
    "LINK_EVIDENCE",
    "THRESHOLD",
    "MentionPairs",
    "best_of_mention",
    "chosen_links",
    "find_candidates",
    "find_links",
    "find_places",
    "link_features",
    "link_probability",
]

_MODEL = {
    # Cosine of the topics' embeddings, both less the mean embedding.
    "similarity": 7.140,
    # Similarity less its mean over all topics that mention the target.
    "contrast": -3.051,
    # Share of capitals among the mentions of these words inside sentences, over all texts.
    "capitalised": 1.092,
    # The same in the target's own text: high for a name, low for a common noun.
    "own_capital": 0.871,
    # Whether the target mentions the source.
    "mutual": 0.896,
    # Whether a capitalised word precedes the mention, which is then part of a longer name.
    "after_name": -0.585,
    # Whether one follows it.
    "before_name": -0.964,
    # Whether the title has a part in parentheses that the mention lacks.
    "unqualified": -1.113,
    # Log of the number of texts over the number of those that mention these words.
    "rarity": 0.059,
    # Log of the mention's characters.
    "length": 0.242,
    # Log of one and the words before the mention.
    "position": -0.176,
}
"""Weight of each feature in the log odds of a link."""
_BIAS = -2.532
_PAIRS_AT_ONCE = 8192
LINK_EVIDENCE = tuple(_MODEL)
THRESHOLD = 0.447
"""Least probability of a link. At this threshold precision is 78.5% on the half that the weights were fitted to."""


@dataclass(frozen=True)
class MentionPairs:
    """Pairs of topics in which the text of the first mentions the second, each pair once.

    Args:
        sources: Topics that mention, int32, shape `[pairs]`.
        targets: Topics that are mentioned, int32, shape `[pairs]`.
        position: Number of words before the first mention, shape `[pairs]`.
        primary: False if the mention is closer to another topic's title, shape `[pairs]`.
        counted: The features that depend on the words alone, by name, each of shape `[pairs]`.
    """

    sources: NDArray[np.int32]
    targets: NDArray[np.int32]
    position: NDArray[np.int32]
    primary: NDArray[np.bool_]
    counted: dict[str, NDArray[np.float64]]


@dataclass
class _Text:
    """A topic's text with its mentions."""

    raw: str
    tokens: list[Token]
    mentions: list[Mention]

    @cached_property
    def words_before(self) -> list[int]:
        """Number of words before each token. Letters of a script without spaces are one word, as far as they go."""
        ends = [0, *(token.end for token in self.tokens[:-1])]
        new = [
            number > 0 and token.start > end for number, (token, end) in enumerate(zip(self.tokens, ends, strict=True))
        ]
        return list(accumulate(new))

    def key(self, mention: Mention) -> tuple[str, ...]:
        """Return the words of a mention without case."""
        return tuple(token.key for token in self.tokens[mention.first : mention.last + 1])

    def follows_name(self, mention: Mention) -> bool:
        """Return whether a capitalised word of the same sentence precedes a mention directly."""
        before = self.tokens[mention.first - 1] if mention.first else None
        return before is not None and not before.opens and self._joined(before, self.tokens[mention.first], before)

    def precedes_name(self, mention: Mention) -> bool:
        """Return whether a capitalised word follows a mention directly."""
        after = self.tokens[mention.last + 1] if mention.last + 1 < len(self.tokens) else None
        return after is not None and self._joined(self.tokens[mention.last], after, after)

    def _joined(self, left: Token, right: Token, neighbour: Token) -> bool:
        return self.raw[left.end : right.start] == " " and neighbour.text[0].isupper()


def find_links(
    titles: Sequence[str],
    texts: Sequence[str],
    embeddings: NDArray[np.float32],
    aliases: Sequence[Sequence[str]] | None = None,
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Find the links between topics that their texts mention.

    Args:
        titles: One title for each topic.
        texts: One text for each topic.
        embeddings: Unit topic embeddings, float32 of shape `[topics, dimensions]`; zeros for a topic without one.
        aliases: Further names of each topic.

    Returns:
        Sources and targets, each int32 of shape `[links]`.
    """
    return chosen_links(find_candidates(titles, texts, aliases), embeddings)


def chosen_links(
    candidates: MentionPairs, embeddings: NDArray[np.float32]
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return the candidates that are links, by the model; embeddings and result as for `find_links`."""
    probability = link_probability(link_features(candidates, embeddings))
    chosen = (probability >= THRESHOLD) & best_of_mention(candidates, probability)
    return candidates.sources[chosen], candidates.targets[chosen]


def find_candidates(
    titles: Sequence[str], texts: Sequence[str], aliases: Sequence[Sequence[str]] | None = None
) -> MentionPairs:
    """Find every pair of topics in which the text of the first mentions the second; arguments as for `find_links`."""
    finder = MentionFinder(titles, aliases)
    names = _Capitals(len(texts), _read(finder, texts))
    # Texts are read a second time, not kept with their words, which take fifty times their memory.
    pairs, rows = array.array("i"), array.array("d")
    for source, text in enumerate(_read(finder, texts)):
        seen = {source}
        for mention in text.mentions:
            for target, form in mention.targets:
                if target not in seen:  # the first mention counts
                    seen.add(target)
                    pairs.extend((source, target))
                    rows.extend(_row(text, mention, target, form, names))
    ends = np.array(pairs, dtype=np.int32).reshape(-1, 2)
    table = np.array(rows, dtype=np.float64).reshape(-1, 2 + len(_COUNTED))
    counted = dict(zip(_COUNTED, table[:, 2:].T, strict=True))
    counted["mutual"] = _mutual(ends).astype(np.float64)
    return MentionPairs(ends[:, 0], ends[:, 1], table[:, 0].astype(np.int32), table[:, 1] > 0, counted)


def _read(finder: MentionFinder, texts: Iterable[str]) -> Iterator[_Text]:
    """Yield texts with their mentions."""
    for raw in texts:
        tokens = tokenize(raw)
        yield _Text(raw, tokens, list(finder.find(tokens, raw)))


def _mutual(ends: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Return whether the reverse of each pair is a pair, too, bool `[pairs]`."""
    sources, targets = ends.astype(np.int64).T
    return np.isin(targets << 32 | sources, sources << 32 | targets)


def link_features(candidates: MentionPairs, embeddings: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the features of candidates in the order of `LINK_EVIDENCE`, float64 of shape `[pairs, features]`."""
    similarity = _centred_cosines(embeddings, candidates.sources, candidates.targets).astype(np.float64)
    n = len(embeddings)
    mentioned = np.maximum(np.bincount(candidates.targets, minlength=n), 1)
    mean = np.bincount(candidates.targets, similarity, minlength=n) / mentioned
    values = {"similarity": similarity, "contrast": similarity - mean[candidates.targets], **candidates.counted}
    return np.stack([values[name] for name in LINK_EVIDENCE], axis=1)


def _centred_cosines(embeddings: NDArray[np.float32], left: IntArray, right: IntArray) -> NDArray[np.float32]:
    """Return the cosines of pairs without the direction that all embeddings share, float32 `[pairs]`.

    That direction would make any two topics look similar. Only the rows of some pairs are copied at a time.
    """
    mean = np.asarray(embeddings.mean(axis=0))

    def rows(topics: IntArray) -> NDArray[np.float32]:
        """Return the unit vectors of topics."""
        centred: NDArray[np.float32] = embeddings[topics] - mean
        centred /= np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-9)
        return centred

    cosines = np.empty(len(left), dtype=np.float32)
    for first in range(0, len(left), _PAIRS_AT_ONCE):
        part = slice(first, first + _PAIRS_AT_ONCE)
        cosines[part] = np.einsum("pd,pd->p", rows(left[part]), rows(right[part]))
    return cosines


def link_probability(features: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the probability that each candidate is a link, shape `[pairs]`, from its features."""
    probability: NDArray[np.float64] = 1 / (1 + np.exp(-(features @ np.array(list(_MODEL.values())) + _BIAS)))
    return probability


def best_of_mention(candidates: MentionPairs, score: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return a mask of the candidates that score highest for their words of their text, bool `[pairs]`."""
    order = np.lexsort((-score, candidates.position, candidates.sources))
    sources, position = candidates.sources[order], candidates.position[order]
    best = np.zeros(len(order), dtype=bool)
    # In this order the first of each run of equal source and position has the highest score.
    best[order] = np.r_[True, (np.diff(sources) != 0) | (np.diff(position) != 0)][: len(order)]
    return best


_COUNTED = ("capitalised", "own_capital", "after_name", "before_name", "unqualified", "rarity", "length", "position")


def _row(text: _Text, mention: Mention, target: int, form: Form, names: _Capitals) -> tuple[float, ...]:
    """Return the position of a candidate, whether it is primary, and its features in the order of `_COUNTED`."""
    key = text.key(mention)
    length = text.tokens[mention.last].end - text.tokens[mention.first].start
    return (
        mention.first,
        form == mention.targets[0][1],
        names.share(key),
        names.own_share(target),
        text.follows_name(mention),
        text.precedes_name(mention),
        form == Form.UNQUALIFIED,
        names.rarity(key),
        np.log(length),
        np.log1p(text.words_before[mention.first]),
    )


class _Capitals:
    """Counts of capitals among mentions inside sentences, and of texts with a mention.

    Args:
        count: Number of texts.
        texts: All texts; text i is that of topic i.
    """

    def __init__(self, count: int, texts: Iterable[_Text]) -> None:
        self._n = count
        self._texts_with: Counter[tuple[str, ...]] = Counter()
        self._seen: Counter[tuple[str, ...]] = Counter()
        self._capital: Counter[tuple[str, ...]] = Counter()
        self._own_seen: Counter[int] = Counter()
        self._own_capital: Counter[int] = Counter()
        for topic, text in enumerate(texts):
            self._texts_with.update({text.key(mention) for mention in text.mentions})
            for mention in text.mentions:
                first = text.tokens[mention.first]
                if first.opens:  # every word that opens a sentence has a capital
                    continue
                key, is_capital = text.key(mention), first.text[0].isupper()
                self._seen[key] += 1
                self._capital[key] += is_capital
                if any(target == topic for target, _ in mention.targets):
                    self._own_seen[topic] += 1
                    self._own_capital[topic] += is_capital

    def share(self, key: tuple[str, ...]) -> float:
        """Return the share of capitals among the mentions of these words, smoothed towards one half."""
        return (self._capital[key] + 0.5) / (self._seen[key] + 1)

    def own_share(self, topic: int) -> float:
        """Return the share of capitals among a topic's mentions in its own text, smoothed towards one half."""
        return (self._own_capital[topic] + 0.5) / (self._own_seen[topic] + 1)

    def rarity(self, key: tuple[str, ...]) -> float:
        """Return the logarithm of the number of texts over the number that mention these words."""
        return float(np.log(self._n / self._texts_with[key]))


def find_places(corpus: Corpus) -> IntArray:
    """Find where the text of each link's source first mentions its target.

    Readers click early links more than late ones. Exam passages are not searched, because agents see these places.

    Returns:
        Number of words of the source's text before the first mention, exam passages included, -1 for a link that is
        not mentioned; int32 `[links]`.

    Example:
        >>> from kgrl.graph import TopicGraph
        >>> graph = TopicGraph.from_links(["Logic", "Set", "Number"], [0, 0], [1, 2])
        >>> find_places(Corpus("tiny", graph, ["Logic needs numbers and sets; a set is …"], [0], [0])).tolist()
        [4, 2]
    """
    places = np.full(corpus.graph.n_links, -1, dtype=np.int32)
    finder = MentionFinder(corpus.graph.titles)
    passages = np.searchsorted(corpus.topics, np.arange(len(corpus.graph) + 1))
    for topic in range(len(corpus.graph)):
        found = _first_mentions(corpus, topic, range(passages[topic], passages[topic + 1]), finder)
        first = int(corpus.graph.indptr[topic])
        for at, target in enumerate(corpus.graph.out(topic).tolist(), first):
            places[at] = found.get(target, -1)
    return places


def _first_mentions(corpus: Corpus, topic: int, passages: range, finder: MentionFinder) -> dict[int, int]:
    """Return the number of words before the first mention of each target that a topic's text mentions."""
    targets = set(corpus.graph.out(topic).tolist())
    found: dict[int, int] = {}
    words = 0
    for passage in passages:
        if len(found) == len(targets):
            break  # later mentions do not count
        text = corpus.texts[passage]
        tokens = tokenize(text)
        for mention in () if corpus.splits[passage] == Split.EXAM else finder.find(tokens, text):
            # Of topics with similar names, the one that the page links to is meant.
            target = next((number for number, _ in mention.targets if number in targets), None)
            if target is not None:
                found.setdefault(target, words + mention.first)
        words += len(tokens)
    return found
