"""The simulated learner that remembers and forgets, for tasks about what is known.

`SimulatedLearner` stands for a learner that reads every text once; this one for a learner that reads again and again
until facts are known. The equations are in `kgrl.learners.simulated.memory`; their parameters come from a
`MemoryCalibration` that was fitted to recorded runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from kgrl.corpus import Corpus, Passages
from kgrl.errors import KgrlError
from kgrl.graph.topic_graph import IntArray
from kgrl.learners.simulated.kernels import LEAST_LOSS
from kgrl.learners.simulated.memory import LIFETIMES, Memory
from kgrl.learners.simulated.memory_calibration import MemoryCalibration
from kgrl.learners.simulated.reader import SimulatedReader
from kgrl.learners.simulated.relatives import Relatives
from kgrl.retrieval.encoder import DEFAULT_ENCODER, AnyEncoder
from kgrl.system.arrays import read_array
from kgrl.system.files import content_key, write_json, write_npy
from kgrl.system.random_bits import drawn
from kgrl.system.schemas import NotBelow0, checked, read_json

__all__ = ["RememberingLearner", "RememberingSnapshot"]

_STATE, _READ, _STRANDS = "remembering.json", "read.npy", "strands.npy"
_PASSAGE_KEY, _NOISE_KEY = 4, 5
"""Keys of random draws, which tell draws for one use from those for another."""


@dataclass(frozen=True)
class RememberingSnapshot:
    """The state of a learner that remembers.

    Args:
        read: Tokens read about each topic, float64 `[topics]`.
        practice: Tokens read about topics that were remembered.
        strands: Strands of memory by topic, float64 `[topics, 4]`.
    """

    read: NDArray[np.float64]
    practice: float
    strands: NDArray[np.float64]


class RememberingLearner(SimulatedReader):
    """A simulated learner with memory: facts are known after a plateau, forgotten by a power law, and interfere.

    A passage's own difficulty depends on the passage alone; the noise of a measurement on the seed, the passage and the
    tokens learned, and on nothing else. So measuring changes nothing.

    Args:
        corpus: The corpus whose passages are taught and measured.
        seed: Seeds the noise.
        calibration: A calibration, the path of one, or `"builtin"` for the one that ships.
        member: Which of the calibration's members to simulate; None for the fit to all runs.
        embeddings: Unit topic embeddings, float32 `[topics, dimensions]`; those of the encoder if None.
        encoder: Embeds the topics: an encoder, or the name or folder of one.

    Raises:
        SettingError: If the calibration is for another family of corpora, or has no such member.
        MissingDataError: If the calibration is missing.

    Example:
        >>> from kgrl.data import load_corpus
        >>> corpus = load_corpus("invented:30")
        >>> learner = RememberingLearner(corpus)
        >>> learner
        RememberingLearner(calibration=MemoryCalibration(family='invented', ...), member=None, seed=0)
        >>> everything = corpus.select(np.arange(90))
        >>> for _ in range(200):
        ...     tokens = learner.learn(everything, 4000).tokens
        >>> bool(learner.known.max() > 0.5)
        True
    """

    kind = "remembering"

    def __init__(
        self,
        corpus: Corpus,
        seed: int = 0,
        calibration: MemoryCalibration | Path | str = "builtin",
        member: int | None = None,
        embeddings: NDArray[np.float32] | None = None,
        encoder: AnyEncoder = DEFAULT_ENCODER,
    ) -> None:
        self.calibration, self.member, self.seed = _calibration_of(corpus, calibration), member, seed
        super().__init__(corpus, self.calibration.tokens_per_word)
        self.parameters = self.calibration.choose(member)
        self._relatives = Relatives.of(corpus, embeddings, encoder)
        self._memory = Memory(self.parameters, len(corpus.graph))

    def __repr__(self) -> str:
        return f"RememberingLearner(calibration={self.calibration}, member={self.member}, seed={self.seed})"

    @property
    def identity(self) -> dict[str, str | int]:
        """Values that a saved state must share with the learner that loads it, by name."""
        curves = content_key(repr(self.parameters))
        return {"learner": self.kind, "corpus": self.corpus.fingerprint, "curves": curves, "seed": self.seed}

    @property
    def known(self) -> NDArray[np.float64]:
        """The share of each topic's facts that is known, from 0 to 1, `[topics]`: the truth, which no test tells."""
        return self._memory.known

    def _teach(self, topics: IntArray, counts: NDArray[np.int64]) -> None:
        own = np.bincount(topics, counts, minlength=len(self.corpus.graph)).astype(np.float64)
        self._memory.study(own, own @ self._relatives.link_matrix, own @ self._relatives.similarity_matrix)

    def losses(self, passages: Passages) -> NDArray[np.float32]:
        """Return the loss of each passage in nats per token, shape `[passages]`; changes nothing."""
        self._check_corpus(passages)
        own = self.parameters.spread * drawn(_PASSAGE_KEY, 0, passages.ids, 0)
        noise = self.parameters.noise * drawn(_NOISE_KEY, self.seed, passages.ids, int(self._memory.read.sum()))
        losses = self._memory.losses()[passages.topics] + own + noise
        return np.maximum(losses, LEAST_LOSS).astype(np.float32)

    def snapshot(self) -> RememberingSnapshot:
        """Return a copy of what is remembered."""
        memory = self._memory
        return RememberingSnapshot(memory.read.copy(), memory.practice, memory.strands.copy())

    def restore(self, snapshot: RememberingSnapshot) -> None:
        """Go back to a snapshot; losses are then bit for bit what they were."""
        self._memory.practice = snapshot.practice
        np.copyto(self._memory.read, snapshot.read)
        np.copyto(self._memory.strands, snapshot.strands)

    def save(self, folder: Path) -> None:
        """Write what is remembered to a folder, as JSON and NumPy arrays."""
        write_npy(folder / _READ, self._memory.read)
        write_npy(folder / _STRANDS, self._memory.strands)
        write_json(folder / _STATE, {**self.identity, "practice": self._memory.practice})

    def load(self, folder: Path) -> None:
        """Read what `save` wrote.

        Raises:
            KgrlError: If the folder holds no such learner, or one of another corpus, calibration or seed.
        """
        path = folder / _STATE
        if not path.is_file():
            raise KgrlError(f"{folder} holds no learner that remembers: {_STATE} is missing")
        state = read_json(path, dict[str, Any])
        for key, own in self.identity.items():
            if state.get(key) != own:
                raise KgrlError(f"{folder} holds another learner: its {key} is {state.get(key)!r}, not {own!r}")
        practice, n_topics = checked({"practice": state.get("practice")}, _Saved, path).practice, len(self.corpus.graph)
        read = read_array(folder / _READ, np.float64, n_topics)
        strands = read_array(folder / _STRANDS, np.float64, n_topics, len(LIFETIMES))
        self.restore(RememberingSnapshot(np.array(read), practice, np.array(strands)))


class _Saved(Struct):
    """The state of a saved learner besides its arrays."""

    practice: NotBelow0


def _calibration_of(corpus: Corpus, calibration: MemoryCalibration | Path | str) -> MemoryCalibration:
    """Return a calibration, checked to be for a corpus."""
    if not isinstance(calibration, MemoryCalibration):
        shipped = calibration == "builtin"
        calibration = MemoryCalibration.builtin() if shipped else MemoryCalibration.read(Path(calibration))
    calibration.check(corpus)
    return calibration
