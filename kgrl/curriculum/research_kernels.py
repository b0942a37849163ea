"""Research, compiled: one curriculum's next neighbourhood and its passages, from tables made once for each corpus."""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kgrl.graph.topic_graph import IntArray
from kgrl.system.seldom import SeldomCalled

__all__ = ["ResearchTables", "gather_into", "neighbourhood_into"]


class ResearchTables(NamedTuple):
    """Tables in which research finds linked topics, passages and retrieved passages.

    Args:
        starts: Row starts of `related`, `[topics + 1]`.
        related: The topics linked with each, those of the largest cosine first.
        owned: Row starts of `passages`, `[topics + 1]`.
        passages: Each topic's train passages, in text order.
        found: Passages that retrieval finds for each topic, best first, -1 where there are no more, `[topics, wanted]`.
    """

    starts: NDArray[np.int64]
    related: IntArray
    owned: NDArray[np.int64]
    passages: IntArray
    found: IntArray


@SeldomCalled
def neighbourhood_into(tables, learned, trainable, topic, out):
    """Write a topic and its closest related topics that can be learned; return how many.

    Args:
        tables: The tables.
        learned: Whether each topic is learned.
        trainable: Whether each has train passages.
        topic: The topic.
        out: Where to; as long as a neighbourhood may be.
    """
    out[0] = topic
    count = 1
    for at in range(tables.starts[topic], tables.starts[topic + 1]):
        if count == len(out):
            break
        other = tables.related[at]
        if not learned[other] and trainable[other]:
            out[count] = other
            count += 1
    return count


@SeldomCalled
def gather_into(tables, used, topics, n, tokens, enough, out):
    """Write the passages of a neighbourhood, most relevant first; return how many. See `Researcher.gather`.

    Args:
        tables: The tables.
        used: Whether each passage was trained on before.
        topics: The neighbourhood, `[at least n]`.
        n: How many topics.
        tokens: Tokens of each passage.
        enough: Stop once the passages have so many tokens.
        out: Where to; it ends there at the latest.
    """
    count, total = 0, 0
    fresh = np.empty(n, dtype=np.bool_)  # whether a topic has passages that were not used; else all are read again
    for row in range(n):
        fresh[row] = False
        for at in range(tables.owned[topics[row]], tables.owned[topics[row] + 1]):
            if not used[tables.passages[at]]:
                fresh[row] = True
                break
    for row in range(n):
        for at in range(tables.owned[topics[row]], tables.owned[topics[row] + 1]):
            passage = tables.passages[at]
            if not (fresh[row] and used[passage]):
                if passage not in out[:count]:
                    out[count] = passage
                    count, total = count + 1, total + tokens[passage]
                break
        if total >= enough or count == len(out):
            return count
    for rank in range(tables.found.shape[1]):
        for row in range(n):
            passage = tables.found[topics[row], rank]
            if passage >= 0 and not used[passage] and passage not in out[:count]:
                out[count] = passage
                count, total = count + 1, total + tokens[passage]
                if total >= enough or count == len(out):
                    return count
    for row in range(n):
        for at in range(tables.owned[topics[row]], tables.owned[topics[row] + 1]):
            passage = tables.passages[at]
            if not (fresh[row] and used[passage]) and passage not in out[:count]:
                out[count] = passage
                count, total = count + 1, total + tokens[passage]
                if total >= enough or count == len(out):
                    return count
    return count
