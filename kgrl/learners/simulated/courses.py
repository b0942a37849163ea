"""Records of real learners: transfer estimates, and courses, the matrices that learning curves are fitted to.

A transfer estimate tells how much learning one topic helps, or hurts, each of some others. It is measured on forks of a
learner (`kgrl.probes.forks.estimate_transfer`) and kept in a folder row by row, so that an interrupted estimate
continues where it was. Only train passages are learned and only probe passages measured: exam losses, which reports
show, never get into a calibration.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from msgspec import Struct, structs
from numpy.typing import NDArray

from kgrl.corpus import Corpus, Split
from kgrl.errors import DataError, KgrlError
from kgrl.expansion import Expansion
from kgrl.graph.topic_graph import IntArray
from kgrl.system.arrays import read_array
from kgrl.system.files import write_json, write_npy
from kgrl.system.json_lines import read_records
from kgrl.system.schemas import Count, Index, Nats, read_json

if TYPE_CHECKING:
    from scipy import sparse

__all__ = ["Course", "Transfer", "course_of_run", "course_of_transfer", "read_run", "tokens_per_word"]

FloatArray = NDArray[np.float64]

_SETTINGS, _DROPS = "transfer.json", "drops.npy"


class _Settings(Struct, forbid_unknown_fields=True):
    """The settings of a transfer estimate, with the losses of its topics before anything was learned."""

    corpus: str
    fingerprint: str
    tokens: Count
    topics: list[Index]
    before: list[Nats]


@dataclass(frozen=True)
class Transfer:
    """A topic-to-topic transfer matrix.

    Args:
        topics: The topics of its rows and columns, shape `[n]`.
        before: Their probe losses before anything was learned, in nats per token, shape `[n]`.
        drops: `drops[i, j]` is the drop of the loss of `topics[j]` after learning `topics[i]`, in nats per token, shape
            `[n, n]`; negative if learning the one hurts the other. NaN in rows that are still to be estimated.
    """

    topics: IntArray
    before: NDArray[np.float32]
    drops: NDArray[np.float32]

    @classmethod
    def read(cls, folder: Path) -> Transfer:
        """Read an estimate, finished or not.

        Raises:
            KgrlError: If the folder holds no estimate.
        """
        settings, drops = folder / _SETTINGS, folder / _DROPS
        if not settings.is_file():
            raise KgrlError(f"{folder} holds no transfer estimate: {_SETTINGS} is missing")
        known = read_json(settings, _Settings)
        topics, before = np.array(known.topics, dtype=np.int32), np.array(known.before, dtype=np.float32)
        n = len(topics)
        # The settings are written first, so a folder may hold them and no rows.
        none = np.full((n, n), np.nan, np.float32)
        return cls(topics, before, np.array(read_array(drops, np.float32, n, n)) if drops.exists() else none)

    @classmethod
    def begin(
        cls, folder: Path, corpus: Corpus, topics: IntArray, before: NDArray[np.float32], tokens: int
    ) -> Transfer:
        """Begin an estimate in a folder, or continue the one that it holds.

        The losses before learning are compared too: another learner, or another state of it, has others.

        Args:
            folder: The folder; made if it is missing.
            corpus: The corpus.
            topics: The sample of topics, shape `[n]`.
            before: Their probe losses before anything was learned, in nats per token, shape `[n]`.
            tokens: Most tokens learned of a topic.

        Raises:
            KgrlError: If the folder holds an estimate with other settings or of another learner.
        """
        settings = {
            "corpus": corpus.name,
            "fingerprint": corpus.fingerprint,
            "tokens": tokens,
            "topics": topics.tolist(),
            "before": before.tolist(),
        }
        path = folder / _SETTINGS
        if not path.exists():
            write_json(path, settings)
        known = structs.asdict(read_json(path, _Settings))
        for name, value in settings.items():
            if (list(known[name]) if isinstance(value, list) else known[name]) != value:
                raise KgrlError(f"{folder} holds a transfer estimate with another {name!r}; choose another folder")
        return cls.read(folder)

    def write_rows(self, folder: Path) -> None:
        """Write the rows estimated so far, atomically."""
        write_npy(folder / _DROPS, self.drops)


@dataclass(frozen=True)
class Course:
    """Lessons of one learner and the losses measured around each.

    Args:
        name: The folder it was read from.
        taught: Tokens of each lesson about each topic, `[lessons, topics]`.
        measured: The topics measured in any lesson, `[m]`.
        before: Their losses before each lesson in nats per token, NaN where not measured, `[lessons, m]`.
        after: Their losses after each lesson, of the same shape.
        forks: True if each lesson starts from the untaught learner, False if it continues the one before it.
    """

    name: str
    taught: sparse.csr_array
    measured: IntArray
    before: FloatArray
    after: FloatArray
    forks: bool = False

    @property
    def tokens(self) -> FloatArray:
        """Tokens of each lesson, `[lessons]`."""
        tokens: FloatArray = self.taught.sum(axis=1)
        return tokens

    @property
    def n_measured(self) -> int:
        """Number of lessons around which at least one loss was measured."""
        return int(np.isfinite(self.drops).any(axis=1).sum())

    @property
    def length(self) -> float:
        """The most tokens that the learner had learned at any moment."""
        return float(self.tokens.max() if self.forks else self.tokens.sum())

    @property
    def drops(self) -> FloatArray:
        """Drop of each loss by each lesson, in nats per token, NaN where not measured, `[lessons, m]`."""
        return self.before - self.after


def read_run(folder: Path, corpus: Corpus) -> list[Expansion]:
    """Read the expansions of a run folder.

    Args:
        folder: The folder; the run need not be finished.
        corpus: The corpus that it taught.

    Raises:
        DataError: If the record is missing, a line is not an expansion, or a topic or passage is not the corpus's.
    """
    path = folder / "curriculum.jsonl"
    if not path.is_file():
        raise DataError(path, None, "no such file; a run folder holds config.yaml and curriculum.jsonl")
    expansions = read_records(path, Expansion)
    for number, expansion in enumerate(expansions, 1):
        _check(expansion, corpus, path, number)
    return expansions


def _check(expansion: Expansion, corpus: Corpus, path: Path, line: int) -> None:
    """Refuse an expansion of another corpus: records name topics by number, which there mean other topics."""
    titles = corpus.graph.titles
    known = expansion.topic < len(titles) and titles[expansion.topic] == expansion.title
    if not known or max(expansion.passages, default=0) >= len(corpus):
        raise DataError(path, line, f"{expansion.title!r} is not topic {expansion.topic} of corpus {corpus.name!r}")


def tokens_per_word(corpus: Corpus, runs: Sequence[Sequence[Expansion]]) -> float:
    """Return a learner's tokens for each word of the text it was taught; 1 if it was taught nothing.

    A lesson that used up its tokens was cut somewhere in its last passage, which bounds the rate from both sides. The
    median of all bounds is the rate whose violations of the bounds have the least sum.

    Args:
        corpus: The corpus.
        runs: The expansions of each run.
    """
    bounds = [1.0] if not any(runs) else []
    for expansions in runs:
        most = max((expansion.tokens for expansion in expansions), default=0)
        for expansion in expansions:
            words = _words(corpus, expansion.passages)
            # The tokens of a lesson are not recorded as cut: lessons of the most tokens, and the run's last, may be.
            cut = expansion.tokens == most or expansion.tokens_total == expansion.budget
            least_read = max(words.sum() - words[-1], words.sum() / 2) if cut else words.sum()
            bounds += [expansion.tokens / words.sum(), expansion.tokens / least_read]
    return float(np.median(bounds))


def course_of_run(corpus: Corpus, name: str, expansions: Sequence[Expansion], rate: float) -> Course:
    """Arrange a run's expansions, in order from the nucleus.

    Args:
        corpus: The corpus.
        name: The name of the course.
        expansions: The expansions.
        rate: Tokens for each word.
    """
    taught = [_taught(corpus, np.array(e.passages, dtype=np.int32), e.tokens, rate) for e in expansions]
    # Losses before and after by topic; a topic in several probes was measured once.
    losses = [
        {
            topic: (before, after)
            for probe in expansion.probes.values()
            for topic, before, after in zip(probe.topics, probe.before, probe.after, strict=True)
        }
        for expansion in expansions
    ]
    measured = np.array(sorted({topic for probed in losses for topic in probed}), dtype=np.int32)
    columns = {int(topic): column for column, topic in enumerate(measured)}
    values = np.full((2, len(expansions), len(measured)), np.nan)
    for row, probed in enumerate(losses):
        for topic, pair in probed.items():
            values[:, row, columns[topic]] = pair
    return Course(name, _stack(taught, len(corpus.graph)), measured, values[0], values[1])


def course_of_transfer(corpus: Corpus, folder: Path, rate: float) -> Course:
    """Arrange the measured rows of a transfer estimate.

    The learner is taken to have been untaught when it was forked; the estimate does not record it.

    Args:
        corpus: The corpus.
        folder: The folder of the estimate.
        rate: Tokens for each word.

    Raises:
        KgrlError: If the folder holds no estimate, or one of another corpus.
    """
    transfer = Transfer.read(folder)
    settings = read_json(folder / _SETTINGS, _Settings)
    if settings.fingerprint != corpus.fingerprint or transfer.topics.max(initial=0) >= len(corpus.graph):
        raise KgrlError(f"{folder} holds a transfer estimate of corpus {settings.corpus!r}, not of {corpus.name!r}")
    rows = np.flatnonzero(np.isfinite(transfer.drops).all(axis=1))
    taught = []
    for topic in transfer.topics[rows].tolist():
        words = _words(corpus, corpus.ids_of(topic, Split.TRAIN))
        taught.append({topic: min(float(settings.tokens), rate * float(words.sum()))})
    before = np.broadcast_to(transfer.before.astype(np.float64), (len(rows), len(transfer.topics)))
    after = before - transfer.drops[rows]
    return Course(str(folder), _stack(taught, len(corpus.graph)), transfer.topics, before, after, forks=True)


def _taught(corpus: Corpus, passages: IntArray, tokens: int, rate: float) -> dict[int, float]:
    """Tokens of a lesson by topic.

    Each passage has tokens by its words, the last one the remaining ones; scaled, they add up to the lesson's tokens.
    """
    counts = rate * _words(corpus, passages)
    counts[-1] = np.clip(tokens - counts[:-1].sum(), 0.0, counts[-1])
    topics, which = np.unique(corpus.topics[passages], return_inverse=True)
    read = np.bincount(which, counts * tokens / counts.sum())
    return dict(zip(topics.tolist(), read.tolist(), strict=True))


def _words(corpus: Corpus, passages: Sequence[int] | IntArray) -> NDArray[np.int64]:
    """Number of words of each passage, at least 1, `[passages]`."""
    return np.maximum(corpus.word_counts[list(passages)], 1).astype(np.int64)


def _stack(rows: Sequence[dict[int, float]], topics: int) -> sparse.csr_array:
    """Tokens by topic of each lesson as a sparse matrix, `[lessons, topics]`."""
    from scipy import sparse  # here, since runs import this module for transfer estimates alone

    starts = np.cumsum([0, *map(len, rows)])
    columns = np.array([topic for row in rows for topic in row], dtype=np.int32)
    values = np.array([tokens for row in rows for tokens in row.values()], dtype=np.float64)
    return sparse.csr_array((values, columns, starts), shape=(len(rows), topics))
