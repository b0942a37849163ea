"""Replay: a share of every lesson is text of earlier lessons."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from kgrl.corpus import Passages
from kgrl.errors import SettingError, UnknownNameError
from kgrl.graph.topic_graph import IntArray
from kgrl.learners.plugins.base import Plugin

__all__ = ["Replay", "Sampling"]

Sampling = Literal["uniform", "by-lesson"]
_PASSAGE_TOKENS = 8
"""Tokens that a passage is assumed to have at least, so that enough passages are drawn for the share."""


class Replay(Plugin):
    """Mixes passages of earlier lessons into each lesson, inside its token budget.

    Args:
        share: Share of a lesson's tokens that is replayed, above 0 and below 1.
        sampling: `"uniform"` draws from all passages learned so far alike; `"by-lesson"` draws an earlier lesson first
            and then one of its passages, so that long lessons are not replayed more often. Within a lesson no passage
            is drawn twice.
        seed: Seeds the draws.

    Raises:
        SettingError: If the share is not between 0 and 1.
        UnknownNameError: If the sampling is unknown.

    Example:
        >>> Replay(share=0.25)
        Replay(share=0.25, sampling='uniform', seed=0)
        >>> Replay(share=0.25).rehearse(new_tokens=300, token_budget=1000)  # before the first lesson
        (array([], dtype=int32), 0)
    """

    name = "replay"

    def __init__(self, share: float = 0.1, sampling: Sampling = "uniform", seed: int = 0) -> None:
        if not 0 < share < 1:
            raise SettingError(f"the share of replayed tokens must be between 0 and 1, not {share}")
        if sampling not in get_args(Sampling):
            raise UnknownNameError("sampling", sampling, get_args(Sampling))
        self.share, self.sampling, self.seed = share, sampling, seed
        self._lessons: tuple[IntArray, ...] = ()

    def rehearse(self, new_tokens: int, token_budget: int) -> tuple[IntArray, int]:
        """Draw passages of earlier lessons; see `Plugin.rehearse`."""
        if not self._lessons:
            return np.empty(0, dtype=np.int32), 0
        # New text may run out before the budget. Then new and replayed tokens together are new_tokens / (1 - share).
        tokens = int(self.share * min(token_budget, new_tokens / (1 - self.share)))
        return self._drawn(1 + tokens // _PASSAGE_TOKENS), tokens

    def end(self, passages: Passages) -> None:
        """Keep the lesson's passages for later lessons."""
        self._lessons = (*self._lessons, passages.ids)

    def state(self) -> Mapping[str, Tensor]:
        """The passages of each lesson."""
        return {str(i): torch.from_numpy(ids) for i, ids in enumerate(self._lessons)}

    def set_state(self, state: Mapping[str, Tensor]) -> None:
        """Go back to a state."""
        self._lessons = tuple(state[str(i)].numpy() for i in range(len(state)))

    def _drawn(self, wanted: int) -> IntArray:
        """Ids of passages of earlier lessons, `[wanted]`, or all of them if they are fewer."""
        # Seeded by the number of lessons: a learner that was put back draws the same again.
        rng = np.random.default_rng((self.seed, len(self._lessons)))
        lessons = np.concatenate([np.full(len(ids), i) for i, ids in enumerate(self._lessons)])
        passages, first = np.unique(np.concatenate(self._lessons), return_index=True)
        weights = np.ones(len(passages))
        if self.sampling == "by-lesson":
            weights /= np.bincount(lessons)[lessons[first]]  # by the size of the first lesson that read the passage
        drawn = rng.choice(passages, min(wanted, len(passages)), replace=False, p=weights / weights.sum())
        return drawn.astype(np.int32)
