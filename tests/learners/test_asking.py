"""Asking which statement is likeliest: the answers of reading all of them, for fewer tokens."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from transformers import AutoModelForCausalLM

from kgrl.corpus import Corpus, Split
from kgrl.errors import DivergedError
from kgrl.learners import LoraLearner, ScratchLearner
from kgrl.learners.decoder import measuring
from kgrl.learners.decoder.learner import DecoderLearner
from kgrl.learners.decoder.packing import Block, pack, pack_onward
from kgrl.learners.decoder.past import Past
from kgrl.learners.decoder.pretrained import PretrainedDecoder
from kgrl.learners.plugins import Isolation
from tests.support.architectures import FAMILIES, save_tiny
from tests.support.tiny_corpus import make_tiny_corpus

KINDS = ("scratch", "lora", "alone")
WORDS = ("the", "Set", "number", "of", "lake", "is", "in", "river north", "it was", "graph")

names = st.lists(st.sampled_from(WORDS), min_size=1, max_size=4).map(" ".join)
question = st.tuples(
    names, st.lists(names, min_size=1, max_size=7), st.sampled_from(["", ".", " is in the north of it."])
)


@pytest.fixture(scope="module", params=KINDS)
def learner(request: pytest.FixtureRequest, base_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Learners that go on from what statements share, and one that reads each passage alone; weights that matter."""
    corpus = make_tiny_corpus()
    made: DecoderLearner
    if request.param == "scratch":
        made = ScratchLearner(corpus, width=32, heads=2, vocabulary=400)
        with torch.no_grad():
            made.weights.mul_(4)
    else:
        folder = tmp_path_factory.mktemp(request.param)
        save_tiny("Llama" if request.param == "lora" else "BLOOM", base_folder, folder)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it reads one passage at a time
            made = LoraLearner(corpus, model=str(folder), rank=2, dtype="float32")
    return made


def statements(corpus: Corpus, asked: list[tuple[str, list[str], str]]) -> tuple[Corpus, NDArray[np.int32]]:
    """Questions as passages of a corpus, the first name of each the true one, and the question of each."""
    texts = [f"{lead} {name}{end}" for lead, own, end in asked for name in own]
    groups = np.repeat(np.arange(len(asked), dtype=np.int32), [len(own) for _, own, _ in asked])
    return Corpus("asked", corpus.graph, texts, np.zeros(len(texts)), np.full(len(texts), Split.EXAM)), groups


def answers_of(losses: NDArray[Any], groups: NDArray[np.int32]) -> list[bool]:
    own = [losses[groups == group] for group in np.unique(groups)]
    return [bool((part[0] < part[1:]).all()) for part in own]


@contextmanager
def counted(learner: DecoderLearner) -> Iterator[list[int]]:
    """The sizes of all blocks that a learner's model reads."""
    sizes, states = list[int](), learner._decoder.states

    def count(block: Block) -> Any:
        sizes.append(len(block))
        return states(block)

    with patch.object(learner._decoder, "states", count):
        yield sizes


@settings(max_examples=40)
@given(st.lists(question, min_size=1, max_size=6), st.booleans())
def test_answers_are_those_of_reading_all_statements(
    learner: DecoderLearner, asked: list[tuple[str, list[str], str]], likeliest_first: bool
) -> None:
    """Whatever the statements share: nothing, all, a name that another one begins with."""
    side, groups = statements(learner.corpus, asked)
    every = side.select(np.arange(len(side)))
    losses = learner.reading(side, once=True).compare(every, groups)
    if likeliest_first:  # else right answers would be rare
        asked = [
            (lead, [own[i] for i in np.argsort(losses[groups == number])], end)
            for number, (lead, own, end) in enumerate(asked)
        ]
        side, groups = statements(learner.corpus, asked)
        every = side.select(np.arange(len(side)))
    reader = learner.reading(side, once=True)
    expected = answers_of(reader.compare(every, groups), groups)
    ties = [own[0] in own[1:] for _, own, _ in asked]
    with counted(learner) as read:
        answers, tokens = reader.first_likeliest(every, groups)
    assert answers.tolist() == [right and not tie for right, tie in zip(expected, ties, strict=True)]
    assert tokens == sum(read)


