"""What adapters do to one another's neighbourhoods, and routing passages to adapters.

Adapters are measured in a LoRA learner, put in the place of its own weights for as long as that takes. The learner's
rank is at least theirs: a smaller adapter is padded with zeros and rescaled, which leaves its change of the model as it
is, so that one learner measures single adapters and composed ones of a higher rank.
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

__all__ = ["Interference", "interference", "routed_losses", "wearing"]


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
        """What each adapter takes off the base model's losses, `[adapters, neighbourhoods]`; positive where it helps.

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
        groups: Held-out passages of each neighbourhood, at least one each; they weigh the same within it.

    Raises:
        KgrlError: If an adapter does not fit the learner, or a neighbourhood has no passages.
    """
    sizes = [len(group) for group in groups]
    if not all(sizes):
        raise KgrlError(f"neighbourhood {sizes.index(0)} has no passages to be measured on")
    passages = learner.corpus.select(np.concatenate([group.ids for group in groups]))
    starts = np.cumsum([0, *sizes[:-1]])
    rows = []
    for adapter in (*adapters, None):
        with wearing(learner, adapter):
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
        route: The number of the adapter for each passage, shape `[passages]`; see `kgrl.learners.adapters.routing`.

    Returns:
        Losses in nats per token, shape `[passages]`.

    Raises:
        ValueError: If the routes are not one for each passage, each the number of an adapter.
        KgrlError: If an adapter does not fit the learner.
    """
    if len(route) != len(passages) or not np.isin(route, np.arange(len(adapters))).all():
        raise ValueError(f"{len(passages)} passages need as many routes, each from 0 to {len(adapters) - 1}")
    losses = np.empty(len(passages), dtype=np.float32)
    for number in np.unique(route).tolist():
        own = np.flatnonzero(route == number)
        with wearing(learner, adapters[number]):
            losses[own] = learner.losses(Passages(passages.corpus, passages.ids[own]))
    return losses


@contextmanager
def wearing(learner: LoraLearner, adapter: Adapter | None) -> Iterator[None]:
    """Have a learner measure as if an adapter were all it had learned; then put its own weights back, bit for bit.

    Args:
        learner: A learner of at least the adapter's rank.
        adapter: The adapter; None for the untouched base model.

    Raises:
        KgrlError: If the adapter is for another base model, of a higher rank, or on layers that the learner has no
            adapter on.
    """
    weights = torch.zeros_like(learner.weights) if adapter is None else learner.weights_of(adapter)
    with learner.holding(weights):
        yield
