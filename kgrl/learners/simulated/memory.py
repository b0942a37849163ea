"""The equations of the simulated learner that remembers and forgets.

A language model that reads an invented world again and again learns how the world's text sounds, then, after a plateau,
facts one by one; and it forgets them (Zucchet et al. 2025, "How do language models learn facts?"; Chang et al. 2024,
"How Do Large Language Models Acquire Factual Knowledge During Pretraining?"). A lesson of T tokens, t_v of them about
topic v, changes the strength of memories and how practised the learner is:

    m_vk <- m_vk exp(-T / T_k - i s_v) + c log(1 + t_v / c) + g w_v      M_v = sum_k T_k^-d m_vk / sum_k T_k^-d
    P    <- P + sum_v t_v M_v / (M_v + m)                                with M_v before the lesson
    n_v  <- n_v + t_v                                                    G = sum_v e log(1 + n_v / e)

    T_k    the lifetimes of a memory's strands, in tokens: together they fade by a power law of exponent d
    s_v    sum_u t_u S_uv, the tokens about similar topics, which interfere
    w_v    sum_u t_u W_uv, the tokens about linked topics, which mention it
    c      tokens about one topic in one lesson beyond which more of them add little: massed reading is worth less
    P      practice: tokens read about topics that were remembered. Reading what is all new is no practice
    G      experience: tokens read, of which those about one topic beyond e add little: much about few topics tells less
           of how other text sounds

The strength M_v and the practice P give the share of the topic's facts that is known, and the loss:

    known_v = h(P / p, o) (1 - exp(-M_v / m))                             h(x, o) = x^o / (1 + x^o)
    l_v     = L - A f((G / tau_g)^o_g, b_g) - a f(M_v / tau_s, b_s) - k known_v

    recalled_v = known_v + (1 - known_v) (q + q_f exp(-R / R_f))         R: topics read; names of few are easily guessed

with f as in `kgrl.learners.simulated.learning_curve`, which S and W are from, too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kgrl.learners.simulated.learning_curve import share_learned
from kgrl.system.schemas import Above0, NotBelow0

__all__ = ["LIFETIMES", "Memory", "MemoryParameters", "experience_of", "known_of", "losses_of", "recalled"]

FloatArray = NDArray[np.float64]

LIFETIMES = np.array([3e3, 3e4, 3e5, 3e6])
"""T_k, in tokens."""


@dataclass(frozen=True)
class MemoryParameters:
    """The parameters of the equations above, for all topics together.

    Args:
        untaught: L, the mean loss before anything is learned, in nats per token.
        style: A, the most that any text can lower losses, in nats per token.
        style_tokens: tau_g, the experience after which losses fall more slowly by it.
        style_power: b_g, the exponent of its power law.
        style_onset: o_g, the exponent with which it sets in.
        repeated: e, the tokens about one topic beyond which more of them add little to experience.
        topic: a, the most that memory of a topic lowers its loss before any fact is known, in nats per token.
        topic_tokens: tau_s, the strength at which the loss falls more slowly by it.
        topic_power: b_s, the exponent of its power law.
        forgetting: d, the exponent with which memories fade.
        interference: i, how much of a memory each token about a topic of similarity 1 takes.
        massed: c, the tokens about one topic in one lesson beyond which more of them add little.
        link: g, tokens of memory for each token about a linked topic, before division by the root of the degrees.
        practice: p, the practice after which half of what is remembered is known.
        onset: o, how sharply the plateau ends.
        strength: m, the strength at which a topic's facts are known but for a share of 1/e.
        knowing: k, how much the loss of a topic falls when all of its facts are known, in nats per token.
        guessing: q, the share of questions that a learner answers rightly that has read much and knows nothing.
        few: q_f, what is added to that where few topics were read: wrong names are drawn from what was.
        few_topics: R_f, the number of topics read at which that is down to a share of 1/e.
        spread: Standard deviation of losses of passages that were equally often read, in nats per token.
        noise: Standard deviation of one measured loss about the passage's own, in nats per token.
    """

    untaught: NotBelow0
    style: NotBelow0
    style_tokens: Above0
    style_power: Above0
    style_onset: Above0
    repeated: Above0
    topic: NotBelow0
    topic_tokens: Above0
    topic_power: Above0
    forgetting: NotBelow0
    interference: NotBelow0
    massed: Above0
    link: NotBelow0
    practice: Above0
    onset: Above0
    strength: Above0
    knowing: NotBelow0
    guessing: NotBelow0
    few: NotBelow0
    few_topics: Above0
    spread: NotBelow0 = 0.0
    noise: NotBelow0 = 0.0


class Memory:
    """Memories of each topic, and how practised a simulated learner is at recalling them.

    Args:
        parameters: The parameters.
        n_topics: Number of topics.

    Attributes:
        read: n_v, tokens about each topic, float64 `[topics]`.
        practice: P, tokens read about topics that were remembered.
        strands: m_vk, float64 `[topics, 4]`.
    """

    def __init__(self, parameters: MemoryParameters, n_topics: int) -> None:
        self.parameters = parameters
        self.practice = 0.0
        self.read, self.strands = np.zeros(n_topics), np.zeros((n_topics, len(LIFETIMES)))
        weights = LIFETIMES**-parameters.forgetting
        self._weights: FloatArray = weights / weights.sum()

    @property
    def strength(self) -> FloatArray:
        """M_v, in tokens, `[topics]`."""
        strength: FloatArray = self.strands @ self._weights
        return strength

    @property
    def known(self) -> FloatArray:
        """The share of each topic's facts that is known, from 0 to 1, `[topics]`."""
        return known_of(self.parameters, self.practice, self.strength)

    def study(self, own: FloatArray, linked: FloatArray, similar: FloatArray) -> None:
        """Read a lesson.

        Args:
            own: Tokens about each topic, `[topics]`.
            linked: w_v, `[topics]`.
            similar: s_v, `[topics]`.
        """
        p, tokens, strength = self.parameters, float(own.sum()), self.strength
        self.practice += float(own @ (strength / (strength + p.strength)))
        kept = np.exp(-tokens / LIFETIMES - p.interference * similar[:, None])
        added = p.massed * np.log1p(own / p.massed) + p.link * linked
        self.strands *= kept
        self.strands += added[:, None]
        self.read += own

    def losses(self) -> FloatArray:
        """Return the loss of each topic's passages without their own differences, in nats per token, `[topics]`."""
        return losses_of(self.parameters, experience_of(self.parameters, self.read), self.practice, self.strength)


