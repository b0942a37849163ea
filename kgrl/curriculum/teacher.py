"""Teaching of one lesson: research, learn, measure, record. State that outlives a lesson is in `CurriculumState`."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from kgrl.corpus import Passages
from kgrl.curriculum.measures import Lesson, Measurer
from kgrl.curriculum.review import with_review
from kgrl.curriculum.state import CurriculumState
from kgrl.curriculum.tester import Tester
from kgrl.errors import DivergedError, SettingError
from kgrl.expansion import Expansion
from kgrl.graph.topic_graph import IntArray
from kgrl.learners.base import Learned
from kgrl.probes.forks import losses_after
from kgrl.rewards.base import Reward

__all__ = ["Teacher"]

_COUNTED_AT_ONCE = 32
"""Passages whose tokens are counted at first, enough for most lessons."""


class Teacher:
    """Teaches lessons and takes the measurements that a reward needs. Of the state it changes the learner alone.

    Args:
        state: The curriculum's state.
        reward: The reward whose needs are measured; None for a curriculum without a reward.

    Attributes:
        measurer: Takes the measures that a reward needs beyond probes.
        tester: Tests what is known.
    """

    def __init__(self, state: CurriculumState, reward: Reward | None) -> None:
        self.state, self.reward = state, reward
        aim = self.aim[0] if "alignment" in state.needs else np.empty(0, dtype=np.int32)
        config = state.config
        self.tester = Tester(state)
        self.measurer = Measurer(state.prober, state.needs, aim, state.initial, config.budget_tokens, config.seed)

    @cached_property
    def aim(self) -> tuple[IntArray, tuple[float, ...]]:
        """The probe sample of the goal's topics, or of all without a goal, and its weights; as rewards measure it.

        Raises:
            SettingError: If none of the topics has a probe passage.
        """
        sample = self.state.sample(self.state.goal)
        if not len(sample[0]):
            name = self.state.corpus.name
            raise SettingError(f"no topic of {name!r} that counts has a probe passage to measure tries on")
        return sample

    def lesson(self, choice: int | IntArray) -> Lesson:
        """Return the lesson that follows from an agent's choice.

        Args:
            choice: A topic, whose neighbourhood is learned; or ids of passages, which are read in that order.

        Raises:
            ValueError: If the topic is learned already or has no train passages, or a passage cannot be read.
        """
        state = self.state
        allowance = min(state.config.expansion_tokens, state.config.budget_tokens - state.tokens)
        if not isinstance(choice, np.ndarray):
            neighbourhood = state.neighbourhood(choice)
            passages = state.research.gather(neighbourhood, state.used, state.frontier)
            if state.config.review:
                passages = with_review(state, passages, neighbourhood, allowance)
            return Lesson(passages, allowance, neighbourhood)
        if not len(choice) or not np.isin(choice, state.readable()).all():
            raise ValueError("cannot read such passages: none, or some that are no train passages or were read before")
        # No more passages than a picked topic would usually bring. A learner makes at least one update a lesson, and
        # this way about as many updates for the same tokens, whether an agent picks topics or passages.
        passages = self._within(choice[: state.research.usual_passages], allowance)
        topics = np.array(list(dict.fromkeys(passages.topics.tolist())), dtype=np.int32)
        return Lesson(passages, allowance, topics)

    def first_lesson(self, neighbourhood: IntArray) -> Lesson:
        """Return the lesson of a curriculum's first expansion, before which no passage was read.

        Args:
            neighbourhood: The topics of the lesson.
        """
        state = self.state
        allowance = min(state.config.expansion_tokens, state.config.budget_tokens)
        unused = np.zeros(len(state.corpus), dtype=bool)
        return Lesson(state.research.gather(neighbourhood, unused), allowance, neighbourhood)

    def nucleus_lesson(self) -> Lesson:
        """Return the next lesson on the nucleus."""
        state = self.state
        allowance = min(state.config.expansion_tokens, state.config.budget_tokens - state.tokens)
        # Topics that were read least first: a lesson need not reach all of a large nucleus.
        least = np.argsort(state.knowledge.exposures[state.nucleus], kind="stable")
        passages = state.research.gather(state.nucleus[least], state.used, state.frontier)
        return Lesson(passages, allowance, state.nucleus)

    def _within(self, ids: IntArray, allowance: int) -> Passages:
        """Return the passages that `allowance` tokens reach, the last one in part."""
        corpus, most = self.state.corpus, _COUNTED_AT_ONCE
        # Counted in parts of doubling size: there may be a million passages, and a few are reached.
        while True:
            ends = np.cumsum(self.state.learner.count_tokens(corpus.select(ids[:most])))
            if ends[-1] >= allowance or most >= len(ids):
                return corpus.select(ids[: np.searchsorted(ends, allowance) + 1])
            most *= 2

    def teach(self, lesson: Lesson, seconds: float = 0.0) -> Expansion:
        """Teach a lesson and return its record, without a reward.

        Args:
            lesson: The lesson; its first topic is the picked one.
            seconds: Wall-clock of the research for it.

        Raises:
            DivergedError: If a loss becomes NaN or infinite; the message says at which expansion, into which topic.
        """
        prober, own = self.state.prober, self.tester.own_probes(lesson)
        topics = np.concatenate(list(own.values()))
        with self._named(lesson):
            before, measures = prober.before(topics), self.measurer.before(lesson)
            learning = time.perf_counter()  # the clock of learning alone; the prober keeps its own
            learned = self.state.learner.learn(lesson.passages, lesson.allowance)
            learn_seconds = time.perf_counter() - learning
            measures |= self.measurer.after(lesson, learned.tokens)
            probes = prober.measurements(self.tester.sorted_out(own, lesson, learned), before, prober.after(topics))
            tested = self.tester.test(lesson, learned, probes)
        probe_seconds, probe_tokens = prober.settle()
        phases = {"research": seconds, "learn": learn_seconds, "probe": probe_seconds}
        record = self._record(lesson, learned)
        return replace(
            record, probes=probes, measures=measures, seconds=phases, probe_tokens=probe_tokens, tested=tested
        )

    def _record(self, lesson: Lesson, learned: Learned) -> Expansion:
        state, neighbourhood = self.state, lesson.neighbourhood
        trained = lesson.passages.ids[: learned.passages]
        # A topic counts as learned only if one of its passages was reached before the allowance ended.
        read = {int(neighbourhood[0]), *state.corpus.topics[trained].tolist()}
        return Expansion(
            index=state.index,
            topic=int(neighbourhood[0]),
            title=state.corpus.graph.titles[neighbourhood[0]],
            neighbourhood=tuple(topic for topic in neighbourhood.tolist() if topic in read),
            passages=tuple(trained.tolist()),
            tokens=learned.tokens,
            tokens_total=state.tokens + learned.tokens,
            budget=state.config.budget_tokens,
            train_loss=learned.loss,
            chunked=learned.chunked,
            changed=learned.changed,
            adapter=learned.module,
            losses=tuple(round(loss, 4) for loss in learned.losses),
            repeated=self._repeated(lesson, learned),
        )

    def _repeated(self, lesson: Lesson, learned: Learned) -> int:
        """Return how many tokens of a lesson were read before; of a passage that was cut, at most those it has left."""
        again = self.state.readings[lesson.passages.ids[: learned.passages]] > 0
        if not again.any():
            return 0
        tokens = self.state.learner.count_tokens(lesson.passages)[: learned.passages]
        return min(int(tokens[again].sum()), learned.tokens)

    def losses_after(self, lesson: Lesson, topics: IntArray) -> NDArray[np.float32]:
        """Return topics' probe losses after a lesson, measured on a fork; see `kgrl.probes.forks.losses_after`."""
        with self._named(lesson):
            return losses_after(self.state.prober, lesson.passages, lesson.allowance, topics)

    @contextmanager
    def _named(self, lesson: Lesson) -> Iterator[None]:
        """Add expansion and topic to the message of a diverged loss."""
        try:
            yield
        except DivergedError as error:
            title = self.state.corpus.graph.titles[lesson.neighbourhood[0]]
            raise DivergedError(f"expansion {self.state.index} ({title}): {error}") from error
