"""Recall: the questions, the rightness of answers, and the records of runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest
from numpy.typing import NDArray

from kgrl.agents import make_agent
from kgrl.cli import main
from kgrl.corpus import Corpus, Split
from kgrl.curriculum import Curriculum, CurriculumConfig
from kgrl.data.invented import Fact, InventedWorld, fact_questions, invent, load_invented, world_of
from kgrl.data.invented.corpus import write_corpus
from kgrl.errors import SettingError
from kgrl.exam import Exam
from kgrl.graph import TopicGraph
from kgrl.learners import LoraLearner, ScratchLearner
from kgrl.learners.decoder.learner import DecoderLearner
from kgrl.learners.plugins import Isolation
from kgrl.probes import Accuracy, Question, Recall, distances_from, link_questions
from kgrl.retrieval import FaissRetriever, indexed_passages
from kgrl.runs import Run

Make = Callable[..., Curriculum]
CHANCE = 1 / 16


@pytest.mark.parametrize(
    ("right", "asked", "low", "high"),
    [(0, 10, 0.0, 0.2775), (5, 10, 0.2366, 0.7634), (10, 10, 0.7225, 1.0), (4, 64, 0.0246, 0.1500), (1, 1, 0.2065, 1)],
)
def test_intervals_are_wilson_s(right: int, asked: int, low: float, high: float) -> None:
    """Compared with figures of statsmodels' `proportion_confint(method="wilson")`."""
    assert Accuracy(right, asked).interval == pytest.approx((low, high), abs=1e-4)


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return load_invented("invented:300")


@pytest.fixture(scope="module")
def learner(corpus: Corpus) -> ScratchLearner:
    return ScratchLearner(corpus, width=32, heads=2, vocabulary=600)


def totals(learner: DecoderLearner, side: Corpus) -> NDArray[np.float64]:
    """The loss of each whole passage of a corpus, in nats."""
    passages = side.select(np.arange(len(side)))
    reader = learner.reading(side)
    return reader.losses(passages).astype(np.float64) * reader.count_tokens(passages)


def of_groups(losses: NDArray[Any], groups: NDArray[np.int32]) -> NDArray[np.float64]:
    """Losses less that of the first of each group."""
    _, first = np.unique(groups, return_index=True)
    return losses.astype(np.float64) - losses[first][groups]


def check_comparison(learner: DecoderLearner, side: Corpus, groups: NDArray[np.int32]) -> None:
    compared = learner.reading(side).compare(side.select(np.arange(len(side))), groups)
    np.testing.assert_allclose(of_groups(compared, groups), of_groups(totals(learner, side), groups), atol=1e-3)


@pytest.mark.parametrize("kind", ["scratch", "lora"])
def test_comparing_statements_is_comparing_all_of_their_tokens(
    kind: str, corpus: Corpus, learner: ScratchLearner, base_folder: Path
) -> None:
    """Though what they share is read once; also for single ones, for equal ones, and for those that share nothing."""
    questions = fact_questions(world_of(corpus.name), 12)
    texts = [text for question in questions for text in (question.true, *question.wrong)]
    groups = np.repeat(np.arange(12, dtype=np.int32), 16)
    texts, groups = [*texts, "It is so.", "So it is.", "It is so.", "Here."], np.r_[groups, [12, 12, 12, 13]]
    side = Corpus("side", corpus.graph, texts, np.zeros(len(texts)), np.zeros(len(texts)))
    asked = learner if kind == "scratch" else LoraLearner(corpus, model=str(base_folder), rank=2)
    asked.learn(corpus.of(0, Split.TRAIN), 300)
    before = asked.losses(corpus.of(1, Split.TRAIN))
    check_comparison(asked, side, groups.astype(np.int32))
    assert asked.corpus is corpus
    np.testing.assert_array_equal(asked.losses(corpus.of(1, Split.TRAIN)), before)


def test_what_statements_share_is_read_once(
    corpus: Corpus, learner: ScratchLearner, monkeypatch: pytest.MonkeyPatch
) -> None:
    recall = Recall(corpus, fact_questions(world_of(corpus.name), 32))
    whole = sum(
        int(learner.reading(recall._statements).count_tokens(recall._statements.select([i]))[0]) for i in range(512)
    )
    read = list[int]()
    states = learner._decoder.states
    monkeypatch.setattr(learner._decoder, "states", lambda block: (read.append(len(block)), states(block))[1])
    recall.measure(learner)
    assert sum(read) < 0.6 * whole


