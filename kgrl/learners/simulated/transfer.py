"""Transfer between topics: how much learning one topic helps, or hurts, each of some others.

Measured on forks of a learner and kept in a folder row by row, so that an estimate that was interrupted goes on where
it was. Only train passages are learned and only probe passages measured.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from kgrl.corpus import Corpus, Split
from kgrl.errors import KgrlError, SettingError
from kgrl.graph.topic_graph import IntArray
from kgrl.learners.base import Learner
from kgrl.probes.forks import losses_after
from kgrl.probes.prober import Prober, sample_topics
from kgrl.system.files import write_json, write_npy

__all__ = ["Transfer", "estimate_transfer"]

_SETTINGS, _DROPS = "transfer.json", "drops.npy"
_LEAST_TOKENS = 2


@dataclass(frozen=True)
class Transfer:
    """A topic-to-topic transfer matrix.

    Args:
        topics: The topics of its rows and columns, shape `[n]`.
        before: Their probe losses before anything was learned, in nats per token, shape `[n]`.
        drops: `drops[i, j]` is the drop of the loss of `topics[j]` after learning `topics[i]`, in nats per token, shape
            `[n, n]`; negative where learning the one hurts the other. NaN in rows that are not estimated yet.
    """

    topics: IntArray
    before: NDArray[np.float32]
    drops: NDArray[np.float32]

    @classmethod
    def read(cls, folder: Path) -> Transfer:
        """Read what `estimate_transfer` wrote so far.

        Raises:
            KgrlError: If the folder holds no estimate.
        """
        settings, drops = folder / _SETTINGS, folder / _DROPS
        if not settings.is_file():
            raise KgrlError(f"{folder} holds no transfer estimate: {_SETTINGS} is missing")
        known = json.loads(settings.read_text(encoding="utf-8"))
        topics, before = np.array(known["topics"], dtype=np.int32), np.array(known["before"], dtype=np.float32)
        # The settings are written first, so a folder may have them and no row yet.
        rows = np.load(drops, allow_pickle=False) if drops.exists() else np.full((len(topics),) * 2, np.nan, np.float32)
        return cls(topics, before, rows)


def estimate_transfer(
    corpus: Corpus, learner: Learner, folder: Path, *, size: int = 32, tokens: int = 500, seed: int = 0
) -> Transfer:
    """Measure A[u, v], the drop of l_v after learning u from the learner's present state, on a sample of topics.

    For each topic u the learner is forked and taught u's train passages in text order, up to `tokens` tokens; then the
    probe loss of every topic of the sample is measured, and the learner put back. A row is written as soon as it is
    measured; called again with the same arguments, the function goes on with the rows that are missing.

    Args:
        corpus: The corpus.
        learner: The learner; as it was when the function returns or raises.
        folder: Where the estimate is kept; made if missing.
        size: Most topics; drawn uniformly from those with both train and probe passages.
        tokens: Most tokens learned of a topic; topics with less text are learned to its end.
        seed: Seeds the sample.

    Raises:
        SettingError: If `size` or `tokens` is too small, or no topic has both train and probe passages.
        KgrlError: If the folder holds an estimate with other settings or of another learner.
        DivergedError: If a loss becomes NaN or infinite; the rows measured until then stay.

    Example:
        >>> import tempfile
        >>> from kgrl.graph import TopicGraph
        >>> from kgrl.learners import make_learner
        >>> graph = TopicGraph.from_links(["Logic", "Set"], [0], [1])
        >>> texts = ["Logic asks what follows.", "It asks why it follows.", "A set has members.", "Sets are equal."]
        >>> corpus = Corpus("two", graph, texts, [0, 0, 1, 1], [0, 1, 0, 1])
        >>> estimate = estimate_transfer(corpus, make_learner("scratch", corpus), Path(tempfile.mkdtemp()))
        >>> estimate.drops.shape, bool(estimate.drops[0, 0] > 0)
        ((2, 2), True)
    """
    if size < 1 or tokens < _LEAST_TOKENS:
        raise SettingError(f"size must be at least 1 and tokens {_LEAST_TOKENS}, not {size} and {tokens}")
    topics = sample_topics(corpus, Split.PROBE, size, seed, np.flatnonzero(corpus.has(Split.TRAIN)).astype(np.int32))
    if not len(topics):
        raise SettingError(f"no topic of {corpus.name!r} has both train and probe passages")
    prober = Prober(corpus, learner, {})
    estimate = _opened(folder, corpus, topics, prober.losses(topics), tokens)
    missing = np.flatnonzero(np.isnan(estimate.drops).any(axis=1)).tolist()
    for row in _with_progress(missing, len(topics)):
        passages = corpus.of(int(topics[row]), Split.TRAIN)
        estimate.drops[row] = estimate.before - losses_after(prober, passages, tokens, topics)
        write_npy(folder / _DROPS, estimate.drops)
    return estimate


def _with_progress(rows: list[int], total: int) -> Iterable[int]:
    """Go through the missing rows, with a progress bar on stderr where that is a terminal."""
    console = Console(stderr=True)
    done = total - len(rows)
    return track(rows, "transfer", total=total, completed=done, console=console, disable=not console.is_terminal)


def _opened(folder: Path, corpus: Corpus, topics: IntArray, before: NDArray[np.float32], tokens: int) -> Transfer:
    """The estimate as far as it is in the folder, begun there if it is not.

    The losses before learning are compared too: they tell another learner, or another state of it, from the same.
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
    known = json.loads(path.read_text(encoding="utf-8"))
    for name, value in settings.items():
        if known.get(name) != value:
            raise KgrlError(f"{folder} holds a transfer estimate with another {name!r}; choose another folder")
    return Transfer.read(folder)
