"""Adapters measured in a learner: the interference matrix, routing, and its drawing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import peft
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM

from kgrl.corpus import Corpus, Passages, Split
from kgrl.errors import KgrlError, SettingError
from kgrl.graph import TopicGraph
from kgrl.learners import LoraLearner
from kgrl.learners.adapters.composition import compose, methods
from kgrl.learners.adapters.folder import Adapter, AdapterFacts, read_adapter, save_adapter
from kgrl.learners.adapters.routing import centroids, nearest_centroid
from kgrl.learners.decoder.lora import write_adapter
from kgrl.learners.neighbourhoods.interference import Interference, interference, routed_losses, wearing
from kgrl.report.interference import draw_interference, interference_figure


@pytest.fixture(scope="module")
def adapters(tiny_corpus: Corpus, base_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Adapter]:
    """One adapter for each of two topics, of rank 4 and scale 3, and the learner's own losses of both topics."""
    learner = LoraLearner(
        tiny_corpus, model=str(base_folder), learning_rate=1e-2, rank=4, alpha=12, dtype=torch.float32
    )
    untaught, made = learner.snapshot(), []
    for topic in TOPICS:
        learner.restore(untaught)
        for _ in range(4):
            learner.learn(tiny_corpus.of(topic, Split.TRAIN), 2000)
        losses = {str(t): float(learner.losses(tiny_corpus.of(t, Split.PROBE)).mean()) for t in TOPICS}
        folder = tmp_path_factory.mktemp("adapters") / f"topic-{topic}"
        write_adapter(learner, folder, AdapterFacts(losses=losses))
        made.append(read_adapter(folder))
    return made


@pytest.fixture(scope="module")
def learner(tiny_corpus: Corpus, base_folder: Path) -> LoraLearner:
    """A learner of another rank and scale than the adapters', with something of its own learned."""
    learner = LoraLearner(
        tiny_corpus, model=str(base_folder), learning_rate=1e-2, rank=8, alpha=8, seed=4, dtype=torch.float32
    )
    learner.learn(tiny_corpus.of(7, Split.TRAIN), 500)
    return learner


TOPICS = (0, 39)


@pytest.fixture
def groups(tiny_corpus: Corpus) -> list[Passages]:
    return [tiny_corpus.of(topic, Split.PROBE) for topic in TOPICS]


def test_rows_are_what_each_adapter_gave_where_it_was_trained(
    learner: LoraLearner, adapters: list[Adapter], groups: list[Passages], tiny_corpus: Corpus, base_folder: Path
) -> None:
    measured = interference(learner, adapters, groups)
    for row, adapter in zip(measured.losses, adapters, strict=False):
        assert row == pytest.approx(list(adapter.facts.losses.values()), rel=1e-5)
    untaught = LoraLearner(tiny_corpus, model=str(base_folder), dtype=torch.float32)
    assert measured.losses[-1] == pytest.approx([untaught.losses(group).mean() for group in groups], rel=1e-5)
    assert measured.adapters == ("topic-0", "topic-39")


def test_an_adapter_helps_its_own_neighbourhood_most(
    learner: LoraLearner, adapters: list[Adapter], groups: list[Passages]
) -> None:
    drops = interference(learner, adapters, groups).drops
    assert np.all(np.diag(drops) > 0) and drops.argmax(axis=0).tolist() == [0, 1]


def test_measuring_leaves_the_learner_as_it_was(
    learner: LoraLearner, adapters: list[Adapter], groups: list[Passages]
) -> None:
    before, own = learner.copy(), learner.losses(groups[0])
    interference(learner, adapters, groups)
    after = learner.copy()
    assert torch.equal(before.weights, after.weights) and torch.equal(before.first_moment, after.first_moment)
    with pytest.raises(RuntimeError), wearing(learner, adapters[0]):
        assert not np.array_equal(own, learner.losses(groups[0]))
        raise RuntimeError
    assert np.array_equal(own, learner.losses(groups[0]))