def test_the_likeliest_statement_is_the_answer(corpus: Corpus, learner: ScratchLearner) -> None:
    """Whatever an untaught learner finds likeliest of 16 statements: as the true one it is right, else wrong."""
    (question,) = fact_questions(world_of(corpus.name), 1)
    statements = (question.true, *question.wrong)
    side = Corpus("side", corpus.graph, statements, [question.topic] * 16, np.zeros(16))
    likeliest = statements[int(totals(learner, side).argmin())]
    for true in (likeliest, next(s for s in statements if s != likeliest)):
        wrong = tuple(s for s in statements if s != true)
        answers = Recall(corpus, [Question(question.topic, true, wrong, "1")]).answers(learner)
        assert answers.tolist() == [true == likeliest]


def test_equally_likely_statements_are_no_answer(corpus: Corpus, learner: ScratchLearner) -> None:
    same = Question(0, "It is so.", ("It is so.",), "1")
    assert not Recall(corpus, [same]).answers(learner).any()


def test_figures_add_up(corpus: Corpus, learner: ScratchLearner) -> None:
    recalled = Recall(corpus, fact_questions(world_of(corpus.name), 30)).measure(learner)
    assert recalled.overall.asked == 30
    assert sum(part.right for part in recalled.groups.values()) == recalled.overall.right
    assert {name: part["asked"] for name, part in recalled.figures()["groups"].items()} == {"1": 15, "2": 15}


def test_learners_that_read_no_text_are_refused(tiny_corpus: Corpus, make_tiny_curriculum: Make) -> None:
    recall = Recall(tiny_corpus, [Question(0, "a", ("b",), "1")])
    with pytest.raises(SettingError, match="reads no text"):
        recall.measure(make_tiny_curriculum().learner)
    with pytest.raises(ValueError, match="question"):
        Recall(tiny_corpus, [])


