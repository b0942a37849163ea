"""Made-up calibrations and encoders, for simulated learners on made-up corpora."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kgrl.corpus import Corpus
from kgrl.curriculum import Curriculum, CurriculumConfig
from kgrl.learners import SimulatedLearner
from kgrl.learners.simulated.calibration import ByTopic, Calibration, Errors, Fitted
from kgrl.learners.simulated.learning_curve import CurveParameters
from kgrl.retrieval import FaissRetriever, indexed_passages
from kgrl.retrieval.encoder import Encoder

__all__ = ["StubEncoder", "made_up_calibration", "simulated_curriculum"]


def made_up_calibration(corpus: Corpus) -> Calibration:
    """Return a calibration of a corpus with noise, fading and three members."""
    curves = CurveParameters(0.8, 1500.0, 1.0, 0.6, 300.0, 0.7, 0.5, 0.2, 1e-4, 0.02)
    members = tuple(replace(curves, style=0.1 * i) for i in range(1, 4))
    levels = ByTopic(4.0, 0.3, {3: 5.5}), ByTopic(1.0, 0.2, {1: 0.5})
    made_up = Fitted(0, 0, 0, 0, 0), Errors(0.2, 0.0, 0.0, 0.0, 0.0)
    return Calibration(corpus.name, corpus.fingerprint, "none", 1.3, *levels, curves, members, *made_up)


def simulated_curriculum(
    corpus: Corpus, embeddings: NDArray[np.float32], reward: Any = "mean-prediction-gain", **config: Any
) -> Curriculum:
    """Return a curriculum of a simulated learner with made-up curves."""
    settings = {"budget_tokens": 3_000, "expansion_tokens": 200, "neighbourhood": 3, "nucleus_size": 2, **config}
    ids = indexed_passages(corpus)
    retriever = FaissRetriever(ids, embeddings[corpus.topics[ids]])
    learner = SimulatedLearner(corpus, 5, made_up_calibration(corpus), embeddings=embeddings)
    return Curriculum(corpus, learner, retriever, embeddings, reward, CurriculumConfig(**settings))


class StubEncoder(Encoder):
    """Vectors of random directions, the same for the same texts."""

    fingerprint, dimensions = "stub", 384

    def __init__(self, model: str | Path = "stub", *, max_tokens: int = 64) -> None:
        super().__init__(model, max_tokens=max_tokens)

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        vectors = np.random.default_rng(len(texts)).normal(size=(len(texts), self.dimensions)).astype(np.float32)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
