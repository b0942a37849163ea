"""The arithmetic of simulated learners, compiled: one learner at a time, on rows of arrays that may hold many.

`SimulatedLearner` is a row of one; the vector environment keeps hundreds. The equations are in
`kgrl.learners.simulated.learning_curve`.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import math
from dataclasses import fields
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from kgrl.graph.topic_graph import IntArray
from kgrl.learners.simulated.learning_curve import CurveParameters
from kgrl.system.random_bits import normal

__all__ = ["LEAST_LOSS", "NOISE", "NOISE_KEY", "CurveTables", "RelatedTopics", "fade", "loss", "style_drop", "teach"]

_PARAMETERS = tuple(field.name for field in fields(CurveParameters))
_STYLE, _STYLE_TOKENS = _PARAMETERS.index("style"), _PARAMETERS.index("style_tokens")
_STYLE_POWER, _STYLE_ONSET = _PARAMETERS.index("style_power"), _PARAMETERS.index("style_onset")
_TOPIC, _TOPIC_TOKENS = _PARAMETERS.index("topic"), _PARAMETERS.index("topic_tokens")
_TOPIC_POWER = _PARAMETERS.index("topic_power")
_LINK, _SIMILAR = _PARAMETERS.index("link"), _PARAMETERS.index("similar")
_FADING = _PARAMETERS.index("fading")
NOISE = _PARAMETERS.index("noise")
"""Column of a fit's parameters with the standard deviation of measurements."""

LEAST_LOSS = 0.01
"""In nats per token: however much is learned, text is never certain."""
NOISE_KEY = 2
"""Key of the random draws for the noise of measurements, which no other draws use."""
_SMALLEST_SCALE = 1e-100
"""Least common factor of effective tokens; below it, it is multiplied into them, long before float64 underflows."""


class CurveTables(NamedTuple):
    """Parameters of learning curves, a row for each fit, and of the topics.

    Args:
        values: The parameters of each fit in the order of `kgrl.learners.simulated.learning_curve.CurveParameters`,
            float64 `[fits, 11]`.
        untaught: The loss of each topic before anything is learned, float64 `[fits, topics]`.
        response: How much of what is learned shows in each topic's text, float64 `[fits, topics]`.
    """

    values: NDArray[np.float64]
    untaught: NDArray[np.float64]
    response: NDArray[np.float64]


class RelatedTopics(NamedTuple):
    """Topics that lessons about each topic teach too, with weights; see `kgrl.learners.simulated.relatives.Relatives`.

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
def fade(values, tokens, scale, effective):
    """Return the common factor of effective tokens after more tokens were learned.

    Args:
        values: The parameters of the fit, `[11]`.
        tokens: Number of tokens learned.
        scale: The factor before.
        effective: Effective tokens by topic before that factor, `[topics]`; changed where the factor becomes tiny.
    """
    scale *= math.exp(-values[_FADING] * tokens)
    if scale < _SMALLEST_SCALE:
        effective *= scale
        scale = 1.0
    return scale


@njit(cache=True, nogil=True)
def teach(values, related, scale, effective, topics, counts, n):
    """Add the tokens of a lesson to the effective tokens of its topics and of those that they teach.

    Args:
        values: The parameters of the fit, `[11]`.
        related: Topics that each topic teaches too.
        scale: The common factor of all effective tokens.
        effective: Effective tokens by topic before that factor; changed.
        topics: Topics of the lesson, each once, `[at least n]`.
        counts: Tokens about each, `[at least n]`.
        n: How many topics.
    """
    link, similar = values[_LINK], values[_SIMILAR]
    for row in range(n):
        topic = topics[row]
        amount = counts[row] / scale
        effective[topic] += amount
        by_link, by_similarity, own = link * amount, similar * amount, related.root[topic]
        for at in range(related.starts[topic], related.starts[topic + 1]):
            other = related.linked[at]
            effective[other] += by_link * (own * related.root[other])
        for at in range(related.nearest.shape[1]):
            effective[related.nearest[topic, at]] += by_similarity * related.similarity[topic, at]


@njit(cache=True, nogil=True)
def style_drop(values, total):
    """Return the part of the drop that is the same for all topics, before response."""
    return values[_STYLE] * -math.expm1(
        -values[_STYLE_POWER] * math.log1p((total / values[_STYLE_TOKENS]) ** values[_STYLE_ONSET])
    )


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
    about = values[_TOPIC] * -math.expm1(-values[_TOPIC_POWER] * math.log1p(effective / values[_TOPIC_TOKENS]))
    drop = style + about
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
