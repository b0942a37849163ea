"""Tasks: planted topics, deceptive graphs, exams, budgets, and learners in float32."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from kgrl.agents import make_agent
from kgrl.benchmark.tasks import (
    USUAL_CORPORA,
    Task,
    corpus_of_task,
    make_float32_learner,
    make_task,
    tasks,
)
from kgrl.corpus import Cloze, Corpus, Split
from kgrl.curriculum import Curriculum, CurriculumConfig
from kgrl.data import load_corpus
from kgrl.data.folder import save_folder
from kgrl.data.traps.deception import Deceived, deceive
from kgrl.data.traps.planted import Kind, Planted, plant
from kgrl.envs import CurriculumEnv, CurriculumVectorEnv
from kgrl.errors import KgrlError, SettingError, UnknownNameError
from kgrl.exam import Exam
from kgrl.expansion import Expansion
from kgrl.learners import LoraLearner, SimulatedLearner
from kgrl.learners.simulated.calibration import ByTopic, Calibration, Errors, Fitted
from kgrl.learners.simulated.learning_curve import CurveParameters
from kgrl.retrieval import FaissRetriever
from kgrl.runs import Run
from kgrl.testing.samples import sample_corpus

FRENCH = ["La logique étudie le raisonnement valide et ses règles.", "Un fleuve se jette dans la mer du Nord."]


@pytest.fixture
def planted(tiny_corpus: Corpus) -> Planted:
    """The small corpus with three planted topics in ten."""
    return plant(tiny_corpus, FRENCH)


class TestPlanting:
    """`plant`: what is planted, and what stays."""

    def test_three_topics_in_ten_are_planted_in_equal_parts(self, planted: Planted) -> None:
        """The share is of all topics, and every kind has as many topics, one more or less."""
        assert np.mean(planted.is_planted) == pytest.approx(0.3, abs=0.02)
        counts = [planted.kinds.count(kind) for kind in Kind]
        assert max(counts) - min(counts) <= 1

    def test_real_topics_passages_and_links_stay(self, tiny_corpus: Corpus, planted: Planted) -> None:
        """Numbers, texts, splits and links of what was there are the same."""
        n = len(tiny_corpus)
        assert planted.corpus.graph.titles[: planted.real] == tiny_corpus.graph.titles
        assert list(planted.corpus.texts[:n]) == list(tiny_corpus.texts)
        assert np.array_equal(planted.corpus.splits[:n], tiny_corpus.splits)
        links = set(zip(*map(np.ndarray.tolist, planted.corpus.graph.links()), strict=True))
        assert set(zip(*map(np.ndarray.tolist, tiny_corpus.graph.links()), strict=True)) <= links

    def test_planted_topics_can_be_trained_on_and_probed_but_not_examined(self, planted: Planted) -> None:
        """No exam passage is planted."""
        own = planted.is_planted[planted.corpus.topics]
        assert not (planted.corpus.splits[own] == Split.EXAM).any()
        assert planted.corpus.has(Split.TRAIN)[planted.is_planted].all()

    def test_degrees_are_distributed_as_those_of_real_topics(self, planted: Planted) -> None:
        """Medians differ little, so that a frontier holds about three planted topics in ten."""
        degree = planted.corpus.graph.degree
        real, false = degree[~planted.is_planted], degree[planted.is_planted]
        assert np.median(false) == pytest.approx(np.median(real), rel=0.6)

    def test_no_held_out_text_is_planted(self, tiny_corpus: Corpus, planted: Planted) -> None:
        """Near-duplicates are copies of what may be trained on, never of probe or exam passages."""
        held_out = {
            text for text, split in zip(tiny_corpus.texts, tiny_corpus.splits, strict=True) if split != Split.TRAIN
        }
        assert held_out.isdisjoint(planted.corpus.texts[len(tiny_corpus) :])

    @given(seed=st.integers(0, 2**20))
    def test_the_same_seed_plants_the_same(self, tiny_corpus: Corpus, seed: int) -> None:
        """Fingerprints are equal for the same seed."""
        one, two = (plant(tiny_corpus, FRENCH, seed=seed).corpus.fingerprint for _ in range(2))
        assert one == two

    def test_a_share_of_everything_is_refused(self, tiny_corpus: Corpus) -> None:
        """The message says what a share may be."""
        with pytest.raises(SettingError, match="between 0 and 1"):
            plant(tiny_corpus, FRENCH, share=1.0)


class TestDeception:
    """`deceive`: a cluster with nothing behind it, and a path to the goal."""

    @pytest.fixture
    def deceived(self, tiny_corpus: Corpus) -> Deceived:
        """The small corpus with Mathematics at the end of a path."""
        return deceive(tiny_corpus, "Mathematics")

    def test_the_goal_is_reached_through_the_corridor_alone(self, tiny_corpus: Corpus, deceived: Deceived) -> None:
        """Without its topics, none of the goal can be reached from the nucleus."""
        graph = deceived.corpus.graph
        goal = set(tiny_corpus.graph.in_category("Mathematics").tolist()) - set(deceived.corridor)
        start = {graph.index(title) for title in deceived.nucleus}
        assert goal & _reached(graph, start, set())
        assert not goal & _reached(graph, start, set(deceived.corridor))

    def test_nothing_is_behind_the_cluster(self, deceived: Deceived) -> None:
        """Its links lead to the nucleus and to itself."""
        graph = deceived.corpus.graph
        nucleus = {graph.index(title) for title in deceived.nucleus}
        for topic in np.flatnonzero(deceived.is_planted).tolist():
            ends = set(graph.neighbours(topic).tolist())
            assert ends <= nucleus | set(np.flatnonzero(deceived.is_planted).tolist())

    def test_the_nucleus_is_outside_the_goal(self, tiny_corpus: Corpus, deceived: Deceived) -> None:
        """And beside the cluster."""
        graph = deceived.corpus.graph
        numbers = [graph.index(title) for title in deceived.nucleus]
        assert not set(numbers) & set(tiny_corpus.graph.in_category("Mathematics").tolist())
        assert all(deceived.is_planted[graph.neighbours(topic)].any() for topic in numbers)


STAGES = ("Nature", "Craft", "Mathematics")


class TestStages:
    """Categories learned one after another."""

    @pytest.fixture
    def make(self, make_tiny_curriculum: Callable[..., Curriculum]) -> Callable[..., Curriculum]:
        """Makes curricula that go through the three categories of the small corpus."""
        return lambda **more: make_tiny_curriculum(stages=STAGES, budget_tokens=1_500, **more)

    def test_stages_take_equal_shares_of_the_tokens(self, make: Callable[..., Curriculum]) -> None:
        """The stage of each pick is told by the tokens spent before it."""
        curriculum = make()
        seen = [(step.tokens_total, curriculum.state.stage) for step in curriculum.run(make_agent("random"))]
        assert all(stage == STAGES[0 if t < 500 else 1 if t < 1_000 else 2] for t, stage in seen)
        assert {stage for _, stage in seen} == set(STAGES)

    @pytest.mark.parametrize("agent", ["random", "bfs", "random-global"])
    def test_picks_and_their_neighbourhoods_stay_in_the_stage(
        self, make: Callable[..., Curriculum], agent: str
    ) -> None:
        """Only a frontier without topics of the stage is open to all. Every stage is met."""
        curriculum, met = make(), set()
        steps = curriculum.run(make_agent(agent))
        next(steps)
        categories = np.array(curriculum.corpus.graph.categories)
        while not curriculum.state.out_of_budget:
            stage, frontier = curriculum.state.stage, curriculum.state.frontier.topics.copy()
            there, held = curriculum.view.candidates, stage in categories[frontier]
            assert not held or set(categories[there]) == {stage}
            assert held or len(there) == len(frontier)
            step = next(steps)
            assert not held or set(categories[list(step.neighbourhood)]) == {stage}
            met |= {stage} if held else set()
        assert met == set(STAGES)

    def test_the_nucleus_is_of_the_first_stage(self, make: Callable[..., Curriculum]) -> None:
        """Titles that are given stay as they are."""
        assert {make().corpus.graph.categories[topic] for topic in make().nucleus} == {"Nature"}
        assert make(nucleus=("Bread",)).nucleus.tolist() == [make().corpus.graph.index("Bread")]

    def test_a_topic_of_another_stage_is_refused(self, make: Callable[..., Curriculum]) -> None:
        """The message names the stage."""
        curriculum = make()
        curriculum.start()
        with pytest.raises(ValueError, match="it is not of 'Nature', which is learned now"):
            curriculum.expand(curriculum.corpus.graph.index("Bread"))

    def test_a_frontier_without_topics_of_the_stage_is_open(self, make: Callable[..., Curriculum]) -> None:
        """Stages that leave nothing to pick do not end the curriculum."""
        curriculum = make(nucleus=("Bread",))
        curriculum.start()
        for topic in curriculum.corpus.graph.in_category("Nature").tolist():
            curriculum.state.frontier.solidify(topic)
        assert curriculum.state.stage == "Nature"
        assert np.array_equal(curriculum.view.candidates, curriculum.state.frontier.topics)

    @pytest.mark.parametrize("after", [2, 6])
    def test_a_resumed_run_equals_an_undisturbed_one(
        self, make: Callable[..., Curriculum], tmp_path: Path, after: int
    ) -> None:
        """The stage follows from the tokens, so that nothing else has to be kept."""

        def run(folder: Path) -> Run:
            curriculum = make()
            return Run(folder, curriculum, make_agent("random"), Exam(curriculum.corpus, size=8), {})

        whole = run(tmp_path / "whole").carry_out()
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "cut").carry_out(_stop_at(after))
        assert run(tmp_path / "cut").carry_out().expansions == whole.expansions

    def test_an_unknown_category_is_named(self, make_tiny_curriculum: Callable[..., Curriculum]) -> None:
        """The message has the nearest one."""
        with pytest.raises(UnknownNameError, match="did you mean 'Craft'"):
            make_tiny_curriculum(stages=("Nature", "Crafts"))

    def test_simulated_learners_go_through_them_but_not_in_vector_environments(
        self, tiny_corpus: Corpus, fake_embeddings: NDArray[np.float32]
    ) -> None:
        """The refusal names the environment to use."""
        levels, curves = ByTopic(4.0, 0.3, {}), CurveParameters(0.8, 1500.0, 1.0, 0.6, 300.0, 0.7, 0.5, 0.2, 1e-4, 0.02)
        made_up = Fitted(0, 0, 0, 0, 0), Errors(0.2, 0.0, 0.0, 0.0, 0.0)
        named = tiny_corpus.name, tiny_corpus.fingerprint, "none", 1.3
        learner = SimulatedLearner(
            tiny_corpus, 0, Calibration(*named, levels, levels, curves, (curves,), *made_up), embeddings=fake_embeddings
        )
        retriever = FaissRetriever(np.arange(len(tiny_corpus)), fake_embeddings[tiny_corpus.topics])
        config = CurriculumConfig(stages=STAGES, budget_tokens=3_000, expansion_tokens=200, nucleus_size=2)
        curriculum = Curriculum(tiny_corpus, learner, retriever, fake_embeddings, "mean-prediction-gain", config)
        steps = list(curriculum.run(make_agent("random")))
        assert steps[-1].tokens_total == 3_000
        with pytest.raises(SettingError, match=r"kgrl/Forgetting-v0 with gym\.make"):
            CurriculumVectorEnv(curriculum, 2)

    def test_the_task_goes_through_the_largest_categories_and_examines_them(self, tiny_corpus: Corpus) -> None:
        """Largest first, by name where they are as large."""
        task = make_task("forgetting", tiny_corpus)
        assert task.config.stages == ("Mathematics", "Craft", "Nature")
        assert len(task.examined) == sum(len(tiny_corpus.graph.in_category(name)) for name in STAGES)
        graph = tiny_corpus.graph
        one = type(graph).from_links(graph.titles, *graph.links(), ["a"] * len(graph))
        with pytest.raises(SettingError, match="goes through two or more"):
            make_task("forgetting", Corpus("one", one, tiny_corpus.texts, tiny_corpus.topics, tiny_corpus.splits))


def _stop_at(index: int) -> Callable[[Expansion, float | None], None]:
    """A callback that stops a run once an expansion is recorded."""

    def stop(expansion: Expansion, loss: float | None) -> None:
        if expansion.index == index:
            raise KeyboardInterrupt

    return stop


class TestNamedCorpora:
    """Corpora with traps, by name."""

    @pytest.mark.parametrize("name", ["noisy", "deceptive"])
    def test_a_tasks_corpus_can_be_loaded(self, tiny_corpus: Corpus, tmp_path: Path, name: str) -> None:
        """It is the same as the task's, whichever name the task is made from."""
        save_folder(tiny_corpus, tmp_path / "mine")
        origin = str(tmp_path / "mine")
        named = corpus_of_task(name, origin)
        assert named == f"{name}:{origin}"
        loaded = load_corpus(named).fingerprint
        assert loaded == make_task(name, origin).corpus.fingerprint == make_task(name, named).corpus.fingerprint

    def test_others_have_the_corpus_itself(self) -> None:
        """Whatever the task."""
        assert corpus_of_task("target", "wikispeedia") == "wikispeedia"
        assert corpus_of_task("invented") == "invented:2000"


