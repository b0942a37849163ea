"""Calibrations: parameters recovered from records, held-out figures, what is refused, and the file."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from kgrl.corpus import Corpus, Split
from kgrl.errors import DataError, KgrlError, MissingDataError, SettingError
from kgrl.expansion import Expansion, Measurement
from kgrl.learners import SimulatedLearner
from kgrl.learners.simulated.calibration import ByTopic, Calibration, Errors, Fitted
from kgrl.learners.simulated.courses import Course, course_of_run, course_of_transfer, read_run, tokens_per_word
from kgrl.learners.simulated.fit import LEAST_LESSONS, Records, fit, fit_calibration
from kgrl.learners.simulated.learning_curve import CurveParameters
from kgrl.learners.simulated.relatives import Relatives
from kgrl.probes.forks import estimate_transfer

TRUE = CurveParameters(
    style=0.8,
    style_tokens=1500.0,
    style_power=1.0,
    topic=0.6,
    topic_tokens=300.0,
    topic_power=1.0,
    link=0.8,
    similar=0.4,
    fading=2e-4,
    noise=0.01,
)
RATE = 1.3
ALIKE = ByTopic(1.0, 0.0)
Embeddings = NDArray[np.float32]


def learner_of(
    corpus: Corpus, embeddings: Embeddings, curves: CurveParameters = TRUE, seed: int = 0, response: ByTopic = ALIKE
) -> SimulatedLearner:
    made_up = Fitted(0, 0, 0, 0, 0), Errors(0.2, 0.0, 0.0, 0.0, 0.0)
    levels = ByTopic(4.0, 0.3), response
    known = Calibration(corpus.name, corpus.fingerprint, "none", RATE, *levels, curves, (), *made_up)
    return SimulatedLearner(corpus, seed, known, embeddings=embeddings)


def run_of(learner: SimulatedLearner, lessons: int = 30, probed: int = 20) -> list[Expansion]:
    """Expansions into random topics and two of their neighbours, with half of all topics probed."""
    corpus, rng = learner.corpus, np.random.default_rng(learner.seed)
    topics = np.sort(rng.permutation(len(corpus.graph))[:probed])
    probes = corpus.select([corpus.ids_of(int(topic), Split.PROBE)[0] for topic in topics])
    expansions: list[Expansion] = []
    for index in range(lessons):
        topic = int(rng.integers(len(corpus.graph)))
        taught = [topic, *corpus.graph.neighbours(topic)[:2].tolist()]
        passages = corpus.select(np.concatenate([corpus.ids_of(t, Split.TRAIN)[:3] for t in taught]))
        before = learner.losses(probes)
        learned = learner.learn(passages, 300)
        measured = Measurement(tuple(topics.tolist()), tuple(before.tolist()), tuple(learner.losses(probes).tolist()))
        expansions.append(
            Expansion(
                index=index,
                topic=topic,
                title=corpus.graph.titles[topic],
                neighbourhood=tuple(taught),
                passages=tuple(passages.ids[: learned.passages].tolist()),
                tokens=learned.tokens,
                tokens_total=learner.total,
                budget=10**6,
                train_loss=learned.loss,
                probes={"mean": measured},
            )
        )
    return expansions


def courses_of(corpus: Corpus, embeddings: Embeddings, curves: CurveParameters = TRUE, runs: int = 4) -> list[Course]:
    learners = [learner_of(corpus, embeddings, curves, seed) for seed in range(runs)]
    return [course_of_run(corpus, str(learner.seed), run_of(learner), RATE) for learner in learners]


@pytest.fixture(scope="module")
def courses(tiny_corpus: Corpus, fake_embeddings: Embeddings) -> list[Course]:
    return courses_of(tiny_corpus, fake_embeddings)


@pytest.fixture(scope="module")
def calibration(tiny_corpus: Corpus, fake_embeddings: Embeddings, courses: list[Course]) -> Calibration:
    return fit_calibration(
        tiny_corpus, courses, learner="simulated", tokens_per_word=RATE, members=4, seed=1, embeddings=fake_embeddings
    )


def test_known_parameters_come_back_from_noisy_records(calibration: Calibration) -> None:
    found = calibration.parameters
    # What is far along each curve is told by their product alone: compare what the curves say where there are records.
    tokens = np.array([300.0, 1000.0, 4000.0])
    np.testing.assert_allclose(found.drop(tokens, 0), TRUE.drop(tokens, 0), rtol=0.1)
    effective = np.array([100.0, 300.0, 1000.0])
    np.testing.assert_allclose(found.drop(0, effective), TRUE.drop(0, effective), rtol=0.15)
    assert found.link == pytest.approx(TRUE.link, rel=0.25)
    assert found.similar == pytest.approx(TRUE.similar, rel=0.35)
    assert found.fading == pytest.approx(TRUE.fading, rel=0.5)
    assert found.noise == pytest.approx(TRUE.noise, rel=0.2)


def test_a_simulation_with_the_true_parameters_is_predicted_exactly(
    tiny_corpus: Corpus, fake_embeddings: Embeddings
) -> None:
    quiet = replace(TRUE, noise=0.0)
    records = Records(
        courses_of(tiny_corpus, fake_embeddings, quiet, runs=1), Relatives.of(tiny_corpus, fake_embeddings)
    )
    # But for tokens, which learners round.
    assert np.abs(records.predict(quiet) - records.drops).max() < 0.01 * records.drops.max()


def test_losses_before_anything_was_learned_come_back(
    calibration: Calibration, fake_embeddings: Embeddings, tiny_corpus: Corpus
) -> None:
    true = learner_of(tiny_corpus, fake_embeddings).curves.untaught[0]
    found = calibration.untaught
    assert len(found.topics) > 20
    assert all(loss == pytest.approx(true[topic], abs=5 * TRUE.noise) for topic, loss in found.topics.items())
    assert found.mean == pytest.approx(np.mean(list(found.topics.values())))


def test_topics_that_respond_differently_are_told_apart(tiny_corpus: Corpus, fake_embeddings: Embeddings) -> None:
    true = ByTopic(1.0, 0.0, dict(enumerate(np.linspace(0.4, 1.6, len(tiny_corpus.graph)).tolist())))
    learners = [learner_of(tiny_corpus, fake_embeddings, TRUE, seed, true) for seed in range(3)]
    courses = [course_of_run(tiny_corpus, "r", run_of(learner), RATE) for learner in learners]
    found = fit_calibration(
        tiny_corpus, courses, learner="x", tokens_per_word=RATE, members=1, embeddings=fake_embeddings
    ).response
    measured = np.array([true.topics[topic] for topic in found.topics])
    assert np.corrcoef(list(found.topics.values()), measured)[0, 1] > 0.95
    assert found.spread == pytest.approx(measured.std(), rel=0.3)


def test_topics_that_respond_alike_are_not_told_apart(calibration: Calibration) -> None:
    assert calibration.response.spread < 0.1


def test_topics_first_measured_late_are_put_back_by_what_was_learned(
    tiny_corpus: Corpus, fake_embeddings: Embeddings
) -> None:
    quiet = replace(TRUE, noise=0.0)
    learner = learner_of(tiny_corpus, fake_embeddings, quiet)
    late = [replace(e, probes={}) if e.index < 20 else e for e in run_of(learner)]
    records = Records([course_of_run(tiny_corpus, "late", late, RATE)], Relatives.of(tiny_corpus, fake_embeddings))
    assert len(records) == 10
    for topic, loss in records.untaught(quiet, records.response(quiet, np.ones(10))).topics.items():
        assert loss == pytest.approx(learner.curves.untaught[0, topic], abs=0.01)


def test_held_out_errors_beat_the_mean_and_approach_the_noise(calibration: Calibration) -> None:
    errors = calibration.errors
    assert TRUE.noise < errors.fit < 1.25 * np.sqrt(2) * TRUE.noise
    assert errors.fit < 0.7 * errors.style_only and errors.style_only < errors.mean_change < errors.no_change
    assert errors.rank_expansions is not None and errors.rank_expansions > 0.9
    assert errors.rank_candidates is errors.rank_within is None


def test_records_of_pure_noise_are_not_said_to_be_predicted(tiny_corpus: Corpus, fake_embeddings: Embeddings) -> None:
    curves = replace(TRUE, style=1e-3, topic=1e-3, noise=0.05)
    noise = courses_of(tiny_corpus, fake_embeddings, curves, runs=2)
    errors = fit_calibration(
        tiny_corpus, noise, learner="x", tokens_per_word=RATE, members=1, embeddings=fake_embeddings
    ).errors
    assert errors.fit > 0.98 * errors.mean_change


def test_members_differ_by_what_is_not_known(calibration: Calibration) -> None:
    links = [member.link for member in calibration.members]
    assert len(set(links)) == 4
    assert np.std(links) < 0.3 * np.mean(links)


def test_the_seed_decides_everything(
    tiny_corpus: Corpus, fake_embeddings: Embeddings, courses: list[Course], calibration: Calibration
) -> None:
    def again(seed: int) -> Calibration:
        return fit_calibration(
            tiny_corpus,
            courses,
            learner="simulated",
            tokens_per_word=RATE,
            members=4,
            seed=seed,
            embeddings=fake_embeddings,
        )

    assert again(1) == calibration
    assert again(2).members != calibration.members


def test_a_lesson_without_weight_does_not_count(
    tiny_corpus: Corpus, fake_embeddings: Embeddings, courses: list[Course]
) -> None:
    relatives = Relatives.of(tiny_corpus, fake_embeddings)
    spoiled = courses[0].after.copy()
    spoiled[4] -= 3.0
    weights = np.ones(len(Records(courses[:2], relatives)))
    weights[4] = 0.0
    found = [
        fit(Records([replace(courses[0], after=after), courses[1]], relatives), weights).style
        for after in (courses[0].after, spoiled)
    ]
    assert found[0] == pytest.approx(found[1], rel=0.02)


def test_forks_tell_whom_a_topic_helps(tiny_corpus: Corpus, fake_embeddings: Embeddings, tmp_path: Path) -> None:
    learner = learner_of(tiny_corpus, fake_embeddings)
    estimate = estimate_transfer(tiny_corpus, learner, tmp_path, size=24, tokens=200)
    course = course_of_transfer(tiny_corpus, tmp_path, RATE)
    np.testing.assert_allclose(course.drops, estimate.drops, atol=1e-6)
    assert course.tokens.max() <= 200
    found = fit_calibration(
        tiny_corpus, [course], learner="x", tokens_per_word=RATE, members=1, embeddings=fake_embeddings
    )
    assert (found.fitted.runs, found.fitted.expansions, found.fitted.forks) == (0, 0, 24)
    assert found.errors.rank_within is not None and found.errors.rank_within > 0.5
    assert found.errors.rank_expansions is None


def test_rows_not_measured_yet_are_left_out(tiny_corpus: Corpus, fake_embeddings: Embeddings, tmp_path: Path) -> None:
    learner = learner_of(tiny_corpus, fake_embeddings)
    drops = estimate_transfer(tiny_corpus, learner, tmp_path, size=6, tokens=100).drops.copy()
    drops[2:] = np.nan
    np.save(tmp_path / "drops.npy", drops)
    assert course_of_transfer(tiny_corpus, tmp_path, RATE).n_measured == 2


def test_a_transfer_of_another_corpus_is_refused(
    tiny_corpus: Corpus, fake_embeddings: Embeddings, tmp_path: Path
) -> None:
    estimate_transfer(tiny_corpus, learner_of(tiny_corpus, fake_embeddings), tmp_path, size=3, tokens=100)
    settings = json.loads((tmp_path / "transfer.json").read_text())
    (tmp_path / "transfer.json").write_text(json.dumps({**settings, "fingerprint": "0", "corpus": "other"}))
    with pytest.raises(KgrlError, match="corpus 'other', not of 'tiny'"):
        course_of_transfer(tiny_corpus, tmp_path, RATE)


def test_too_few_records_say_how_many_are_needed(tiny_corpus: Corpus, fake_embeddings: Embeddings) -> None:
    expansions = run_of(learner_of(tiny_corpus, fake_embeddings), lessons=8)
    expansions[3] = replace(expansions[3], probes={})
    course = course_of_run(tiny_corpus, "short", expansions, RATE)
    with pytest.raises(SettingError, match=f"found 7 expansions with probes and 0 forks; .* at least {LEAST_LESSONS}"):
        fit_calibration(tiny_corpus, [course], learner="x", tokens_per_word=RATE)


@pytest.mark.parametrize("setting", [{"members": 0}, {"held_out": 0.0}, {"held_out": 0.6}])
def test_senseless_settings_are_refused(tiny_corpus: Corpus, courses: list[Course], setting: dict[str, float]) -> None:
    with pytest.raises(SettingError, match=next(iter(setting))):
        fit_calibration(tiny_corpus, courses, learner="x", tokens_per_word=RATE, **setting)  # type: ignore[arg-type]


def test_tokens_for_a_word_come_from_what_was_read(tiny_corpus: Corpus, fake_embeddings: Embeddings) -> None:
    expansions = run_of(learner_of(tiny_corpus, fake_embeddings))
    assert tokens_per_word(tiny_corpus, [expansions]) == pytest.approx(RATE, rel=0.05)


def test_a_lessons_tokens_are_its_topics(
    courses: list[Course], tiny_corpus: Corpus, fake_embeddings: Embeddings
) -> None:
    expansions = run_of(learner_of(tiny_corpus, fake_embeddings))
    assert courses[0].tokens == pytest.approx([expansion.tokens for expansion in expansions])
    for row, expansion in enumerate(expansions):
        taught = np.flatnonzero(courses[0].taught[[row]].toarray())
        assert set(taught) == set(tiny_corpus.topics[list(expansion.passages)].tolist())


def test_a_calibration_is_read_as_it_was_written(calibration: Calibration, tmp_path: Path) -> None:
    calibration.write(tmp_path / "calibration.json")
    assert Calibration.read(tmp_path / "calibration.json") == calibration


@pytest.mark.parametrize(
    ("text", "said"),
    [("[]", "expected an object"), ("{}", "format"), ('{"format": 9}', "format 9"), ("{", "not JSON")],
)
def test_files_that_are_no_calibration_are_refused(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "calibration.json").write_text(text)
    with pytest.raises(DataError, match=rf"calibration\.json: .*{said}"):
        Calibration.read(tmp_path / "calibration.json")
    with pytest.raises(MissingDataError, match=r"other\.json"):
        Calibration.read(tmp_path / "other.json")


def test_runs_of_another_corpus_are_refused_by_line(
    tiny_corpus: Corpus, fake_embeddings: Embeddings, tmp_path: Path
) -> None:
    expansions = run_of(learner_of(tiny_corpus, fake_embeddings), lessons=3)
    renamed = replace(expansions[1], title="Alchemy")
    path = tmp_path / "curriculum.jsonl"
    path.write_text("".join(e.to_json() + "\n" for e in (expansions[0], renamed)))
    with pytest.raises(DataError, match=r"curriculum\.jsonl:2: 'Alchemy' is not topic"):
        read_run(tmp_path, tiny_corpus)
    path.write_text(expansions[0].to_json() + "\n" + expansions[1].to_json()[:50])
    assert read_run(tmp_path, tiny_corpus) == expansions[:1]
    path.write_text("{}\n")
    with pytest.raises(DataError, match=r"curriculum\.jsonl:1: object missing required field 'index'"):
        read_run(tmp_path, tiny_corpus)
    with pytest.raises(DataError, match="no such file"):
        read_run(tmp_path / "absent", tiny_corpus)