def experience_of(parameters: MemoryParameters, read: FloatArray) -> FloatArray:
    """Return G, in tokens, of shape `[...]`.

    Args:
        parameters: The parameters.
        read: n_v, tokens read about each topic, `[..., topics]`.
    """
    experience: FloatArray = (parameters.repeated * np.log1p(read / parameters.repeated)).sum(axis=-1)
    return experience


def known_of(parameters: MemoryParameters, practice: ArrayLike, strength: FloatArray) -> FloatArray:
    """Return the share of facts that is known, from 0 to 1, in the shape of `strength`.

    Args:
        parameters: The parameters.
        practice: P, in tokens; any shape that broadcasts to that of `strength`.
        strength: M_v, in tokens.
    """
    practised = np.power(np.divide(practice, parameters.practice), parameters.onset)
    known: FloatArray = practised / (1 + practised) * -np.expm1(-strength / parameters.strength)
    return known


def losses_of(
    parameters: MemoryParameters, experience: ArrayLike, practice: ArrayLike, strength: FloatArray
) -> FloatArray:
    """Return losses in nats per token, in the shape of `strength`.

    Args:
        parameters: The parameters.
        experience: G, in tokens; any shape that broadcasts to that of `strength`.
        practice: P, in tokens; the same.
        strength: M_v, in tokens.
    """
    p = parameters
    style = p.style * share_learned(np.divide(experience, p.style_tokens) ** p.style_onset, p.style_power)
    about = p.topic * share_learned(strength / p.topic_tokens, p.topic_power)
    return p.untaught - style - about - p.knowing * known_of(p, practice, strength)


def recalled(parameters: MemoryParameters, known: ArrayLike, n_read: ArrayLike) -> FloatArray:
    """Return the share of questions answered rightly when a share of the facts is known; the others are guessed.

    Args:
        parameters: The parameters.
        known: The share known, of any shape.
        n_read: R, the number of topics that were read; any shape that broadcasts to that of `known`.
    """
    known = np.asarray(known, dtype=np.float64)
    guessed = parameters.guessing + parameters.few * np.exp(-np.divide(n_read, parameters.few_topics))
    return known + (1 - known) * guessed