def test_statements_longer_than_the_context_are_answered_alike(learner: DecoderLearner) -> None:
    lead = "the lake of the north is in the set of numbers and it was " * 3
    side, groups = statements(learner.corpus, [(lead, ["river", "number", "graph of it"], " is in the north.")])
    every = side.select(np.arange(3))
    with patch.object(learner, "_context", 20):
        reader = learner.reading(side, once=True)
        expected = answers_of(reader.compare(every, groups), groups)
        assert reader.first_likeliest(every, groups)[0].tolist() == expected


def test_a_likelier_statement_ends_the_reading(learner: DecoderLearner) -> None:
    """The likeliest statement as the true one takes more reading than as a wrong one, and less than reading all."""
    own = [" ".join(WORDS[i : i + 3]) for i in range(8)]
    side, groups = statements(learner.corpus, [("It is said that", own, " is in the lake of the north.")])
    losses = learner.reading(side, once=True).compare(side.select(np.arange(8)), groups)
    read = list[int]()
    for order in (np.argsort(losses), np.argsort(-losses)):
        side, groups = statements(
            learner.corpus, [("It is said that", [own[i] for i in order], " is in the lake of the north.")]
        )
        reader, every = learner.reading(side, once=True), side.select(np.arange(8))
        answers, tokens = reader.first_likeliest(every, groups)
        assert answers.tolist() == [len(read) == 0]
        read.append(tokens)
        with counted(learner) as all_read:
            reader.compare(every, groups)
    assert read[1] < read[0] and read[1] < 0.75 * sum(all_read)


def test_equal_statements_are_no_answer_and_are_not_read(learner: DecoderLearner) -> None:
    side, groups = statements(learner.corpus, [("It is", ["so", "so"], "."), ("It is", ["so"], ".")])
    answers, tokens = learner.reading(side, once=True).first_likeliest(side.select([0, 1]), groups)
    assert (answers.tolist(), tokens) == ([False], 0)
    answers, tokens = learner.reading(side, once=True).first_likeliest(side.select(np.arange(3)), groups)
    assert answers.tolist() == [False, True]  # a statement without others is likelier than each of them