@pytest.mark.parametrize("method", list(methods))
def test_composed_adapters_are_measured_as_peft_runs_them(
    method: str, learner: LoraLearner, adapters: list[Adapter], base_folder: Path, tmp_path: Path
) -> None:
    composed = compose(adapters, method)
    save_adapter(composed, tmp_path)
    loaded = peft.PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base_folder), tmp_path)
    passages = learner.corpus.of(0, Split.PROBE)
    with wearing(learner, composed):
        losses = learner.losses(passages)
    assert peft_loss(loaded.eval(), learner, int(passages.ids[0])) == pytest.approx(float(losses[0]), rel=1e-4)


def peft_loss(model: torch.nn.Module, learner: LoraLearner, passage: int) -> float:
    """A passage's loss by the model's own forward."""
    ids = torch.from_numpy(learner.tokens[passage].astype(np.int64))[None]
    with torch.no_grad():
        return float(model(input_ids=ids, labels=ids).loss)


def test_routed_losses_are_those_of_the_adapters(
    learner: LoraLearner, adapters: list[Adapter], tiny_corpus: Corpus
) -> None:
    passages = tiny_corpus.select(np.flatnonzero(tiny_corpus.splits == Split.EXAM)[:6])
    route = np.array([1, 0, 0, 1, 1, 0], dtype=np.int32)
    by_adapter = []
    for adapter in adapters:
        with wearing(learner, adapter):
            by_adapter.append(learner.losses(passages))
    expected = np.stack(by_adapter)[route, np.arange(6)]
    np.testing.assert_allclose(routed_losses(learner, adapters, passages, route), expected, rtol=1e-4)


@pytest.mark.parametrize("route", [[0], [0, 2], [-1, 0]])
def test_routes_that_lead_nowhere_are_refused(
    route: list[int], learner: LoraLearner, adapters: list[Adapter], tiny_corpus: Corpus
) -> None:
    with pytest.raises(ValueError, match="from 0 to 1"):
        routed_losses(learner, adapters, tiny_corpus.select([0, 1]), np.array(route, dtype=np.int32))


def test_what_does_not_fit_the_learner_is_refused(
    learner: LoraLearner, adapters: list[Adapter], groups: list[Passages], tiny_corpus: Corpus, base_folder: Path
) -> None:
    with pytest.raises(KgrlError, match=r"'topic-0'.*other@00.*tiny-llama@"):
        interference(learner, [replace(adapters[0], base="other@00")], groups)
    with pytest.raises(SettingError, match=r"rank 12.*not 8"):
        interference(learner, [compose([*adapters, adapters[0]])], groups)
    narrow = LoraLearner(tiny_corpus, model=str(base_folder), target_modules=["q_proj"])
    with pytest.raises(KgrlError, match=r"'topic-0' is on the layer .*proj, which"):
        interference(narrow, adapters, groups)
    with pytest.raises(KgrlError, match="neighbourhood 1 has no passages"):
        interference(learner, adapters, [groups[0], tiny_corpus.select([])])


@given(st.integers(0, 10_000), st.floats(0.01, 100))
def test_routing_ignores_lengths_and_finds_a_centroid_itself(seed: int, length: float) -> None:
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(5, 4)).astype(np.float32)
    scales = rng.uniform(0.5, 2, size=(5, 1)).astype(np.float32)
    assert nearest_centroid(rows * np.float32(length), rows * scales).tolist() == [0, 1, 2, 3, 4]


def test_centroids_leave_out_topics_of_no_neighbourhood() -> None:
    embeddings = np.array([[1, 0], [3, 0], [9, 9], [0, 1]], dtype=np.float32)
    assert centroids(embeddings, np.array([0, 0, -1, 1], dtype=np.int32)).tolist() == [[2, 0], [0, 1]]
    with pytest.raises(ValueError, match="neighbourhood 1 has no topics"):
        centroids(embeddings, np.array([0, 0, -1, 2], dtype=np.int32))


