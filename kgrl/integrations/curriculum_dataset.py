"""A data set for other people's trainers, whose text an agent chooses while they train.

A lesson is what the trainer trains on between two of its logs. Lesson k is chosen when the trainer fetches its first
example, and from the losses of lessons 0 to k - 2 alone: trainers fetch ahead, so lesson k begins before the loss of
lesson k - 1 is known. So the lessons follow from the arguments and the losses, however far ahead a trainer fetches.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from torch.utils.data import IterableDataset, get_worker_info

from kgrl.agents.bandits.arms import Arms
from kgrl.corpus import Corpus, Split
from kgrl.curriculum.mastery import Mastery
from kgrl.curriculum.researcher import Researcher
from kgrl.curriculum.standing import Standing
from kgrl.curriculum.state import LossProfile
from kgrl.curriculum.view import Agent, View
from kgrl.errors import DataError, DivergedError, SettingError
from kgrl.expansion import Expansion
from kgrl.graph.nucleus import choose_nucleus
from kgrl.graph.topic_graph import IntArray
from kgrl.integrations.choosing import LateChoice, agent_among, agent_text, choose, earned, tell
from kgrl.retrieval.corpus_index import embed_corpus
from kgrl.retrieval.encoder import DEFAULT_ENCODER, AnyEncoder, as_encoder
from kgrl.system.display import count_text
from kgrl.system.schemas import Count, Index, checked

__all__ = ["CurriculumDataset"]

_AGENTS = {
    *("alp", "bfs", "closure", "d-ucb", "degree", "dfs", "exp3s", "odm", "pagerank", "plr", "random", "similarity"),
    *("stratified", "tscl"),
}
_WHY = "it measures the learner or chooses passages, and a trainer tells nothing but its loss"
_FORMAT = 1
_NO_CALLBACK = "give the trainer callbacks=[CurriculumCallback(dataset)]"


@dataclass
class _Lesson:
    """Passages in the order to train on, and the picks that they come from."""

    passages: list[int] = field(default_factory=list)
    picks: list[tuple[LateChoice | None, Expansion]] = field(default_factory=list)

    @property
    def topics(self) -> list[int]:
        """The topics picked."""
        return [record.topic for _, record in self.picks]


class CurriculumDataset(IterableDataset[dict[str, Any]]):
    """Passages of a corpus, as an agent chooses them while a trainer trains.

    It begins with the nucleus. Then the agent picks frontier topics; each brings the passages that an expansion into it
    would read, until the lesson is full. A topic of which a passage was read is solid. When the frontier is empty, all
    begins anew with the nucleus, and passages that were not read yet come first. So the data set never ends, and the
    trainer needs `max_steps`.

    The agent's reward is the drop of the training loss: from that of the last lesson of the same arm (a category, or a
    community where there are no categories), or of the last lesson of any. `alp` is told minus the loss itself.

    Examples are `{"input_ids": [...]}`, one passage each. An iteration always begins with the first example; a trainer
    that resumes skips what it has trained on.

    Args:
        corpus: The topic graph and passages; those for training are read.
        tokenizer: A tokenizer of transformers.
        agent: The name of an agent, which has its tuned options (`alp` its own defaults); or an agent.
        length: Most tokens of an example; what is longer is cut.
        nucleus: As in `kgrl.CurriculumConfig`.
        neighbourhood: Most topics that a pick brings, the picked one included.
        seed: Seeds the draws.
        encoder: Embeds the passages; an encoder, or the name or folder of one.

    Raises:
        UnknownNameError: If there is no agent, nucleus or encoder of this name.
        SettingError: If the agent cannot choose here, or no topic has train passages.
    """

    def __init__(
        self,
        corpus: Corpus,
        tokenizer: Callable[..., Mapping[str, Any]],
        agent: str | Agent = "exp3s",
        *,
        length: int = 512,
        nucleus: str | tuple[str, ...] = "pagerank",
        neighbourhood: int = 8,
        seed: int = 0,
        encoder: AnyEncoder = DEFAULT_ENCODER,
    ) -> None:
        self.corpus, self.tokenizer, self.length, self.seed = corpus, tokenizer, length, seed
        self.agent = agent_among(agent, _AGENTS, _WHY)
        encoder = as_encoder(encoder)
        self._encoder = encoder.fingerprint
        self._research = Researcher(corpus, *embed_corpus(corpus, encoder), neighbourhood)
        self._trainable = corpus.has(Split.TRAIN)
        self._nucleus = choose_nucleus(corpus.graph, nucleus, eligible=self._trainable)
        self._arm = Arms(corpus.graph).of_topic
        self.begin(0, 0)

    def __repr__(self) -> str:
        lessons = count_text(len(self._lessons), "lesson")
        return (
            f"CurriculumDataset({self.corpus.name!r}, {agent_text(self.agent)}, {lessons}, {len(self.losses):,} losses)"
        )

    def begin(self, steps: int, examples: int) -> None:
        """Start over.

        Args:
            steps: Updates of the trainer between two of its logs.
            examples: Examples of an update.
        """
        self.steps, self.examples = steps, examples
        self.losses: list[float] = []  # the mean loss of each lesson
        self._part, self._part_steps = 0.0, 0  # the sum of the losses of a lesson's steps so far, and their number
        self._lessons: list[_Lesson] = []
        self._latest: dict[int, float] = {}  # the loss of the last lesson of each arm; of any, under -1
        self._rng = np.random.default_rng(self.seed)
        self._tokens, self._index = 0, 0
        self._profile = LossProfile(len(self.corpus.graph))
        self._used = np.zeros(len(self.corpus), dtype=bool)
        self._start_round()

    def _start_round(self) -> None:
        """Begin anew with the nucleus. Passages stay used until all are."""
        mastery = Mastery.of("read")
        graph, nucleus = self.corpus.graph, self._nucleus.tolist()
        self._standing = Standing(graph, self.corpus.topics, mastery, nucleus, self._trainable)
        if self._used[self.corpus.splits == Split.TRAIN].all():
            self._used[:] = False
        self._at_nucleus = True

    @property
    def _view(self) -> View:
        standing = self._standing
        return View(
            graph=self.corpus.graph,
            frontier=standing.frontier,
            nucleus=self._nucleus,
            goal=None,
            profile=self._profile,
            embeddings=self._research.embeddings,
            trainable=self._trainable,
            tokens=self._tokens,
            budget=0,
            index=self._index,
            rng=self._rng,
            measure=lambda topics: np.full(len(topics), np.nan, dtype=np.float32),
            readings=standing.readings,
            knowledge=standing.knowledge,
            mastery=standing.mastery,
            was_solid=standing.was_solid,
            passage_topics=self.corpus.topics,
        )

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield the examples from the first on, without end.

        Raises:
            SettingError: If no trainer has begun, the loss of a lesson has not arrived, or a process other than the
                trainer's own asks.
        """
        if get_worker_info() is not None:
            raise SettingError("the agent chooses in the trainer's own process; set dataloader_num_workers=0")
        if not self.steps:  # some trainers look at the first examples before they begin
            for passage in self._research.gather(self._nucleus, np.zeros(len(self.corpus), dtype=bool)).ids:
                yield self._example(int(passage))
            raise SettingError(f"no trainer has begun with this data set; {_NO_CALLBACK}")
        number = 0
        while True:
            while number >= len(self._lessons):
                self._choose_lesson()
            for passage in self._lessons[number].passages:
                yield self._example(passage)
            number += 1

    def _example(self, passage: int) -> dict[str, Any]:
        encoded = self.tokenizer(self.corpus.texts[passage], truncation=True, max_length=self.length)
        return {"input_ids": list(encoded["input_ids"])}

    def _choose_lesson(self) -> None:
        """Let the agent observe the lesson before the last, and choose the next one."""
        known = len(self._lessons) - 2
        if known >= 0:
            if known >= len(self.losses):
                told = f"the loss of lesson {known} is needed to choose lesson {known + 2}, and has not arrived"
                raise SettingError(f"{told}; {_NO_CALLBACK}, and let it fetch at most one batch ahead")
            self._observe_lesson(self._lessons[known], self.losses[known])
        lesson = _Lesson()
        while (room := self.steps * self.examples - len(lesson.passages)) > 0:
            self._pick(lesson, room)
        self._lessons.append(lesson)

    def _observe_lesson(self, lesson: _Lesson, loss: float) -> None:
        for choice, record in lesson.picks:
            before = self._latest.get(int(self._arm[record.topic]), self._latest.get(-1, loss))
            if choice is not None:  # the nucleus is not the agent's
                tell(self.agent, choice, replace(record, train_loss=loss, reward=earned(self.agent, before, loss)))
        self._latest |= {int(self._arm[topic]): loss for topic in lesson.topics} | {-1: loss}

    def _pick(self, lesson: _Lesson, room: int) -> None:
        """Fill the room that a lesson has, with the nucleus at the start of a round, else with what the agent picks."""
        if self._at_nucleus:
            self._read(lesson, None, self._nucleus, room)
            self._at_nucleus = False
            if self._index == 1:
                self.agent.reset(self._view)
        elif self._standing.frontier.any(self._trainable):
            choice = choose(self.agent, self._view)
            self._read(lesson, choice, self._research.neighbourhood(choice.topic, self._standing.frontier), room)
        else:
            self._start_round()

    def _read(self, lesson: _Lesson, choice: LateChoice | None, topics: IntArray, room: int) -> None:
        """Append the passages of a pick to a lesson."""
        passages = self._research.gather(topics, self._used, self._standing.frontier).ids[:room]
        read = {int(topics[0]), *self.corpus.topics[passages].tolist()}
        tokens = sum(len(self._example(passage)["input_ids"]) for passage in passages.tolist())
        self._tokens += tokens
        record = Expansion(
            index=self._index,
            topic=int(topics[0]),
            title=self.corpus.graph.titles[int(topics[0])],
            neighbourhood=tuple(topic for topic in topics.tolist() if topic in read),
            passages=tuple(passages.tolist()),
            tokens=tokens,
            tokens_total=self._tokens,
            budget=0,
            train_loss=0.0,  # not known yet
        )
        self._standing.replay(record)
        self._used[passages] = True
        self._index += 1
        lesson.passages += record.passages
        lesson.picks.append((choice, record))

    def observe(self, loss: float, steps: int) -> None:
        """Take note of the loss that the trainer logged.

        Args:
            loss: Mean training loss since the last log, in nats per token.
            steps: Updates since then.

        Raises:
            DivergedError: If the loss is not finite.
            SettingError: If there are more steps than the lesson has left.
        """
        if not math.isfinite(loss):
            raise DivergedError(f"the training loss of lesson {len(self.losses)} is {loss}; lower the learning rate")
        if self._part_steps + steps > self.steps:
            raise SettingError(f"a log is of {steps} steps, and the lesson has {self.steps - self._part_steps} left")
        self._part, self._part_steps = self._part + loss * steps, self._part_steps + steps
        if self._part_steps == self.steps:
            self.losses.append(self._part / self.steps)
            self._part, self._part_steps = 0.0, 0

    @property
    def picked(self) -> list[list[str]]:
        """The titles of the topics picked for each lesson so far; the first is the nucleus's."""
        return [[self.corpus.graph.titles[topic] for topic in lesson.topics] for lesson in self._lessons]

    def state_dict(self) -> dict[str, Any]:
        """Return the state as plain lists, texts and numbers, which JSON keeps exactly."""
        return {
            **self._identity(),
            "steps": self.steps,
            "examples": self.examples,
            "losses": list(self.losses),
            "part": self._part,
            "part_steps": self._part_steps,
            "topics": [lesson.topics for lesson in self._lessons],
        }

    def _identity(self) -> dict[str, Any]:
        """Return what a data set has to agree in with one whose state it takes over."""
        return {
            "format": _FORMAT,
            "agent": agent_text(self.agent),
            "corpus": self.corpus.fingerprint,
            "encoder": self._encoder,
            "nucleus": self._nucleus.tolist(),
            "neighbourhood": self._research.neighbourhood_size,
            "length": self.length,
            "seed": self.seed,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a state, bit for bit, by choosing its lessons again.

        Args:
            state: What `state_dict` returned, of a data set with the same arguments.

        Raises:
            DataError: If it is no such state, or another data set's.
        """
        loaded = checked(dict(state), _State, "state_dict")
        for name, own in self._identity().items():
            found = getattr(loaded, name)
            if (list(found) if isinstance(found, tuple) else found) != own:
                told = f"it is of another data set: {name} is {found!r}, not {own!r}"
                raise DataError("state_dict", None, f"{told}; make the data set with the same arguments")
        if len(loaded.topics) > len(loaded.losses) + 2 or not loaded.part_steps <= loaded.steps:
            raise DataError("state_dict", None, "it has more lessons or steps than losses allow")
        self.begin(loaded.steps, loaded.examples)
        self.losses, self._part, self._part_steps = list(loaded.losses), loaded.part, loaded.part_steps
        for number, topics in enumerate(loaded.topics):
            self._choose_lesson()
            if self._lessons[-1].topics != list(topics):
                self.begin(0, 0)
                told = (
                    f"the same draws choose other topics for lesson {number}, so agent, tokenizer or NumPy are others"
                )
                raise DataError("state_dict", None, f"{told}; use those that the state was saved with")


@dataclass(frozen=True)
class _State:
    """A data set's state."""

    format: Count
    agent: str
    corpus: str
    encoder: str
    nucleus: tuple[Index, ...]
    neighbourhood: Count
    length: Count
    seed: int
    steps: Count
    examples: Count
    losses: tuple[float, ...]
    part: float
    part_steps: Count
    topics: tuple[tuple[Index, ...], ...]
