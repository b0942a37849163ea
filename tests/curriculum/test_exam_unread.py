"""Nothing in a run depends on the exam: not on its texts, and not on its tokens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from kgrl.agents import make_agent
from kgrl.corpus import Corpus, Split
from kgrl.curriculum import Curriculum, CurriculumConfig
from kgrl.expansion import Expansion
from kgrl.learners import ScratchLearner
from kgrl.learners.decoder.token_store import TokenStore
from kgrl.retrieval import FaissRetriever, indexed_passages
from kgrl.rewards import Reward, rewards

Make = Callable[[Corpus], Curriculum]


def everything() -> Reward:
    """The sum of all registered rewards, but for the one that only a simulated learner can earn."""
    first, *others = (rewards.make(name) for name in rewards if name != "facts-gain")
    return sum(others, first)


@pytest.fixture
def make(fake_embeddings: NDArray[np.float32]) -> Make:
    """Makes curricula towards a goal with a scratch learner and every reward that there is."""

    def made(corpus: Corpus) -> Curriculum:
        ids = indexed_passages(corpus)
        retriever = FaissRetriever(ids, fake_embeddings[corpus.topics[ids]])
        learner = ScratchLearner(corpus, width=32, heads=2, vocabulary=400)
        config = CurriculumConfig(700, 150, neighbourhood=2, nucleus_size=2, probe_topics=4, goal="Craft")
        return Curriculum(corpus, learner, retriever, fake_embeddings, everything(), config)

    return made


class Sealed(Sequence[str]):
    """Texts of which those of the exam cannot be read."""

    def __init__(self, corpus: Corpus) -> None:
        self._texts, self._splits = corpus.texts, corpus.splits

    def __len__(self) -> int:
        return len(self._texts)

    def __getitem__(self, at: Any) -> Any:
        assert not np.any(self._splits[at] == Split.EXAM), f"exam passage {at} was read"
        return self._texts[at]


class SealedTokens(TokenStore):
    """Token ids of which those of the exam cannot be read, nor counted."""

    def __init__(self, tokens: TokenStore, corpus: Corpus) -> None:
        super().__init__(tokens.ids, tokens.offsets)
        self._splits = corpus.splits

    def __getitem__(self, passage: int) -> NDArray[Any]:
        assert self._splits[passage] != Split.EXAM, f"tokens of exam passage {passage} were read"
        return super().__getitem__(passage)

    def count(self, passages: NDArray[np.int32]) -> NDArray[np.int64]:
        assert not np.any(self._splits[passages] == Split.EXAM), "tokens of exam passages were counted"
        return super().count(passages)


@pytest.mark.parametrize("agent", ["bfs", "oracle"])
def test_a_run_goes_to_its_end_though_the_exam_cannot_be_read(agent: str, make: Make, tiny_corpus: Corpus) -> None:
    corpus = Corpus("tiny", tiny_corpus.graph, tiny_corpus.texts, tiny_corpus.topics, tiny_corpus.splits)
    curriculum = make(corpus)
    learner = curriculum.learner
    assert isinstance(learner, ScratchLearner)
    corpus.texts, learner.tokens = Sealed(corpus), SealedTokens(learner.tokens, corpus)
    with pytest.raises(AssertionError, match="exam passage"):
        learner.losses(corpus.of(0, Split.EXAM))
    steps = list(curriculum.run(make_agent(agent)))
    assert len(steps) > 2 and steps[-1].tokens_total == 700
    assert all(set(rewards) - {"facts-gain"} <= set(step.reward_components) for step in steps[1:])


def test_another_exam_gives_the_same_rewards_to_the_last_bit(make: Make, tiny_corpus: Corpus) -> None:
    """The tokenizer, the reference learner and every reward included; only wall-clock differs."""
    texts = [
        "Something else altogether, zyx." if split == Split.EXAM else text
        for text, split in zip(tiny_corpus.texts, tiny_corpus.splits, strict=True)
    ]
    other = Corpus("tiny", tiny_corpus.graph, texts, tiny_corpus.topics, tiny_corpus.splits)
    one, two = (list(make(corpus).run(make_agent("bfs"))) for corpus in (tiny_corpus, other))
    assert len(one) > 2
    assert [timeless(e) for e in one] == [timeless(e) for e in two]


def timeless(expansion: Expansion) -> tuple[Any, ...]:
    parts = {name: value for name, value in expansion.reward_components.items() if name != "time-cost"}
    return expansion.passages, expansion.probes, dict(expansion.measures), parts, expansion.probe_tokens
