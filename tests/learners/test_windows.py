"""Windows of linked text: what is put together, what sees what, and the losses of a plain pass."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch.nn.functional import cross_entropy

from kgrl.corpus import Corpus, Split
from kgrl.graph import TopicGraph
from kgrl.learners import LoraLearner, ScratchLearner
from kgrl.learners.decoder.llama import Llama, Shape
from kgrl.learners.decoder.packing import pack
from kgrl.learners.decoder.windows import linked_windows
from kgrl.learners.plugins import Replay
from kgrl.testing import DifferentiableContract, LearnerContract

SMALL: dict[str, Any] = {"width": 32, "heads": 2, "vocabulary": 400}


@pytest.fixture
def corpus(tiny_corpus: Corpus) -> Corpus:
    return tiny_corpus


@pytest.fixture
def learner(corpus: Corpus) -> ScratchLearner:
    return ScratchLearner(corpus, linked_windows=True, **SMALL)


class TestLinked(LearnerContract, DifferentiableContract):
    pass


class TestLinkedAdapterWithReplay(LearnerContract):
    @pytest.fixture
    def learner(self, corpus: Corpus, base_folder: Path) -> LoraLearner:
        options: dict[str, Any] = {"model": str(base_folder), "learning_rate": 1e-2}
        return LoraLearner(corpus, linked_windows=True, plugins=[Replay(0.1)], **options)

    def test_the_budget_is_kept_to_the_token(self, learner: LoraLearner, corpus: Corpus) -> None:
        """A part of the second lesson is replay."""
        for lesson in range(2):
            assert learner.learn(corpus.of(lesson, Split.TRAIN), 200).tokens == 200


links = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=12)
passages = st.lists(st.tuples(st.integers(0, 5), st.integers(2, 30)), min_size=1, max_size=25)


@given(links, passages, st.integers(5, 60))
def test_windows_are_paths_along_links(
    links: list[tuple[int, int]], passages: list[tuple[int, int]], most: int
) -> None:
    graph = TopicGraph.from_links(list("abcdef"), [a for a, _ in links], [b for _, b in links])
    topics, sizes = np.array([t for t, _ in passages], dtype=np.int32), [n for _, n in passages]
    windows = linked_windows(topics, sizes, graph, most)
    linked = {(a, b) for a, b in links} | {(b, a) for a, b in links} | {(a, a) for a in range(6)}
    assert sorted(place for window in windows for place in window) == list(range(len(topics)))
    firsts = [window[0] for window in windows]
    assert firsts == sorted(firsts)
    for i, window in enumerate(windows):
        assert all((int(topics[a]), int(topics[b])) in linked for a, b in pairwise(window))
        used = sum(sizes[place] for place in window)
        assert used <= most or len(window) == 1
        # It ended because nothing that was left was linked with its end and fitted.
        left = [place for later in windows[i + 1 :] for place in later]
        assert not any((int(topics[window[-1]]), int(topics[p])) in linked and used + sizes[p] <= most for p in left)


windowed = st.lists(st.lists(st.integers(2, 9), min_size=1, max_size=4), min_size=1, max_size=5)


def texts_of(windows: list[list[int]]) -> tuple[list[NDArray[np.int64]], list[list[int]]]:
    """Random texts of these lengths, and the numbers of those of each window."""
    rng, lengths = np.random.default_rng(3), [n for window in windows for n in window]
    numbers = np.split(np.arange(len(lengths)), np.cumsum([len(window) for window in windows])[:-1])
    return [rng.integers(0, SHAPE.vocabulary, n) for n in lengths], [own.tolist() for own in numbers]


SHAPE = Shape(width=16, layers=2, heads=2, vocabulary=50)


@pytest.fixture(scope="module")
def model() -> Llama:
    """A model whose every weight matters to its states."""
    torch.manual_seed(5)
    made = Llama(SHAPE).double()
    for name, weight in made.named_parameters():
        torch.nn.init.normal_(weight, float("norm" in name), 0.3)
    return made


@given(windowed, st.integers(1, 40), st.data())
def test_a_token_sees_exactly_the_earlier_ones_of_its_window(
    model: Llama, windows: list[list[int]], block_tokens: int, data: st.DataObject
) -> None:
    """Changing a token changes the states of its window from there on, and no others."""
    texts, numbers = texts_of(windows)
    window = np.repeat(np.arange(len(windows)), [sum(window) - 1 for window in windows])
    blocks = pack(texts, block_tokens, 64, numbers)
    place = data.draw(st.integers(0, len(window) - 1))
    with torch.no_grad():
        states = torch.cat([model.states(block) for block in blocks])
        at = place
        for block in blocks:
            if 0 <= at < len(block):
                block.inputs[at] = (block.inputs[at] + 1) % SHAPE.vocabulary
            at -= len(block)
        changed = (torch.cat([model.states(block) for block in blocks]) != states).any(dim=1).numpy()
    assert np.array_equal(changed, (window == window[place]) & (np.arange(len(window)) >= place))


@given(windowed, st.integers(1, 40))
def test_losses_are_those_of_a_plain_pass_over_the_window(
    model: Llama, windows: list[list[int]], block_tokens: int
) -> None:
    """All tokens of a text but the first are predicted, from all tokens of the window before them."""
    texts, numbers = texts_of(windows)
    found = np.zeros(len(texts))
    expected, counts = np.zeros(len(texts)), np.zeros(len(texts), dtype=int)
    with torch.no_grad():
        for block in pack(texts, block_tokens, 64, numbers):
            losses = cross_entropy(
                model.states(block) @ model.head.T, torch.from_numpy(block.targets), reduction="none"
            )
            found += np.bincount(block.owners[block.own], losses.numpy()[block.own], minlength=len(texts))
            counts += np.bincount(block.owners[block.own], minlength=len(texts))
        for own in numbers:
            ids = torch.from_numpy(np.concatenate([texts[i] for i in own]))
            losses = cross_entropy(model(ids[None])[0, :-1], ids[1:], reduction="none").numpy()
            ends = np.cumsum([len(texts[i]) for i in own])
            for i, end in zip(own, ends.tolist(), strict=True):
                expected[i] = losses[end - len(texts[i]) : end - 1].sum()
    np.testing.assert_allclose(found, expected)
    assert counts.tolist() == [len(text) - 1 for text in texts]


@given(windowed, st.integers(1, 40))
def test_windows_of_one_text_are_no_windows(windows: list[list[int]], block_tokens: int) -> None:
    texts, _ = texts_of(windows)
    alone = pack(texts, block_tokens, 5), pack(texts, block_tokens, 5, [[i] for i in range(len(texts))])
    assert [vars(block).keys() for block in alone[0]] == [vars(block).keys() for block in alone[1]]
    for one, other in zip(*alone, strict=True):
        for name in ("inputs", "targets", "positions", "owners"):
            assert np.array_equal(getattr(one, name), getattr(other, name))


@pytest.mark.parametrize("kind", ["scratch", "lora"])
def test_a_lesson_reports_each_passages_loss_in_its_window(kind: str, corpus: Corpus, base_folder: Path) -> None:
    """Its passages are of a topic, of one that it links with, and of one that is linked with neither."""
    graph = corpus.graph
    topic = int(np.argmax(graph.degree))
    near = int(graph.neighbours(topic)[0])
    far = next(
        t for t in range(len(graph)) if t not in {topic, near, *graph.neighbours(topic), *graph.neighbours(near)}
    )
    ids = [int(corpus.of(t, Split.TRAIN).ids[0]) for t in (topic, far, near)]
    options: dict[str, Any] = {"block_tokens": 500, "linked_windows": True}
    if kind == "scratch":
        learner: Any = ScratchLearner(corpus, **options, **SMALL)
        logits = learner.model
    else:
        learner = LoraLearner(corpus, model=str(base_folder), dtype=torch.float32, **options)
        logits = lambda ids: learner.model(ids, use_cache=False).logits  # noqa: E731
    expected = []
    with torch.no_grad():
        for before, own in (([], ids[0]), ([], ids[1]), ([ids[0]], ids[2])):
            text = torch.from_numpy(np.concatenate([learner.tokens[i].astype(np.int64) for i in [*before, own]]))
            n = len(learner.tokens[own]) - 1
            expected.append(cross_entropy(logits(text[None])[0, :-1][-n:], text[-n:]).item())
        alone = learner.losses(corpus.select(ids))
    learned = learner.learn(corpus.select(ids), 10_000)
    np.testing.assert_allclose(learned.losses, expected, rtol=1e-4)
    counts = learner.count_tokens(corpus.select(ids))
    assert learned.tokens == counts.sum() and learned.loss == pytest.approx(np.average(expected, weights=counts), 1e-4)
    np.testing.assert_allclose(alone[:2], expected[:2], rtol=1e-4)
    assert abs(alone[2] - expected[2]) > 1e-4  # measured alone, trained on in its window


def test_without_links_nothing_changes(corpus: Corpus) -> None:
    """A lesson of topics that are not linked is what it is without the option, bit for bit."""
    apart = Corpus(
        "apart", TopicGraph.from_links(corpus.graph.titles, [], []), corpus.texts, corpus.topics, corpus.splits
    )
    lesson = apart.select([apart.of(topic, Split.TRAIN).ids[0] for topic in range(20)])
    plain, linked = (ScratchLearner(apart, linked_windows=option, **SMALL) for option in (False, True))
    for _ in range(2):
        assert plain.learn(lesson, 10_000) == linked.learn(lesson, 10_000)
    assert np.array_equal(plain.trained_weights(), linked.trained_weights())


def test_a_window_has_no_more_tokens_than_an_update(corpus: Corpus) -> None:
    """So updates are as many as without, give or take one."""
    lesson = corpus.select(np.flatnonzero(corpus.splits == Split.TRAIN)[:60])
    plain, linked = (ScratchLearner(corpus, linked_windows=option, **SMALL) for option in (False, True))
    assert plain.learn(lesson, 100_000).tokens == linked.learn(lesson, 100_000).tokens
    assert linked.steps == pytest.approx(plain.steps, abs=1)
    assert not np.array_equal(plain.trained_weights(), linked.trained_weights())
