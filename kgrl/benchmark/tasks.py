"""Tasks: fixed settings that curricula are compared on, each with a budget, an exam and a goal for a good curriculum.

A task is made for a corpus by its name. Everything about it is fixed except for the seed of a run, which seeds the
learner, the probes and the agent's draws.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kgrl.corpus import Corpus, Split
from kgrl.curriculum.config import DEFAULT_REWARD, CurriculumConfig
from kgrl.curriculum.loop import Curriculum
from kgrl.curriculum.named_topics import named_goal
from kgrl.data.invented.corpus import is_invented, world_of
from kgrl.data.invented.questions import retention_questions
from kgrl.data.load import DERIVED, load_corpus
from kgrl.data.questions import check_questions, questions_about
from kgrl.data.traps.deception import GOALS, deceptive, goal_of
from kgrl.data.traps.planted import noisy
from kgrl.errors import SettingError
from kgrl.exam import Exam
from kgrl.expansion import Expansion
from kgrl.graph.nucleus import choose_nucleus
from kgrl.graph.titled import goal_topics
from kgrl.graph.topic_graph import IntArray
from kgrl.learners.base import Learner
from kgrl.learners.make import make_learner
from kgrl.probes.questions import Question
from kgrl.probes.recall import Recall
from kgrl.retrieval.encoder import DEFAULT_ENCODER, AnyEncoder
from kgrl.system.options import split_options
from kgrl.system.registry import Registry

__all__ = [
    "GOALS",
    "INVENTED",
    "KNOWLEDGE",
    "USUAL_CORPORA",
    "Task",
    "corpus_of_task",
    "make_float32_learner",
    "make_task",
    "tasks",
]


INVENTED = "invented:2000"
"""The corpus of the task `invented`, unless another invented world is asked for."""

_DEFAULT_CORPUS, _INVENTED, _TARGET, _RECALL, _RETAIN = "vital", "invented", "target", "recall", "retain"

_FICTIONAL = "fictional"
_RECALL_FICTIONAL = f"{_RECALL}:{_FICTIONAL}"

USUAL_CORPORA = {_INVENTED: INVENTED, _RECALL: "invented:400", _RECALL_FICTIONAL: _FICTIONAL, _RETAIN: "invented:400"}
"""The corpora of tasks that have another than the default one, unless another is asked for."""

_LIMITED = 20
"""The budget of `limited` reaches one topic in so many."""

_DOMAINS = 4
"""Number of categories that `forgetting` goes through."""

_CENTRAL = 10
"""The nucleus of `retain` is one topic in so many, the most central ones."""


@dataclass(frozen=True)
class Task:
    """A fixed setting that curricula are compared on.

    Args:
        name: Its name.
        about: A description of a good curriculum.
        corpus: Topic graph and passages.
        config: Budgets, nucleus and goal; the seed is a run's own.
        reward: The reward of agents unless another is asked for: the gain on the goal or on all topics.
        examined: The topics that the exam is drawn from.
        planted: Whether each topic was planted and teaches nothing of use, bool `[topics]`.
        facts: Number of questions about facts that are asked with every exam; 0 for none. In invented worlds half of
            them are of two hops, or of the nucleus where what is asked for is whether that is retained.
        retains: Whether the questions are about what is retained of the nucleus.
    """

    name: str
    about: str
    corpus: Corpus
    config: CurriculumConfig
    reward: str
    examined: IntArray
    planted: NDArray[np.bool_]
    facts: int = 0
    retains: bool = False

    def make_curriculum(
        self, learner: str | Learner = "scratch", reward: Any = None, seed: int = 0, **learner_options: Any
    ) -> Curriculum:
        """Make the task's curriculum.

        Args:
            learner: A learner or the name of one.
            reward: A reward, its name, or a function of an expansion; the task's own if None.
            seed: Seeds learner, probes and draws.
            learner_options: Passed to the learner's constructor when it is given by name.
        """
        config = replace(self.config, seed=seed)
        return Curriculum.make(self.corpus, learner, reward or self.reward, config, **learner_options)

    def make_exam(self, size: int = 64) -> Exam:
        """Return the exam: the same topics and passages for every agent and seed."""
        return Exam(self.corpus, self.examined, size)

    def make_recall(self) -> Recall | None:
        """Return the questions about facts; None if none are asked."""
        return Recall(self.corpus, self.draw_questions(self.facts)) if self.facts else None

    def draw_questions(self, size: int) -> list[Question]:
        """Return questions about facts, for a task on a corpus that has some.

        Args:
            size: Most questions.

        Raises:
            SettingError: If the corpus has none, or its world is too small.
        """
        if not self.retains:
            return questions_about(self.corpus, size)
        nucleus = {self.corpus.graph.index(str(title)) for title in self.config.nucleus}
        return retention_questions(world_of(self.corpus.name), nucleus, size)

    def noise_share(self, expansions: Iterable[Expansion]) -> float:
        """Return the noise budget: the share of tokens spent on passages of planted topics.

        An expansion's tokens are shared out among its passages by their words, since a record holds no tokens per
        passage.
        """
        spent = np.array([(step.tokens, self._planted_words(step)) for step in expansions]).reshape(-1, 2)
        # At least 1 in the denominators: a curriculum may be empty, and a passage may have no word.
        return float(np.sum(spent[:, 0] * spent[:, 1]) / max(1, spent[:, 0].sum()))

    def _planted_words(self, expansion: Expansion) -> float:
        """Return the share of the words of an expansion's passages that are in planted topics' passages."""
        ids = list(expansion.passages)
        words = self.corpus.word_counts[ids]
        return float(words[self.planted[self.corpus.topics[ids]]].sum() / max(1, words.sum()))


tasks: Registry[Task] = Registry("task")
"""Tasks by name. Their factories take the corpus."""


def make_task(name: str, corpus: str | Corpus | None = None, *, root: Path | None = None) -> Task:
    """Make a task.

    Args:
        name: `"coverage"`, `"target"`, `"limited"`, `"noisy"`, `"forgetting"`, `"deceptive"`, `"invented"`,
            `"recall"`, `"recall:fictional"` or `"retain"`; or `"target:GOAL"`, which is `target` with another goal than
            the corpus's usual one: a category, a title, `file:PATH` or `about:SENTENCE`
            (`kgrl.curriculum.named_topics`).
        corpus: A corpus, or a name or folder that `kgrl.data.load_corpus` knows; if None `"vital"`, and for the task
            `"invented"` the corpus `"invented:2000"`, for `"recall"` and `"retain"` `"invented:400"`, for
            `"recall:fictional"` `"fictional"`. Tasks that lay traps are made from the corpus without them, or from the
            name that `corpus_of_task` returns.
        root: Folder of the corpus's source files, as for `load_corpus`.

    Raises:
        UnknownNameError: If the task or the goal is not known; the nearest is suggested.
        SettingError: If the task needs a goal and none is known for the corpus, if it needs an invented world or
            questions and the corpus is or has none, or if a task without goals is given one.

    Example:
        >>> make_task("nosiy")
        Traceback (most recent call last):
        kgrl.errors.UnknownNameError: unknown task 'nosiy'; did you mean 'noisy'? Known: ...
    """
    kind, _, goal = (name, "", "") if name in tasks else name.partition(":")
    factory: Callable[..., Task] = tasks[kind]
    if goal and kind != _TARGET:
        raise SettingError(f"{name!r}: only the task {_TARGET!r} is given a goal")
    # From the corpus without traps: the factory lays its own.
    made = corpus if isinstance(corpus, Corpus) else load_corpus(_origin(name, corpus), root=root)
    return factory(made, goal) if goal else factory(made)


def corpus_of_task(name: str, corpus: str | None = None) -> str:
    """Return the name by which `kgrl.data.load_corpus` loads a task's corpus with its traps.

    Args:
        name: The task.
        corpus: The corpus that it is made from, by name; the task's usual one if None.

    Example:
        >>> corpus_of_task("coverage"), corpus_of_task("noisy"), corpus_of_task("noisy", "noisy:vital")
        ('vital', 'noisy:vital', 'noisy:vital')
    """
    return _prefix(name) + _origin(name, corpus)


def _origin(name: str, corpus: str | None) -> str:
    usual = USUAL_CORPORA.get(name, _DEFAULT_CORPUS)
    return (corpus or usual).removeprefix(_prefix(name))


def _prefix(name: str) -> str:
    return f"{name}:" if name in DERIVED else ""


def _all_topics(corpus: Corpus) -> IntArray:
    return np.arange(len(corpus.graph), dtype=np.int32)


def _nothing_planted(corpus: Corpus) -> NDArray[np.bool_]:
    return np.zeros(len(corpus.graph), dtype=bool)


@tasks.register("coverage")
def _coverage(corpus: Corpus) -> Task:
    about = "Reads what teaches most about all topics: central and varied ones, without dwelling on one field."
    everything, nothing = _all_topics(corpus), _nothing_planted(corpus)
    return Task("coverage", about, corpus, CurriculumConfig(), "mean-prediction-gain", everything, nothing)


@tasks.register(_TARGET)
def _target(corpus: Corpus, other: str | None = None) -> Task:
    about = "Starts inside the goal's category and stays with it and with what its articles build on."
    # By the encoder that ships, so that a task is the same whatever encoder its cells have.
    goal = goal_of(corpus) if other is None else named_goal(other, corpus, DEFAULT_ENCODER)
    examined = goal_topics(corpus.graph, goal)
    assert examined is not None, "there is a goal"
    config = CurriculumConfig(goal=goal)
    return Task(
        f"{_TARGET}:{other}" if other else _TARGET,
        about,
        corpus,
        config,
        "target-prediction-gain",
        examined,
        _nothing_planted(corpus),
    )


@tasks.register("limited")
def _limited(corpus: Corpus) -> Task:
    about = "Spends a budget that reaches a twentieth of the topics on those that stand for many others."
    usual = CurriculumConfig()
    # So many expansions of the usual size as reach a twentieth of the topics: two at least, nucleus and one choice.
    expansions = max(2, round(len(corpus.graph) / _LIMITED / usual.neighbourhood))
    config = replace(usual, budget_tokens=expansions * usual.expansion_tokens)
    everything, nothing = _all_topics(corpus), _nothing_planted(corpus)
    return Task("limited", about, corpus, config, "mean-prediction-gain", everything, nothing)


@tasks.register("noisy")
def _noisy(corpus: Corpus) -> Task:
    about = "Notices which topics teach nothing, three in ten, and spends nothing more on them."
    planted = noisy(corpus)
    real = np.flatnonzero(~planted.is_planted).astype(np.int32)
    # By title, so that the nucleus has no planted topic and is the same in the corpus with traps.
    start = choose_nucleus(corpus.graph, eligible=corpus.has(Split.TRAIN) & corpus.has(Split.PROBE))
    # One topic at a time: an agent is not responsible for what a neighbourhood and retrieval add.
    config = CurriculumConfig(nucleus=tuple(corpus.graph.titles[topic] for topic in start), neighbourhood=1)
    return Task("noisy", about, planted.corpus, config, DEFAULT_REWARD, real, planted.is_planted)


@tasks.register("forgetting")
def _forgetting(corpus: Corpus) -> Task:
    about = "Learns one domain after another, and of each what lasts, so that the exam on all still finds the first."
    size = {name: len(corpus.graph.in_category(name)) for name in corpus.graph.category_names if name}
    # The largest ones, in the order of their names where sizes are equal, so that the task is the same everywhere.
    domains = tuple(sorted(size, key=lambda name: (-size[name], name))[:_DOMAINS])
    if len(domains) < 2:
        raise SettingError(f"{corpus.name!r} has {len(domains)} categories, and this task goes through two or more")
    examined = np.sort(np.concatenate([corpus.graph.in_category(name) for name in domains]))
    config = CurriculumConfig(stages=domains)
    return Task("forgetting", about, corpus, config, "mean-prediction-gain", examined, _nothing_planted(corpus))


@tasks.register("deceptive")
def _deceptive(corpus: Corpus) -> Task:
    about = "Leaves a cluster whose gains come at once and lead nowhere, and takes the dull path to the goal behind it."
    goal, deceived = goal_of(corpus), deceptive(corpus)
    config = CurriculumConfig(nucleus=deceived.nucleus, goal=goal)
    examined = corpus.graph.in_category(goal)
    return Task("deceptive", about, deceived.corpus, config, "mean-prediction-gain", examined, deceived.is_planted)


@tasks.register(_INVENTED)
def _invented(corpus: Corpus) -> Task:
    about = "Reads first what other articles build on, so that facts two steps apart can be put together."
    if not corpus.name.startswith(_INVENTED):
        raise SettingError(f"the task {_INVENTED!r} is for invented worlds, {INVENTED} for example")
    everything, nothing = _all_topics(corpus), _nothing_planted(corpus)
    return Task(_INVENTED, about, corpus, CurriculumConfig(), "mean-prediction-gain", everything, nothing)


# A lesson on the nucleus, as everywhere, and no more: agents that do not begin there would pay for it. A quarter of a
# lesson reviews: agents that pick topics would otherwise read in blocks, and know half as much at the end
# (`benchmarks/retaining.py`).
_KNOWN_WORLD = CurriculumConfig(
    budget_tokens=1_500_000,
    expansion_tokens=4_000,
    mastery="gap:1.6",
    most_readings=0,
    nucleus_share=0.0,
    review=0.25,
)
"""For small learners with random weights, on generated text."""
_KNOWN_ARTICLES = replace(_KNOWN_WORLD, budget_tokens=650_000, expansion_tokens=2_000, mastery="gap", probe_topics=12)
"""For pretrained learners, on articles and questions that a corpus brings. Of `fictional`, every article can be read
ten times, or all text four times."""
_OWN_FACTS = 120
"""Of `fictional`, forty questions of each depth: probes and questions are then some quarter of a run's work."""