def test_what_rounding_might_decide_is_read_whole(learner: DecoderLearner, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a margin that no difference exceeds all answers are those of whole statements, whose tokens count, too."""
    asked = [("It is", [*WORDS[:5]], " of it."), ("The river", [*WORDS[3:8]], " north.")]
    side, groups = statements(learner.corpus, asked)
    every, reader = side.select(np.arange(len(side))), learner.reading(side, once=True)
    expected = answers_of(reader.compare(every, groups), groups)
    _, usual = reader.first_likeliest(every, groups)
    monkeypatch.setattr(measuring, "_MARGIN", 1e6)
    compared, compare = list[int](), type(reader)._compare

    def noted(self: Any, passages: Any, groups: Any) -> Any:
        compared.extend(passages.ids.tolist())
        return compare(self, passages, groups)

    monkeypatch.setattr(type(reader), "_compare", noted)
    with counted(learner) as read:
        answers, tokens = reader.first_likeliest(every, groups)
    assert answers.tolist() == expected and compared == every.ids.tolist()
    assert tokens == sum(read) > usual


def test_keys_and_values_are_kept_of_a_part_of_the_questions_at_a_time(
    learner: DecoderLearner, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = [(f"{word} is", [*WORDS[:4]], " of it.") for word in WORDS]
    side, groups = statements(learner.corpus, asked)
    every, reader = side.select(np.arange(len(side))), learner.reading(side, once=True)
    expected = reader.first_likeliest(every, groups)
    for name in ("_KEPT", "_SEEN"):
        monkeypatch.setattr(f"kgrl.learners.decoder.asking.{name}", 20)
    answers, tokens = reader.first_likeliest(every, groups)
    assert np.array_equal(answers, expected[0]) and tokens == expected[1]


def test_a_loss_that_is_no_number_names_the_passage() -> None:
    corpus = make_tiny_corpus()
    learner = ScratchLearner(corpus, width=16, heads=2, vocabulary=400)
    with torch.no_grad():
        learner.weights.fill_(torch.nan)
    side, groups = statements(corpus, [("It is", ["so", "not so"], ".")])
    with pytest.raises(DivergedError, match="the loss of passage 0 became nan"):
        learner.reading(side, once=True).first_likeliest(side.select([0, 1]), groups)


def test_each_module_answers_about_its_own_topics(fake_embeddings: NDArray[np.float32]) -> None:
    corpus = make_tiny_corpus()
    learner = ScratchLearner(
        corpus, width=32, heads=2, vocabulary=400, learning_rate=3e-2, plugins=[Isolation(fake_embeddings)]
    )
    for topic in (0, 39):
        learner.learn(corpus.of(topic, Split.TRAIN), 400)
    texts = [f"{corpus.graph.titles[topic]} is {name}" for topic in range(40) for name in WORDS]
    groups = np.repeat(np.arange(40, dtype=np.int32), len(WORDS))
    side = Corpus("asked", corpus.graph, texts, groups, np.full(len(texts), Split.EXAM))
    reader, every = learner.reading(side, once=True), side.select(np.arange(len(side)))
    expected = answers_of(reader.compare(every, groups), groups)
    assert reader.first_likeliest(every, groups)[0].tolist() == expected


def check_onward(decoder: Any, tolerance: float) -> None:
    """Texts that go on from the beginnings of others have the states that they have whole."""
    rng = np.random.default_rng(0)
    leads = [rng.integers(1, 300, size) for size in (5, 1, 9)]
    rests = [[rng.integers(1, 300, size) for size in sizes] for sizes in ((3, 1), (4,), (2, 2, 6))]
    whole = [np.concatenate([lead, rest]) for lead, own in zip(leads, rests, strict=True) for rest in own]
    (alone,) = pack([np.append(text, 0) for text in whole], 1000, 100)
    expected = torch.split(decoder.states(alone), [len(text) for text in whole])
    # The texts that are read first go on otherwise than those after them.
    (first,) = pack([np.concatenate([lead, rng.integers(1, 300, 4)]) for lead in leads], 1000, 100)
    pasts = [Past() for _ in leads]
    decoder.states(Block(first.inputs, first.targets, first.positions, first.owners, pasts=tuple(pasts)))
    for past, lead in zip(pasts, leads, strict=True):
        past.cut(len(lead))
    onward = pack_onward(pasts, [[np.append(rest, 0) for rest in own] for own in rests], 25)
    assert len(onward) > 1
    found = torch.cat([decoder.states(block) for block in onward])
    wanted = [text[-len(rest) :] for text, rest in zip(expected, [r for own in rests for r in own], strict=True)]
    assert (found - torch.cat(wanted)).norm() <= tolerance * torch.cat(wanted).norm()


@torch.inference_mode()
def test_texts_go_on_from_others_as_if_they_were_whole() -> None:
    learner = ScratchLearner(make_tiny_corpus(), width=32, heads=2, vocabulary=400)
    with torch.no_grad():
        learner.weights.mul_(4)
    check_onward(learner._decoder, 1e-5)


@pytest.mark.parametrize("family", FAMILIES)
@torch.inference_mode()
def test_so_they_do_in_all_architectures_that_can(family: str, base_folder: Path, tmp_path: Path) -> None:
    """On other devices than the CPU there is one mask for all texts; here it is given on the CPU."""
    save_tiny(family, base_folder, tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        decoder = PretrainedDecoder(AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32))
    if not decoder.branches:
        pytest.skip("reads passages whole")
    check_onward(decoder, 1e-4)
    ours = decoder._ours

    def on_a_device(block: Block) -> dict[str, Any]:
        given = {name: value for name, value in ours(block).items() if name != "masks"}
        return {**given, "seen": decoder._seen(block)}

    with patch.object(decoder, "_ours", on_a_device):
        check_onward(decoder, 1e-4)
