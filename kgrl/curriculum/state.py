"""State of a curriculum that outlives a lesson: solid topics, passages read, losses measured, tokens spent.

`CurriculumState` holds all of it. `LossProfile` is its part for losses, `Stages` its part for categories learned in
turn.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING
from weakref import WeakSet, WeakValueDictionary

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kgrl.corpus import Corpus, Split
from kgrl.curriculum.config import LEAST_TOKENS, CurriculumConfig
from kgrl.curriculum.mastery import Mastery
from kgrl.curriculum.researcher import Researcher
from kgrl.curriculum.standing import Standing
from kgrl.errors import SettingError
from kgrl.expansion import Expansion
from kgrl.graph.frontier import Frontier
from kgrl.graph.nucleus import choose_nucleus
from kgrl.graph.prerequisites import Prerequisites
from kgrl.graph.titled import goal_topics
from kgrl.graph.topic_graph import IntArray, TopicGraph
from kgrl.learners.base import Learner
from kgrl.probes.light_sample import light_sample
from kgrl.probes.prober import Prober, sample_topics
from kgrl.probes.recall import check_reads_text
from kgrl.system.display import count_text

if TYPE_CHECKING:
    from kgrl.probes.link_test import LinkTest

__all__ = ["CurriculumState", "LossProfile", "Stages"]

FloatArray = NDArray[np.float32]
_MOST_NAMED = 5
"""Most titles that a warning names."""

_log = logging.getLogger(__name__)


class LossProfile:
    """Loss profile: per-topic held-out losses over a curriculum, in nats per token.

    Losses that were not measured are NaN, never estimated. The exam does not enter.

    Args:
        n_topics: Number of topics of the graph.

    Attributes:
        first: First measured loss of each topic, NaN if none, float32 `[topics]`.
        level: Latest measured loss of each topic, NaN if none, float32 `[topics]`.
        best: Lowest measured loss of each topic, NaN if none, float32 `[topics]`.
        previous: The measured loss before the latest of each topic, NaN if none, float32 `[topics]`.

    Example:
        >>> profile = LossProfile(3)
        >>> profile.update([0, 2], [4.0, 3.0])
        >>> profile.update([0], [3.5])
        >>> profile
        LossProfile(2 of 3 topics measured)
        >>> profile.progress.tolist()
        [0.5, 0.0, 0.0]
    """

    def __init__(self, n_topics: int) -> None:
        self.first: FloatArray = np.full(n_topics, np.nan, dtype=np.float32)
        self.level = self.first.copy()
        self.best = self.first.copy()
        self.previous = self.first.copy()

    def __repr__(self) -> str:
        return f"LossProfile({int(self.measured.sum()):,} of {count_text(len(self.level), 'topic')} measured)"

    def update(self, topics: ArrayLike, losses: ArrayLike) -> None:
        """Record the latest losses of some topics.

        Args:
            topics: Topic numbers, without repeats, shape `[n]`.
            losses: Their mean probe losses in nats per token, shape `[n]`.
        """
        at = np.asarray(topics, dtype=np.int64)
        new = np.asarray(losses, dtype=np.float32)
        self.previous[at] = self.level[at]
        self.level[at] = new
        self.first[at] = np.where(np.isnan(self.first[at]), new, self.first[at])
        self.best[at] = np.fmin(self.best[at], new)

    @property
    def progress(self) -> FloatArray:
        """Drop of each topic's loss between its last two measurements, 0 without two, float32 `[topics]`."""
        return self.progress_of(slice(None))

    def progress_of(self, topics: NDArray[np.integer] | slice) -> FloatArray:
        """Return `progress` for some topics, in time that does not grow with the graph."""
        drop: FloatArray = np.nan_to_num(self.previous[topics] - self.level[topics])
        return drop

    @property
    def forgetting(self) -> FloatArray:
        """Rise of each topic's loss above its best, 0 for topics that were not measured, float32 `[topics]`."""
        rise: FloatArray = np.nan_to_num(self.level - self.best)
        return rise

    @property
    def measured(self) -> NDArray[np.bool_]:
        """True for topics that were measured, bool `[topics]`."""
        return ~np.isnan(self.level)


