"""Tests of knowledge around a lesson: whose probe losses are measured, and whose links are asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from kgrl.corpus import Split
from kgrl.curriculum.measures import Lesson
from kgrl.curriculum.state import CurriculumState
from kgrl.expansion import Measurement, Probed
from kgrl.graph.topic_graph import IntArray
from kgrl.learners.base import Learned

if TYPE_CHECKING:
    from kgrl.probes.link_test import LinkTest

__all__ = ["Tester"]

_BEFORE_ALL = -2
"""Stands for a test before those that never were, which is -1 (`Knowledge.last_tested`)."""


class Tester:
    """Tests what is known, as far as the criterion of mastery or the reward asks for it.

    Topics are drawn by seed and number of the expansion, so that a resumed run has the same tests, and agents' draws do
    not depend on them.

    Args:
        state: The curriculum's state.
    """

    def __init__(self, state: CurriculumState) -> None:
        self.state = state

    def own_probes(self, lesson: Lesson) -> dict[str, IntArray]:
        """Return the topics that are measured before and after a lesson beside the fixed samples, by probe."""
        needs, none = self.state.needs, lesson.neighbourhood[:0]
        own = {"self": lesson.neighbourhood if "self" in needs else none, "read": none, "unread": none}
        if "knowledge" in needs:
            read = self.state.knowledge.exposures > 0
            read[lesson.neighbourhood] = True
            # The lesson's topics first, so that a reward sees what this lesson made known.
            last = self.state.knowledge.last_tested.copy()
            last[lesson.neighbourhood] = _BEFORE_ALL
            own["unread"], own["read"] = self._drawn(read, last)
        return own

    def sorted_out(self, own: dict[str, IntArray], lesson: Lesson, learned: Learned) -> dict[str, IntArray]:
        """Leave out of the read topics those that the lesson did not reach, and of the unread ones those it read."""
        now = np.unique(lesson.passages.topics[: learned.passages])
        unread = own["read"][self.state.knowledge.exposures[own["read"]] == 0]
        missed = unread[~np.isin(unread, now)]
        read = own["read"][~np.isin(own["read"], missed)]
        return {**own, "read": read, "unread": own["unread"][~np.isin(own["unread"], now)]}

    def test(self, lesson: Lesson, learned: Learned, probes: Mapping[str, Measurement]) -> Probed:
        """Test what is known after a lesson; what was measured already is not measured again.

        Args:
            lesson: The lesson.
            learned: What came of it.
            probes: The measurements before and after it.
        """
        state, found = self.state, Probed()
        if state.mastery.by_reading and "knowledge" not in state.needs:
            return found
        read = state.knowledge.exposures > 0
        read[lesson.passages.topics[: learned.passages]] = True
        if "knowledge" in state.needs:
            measured = [probes[name] for name in ("read", "unread") if name in probes]
            losses = sorted((t, loss) for m in measured for t, loss in zip(m.topics, m.after, strict=True))
            found = Probed(tuple(t for t, _ in losses), tuple(round(loss, 4) for _, loss in losses))
        elif state.mastery.measure == "gap":
            topics = np.sort(np.concatenate(self._drawn(read, state.knowledge.last_tested)))
            values = tuple(round(float(loss), 4) for loss in state.prober.losses(topics))
            found = Probed(tuple(topics.tolist()), values)
        return self._with_links(found, state.link_test, read) if state.link_test else found

    def _drawn(self, read: NDArray[np.bool_], last: NDArray[np.int64]) -> tuple[IntArray, IntArray]:
        """Draw the topics to test: unread ones, a third, and of those that were read the ones tested longest ago.

        What unread topics lack in knowledge is what the others have.

        Args:
            read: Whether each topic was read, or is by the lesson.
            last: When each was last tested.
        """
        state, rng = self.state, self._rng()
        testable = state.corpus.has(Split.PROBE) & state.corpus.has(Split.TRAIN)
        unread, known = (rng.permutation(np.flatnonzero(testable & which)) for which in (~read, read))
        most = state.config.probe_topics
        others = unread[: most // 3]
        oldest = known[np.argsort(last[known], kind="stable")][: most - len(others)]
        return others.astype(np.int32), oldest.astype(np.int32)

    def _with_links(self, found: Probed, test: LinkTest, read: NDArray[np.bool_]) -> Probed:
        """Add the links of topics that were read, those asked longest ago: half as many as are tested by losses.

        A third of them are solid, to see what fades; for the others it is to be seen when they become so.
        """
        state, rng, most = self.state, self._rng(), max(1, self.state.config.probe_topics // 2)
        order = rng.permutation(np.flatnonzero(read))
        order = order[np.argsort(state.knowledge.last_asked[order], kind="stable")]
        order = order[[bool(test.mentions(topic)) for topic in order.tolist()]]
        solid = state.frontier.is_solid[order]
        others = order[~solid][: most - min(most // 3, int(solid.sum()))]
        topics = np.sort(np.concatenate([others, order[solid][: most - len(others)]])).astype(np.int32)
        shares = state.prober.ask(test, topics, np.flatnonzero(read).astype(np.int32), rng)
        told = np.isfinite(shares)
        recalled = tuple(round(float(share), 4) for share in shares[told])
        # A topic whose probe passage names no linked topic has nothing to be asked for: it is known once it was read.
        new = np.flatnonzero(read & np.isnan(state.knowledge.recall)).tolist()
        silent = tuple(topic for topic in new if not test.mentions(topic))
        return replace(found, asked=(*topics[told].tolist(), *silent), recalled=(*recalled, *(1.0 for _ in silent)))

    def _rng(self) -> np.random.Generator:
        return np.random.default_rng([self.state.config.seed, self.state.index])
