"""A curriculum on a growing corpus: research runs ahead of training.

A run depends on its seed, on the arrivals in their order, and on their number at each expansion, which the record holds
(`Expansion.arrived`). So it can be repeated without the queue and the network.
"""

from __future__ import annotations

import heapq
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from typing import Any, Protocol, runtime_checkable

import numpy as np

from kgrl.corpus import Corpus
from kgrl.curriculum.config import CurriculumConfig
from kgrl.curriculum.loop import Curriculum
from kgrl.curriculum.measures import Lesson
from kgrl.curriculum.view import Agent, preferred
from kgrl.errors import KgrlError, SettingError
from kgrl.expansion import Expansion
from kgrl.learners.base import Learner
from kgrl.research.library import Library
from kgrl.research.queue import ResearchQueue

__all__ = ["GrowingCurriculum", "GrowingLearner", "QueueSupply", "Recorded", "Supply", "first_corpus"]

_GROWTH = 8
"""The corpus is extended once an eighth more topics have arrived. Since sizes then grow geometrically, all extensions
together cost a few times as much as the last one."""
_POLL_SECONDS = 0.05
"""Time between two looks for arrivals."""
_MOST_TIMES = 4
"""Times the topics to wait for that a first corpus is waited for until its nucleus is joined."""


class Supply(Protocol):
    """A supply of arrivals: a research queue, or the record of a run."""

    def want(self, titles: Sequence[str]) -> None:
        """Set the titles that are wanted, best first; they replace those set before."""
        ...

    def take(self, library: Library, index: int) -> int:
        """Add new arrivals to the library, and return the number of topics that the corpus may have at an expansion."""
        ...

    def hopeless(self) -> Collection[str]:
        """Return titles that will not arrive."""
        ...

    def busy(self) -> bool:
        """Return whether more may arrive without a change of the wanted titles."""
        ...


@runtime_checkable
class GrowingLearner(Protocol):
    """A learner that can continue with a larger corpus. Learners with a transformer can."""

    def extend(self, corpus: Corpus) -> None:
        """Replace the learner's corpus by a larger one that begins with the same passages."""
        ...


class QueueSupply:
    """Supply from a research queue, whose workers make arrivals of titles; see `Supply`.

    Args:
        queue: The queue; workers serve it somewhere.
        broken: Returns whether the workers have stopped, so that nothing more will arrive.
    """

    def __init__(self, queue: ResearchQueue, broken: Callable[[], bool] = lambda: False) -> None:
        self.queue, self._broken = queue, broken

    def want(self, titles: Sequence[str]) -> None:
        """Set the titles that are wanted, best first."""
        self.queue.want(titles)

    def take(self, library: Library, index: int) -> int:
        """Add new arrivals to the library and return the number of its topics."""
        library.add(self.queue.arrivals(len(library)))
        return len(library)

    def hopeless(self) -> Collection[str]:
        """Return titles that will not arrive."""
        return self.queue.failed()

    def busy(self) -> bool:
        """Return whether jobs are queued or running, and there are workers to do them."""
        return not self._broken() and self.queue.busy()


class Recorded:
    """Supply of a repeated run: all arrivals are in the library, and the corpus grows as it did in the record.

    Args:
        expansions: The run's records, the nucleus first.
    """

    def __init__(self, expansions: Sequence[Expansion]) -> None:
        self._arrived = {expansion.index: expansion.arrived or 0 for expansion in expansions}

    def want(self, titles: Sequence[str]) -> None:
        """Ignore the titles: nothing more can arrive."""

    def take(self, library: Library, index: int) -> int:
        """Return the number of topics at that expansion of the record."""
        return self._arrived.get(index, 0)

    def hopeless(self) -> Collection[str]:
        """Return no titles."""
        return ()

    def busy(self) -> bool:
        """Return False."""
        return False


