"""Corpora: topic graphs with text, cut into passages and split into train, probe and exam, and questions about it.

Rewards and agents may see train and probe passages; only reports see exam passages and questions. `near_duplicates`
finds passages that repeat text of another split. The module knows nothing of tokens, models or sources of text.
"""

from __future__ import annotations

import array
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass
from enum import IntEnum
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kgrl.graph.topic_graph import IntArray, TopicGraph
from kgrl.system.display import count_text
from kgrl.system.sentences import sentences_of, word_count
from kgrl.system.words import canonical, words_of

__all__ = [
    "Cloze",
    "Corpus",
    "Passage",
    "Passages",
    "Split",
    "cut",
    "near_duplicates",
    "shingles",
    "split_passages",
    "wording",
]

_SHINGLE = 8
"""Words of a shingle, the unit in which near-duplicates are compared."""
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
"""Base of the polynomial that hashes a shingle; any large odd number serves."""


class Split(IntEnum):
    """The use of a passage: training, probing or examining."""

    TRAIN = 0
    PROBE = 1
    EXAM = 2


@dataclass(frozen=True)
class Passage:
    """A piece of text with the topic it comes from."""

    id: int
    text: str
    topic: int
    split: Split


@dataclass(frozen=True)
class Passages:
    """A selection of a corpus's passages, in order; learners train on selections and are measured on them.

    Args:
        corpus: The corpus they belong to.
        ids: Their ids in order, shape `[n]`.
    """

    corpus: Corpus
    ids: IntArray

    def __repr__(self) -> str:
        return f"Passages({len(self):,} of {self.corpus.name!r})"

    def __len__(self) -> int:
        return len(self.ids)

    def __iter__(self) -> Iterator[Passage]:
        return (self.corpus.passage(int(i)) for i in self.ids)

    @property
    def texts(self) -> list[str]:
        """The texts in order."""
        return [self.corpus.texts[i] for i in self.ids]

    @property
    def topics(self) -> IntArray:
        """The topic of each passage, int32 of shape `[n]`."""
        topics: IntArray = self.corpus.topics[self.ids]
        return topics


@dataclass(frozen=True)
class Cloze:
    """A true statement with a gap for one name: the name that makes it true, and names that make it false.

    Args:
        topic: The topic that it is about.
        before: The statement up to the name.
        answer: The name that makes it true.
        after: The statement behind the name.
        wrong: Names that make it false, one at least.
        group: Group in which answers are counted.

    Example:
        >>> cloze = Cloze(0, "Logic was founded by ", "Aristotle", ".", ("Euclid",), "people")
        >>> cloze.statement, cloze.with_name("Euclid")
        ('Logic was founded by Aristotle.', 'Logic was founded by Euclid.')
    """

    topic: int
    before: str
    answer: str
    after: str
    wrong: tuple[str, ...]
    group: str

    @property
    def statement(self) -> str:
        """The true statement."""
        return self.with_name(self.answer)

    def with_name(self, name: str) -> str:
        """Return the statement with this name in the gap."""
        return f"{self.before}{name}{self.after}"


