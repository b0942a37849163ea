"""The simulated learner: per-topic learning curves, fitted to records of real learners.

The equations are in `kgrl.learners.simulated.learning_curve`; their parameters come from a `Calibration`, which
`kgrl calibrate` fits. Unlike the learners it stands for, it knows the topic graph. It does not need torch, and a
lesson's time is proportional to the links of its topics.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from kgrl.corpus import Corpus, Passages
from kgrl.errors import KgrlError
from kgrl.learners.simulated.calibration import Calibration
from kgrl.learners.simulated.kernels import CurveTables, fade, losses, teach
from kgrl.learners.simulated.reader import SimulatedReader
from kgrl.learners.simulated.relatives import Relatives
from kgrl.retrieval.encoder import DEFAULT_ENCODER, AnyEncoder
from kgrl.system.arrays import read_array
from kgrl.system.files import content_key, write_json, write_npy
from kgrl.system.schemas import Count, NotBelow0, checked, read_json

__all__ = ["SimulatedLearner", "SimulatedSnapshot", "calibration_of", "curves_of"]

_STATE, _EFFECTIVE = "simulated.json", "effective.npy"
_UNTAUGHT_KEY, _RESPONSE_KEY = 1, 3
"""Keys of random draws, which tell draws for one use from those for another."""


@dataclass(frozen=True)
class SimulatedSnapshot:
    """The state of a simulated learner.

    Args:
        total: Tokens learned.
        scale: The factor of all effective tokens.
        effective: Effective tokens by topic, before that factor, float64 `[topics]`.
    """

    total: int
    scale: float
    effective: NDArray[np.float64]


class SimulatedLearner(SimulatedReader):
    """Learning curves with transfer between topics, forgetting and noise.

    The noise of a measurement depends on the seed, the passage and the tokens learned, and on nothing else. So
    measuring changes nothing, and two runs with the same seed see the same noise where they have learned as much.

    Args:
        corpus: The corpus whose passages are taught and measured.
        seed: Seeds the noise.
        calibration: A calibration, the path of one, or `"builtin"` for the one that ships for the corpus.
        member: Which of the calibration's ensemble of fits to simulate; None for the fit to all records.
        embeddings: Unit topic embeddings, float32 `[topics, dimensions]`; those of the encoder if None.
        encoder: Embeds the topics: an encoder, or the name or folder of one.

    Raises:
        SettingError: If the calibration was fitted on another corpus, or the ensemble has no such member.
        MissingDataError: If the calibration is missing.

    Example:
        >>> from kgrl.graph import TopicGraph
        >>> from kgrl.learners.simulated.calibration import ByTopic, Errors, Fitted
        >>> from kgrl.learners.simulated.learning_curve import CurveParameters
        >>> graph = TopicGraph.from_links(["Logic", "Set"], [0], [1])
        >>> corpus = Corpus("two", graph, ["Logic asks what follows.", "A set has members."], [0, 1], [0, 0])
        >>> curves = CurveParameters(0.5, 100.0, 1.0, 1.0, 10.0, 1.0, 0.5, 0.0, 0.0, 0.0)
        >>> made_up = Fitted(0, 0, 0, 0, 0), Errors(0.2, 0.0, 0.0, 0.0, 0.0)
        >>> same = ByTopic(4.0, 0.0), ByTopic(1.0, 0.0)
        >>> calibration = Calibration("two", corpus.fingerprint, "none", 1.0, *same, curves, (), *made_up)
        >>> learner = SimulatedLearner(corpus, calibration=calibration, embeddings=np.eye(2, dtype=np.float32))
        >>> learner
        SimulatedLearner(calibration=Calibration(corpus='two', learner='none', members=0), member=None, seed=0)
        >>> learner.learn(corpus.select([0]), 100).tokens
        4
        >>> [f"{loss:.2f}" for loss in learner.losses(corpus.select([0, 1]))]
        ['3.70', '3.81']
    """

    kind = "simulated"

    def __init__(
        self,
        corpus: Corpus,
        seed: int = 0,
        calibration: Calibration | Path | str = "builtin",
        member: int | None = None,
        embeddings: NDArray[np.float32] | None = None,
        encoder: AnyEncoder = DEFAULT_ENCODER,
    ) -> None:
        self.calibration, self.member, self.seed = calibration_of(corpus, calibration), member, seed
        super().__init__(corpus, self.calibration.tokens_per_word)
        self.parameters = self.calibration.choose(member)
        self.related = Relatives.of(corpus, embeddings, encoder).related
        self.curves = curves_of(self.calibration, len(corpus.graph), [member])
        self.total, self._scale = 0, 1.0
        self._effective = np.zeros(len(corpus.graph))

    def __repr__(self) -> str:
        return f"SimulatedLearner(calibration={self.calibration}, member={self.member}, seed={self.seed})"

    @property
    def identity(self) -> dict[str, str | int]:
        """Values that a saved state must share with the learner that loads it, by name."""
        curves = content_key(*map(repr, (self.parameters, self.calibration.untaught, self.calibration.response)))
        return {"learner": self.kind, "corpus": self.corpus.fingerprint, "curves": curves, "seed": self.seed}

    def _teach(self, topics: NDArray[np.int32], counts: NDArray[np.int64]) -> None:
        """Let all topics fade and add a lesson's tokens; only topics taught are touched."""
        tokens, values = int(counts.sum()), self.curves.values[0]
        self._scale = fade(values, tokens, self._scale, self._effective)
        read, first, which = np.unique(topics, return_index=True, return_inverse=True)
        order = np.argsort(first)  # in the order of reading: sums of floats depend on the order
        amounts = np.bincount(which, counts)
        teach(values, self.related, self._scale, self._effective, read[order], amounts[order], len(read))
        self.total += tokens

    def losses(self, passages: Passages) -> NDArray[np.float32]:
        """Return the loss of each passage in nats per token, shape `[passages]`; changes nothing."""
        self._check_corpus(passages)
        state = self.seed, self.total, self._scale, self._effective
        found: NDArray[np.float32] = losses(self.curves, 0, *state, passages.topics, passages.ids)
        return found

    def snapshot(self) -> SimulatedSnapshot:
        """Return a copy of what was learned."""
        return SimulatedSnapshot(self.total, self._scale, self._effective.copy())

    def restore(self, snapshot: SimulatedSnapshot) -> None:
        """Go back to a snapshot; losses are then bit for bit what they were."""
        self.total, self._scale = snapshot.total, snapshot.scale
        np.copyto(self._effective, snapshot.effective)

    def save(self, folder: Path) -> None:
        """Write what was learned to a folder, as JSON and a NumPy array."""
        write_npy(folder / _EFFECTIVE, self._effective)
        write_json(folder / _STATE, {**self.identity, "total": self.total, "scale": self._scale})

    def load(self, folder: Path) -> None:
        """Read what `save` wrote.

        Raises:
            KgrlError: If the folder holds no simulated learner, or one of another corpus, calibration or seed.
        """
        path = folder / _STATE
        if not path.is_file():
            raise KgrlError(f"{folder} holds no simulated learner: {_STATE} is missing")
        state = read_json(path, dict[str, Any])
        for key, own in self.identity.items():
            if state.get(key) != own:
                raise KgrlError(
                    f"{folder} holds another simulated learner: its {key} is {state.get(key)!r}, not {own!r}"
                )
        told = checked({name: state.get(name) for name in ("total", "scale")}, _Saved, path)
        effective = read_array(folder / _EFFECTIVE, np.float64, len(self.corpus.graph))
        self.restore(SimulatedSnapshot(told.total, told.scale, np.array(effective)))


