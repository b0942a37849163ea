"""Interference: the effect of adapters on one another's neighbourhoods; and the routing of passages to adapters.

Adapters are measured in a LoRA learner, whose own weights they replace meanwhile. The learner's rank is at least
theirs: a smaller adapter is padded with zeros and rescaled, which leaves its change of the model as it is, so that one
learner measures single adapters and composed ones of a higher rank.

Passages are routed by the embeddings of their topics. These come from train passages alone, so that the choice of the
adapter that measures a held-out text does not depend on that text.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from kgrl.corpus import Passages
from kgrl.errors import KgrlError
from kgrl.graph.topic_graph import IntArray
from kgrl.learners.adapters.folder import Adapter

if TYPE_CHECKING:
    from kgrl.learners.decoder.lora import LoraLearner

__all__ = ["Interference", "centroids", "interference", "nearest_centroid", "routed_losses", "using_adapter"]


@dataclass(frozen=True)
class Interference:
    """Losses of neighbourhoods under adapters.

    Args:
        adapters: Names of the adapters.
        losses: Mean loss under each adapter on each neighbourhood in nats per token, the last row that of the untouched
            base model; float64 of shape `[adapters + 1, neighbourhoods]`.
    """

    adapters: tuple[str, ...]
    losses: NDArray[np.float64]

    @property
    def drops(self) -> NDArray[np.float64]:
        """Drops of the base model's losses by each adapter, `[adapters, neighbourhoods]`; positive where it helps.

        Example:
            >>> Interference(("arts",), np.array([[2.0, 3.5], [3.0, 3.0]])).drops.tolist()
            [[1.0, -0.5]]
        """
        drops: NDArray[np.float64] = self.losses[-1] - self.losses[:-1]
        return drops


def interference(learner: LoraLearner, adapters: Sequence[Adapter], groups: Sequence[Passages]) -> Interference:
    """Measure every adapter on every neighbourhood, and the untouched base model.

    Args:
        learner: A learner without plug-ins, of at least the adapters' rank; left as it was.
        adapters: The adapters.
        groups: Held-out passages of each neighbourhood, at least one each; passages weigh the same.

    Raises:
        KgrlError: If an adapter does not fit the learner, or a neighbourhood has no passages.
    """
    sizes = [len(group) for group in groups]
    if not all(sizes):
        raise KgrlError(f"neighbourhood {sizes.index(0)} has no passages to be measured on")
    passages = learner.corpus.select(np.concatenate([group.ids for group in groups]))
    starts = np.cumsum([0, *sizes[:-1]])  # of each neighbourhood's passages
    rows = []
    for adapter in (*adapters, None):
        with using_adapter(learner, adapter):
            losses = learner.losses(passages).astype(np.float64)
        rows.append(np.add.reduceat(losses, starts) / sizes)
    return Interference(tuple(adapter.name for adapter in adapters), np.stack(rows))


def routed_losses(
    learner: LoraLearner, adapters: Sequence[Adapter], passages: Passages, route: IntArray
) -> NDArray[np.float32]:
    """Measure each passage under the adapter it is routed to.

    Args:
        learner: A learner without plug-ins, of at least the adapters' rank; left as it was.
        adapters: The adapters.
        passages: The passages.
        route: The number of the adapter for each passage, shape `[passages]`, for example by `nearest_centroid`.

    Returns:
        Losses in nats per token, shape `[passages]`.

    Raises:
        ValueError: If there is not one route for each passage, each the number of an adapter.
        KgrlError: If an adapter does not fit the learner.
    """
    if len(route) != len(passages) or not np.isin(route, np.arange(len(adapters))).all():
        raise ValueError(f"{len(passages)} passages need as many routes, each from 0 to {len(adapters) - 1}")
    losses = np.empty(len(passages), dtype=np.float32)
    for number in np.unique(route).tolist():  # grouped, so that each adapter is put in place once
        own = np.flatnonzero(route == number)
        with using_adapter(learner, adapters[number]):
            losses[own] = learner.losses(Passages(passages.corpus, passages.ids[own]))
    return losses


@contextmanager
def using_adapter(learner: LoraLearner, adapter: Adapter | None) -> Iterator[None]:
    """Have a learner measure with an adapter in place of its own weights, which return after the `with` block.

    Args:
        learner: A learner of at least the adapter's rank.
        adapter: The adapter; None for the untouched base model.

    Raises:
        KgrlError: If the adapter is for another base model, of a higher rank, not plain LoRA, or on layers that the
            learner has no adapter on.
    """
    # Zeros are the untouched base model: the matrices B among them make every change zero.
    weights = torch.zeros_like(learner.weights) if adapter is None else learner.weights_of(adapter)
    with learner.holding(weights):
        yield


def centroids(embeddings: NDArray[np.float32], partition: IntArray) -> NDArray[np.float32]:
    """Return the mean embedding of each neighbourhood's topics.

    Args:
        embeddings: Topic embeddings, `[topics, dimensions]`.
        partition: The neighbourhood of each topic, counted from 0, `[topics]`; -1 for topics in none.

    Returns:
        Means, float32 of shape `[neighbourhoods, dimensions]`.

    Raises:
        ValueError: If a neighbourhood has no topics.

    Example:
        >>> centroids(np.eye(3, dtype=np.float32), np.array([0, 0, 1])).tolist()
        [[0.5, 0.5, 0.0], [0.0, 0.0, 1.0]]
    """
    counts = np.bincount(partition[partition >= 0])
    if not counts.all():
        raise ValueError(f"neighbourhood {int(counts.argmin())} has no topics")
    sums = np.zeros((len(counts), embeddings.shape[1]), dtype=np.float64)
    np.add.at(sums, partition[partition >= 0], embeddings[partition >= 0])
    return (sums / counts[:, None]).astype(np.float32)


def nearest_centroid(embeddings: NDArray[np.float32], centroids: NDArray[np.float32]) -> IntArray:
    """Return the neighbourhood whose centroid has the largest cosine to each embedding.

    A passage is routed by the embedding of its topic: `nearest_centroid(embeddings[passages.topics], centroids)`.

    Args:
        embeddings: The embeddings of the passages' topics, `[n, dimensions]`.
        centroids: The centroids of the neighbourhoods, `[neighbourhoods, dimensions]`.

    Returns:
        The number of a neighbourhood for each row, int32 of shape `[n]`; the first if several are equally near.

    Example:
        >>> nearest_centroid(np.array([[3.0, 1.0], [0.0, 2.0]]), np.array([[1.0, 0.0], [0.1, 0.1]])).tolist()
        [0, 1]
    """
    lengths = np.linalg.norm(centroids, axis=1, keepdims=True)
    # An embedding's own length does not change its nearest centroid. The tiny number is for centroids of zeros.
    cosines = embeddings @ (centroids / np.maximum(lengths, np.finfo(np.float32).tiny)).T
    routes: IntArray = cosines.argmax(axis=1).astype(np.int32)
    return routes