def _reached(graph, start: set[int], closed: set[int]) -> set[int]:  # type: ignore[no-untyped-def]
    reached, edge = set(start), list(start)
    while edge:
        for topic in graph.neighbours(edge.pop()).tolist():
            if topic not in reached and topic not in closed:
                reached.add(topic)
                edge.append(topic)
    return reached


def with_questions(corpus: Corpus, name: str) -> Corpus:
    """The corpus by another name, with two questions in two groups."""
    asked = [
        Cloze(0, "It was founded by ", "Ada", ".", ("Bob", "Carl"), "founders"),
        Cloze(1, "Its age is ", "80", ".", ("90",), "ages"),
    ]
    return Corpus(name, corpus.graph, corpus.texts, corpus.topics, corpus.splits, asked)


def corpus_for(task: str, tiny: Corpus) -> str | Corpus:
    """A small corpus that a task can be made on."""
    if task == "recall:fictional":
        return with_questions(tiny, "fictional")
    return "invented:60" if task in USUAL_CORPORA else tiny


class TestTasks:
    """`make_task`: what every task has."""

    @pytest.fixture(params=sorted(tasks))
    def task(self, request: pytest.FixtureRequest, tiny_corpus: Corpus) -> Task:
        """Each task on the small corpus."""
        return make_task(request.param, corpus_for(request.param, tiny_corpus))

    def test_it_says_what_a_good_curriculum_would_do(self, task: Task) -> None:
        """In words, and its name is the one it is registered under."""
        assert task.name in tasks and task.about.endswith(".")

    def test_planted_topics_are_not_examined(self, task: Task) -> None:
        """The exam is over real topics."""
        assert not task.planted[task.make_exam().topics].any()

    def test_the_exam_is_the_same_for_every_seed(self, tiny_corpus: Corpus, task: Task) -> None:
        """And for every time a task is made."""
        again = make_task(task.name, corpus_for(task.name, tiny_corpus))
        assert np.array_equal(task.make_exam().topics, again.make_exam().topics)
        assert again.corpus.fingerprint == task.corpus.fingerprint

    def test_an_unknown_task_is_named(self) -> None:
        """The message has the nearest one."""
        with pytest.raises(UnknownNameError, match="did you mean 'noisy'"):
            make_task("nosiy")

    def test_the_invented_task_is_for_invented_worlds(self, tiny_corpus: Corpus) -> None:
        """Another corpus is refused."""
        with pytest.raises(SettingError, match="invented:2000"):
            make_task("invented", tiny_corpus)

    def test_recall_asks_a_corpus_own_questions(self, tiny_corpus: Corpus) -> None:
        """All of them if they are few, in their groups, and within a budget for articles."""
        task = make_task("recall", with_questions(tiny_corpus, "mine"))
        recall = task.make_recall()
        assert recall is not None and {question.group for question in recall.questions} == {"founders", "ages"}
        assert task.config.most_readings == 0 and task.config.mastery == "gap"
        assert task.config.budget_tokens < make_task("recall", "invented:400").config.budget_tokens

    def test_recall_needs_questions(self, tiny_corpus: Corpus) -> None:
        """A corpus without any is told how to bring some."""
        with pytest.raises(SettingError, match=r"questions\.jsonl"):
            make_task("recall", tiny_corpus)

    def test_recall_of_one_corpus_is_not_that_of_another(self, tiny_corpus: Corpus) -> None:
        """The name says which articles are read; other names behind the colon are refused."""
        assert corpus_of_task("recall:fictional") == "fictional"
        with pytest.raises(SettingError, match="for 'mine' take 'recall'"):
            make_task("recall:fictional", with_questions(tiny_corpus, "mine"))
        with pytest.raises(SettingError, match="only the task 'target'"):
            make_task("recall:vital", tiny_corpus)

    def test_a_goal_needs_categories(self, tiny_corpus: Corpus) -> None:
        """A corpus without any is refused."""
        graph = tiny_corpus.graph
        bare = type(graph).from_links(graph.titles, *graph.links())
        with pytest.raises(KgrlError, match="categories"):
            make_task("target", Corpus("bare", bare, tiny_corpus.texts, tiny_corpus.topics, tiny_corpus.splits))

    def test_its_environment_is_registered(self, task: Task) -> None:
        """Under the task's name."""
        assert f"kgrl/{task.name.title().replace(':', '')}-v0" in gym.registry