class GrowingCurriculum(Curriculum):
    """A curriculum whose corpus grows between expansions.

    Topics and passages keep their numbers; the probe samples stay those of the first corpus. If the agent has nothing
    to choose from, the curriculum waits for arrivals, and the time counts as research.

    Args:
        corpus: The first corpus, as from `first_corpus`.
        learner: The model to teach, made for that corpus.
        library: The library of arrivals.
        supply: The supply of arrivals.
        reward: A reward, its name, or a function of an expansion.
        config: Budgets, nucleus, goal and seed.
        ahead: Number of topics that should have arrived before they are read; see `wanted`.

    Raises:
        SettingError: If the learner cannot continue with a larger corpus.
    """

    def __init__(
        self,
        corpus: Corpus,
        learner: Learner,
        library: Library,
        supply: Supply,
        reward: Any = None,
        config: CurriculumConfig | None = None,
        ahead: int = 64,
    ) -> None:
        if not isinstance(learner, GrowingLearner):
            kind = getattr(learner, "kind", type(learner).__name__)
            raise SettingError(f"a {kind} learner cannot continue with a larger corpus; use scratch or lora")
        retriever, embeddings = library.index(corpus)
        super().__init__(corpus, learner, retriever, embeddings, reward, config)
        self._growing, self.library, self.supply, self.ahead = learner, library, supply, ahead
        self._demand: Counter[str] = Counter()  # titles by the number of read topics that link to them
        self._asked: set[int] = set()  # read topics whose links are in `_demand`
        self._stalled = 0.0  # seconds of waiting before the next lesson

    def resume(self, expansions: Sequence[Expansion], agent: Agent) -> None:
        """Restore the state of curriculum and agent after recorded expansions; see `Curriculum.resume`."""
        self.supply.take(self.library, expansions[-1].index)
        if (arrived := expansions[-1].arrived or 0) > len(self.corpus.graph):
            self._read(arrived)
        super().resume(expansions, agent)

    def _teach(self, lesson: Lesson, seconds: float) -> Expansion:
        """Teach a lesson; its record also holds the number of topics and the age of the oldest page taught."""
        expansion = super()._teach(lesson, seconds + self._stalled)
        self._stalled = 0.0
        fetched = self.library.fetched(np.unique(self.corpus.topics[list(expansion.passages)]))
        return replace(expansion, arrived=len(self.corpus.graph), data_age=max(0.0, time.time() - float(fetched.min())))

    def prepare(self, agent: Agent) -> None:
        """Set the wanted titles, take arrivals, and wait while the agent has nothing to choose from."""
        began = time.perf_counter()
        self.supply.want(self.wanted(agent))
        self._grow(agent)
        while self._nothing_left(agent):
            # Asked before arrivals are taken: what was under way then has arrived, or is still under way.
            topics, busy = len(self.corpus.graph), self.supply.busy()
            self._grow(agent)
            self.supply.want(self.wanted(agent))
            if not busy and len(self.corpus.graph) == topics:
                break
            if self._nothing_left(agent):
                time.sleep(_POLL_SECONDS)
        self._stalled = time.perf_counter() - began

    def _grow(self, agent: Agent) -> None:
        """Extend the corpus if enough topics have arrived, or the frontier is short of topics."""
        now, there = len(self.corpus.graph), self.supply.take(self.library, self.state.index)
        if there >= now + now // _GROWTH or (there > now and self._short_of_topics):
            self._read(there)
            # Resuming sets the generator anew; the draws continue as if the corpus had not been extended.
            state = self.state.rng.bit_generator.state
            super().resume(self._history, agent)
            if not self._begun:  # right after the nucleus
                self._begin(self._history)
                agent.reset(self.view)
            self.state.rng.bit_generator.state = state

    @property
    def _short_of_topics(self) -> bool:
        return len(self.view.candidates) < 2 * self.config.neighbourhood

    def _read(self, topics: int) -> None:
        """Make the first `topics` topics of the library the corpus."""
        corpus = self.library.corpus(topics)
        retriever, embeddings = self.library.index(corpus)
        self._growing.extend(corpus)
        self.extend(corpus, retriever, embeddings)

    def wanted(self, agent: Agent) -> list[str]:
        """Return the titles to research next, best first.

        Their number fills up `ahead` topics that have arrived and are not read, so that pages arrive as fast as they
        are read. It is at least a neighbourhood while the frontier is short of topics, if solid topics link to as many
        that may arrive; while nothing is solid, no arrival makes the frontier larger.

        The worth of a title is the probability that the agent picks a topic that links to it, plus a little for each
        read topic that links to it: about one candidate's share.
        """
        for topic in set(np.flatnonzero(self.state.knowledge.exposures).tolist()) - self._asked:
            self._asked.add(topic)
            self._demand.update(self.library.links[topic])
        candidates, chances = preferred(agent, self.view.glance())  # a glance: its draws are not the curriculum's
        worth = {title: count / (1 + len(candidates)) for title, count in self._demand.items()}
        for topic, chance in zip(candidates.tolist(), chances.tolist(), strict=True):
            for title in self.library.links[topic]:
                worth[title] = worth.get(title, 0.0) + chance
        missing = self.ahead - (len(self.library) - self.state.standing.n_read)
        if self._short_of_topics:
            near = {title for topic in self.state.frontier.solid.tolist() for title in self.library.links[topic]}
            missing = max(missing, min(self.config.neighbourhood, len(_open(near, self.library, self.supply))))
        return _most_wanted(worth, self.library, self.supply, missing)


