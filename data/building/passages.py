"""Passages of topics: split, free of near-duplicates across splits, written and embedded.

Near-duplicates are looked for among 100,000 passages at a time; a passage with the same words as one in a more
protected split is dropped wherever that is.
"""

from __future__ import annotations

import array
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kgrl.corpus import Split, near_duplicates, split_passages, wording
from kgrl.retrieval.base import FloatArray
from kgrl.retrieval.corpus_index import INDEXED_PER_TOPIC, topic_embeddings
from kgrl.retrieval.encoder import Encoder

__all__ = ["Written", "write_passages"]

_AT_ONCE = 100_000
"""Passages among which near-duplicates are looked for."""
_BATCH = 64
"""Topics whose passages are embedded at once."""


@dataclass(frozen=True)
class Written:
    """Passages that were written.

    Args:
        counts: Their number by split.
        dropped: Number of passages that repeat one of a more protected split.
        has_text: Whether each topic has passages, bool `[topics]`.
        embeddings: Unit embeddings of topics, by their first train passages, or else by their titles, float32
            `[topics, dimensions]`. They are in a file beside the passages.
    """

    counts: dict[str, int]
    dropped: int
    has_text: NDArray[np.bool_]
    embeddings: FloatArray


class _Pieces:
    """Passages in a file, with their splits and the hashes of their words in memory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.splits, self.hashes = array.array("B"), array.array("Q")
        self.dropped = self.batches = 0

    def write(self, titles: Sequence[str], cut: Iterable[Sequence[str]]) -> None:
        """Split the passages of each topic, and write those that are no near-duplicates."""
        with self.path.open("w", encoding="utf-8", newline="\n") as file:
            gathered: list[tuple[int, str, int]] = []
            for topic, (title, passages) in enumerate(zip(titles, cut, strict=True)):
                drawn = split_passages(title, passages).tolist()
                gathered += [(topic, passage, split) for passage, split in zip(passages, drawn, strict=True)]
                if len(gathered) >= _AT_ONCE:
                    file.writelines(self._kept(gathered))
                    gathered = []
            file.writelines(self._kept(gathered))

    def _kept(self, rows: list[tuple[int, str, int]]) -> Iterator[str]:
        self.batches += 1
        repeats = near_duplicates([text for _, text, _ in rows], np.array([split for *_, split in rows], np.uint8))
        self.dropped += int(repeats.sum())
        for (topic, text, split), drop in zip(rows, repeats.tolist(), strict=True):
            if not drop:
                self.splits.append(split)
                self.hashes.append(wording(text))
                yield json.dumps([topic, text], ensure_ascii=False) + "\n"

    def repeated(self) -> NDArray[np.bool_]:
        """Return a mask of the passages with the same words as one of a more protected split."""
        splits, hashes = np.frombuffer(self.splits, np.uint8), np.frombuffer(self.hashes, np.uint64)
        mask = np.zeros(len(splits), dtype=bool)
        for protected in (Split.EXAM, Split.PROBE):
            held_out = np.unique(hashes[splits == protected])
            for first in range(0, len(splits) if len(held_out) else 0, _AT_ONCE):
                part = slice(first, first + _AT_ONCE)
                at = np.minimum(np.searchsorted(held_out, hashes[part]), len(held_out) - 1)
                mask[part] |= (held_out[at] == hashes[part]) & (splits[part] < protected)
        return mask

    def rows(self) -> Iterator[tuple[int, str, int]]:
        """Yield topic, text and split of each passage that is kept."""
        drop = self.repeated()
        self.dropped += int(drop.sum())
        with self.path.open(encoding="utf-8") as file:
            for line, split, dropped in zip(file, self.splits, drop, strict=True):
                if not dropped:
                    topic, text = json.loads(line)
                    yield topic, text, split


def write_passages(path: Path, titles: Sequence[str], passages: Iterable[Sequence[str]], encoder: Encoder) -> Written:
    """Write `passages.jsonl`, and embed topics by their first train passages.

    Args:
        path: The file; others are written beside it, `pieces` and `embeddings.npy`.
        titles: One title for each topic.
        passages: The passages of each topic.
        encoder: Embeds passages.
    """
    pieces = _Pieces(path.with_name("pieces"))
    pieces.write(titles, passages)
    shape = (len(titles), encoder.dimensions)
    embeddings = np.lib.format.open_memmap(path.with_name("embeddings.npy"), "w+", np.float32, shape)
    counts = np.zeros(len(Split), dtype=np.int64)
    has_text = np.zeros(len(titles), dtype=bool)
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for first, batch in groupby(pieces.rows(), key=lambda row: row[0] // _BATCH * _BATCH):
            rows = list(batch)
            for topic, text, split in rows:
                told = {"topic": titles[topic], "text": text, "split": Split(split).name.lower()}
                file.write(json.dumps(told, ensure_ascii=False) + "\n")
                counts[split] += 1
                has_text[topic] = True
            _embed(rows, titles[first : first + _BATCH], first, embeddings[first : first + _BATCH], encoder)
    named = {split.name.lower(): int(counts[split]) for split in Split}
    return Written(named, pieces.dropped, has_text, embeddings)


def _embed(
    rows: list[tuple[int, str, int]], titles: Sequence[str], first: int, embeddings: FloatArray, encoder: Encoder
) -> None:
    """Set the embeddings of some topics, of which the first is `first`."""
    seen = np.zeros(len(embeddings), dtype=np.int64)
    chosen: list[tuple[int, str]] = []
    for topic, text, split in rows:
        if split == Split.TRAIN and seen[topic - first] < INDEXED_PER_TOPIC:
            seen[topic - first] += 1
            chosen.append((topic - first, text))
    # Where all train passages repeat held-out ones, the title says what the topic is like.
    chosen += [(topic, titles[topic]) for topic in np.flatnonzero(seen == 0).tolist()]
    vectors = encoder.encode([text for _, text in chosen])
    topics = np.array([topic for topic, _ in chosen], dtype=np.int32)
    embeddings[:] = topic_embeddings(topics, vectors, len(embeddings))
