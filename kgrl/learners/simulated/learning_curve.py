"""The equations of the simulated learner, which calibrations are fitted with and simulations compute.

The loss of a topic v, in nats per token, after a learner has learned G tokens altogether:

    l_v = L_v - r_v [A f((G / tau_g)^o, b_g) + a f(E_v / tau_s, b_s)],        f(x, b) = 1 - (1 + x)^-b

    L_v    the topic's loss before anything is learned
    r_v    the topic's response: the factor of what is learned in its loss, 1 on average
    A f    the drop by any text, whatever it is about: style, format, frequent words
    o      the onset: above 1 if the first tokens teach less than the next ones, as while an optimizer warms up
    a f    the drop beyond that by text about the topic and its relatives
    E_v    the topic's effective tokens

A lesson of T tokens, t_u of them about topic u, first fades every topic's effective tokens and then adds to them:

    E_v <- E_v exp(-phi T) + t_v + g_link sum_u t_u W_uv + g_sim sum_u t_u S_uv

    W_uv   1 / sqrt(degree_u degree_v) if u and v are linked in either direction, else 0
    S_uv   (cosine_uv - threshold)+ if v is among the topics nearest to u by embedding, else 0

Losses of language models follow power laws of the amount learned (Hestness et al. 2017). The drop by effective tokens
fades with further lessons; the drop by any text stays.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kgrl.system.schemas import Above0, NotBelow0

__all__ = ["CurveParameters", "share_learned"]


@dataclass(frozen=True)
class CurveParameters:
    """The parameters of the equations above, for all topics together.

    Args:
        style: A, the most that any text can lower losses, in nats per token.
        style_tokens: tau_g, the tokens after which losses fall more slowly by it.
        style_power: b_g, the exponent of its power law.
        topic: a, the most that text about a topic and its relatives can lower its loss beyond that, in nats per token.
        topic_tokens: tau_s, the effective tokens after which the loss falls more slowly by it.
        topic_power: b_s, the exponent of its power law.
        link: g_link, effective tokens for each token about a linked topic, before division by the root of the degrees.
        similar: g_sim, effective tokens for each token about a similar topic, for a cosine 1 above the threshold.
        fading: phi, the share of a topic's effective tokens that is lost with each token learned.
        noise: Standard deviation of one measured loss of a passage, in nats per token.
        style_onset: o, the exponent with which the drop by any text sets in.

    Example:
        >>> parameters = CurveParameters(0.5, 1000.0, 1.0, 0.2, 100.0, 1.0, 0.1, 0.1, 1e-4, 0.0)
        >>> parameters.drop(1000.0, [0.0, 100.0]).tolist()
        [0.25, 0.35]
    """

    style: NotBelow0
    style_tokens: Above0
    style_power: Above0
    topic: NotBelow0
    topic_tokens: Above0
    topic_power: Above0
    link: NotBelow0
    similar: NotBelow0
    fading: NotBelow0
    noise: NotBelow0
    style_onset: Above0 = 1.0

    def drop(self, total: ArrayLike, effective: ArrayLike) -> NDArray[np.float64]:
        """Return the depth of losses with response 1 below the untaught ones, in nats per token.

        Args:
            total: G, tokens learned altogether.
            effective: E_v, effective tokens of topics; any shape that `total` broadcasts to.
        """
        amount = np.divide(total, self.style_tokens) ** self.style_onset
        everywhere = self.style * share_learned(amount, self.style_power)
        return everywhere + self.topic * share_learned(np.divide(effective, self.topic_tokens), self.topic_power)


def share_learned(amount: ArrayLike, power: float) -> NDArray[np.float64]:
    """Return f(x, b) = 1 - (1 + x)^-b: 0 if nothing is learned, towards 1 with more.

    Args:
        amount: x, the amount learned in units of the curve's scale; 0 or more.
        power: b, the exponent.
    """
    # 1 - exp(-b log(1 + x)), in the form that keeps its digits for small x.
    learned: NDArray[np.float64] = -np.expm1(-power * np.log1p(np.asarray(amount, dtype=np.float64)))
    return learned
