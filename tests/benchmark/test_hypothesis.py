"""The hypothesis suite finds planted effects and no others, continues after a kill, and shuffles only the order."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from kgrl.benchmark.hypothesis import order, recall, suite
from kgrl.benchmark.hypothesis.measuring import MeasurementFolder, PreparedCorpus, Row
from kgrl.benchmark.hypothesis.order import compare_orders, order_findings, recorded, shuffled
from kgrl.benchmark.hypothesis.plan import Plan, Planner, balance
from kgrl.benchmark.hypothesis.recall import follow, recall_findings
from kgrl.benchmark.hypothesis.transfer import (
    LESSON_TOKENS,
    by_distance,
    chosen,
    lesson,
    measure_topics,
    pair_differences,
    prepare,
    transfer_findings,
)
from kgrl.cli import main
from kgrl.cli.bench import _listed
from kgrl.corpus import Corpus, Passages, Split
from kgrl.curriculum import CurriculumConfig
from kgrl.data import load_corpus
from kgrl.errors import DataError, KgrlError
from kgrl.graph import TopicGraph
from kgrl.learners import ScratchLearner
from kgrl.learners.base import Learned, Learner
from kgrl.retrieval import FaissRetriever, indexed_passages

TOPICS, DIMENSIONS = 400, 8
FloatArray = NDArray[np.float32]


class Planted:
    """A learner whose losses fall by a known amount after one lesson, and by noise; it learns one topic at a time."""

    def __init__(self, corpus: Corpus, drops: NDArray[np.float64], noise: float = 0.02) -> None:
        self.drops = drops + noise * np.random.default_rng(5).normal(size=drops.shape)
        self.learned: int | None = None
        self.lessons = 0

    def learn(self, passages: Passages, token_budget: int) -> Learned:
        self.learned, self.lessons = int(passages.topics[0]), self.lessons + 1
        return Learned(
            min(token_budget, int(self.count_tokens(passages).sum())), 0.0, tuple(self.losses(passages).tolist())
        )

    def losses(self, passages: Passages) -> FloatArray:
        fallen = 0.0 if self.learned is None else self.drops[self.learned, passages.topics]
        return np.asarray(np.full(len(passages), 5.0) - fallen, dtype=np.float32)

    def count_tokens(self, passages: Passages) -> NDArray[np.int64]:
        return np.array([len(text.split()) for text in passages.texts], dtype=np.int64)

    def snapshot(self) -> int | None:
        return self.learned

    def restore(self, snapshot: int | None) -> None:
        self.learned = snapshot

    def save(self, folder: Path) -> None: ...

    def load(self, folder: Path) -> None: ...


@pytest.fixture(scope="module")
def vectors() -> FloatArray:
    drawn = np.random.default_rng(0).normal(size=(TOPICS, DIMENSIONS))
    return np.asarray(drawn / np.linalg.norm(drawn, axis=1, keepdims=True), dtype=np.float32)


@pytest.fixture(scope="module")
def cosines(vectors: FloatArray) -> NDArray[np.float64]:
    return (vectors @ vectors.T).astype(np.float64)


@pytest.fixture(scope="module")
def corpus(cosines: NDArray[np.float64]) -> Corpus:
    """Topics that are linked the likelier the more similar they are, so that similarity looks like links."""
    chance = np.triu(0.03 * np.exp(2.5 * cosines) / np.exp(1), k=1)
    sources, targets = np.nonzero(np.random.default_rng(1).random(chance.shape) < chance)
    titles = [f"T{topic:03}" for topic in range(TOPICS)]
    graph = TopicGraph.from_links(titles, sources, targets, ["even", "odd"] * (TOPICS // 2))
    texts = [text for topic in range(TOPICS) for text in ("word " * 120, f"probe {topic}", f"exam {topic}")]
    return Corpus("planted", graph, texts, np.repeat(np.arange(TOPICS), 3), np.tile([0, 1, 2], TOPICS))


@pytest.fixture(scope="module")
def plans(corpus: Corpus, vectors: FloatArray) -> list[Plan]:
    return chosen(Planner(corpus, vectors), 100)


def measured(corpus: Corpus, drops: NDArray[np.float64], plans: list[Plan], folder: Path) -> list[Row]:
    return list(measure_topics(corpus, Planted(corpus, drops), plans, MeasurementFolder(folder), "t"))


def naive_difference(corpus: Corpus, drops: NDArray[np.float64], plans: list[Plan]) -> float:
    linked = corpus.graph.adjacency.toarray() > 0
    rows = [plan.topic for plan in plans]
    return float(drops[rows][linked[rows]].mean() - drops[rows][~linked[rows]].mean())


def test_an_effect_along_links_is_found_with_its_size(
    corpus: Corpus, cosines: NDArray[np.float64], plans: list[Plan], tmp_path: Path
) -> None:
    drops = 0.5 * cosines + 0.05 * corpus.graph.adjacency.toarray() + np.eye(TOPICS)
    rows = measured(corpus, drops, plans, tmp_path)
    paired, unnamed, *distances = transfer_findings(rows, "planted", "fake")
    assert paired.word == unnamed.word == "supported" and paired.effect == pytest.approx(0.05, abs=0.01)
    assert paired.standardised is not None and paired.standardised > 1 and paired.n == 100
    assert [found.word for found in distances] == ["supported"] * len(distances) and distances
    assert distances[0].effect == pytest.approx(0.05, abs=0.01)


def test_what_falls_with_similarity_alone_is_not_taken_for_links(
    corpus: Corpus, cosines: NDArray[np.float64], plans: list[Plan], tmp_path: Path
) -> None:
    drops = 0.5 * cosines
    assert naive_difference(corpus, drops, plans) > 0.1
    paired, _, *distances = transfer_findings(measured(corpus, drops, plans, tmp_path), "planted", "fake")
    assert paired.word == "not distinguishable" and abs(paired.effect) < 0.005
    assert all(abs(found.effect) < 0.005 for found in distances)


def test_what_only_named_topics_gain_is_told_apart(corpus: Corpus, plans: list[Plan], tmp_path: Path) -> None:
    rows = measured(corpus, 0.1 * corpus.graph.adjacency.toarray(), plans, tmp_path)
    for row in rows:
        for other in row["measured"]:
            other["names"] = other["role"] == "linked"
    assert len(pair_differences(rows)) == 100
    assert len(pair_differences(rows, lambda ours, theirs: not ours["names"])) == 0


def test_pairs_are_as_the_plan_says(corpus: Corpus, cosines: NDArray[np.float64], plans: list[Plan]) -> None:
    for plan in plans:
        by_role = {role: {m.pair: m for m in plan.measured if m.role == role} for role in ("linked", "control")}
        assert by_role["linked"].keys() == by_role["control"].keys()
        others = [m.topic for m in plan.measured]
        assert len(set(others)) == len(others) and plan.topic not in others
        for pair, ours in by_role["linked"].items():
            theirs = by_role["control"][pair]
            assert ours.topic in corpus.graph.neighbours(plan.topic) and ours.distance == 1 < theirs.distance
            assert abs(ours.cosine - theirs.cosine) <= 0.05 and ours.same_category == theirs.same_category
            assert ours.cosine == pytest.approx(cosines[plan.topic, ours.topic], abs=1e-6)


def test_nothing_is_dropped_without_being_counted(corpus: Corpus, plans: list[Plan]) -> None:
    told = balance(plans)
    assert told["linked"] == sum(len(corpus.graph.neighbours(plan.topic)) for plan in plans)
    assert 0 < told["unmatched"] < told["linked"]
    assert told["pairs_measured"] <= told["linked"] - told["unmatched"]
    assert told["drawn"] - told["without_a_pair"] == 100
    cosine = told["standardised_differences"]["cosine"]
    assert cosine["before"] > 0.5 and abs(cosine["after"]) < 0.1


def test_topics_without_a_pair_are_counted_and_replaced(corpus: Corpus, vectors: FloatArray) -> None:
    graph = corpus.graph
    alone = TopicGraph(graph.titles, graph.indptr, graph.indices, graph.titles)  # each topic its own category
    lonely = Corpus("lonely", alone, corpus.texts, corpus.topics, corpus.splits)
    plans = chosen(Planner(lonely, vectors), 5)
    assert plans and not any(plan.measured for plan in plans)
    assert balance(plans)["without_a_pair"] == len(plans) and balance(plans)["unmatched"] > 0


def test_distances_are_tabled(corpus: Corpus, cosines: NDArray[np.float64], plans: list[Plan], tmp_path: Path) -> None:
    table = by_distance(measured(corpus, 0.5 * cosines + np.eye(TOPICS), plans, tmp_path))
    assert [line["distance"] for line in table][:3] == ["0", "1", "2"]
    assert table[0]["drop"] == pytest.approx(1.5, abs=0.01)
    assert all(line["drop_low"] <= line["drop"] <= line["drop_high"] for line in table)


def test_a_kill_loses_one_topic_at_most(
    corpus: Corpus, cosines: NDArray[np.float64], plans: list[Plan], tmp_path: Path
) -> None:
    store, learner = MeasurementFolder(tmp_path), Planted(corpus, cosines)
    half = measure_topics(corpus, learner, plans[:6], store, "t")
    for _ in range(3):
        next(half)
    half.close()
    later = Planted(corpus, cosines)
    rows = list(measure_topics(corpus, later, plans[:6], store, "t"))
    planned = sum(bool(plan.measured) for plan in plans[:6])
    assert (learner.lessons, later.lessons, len(rows)) == (3, planned - 3, planned)
    assert rows == measured(corpus, cosines, plans[:6], tmp_path / "undisturbed")


def test_every_topic_is_learned_for_as_many_tokens(tiny_corpus: Corpus) -> None:
    learner = ScratchLearner(tiny_corpus, seed=1, width=32, heads=2, vocabulary=400)
    for topic in (0, 7):
        passages = lesson(tiny_corpus, learner, topic)
        assert set(passages.ids) <= set(tiny_corpus.ids_of(topic, Split.TRAIN))
        assert learner.learn(passages, LESSON_TOKENS).tokens == LESSON_TOKENS


def test_the_trained_state_has_read_nothing_of_what_is_learned_on_forks(
    tiny_corpus: Corpus, fake_embeddings: FloatArray
) -> None:
    planner, read = Planner(tiny_corpus, fake_embeddings), set[int]()

    class Reader(Planted):
        def learn(self, passages: Passages, token_budget: int) -> Learned:
            read.update(passages.topics.tolist())
            return super().learn(passages, token_budget)

    nothing = np.zeros((len(tiny_corpus.graph),) * 2)
    assert prepare(Reader(tiny_corpus, nothing), "scratch", "cold", planner) == 0 and not read
    assert prepare(Reader(tiny_corpus, nothing), "scratch", "trained", planner) > 0
    assert read and not read & set(planner.candidates) and planner.candidates


def test_a_folder_of_another_corpus_or_version_is_refused(tmp_path: Path) -> None:
    store = MeasurementFolder(tmp_path)
    store.check("a", "1", "e")
    store.check("b", "2", "e")
    store.check("a", "1", "e")
    with pytest.raises(DataError, match="another 'a'"):
        store.check("a", "3", "e")
    about = json.loads((tmp_path / "about.json").read_text())
    (tmp_path / "about.json").write_text(json.dumps({**about, "version": "0.0.0"}))
    with pytest.raises(DataError, match=r"kgrl 0\.0\.0"):
        store.check("a", "1", "e")


@pytest.fixture
def place(tiny_corpus: Corpus, fake_embeddings: FloatArray) -> PreparedCorpus:
    ids = indexed_passages(tiny_corpus)
    retriever = FaissRetriever(ids, fake_embeddings[tiny_corpus.topics[ids]])
    return PreparedCorpus.of(tiny_corpus, retriever, fake_embeddings)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> PreparedCorpus:
    """An invented world, since its passages name linked topics; few questions, so that they are answered at once."""
    monkeypatch.setattr(recall, "_QUESTIONS", 8)
    monkeypatch.setattr(recall, "_SAMPLE", 200)
    corpus, rng = load_corpus("invented:300"), np.random.default_rng(3)
    drawn = rng.normal(size=(300, DIMENSIONS))
    vectors = np.asarray(drawn / np.linalg.norm(drawn, axis=1, keepdims=True), dtype=np.float32)
    ids = indexed_passages(corpus)
    return PreparedCorpus.of(corpus, FaissRetriever(ids, vectors[corpus.topics[ids]]), vectors)


def small(name: str, corpus: Corpus, *, seed: int) -> Learner:
    return ScratchLearner(corpus, seed=seed, width=32, heads=2, vocabulary=400)


def test_a_recorded_curriculum_is_the_one_that_is_learned(place: PreparedCorpus) -> None:
    learner = small("scratch", place.corpus, seed=0)
    weights = learner.losses(place.corpus.of(0, Split.PROBE))
    steps = recorded(place, learner, "random", 3, budget=6_000)
    assert np.array_equal(learner.losses(place.corpus.of(0, Split.PROBE)), weights)
    from kgrl.agents import make_agent

    config = CurriculumConfig(seed=3, budget_tokens=6_000)
    learned = list(place.curriculum(learner, config).run(make_agent("random")))
    assert [(s.topic, s.passages, s.tokens, s.neighbourhood) for s in steps] == [
        (s.topic, s.passages, s.tokens, s.neighbourhood) for s in learned
    ]


def test_shuffling_keeps_passages_tokens_and_the_nucleus(place: PreparedCorpus) -> None:
    steps = recorded(place, small("scratch", place.corpus, seed=0), "closure", 0, budget=6_000)
    other = shuffled(steps, 0)
    assert other[0] == steps[0] and other != steps and len(steps) > 3
    for what in ("tokens", "topic", "passages"):
        assert Counter(getattr(s, what) for s in steps) == Counter(getattr(s, what) for s in other)
    assert shuffled(steps, 1) != other


def test_orders_are_compared_from_the_same_weights_over_the_same_tokens(
    place: PreparedCorpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(order, "make_float32_learner", small)
    rows = [compare_orders(place, "scratch", "random", seed, budget=12_000) for seed in (0, 1)]
    for row in rows:
        assert row["links"][0] == row["shuffled"][0] and row["links"][-1][0] == row["shuffled"][-1][0]
        assert row["links"][-1][1:] != row["shuffled"][-1][1:]
    found = order_findings(rows, "tiny", "scratch")
    assert len(found) == 4 and all(f.n == 2 and f.learner == "scratch, random" for f in found)
    final = rows[0]["shuffled"][-1][1] - rows[0]["links"][-1][1], rows[1]["shuffled"][-1][1] - rows[1]["links"][-1][1]
    assert found[1].effect == pytest.approx(np.mean(final))


def test_a_curriculum_that_ends_early_is_compared_as_far_as_it_went(corpus: Corpus, vectors: FloatArray) -> None:
    planner, states = Planner(corpus, vectors), [recall.FRONTIER] * 5 + [recall.FAR] * 5
    long = recall_row(states, [[0] * 10, [1] * 5 + [0] * 5], [0.2] * 10)
    short = recall_row(states, [[0] * 10, [0] * 10], [0.2] * 10)
    long["moments"].append(long["moments"][-1])
    assert recall_findings([long, short], planner, "tiny", "fake")[0].effect == pytest.approx(2 / 3)


def recall_row(states: list[int], answers: list[list[int]], drops: list[float]) -> Row:
    """Two moments: one before training, one after, with the states and answers given."""
    n = len(states)
    common = {"question_states": states, "states": states, "cosines": [0.5] * n}
    return {
        "seed": 0,
        "topics": list(range(n)),
        "moments": [
            {**common, "tokens": 0, "answers": answers[0], "losses": [5.0] * n},
            {**common, "tokens": 9, "answers": answers[1], "losses": [5.0 - drop for drop in drops]},
        ],
    }


def test_recall_is_compared_between_frontier_and_far_topics(corpus: Corpus, vectors: FloatArray) -> None:
    planner = Planner(corpus, vectors)
    planner.log_degree = np.ones(TOPICS)
    states = [recall.LEARNED] * 20 + [recall.FRONTIER] * 20 + [recall.FAR] * 20
    # Learned topics are all recalled later, frontier ones half of them, far ones none.
    later = [1] * 20 + [0, 1, 1, 0] * 5 + [0] * 20
    row = recall_row(states, [[0] * 60, later], [1.0] * 20 + [0.3] * 20 + [0.1] * 20)
    rise, loss = recall_findings([row], planner, "tiny", "fake")
    assert rise.effect == pytest.approx(0.5) and rise.word == "supported" and rise.n == 40
    assert loss.effect == pytest.approx(0.2) and loss.n == 20


def test_following_a_curriculum_asks_before_and_after(world: PreparedCorpus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recall, "make_float32_learner", small)
    row = follow(world, "scratch", 0, budget=3_000)
    assert 2 < len(row["moments"]) <= 12 and row["moments"][0]["tokens"] == 0
    assert set(row["moments"][0]["states"]) == {recall.FAR} and recall.LEARNED in row["moments"][-1]["states"]
    assert all(named in world.corpus.graph.out(topic) for topic, named in row["questions"])
    assert json.loads(json.dumps(row)) == row


def test_the_suite_measures_once_and_reports(
    world: PreparedCorpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (suite, order, recall):
        monkeypatch.setattr(module, "make_float32_learner", small)
    monkeypatch.setattr(suite.PreparedCorpus, "load", lambda name, encoder: world)
    monkeypatch.setattr(order, "BUDGET", 2_500)
    monkeypatch.setattr(recall, "_SCRATCH_BUDGET", 2_500)
    monkeypatch.setattr("kgrl.benchmark.hypothesis.transfer._SCRATCH_TOKENS", 3_000)
    asked = suite.Suite(("invented:300",), ("scratch",), suite.QUESTIONS, 3, 2, tmp_path)
    seen: list[int] = []
    asked.run(lambda done, note: seen.append(done))
    figures = asked.figures()
    assert seen == list(range(1, len(seen) + 1)) and len(seen) <= asked.size
    assert {found["question"] for found in figures["findings"]} >= {"order", "recall"}
    assert {found["corpus"] for found in figures["findings"]} == {"invented:300"}  # as it was asked for
    written = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.json") if path.name != "about.json"}
    again = suite.Suite(("invented:300",), ("scratch",), suite.QUESTIONS, 3, 2, tmp_path)
    again.run(lambda done, note: None)
    assert {path: path.stat().st_mtime_ns for path in written} == written
    assert again.figures() == figures and json.loads(json.dumps(figures)) == figures


def test_a_misspelt_question_is_told_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--suite", "hypothesis", "--tasks", "order,recal", "--out", str(tmp_path)]) == 2
    assert "did you mean 'recall'" in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_names_come_with_commas_or_blanks_between_them() -> None:
    assert _listed(("vital,wikispeedia", "invented:2000", "vital")) == ("vital", "wikispeedia", "invented:2000")


@pytest.mark.parametrize("wrong", [{"questions": ("transfre",)}, {"learners": ("skratch",)}])
def test_unknown_names_are_told_before_anything_is_measured(tmp_path: Path, wrong: dict[str, tuple[str, ...]]) -> None:
    settings = {"corpora": ("vital",), "learners": ("scratch",), "questions": ("transfer",), **wrong}
    with pytest.raises(KgrlError, match="did you mean"):
        suite.Suite(**settings, topics=1, seeds=1, folder=tmp_path)