@tasks.register(_RECALL)
def _recall(corpus: Corpus) -> Task:
    about = (
        "Reads so that facts are known and not only shown: text is read again and again, within a budget of ten times."
    )
    check_questions(corpus)
    everything, nothing = _all_topics(corpus), _nothing_planted(corpus)
    known, facts = (_KNOWN_WORLD, 256) if is_invented(corpus.name) else (_KNOWN_ARTICLES, _OWN_FACTS)
    return Task(_RECALL, about, corpus, known, "mean-prediction-gain", everything, nothing, facts)


@tasks.register(_RECALL_FICTIONAL)
def _recall_fictional(corpus: Corpus) -> Task:
    if corpus.name != _FICTIONAL:
        raise SettingError(
            f"the task {_RECALL_FICTIONAL!r} is for the corpus {_FICTIONAL!r}; for {corpus.name!r} take {_RECALL!r}"
        )
    return replace(_recall(corpus), name=_RECALL_FICTIONAL)


@tasks.register(_RETAIN)
def _retain(corpus: Corpus) -> Task:
    about = "Learns the central topics first, and goes on to the others so that they are still known at the end."
    if not is_invented(corpus.name):
        raise SettingError(f"the task {_RETAIN!r} is for invented worlds, {USUAL_CORPORA[_RETAIN]} for example")
    eligible = corpus.has(Split.TRAIN) & corpus.has(Split.PROBE)
    start = choose_nucleus(corpus.graph, size=max(1, len(corpus.graph) // _CENTRAL), eligible=eligible)
    # By title, so that the questions are about the nucleus that curricula begin with. It has to be known: by a gap, it
    # counts as solid long before its facts are recalled.
    titles = tuple(corpus.graph.titles[topic] for topic in start)
    config = replace(_KNOWN_WORLD, mastery="recall:0.5", nucleus=titles, nucleus_share=0.3)
    everything, nothing = _all_topics(corpus), _nothing_planted(corpus)
    return Task(_RETAIN, about, corpus, config, "mean-prediction-gain", everything, nothing, facts=256, retains=True)


KNOWLEDGE = (_RECALL, _RECALL_FICTIONAL, _RETAIN)
"""Tasks whose exam is what is known: they take a hundred times the tokens of the others."""


def make_float32_learner(
    name: str,
    corpus: Corpus,
    *,
    seed: int = 0,
    encoder: AnyEncoder = DEFAULT_ENCODER,
    budget_tokens: int | None = None,
) -> Learner:
    """Make a learner of a benchmark: pretrained models compute in float32, so that results of machines compare.

    Elsewhere they compute in the format that the machine is fastest with. In bfloat16 losses differ in the third digit,
    which is where the agents of a benchmark differ, too.

    Args:
        name: `"lora"`, `"scratch"`, or a learner that was registered; options may follow (see `make_learner`).
        corpus: The corpus it will be taught.
        seed: Seeds its initial weights and its draws.
        encoder: Embeds topics for a learner that knows them so.
        budget_tokens: Tokens that it will be trained on in total; see `make_learner`.

    Raises:
        UnknownNameError: If no learner has that name.

    Example:
        >>> from kgrl.testing.samples import sample_corpus
        >>> make_float32_learner("scratch", sample_corpus()).n_parameters
        441216
    """
    options: dict[str, Any] = {}
    if split_options(name)[0] == "lora":
        import torch  # here, since it takes seconds to import

        options["dtype"] = torch.float32
    return make_learner(name, corpus, seed=seed, encoder=encoder, budget_tokens=budget_tokens, **options)
