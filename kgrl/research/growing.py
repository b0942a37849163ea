"""A curriculum on a corpus that grows: research runs ahead, and training goes on with what is there.

What a run does depends on its seed, on the arrivals in their order and on how many of them there were at each
expansion, which the record says (`Expansion.arrived`); so it can be repeated without the queue, the network or luck.
"""

from __future__ import annotations

import heapq
import time
from collections import Counter
from collections.abc import Callable, Collection, Sequence
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
from kgrl.graph.topic_graph import IntArray
from kgrl.learners.base import Learner
from kgrl.research.library import Library
from kgrl.research.queue import ResearchQueue

__all__ = ["GrowingCurriculum", "GrowingLearner", "QueueSupply", "Recorded", "Supply", "first_corpus"]

_GROWTH = 8
"""The corpus grows once there is an eighth more of it: all times together cost a few times what the last one does."""
_POLL_SECONDS = 0.05


class Supply(Protocol):
    """What brings arrivals: a research queue, or the record of one."""

    def want(self, titles: Sequence[str]) -> None:
        """Say which titles are wanted, best first, in place of what was said before."""
        ...

    def take(self, library: Library, index: int) -> int:
        """Put what has arrived into the library, and return how many topics the corpus may have at an expansion."""
        ...

    def hopeless(self) -> Collection[str]:
        """Return titles that will not arrive."""
        ...

    def busy(self) -> bool:
        """Return whether more may arrive without anything else being wanted."""
        ...


@runtime_checkable
class GrowingLearner(Protocol):
    """A learner that can go on with a larger corpus. Learners with a transformer inside can."""

    def extend(self, corpus: Corpus) -> None:
        """Read a corpus that begins with the one read until now, passage by passage."""
        ...


class QueueSupply:
    """Supply from a research queue, whose workers make arrivals of titles; see `Supply`.

    Args:
        queue: The queue; workers serve it somewhere.
        broken: Whether the workers cannot go on, so that nothing is to be waited for.
    """

    def __init__(self, queue: ResearchQueue, broken: Callable[[], bool] = lambda: False) -> None:
        self.queue, self._broken = queue, broken

    def want(self, titles: Sequence[str]) -> None:
        """Say which titles are wanted, best first."""
        self.queue.want(titles)

    def take(self, library: Library, index: int) -> int:
        """Put what has arrived into the library and return how many topics it holds."""
        library.add(self.queue.arrivals(len(library)))
        return len(library)

    def hopeless(self) -> Collection[str]:
        """Return titles that will not arrive."""
        return self.queue.failed()

    def busy(self) -> bool:
        """Return whether jobs are queued or running, and somebody does them."""
        return not self._broken() and self.queue.busy()


class Recorded:
    """The supply of a run that is repeated: everything is in the library, and grows as it did.

    Args:
        expansions: The run's records, the nucleus first.
    """

    def __init__(self, expansions: Sequence[Expansion]) -> None:
        self._arrived = {expansion.index: expansion.arrived or 0 for expansion in expansions}

    def want(self, titles: Sequence[str]) -> None:
        """Nothing more can be had."""

    def take(self, library: Library, index: int) -> int:
        """Return how many topics there were then."""
        return self._arrived.get(index, 0)

    def hopeless(self) -> Collection[str]:
        """Return no titles."""
        return ()

    def busy(self) -> bool:
        """Return False."""
        return False


