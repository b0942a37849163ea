"""Rewards of the state of knowledge: worked by hand, and what must not pay."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from kgrl.agents import make_agent
from kgrl.benchmark.traps import Rereading
from kgrl.corpus import Corpus, Passages
from kgrl.curriculum import Curriculum, CurriculumConfig
from kgrl.data import load_corpus
from kgrl.envs.vector.checks import check_batched
from kgrl.errors import SettingError
from kgrl.expansion import Expansion, Measurement
from kgrl.learners import make_learner
from kgrl.retrieval import FaissRetriever, indexed_passages
from kgrl.rewards import RewardError, as_reward
from kgrl.rewards.known import KnowledgeGain, Retention
from tests.support.fake_learner import FakeLearner

Make = Callable[..., Curriculum]
Losses = dict[int, tuple[float, float]]
AGAIN = {"mastery": "gap:1.2", "most_readings": 0, "nucleus_share": 1.0}


def step(read: Losses, unread: Losses, tokens: int = 1_000, index: int = 1) -> Expansion:
    """An expansion with the losses of topics that were read, and of others, before and after it."""
    probes = {
        name: Measurement(tuple(losses), *map(tuple, zip(*losses.values(), strict=True)))
        for name, losses in (("read", read), ("unread", unread))
        if losses
    }
    return Expansion(index, 0, "?", (0,), (0,), tokens, tokens, 10**6, 3.0, probes)


def test_what_any_text_teaches_is_not_knowledge() -> None:
    """Unread topics fall by 1 as well: of the drop by 3 two are paid for, by half as many tokens twice."""
    gain = KnowledgeGain()
    assert gain(step({0: (6.0, 3.0)}, {8: (6.0, 5.0)}, tokens=500)) == pytest.approx(4.0)
    # u is 5 now and falls to 4.5: topic 0 stays 2 below, topic 1 comes to be 0.25 below it from above.
    assert gain(step({0: (3.0, 2.5), 1: (5.5, 4.25)}, {9: (7.0, 6.5)})) == pytest.approx(0.25)


def test_the_level_does_not_follow_the_choice_of_unread_topics() -> None:
    """Other topics stand for the unread ones in each expansion: hard ones do not make anything known."""
    gain = KnowledgeGain()
    assert gain(step({0: (6.0, 5.0)}, {8: (6.0, 6.0)})) == pytest.approx(1.0)
    assert gain(step({0: (5.0, 5.0)}, {9: (99.0, 99.0)})) == 0


def test_easy_text_is_paid_for_from_where_it_began() -> None:
    """Topic 1 is 2 below the level before it is read, as the near-duplicate of something known is."""
    assert KnowledgeGain()(step({1: (4.0, 3.5)}, {8: (6.0, 6.0)})) == pytest.approx(0.5)


def test_a_rise_that_came_with_other_lessons_is_not_paid_to_this_one() -> None:
    gain = KnowledgeGain()
    assert gain(step({0: (6.0, 5.0)}, {8: (6.0, 6.0)})) == pytest.approx(1.0)
    assert gain(step({0: (3.0, 3.0)}, {8: (6.0, 6.0)})) == 0
    assert gain(step({0: (3.0, 2.5)}, {8: (6.0, 6.0)})) == pytest.approx(0.5)


def test_what_fades_is_taken_back_at_its_price_and_given_again() -> None:
    """1 nat was paid 4 for, in a short lesson; half of it fades in a long one, and returns in another."""
    both = as_reward("knowledge-gain + 0.5*retention")
    steps = [
        step({0: (6.0, 5.0)}, {8: (6.0, 6.0)}, tokens=250),
        step({0: (5.0, 5.5)}, {8: (6.0, 6.0)}, tokens=4_000),
        step({0: (5.5, 4.5)}, {8: (6.0, 6.0)}, tokens=1_000),
        step({0: (4.5, 9.0)}, {8: (6.0, 6.0)}, tokens=1_000),
    ]
    parts = [both.evaluate(each)[1] for each in steps]
    assert [part["knowledge-gain"] for part in parts] == pytest.approx([4.0, 0.0, 0.5, 0.0])
    assert [part["retention"] for part in parts] == pytest.approx([0.0, -2.0, 2.0, -4.5])


def test_the_nucleus_is_not_paid_for_and_can_fade() -> None:
    gain, retention = KnowledgeGain(), Retention()
    for reward in (gain, retention):
        reward.begin(step({0: (6.0, 5.0)}, {8: (6.0, 6.0)}, index=0))
    assert gain(step({0: (5.0, 5.0)}, {8: (6.0, 6.0)})) == 0
    assert retention(step({0: (5.0, 6.0)}, {8: (6.0, 6.0)})) == pytest.approx(-1.0)


def test_a_record_without_the_measurement_is_named() -> None:
    with pytest.raises(RewardError, match="'retention' reads what is known, but expansion 1 did not measure it"):
        Retention()(step({}, {}))


LOSS = st.floats(0.0, 12.0)
COURSES = st.lists(
    st.tuples(
        st.dictionaries(st.integers(0, 3), st.tuples(LOSS, LOSS), min_size=1),
        st.tuples(LOSS, LOSS),
        st.integers(2, 4_000),
    ),
    min_size=1,
    max_size=12,
)


@given(COURSES)
def test_no_course_is_paid_more_than_what_was_known(course: list[tuple[Losses, tuple[float, float], int]]) -> None:
    """Whatever is read, forgotten and relearned, and by however long lessons."""
    gain, retention = KnowledgeGain(), Retention()
    paid = kept = earned = 0.0
    level = course[0][1][0]
    best, start = dict[int, float](), dict[int, float]()
    for read, unread, tokens in course:
        expansion = step(read, {9: unread}, tokens)
        value = gain(expansion)
        assert value >= 0
        paid, kept = paid + value, kept + retention(expansion)
        earned += value * tokens / 1_000
        assert kept <= 1e-6 * (1 + paid), "what was not paid for cannot be given again"
        assert paid + kept >= -1e-6 * (1 + paid)
        for topic, (before, after) in read.items():
            start.setdefault(topic, max(0.0, level - before))
            now = max(0.0, level - unread[0] + unread[1] - after)
            best[topic] = max(best.get(topic, 0.0), level - before, now, start[topic])
        level -= unread[0] - unread[1]
    assert earned <= sum(best[topic] - start[topic] for topic in best) + 1e-6


@given(st.integers(1, 8), st.integers(2, 4_000), st.integers(2, 4_000))
def test_forgetting_and_relearning_pays_nothing(turns: int, long: int, short: int) -> None:
    """Not even with the lessons that suit it best; retention alone takes and gives the same."""
    gain, retention = KnowledgeGain(), Retention()
    for reward in (gain, retention):
        reward(step({0: (6.0, 4.0)}, {9: (6.0, 6.0)}))
    total = [0.0, 0.0]
    for _ in range(turns):
        for read, tokens in (({0: (4.0, 5.5)}, long), ({0: (5.5, 4.0)}, short)):
            expansion = step(read, {9: (6.0, 6.0)}, tokens)
            total = [total[0] + gain(expansion), total[1] + retention(expansion)]
    assert total[0] == 0 and total[1] == pytest.approx(0.0)


def test_reading_again_what_is_known_pays_nothing(make_tiny_curriculum: Make) -> None:
    """The nucleus is known by heart in the second half, and pays no more; random picks in the same setting do."""
    paid = {}
    for name, agent in (("rereading", Rereading()), ("random", make_agent("random"))):
        curriculum = make_tiny_curriculum("knowledge-gain", **AGAIN, budget_tokens=3_000)
        late = [each for each in curriculum.run(agent) if each.tokens_total > 1_500]
        paid[name] = sum(each.reward or 0.0 for each in late)
        if name == "rereading":
            assert all(each.repeated == each.tokens for each in late)
    assert paid["rereading"] < 0.02 * paid["random"]


class NothingToLearn(FakeLearner):
    """A learner that no text of some topics teaches anything, and whose loss of it is high."""

    planted: NDArray[np.bool_]

    def losses(self, passages: Passages) -> NDArray[np.float32]:
        return np.where(self.planted[passages.topics], 6.0, super().losses(passages)).astype(np.float32)


def test_planted_noise_pays_nothing(tiny_corpus: Corpus, fake_embeddings: NDArray[np.float32]) -> None:
    """Lessons into planted topics pay next to nothing: what they teach of others, the level of unread ones has too."""
    planted = np.arange(len(tiny_corpus.graph)) % 3 == 0
    ids = indexed_passages(tiny_corpus)
    retriever = FaissRetriever(ids, fake_embeddings[tiny_corpus.topics[ids]])
    steps = list[Expansion]()
    for seed in range(3):
        learner = NothingToLearn(tiny_corpus)
        learner.planted = planted
        config = CurriculumConfig(budget_tokens=4_000, expansion_tokens=60, neighbourhood=1, nucleus_size=2, seed=seed)
        curriculum = Curriculum(tiny_corpus, learner, retriever, fake_embeddings, "knowledge-gain", config)
        steps += [each for each in curriculum.run(make_agent("random")) if each.reward is not None]
    noise = [each for each in steps if planted[tiny_corpus.topics[list(each.passages)]].all()]
    real = [each for each in steps if not planted[tiny_corpus.topics[list(each.passages)]].any()]
    assert len(noise) > 3 and len(real) > 3
    assert np.mean([each.reward or 0.0 for each in noise]) < 0.05 * np.mean([each.reward or 0.0 for each in real])


@pytest.mark.parametrize("mastery", [{}, AGAIN], ids=["read", "known"])
def test_topics_are_measured_before_and_after_each_lesson(
    mastery: dict[str, object], make_tiny_curriculum: Make
) -> None:
    """The lesson's topics first; unread ones were not read by it. The state of knowledge is told the same losses."""
    curriculum = make_tiny_curriculum("knowledge-gain + retention", **mastery, budget_tokens=1_500)
    read = set[int]()
    for each in curriculum.run(make_agent("random")):
        own = set(curriculum.corpus.topics[list(each.passages)].tolist())
        read |= own
        probes = each.probes
        assert set(each.neighbourhood) <= set(probes["read"].topics) <= read
        assert not read & set(probes["unread"].topics if "unread" in probes else ())
        after = {t: loss for m in probes.values() for t, loss in zip(m.topics, m.after, strict=True)}
        assert dict(zip(each.tested.topics, each.tested.losses, strict=True)) == pytest.approx(after, abs=1e-4)
    assert np.isfinite(curriculum.state.knowledge.gap).any()


