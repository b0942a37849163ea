"""Places: a task on a corpus, ready for curricula, made once in a process for all its cells.

Tasks share corpora, embeddings, research tables and the tables of a graph that policies see, where these are the same:
to make them takes longer than the lessons of a cell.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

from kgrl.benchmark.tasks import Task, make_task
from kgrl.benchmark.traps import Embedded
from kgrl.corpus import Corpus
from kgrl.curriculum.loop import Curriculum
from kgrl.curriculum.research_kernels import ResearchTables
from kgrl.curriculum.researcher import Researcher
from kgrl.data.load import DERIVED, load_corpus
from kgrl.envs.features.walk_tables import walk_tables
from kgrl.exam import Exam
from kgrl.learners.base import Learner
from kgrl.probes.recall import Recall
from kgrl.retrieval.corpus_index import embed_corpus
from kgrl.retrieval.encoder import DEFAULT_ENCODER, Encoder

__all__ = ["Place", "make_place", "task_of"]


@dataclass(frozen=True)
class Place:
    """A task with everything that its curricula share.

    Args:
        task: The task.
        embedded: Retriever and topic embeddings of its corpus.
        tables: Research tables of its corpus.
        exam: The exam.
        recall: The questions that are asked with every exam; None without any.
    """

    task: Task
    embedded: Embedded
    tables: ResearchTables
    exam: Exam
    recall: Recall | None = None

    def make_curriculum(self, learner: Learner, seed: int) -> Curriculum:
        """Return a curriculum of the task that teaches a learner."""
        config = replace(self.task.config, seed=seed)
        return Curriculum(self.task.corpus, learner, *self.embedded, self.task.reward, config, tables=self.tables)


@cache
def task_of(name: str, corpus: str, budget: int | None = None) -> Task:
    """Return a task, made once.

    Args:
        name: The task.
        corpus: The corpus that it is made from, by name.
        budget: Most tokens to train on; the task's own if None.
    """
    # Tasks that lay traps are made from the corpus without them, whose name has no prefix.
    task = make_task(name, _corpus(corpus.removeprefix(f"{name}:") if name in DERIVED else corpus))
    if budget is None:
        return task
    return replace(task, config=replace(task.config, budget_tokens=budget))


@cache
def make_place(name: str, corpus: str, budget: int | None = None, encoder: str = DEFAULT_ENCODER) -> Place:
    """Return a task's place with an encoder's embeddings, made once; see `task_of`."""
    task = task_of(name, corpus, budget)
    # Tables depend on the size of neighbourhoods, embeddings on the corpus alone, so they are cached separately.
    tables, embedded = _tables(task.corpus, task.config.neighbourhood, encoder), _embedded(task.corpus, encoder)
    walk_tables(task.corpus.graph, embedded[1]).by_counts  # noqa: B018 - so that no cell is said to have taken the time
    return Place(task, embedded, tables, task.make_exam(), task.make_recall())


@cache
def _corpus(name: str) -> Corpus:
    return load_corpus(name)


@cache
def _embedded(corpus: Corpus, encoder: str) -> Embedded:
    return embed_corpus(corpus, Encoder(encoder))


@cache
def _tables(corpus: Corpus, neighbourhood: int, encoder: str) -> ResearchTables:
    return Researcher(corpus, *_embedded(corpus, encoder), neighbourhood).tables
