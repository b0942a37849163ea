"""Isolation: every neighbourhood has an adapter of its own; a passage is measured with the nearest one."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kgrl.corpus import Passages
from kgrl.graph.topic_graph import IntArray
from kgrl.learners.neighbourhoods.interference import nearest_centroid
from kgrl.learners.plugins.base import Measure, Plugin, PluginHost
from kgrl.retrieval.corpus_index import embed_corpus
from kgrl.retrieval.encoder import DEFAULT_ENCODER, AnyEncoder, as_encoder

__all__ = ["Isolation"]

_WEIGHTS, _CENTRE = "weights", "centre"


class Isolation(Plugin):
    """A module of trained weights for each neighbourhood, so that no lesson can undo another's.

    A module begins with the learner's initial weights; a later lesson of the same community continues it. A passage is
    measured with the module whose lessons' mean topic embedding is nearest, by cosine, to the embedding of the
    passage's topic. Topic embeddings come from train passages alone, so the routing does not depend on held-out text.
    It does use the topic of a passage, which a single adapter is not told; that is worth at most ln(modules) nats a
    passage.

    Args:
        embeddings: Unit topic embeddings, float32, shape `[topics, dimensions]`; those of the corpus by the encoder
            if None.
        communities: Community number of each topic, shape `[topics]`: a lesson belongs to its first passage's. If
            None, every lesson is a community of its own.
        encoder: An encoder, or the name or folder of one.
    """

    name = "isolation"
    by_topic = True
    replaces = True

    def __init__(
        self,
        embeddings: NDArray[np.float32] | None = None,
        communities: IntArray | None = None,
        encoder: AnyEncoder = DEFAULT_ENCODER,
    ) -> None:
        self._given, self.communities, self.encoder = embeddings, communities, encoder
        self._modules: dict[int, tuple[Tensor, Tensor]] = {}  # community -> weights, sum of its topics' embeddings

    def attach(self, learner: PluginHost) -> None:
        """Keep the initial weights, with which every module begins."""
        super().attach(learner)
        self._initial = learner.weights.detach().clone()
        given = self._given
        self.embeddings = embed_corpus(learner.corpus, as_encoder(self.encoder))[1] if given is None else given

    def begin(self, passages: Passages) -> None:
        """Load the lesson's module into the learner, and reset the optimizer."""
        if self.communities is None:
            self._current = len(self._modules)
        else:
            self._current = int(self.communities[passages.topics[0]])
        self.module = _named(self._current)
        weights, _ = self._modules.get(self._current, (self._initial, None))
        with torch.no_grad():
            self.learner.weights.copy_(weights)
        self.learner.reset_optimizer()

    def end(self, passages: Passages) -> None:
        """Keep the module, and add the embeddings of the topics that it read to their sum."""
        centre = torch.from_numpy(self.embeddings[passages.topics].sum(axis=0))
        if self._current in self._modules:
            centre = centre + self._modules[self._current][1]
        self._modules[self._current] = self.learner.weights.detach().clone(), centre

    def losses(self, passages: Passages, measure: Measure) -> NDArray[np.float32]:
        """Measure every passage with the module that it is routed to."""
        if not self._modules:  # before the first lesson
            return measure(passages)
        routes, losses = self.route(passages), np.empty(len(passages), dtype=np.float32)
        for module in np.unique(routes).tolist():
            own = np.flatnonzero(routes == module)
            with self.learner.holding(self._modules[module][0]):
                losses[own] = measure(Passages(passages.corpus, passages.ids[own]))
        return losses

    def route(self, passages: Passages) -> IntArray:
        """Return the community whose module reads each passage, shape `[passages]`."""
        # Sums instead of means: the nearest by cosine is the same.
        centres = np.stack([centre.numpy() for _, centre in self._modules.values()])
        routes = nearest_centroid(self.embeddings[passages.topics], centres)
        return np.array(list(self._modules), dtype=np.int32)[routes]

    def modules(self) -> Mapping[str, Tensor]:
        """The weights of each neighbourhood's module."""
        return {_named(community): weights for community, (weights, _) in self._modules.items()}

    def state(self) -> Mapping[str, Tensor]:
        """Weights and embedding sum of each module."""
        return {
            f"{community}.{part}": tensor
            for community, module in self._modules.items()
            for part, tensor in zip((_WEIGHTS, _CENTRE), module, strict=True)
        }

    def set_state(self, state: Mapping[str, Tensor]) -> None:
        """Go back to a state."""
        communities = sorted({int(name.partition(".")[0]) for name in state})
        self._modules = {c: (state[f"{c}.{_WEIGHTS}"], state[f"{c}.{_CENTRE}"]) for c in communities}


def _named(community: int) -> str:
    """The name of a community's module."""
    return f"neighbourhood-{community}"