@pytest.mark.integration
def test_random_picks_spend_three_tokens_in_ten_on_noise() -> None:
    """On `vital`, with the learner of an environment made by its id."""
    env = gym.make("kgrl:kgrl/Noisy-v0", corpus="vital", slots=8).unwrapped
    assert isinstance(env, CurriculumEnv)
    task = make_task("noisy", "vital")
    share = task.noise_share(env.curriculum.run(make_agent("random")))
    assert 0.1 < share < 0.5


class TestLearners:
    """Learners of a benchmark compute in one number format on all machines."""

    @pytest.mark.integration
    def test_smollm2_computes_in_float32_where_bfloat16_is_faster(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Elsewhere it would compute in bfloat16 there."""
        monkeypatch.setattr("kgrl.learners.decoder.lora.best_dtype", lambda device: torch.bfloat16)
        learner = make_float32_learner("lora", sample_corpus())
        assert isinstance(learner, LoraLearner)
        assert {weight.dtype for weight in learner.peft_model.parameters()} == {torch.float32}

    def test_an_unknown_learner_is_named(self) -> None:
        """The message has the misspelt name."""
        with pytest.raises(UnknownNameError, match="scrath"):
            make_float32_learner("scrath", sample_corpus())


def test_the_goal_of_target_may_be_titles_and_a_sentence(tmp_path: Path) -> None:
    corpus = sample_corpus()
    titles = corpus.graph.titles
    (tmp_path / "goal.txt").write_text(f"{titles[6]}\n{titles[2]}\n")
    listed = make_task(f"target:file:{tmp_path / 'goal.txt'}", corpus)
    assert listed.config.goal == (titles[6], titles[2]) and listed.examined.tolist() == [2, 6]
    about = make_task(f"target:about:{corpus.of(3, Split.TRAIN).texts[0]}", corpus)
    assert about.config.goal is not None and about.config.goal[0] == titles[3]
    assert set(about.make_curriculum().goal.tolist()) == set(about.examined.tolist())  # type: ignore[union-attr]
    with pytest.raises(UnknownNameError, match="Nor is it a topic's title"):
        make_task("target:zzzz", corpus)
