"""Concepts as topics: terms mined from the text, each with the passages that are most about it.

For documents without titles, which no title and no file tells apart. The rule:

1. Documents are cut into passages. Terms are mined (`kgrl.data.building.terms`) from up to 1.5 million words of
   documents at equal distances: one for 40 passages, 100 at least, 20,000 at most.
2. A passage is scored for each term that it names, by longest match: times named in it, times the square root of times
   named in its document, times the term's score. It goes to the best; one that names none to the best of its document.
3. Terms with fewer than five passages are dropped, and their passages go to the next best of three. Passages that name
   no term, in documents that name none, are left out.

Concepts are linked where they are named together in more passages than by chance: in three or more, with a likelihood
ratio (Dunning 1993) of 10.83 or more, which chance exceeds once in a thousand; for each concept the eight strongest.
"""

from __future__ import annotations

import array
import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kgrl.corpus import cut
from kgrl.data.building.hyperlinks import Ends
from kgrl.data.building.spool import Spool, SpooledTexts, TextFile
from kgrl.data.building.terms import Terms, mined_terms
from kgrl.data.building.topics import Topics
from kgrl.data.text.mentions import MentionFinder, tokenize
from kgrl.graph.topic_graph import IntArray

__all__ = ["LEAST_CONCEPTS", "LEAST_PASSAGES", "ConceptTopics", "concept_topics", "together"]

_PASSAGES_EACH, _LEAST_TERMS, _MOST_TERMS = 40, 100, 20_000
_SAMPLED_WORDS = 1_500_000
_LETTERS_OF_A_WORD = 6
_CHOICES = 3
LEAST_PASSAGES = 5
"""Passages of the smallest concept."""
LEAST_CONCEPTS = 20
"""Concepts that are topics where nobody asked for them; where there are fewer, topics are documents."""
_LEAST_TOGETHER, _LEAST_RATIO, _STRONGEST = 3, 10.83, 8


@dataclass
class ConceptTopics(Topics):
    """Concepts, and the passages of each.

    Args:
        cut: All passages in a file.
        order: The passages that have a topic, by topic and then in order, int64 `[passages]`.
        bounds: Where each topic begins in that order, int64 `[topics + 1]`.
        links: Pairs of concepts that are named together, in both directions.
        counts: Number of words and runs of words that terms were mined from, terms, terms dropped, passages, and
            passages left out.
    """

    cut: TextFile
    order: NDArray[np.int64]
    bounds: NDArray[np.int64]
    links: Ends
    counts: dict[str, int]

    def texts(self, spool: Spool) -> SpooledTexts:
        """Return the text of each concept, read from the disk when it is asked for."""
        return SpooledTexts(len(self), lambda topic: "\n\n".join(self._of(topic)))

    def passages(self, spool: Spool, language: str) -> Iterator[list[str]]:
        """Yield the passages of each concept, as they were cut."""
        return map(self._of, range(len(self)))

    def _of(self, topic: int) -> list[str]:
        return [self.cut[number] for number in self.order[self.bounds[topic] : self.bounds[topic + 1]].tolist()]