MEASURED = Interference(("arts", "physics"), np.array([[2.0, 3.5], [3.1, 2.0], [3.0, 3.0]]))


@pytest.mark.parametrize(("ending", "start"), [("png", b"\x89PNG"), ("svg", b"<?xml")])
def test_the_matrix_is_drawn_in_the_format_of_the_ending(ending: str, start: bytes, tmp_path: Path) -> None:
    names = ["Arts, $x_{1$ and <b>", "Physics " * 20]  # what mathematics and markup would stumble over
    draw_interference(tmp_path / f"matrix.{ending}", MEASURED, names)
    assert (tmp_path / f"matrix.{ending}").read_bytes().startswith(start)
    assert [path.name for path in tmp_path.iterdir()] == [f"matrix.{ending}"]


def test_colours_are_centred_at_zero_and_values_are_in_the_cells() -> None:
    axes = interference_figure(MEASURED, ["Arts", "Physics"]).axes[0]
    (image,) = axes.images
    assert image.get_clim() == (-1.0, 1.0)
    assert [text.get_text() for text in axes.texts] == ["+1.00", "-0.50", "-0.10", "+1.00"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["arts", "physics"]
    helps, harms = image.to_rgba(np.array([1.0, -1.0]))
    assert helps[2] > helps[0] and harms[0] > harms[2], "blue helps, red harms"


def test_what_cannot_be_drawn_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KgrlError, match=r"\.png, \.svg"):
        draw_interference(tmp_path / "matrix.jpg", MEASURED, ["Arts", "Physics"])
    with pytest.raises(ValueError, match="2 neighbourhoods and 1 names"):
        draw_interference(tmp_path / "matrix.png", MEASURED, ["Arts"])


@pytest.mark.integration
def test_composed_smollm2_adapters_are_plain_peft(tmp_path: Path) -> None:
    """Two adapters of two passages each: loaded by PEFT and merged into the weights, losses stay what kgrl measures."""
    from kgrl.learners.decoder.models import load_pretrained

    texts = [
        "A prime number is a natural number greater than 1 that is not a product of two smaller natural numbers.",
        "A natural number greater than 1 that is not prime is called a composite number.",
        "A glacier is a persistent body of dense ice that is constantly moving under its own weight.",
        "A glacier forms where the accumulation of snow exceeds its ablation over many years.",
    ]
    graph = TopicGraph.from_links(["Prime number", "Glacier"], [0], [1])
    corpus = Corpus("two topics", graph, texts, [0, 0, 1, 1], [0, 0, 0, 0])
    learner = LoraLearner(corpus, rank=8, alpha=16, dtype=torch.float32)
    untaught, adapters = learner.snapshot(), []
    for topic in (0, 1):
        learner.restore(untaught)
        learned = learner.learn(corpus.of(topic, Split.TRAIN), 100)
        facts = AdapterFacts(corpus.name, (graph.titles[topic],), learned.tokens, seed=0)
        write_adapter(learner, tmp_path / graph.titles[topic], facts)
        adapters.append(read_adapter(tmp_path / graph.titles[topic]))
    save_adapter(compose(adapters, weight=1.0), tmp_path / "both")
    base, _ = load_pretrained("smollm2", torch.float32)
    loaded = peft.PeftModel.from_pretrained(base, tmp_path / "both").eval()
    through_peft = [peft_loss(loaded, learner, passage) for passage in range(4)]
    merged = loaded.merge_and_unload()
    assert [peft_loss(merged, learner, passage) for passage in range(4)] == pytest.approx(through_peft, rel=1e-3)
    wide = LoraLearner(corpus, rank=16, alpha=16, dtype=torch.float32)
    with wearing(wide, read_adapter(tmp_path / "both")):
        assert wide.losses(corpus.select(range(4))) == pytest.approx(np.array(through_peft), rel=1e-3)
    assert wide.losses(corpus.select([0]))[0] != pytest.approx(through_peft[0], rel=1e-3)
