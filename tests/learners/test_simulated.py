"""The simulated learner: the contract, its equations, its noise, and what it refuses."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from kgrl.corpus import Corpus, Split
from kgrl.errors import KgrlError, MissingDataError, SettingError
from kgrl.graph import TopicGraph
from kgrl.learners import SimulatedLearner, make_learner
from kgrl.learners.base import Sized
from kgrl.learners.simulated.calibration import ByTopic, Calibration, Errors, Fitted
from kgrl.learners.simulated.learning_curve import CurveParameters
from kgrl.learners.simulated.relatives import THRESHOLD, nearest_topics
from kgrl.system.random_bits import drawn
from kgrl.testing import LearnerContract

CURVES = CurveParameters(
    style=0.8,
    style_tokens=1500.0,
    style_power=1.0,
    topic=0.6,
    topic_tokens=300.0,
    topic_power=0.7,
    link=0.5,
    similar=0.2,
    fading=1e-4,
    noise=0.02,
)
QUIET = replace(CURVES, noise=0.0)


def calibration_of(corpus: Corpus, curves: CurveParameters = CURVES) -> Calibration:
    levels = ByTopic(4.0, 0.3, {3: 5.5}), ByTopic(1.0, 0.0, {1: 0.5})
    made_up = Fitted(0, 0, 0, 0, 0), Errors(0.2, 0.0, 0.0, 0.0, 0.0)
    return Calibration(corpus.name, corpus.fingerprint, "none", 1.3, *levels, curves, (QUIET,), *made_up)


@pytest.fixture
def learner(tiny_corpus: Corpus, fake_embeddings: NDArray[np.float32]) -> SimulatedLearner:
    return SimulatedLearner(tiny_corpus, calibration=calibration_of(tiny_corpus), embeddings=fake_embeddings)


@pytest.fixture
def chain() -> Corpus:
    """Four topics, 0 - 1 - 2 linked in a row and 3 alone; each has 100 words to train on and a probe passage."""
    graph = TopicGraph.from_links(["a", "b", "c", "d"], [0, 2], [1, 1])
    texts = [text for _ in range(4) for text in ("word " * 100, "word")]
    return Corpus("chain", graph, texts, np.repeat(np.arange(4), 2), np.tile([Split.TRAIN, Split.PROBE], 4))


class TestSimulatedLearner(LearnerContract):
    @pytest.fixture
    def corpus(self, tiny_corpus: Corpus) -> Corpus:
        return tiny_corpus

    @pytest.fixture
    def learner(self, learner: SimulatedLearner) -> SimulatedLearner:
        return learner


def chain_learner(chain: Corpus, curves: CurveParameters = QUIET) -> SimulatedLearner:
    embeddings = np.array([[1, 0], [0, 1], [0, 1], [0.6, 0.8]], dtype=np.float32)
    return SimulatedLearner(
        chain, calibration=replace(calibration_of(chain, curves), tokens_per_word=1.0), embeddings=embeddings
    )


def probe_losses(learner: SimulatedLearner) -> NDArray[np.float32]:
    corpus = learner.corpus
    return learner.losses(corpus.select(np.flatnonzero(corpus.splits == Split.PROBE)))


def test_losses_follow_the_documented_equations(chain: Corpus) -> None:
    learner = chain_learner(chain)
    untaught = probe_losses(learner)
    assert untaught[3] == pytest.approx(5.5)
    learner.learn(chain.select([0]), 100)
    learner.learn(chain.select([6]), 50)
    # d: 50 own tokens; and 100 of a, whose cosine to it is 0.6, faded by d's 50. a has the same the other way round.
    fade, similar = np.exp(-1e-4 * 50), 0.2 * (0.6 - THRESHOLD)
    # b is linked with a, whose degree is 1 and its own 2, and its cosine to d is 0.8.
    effective = {
        0: 100 * fade + similar * 50,
        1: 0.5 * 100 / np.sqrt(2) * fade + 0.2 * (0.8 - THRESHOLD) * 50,
        3: 50 + similar * 100 * fade,
    }
    style = 0.8 * (1 - 1 / (1 + 150 / 1500))
    for topic, tokens in effective.items():
        drop = (0.5 if topic == 1 else 1.0) * (style + 0.6 * (1 - (1 + tokens / 300) ** -0.7))
        assert untaught[topic] - probe_losses(learner)[topic] == pytest.approx(drop, abs=1e-5)


def test_a_topic_teaches_itself_most_its_relatives_less_and_strangers_style_alone(chain: Corpus) -> None:
    learner = chain_learner(chain, replace(QUIET, similar=0.0))
    before = probe_losses(learner)
    learner.learn(chain.select([0]), 100)
    drops = (before - probe_losses(learner)) / learner.curves.response[0]
    assert drops[0] > drops[1] > drops[2] > 0
    assert drops[2] == pytest.approx(drops[3], abs=1e-6)


def test_what_is_not_repeated_fades(chain: Corpus) -> None:
    curves = replace(QUIET, style=0.0, fading=1e-2)
    learner = chain_learner(chain, curves)
    learner.learn(chain.select([0]), 100)
    learned = probe_losses(learner)
    learner.learn(chain.select([4]), 100)
    faded = probe_losses(learner)
    assert faded[0] > learned[0] and faded[2] < learned[2]


def test_fading_for_a_very_long_time_stays_exact(chain: Corpus) -> None:
    learner = chain_learner(chain, replace(QUIET, fading=0.5))
    for _ in range(12):
        learner.learn(chain.select([0, 2]), 200)
    # Of geometric lessons with ratio exp(-100) only the last is left.
    assert learner.snapshot().scale * learner.snapshot().effective[0] == pytest.approx(100 + 0.5 * 100 / np.sqrt(2))


def test_noise_has_the_calibrated_size_and_depends_on_passage_and_amount_alone(tiny_corpus: Corpus) -> None:
    passages = tiny_corpus.select(np.arange(len(tiny_corpus)))
    embeddings = np.zeros((len(tiny_corpus.graph), 2), dtype=np.float32)

    def noise(seed: int, lessons: int) -> NDArray[np.float64]:
        loud, quiet = (
            SimulatedLearner(tiny_corpus, seed, calibration_of(tiny_corpus, curves), embeddings=embeddings)
            for curves in (CURVES, QUIET)
        )
        for learner in (loud, quiet):
            for topic in range(lessons):
                learner.learn(tiny_corpus.of((topic + 7 * seed) % 40, Split.TRAIN), 100)
        return loud.losses(passages).astype(np.float64) - quiet.losses(passages)

    first = noise(1, 3)
    assert first.std() == pytest.approx(CURVES.noise, rel=0.2)
    assert abs(first.mean()) < 3 * CURVES.noise / np.sqrt(len(first))
    for other in (noise(1, 4), noise(2, 3)):
        assert abs(np.corrcoef(first, other)[0, 1]) < 0.3
    assert np.array_equal(first, noise(1, 3))


def test_paired_runs_see_the_same_noise_where_they_learned_as_much(chain: Corpus) -> None:
    curves = replace(CURVES, style=0.0, topic=1e-9)
    left, right = (chain_learner(chain, curves) for _ in range(2))
    left.learn(chain.select([0]), 60)
    right.learn(chain.select([6]), 60)
    np.testing.assert_allclose(probe_losses(left), probe_losses(right), atol=1e-6)


@given(st.integers(0, 2**40), st.lists(st.integers(0, 2**31), min_size=1, max_size=8), st.integers(0, 2**50))
def test_a_draw_depends_on_its_own_arguments_alone(seed: int, ids: list[int], total: int) -> None:
    together = drawn(2, seed, ids, total)
    assert np.isfinite(together).all()
    assert together.tolist() == [float(drawn(2, seed, i, total)) for i in ids]


def test_draws_are_standard_normal_and_unrelated() -> None:
    draws = drawn(2, 5, np.arange(20_000), 3)
    assert abs(draws.mean()) < 0.03 and draws.std() == pytest.approx(1, abs=0.03)
    assert abs(np.corrcoef(draws[:-1], draws[1:])[0, 1]) < 0.03
    assert abs(np.corrcoef(draws, drawn(2, 5, np.arange(20_000), 4))[0, 1]) < 0.03


def test_untaught_losses_are_the_measured_ones_and_drawn_for_the_rest(learner: SimulatedLearner) -> None:
    assert learner.curves.untaught[0][3] == 5.5
    others = np.delete(learner.curves.untaught[0], 3)
    assert others.mean() == pytest.approx(4.0, abs=0.2) and 0.15 < others.std() < 0.45
    assert learner.losses(learner.corpus.of(3, Split.PROBE)).max() > 4.0


def test_topics_respond_as_measured_or_as_drawn(chain: Corpus) -> None:
    calibration = replace(calibration_of(chain, QUIET), response=ByTopic(1.0, 9.0, {1: 0.5}))
    learner = SimulatedLearner(chain, calibration=calibration, embeddings=np.zeros((4, 2), dtype=np.float32))
    assert learner.curves.response[0][1] == 0.5
    assert (learner.curves.response[0] >= 0).all() and np.ptp(learner.curves.response[0]) > 1


def test_a_member_has_its_own_curves(tiny_corpus: Corpus, fake_embeddings: NDArray[np.float32]) -> None:
    calibration = calibration_of(tiny_corpus)
    learner = make_learner("simulated", tiny_corpus, calibration=calibration, member=0, embeddings=fake_embeddings)
    assert isinstance(learner, SimulatedLearner) and learner.parameters == QUIET
    with pytest.raises(SettingError, match="1 members, numbered from 0; there is no 1"):
        SimulatedLearner(tiny_corpus, calibration=calibration, member=1, embeddings=fake_embeddings)


def test_another_corpus_is_refused_and_both_are_named(tiny_corpus: Corpus, chain: Corpus) -> None:
    with pytest.raises(SettingError) as refusal:
        SimulatedLearner(chain, calibration=calibration_of(tiny_corpus))
    for part in ("'tiny'", "'chain'", tiny_corpus.fingerprint[:12], chain.fingerprint[:12], "kgrl calibrate"):
        assert part in str(refusal.value)


def test_a_corpus_without_a_calibration_says_how_to_get_one(tiny_corpus: Corpus, tmp_path: Path) -> None:
    with pytest.raises(MissingDataError, match=r"'tiny' ships .* `kgrl calibrate` fits one"):
        SimulatedLearner(tiny_corpus)
    with pytest.raises(MissingDataError, match=r"absent\.json"):
        SimulatedLearner(tiny_corpus, calibration=tmp_path / "absent.json")


def test_plugins_are_refused(tiny_corpus: Corpus) -> None:
    with pytest.raises(SettingError, match="plug-ins"):
        make_learner("simulated", tiny_corpus, plugins=[object()])


def test_a_state_of_other_curves_is_refused(
    learner: SimulatedLearner, fake_embeddings: NDArray[np.float32], tmp_path: Path
) -> None:
    learner.save(tmp_path)
    calibration = calibration_of(learner.corpus, replace(CURVES, style=0.7))
    other = SimulatedLearner(learner.corpus, calibration=calibration, embeddings=fake_embeddings)
    with pytest.raises(KgrlError, match="its curves is"):
        other.load(tmp_path)


def test_passages_of_another_corpus_are_refused(learner: SimulatedLearner, chain: Corpus) -> None:
    with pytest.raises(ValueError, match="chain"):
        learner.losses(chain.select([0]))


def test_a_topic_without_text_is_nobodys_relative() -> None:
    embeddings = np.array([[1, 0], [1, 0], [0, 0]], dtype=np.float32)
    nearest, cosines = nearest_topics(embeddings, k=5)
    assert nearest.shape == (3, 2) and nearest[0].tolist() == [1, 2]
    assert cosines[0].tolist() == [1.0, 0.0]


def test_it_needs_no_torch() -> None:
    code = "import sys, kgrl.learners.simulated.learner; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_its_parameters_are_no_number_of_weights(learner: SimulatedLearner) -> None:
    """Rewards that count operations refuse a learner without a size; benchmarks of many rewards rely on it."""
    assert not isinstance(learner, Sized)
