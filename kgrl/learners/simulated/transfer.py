"""Transfer between topics: how much learning one topic helps, or hurts, each of some others.

Measured on forks of a learner and kept in a folder row by row, so that an estimate that was interrupted goes on where
it was. Only train passages are learned and only probe passages measured.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kgrl.corpus import Corpus
from kgrl.errors import KgrlError
from kgrl.graph.topic_graph import IntArray
from kgrl.system.files import write_json, write_npy

__all__ = ["Transfer"]


_SETTINGS, _DROPS = "transfer.json", "drops.npy"


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

    @classmethod
    def begin(
        cls, folder: Path, corpus: Corpus, topics: IntArray, before: NDArray[np.float32], tokens: int
    ) -> Transfer:
        """Begin an estimate in a folder, or go on with the one that is there.

        The losses before learning are compared too: they tell another learner, or another state of it, from the same.

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
        known = json.loads(path.read_text(encoding="utf-8"))
        for name, value in settings.items():
            if known.get(name) != value:
                raise KgrlError(f"{folder} holds a transfer estimate with another {name!r}; choose another folder")
        return cls.read(folder)

    def write_rows(self, folder: Path) -> None:
        """Write the drops as far as they are estimated, atomically."""
        write_npy(folder / _DROPS, self.drops)