class _Saved(Struct):
    """The state of a saved learner besides its effective tokens."""

    total: Count
    scale: NotBelow0


def curves_of(calibration: Calibration, n_topics: int, members: Sequence[int | None]) -> CurveTables:
    """Return the curves of a calibration, for some members of its ensemble.

    Args:
        calibration: The calibration.
        n_topics: Number of topics of its corpus.
        members: The fits; None for the one to all records.
    """
    values = np.array([astuple(calibration.choose(member)) for member in members])
    untaught = calibration.untaught.values(n_topics, _UNTAUGHT_KEY)
    response = np.maximum(calibration.response.values(n_topics, _RESPONSE_KEY), 0.0)  # a drawn one may be negative
    return CurveTables(values, *(np.tile(rows, (len(values), 1)) for rows in (untaught, response)))


def calibration_of(corpus: Corpus, calibration: Calibration | Path | str) -> Calibration:
    """Return a calibration, checked to be of a corpus.

    Args:
        corpus: The corpus.
        calibration: A calibration, the path of one, or `"builtin"` for the one that ships for the corpus.

    Raises:
        SettingError: If it was fitted on another corpus.
        MissingDataError: If it is missing.
    """
    if not isinstance(calibration, Calibration):
        shipped = calibration == "builtin"
        calibration = Calibration.builtin(corpus) if shipped else Calibration.read(Path(calibration))
    calibration.check(corpus)
    return calibration