def first_corpus(
    library: Library,
    supply: Supply,
    nucleus: Sequence[str],
    topics: int,
    ahead: int = 64,
    patience: float = 600.0,
    on_arrival: Callable[[int], None] = lambda arrived: None,
) -> Corpus:
    """Research a nucleus and linked topics, and return the first corpus.

    Args:
        library: The library of arrivals; those that it holds already count.
        supply: The supply of arrivals.
        nucleus: Titles to start from.
        topics: Number of topics to wait for, including the nucleus. Up to four times as many are waited for while the
            links among them do not join the nucleus: pages arrive in any order.
        ahead: Most titles that are wanted at a time.
        patience: Longest wait in seconds without an arrival.
        on_arrival: Called with the number of topics whenever some have arrived.

    Raises:
        KgrlError: If a title of the nucleus will not arrive under that name, or nothing has arrived for too long.
    """
    waited_since = time.monotonic()
    while True:
        # Asked before arrivals are taken: what was under way then has arrived, or is still under way.
        before, busy = len(library), supply.busy()
        there = supply.take(library, 0)
        hopeless = supply.hopeless()
        for title in nucleus:
            if title in hopeless:
                raise KgrlError(f"the nucleus's topic {title!r} will not arrive: `kgrl research status` says why")
        # A title that has arrived but is not within the first `there` topics is missing, too.
        missing = [title for title in nucleus if library.numbers.get(title, there) >= there]
        if not missing and there >= topics and (there >= _MOST_TIMES * topics or _joined(library, nucleus, there)):
            return library.corpus(there)
        worth = Counter(title for links in library.links for title in links)
        supply.want([*missing, *_most_wanted(worth, library, supply, ahead)])
        if len(library) > before:
            waited_since = time.monotonic()
            on_arrival(len(library))
        elif not missing and not busy:
            return library.corpus(there)  # the site has no more linked pages
        elif time.monotonic() - waited_since > patience:
            raise KgrlError(
                f"nothing has arrived for {patience:.0f} s; is a worker running? `kgrl research status` says"
            )
        time.sleep(_POLL_SECONDS)


def _joined(library: Library, nucleus: Sequence[str], there: int) -> bool:
    """Return whether links among the topics that have arrived join all topics of the nucleus."""
    linked = [set[int]() for _ in range(there)]
    for topic, links in enumerate(library.links[:there]):
        for other in (library.numbers.get(title, there) for title in links):
            if other < there:
                linked[topic].add(other)
                linked[other].add(topic)
    reached, waiting = set[int](), [library.numbers[nucleus[0]]]
    while waiting:
        topic = waiting.pop()
        if topic not in reached:
            reached.add(topic)
            waiting.extend(linked[topic])
    return all(library.numbers[title] in reached for title in nucleus)


def _most_wanted(worth: dict[str, Any], library: Library, supply: Supply, most: int) -> list[str]:
    """Return the worthiest titles that may still arrive; titles of equal worth in alphabetical order."""
    ranked = ((-worth[title], title) for title in _open(worth, library, supply))
    return [title for _, title in heapq.nsmallest(max(0, most), ranked)]


def _open(titles: Iterable[str], library: Library, supply: Supply) -> list[str]:
    """Return those of some titles that may still arrive."""
    hopeless = supply.hopeless()
    return [title for title in titles if title not in library.numbers and title not in hopeless]
