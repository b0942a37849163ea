"""The curriculum: the loop of the four steps, usable without reinforcement learning.

Nucleate, then repeat: be curious (an agent picks), research, learn. Each turn is an `Expansion`. The module does not
know Gymnasium, data sources, or the inside of agents.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from copy import deepcopy
from pathlib import Path
from types import FunctionType
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import NDArray

from kgrl.corpus import Corpus
from kgrl.curriculum.config import CurriculumConfig
from kgrl.curriculum.measures import Lesson, check_needs
from kgrl.curriculum.named_topics import with_titles
from kgrl.curriculum.research_kernels import ResearchTables
from kgrl.curriculum.researcher import Researcher, kept_tables
from kgrl.curriculum.state import CurriculumState
from kgrl.curriculum.teacher import Teacher
from kgrl.curriculum.trials import Trials
from kgrl.curriculum.view import Agent, Finite, PassageAgent, Reminded, View
from kgrl.expansion import Expansion
from kgrl.graph.topic_graph import IntArray
from kgrl.learners.base import Learner, Snapshot
from kgrl.learners.make import make_learner
from kgrl.retrieval.base import Retriever
from kgrl.retrieval.corpus_index import embed_corpus
from kgrl.retrieval.encoder import DEFAULT_ENCODER, AnyEncoder, as_encoder
from kgrl.rewards.base import Composed, FunctionReward, Reward, RewardContext, rewarded
from kgrl.rewards.expression import as_reward
from kgrl.system.display import count_text
from kgrl.system.files import cache_dir, content_key

__all__ = ["Curriculum"]

_log = logging.getLogger(__name__)
_TABLES = "1"
"""Part of the key of kept research tables; raise it when research changes."""

_GIVEN_TO: WeakValueDictionary[int, Curriculum] = WeakValueDictionary()
"""The curriculum that has an object which remembers: a reward, or a part of one. It keeps the object, and so the id."""


def _parts(reward: Reward) -> Iterator[object]:
    """Yield what a reward may remember in: itself, its parts, and objects that are called as functions."""
    yield reward
    if isinstance(reward, FunctionReward) and not isinstance(reward.function, FunctionType):
        yield getattr(reward.function, "__self__", reward.function)
    for part in reward.parts if isinstance(reward, Composed) else ():
        yield from _parts(part)


class Curriculum:
    """Grows a learner's knowledge from a nucleus, one expansion at a time.

    Args:
        corpus: Topic graph and passages.
        learner: The model to teach; every start puts it back into its present state. It can serve one curriculum after
            another, but not two at a time.
        retriever: Searches the corpus's train passages.
        embeddings: Unit topic embeddings, float32, shape `[topics, dimensions]`.
        reward: A reward, its name or expression, or a function of an expansion; None for no reward. Rewards remember:
            of one that another curriculum has, also as a part, this one has a copy.
        config: Budgets, nucleus, goal and seed; the defaults if None.
        tables: Research tables of another curriculum with the same corpus, retriever, embeddings and size of
            neighbourhoods (`state.research.tables`), to save computing them again.

    Attributes:
        state: Solid topics, passages read, losses measured, tokens spent.
        reward: The reward, None without one.
        teacher: Teaches single lessons.
        trials: The measurements that a view offers, and expansions on trial.
        encoder: Fingerprint of the encoder that made the embeddings, on whatever device; None where they were given.

    Raises:
        UnknownNameError: If the goal, a stage, the nucleus or the reward is a name that is not known.
        SettingError: If the reward needs a goal and there is none, or gradients of a learner that has none.

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
        >>> curriculum
        Curriculum('three', ScratchLearner, no reward, 3 topics solid, 15 of 20,000 tokens)

        In a notebook, `kgrl.expansion.ExpansionList(curriculum.run(agent))` is shown as a table.
    """

    def __init__(
        self,
        corpus: Corpus,
        learner: Learner,
        retriever: Retriever,
        embeddings: NDArray[np.float32],
        reward: Any = None,
        config: CurriculumConfig | None = None,
        *,
        tables: ResearchTables | None = None,
    ) -> None:
        config = config or CurriculumConfig()
        self.encoder: str | None = None
        self.reward: Reward | None = None if reward is None else self._own(as_reward(reward))
        # Only what the reward needs is measured, so without a reward nothing is.
        needs = self.reward.needs if self.reward else frozenset[str]()
        research = Researcher(corpus, retriever, embeddings, config.neighbourhood, tables)
        self.state = CurriculumState(research, learner, needs, config)
        if self.reward is not None:
            check_needs(self.reward, learner, self.goal)
            self._bind(self.reward)
        self.teacher = Teacher(self.state, self.reward)
        self.trials = Trials(self.state, self.teacher)
        self._nucleated: tuple[Snapshot, list[Expansion]] | None = None
        self._history: list[Expansion] = []  # the records since the start
        self._begun = False  # whether reward and agent have begun, which they do after the nucleus

    def __repr__(self) -> str:
        state, reward = self.state, "no reward" if self.reward is None else f"reward {self.reward}"
        solid = f"{count_text(len(state.frontier.solid), 'topic')} solid"
        spent = f"{state.tokens:,} of {state.config.budget_tokens:,} tokens"
        made_of = f"{state.corpus.name!r}, {type(state.learner).__name__}, {reward}"
        return f"{type(self).__name__}({made_of}, {solid}, {spent})"

    @classmethod
    def make(
        cls,
        corpus: Corpus,
        learner: str | Learner = "lora",
        reward: Any = None,
        config: CurriculumConfig | None = None,
        *,
        encoder: AnyEncoder = DEFAULT_ENCODER,
        cache: Path | None = None,
        **learner_options: Any,
    ) -> Curriculum:
        """Make a curriculum with an encoder and a learner by name.

        Args:
            corpus: Topic graph and passages.
            learner: A learner or the name of one.
            reward: A reward, its name or expression, or a function of an expansion; None for no reward.
            config: Budgets, nucleus, goal and seed; the defaults if None.
            encoder: Embeds the passages: an encoder, or the name or folder of one (see `kgrl.retrieval.Encoder`). A
                simulated learner that is made here knows topics by it, too.
            cache: Folder that keeps embeddings between runs; the user's cache folder if None.
            learner_options: Passed to the learner's constructor if the learner is given by name.
        """
        encoder = as_encoder(encoder)
        config = with_titles(config or CurriculumConfig(), corpus, encoder)
        if isinstance(learner, str):
            learner = make_learner(learner, corpus, seed=config.seed, encoder=encoder, **learner_options)
        retriever, embeddings = embed_corpus(corpus, encoder, cache)
        key = content_key(_TABLES, corpus.fingerprint, encoder.fingerprint, str(config.neighbourhood))
        entry = (cache_dir() / "research" if cache is None else cache) / key
        tables = kept_tables(corpus, retriever, embeddings, config.neighbourhood, entry)
        made = cls(corpus, learner, retriever, embeddings, reward, config, tables=tables)
        made.encoder = encoder.model_fingerprint
        return made

    def _own(self, reward: Reward) -> Reward:
        """Return the reward, or a copy of it if a curriculum has it already."""
        if any(id(part) in _GIVEN_TO for part in _parts(reward)):
            reward = deepcopy(reward)
        for part in _parts(reward):
            _GIVEN_TO[id(part)] = self
        return reward

    def _bind(self, reward: Reward) -> None:
        reward.bind(RewardContext(self.corpus.graph, self.state.embeddings, self.goal))

    @property
    def corpus(self) -> Corpus:
        """Topic graph and passages."""
        return self.state.corpus

    @property
    def learner(self) -> Learner:
        """The model that is taught."""
        return self.state.learner

    @property
    def config(self) -> CurriculumConfig:
        """Budgets, nucleus, goal and seed."""
        return self.state.config

    @property
    def goal(self) -> IntArray | None:
        """The goal's topics, None if all topics count."""
        return self.state.goal

    @property
    def nucleus(self) -> IntArray:
        """The topics to begin with."""
        return self.state.nucleus

    @property
    def begun(self) -> bool:
        """True once the nucleus was learned and the agent has begun to choose."""
        return self._begun

    def start(self, seed: int | None = None) -> list[Expansion]:
        """Put the learner into its initial state, learn the nucleus, and return the records of that.

        A nucleus that has to be read is expansion 0. One that has to be known is learned again until it is solid, or
        has taken its share of the budget. The nucleus is learned once; later starts restore the learner's state after
        it.

        Args:
            seed: Seeds the draws of this curriculum's agents; the config's seed if None.
        """
        self._restart(seed)
        if self._nucleated is None:
            for _ in self._nucleate():
                pass
        else:
            self._restore_nucleus()
        self._begin(self._history)
        return list(self._history)

    def _restart(self, seed: int | None = None) -> None:
        """Forget everything, the records included."""
        self.state.claim_learner()
        self.state.clear(self.config.seed if seed is None else seed)
        self._history, self._begun = [], False

    def _nucleate(self) -> Iterator[Expansion]:
        """Learn the nucleus, or what is left of it, and yield the records of its lessons."""
        if not self._history:
            # The reference is trained first, with the learner in its initial state.
            self.teacher.measurer.prepare()
            self.state.rewind()
        while not (self.state.nucleated or self.state.out_of_budget):
            began = time.perf_counter()
            self._history.append(self._expand(self.teacher.nucleus_lesson(), time.perf_counter() - began))
            yield self._history[-1]
        self._nucleated = self.learner.snapshot(), list(self._history)
        remark = self.state.remark_on_mastery()
        if remark is not None:
            _log.warning("%s", remark)

    def _restore_nucleus(self) -> None:
        """Go to the state after the nucleus, which was learned before."""
        assert self._nucleated is not None
        snapshot, self._history = self._nucleated[0], list(self._nucleated[1])
        self.learner.restore(snapshot)
        for expansion in self._history:
            self.state.replay(expansion)

    def _begin(self, nucleus: Sequence[Expansion]) -> None:
        """Let the reward begin with the lessons on the nucleus."""
        self._begun = True
        if self.reward is not None:
            self.reward.begin(nucleus[0])
            for expansion in nucleus[1:]:
                self.reward.evaluate(expansion)  # for what it remembers

    def expand(self, choice: int | IntArray) -> Expansion:
        """Learn an agent's choice and return the record, with its reward.

        Args:
            choice: A topic, whose neighbourhood is learned; or ids of passages, which are read in that order.

        Raises:
            ValueError: If the topic is learned already or has no train passages, or a passage cannot be read.
            SettingError: If another curriculum has begun with the same learner meanwhile.
            DivergedError: If a loss becomes NaN or infinite; the message says at which expansion.
        """
        self.state.check_learner()
        began = time.perf_counter()
        lesson = self.teacher.lesson(choice)
        self._history.append(rewarded(self._expand(lesson, time.perf_counter() - began), self.reward))
        return self._history[-1]

    def _expand(self, lesson: Lesson, seconds: float) -> Expansion:
        expansion = self._teach(lesson, seconds)
        self.state.replay(expansion)
        return expansion

    def _teach(self, lesson: Lesson, seconds: float) -> Expansion:
        """Teach a lesson and return its record; subclasses extend it."""
        return self.teacher.teach(lesson, seconds)

    def resume(self, expansions: Sequence[Expansion], agent: Agent) -> None:
        """Bring the curriculum and an agent into the state after recorded expansions; the caller loads the learner.

        Args:
            expansions: The records so far, the nucleus first.
            agent: The agent; it is reset after the nucleus and observes the other expansions. With records of the
                nucleus alone, all or some, `run` goes on with the nucleus and resets the agent.
        """
        self._restart()
        self._history = list(expansions)
        self.teacher.measurer.prepare()
        self.state.prober.settle()  # dropped: the nucleus's record contains this cost
        first = 0  # the number of the first expansion after the nucleus
        while first < len(expansions) and not self.state.nucleated:
            self.state.replay(expansions[first])
            first += 1
        if len(expansions) == first:
            return
        self._begin(expansions[:first])
        agent.reset(self.view)
        self.state.prober.settle()  # dropped: a record contains the cost of the reset
        for expansion in expansions[first:]:
            if isinstance(agent, Reminded):
                agent.remind(self.view)
            self.state.replay(expansion)
            if self.reward is not None:
                self.reward.evaluate(expansion)  # for what a reward remembers of earlier expansions
            agent.observe(expansion)

    @property
    def view(self) -> View:
        """The present state, as agents may see it."""
        state, trials = self.state, self.trials
        return View(
            graph=state.corpus.graph,
            frontier=state.frontier,
            nucleus=state.nucleus,
            goal=state.goal,
            profile=state.profile,
            embeddings=state.embeddings,
            trainable=state.allowed,
            tokens=state.tokens,
            budget=state.config.budget_tokens,
            index=state.index,
            rng=state.rng,
            measure=trials.measure,
            try_topics=trials.try_topics,
            measure_initial=trials.measure_initial,
            teach_initial=trials.teach_initial,
            readable=state.readable,
            readings=state.readings,
            knowledge=state.knowledge,
            mastery=state.mastery,
            was_solid=state.standing.was_solid,
            passage_topics=state.corpus.topics,
        )

    def prepare(self, agent: Agent) -> None:
        """Prepare for an agent's next choice. Subclasses whose corpus grows wait here for text; others do nothing."""

    def extend(self, corpus: Corpus, retriever: Retriever, embeddings: NDArray[np.float32]) -> None:
        """Continue with a larger corpus; the caller calls `resume` next.

        Args:
            corpus: The corpus, which begins with the present one: the same topics and passages under the same numbers,
                followed by new ones.
            retriever: Searches its train passages.
            embeddings: Unit topic embeddings, float32, shape `[topics, dimensions]`.
        """
        self.state.extend(Researcher(corpus, retriever, embeddings, self.config.neighbourhood))
        if self.reward is not None:
            self._bind(self.reward)

    def _nothing_left(self, agent: Agent) -> bool:
        """True if an agent has nothing to choose from: passages, frontier topics, or topics anywhere."""
        state = self.state
        if isinstance(agent, Finite) and agent.finished(self.view):
            return True
        if isinstance(agent, PassageAgent):
            return not len(state.readable())
        unlearned = state.allowed & ~state.frontier.is_solid
        return state.exhausted if agent.frontier_only else not unlearned.any()

    def run(self, agent: Agent, *, resume: bool = False) -> Iterator[Expansion]:
        """Let an agent choose until the budget or the frontier is exhausted, or the agent is finished (`Finite`).

        Args:
            agent: Chooses the topics, or the passages.
            resume: Continue from the present state instead of starting over.

        Yields:
            Each expansion, the nucleus first unless resumed.

        Raises:
            ValueError: If an agent that declares to stay on the frontier leaves it; the message names the topic.
        """
        if not resume:
            self._restart()
            # Lessons are learned one by one here, so that a run can take an exam and keep the learner after each.
            if self._nucleated is not None and len(self._nucleated[1]) == 1:
                self._restore_nucleus()
                yield from self._history
        if not self._begun:
            if not self.state.nucleated:
                yield from self._nucleate()
            self._begin(self._history)
            # After the nucleus was recorded, since an agent may measure something.
            agent.reset(self.view)
        while not self.state.out_of_budget:
            self.prepare(agent)
            if self._nothing_left(agent):
                break
            choice = agent.choose(self.view)
            if agent.frontier_only and choice not in self.state.frontier:
                raise ValueError(f"{self.corpus.graph.titles[int(choice)]!r} is not on the frontier")
            expansion = self.expand(choice)
            agent.observe(expansion)  # before the record is used: a checkpoint written then includes what was observed
            yield expansion
