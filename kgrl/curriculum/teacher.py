"""One lesson, carried out: research, learn, measure, record. What is remembered between lessons is the curriculum's."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from kgrl.corpus import Corpus, Passages, Split
from kgrl.curriculum.config import CurriculumConfig
from kgrl.curriculum.measures import Lesson, Measurer
from kgrl.curriculum.researcher import Researcher
from kgrl.errors import SettingError
from kgrl.expansion import Expansion
from kgrl.graph.topic_graph import IntArray
from kgrl.learners.base import Learned, Learner
from kgrl.probes.forks import losses_after
from kgrl.probes.prober import Prober, sample_topics
from kgrl.rewards.base import Reward

__all__ = ["Teacher"]

_COUNTED_AT_ONCE = 32


class Teacher:
    """Teaches a learner neighbourhoods and takes the measurements that a reward needs.

    Args:
        corpus: The corpus.
        learner: The learner, in its initial state.
        research: Gathers passages.
        reward: The reward whose needs are measured; None where nobody is rewarded.
        goal: The goal's topics, None where all count.
        config: Budgets, sizes of samples and the seed.

    Attributes:
        prober: Measures on probe passages and keeps account of the cost.
    """

    def __init__(
        self,
        corpus: Corpus,
        learner: Learner,
        research: Researcher,
        reward: Reward | None,
        goal: IntArray | None,
        config: CurriculumConfig,
    ) -> None:
        self.corpus, self.learner, self.research, self.goal, self.config = corpus, learner, research, goal, config
        self.needs = reward.needs if reward else frozenset[str]()
        self.prober = Prober(corpus, learner, self._fixed_probes())
        aim = self.aim if "alignment" in self.needs else np.empty(0, dtype=np.int32)
        initial = learner.snapshot()
        self.measurer = Measurer(corpus, self.prober, self.needs, aim, initial, config.budget_tokens, config.seed)

    def extend(self, corpus: Corpus, research: Researcher) -> None:
        """Go on with a corpus that begins with the present one; the samples that are measured stay what they are."""
        self.corpus, self.research = corpus, research
        self.prober.extend(corpus)
        self.measurer.corpus = corpus

    def _fixed_probes(self) -> dict[str, IntArray]:
        fixed = {"mean": self._sample()} if "mean" in self.needs else {}
        if "target" in self.needs and self.goal is not None:
            fixed["target"] = self._sample(self.goal)
        return fixed

    def _sample(self, among: IntArray | None = None) -> IntArray:
        return sample_topics(self.corpus, Split.PROBE, self.config.probe_topics, self.config.seed, among)

    @cached_property
    def aim(self) -> IntArray:
        """A sample of the topics whose mean loss counts, the goal's or all; the same that rewards measure.

        Raises:
            SettingError: If none of them has a probe passage.
        """
        sample = self._sample(self.goal)
        if not len(sample):
            raise SettingError(f"no topic of {self.corpus.name!r} that counts has a probe passage to measure tries on")
        return sample

    def lesson(self, neighbourhood: IntArray, used: NDArray[np.bool_], tokens: int) -> Lesson:
        """Return what is learned of a neighbourhood, and the tokens there are for it.

        Args:
            neighbourhood: The topics.
            used: Whether each passage has been trained on, shape `[passages]`.
            tokens: Tokens trained on so far.
        """
        allowance = min(self.config.expansion_tokens, self.config.budget_tokens - tokens)
        return Lesson(self.research.gather(neighbourhood, used), allowance, neighbourhood)

    def reading(self, ids: IntArray, tokens: int) -> Lesson:
        """Return a lesson of passages that were picked themselves, as many of them as there are tokens for.

        There are no more of them than a topic picked would bring as a rule, so that a learner, which takes an update a
        lesson at least, takes about as many for the same tokens whatever an agent picks. The lesson is about the topics
        of these passages, in the order in which they are read.

        Args:
            ids: Ids of the passages, in the order to read, at least one; there may be far more than can be read.
            tokens: Tokens trained on so far.
        """
        allowance = min(self.config.expansion_tokens, self.config.budget_tokens - tokens)
        passages = self._within(ids[: self.research.usual_passages], allowance)
        topics = np.array(list(dict.fromkeys(passages.topics.tolist())), dtype=np.int32)
        return Lesson(passages, allowance, topics)

    def _within(self, ids: IntArray, allowance: int) -> Passages:
        """The passages that are reached; they are counted in ever larger parts, since there may be very many."""
        most = _COUNTED_AT_ONCE
        while True:
            ends = np.cumsum(self.learner.count_tokens(self.corpus.select(ids[:most])))
            if ends[-1] >= allowance or most >= len(ids):
                return self.corpus.select(ids[: np.searchsorted(ends, allowance) + 1])
            most *= 2

    def teach(self, lesson: Lesson, index: int, tokens: int, seconds: float = 0.0) -> Expansion:
        """Learn a lesson and return the record, not rewarded yet.

        Args:
            lesson: The lesson; the first topic that it is about is the picked one.
            index: Number of the expansion.
            tokens: Tokens trained on so far.
            seconds: Wall-clock of the research for it.

        Raises:
            DivergedError: If a loss becomes NaN or infinite.
        """
        neighbourhood = lesson.neighbourhood
        own = neighbourhood if "self" in self.needs else neighbourhood[:0]
        before, measures = self.prober.before(own), self.measurer.before(lesson)
        learning = time.perf_counter()
        learned = self.learner.learn(lesson.passages, lesson.allowance)
        learn_seconds = time.perf_counter() - learning
        measures |= self.measurer.after(lesson, learned.tokens)
        probes = self.prober.measurements(own, before, self.prober.after(own))
        probe_seconds, probe_tokens = self.prober.settle()
        phases = {"research": seconds, "learn": learn_seconds, "probe": probe_seconds}
        record = self._record(lesson, learned, index, tokens)
        return replace(record, probes=probes, measures=measures, seconds=phases, probe_tokens=probe_tokens)

    def _record(self, lesson: Lesson, learned: Learned, index: int, tokens: int) -> Expansion:
        trained, neighbourhood = lesson.passages.ids[: learned.passages], lesson.neighbourhood
        # A topic counts as learned only if a passage of its own was reached before the budget ended.
        read = {int(neighbourhood[0]), *self.corpus.topics[trained].tolist()}
        reached = [topic for topic in neighbourhood.tolist() if topic in read]
        return Expansion(
            index=index,
            topic=int(neighbourhood[0]),
            title=self.corpus.graph.titles[neighbourhood[0]],
            neighbourhood=tuple(reached),
            passages=tuple(trained.tolist()),
            tokens=learned.tokens,
            tokens_total=tokens + learned.tokens,
            budget=self.config.budget_tokens,
            train_loss=learned.loss,
            chunked=learned.chunked,
            changed=learned.changed,
            adapter=learned.module,
        )

    def losses_after(self, lesson: Lesson, topics: IntArray) -> NDArray[np.float32]:
        """Return topics' probe losses after a lesson, measured on a fork; see `kgrl.probes.forks.losses_after`."""
        return losses_after(self.prober, lesson.passages, lesson.allowance, topics)
