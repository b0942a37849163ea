"""The learner that remembers and forgets: the contract, its equations, its fit, and what it refuses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from kgrl.corpus import Corpus, Split
from kgrl.curriculum.config import CurriculumConfig
from kgrl.curriculum.loop import Curriculum
from kgrl.errors import DataError, KgrlError, MissingDataError, SettingError
from kgrl.expansion import Expansion, Measurement, Probed
from kgrl.learners import RememberingLearner, make_learner
from kgrl.learners.simulated.memory import Memory, MemoryParameters, recalled
from kgrl.learners.simulated.memory_calibration import MemoryCalibration, MemoryErrors
from kgrl.learners.simulated.memory_fit import StudyRun, fit_memory, fit_memory_calibration
from kgrl.testing import LearnerContract

MEMORY = MemoryParameters(
    untaught=7.0,
    style=4.0,
    style_tokens=5e3,
    style_power=1.0,
    style_onset=1.0,
    repeated=500.0,
    topic=1.0,
    topic_tokens=50.0,
    topic_power=1.0,
    forgetting=0.4,
    interference=1e-5,
    massed=300.0,
    link=0.1,
    practice=2e4,
    onset=4.0,
    strength=80.0,
    knowing=0.8,
    guessing=0.1,
    few=0.2,
    few_topics=10.0,
)
NOTHING = np.zeros(3)
ERRORS = MemoryErrors(0.0, 0.0, 0.0, 0.0, 0.0)


def calibration_of(corpus: Corpus, memory: MemoryParameters = MEMORY) -> MemoryCalibration:
    return MemoryCalibration(corpus.name, "none", 1.3, memory, (replace(memory, practice=1e4),), (), 0, ERRORS)


@pytest.fixture
def learner(tiny_corpus: Corpus, fake_embeddings: NDArray[np.float32]) -> RememberingLearner:
    calibration = calibration_of(tiny_corpus, replace(MEMORY, spread=0.1, noise=0.05))
    return RememberingLearner(tiny_corpus, calibration=calibration, embeddings=fake_embeddings)


class TestRememberingLearner(LearnerContract):
    @pytest.fixture
    def corpus(self, tiny_corpus: Corpus) -> Corpus:
        return tiny_corpus

    @pytest.fixture
    def learner(self, learner: RememberingLearner) -> RememberingLearner:
        return learner


def study(memory: Memory, *amounts: float, linked: NDArray[np.float64] = NOTHING) -> None:
    memory.study(np.array(amounts), linked, NOTHING)


def test_the_equations_are_those_of_the_page() -> None:
    memory, p = Memory(MEMORY, 3), MEMORY
    study(memory, 60.0, 0.0, 0.0)
    memory.study(np.array([30.0, 20.0, 0.0]), np.array([0.0, 0.0, 40.0]), np.array([0.0, 0.0, 9.0]))

    lifetimes = np.array([3e3, 3e4, 3e5, 3e6])
    weights = lifetimes**-p.forgetting / (lifetimes**-p.forgetting).sum()
    first, again = (p.massed * np.log(1 + tokens / p.massed) for tokens in (60.0, 30.0))
    strength = weights @ (first * np.exp(-50.0 / lifetimes) + again)
    practice = 30.0 * first / (first + p.strength)
    practised = (practice / p.practice) ** p.onset
    known = practised / (1 + practised) * (1 - np.exp(-strength / p.strength))
    experience = p.repeated * (np.log(1 + 90.0 / p.repeated) + np.log(1 + 20.0 / p.repeated))
    loss = p.untaught - p.style * (1 - 1 / (1 + experience / p.style_tokens)) - p.knowing * known
    loss -= p.topic * (1 - 1 / (1 + strength / p.topic_tokens))
    assert memory.strength[0] == pytest.approx(strength)
    assert memory.strength[2] == pytest.approx(p.link * 40.0)
    assert memory.practice == pytest.approx(practice)
    assert memory.known[0] == pytest.approx(known)
    assert memory.losses()[0] == pytest.approx(loss)


def test_facts_are_known_after_a_plateau_and_forgotten_by_a_power_law() -> None:
    memory, shares = Memory(MEMORY, 3), []
    for _ in range(600):
        study(memory, 100.0, 100.0, 0.0)
        shares.append(memory.known[0])
    assert shares[50] < 0.05 < 0.5 < shares[-1]
    strengths = []
    for _ in range(6):
        strengths.append(memory.strength[0])
        for _ in range(20):
            study(memory, 0.0, 0.0, 400.0)
    falls = np.diff(np.log(strengths))
    assert np.all(falls < 0), "what is not read fades"
    assert np.all(np.diff(falls) > 0), "ever more slowly, as an exponential does not"


def test_similar_text_interferes() -> None:
    alone, among = Memory(replace(MEMORY, interference=1e-3), 2), Memory(replace(MEMORY, interference=1e-3), 2)
    for memory, similar in ((alone, 0.0), (among, 300.0)):
        memory.study(np.array([100.0, 0.0]), np.zeros(2), np.zeros(2))
        memory.study(np.array([0.0, 300.0]), np.zeros(2), np.array([similar, 0.0]))
    assert among.strength[0] < alone.strength[0]


def test_the_same_tokens_in_one_lesson_are_worth_less_than_in_many() -> None:
    massed, spaced = Memory(MEMORY, 2), Memory(MEMORY, 2)
    massed.study(np.array([2000.0, 0.0]), np.zeros(2), np.zeros(2))
    massed.study(np.array([0.0, 2000.0]), np.zeros(2), np.zeros(2))
    for _ in range(10):
        spaced.study(np.array([200.0, 200.0]), np.zeros(2), np.zeros(2))
    assert spaced.strength[0] > massed.strength[0]
    assert spaced.practice > massed.practice == 0.0, "what is all new is no practice"


@settings(max_examples=50)
@given(st.lists(st.lists(st.floats(0, 1e4), min_size=3, max_size=3), min_size=1, max_size=20))
def test_shares_stay_shares_and_losses_finite(lessons: list[list[float]]) -> None:
    memory = Memory(MEMORY, 3)
    for amounts in lessons:
        memory.study(np.array(amounts), np.array(amounts[::-1]), np.array(amounts))
        assert np.all((memory.known >= 0) & (memory.known <= 1))
        assert np.isfinite(memory.losses()).all()
        assert np.all(memory.losses() <= MEMORY.untaught)


def test_what_is_not_known_is_guessed() -> None:
    assert recalled(MEMORY, [0.0, 0.5, 1.0], n_read=10**6).tolist() == pytest.approx([0.1, 0.55, 1.0])
    assert recalled(MEMORY, [0.0, 1.0], n_read=10).tolist() == pytest.approx([0.1 + 0.2 / np.e, 1.0])


def test_noise_depends_on_seed_passage_and_amount_alone(learner: RememberingLearner, tiny_corpus: Corpus) -> None:
    probes = tiny_corpus.select(np.flatnonzero(tiny_corpus.splits == Split.PROBE))
    other = RememberingLearner(
        tiny_corpus, seed=1, calibration=learner.calibration, embeddings=np.eye(len(tiny_corpus.graph), dtype="f4")
    )
    np.testing.assert_array_equal(learner.losses(probes), learner.losses(probes))
    assert np.all(learner.losses(probes) != other.losses(probes))
    quiet = replace(learner.parameters, noise=0.0)
    paired = [
        RememberingLearner(
            tiny_corpus,
            seed=seed,
            calibration=calibration_of(tiny_corpus, quiet),
            embeddings=np.eye(len(tiny_corpus.graph), dtype="f4"),
        ).losses(probes)
        for seed in (0, 1)
    ]
    np.testing.assert_array_equal(*paired)


def test_invented_worlds_of_any_size_have_the_calibration_that_ships() -> None:
    from kgrl.data import load_corpus

    learner = make_learner("remembering", load_corpus("invented:50:9"))
    assert isinstance(learner, RememberingLearner)
    assert learner.known.tolist() == [0.0] * 50
    assert len(learner.calibration.members) > 1


def test_a_curriculum_with_gaps_makes_topics_solid() -> None:
    from kgrl.data import load_corpus

    corpus = load_corpus("invented:50:9")
    config = CurriculumConfig(
        budget_tokens=60_000, expansion_tokens=1_000, mastery="gap:1", most_readings=0, nucleus_size=4
    )
    curriculum = Curriculum.make(corpus, make_learner("remembering", corpus), "knowledge-gain", config)
    from kgrl.agents import make_agent

    expansions = list(curriculum.run(make_agent("random")))
    assert len(curriculum.state.frontier.solid) > 0
    assert any(expansion.reward for expansion in expansions[1:])


def test_members_are_numbered(learner: RememberingLearner, tiny_corpus: Corpus) -> None:
    embeddings = np.eye(len(tiny_corpus.graph), dtype=np.float32)
    member = RememberingLearner(tiny_corpus, calibration=learner.calibration, member=0, embeddings=embeddings)
    assert member.parameters.practice == 1e4
    with pytest.raises(SettingError, match=r"1 members, from 0; there is no 1"):
        RememberingLearner(tiny_corpus, calibration=learner.calibration, member=1, embeddings=embeddings)


def test_corpora_of_another_family_are_refused(tiny_corpus: Corpus) -> None:
    with pytest.raises(SettingError, match=r"fitted to corpora named invented:.*'scratch'"):
        make_learner("remembering", tiny_corpus)


def test_plugins_are_refused(tiny_corpus: Corpus) -> None:
    with pytest.raises(SettingError, match="no weights for plug-ins"):
        make_learner("remembering", tiny_corpus, plugins=["replay"])


def test_a_state_of_another_learner_is_refused(learner: RememberingLearner, tmp_path: Path) -> None:
    with pytest.raises(KgrlError, match=r"remembering\.json is missing"):
        learner.load(tmp_path)
    learner.save(tmp_path)
    other = RememberingLearner(
        learner.corpus,
        seed=1,
        calibration=learner.calibration,
        embeddings=np.eye(len(learner.corpus.graph), dtype="f4"),
    )
    with pytest.raises(KgrlError, match="its seed is 0, not 1"):
        other.load(tmp_path)


def test_a_calibration_is_read_as_it_was_written(tiny_corpus: Corpus, tmp_path: Path) -> None:
    calibration = calibration_of(tiny_corpus)
    calibration.write(tmp_path / "memory.json")
    assert MemoryCalibration.read(tmp_path / "memory.json") == calibration


def test_files_that_are_no_calibration_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "memory.json"
    with pytest.raises(MissingDataError, match="no calibration of memory"):
        MemoryCalibration.read(path)
    path.write_text('{"format": 9}')
    with pytest.raises(DataError, match="format 1"):
        MemoryCalibration.read(path)


def simulated_run(corpus: Corpus, name: str, truth: MemoryParameters, seed: int) -> StudyRun:
    """A run of shuffled lessons whose measurements are what the equations say, with noise."""
    rng, n = np.random.default_rng(seed), len(corpus.graph)
    train = np.flatnonzero(corpus.splits == Split.TRAIN)
    memory, expansions, total = Memory(truth, n), list[Expansion](), 0
    for index in range(60):
        passages = rng.choice(train, 8, replace=False)
        own = np.bincount(corpus.topics[passages], corpus.word_counts[passages], minlength=n)
        before = memory.losses()
        memory.study(own, np.zeros(n), np.zeros(n))
        tokens = int(own.sum())
        total += tokens
        asked, some = rng.choice(n, 5, replace=False), rng.choice(n, 6, replace=False)
        shares = rng.binomial(3, recalled(truth, memory.known, np.count_nonzero(memory.read))[asked]) / 3
        noisy = [values[some] + 0.05 * rng.normal(size=6) for values in (before, memory.losses())]
        probe = Measurement(tuple(some.tolist()), *(tuple(values.tolist()) for values in noisy))
        topic = int(corpus.topics[passages[0]])
        expansions.append(
            Expansion(
                index,
                topic,
                corpus.graph.titles[topic],
                (topic,),
                tuple(passages.tolist()),
                tokens,
                total,
                10**6,
                5.0,
                probes={"mean": probe},
                tested=Probed(asked=tuple(asked.tolist()), recalled=tuple(shares.tolist())),
            )
        )
    return StudyRun.of(name, corpus, expansions, rate=1.0)


@pytest.fixture(scope="module")
def runs() -> list[StudyRun]:
    from kgrl.data import load_corpus

    worlds = [load_corpus("invented:20:1"), load_corpus("invented:20:2")]
    truth = replace(MEMORY, interference=1e-8, link=1e-4)
    return [simulated_run(world, f"{world.name} {seed}", truth, seed) for world in worlds for seed in (0, 1)]


def test_a_fit_finds_when_the_plateau_ends(runs: list[StudyRun]) -> None:
    found = fit_memory(runs)
    for run in runs:
        predicted = run.predict(found)
        measured = np.isfinite(run.after)
        assert np.sqrt(np.mean((predicted.after - run.after)[measured] ** 2)) < 0.1
        assert np.abs(run.mean_shares(predicted.shares, 15) - run.mean_shares(run.shares, 15)).mean() < 0.08


def test_errors_are_of_runs_that_were_left_out_and_beat_what_tokens_tell(runs: list[StudyRun]) -> None:
    fitted: list[str] = []
    found = fit_memory_calibration(runs, learner="none", rate=1.0, on_fit=fitted.append)
    assert fitted[:3] == ["all runs", "all but invented:20:1", "all but invented:20:2"]
    assert found.family == "invented"
    assert len(found.members) == len(runs)
    assert 0.03 < found.errors.loss < found.errors.loss_by_tokens
    assert found.errors.recall < found.errors.recall_guessed
    assert found.parameters.noise == pytest.approx(0.05, abs=0.03)


def test_runs_on_one_corpus_leave_none_to_test_on(runs: list[StudyRun]) -> None:
    with pytest.raises(SettingError, match=r"all on invented:20:1; errors need a second corpus"):
        fit_memory_calibration(runs[:2], learner="none", rate=1.0)


def test_runs_that_asked_for_no_links_are_refused(tiny_corpus: Corpus) -> None:
    passage = int(np.flatnonzero(tiny_corpus.splits == Split.TRAIN)[0])
    topic = int(tiny_corpus.topics[passage])
    step = Expansion(0, topic, tiny_corpus.graph.titles[topic], (topic,), (passage,), 9, 9, 99, 5.0)
    with pytest.raises(SettingError, match="--mastery recall"):
        StudyRun.of("one", tiny_corpus, [step], rate=1.0)
