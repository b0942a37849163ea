"""The curriculum: the loop in which the four steps meet. It works without reinforcement learning.

Nucleate, then again and again: be curious (an agent picks), research, learn. Each turn is an `Expansion`. The module
does not know Gymnasium, any data source, or how agents think.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kgrl.corpus import Corpus, Split
from kgrl.curriculum.config import LEAST_TOKENS, CurriculumConfig
from kgrl.curriculum.measures import Lesson, check_needs
from kgrl.curriculum.researcher import Researcher
from kgrl.curriculum.state import LossProfile, Stages
from kgrl.curriculum.teacher import Teacher
from kgrl.curriculum.trials import Trials
from kgrl.curriculum.view import Agent, PassageAgent, Reminded, View
from kgrl.errors import DivergedError
from kgrl.expansion import Expansion
from kgrl.graph.frontier import Frontier
from kgrl.graph.nucleus import choose_nucleus
from kgrl.graph.topic_graph import IntArray
from kgrl.learners.base import Learner, Snapshot
from kgrl.learners.make import make_learner
from kgrl.retrieval.base import Retriever
from kgrl.retrieval.corpus_index import embed_corpus
from kgrl.retrieval.encoder import Encoder
from kgrl.rewards.base import Reward, RewardContext, rewarded
from kgrl.rewards.expression import as_reward

__all__ = ["Curriculum", "CurriculumConfig"]


class Curriculum:
    """Grows a learner's knowledge from a nucleus, one expansion at a time.

    Args:
        corpus: Topic graph and passages.
        learner: The model to teach; its state now is the state every start goes back to.
        retriever: Searches the corpus's train passages.
        embeddings: Unit topic embeddings, float32, shape `[topics, dimensions]`.
        reward: A reward, its name, or a function of an expansion; None where nobody is rewarded.
        config: Budgets, nucleus, goal and seed.

    Raises:
        UnknownNameError: If the goal, a stage, the nucleus or the reward is a name that is not known.
        SettingError: If the reward needs a goal and there is none, or what the learner does not have.

    Example:
        >>> from kgrl.agents import make_agent
        >>> from kgrl.graph import TopicGraph
        >>> from kgrl.retrieval import FaissRetriever
        >>> graph = TopicGraph.from_links(["Logic", "Set", "Number"], [0, 1], [1, 2])
        >>> texts = ["Logic asks what follows.", "A set has members.", "A number counts members."]
        >>> corpus, vectors = Corpus("three", graph, texts, [0, 1, 2], [0, 0, 0]), np.eye(3, dtype=np.float32)
        >>> config = CurriculumConfig(nucleus=("Logic",), neighbourhood=1)
        >>> learner, retriever = make_learner("scratch", corpus), FaissRetriever(np.arange(3), vectors)
        >>> curriculum = Curriculum(corpus, learner, retriever, vectors, config=config)
        >>> [expansion.title for expansion in curriculum.run(make_agent("bfs"))]
        ['Logic', 'Set', 'Number']
    """

    def __init__(
        self,
        corpus: Corpus,
        learner: Learner,
        retriever: Retriever,
        embeddings: NDArray[np.float32],
        reward: Any = None,
        config: CurriculumConfig | None = None,
    ) -> None:
        self.corpus, self.learner = corpus, learner
        self.config = config or CurriculumConfig()
        self.reward: Reward | None = None if reward is None else as_reward(reward)
        self.goal = None if self.config.goal is None else corpus.graph.in_category(self.config.goal)
        self.trainable = self._can_be_picked()
        self._stages = Stages(corpus.graph, self.config, self.trainable)
        inside = self._stages.domains[0] if self._stages.names else self.goal
        self.nucleus = choose_nucleus(
            corpus.graph, self.config.nucleus, self.config.nucleus_size, inside, self.trainable
        )
        self.embeddings = embeddings
        if self.reward is not None:
            check_needs(self.reward, learner, self.goal)
            self.reward.bind(RewardContext(corpus.graph, embeddings, self.goal))
        self.research = Researcher(corpus, retriever, embeddings, self.config.neighbourhood)
        self.teacher = Teacher(corpus, learner, self.research, self.reward, self.goal, self.config)
        self.prober = self.teacher.prober
        self.trials = Trials(self)
        self._initial = learner.snapshot()
        self._nucleated: tuple[Snapshot, Expansion] | None = None
        self._clear(self.config.seed)

    @classmethod
    def make(
        cls,
        corpus: Corpus,
        learner: str | Learner = "lora",
        reward: Any = None,
        config: CurriculumConfig | None = None,
        *,
        cache: Path | None = None,
        **learner_options: Any,
    ) -> Curriculum:
        """Make a curriculum, with the default encoder and a learner by name.

        Args:
            corpus: Topic graph and passages.
            learner: A learner or the name of one.
            reward: A reward, its name, or a function of an expansion.
            config: Budgets, nucleus, goal and seed.
            cache: Folder that keeps embeddings between runs; the user's cache folder if None.
            learner_options: Passed to the learner's constructor when it is given by name.
        """
        config = config or CurriculumConfig()
        if isinstance(learner, str):
            learner = make_learner(learner, corpus, seed=config.seed, **learner_options)
        retriever, embeddings = embed_corpus(corpus, Encoder(), cache)
        return cls(corpus, learner, retriever, embeddings, reward, config)

    def _can_be_picked(self) -> NDArray[np.bool_]:
        trainable = self.corpus.has(Split.TRAIN)
        if self.reward is not None and self.reward.needs & {"self", "reference"}:  # measured on what is picked
            trainable = trainable & self.corpus.has(Split.PROBE)
        return trainable

    def _clear(self, seed: int) -> None:
        self.frontier = Frontier(self.corpus.graph)
        self.profile = LossProfile(len(self.corpus.graph))
        self.used = np.zeros(len(self.corpus), dtype=bool)
        self.tokens, self.index = 0, 0
        self.rng = np.random.default_rng(seed)
        self.prober.remember({})

    def rewind(self) -> None:
        """Put the learner back to its initial state, before the nucleus."""
        self.learner.restore(self._initial)

    def start(self, seed: int | None = None) -> Expansion:
        """Go back to the learner's initial state, learn the nucleus and return that as expansion 0.

        The nucleus is learned once; later starts restore what was learned then.

        Args:
            seed: Seeds the draws of this curriculum's agents; the config's seed if None.
        """
        self._clear(self.config.seed if seed is None else seed)
        if self._nucleated is None:
            self.teacher.measurer.prepare()
            self.rewind()
            began = time.perf_counter()
            lesson = self.teacher.lesson(self.nucleus, self.used, self.tokens)
            expansion = self._expand(lesson, time.perf_counter() - began)
            self._nucleated = self.learner.snapshot(), expansion
        else:
            snapshot, expansion = self._nucleated
            self.learner.restore(snapshot)
            self.replay(expansion)
        if self.reward is not None:
            self.reward.begin(expansion)
        return expansion

    def expand(self, choice: int | IntArray) -> Expansion:
        """Learn what an agent chose and return the record, its reward included.

        Args:
            choice: A topic, whose neighbourhood is learned; or ids of passages, which are read in that order.

        Raises:
            ValueError: If the topic is learned already or has no train passages, or a passage cannot be read.
            DivergedError: If a loss becomes NaN or infinite; the message says at which expansion.
        """
        began = time.perf_counter()
        lesson = self.lesson(choice)
        return rewarded(self._expand(lesson, time.perf_counter() - began), self.reward)

    def _expand(self, lesson: Lesson, seconds: float) -> Expansion:
        with self.named(lesson):
            expansion = self.teach(lesson, seconds)
        self.replay(expansion)
        return expansion

    def teach(self, lesson: Lesson, seconds: float = 0.0) -> Expansion:
        """Teach a lesson and return its record; the curriculum's state stays what it was, the learner's does not.

        Args:
            lesson: What is read.
            seconds: What it took to research it.
        """
        return self.teacher.teach(lesson, self.index, self.tokens, seconds)

    @contextmanager
    def named(self, lesson: Lesson) -> Iterator[None]:
        """Let a diverged loss say at which expansion, and into which topic."""
        try:
            yield
        except DivergedError as error:
            title = self.corpus.graph.titles[lesson.neighbourhood[0]]
            raise DivergedError(f"expansion {self.index} ({title}): {error}") from error

    def lesson(self, choice: int | IntArray) -> Lesson:
        """Return what an expansion would read now; see `expand`.

        Raises:
            ValueError: If the topic is learned already or has no train passages, or a passage cannot be read.
        """
        if not isinstance(choice, np.ndarray):
            return self.teacher.lesson(self._neighbourhood(choice), self.used, self.tokens)
        if not len(choice) or not np.isin(choice, self._unread()).all():
            raise ValueError("cannot read such passages: none, or some that are no train passages or were read before")
        return self.teacher.reading(choice, self.tokens)

    def _neighbourhood(self, topic: int) -> IntArray:
        allowed = self.allowed
        if self.frontier.is_learned[topic] or not allowed[topic]:
            raise ValueError(f"cannot expand into {self.corpus.graph.titles[topic]!r}: it {self._why_not(topic)}")
        return self.research.neighbourhood(topic, self.frontier, allowed if self._stages.names else None)

    def _why_not(self, topic: int) -> str:
        if self.frontier.is_learned[topic]:
            return "is learned already"
        if not self.trainable[topic]:
            return "lacks train passages, or probe passages that the reward reads"
        return f"is not of {self.stage!r}, which is learned now"

    def replay(self, expansion: Expansion) -> None:
        """Take a recorded expansion into the curriculum's state, without teaching the learner.

        Used to resume a run whose learner was saved.
        """
        for topic in expansion.neighbourhood:
            self.frontier.learn(topic)
        self.used[list(expansion.passages)] = True
        self.tokens, self.index = expansion.tokens_total, expansion.index + 1
        before = {t: loss for m in expansion.probes.values() for t, loss in zip(m.topics, m.before, strict=True)}
        after = {t: loss for m in expansion.probes.values() for t, loss in zip(m.topics, m.after, strict=True)}
        self.prober.remember(after)
        fresh = [t for t in before if np.isnan(self.profile.level[t])]
        self.profile.update(fresh, [before[t] for t in fresh])
        self.profile.update(list(after), list(after.values()))

    def resume(self, expansions: Sequence[Expansion], agent: Agent) -> None:
        """Bring the curriculum and an agent to where recorded expansions left them; the caller loads the learner.

        Args:
            expansions: The records so far, the nucleus first.
            agent: Is reset after the nucleus and observes the others.
        """
        self._clear(self.config.seed)
        self.teacher.measurer.prepare()
        self.prober.settle()  # the nucleus's record has what that cost
        self.replay(expansions[0])
        if self.reward is not None:
            self.reward.begin(expansions[0])
        agent.reset(self.view)
        if len(expansions) > 1:
            self.prober.settle()  # nor is what a reset measures booked again
        for expansion in expansions[1:]:
            if isinstance(agent, Reminded):
                agent.remind(self.view)
            self.replay(expansion)
            if self.reward is not None:
                self.reward.evaluate(expansion)  # for what a reward remembers of earlier expansions
            agent.observe(expansion)

    @property
    def stage(self) -> str | None:
        """The category that is learned now, None where there are no stages."""
        return self._stages.name(self.tokens)

    @property
    def allowed(self) -> NDArray[np.bool_]:
        """Whether each topic can be picked now, as far as text and stages go, shape `[topics]`."""
        return self._stages.allowed(self.tokens, self.frontier)

    @property
    def view(self) -> View:
        """What agents may see of the state now."""
        return View(
            graph=self.corpus.graph,
            frontier=self.frontier,
            nucleus=self.nucleus,
            goal=self.goal,
            profile=self.profile,
            embeddings=self.embeddings,
            trainable=self.allowed,
            tokens=self.tokens,
            budget=self.config.budget_tokens,
            index=self.index,
            rng=self.rng,
            measure=self.trials.measure,
            try_topics=self.trials.try_topics,
            measure_initial=self.trials.measure_initial,
            teach_initial=self.trials.teach_initial,
            unread=self._unread,
            passage_topics=self.corpus.topics,
        )

    def prepare(self, agent: Agent) -> None:
        """Get ready for an agent's next choice; a curriculum on a corpus that is at hand always is."""

    def extend(self, corpus: Corpus, retriever: Retriever, embeddings: NDArray[np.float32]) -> None:
        """Go on with a larger corpus; `resume` is called next.

        Args:
            corpus: Begins with the present one: same topics and passages under the same numbers, and more behind them.
            retriever: Searches its train passages.
            embeddings: Unit topic embeddings, float32, shape `[topics, dimensions]`.
        """
        self.corpus, self.embeddings = corpus, embeddings
        self.goal = None if self.config.goal is None else corpus.graph.in_category(self.config.goal)
        self.trainable = self._can_be_picked()
        self._stages = Stages(corpus.graph, self.config, self.trainable)
        self.research = Researcher(corpus, retriever, embeddings, self.config.neighbourhood)
        self.teacher.extend(corpus, self.research)
        if self.reward is not None:
            self.reward.bind(RewardContext(corpus.graph, embeddings, self.goal))

    def _unread(self) -> IntArray:
        unread = (self.corpus.splits == Split.TRAIN) & ~self.used & self.allowed[self.corpus.topics]
        return np.flatnonzero(unread).astype(np.int32)

    @property
    def out_of_budget(self) -> bool:
        """Whether too few tokens are left for another expansion."""
        return self.config.budget_tokens - self.tokens < LEAST_TOKENS

    @property
    def exhausted(self) -> bool:
        """Whether the frontier holds nothing that can be learned."""
        return len(self.view.candidates) == 0

    def _nothing_left(self, agent: Agent) -> bool:
        if isinstance(agent, PassageAgent):
            return not len(self._unread())
        unlearned = self.trainable & ~self.frontier.is_learned
        return self.exhausted if agent.frontier_only else not unlearned.any()

    def run(self, agent: Agent, *, resume: bool = False) -> Iterator[Expansion]:
        """Let an agent choose until the budget or the frontier is used up.

        Args:
            agent: Chooses the topics, or the passages.
            resume: Go on from the present state in place of starting over.

        Yields:
            Each expansion, the nucleus first unless resumed.

        Raises:
            ValueError: If an agent that says it stays on the frontier leaves it; the message names the topic.
        """
        if not resume:
            yield self.start()
            agent.reset(self.view)
        while not self.out_of_budget:
            self.prepare(agent)
            if self._nothing_left(agent):
                break
            choice = agent.choose(self.view)
            if agent.frontier_only and choice not in self.frontier:
                raise ValueError(f"{self.corpus.graph.titles[int(choice)]!r} is not on the frontier")
            expansion = self.expand(choice)
            agent.observe(expansion)
            yield expansion