class GrowingCurriculum(Curriculum):
    """A curriculum whose corpus grows between expansions.

    Topics and passages keep their numbers; the probe samples stay those of the first corpus. Where nothing on the
    frontier has text yet, the curriculum waits for it, and the time counts as research.

    Args:
        corpus: The corpus to begin with, as `first_corpus` gives it.
        learner: The model to teach, made for that corpus.
        library: Where arrivals are kept.
        supply: What brings them.
        reward: A reward, its name, or a function of an expansion.
        config: Budgets, nucleus, goal and seed.
        ahead: Topics that are to have arrived before they are learned; see `wanted`.

    Raises:
        SettingError: If the learner cannot go on with a larger corpus.
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
            raise SettingError(f"a {kind} learner cannot go on with a larger corpus; use scratch or lora")
        retriever, embeddings = library.index(corpus)
        super().__init__(corpus, learner, retriever, embeddings, reward, config)
        self._growing, self.library, self.supply, self.ahead = learner, library, supply, ahead
        self._history: list[Expansion] = []
        self._demand: Counter[str] = Counter()  # titles that learned topics link to, by the number of these
        self._asked: set[int] = set()
        self._stalled = 0.0

    def start(self, seed: int | None = None) -> Expansion:
        """Learn the nucleus; see `Curriculum.start`."""
        self._history = [super().start(seed)]
        return self._history[0]

    def expand(self, choice: int | IntArray) -> Expansion:
        """Learn what an agent chose; see `Curriculum.expand`."""
        expansion = super().expand(choice)
        self._history.append(expansion)
        return expansion

    def resume(self, expansions: Sequence[Expansion], agent: Agent) -> None:
        """Bring curriculum and agent to where recorded expansions left them; see `Curriculum.resume`."""
        self.supply.take(self.library, expansions[-1].index)
        if (arrived := expansions[-1].arrived or 0) > len(self.corpus.graph):
            self._read(arrived)
        super().resume(expansions, agent)
        self._history = list(expansions)

    def _teach(self, lesson: Lesson, seconds: float) -> Expansion:
        """Teach a lesson; its record says also what had arrived, and how old that was."""
        expansion = super()._teach(lesson, seconds + self._stalled)
        self._stalled = 0.0
        fetched = self.library.fetched(np.unique(self.corpus.topics[list(expansion.passages)]))
        return replace(expansion, arrived=len(self.corpus.graph), data_age=max(0.0, time.time() - float(fetched.min())))

    def prepare(self, agent: Agent) -> None:
        """Say what is wanted, take what has arrived, and wait while there is nothing to choose from."""
        began = time.perf_counter()
        self.supply.want(self.wanted(agent))
        self._grow(agent)
        while self.state.exhausted and self.supply.busy():
            time.sleep(_POLL_SECONDS)
            self._grow(agent)
            self.supply.want(self.wanted(agent))
        self._stalled = time.perf_counter() - began

    def _grow(self, agent: Agent) -> None:
        """Go on with a larger corpus, if there is one that is worth it."""
        now, there = len(self.corpus.graph), self.supply.take(self.library, self.state.index)
        if there >= now + now // _GROWTH or (there > now and self._short_of_topics):
            self._read(there)
            state = self.state.rng.bit_generator.state
            super().resume(self._history, agent)
            self.state.rng.bit_generator.state = state

    @property
    def _short_of_topics(self) -> bool:
        return len(self.view.candidates) < 2 * self.config.neighbourhood

    def _read(self, topics: int) -> None:
        """Take the first so many topics of the library for the corpus."""
        corpus = self.library.corpus(topics)
        retriever, embeddings = self.library.index(corpus)
        self._growing.extend(corpus)
        self.extend(corpus, retriever, embeddings)

    def wanted(self, agent: Agent) -> list[str]:
        """Return the titles to research next, best first.

        As many as are missing from `ahead` topics that have arrived and are not learned, so that pages come in as fast
        as they are learned; at least a neighbourhood where there is little to choose from.

        A title is worth the probability that the agent picks a topic that links to it, and a little more for each
        learned topic that does: about one candidate's share among all.
        """
        for topic in set(self.state.frontier.learned.tolist()) - self._asked:
            self._asked.add(topic)
            self._demand.update(self.library.links[topic])
        candidates, chances = preferred(agent, self.view.glance())
        worth = {title: count / (1 + len(candidates)) for title, count in self._demand.items()}
        for topic, chance in zip(candidates.tolist(), chances.tolist(), strict=True):
            for title in self.library.links[topic]:
                worth[title] = worth.get(title, 0.0) + chance
        missing = self.ahead - (len(self.library) - len(self.state.frontier.learned))
        if self._short_of_topics:
            missing = max(missing, self.config.neighbourhood)
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
    """Research a nucleus and what is linked with it, and return the corpus to begin with.

    Args:
        library: Where arrivals are kept; what is there already counts.
        supply: What brings them.
        nucleus: Titles to start from.
        topics: Topics to wait for, the nucleus included.
        ahead: Most titles that are wanted at a time.
        patience: Seconds to wait while nothing arrives.
        on_arrival: Called with the number of topics whenever some have arrived.

    Raises:
        KgrlError: If a title of the nucleus is not to be had under that name, or nothing arrives any more.
    """
    waited_since = time.monotonic()
    while True:
        before = len(library)
        there = supply.take(library, 0)
        hopeless = supply.hopeless()
        for title in nucleus:
            if title in hopeless:
                raise KgrlError(f"the nucleus's topic {title!r} is not to be had: `kgrl research status` says why")
        missing = [title for title in nucleus if library.numbers.get(title, there) >= there]
        if not missing and there >= topics:
            return library.corpus(there)
        worth = Counter(title for links in library.links for title in links)
        supply.want([*missing, *_most_wanted(worth, library, supply, ahead)])
        if len(library) > before:
            waited_since = time.monotonic()
            on_arrival(len(library))
        elif not missing and not supply.busy():
            return library.corpus(there)  # the site has no more
        elif time.monotonic() - waited_since > patience:
            raise KgrlError(
                f"nothing has arrived for {patience:.0f} s; is a worker running? `kgrl research status` says"
            )
        time.sleep(_POLL_SECONDS)


def _most_wanted(worth: dict[str, Any], library: Library, supply: Supply, most: int) -> list[str]:
    """The titles worth most of those that may still arrive; in order of the alphabet where they are worth the same."""
    hopeless = supply.hopeless()
    open_ = ((-value, title) for title, value in worth.items() if title not in library.numbers)
    return [title for _, title in heapq.nsmallest(max(0, most), (pair for pair in open_ if pair[1] not in hopeless))]
