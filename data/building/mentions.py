"""Links to topics that a text mentions: those that the model of `kgrl.data.text.linking` takes, and names in full.

The model was fitted to an encyclopaedia, and goes by how similar two topics are. Names that no encoder knows look like
nothing, and it takes few of them. So a title that is written in full counts as well if it is a name: nearly all its
mentions inside sentences have a capital, and no capitalised word stands beside it, of which it would be a part.
docs/results/links.md has figures.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from kgrl.data.building.hyperlinks import Ends
from kgrl.data.text.linking import (
    THRESHOLD,
    MentionPairs,
    best_of_mention,
    find_candidates,
    link_features,
    link_probability,
)

__all__ = ["chosen_mentions", "mention_links"]

_CAPITALS, _OWN_CAPITALS = 0.74, 0.5
"""Smoothed shares of capitals that a name has at least, in all texts and in its own, which need not mention it."""


def mention_links(titles: Sequence[str], texts: Sequence[str], embeddings: NDArray[np.float32]) -> Ends:
    """Return the links from topics to those that their texts mention; arguments as for `find_candidates`.

    Args:
        titles: One title for each topic, `""` for one that is not searched for.
        texts: One text for each topic; each is read twice.
        embeddings: Unit topic embeddings, float32 `[topics, dimensions]`.
    """
    return chosen_mentions(find_candidates(titles, texts), embeddings)


def chosen_mentions(candidates: MentionPairs, embeddings: NDArray[np.float32]) -> Ends:
    """Return the candidates that are links: those that the model takes, and names in full."""
    probability = link_probability(link_features(candidates, embeddings))
    told = candidates.counted
    alone = (told["after_name"] == 0) & (told["before_name"] == 0) & (told["unqualified"] == 0)
    is_name = (told["capitalised"] >= _CAPITALS) & (told["own_capital"] >= _OWN_CAPITALS)
    chosen = (probability >= THRESHOLD) | (candidates.primary & alone & is_name)
    chosen &= best_of_mention(candidates, probability)
    return candidates.sources[chosen], candidates.targets[chosen]