class Corpus:
    """A topic graph, its passages, and questions about it if it has any of its own.

    Args:
        name: The name it was loaded by; part of run records.
        graph: The topic graph.
        texts: One text for each passage.
        topics: The topic of each passage, ascending, shape `[passages]`.
        splits: The split of each passage as `Split` values, shape `[passages]`.
        questions: Questions that the corpus brings; neither rewards nor agents see them.

    Raises:
        ValueError: If the shapes disagree, a topic is out of range or topics are not ascending.

    Example:
        >>> graph = TopicGraph.from_links(["Logic", "Set"], [0], [1])
        >>> corpus = Corpus("tiny", graph, ["Logic is …", "It asks …", "A set is …"], [0, 0, 1], [0, 1, 0])
        >>> corpus
        Corpus('tiny', 2 topics, 1 link, 3 passages: 2 train, 1 probe, 0 exam)
        >>> corpus.of(0, Split.PROBE).texts
        ['It asks …']
    """

    def __init__(
        self,
        name: str,
        graph: TopicGraph,
        texts: Sequence[str],
        topics: ArrayLike,
        splits: ArrayLike,
        questions: Sequence[Cloze] = (),
    ) -> None:
        self.name = name
        self.graph = graph
        self.texts = texts
        self.topics: IntArray = np.asarray(topics, dtype=np.int32)
        self.splits: NDArray[np.uint8] = np.asarray(splits, dtype=np.uint8)
        self.questions = tuple(questions)
        if not len(self.texts) == len(self.topics) == len(self.splits):
            raise ValueError(f"{len(self.texts)} texts, {len(self.topics)} topics and {len(self.splits)} splits")
        if len(self.topics) and (
            self.topics[0] < 0 or self.topics[-1] >= len(graph) or np.any(np.diff(self.topics) < 0)
        ):
            raise ValueError("passages must be ordered by topic, each topic in the graph")
        if not all(0 <= question.topic < len(graph) for question in self.questions):
            raise ValueError("the topic of each question must be in the graph")
        # Passages ordered by (topic, split): one row start for each pair finds any group in constant time.
        keys = self.topics.astype(np.int64) * len(Split) + self.splits
        self._order = np.argsort(keys, kind="stable").astype(np.int32)
        self._starts = np.searchsorted(keys[self._order], np.arange(len(graph) * len(Split) + 1))

    def __len__(self) -> int:
        return len(self.texts)

    def __repr__(self) -> str:
        graph = f"{count_text(len(self.graph), 'topic')}, {count_text(self.graph.n_links, 'link')}"
        counts = ", ".join(f"{n:,} {split.name.lower()}" for split, n in zip(Split, self.split_counts, strict=True))
        asked = f", {count_text(len(self.questions), 'question')}" if self.questions else ""
        return f"Corpus({self.name!r}, {graph}, {count_text(len(self), 'passage')}: {counts}{asked})"

    @property
    def split_counts(self) -> NDArray[np.int64]:
        """Number of passages in train, probe and exam, shape `[3]`."""
        return np.bincount(self.splits, minlength=len(Split))

    def passage(self, id: int) -> Passage:
        """Return the passage of this id."""
        return Passage(id, self.texts[id], int(self.topics[id]), Split(int(self.splits[id])))

    def select(self, ids: ArrayLike) -> Passages:
        """Return the passages with these ids, in this order."""
        return Passages(self, np.asarray(ids, dtype=np.int32))

    def first_ids(self, split: Split) -> IntArray:
        """Return the id of each topic's first passage in a split, -1 for topics without one, int32 `[topics]`."""
        keys = np.arange(len(self.graph)) * len(Split) + split
        starts, ends = self._starts[keys], self._starts[keys + 1]
        firsts = np.full(len(self.graph), -1, dtype=np.int32)
        firsts[starts < ends] = self._order[starts[starts < ends]]
        return firsts

    def ids_of(self, topic: int, split: Split) -> IntArray:
        """Return the ids of a topic's passages in one split, in text order."""
        key = topic * len(Split) + split
        return self._order[self._starts[key] : self._starts[key + 1]]

    def rows_of(self, split: Split) -> tuple[NDArray[np.int64], IntArray]:
        """Return the ids of all topics' passages in one split, as rows.

        Returns:
            Row starts, int64 `[topics + 1]`, and ids, int32, each topic's in text order.
        """
        starts = np.concatenate([[0], np.cumsum(np.diff(self._starts)[int(split) :: len(Split)])])
        return starts.astype(np.int64), self._order[self.splits[self._order] == split]

    def of(self, topic: int, split: Split) -> Passages:
        """Return a topic's passages in one split, in text order."""
        return Passages(self, self.ids_of(topic, split))

    def has(self, split: Split) -> NDArray[np.bool_]:
        """Return whether each topic has passages in a split, bool `[topics]`."""
        return np.diff(self._starts)[int(split) :: len(Split)] > 0

    @cached_property
    def word_counts(self) -> IntArray:
        """Number of words of each passage, as white space separates them, int32 `[passages]`."""
        return np.fromiter((len(text.split()) for text in self.texts), dtype=np.int32, count=len(self))

    @cached_property
    def told(self) -> NDArray[np.bool_]:
        """Mask of the questions whose true statement one train passage tells word for word, bool `[questions]`."""
        if not self.questions:
            return np.zeros(0, dtype=bool)
        train = np.flatnonzero(self.splits == Split.TRAIN).tolist()
        # One text, so that each statement is searched for once; line ends keep it from reaching into another passage.
        read = "\n".join(_spaced_words(self.texts[i]) for i in train)
        return np.array([_spaced_words(question.statement) in read for question in self.questions], dtype=bool)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over graph, texts, splits and questions; caches and run records refer to a corpus by it."""
        digest = hashlib.sha256(self.graph.fingerprint.encode())
        for text in self.texts:
            digest.update(text.encode())
            digest.update(b"\0")
        digest.update(self.topics.tobytes())
        digest.update(self.splits.tobytes())
        for question in self.questions:
            digest.update(json.dumps(astuple(question)).encode())
        return digest.hexdigest()


def _spaced_words(text: str) -> str:
    """Return the words of a text with a space before and behind each, in the form in which words are compared."""
    return f" {' '.join(words_of(text))} "


def cut(text: str, words: int = 50, language: str = "en") -> list[str]:
    """Cut a text into passages at sentence ends.

    Sentences are gathered until a passage has at least `words` words. A text of three sentences or more gives at least
    three passages, so that train, probe and exam get one each.

    Args:
        text: The text, in any script; white space is normalised.
        words: Fewest words of a passage; the last one and those of short texts may have fewer. In scripts without
            spaces between words two letters count as one word.
        language: The code of the text's language, such as `"en"`; it says which full stops belong to abbreviations.

    Example:
        >>> cut("One two. Three four. Five six.")
        ['One two.', 'Three four.', 'Five six.']
    """
    sentences = sentences_of(text, language)
    lengths = [word_count(sentence) for sentence in sentences]
    target = min(words, max(1, sum(lengths) // 3))
    passages: list[str] = []
    gathered: list[str] = []
    length = 0
    for position, sentence in enumerate(sentences):
        gathered.append(sentence)
        length += lengths[position]
        needed = 3 - len(passages)
        # Once only as many sentences remain as passages are missing, each becomes a passage.
        if length >= target or len(sentences) - position <= needed:
            passages.append(" ".join(gathered))
            gathered, length = [], 0
    if gathered:
        passages.append(" ".join(gathered))
    return passages


def split_passages(title: str, passages: Sequence[str], held_out: float = 0.2) -> NDArray[np.uint8]:
    """Assign one topic's passages to train, probe and exam.

    The first passage, usually the definition, is for training. Of the others, `held_out` times the number of all
    passages (at least one) go to probe and as many to exam. They are drawn by a hash of title and text, so the split
    does not change when topics are added to the corpus or removed, nor with the spelling of accents. Of two passages
    the second is for the exam; a single one is for training.

    Args:
        title: The topic's title.
        passages: Its passages in text order.
        held_out: Share of the passages for probe, and again for exam.

    Returns:
        `Split` values, uint8 of shape `[passages]`.

    Example:
        >>> sorted(split_passages("Logic", ["a", "b", "c", "d", "e"]).tolist())
        [0, 0, 0, 1, 2]
    """
    splits = np.zeros(len(passages), dtype=np.uint8)
    share = max(1, round(held_out * len(passages)))
    named = [canonical(f"{title}\0{passage}").encode("utf-8", "replace") for passage in passages]
    drawn = sorted(range(1, len(passages)), key=lambda i: hashlib.sha256(named[i]).digest())
    splits[drawn[:share]] = Split.EXAM
    splits[drawn[share : 2 * share]] = Split.PROBE
    return splits


def near_duplicates(texts: Sequence[str], splits: NDArray[np.uint8], threshold: float = 0.5) -> NDArray[np.bool_]:
    """Find passages that share much of their wording with a passage of another split.

    Wording is compared by shingles, runs of eight words (Broder 1997). Exam passages are kept, probe passages are
    marked if they resemble exam passages, train passages if they resemble either. So no passage that is measured is
    trained on.

    Args:
        texts: The passages.
        splits: Their `Split` values, shape `[passages]`.
        threshold: A passage is marked if a larger share of its shingles occurs in a more protected split.

    Returns:
        Whether each passage is to be dropped, bool of shape `[passages]`.

    Example:
        >>> text = "the quick brown fox jumps over the lazy dog every single day"
        >>> near_duplicates([text, text], np.array([0, 2], dtype=np.uint8)).tolist()
        [True, False]
    """
    owners, hashes = shingles(texts)
    counts = np.bincount(owners, minlength=len(texts))
    drop = np.zeros(len(texts), dtype=bool)
    seen = np.empty(0, dtype=np.uint64)
    # The most protected split first; `seen` holds the shingles of the passages kept so far, ascending.
    for split in (Split.EXAM, Split.PROBE, Split.TRAIN):
        own = np.asarray(splits)[owners] == split
        found = np.zeros(int(own.sum()), dtype=bool)
        if len(seen):
            # Modulo the length: a value above all others is searched for past the end.
            found = seen[np.searchsorted(seen, hashes[own]) % len(seen)] == hashes[own]
        shared = np.bincount(owners[own][found], minlength=len(texts))
        drop |= shared > threshold * counts
        seen = np.sort(np.concatenate([seen, hashes[own & ~drop[owners]]]))
    return drop


def wording(text: str) -> int:
    """Return a 64-bit hash of a text's words, the same on every machine.

    Example:
        >>> wording("One, two.") == wording("one two")
        True
    """
    words = " ".join(words_of(text))
    return int.from_bytes(hashlib.blake2b(words.encode("utf-8", "replace"), digest_size=8).digest(), "little")


def shingles(texts: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
    """Hash every shingle of the texts, a run of eight words; a text of fewer words is one shingle.

    Hashes can be compared within a process only.

    Returns:
        The number of a text, ascending, and the hash of one of its shingles, each pair once, both of shape `[pairs]`.

    Example:
        >>> [part.shape for part in shingles(["One two three.", "one two three four five six seven eight nine"])]
        [(3,), (3,)]
    """
    # Python's salted hash serves: hashes are compared within this process only. A word takes eight bytes then.
    words = array.array("q")
    ends = [0]
    for text in texts:
        words.extend(map(hash, words_of(text)))
        ends.append(len(words))
    flat = np.array(words, dtype=np.int64)
    counts = np.array(ends, dtype=np.int64)
    lengths = counts[1:] - counts[:-1]  # [texts]
    # All texts end to end, each followed by eight zeros, so that no shingle reaches into the next text.
    starts = np.cumsum(lengths + _SHINGLE) - lengths - _SHINGLE
    runs = np.maximum(lengths - _SHINGLE + 1, 1)
    owners = np.repeat(np.arange(len(texts)), runs)
    at = np.arange(len(owners)) + np.repeat(starts - np.cumsum(runs) + runs, runs)  # where each shingle begins
    hashes = np.zeros(int((lengths + _SHINGLE).sum()), dtype=np.uint64)
    hashes[np.arange(len(flat)) + np.repeat(starts - np.cumsum(lengths) + lengths, lengths)] = flat.view(np.uint64)
    made = np.zeros(len(at), dtype=np.uint64)
    for offset in range(_SHINGLE):
        made = made * _MULTIPLIER + hashes[at + offset]  # modulo 2^64
    # Sorted by text and hash, then each pair once.
    order = np.lexsort((made, owners))
    owners, made = owners[order], made[order]
    fresh = np.ones(len(order), dtype=bool)
    fresh[1:] = (np.diff(owners) != 0) | (made[1:] != made[:-1])
    return owners[fresh], made[fresh]