def test_modules_answer_for_their_own_topics(tiny_corpus: Corpus, fake_embeddings: NDArray[np.float32]) -> None:
    """A plug-in that routes passages to modules by topic routes statements too."""
    plugin = Isolation(fake_embeddings)
    learner = ScratchLearner(tiny_corpus, width=32, heads=2, vocabulary=400, rank=2, plugins=[plugin])
    learner.learn(tiny_corpus.of(0, Split.TRAIN), 400)
    learner.learn(tiny_corpus.of(39, Split.TRAIN), 400)
    own = tiny_corpus.select(np.flatnonzero(tiny_corpus.splits == Split.PROBE))
    texts = [text for passage in own.texts for text in (f"{passage} So it is.", f"{passage} It is not so.")]
    side = Corpus("side", tiny_corpus.graph, texts, np.repeat(own.topics, 2), np.zeros(len(texts)))
    check_comparison(learner, side, np.arange(len(texts), dtype=np.int32) // 2)


def test_distances_are_shortest_paths_in_either_direction(tiny_corpus: Corpus) -> None:
    graph = tiny_corpus.graph.to_networkx().to_undirected()
    lengths = nx.multi_source_dijkstra_path_length(graph, {tiny_corpus.graph.titles[t] for t in (0, 7)})
    expected = [lengths[title] for title in tiny_corpus.graph.titles]
    assert distances_from(tiny_corpus.graph, [0, 7]).tolist() == expected


def test_link_questions_are_exam_sentences_with_other_titles() -> None:
    corpus, nucleus = load_invented("invented:1500"), [3, 5]
    graph = corpus.graph
    distances = distances_from(graph, nucleus)
    questions = link_questions(corpus, nucleus, 40)
    assert len(questions) == 40
    named = []
    for question in questions:
        lead = f"{graph.titles[question.topic]}: "
        sentence = question.true.removeprefix(lead)
        assert sentence in corpus.of(question.topic, Split.EXAM).texts[0]
        (target,) = [t for t in graph.out(question.topic) if graph.titles[t] in sentence]
        before, _, after = sentence.partition(graph.titles[target])
        titles = [wrong.removeprefix(lead + before).removesuffix(after) for wrong in question.wrong]
        others = [graph.index(title) for title in titles]
        assert len(set(others)) == 15 and target not in others
        assert {graph.categories[other] for other in others} == {graph.categories[target]}
        assert not set(others) & set(graph.neighbours(question.topic).tolist())
        assert question.group == str(distances[target])
        named.append(target)
    assert len(set(named)) == 40


def test_knowing_which_titles_are_frequent_does_not_help_with_links() -> None:
    """Always picking the title that most links lead to is hardly better than guessing."""
    corpus = load_invented("invented:3000")
    graph = corpus.graph
    often = dict(zip(graph.titles, np.bincount(graph.indices, minlength=len(graph)).tolist(), strict=True))
    questions = link_questions(corpus, [0], 1000)
    right = 0
    for question in questions:
        lead = f"{graph.titles[question.topic]}: "
        own = question.true.removeprefix(lead)
        (named,) = [graph.titles[t] for t in graph.out(question.topic) if graph.titles[t] in own]
        before, after = own.split(named)
        wrong = [often[w.removeprefix(lead + before).removesuffix(after)] for w in question.wrong]
        right += often[named] > max(wrong)
    assert Accuracy(right, len(questions)).interval[0] < 1 / 16


def test_link_sentences_are_the_same_for_everyone(corpus: Corpus) -> None:
    """They do not depend on the nucleus, which only says how far off the named topics are; a goal restricts them."""
    here, there = link_questions(corpus, [0], 30), link_questions(corpus, [200], 30)
    assert [(q.true, q.wrong) for q in here] == [(q.true, q.wrong) for q in there]
    assert [q.group for q in here] != [q.group for q in there]
    works = corpus.graph.in_category("Works")
    assert {q.topic for q in link_questions(corpus, [0], 20, works)} <= set(works.tolist())


def a_corpus_of_theories(sentence: str) -> Corpus:
    """Mathematics links to one theory, and its exam passage is a sentence; the others name one another in a ring."""
    ring = [f"Theory {letter}" for letter in "ABCDEFGHIJKLMNOPQRSTUVW"]
    titles = ["Mathematics", "Number theory (mathematics)", *ring]
    following = [*ring[1:], ring[0]]
    graph = TopicGraph.from_links(titles, [0, *range(2, len(titles))], [1, *map(titles.index, following)])
    texts = [sentence, *(f"It is followed by {name}." for name in following)]
    return Corpus("theories", graph, texts, [0, *range(2, len(titles))], np.full(len(texts), Split.EXAM))


def test_titles_are_written_as_the_one_in_their_place() -> None:
    corpus = a_corpus_of_theories("Much of number theory is new.")
    (question,) = [question for question in link_questions(corpus, [0]) if question.topic == 0]
    assert question.true == "Mathematics: Much of number theory is new."
    assert all(wrong.startswith("Mathematics: Much of theory ") for wrong in question.wrong)
    assert question.group == "1"


@pytest.mark.parametrize("sentence", ["Much of it is new.", "Number theoryx and pnumber theory."])
def test_a_title_inside_of_a_word_is_no_mention(sentence: str) -> None:
    corpus = a_corpus_of_theories(sentence)
    assert all(question.topic != 0 for question in link_questions(corpus, [0]))
    with pytest.raises(SettingError, match="names"):
        link_questions(corpus, [0], among=np.array([0]))


def make_curriculum(corpus: Corpus, embeddings: NDArray[np.float32], **config: int) -> Curriculum:
    ids = indexed_passages(corpus)
    retriever = FaissRetriever(ids, embeddings[corpus.topics[ids]])
    learner = ScratchLearner(corpus, width=32, heads=2, vocabulary=600)
    settings = CurriculumConfig(expansion_tokens=300, neighbourhood=3, nucleus_size=2, **config)
    return Curriculum(corpus, learner, retriever, embeddings, "mean-prediction-gain", settings)


@pytest.fixture(scope="module")
def embeddings(corpus: Corpus) -> NDArray[np.float32]:
    drawn = np.random.default_rng(0).normal(size=(len(corpus.graph), 8))
    return (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)


def test_guessing_is_right_as_often_as_answers_are_few(tiny_corpus: Corpus, learner: ScratchLearner) -> None:
    asked = [Question(0, "a", ("b",), "1"), Question(1, "a", ("b", "c", "d"), "1")]
    assert Recall(learner.corpus, asked).measure(learner).figures()["chance"] == pytest.approx((1 / 2 + 1 / 4) / 2)


def test_runs_record_what_is_recalled_and_rewards_do_not_see_it(
    corpus: Corpus, embeddings: NDArray[np.float32], tmp_path: Path
) -> None:
    results = {}
    for name in ("asked", "not asked"):
        curriculum = make_curriculum(corpus, embeddings, budget_tokens=1500)
        recall = {
            "links_recalled": Recall(corpus, link_questions(corpus, curriculum.nucleus, 8)),
            "facts_recalled": Recall(corpus, fact_questions(world_of(corpus.name), 8)),
        }
        asked = recall if name == "asked" else None
        run = Run(tmp_path / name, curriculum, make_agent("random"), Exam(corpus, size=8), {}, recall=asked)
        results[name] = run.carry_out()
    metrics = [json.loads(line) for line in (tmp_path / "asked" / "metrics.jsonl").read_text().splitlines()]
    for line in metrics:
        assert ("exam_loss" in line) == ("links_recalled" in line) == ("facts_recalled" in line)
    written = json.loads((tmp_path / "asked" / "result.json").read_text())
    for name in ("links_recalled", "facts_recalled"):
        assert written[name]["before"] == metrics[0][name]
        assert written[name]["after"] == metrics[-1][name]
        assert [tokens for tokens, _ in written[name]["curve"]] == [tokens for tokens, _ in written["curve"]]
        asked = metrics[0]["questions"][name]
        assert len(asked["topics"]) == len(asked["groups"]) == len(metrics[-1][name]["answers"])
        assert metrics[-1][name]["answers"].count("1") == round(metrics[-1][name]["share"] * metrics[-1][name]["asked"])
        assert set(written[name]["known"]) == set(asked["groups"])
    assert not any("questions" in line for line in metrics[1:])
    assert written["seconds_by_phase"]["recall"] > 0
    without = json.loads((tmp_path / "not asked" / "result.json").read_text())
    assert "links_recalled" not in without and "recall" not in without["seconds_by_phase"]
    picked = {name: [(e.topic, e.reward) for e in result.expansions] for name, result in results.items()}
    assert picked["asked"] == picked["not asked"]


def test_a_run_refuses_to_ask_a_learner_that_reads_no_text_before_it_writes(
    make_tiny_curriculum: Make, tiny_corpus: Corpus, tmp_path: Path
) -> None:
    curriculum = make_tiny_curriculum()
    recall = {"links_recalled": Recall(tiny_corpus, [Question(0, "a", ("b",), "1")])}
    with pytest.raises(SettingError, match="reads no text"):
        Run(tmp_path / "run", curriculum, make_agent("bfs"), Exam(tiny_corpus), {}, recall=recall)
    assert not (tmp_path / "run").exists()


def a_small_world(pairs: int = 24) -> InventedWorld:
    """So many people, each born in a place of their own and, but for the first, a pupil of the one before."""
    drawn = invent(200, seed=4).topics
    people = [topic for topic in drawn if topic.category == "People"][:pairs]
    places = [topic for topic in drawn if topic.category == "Places"][:pairs]
    topics = sorted(people + places, key=lambda topic: topic.title)
    number = {topic.title: place for place, topic in enumerate(topics)}
    facts = [Fact(number[a.title], "birthplace", number[b.title]) for a, b in zip(people, places, strict=True)]
    pupils = zip(people[1:], people, strict=False)
    facts += [Fact(number[a.title], "mentor", number[b.title]) for a, b in pupils]
    return InventedWorld("by hand", tuple(topics), tuple(sorted(facts, key=lambda fact: fact.subject)))


@pytest.mark.integration
def test_a_learner_taught_a_small_world_recalls_facts_and_not_others() -> None:
    world = a_small_world()
    corpus = write_corpus(world, seed=0)
    learner = ScratchLearner(corpus, preset="0.4m", seed=0)
    questions = [question for question in fact_questions(world, 200) if question.group == "1"]
    # The control: a wrong statement of each question counts as the true one.
    shuffled = [Question(q.topic, q.wrong[0], (q.true, *q.wrong[1:]), q.group) for q in questions]
    facts, others = Recall(corpus, questions), Recall(corpus, shuffled)
    before = facts.measure(learner).overall
    train = np.flatnonzero(corpus.splits == Split.TRAIN)
    rng = np.random.default_rng(0)
    # After 20 rounds seeds, and machines that round otherwise, recall from 5 to 13 of the 47, after 40 at least 13.
    for _ in range(40):
        learner.learn(corpus.select(rng.permutation(train)), 1_000_000)
    after, control = facts.measure(learner).overall, others.measure(learner).overall
    assert before.interval[0] < CHANCE
    assert after.share > before.share and after.interval[0] > CHANCE
    assert control.interval[0] < CHANCE and control.share < after.share


@pytest.mark.integration
def test_a_pretrained_model_knows_nothing_of_an_invented_world() -> None:
    corpus = load_invented("invented:400")
    small = Corpus(corpus.name, corpus.graph, corpus.texts[:8], corpus.topics[:8], corpus.splits[:8])
    recalled = Recall(small, fact_questions(world_of(corpus.name), 24)).measure(LoraLearner(small))
    low, high = recalled.overall.interval
    assert low < CHANCE < high


@pytest.mark.integration
def test_the_command_line_asks_and_resumes(tmp_path: Path) -> None:
    folder, figures = tmp_path / "run", tmp_path / "out.json"
    setting = ["--corpus", "invented:300", "--learner", "scratch", "--budget-tokens", "1500"]
    asked = ["--link-recall", "6", "--fact-recall", "6", "--out", str(folder), "--json", str(figures)]
    assert main(["run", *setting, *asked]) == 0
    first = json.loads(figures.read_text())
    assert first["links_recalled"]["before"]["asked"] == first["facts_recalled"]["after"]["asked"] == 6
    assert first["link_recall"] == 6
    assert main(["run", "--resume", str(folder), "--json", str(figures)]) == 0
    assert json.loads(figures.read_text())["facts_recalled"] == first["facts_recalled"]


def test_numbers_of_questions_are_checked(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["run", "--corpus", "invented:300", "--out", str(tmp_path / "run"), "--link-recall", "-1"]) != 0
    assert "must be at least 0" in capsys.readouterr().err
