"""What real learners did, as matrices that learning curves are fitted to: recorded runs, and estimates of transfer.

Only probe losses are read; what reports measured on the exam never gets into a calibration.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from kgrl.corpus import Corpus, Split
from kgrl.errors import DataError, KgrlError
from kgrl.expansion import Expansion
from kgrl.graph.topic_graph import IntArray
from kgrl.learners.simulated.transfer import Transfer

__all__ = ["Course", "course_of_run", "course_of_transfer", "read_run", "tokens_per_word"]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Course:
    """Lessons of one learner and the losses measured around each.

    Args:
        name: The folder it was read from.
        taught: Tokens of each lesson about each topic, `[lessons, topics]`.
        measured: The topics measured in any lesson, `[m]`.
        before: Their losses before each lesson in nats per token, NaN where not measured, `[lessons, m]`.
        after: The same after it.
        forks: Whether each lesson starts from the untaught learner, in place of where the one before it ended.
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
        """How much each lesson lowered each loss, in nats per token, NaN where not measured, `[lessons, m]`."""
        return self.before - self.after


def read_run(folder: Path, corpus: Corpus) -> list[Expansion]:
    """Read the expansions of a run folder.

    Args:
        folder: The folder; a run that is not finished will do.
        corpus: The corpus that it is said to have taught.

    Raises:
        DataError: If there is no record, a line is no expansion, or a topic or passage is not the corpus's.
    """
    path = folder / "curriculum.jsonl"
    if not path.is_file():
        raise DataError(path, None, "no such file; a run folder holds config.yaml and curriculum.jsonl")
    text = path.read_text(encoding="utf-8")
    expansions = []
    # A last line that was cut off in writing is left out, as where a run is resumed.
    for number, line in enumerate(text[: text.rfind("\n") + 1].splitlines(), 1):
        try:
            expansion = Expansion.from_json(line)
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(path, number, f"no expansion: {error}") from error
        _check(expansion, corpus, path, number)
        expansions.append(expansion)
    return expansions


def _check(expansion: Expansion, corpus: Corpus, path: Path, line: int) -> None:
    """Topics go by number in records: refuse numbers that mean other topics in this corpus."""
    titles = corpus.graph.titles
    known = expansion.topic < len(titles) and titles[expansion.topic] == expansion.title
    if not known or max(expansion.passages, default=0) >= len(corpus):
        raise DataError(path, line, f"{expansion.title!r} is not topic {expansion.topic} of corpus {corpus.name!r}")


def tokens_per_word(corpus: Corpus, runs: Sequence[Sequence[Expansion]]) -> float:
    """Return the tokens of a learner for each word of what it was taught; 1 where it was taught nothing.

    A lesson that used up its tokens was cut somewhere in its last passage, which bounds the rate from both sides. The
    rate returned is outside of the bounds by the least sum, which is the median of them all.

    Args:
        corpus: The corpus.
        runs: The expansions of each run.
    """
    bounds = [1.0] if not any(runs) else []
    for expansions in runs:
        most = max((expansion.tokens for expansion in expansions), default=0)
        for expansion in expansions:
            words = _words(corpus, expansion.passages)
            cut = expansion.tokens == most or expansion.tokens_total == expansion.budget
            least_read = max(words.sum() - words[-1], words.sum() / 2) if cut else words.sum()
            bounds += [expansion.tokens / words.sum(), expansion.tokens / least_read]
    return float(np.median(bounds))


def course_of_run(corpus: Corpus, name: str, expansions: Sequence[Expansion], rate: float) -> Course:
    """Arrange a run's expansions, in order from the nucleus.

    Args:
        corpus: The corpus.
        name: What to call the course.
        expansions: The expansions.
        rate: Tokens for each word.
    """
    taught = [_taught(corpus, np.array(e.passages, dtype=np.int32), e.tokens, rate) for e in expansions]
    losses = [_probed(expansion) for expansion in expansions]
    measured = np.array(sorted({topic for probed in losses for topic in probed}), dtype=np.int32)
    columns = {int(topic): column for column, topic in enumerate(measured)}
    values = np.full((2, len(expansions), len(measured)), np.nan)
    for row, probed in enumerate(losses):
        for topic, pair in probed.items():
            values[:, row, columns[topic]] = pair
    return Course(name, _stack(taught, len(corpus.graph)), measured, values[0], values[1])


def course_of_transfer(corpus: Corpus, folder: Path, rate: float) -> Course:
    """Arrange an estimate of transfer that `kgrl.learners.simulated.transfer` wrote, as far as its rows are measured.

    The learner was untaught when it was forked, as far as this is concerned: the estimate does not say.

    Args:
        corpus: The corpus.
        folder: The folder of the estimate.
        rate: Tokens for each word.

    Raises:
        KgrlError: If the folder holds no estimate, or one of another corpus.
    """
    transfer = Transfer.read(folder)
    settings = json.loads((folder / "transfer.json").read_text(encoding="utf-8"))
    if settings["fingerprint"] != corpus.fingerprint:
        raise KgrlError(f"{folder} holds a transfer estimate of corpus {settings['corpus']!r}, not of {corpus.name!r}")
    rows = np.flatnonzero(np.isfinite(transfer.drops).all(axis=1))
    taught = []
    for topic in transfer.topics[rows].tolist():
        words = _words(corpus, corpus.ids_of(topic, Split.TRAIN))
        taught.append({topic: min(float(settings["tokens"]), rate * float(words.sum()))})
    before = np.broadcast_to(transfer.before.astype(np.float64), (len(rows), len(transfer.topics)))
    after = before - transfer.drops[rows]
    return Course(str(folder), _stack(taught, len(corpus.graph)), transfer.topics, before, after, forks=True)


def _probed(expansion: Expansion) -> dict[int, tuple[float, float]]:
    """Losses before and after by topic; a topic in several probes was measured once."""
    return {
        topic: (before, after)
        for probe in expansion.probes.values()
        for topic, before, after in zip(probe.topics, probe.before, probe.after, strict=True)
    }


def _taught(corpus: Corpus, passages: IntArray, tokens: int, rate: float) -> dict[int, float]:
    """Tokens by topic: what each passage has by its words, the last one what is left; together the lesson's tokens."""
    counts = rate * _words(corpus, passages)
    counts[-1] = np.clip(tokens - counts[:-1].sum(), 0.0, counts[-1])
    topics, which = np.unique(corpus.topics[passages], return_inverse=True)
    read = np.bincount(which, counts * tokens / counts.sum())
    return dict(zip(topics.tolist(), read.tolist(), strict=True))


def _words(corpus: Corpus, passages: Sequence[int] | IntArray) -> NDArray[np.int64]:
    return np.array([max(1, len(corpus.texts[i].split())) for i in passages], dtype=np.int64)


def _stack(rows: Sequence[dict[int, float]], topics: int) -> sparse.csr_array:
    starts = np.cumsum([0, *map(len, rows)])
    columns = np.array([topic for row in rows for topic in row], dtype=np.int32)
    values = np.array([tokens for row in rows for tokens in row.values()], dtype=np.float64)
    return sparse.csr_array((values, columns, starts), shape=(len(rows), topics))