def concept_topics(why: str, spool: Spool, kept: Sequence[int], passages: TextFile, language: str) -> ConceptTopics:
    """Return the concepts of the documents that are kept.

    Args:
        why: The reason why concepts are topics.
        spool: All documents.
        kept: The documents to use, ascending.
        passages: An empty file for the passages.
        language: The code of the texts' language, as `kgrl.corpus.cut` takes it.
    """
    owners = array.array("i")
    for number in kept:
        for passage in cut(spool[number].text, language=language):
            passages.add(passage)
            owners.append(number)
    documents = np.array(owners, dtype=np.int32)
    most = min(max(len(passages) // _PASSAGES_EACH, _LEAST_TERMS), _MOST_TERMS)
    terms = mined_terms(_sampled(spool, kept, passages.size), most)
    ranked = _ranked(terms, passages, documents)
    topic_of = _settled(ranked, len(terms.names))
    used = np.unique(topic_of[topic_of >= 0])
    renumbered = np.full(len(terms.names) + 1, -1, dtype=np.int32)  # the last stands for -1
    renumbered[used] = np.arange(len(used))
    topic_of, named = renumbered[topic_of], renumbered[ranked[:, :_CHOICES]]
    order = np.argsort(topic_of, kind="stable")[int((topic_of < 0).sum()) :]
    bounds = np.searchsorted(topic_of[order], np.arange(len(used) + 1))
    return ConceptTopics(
        "concepts",
        why,
        [terms.names[term] for term in used.tolist()],
        np.ones(len(used), dtype=bool),
        documents=_main_documents(topic_of[order], documents[order], len(used)),
        starts=np.full(len(used), -1, dtype=np.int32),
        parents=np.full(len(used), -1, dtype=np.int32),
        renamed=0,
        cut=passages,
        order=order,
        bounds=bounds,
        links=together(named, len(used)),
        counts={
            "words_mined": terms.words,
            "candidates": terms.candidates,
            "terms": len(terms.names),
            "terms_dropped": len(terms.names) - len(used),
            "passages": len(passages),
            "passages_left_out": int((topic_of < 0).sum()),
        },
    )


def _sampled(spool: Spool, kept: Sequence[int], letters: int) -> Iterator[str]:
    """Yield the texts of documents at equal distances that have about as many words as are mined."""
    share = min(1.0, _SAMPLED_WORDS * _LETTERS_OF_A_WORD / max(letters, 1))
    chosen = np.unique((np.arange(round(share * len(kept))) / share).astype(np.int64))
    return (spool[kept[at]].text for at in chosen.tolist())


def _ranked(terms: Terms, passages: Iterable[str], documents: IntArray) -> IntArray:
    """Return the terms that each passage is most about, best first, and last the best of its document.

    Returns:
        int32 `[passages, 4]`, -1 for none.
    """
    finder = MentionFinder(terms.names)
    ranked = np.full((len(documents), _CHOICES + 1), -1, dtype=np.int32)
    at = 0
    for _, own in itertools.groupby(zip(documents.tolist(), passages, strict=True), key=lambda row: row[0]):
        named = [_named(finder, text) for _, text in own]
        whole: Counter[int] = Counter()
        for counts in named:
            whole.update(counts)
        weight = {term: float(terms.scores[term]) * n**0.5 for term, n in whole.items()}
        for counts in named:
            best = sorted(counts, key=lambda term: (-counts[term] * weight[term], term))[:_CHOICES]
            ranked[at, : len(best)] = best
            at += 1
        if whole:
            ranked[at - len(named) : at, _CHOICES] = min(whole, key=lambda term: (-whole[term] * weight[term], term))
    return ranked


def _named(finder: MentionFinder, text: str) -> Counter[int]:
    """Return how often a text names each term."""
    return Counter(mention.targets[0][0] for mention in finder.find(tokenize(text), text))


def _settled(ranked: IntArray, n: int) -> IntArray:
    """Return the term of each passage when all terms that are left have enough passages, int32, -1 for none.

    Example:
        >>> few = np.array([[0, 1, -1, -1]] * 2 + [[1, -1, -1, 0]] * 4, dtype=np.int32)
        >>> _settled(few, 2).tolist()
        [1, 1, 1, 1, 1, 1]
    """
    left = np.r_[np.ones(n, dtype=bool), False]  # the last stands for -1
    while True:
        usable = left[ranked]
        chosen = np.where(usable.any(axis=1), np.take_along_axis(ranked, usable.argmax(axis=1)[:, None], 1)[:, 0], -1)
        counts = np.bincount(chosen[chosen >= 0], minlength=n)
        small = left[:n] & (counts < LEAST_PASSAGES)
        if not small.any():
            return chosen.astype(np.int32)
        # The smallest half first: what they leave may be enough for the others.
        left[:n] &= ~(small & (counts <= np.median(counts[small])))


def _main_documents(topics: IntArray, documents: IntArray, n: int) -> IntArray:
    """Return for each topic the document that most of its passages are from."""
    pairs, counts = np.unique(topics.astype(np.int64) << 32 | documents, return_counts=True)
    order = np.lexsort((pairs, -counts, pairs >> 32))
    first = np.searchsorted((pairs >> 32)[order], np.arange(n))
    main: IntArray = (pairs[order][first] & 0xFFFFFFFF).astype(np.int32)
    return main


def together(named: IntArray, n: int) -> Ends:
    """Return links between topics that are named together in more passages than by chance, in both directions.

    Args:
        named: Topics that each passage names, int32 `[passages, k]`, -1 for none.
        n: Number of topics.

    Example:
        >>> named = np.array([[0, 1]] * 5 + [[2, -1]] * 20, dtype=np.int32)
        >>> [ends.tolist() for ends in together(named, 3)]
        [[0, 1], [1, 0]]
    """
    alone = np.bincount(named[named >= 0], minlength=n)
    codes = [np.empty(0, dtype=np.int64)]
    for a, b in itertools.combinations(range(named.shape[1]), 2):
        both = (named[:, a] >= 0) & (named[:, b] >= 0)
        low, high = np.minimum(named[both, a], named[both, b]), np.maximum(named[both, a], named[both, b])
        codes.append(low.astype(np.int64) << 32 | high)
    pairs, counts = np.unique(np.concatenate(codes), return_counts=True)
    low, high = pairs >> 32, pairs & 0xFFFFFFFF
    ratio = _likelihood_ratio(counts, alone[low], alone[high], len(named))
    kept = (counts >= _LEAST_TOGETHER) & (ratio >= _LEAST_RATIO)
    low, high, ratio = low[kept], high[kept], ratio[kept]
    sources, targets = np.r_[low, high], np.r_[high, low]
    order = np.lexsort((targets, -np.r_[ratio, ratio], sources))
    sources, targets = sources[order].astype(np.int32), targets[order].astype(np.int32)
    rank = np.arange(len(sources)) - np.searchsorted(sources, sources)
    return sources[rank < _STRONGEST], targets[rank < _STRONGEST]


def _likelihood_ratio(
    both: NDArray[np.int64], first: NDArray[np.int64], second: NDArray[np.int64], n: int
) -> NDArray[np.float64]:
    """Return Dunning's ratio of pairs that are more often together than by chance, 0 for others, `[pairs]`."""
    table = np.stack([both, first - both, second - both, n - first - second + both]).astype(np.float64)
    rows = np.stack([first, first, n - first, n - first])
    columns = np.stack([second, n - second, second, n - second])
    expected = rows * columns / n
    terms = np.where(table > 0, table * np.log(np.where(table > 0, table, 1) / np.maximum(expected, 1e-12)), 0)
    more: NDArray[np.bool_] = both * n > first * second
    return np.where(more, 2 * terms.sum(axis=0), 0)