class Stages:
    """Stages of a curriculum: categories learned one after another, each for an equal share of the token budget.

    Without stages every topic that has text can be picked at any time.

    Args:
        graph: The topic graph.
        config: Its `stages` are the categories in order, its `budget_tokens` the budget they share.
        trainable: Whether each topic has the text to be picked, bool `[topics]`.

    Raises:
        UnknownNameError: If a stage is not a category of the graph.

    Example:
        >>> graph = TopicGraph.from_links(["a", "b", "c"], [0, 1], [1, 2], ["x", "y", "x"])
        >>> stages = Stages(graph, CurriculumConfig(stages=("x", "y"), budget_tokens=100), np.ones(3, dtype=bool))
        >>> stages.name(0), stages.name(50)
        ('x', 'y')
        >>> stages.allowed(50, Frontier(graph, [0])).tolist()
        [False, True, False]
    """

    def __init__(self, graph: TopicGraph, config: CurriculumConfig, trainable: NDArray[np.bool_]) -> None:
        self.names, self.budget, self.trainable = config.stages, config.budget_tokens, trainable
        self.domains: list[IntArray] = [graph.in_category(name) for name in self.names]
        self._masks = [trainable & np.isin(np.arange(len(graph)), domain) for domain in self.domains]

    def name(self, tokens: int) -> str | None:
        """Return the category that is learned after `tokens` tokens, None without stages."""
        return self.names[self._number(tokens)] if self.names else None

    def _number(self, tokens: int) -> int:
        # The last stage lasts to the end: an expansion may exceed the budget by a few tokens.
        return min(tokens * len(self.names) // self.budget, len(self.names) - 1)

    def allowed(self, tokens: int, frontier: Frontier) -> NDArray[np.bool_]:
        """Return whether each topic can be picked after `tokens` tokens, bool `[topics]`.

        These are the topics of the present stage. They are all trainable topics without stages, and while no frontier
        topic is of the present stage.
        """
        if not self.names:
            return self.trainable
        staged = self._masks[self._number(tokens)]
        return staged if frontier.any(staged) else self.trainable


_TOLD: WeakSet[Corpus] = WeakSet()
"""Corpora of which it was said that they have prerequisites without text; environments make many curricula of one."""


def _tell_unavailable(corpus: Corpus, available: NDArray[np.bool_]) -> None:
    """Say once which prerequisites are not asked for, because they cannot be taught."""
    lacking = Prerequisites.unavailable(corpus.graph, available)
    if not len(lacking) or corpus in _TOLD:
        return
    _TOLD.add(corpus)
    named = ", ".join(repr(corpus.graph.titles[topic]) for topic in lacking[:_MOST_NAMED].tolist())
    more = f" and {len(lacking) - _MOST_NAMED:,} more" if len(lacking) > _MOST_NAMED else ""
    what = f"{count_text(len(lacking), 'prerequisite')} of {corpus.name!r} without passages to learn from"
    _log.warning("%s, so not asked for: %s%s", what, named, more)


_TAUGHT_BY: WeakValueDictionary[int, CurriculumState] = WeakValueDictionary()
"""The curriculum that last began with a learner, by the learner's `id`; it keeps the learner, and with it the id."""


class CurriculumState:
    """State of a curriculum between two expansions, and what can be picked and read in that state.

    Args:
        research: Finds neighbourhoods and passages; its corpus is the curriculum's.
        learner: The learner, in its initial state.
        needs: The measurements that the reward needs; see `kgrl.rewards.base`.
        config: Budgets, nucleus, goal and seed.

    Attributes:
        goal: The goal's topics, None if all topics count.
        trainable: Whether each topic has the text to be picked, bool `[topics]`.
        stages: The categories learned in turn.
        nucleus: The topics to begin with.
        initial: The learner's snapshot before any training.
        prober: Measures on probe passages and keeps account of the cost.
        standing: Which topics are read, solid and faded.
        frontier: The solid topics and the frontier.
        profile: Probe losses of topics, as far as measured.
        knowledge: What was read of each topic, and how well it is known.
        mastery: The criterion by which topics are solid.
        link_test: Asks for what is known, where links are to be recalled; else None.
        readings: How often each passage was trained on, int32 `[passages]`.
        tokens: Tokens trained on so far.
        index: Number of the coming expansion.
        rng: The random generator that agents draw from.

    Raises:
        UnknownNameError: If the goal, a stage or the nucleus is a name that is not known.
    """

    def __init__(self, research: Researcher, learner: Learner, needs: frozenset[str], config: CurriculumConfig) -> None:
        self.learner, self.needs, self.config = learner, needs, config
        self.mastery = Mastery.of(config.mastery)
        self.link_test: LinkTest | None = None
        if self.mastery.measure == "recall":
            check_reads_text(learner)
        self._adopt(research)
        # A curriculum with stages starts in the first one, whatever its goal.
        inside = self.stages.domains[0] if self.stages.names else self.goal
        graph = self.corpus.graph
        self.nucleus = choose_nucleus(graph, config.nucleus, config.nucleus_size, inside, self.trainable)
        samples = {"mean": self.sample()} if "mean" in needs else {}
        if "target" in needs and self.goal is not None:
            samples["target"] = self.sample(self.goal)
        fixed = {name: topics for name, (topics, _) in samples.items()}
        self.prober = Prober(self.corpus, learner, fixed, {name: weights for name, (_, weights) in samples.items()})
        self.initial = learner.snapshot()
        self.clear(config.seed)
        _tell_unavailable(self.corpus, self.trainable)

    def __repr__(self) -> str:
        solid = f"{count_text(len(self.frontier.solid), 'topic')} solid, {len(self.frontier):,} on the frontier"
        spent = f"{self.tokens:,} of {self.config.budget_tokens:,} tokens"
        return f"CurriculumState({self.corpus.name!r}, before expansion {self.index}, {solid}, {spent})"

    def _adopt(self, research: Researcher) -> None:
        """Set the attributes that follow from the corpus."""
        self.research = research
        graph = self.corpus.graph
        self.goal = goal_topics(graph, self.config.goal)
        self.trainable = self.corpus.has(Split.TRAIN)
        # These are measured on the probe passages of picked topics, and so is what is known of them.
        if self.needs & {"self", "reference", "knowledge"} or not self.mastery.by_reading:
            self.trainable = self.trainable & self.corpus.has(Split.PROBE)
        self.stages = Stages(graph, self.config, self.trainable)
        if self.mastery.measure == "recall":
            from kgrl.probes.link_test import LinkTest  # here, since rules for sentences take a while to import

            self.link_test = LinkTest(self.corpus)

    @property
    def corpus(self) -> Corpus:
        """Topic graph and passages."""
        return self.research.corpus

    @property
    def embeddings(self) -> NDArray[np.float32]:
        """Unit topic embeddings, float32, shape `[topics, dimensions]`."""
        return self.research.embeddings

    def sample(self, among: IntArray | None = None) -> tuple[IntArray, tuple[float, ...]]:
        """Return the probe sample of some topics, or of all, and the topics' weights; the same at every call.

        No weights mean that all topics weigh the same.
        """
        size, seed = self.config.probe_topics, self.config.seed
        if self.config.light_probes:
            return light_sample(self.corpus, size, seed, among)
        return sample_topics(self.corpus, Split.PROBE, size, seed, among), ()

    def extend(self, research: Researcher) -> None:
        """Continue with a larger corpus. Probe samples stay the same; the caller replays the records next.

        Args:
            research: Its corpus begins with the present one: the same topics and passages under the same numbers,
                followed by new ones.
        """
        self._adopt(research)
        self.prober.extend(self.corpus)

    def clear(self, seed: int) -> None:
        """Forget everything learned, read and measured. The learner stays as it is; see `rewind`."""
        graph, topics = self.corpus.graph, self.corpus.topics
        self.standing = Standing(graph, topics, self.mastery, self.nucleus.tolist(), self.trainable)
        self.frontier, self.knowledge = self.standing.frontier, self.standing.knowledge
        self.readings = self.standing.readings
        self.profile = LossProfile(len(graph))
        self._was_read = np.zeros(len(self.corpus), dtype=bool)  # kept beside, since a lesson must not look at them all
        self.tokens, self.index = 0, 0
        self.rng = np.random.default_rng(seed)
        self.prober.remember({})

    def claim_learner(self) -> None:
        """Note that this curriculum begins with the learner; see `check_learner`."""
        _TAUGHT_BY[id(self.learner)] = self

    def check_learner(self) -> None:
        """Refuse to teach a learner that another curriculum has begun with since this one did.

        Raises:
            SettingError: If there is such a curriculum.
        """
        if _TAUGHT_BY.get(id(self.learner), self) is not self:
            why = "each would go on from what the other taught"
            raise SettingError(f"two curricula or environments share one learner, and {why}: give each its own")

    def rewind(self) -> None:
        """Put the learner back to its initial state, before the nucleus."""
        self.learner.restore(self.initial)

    def replay(self, expansion: Expansion) -> None:
        """Update the state by the record of an expansion. The learner is not taught: it was taught, or is loaded."""
        read = self.corpus.select(np.array(expansion.passages, dtype=np.int32))
        self.standing.replay(expansion, self.learner.count_tokens(read))
        self._was_read[read.ids] = True
        self.tokens, self.index = expansion.tokens_total, expansion.index + 1
        before = {t: loss for m in expansion.probes.values() for t, loss in zip(m.topics, m.before, strict=True)}
        after = {t: loss for m in expansion.probes.values() for t, loss in zip(m.topics, m.after, strict=True)}
        self.prober.remember(after)  # the losses before the next expansion, which need not be measured again
        # A topic's history begins with its loss before the first expansion that measured it.
        fresh = [t for t in before if np.isnan(self.profile.level[t])]
        self.profile.update(fresh, [before[t] for t in fresh])
        self.profile.update(list(after), list(after.values()))

    @property
    def nucleated(self) -> bool:
        """True once the nucleus was learned: it was read, or is solid, or has had its share of the budget or its text.

        A larger corpus, or a state that was replayed from records, changes nothing in it.
        """
        if self.mastery.by_reading or not self.index:
            return self.index > 0
        bound = self.config.nucleus_share * self.config.budget_tokens
        if self.tokens >= bound or self.frontier.is_solid[self.nucleus].all():
            return True
        own = [self.corpus.ids_of(topic, Split.TRAIN) for topic in self.nucleus.tolist()]
        return not self._readable[np.concatenate(own)].any()

    def remark_on_mastery(self) -> str | None:
        """Return what is wrong with the level of mastery, if after the nucleus nothing is solid, or all that was read.

        None if nothing is, or what was read counts as known.
        """
        tested = np.flatnonzero(~np.isnan(self.standing.known))
        if self.link_test is not None:  # what cannot be asked for says nothing about the level
            tested = tested[[bool(self.link_test.mentions(topic)) for topic in tested.tolist()]]
        if self.mastery.by_reading or not len(tested):
            return None
        known = self.standing.known[tested]
        values = {
            "gap": f"gaps are {known.min():.2f} to {known.max():.2f} nats per token",
            "recall": f"shares of known links are {known.min():.2f} to {known.max():.2f}",
        }
        told = f"after {self.tokens:,} tokens their {values[self.mastery.measure]}"
        what = f"{count_text(len(known), 'topic')} read and tested"
        if not len(self.frontier.solid):
            return f"none of the {what} is solid by {self.config.mastery!r}: {told}; lower the level, or read more"
        if known.min() >= self.mastery.level:
            return f"all of the {what} are solid by {self.config.mastery!r} at once: {told}; raise the level"
        return None

    @property
    def stage(self) -> str | None:
        """The category that is learned now, None without stages."""
        return self.stages.name(self.tokens)

    @property
    def allowed(self) -> NDArray[np.bool_]:
        """True for topics that text and stages allow to be picked now, bool `[topics]`."""
        allowed = self.stages.allowed(self.tokens, self.frontier)
        if self.mastery.by_reading or not self.config.most_readings:
            return allowed
        # A topic that was read and is not known can be picked again as long as it has something to read.
        has_some = np.zeros(len(allowed), dtype=bool)
        has_some[self.corpus.topics[self._readable]] = True
        return allowed & has_some

    @property
    def _readable(self) -> NDArray[np.bool_]:
        """True for train passages that may be read once more, bool `[passages]`."""
        most = self.config.most_readings
        train: NDArray[np.bool_] = self.corpus.splits == Split.TRAIN
        return train & (self.readings < most) if most else train

    def readable(self) -> IntArray:
        """Return the ids of train passages that may be read, ascending; takes a pass over the corpus.

        Those that were read before are among them if passages may be read more than once.
        """
        allowed = self.stages.allowed(self.tokens, self.frontier)
        return np.flatnonzero(self._readable & allowed[self.corpus.topics]).astype(np.int32)

    @property
    def used(self) -> NDArray[np.bool_]:
        """True for passages whose turn is over, bool `[passages]`: others of their topic were read less often."""
        if self.config.most_readings == 1:
            return self._was_read
        tables, used = self.research.tables, ~self._readable
        readings = self.readings[tables.passages]
        least = np.full(len(self.corpus.graph), np.iinfo(np.int32).max, dtype=np.int32)
        np.minimum.at(least, self.corpus.topics[tables.passages], readings)
        used[tables.passages] |= readings > least[self.corpus.topics[tables.passages]]
        return used

    @property
    def out_of_budget(self) -> bool:
        """True if too few tokens remain for another expansion."""
        return self.config.budget_tokens - self.tokens < LEAST_TOKENS

    @property
    def exhausted(self) -> bool:
        """True if the frontier holds no topic that can be picked."""
        return not self.frontier.any(self.allowed)

    def neighbourhood(self, topic: int) -> IntArray:
        """Return the neighbourhood of a topic, the topic first.

        Raises:
            ValueError: If the topic is solid already, has nothing to read, or is not of the present stage.
        """
        allowed = self.allowed
        if self.frontier.is_solid[topic]:
            why = "is learned already" if self.mastery.by_reading else "is solid already"
        elif not self.trainable[topic]:
            why = "lacks train passages, or probe passages that the reward reads"
        elif not allowed[topic] and self.stages.names:
            why = f"is not of {self.stage!r}, which is learned now"
        elif not allowed[topic]:
            why = f"has no passage that was read less than {self.config.most_readings} times"
        else:
            bound = bool(self.stages.names) or not self.mastery.by_reading
            return self.research.neighbourhood(topic, self.frontier, allowed if bound else None)
        raise ValueError(f"cannot expand into {self.corpus.graph.titles[topic]!r}: it {why}")
