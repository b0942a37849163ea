"""The arithmetic of simulated learners, compiled: one learner at a time, on rows of arrays that may hold many.

`SimulatedLearner` is a row of one; the vector environment keeps hundreds. The equations are in
`kgrl.learners.simulated.learning_curve`.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from kgrl.graph.topic_graph import IntArray
from kgrl.system.random_bits import normal

__all__ = ["LEAST_LOSS", "NOISE", "NOISE_KEY", "CurveTables", "Kin", "fade", "loss", "teach"]

LEAST_LOSS = 0.01
"""In nats per token: however much is learned, text is never certain."""
NOISE = 9
"""The column of a fit's parameters with the standard deviation of measurements."""
NOISE_KEY = 2
"""Key of the random draws for the noise of measurements, which no other draws use."""
_SMALLEST_SCALE = 1e-100
"""Least common factor of the effective tokens: a smaller one is multiplied into them, long before either underflows."""


class CurveTables(NamedTuple):
    """Tables that losses are computed from, one row for each fit.

    Args:
        values: The parameters of each fit in the order of `kgrl.learners.simulated.learning_curve.CurveParameters`,
            float64 `[fits, 11]`.
        untaught: The loss of each topic before anything is learned, float64 `[fits, topics]`.
        response: Factor by which learning lowers each topic's loss, 1 on average, float64 `[fits, topics]`.
    """

    values: NDArray[np.float64]
    untaught: NDArray[np.float64]
    response: NDArray[np.float64]


class Kin(NamedTuple):
    """Relatives: the topics that each topic's text teaches too; see `kgrl.learners.simulated.relatives.Relatives`.

    Args:
        starts: Row starts of the linked topics, `[topics + 1]`.
        linked: The topics linked with each.
        root: One over the root of each topic's degree, float64 `[topics]`.
        nearest: The topics most similar to each, `[topics, k]`.
        similarity: Their weights, float64 `[topics, k]`.
    """

    starts: NDArray[np.int64]
    linked: IntArray
    root: NDArray[np.float64]
    nearest: IntArray
    similarity: NDArray[np.float64]


@njit(cache=True, nogil=True)
def fade(fading, tokens, scale, effective):
    """Return the common factor of effective tokens after so many tokens were learned."""
    scale *= math.exp(-fading * tokens)
    if scale < _SMALLEST_SCALE:
        effective *= scale
        scale = 1.0
    return scale


@njit(cache=True, nogil=True)
def teach(values, kin, scale, effective, topics, counts, n):
    """Add the tokens of a lesson to the effective tokens of its topics and of those that they teach.

    Args:
        values: The parameters of the fit, `[11]`.
        kin: The relatives of topics.
        scale: The common factor of all effective tokens.
        effective: Effective tokens by topic before that factor; changed.
        topics: Topics of the lesson, each once, `[at least n]`.
        counts: Tokens about each, `[at least n]`.
        n: How many topics.
    """
    link, similar = values[6], values[7]
    for row in range(n):
        topic = topics[row]
        amount = counts[row] / scale
        effective[topic] += amount
        by_link, by_similarity, own = link * amount, similar * amount, kin.root[topic]
        for at in range(kin.starts[topic], kin.starts[topic + 1]):
            other = kin.linked[at]
            effective[other] += by_link * (own * kin.root[other])
        for at in range(kin.nearest.shape[1]):
            effective[kin.nearest[topic, at]] += by_similarity * kin.similarity[topic, at]


@njit(cache=True, nogil=True)
def style_drop(values, total):
    """Return the part of the drop that is the same for all topics, before response."""
    return values[0] * -math.expm1(-values[2] * math.log1p((total / values[1]) ** values[10]))


@njit(cache=True, nogil=True)
def loss(curves, fit, seed, style, total, effective, topic, passage):
    """Return the loss of a passage in nats per token.

    Args:
        curves: The curves.
        fit: Which fit.
        seed: Seeds the noise.
        style: `style_drop` of the tokens learned.
        total: Tokens learned.
        effective: Effective tokens of the topic.
        topic: The passage's topic.
        passage: Its id.
    """
    values = curves.values[fit]
    drop = style + values[3] * -math.expm1(-values[5] * math.log1p(effective / values[4]))
    noise = values[NOISE] * normal(np.uint64(NOISE_KEY), np.uint64(seed), np.uint64(passage), np.uint64(total))
    return np.float32(max(curves.untaught[fit, topic] - curves.response[fit, topic] * drop + noise, LEAST_LOSS))


@njit(cache=True, nogil=True)
def losses(curves, fit, seed, total, scale, effective, topics, passages):
    """Return the loss of some passages, float32 `[n]`."""
    style = style_drop(curves.values[fit], total)
    found = np.empty(len(passages), dtype=np.float32)
    for row in range(len(passages)):
        reached = effective[topics[row]] * scale
        found[row] = loss(curves, fit, seed, style, total, reached, topics[row], passages[row])
    return found