def test_replayed_records_have_the_same_rewards(make_tiny_curriculum: Make) -> None:
    """Also where the nucleus took several lessons."""
    setting = {**AGAIN, "mastery": "gap:99", "nucleus_share": 0.3, "budget_tokens": 2_000}
    curriculum, again = (make_tiny_curriculum("knowledge-gain + 0.5*retention", **setting) for _ in range(2))
    steps = list(curriculum.run(make_agent("bfs")))
    again.resume(steps[:-1], make_agent("bfs"))
    assert sum(each.reward is None for each in steps) > 1
    assert again.reward is not None and again.reward.evaluate(steps[-1])[0] == steps[-1].reward


@pytest.mark.parametrize("reward", ["knowledge-gain", "0.5*retention - token-cost"])
def test_vector_environments_refuse_them(reward: str) -> None:
    with pytest.raises(SettingError, match="needs knowledge, which vector environments do not measure"):
        check_batched("simulated", as_reward(reward), CurriculumConfig())


def test_facts_gain_pays_what_a_simulated_learner_truly_knows() -> None:
    corpus = load_corpus("invented:50:9")
    learner = make_learner("remembering", corpus)
    config = CurriculumConfig(budget_tokens=300_000, expansion_tokens=2_000, mastery="gap:1", most_readings=0)
    curriculum = Curriculum.make(corpus, learner, "facts-gain", config)
    steps = [step for step in curriculum.run(make_agent("iid")) if step.reward is not None]
    paid = sum((step.reward or 0.0) * step.tokens for step in steps) / 1_000
    assert paid == pytest.approx(100 * (learner.known.mean() - steps[0].measures["facts_before"]))
    assert paid > 1


def test_facts_gain_refuses_learners_that_do_not_tell_what_they_know(make_tiny_curriculum: Make) -> None:
    with pytest.raises(SettingError, match=r"pays what a simulated learner knows.*'remembering'"):
        make_tiny_curriculum("facts-gain")
