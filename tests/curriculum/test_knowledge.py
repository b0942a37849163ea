"""The state of knowledge: gaps, solid topics, the frontier around them, and reading again."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from kgrl.agents import make_agent
from kgrl.agents.baselines.nucleated import Nucleated
from kgrl.corpus import Split
from kgrl.curriculum import Curriculum, CurriculumConfig
from kgrl.curriculum.knowledge import Knowledge
from kgrl.curriculum.mastery import Mastery
from kgrl.errors import SettingError
from kgrl.expansion import Expansion, Probed
from tests.support.fake_learner import FakeLearner

Make = Callable[..., Curriculum]
KNOWING = {"mastery": "gap:1.2", "most_readings": 0, "budget_tokens": 1_500}
"""Later, when any text has been learned, no topic lacks knowledge."""
NOTHING = Probed()


def lesson(total: int, losses: tuple[float, ...] = (), tested: Probed = NOTHING) -> Expansion:
    return Expansion(0, 0, "a", (0,), tuple(range(len(losses))), 10, total, 99, 5.0, losses=losses, tested=tested)


def update(knowledge: Knowledge, step: Expansion, topics: list[int], fresh: list[bool]) -> None:
    knowledge.update(step, np.array(topics, dtype=np.int32), np.full(len(topics), 5), np.array(fresh, dtype=bool))


def test_a_gap_is_what_unread_topics_have_more_of_loss() -> None:
    """The first passage of a topic in a lesson tells of the time before it; later ones were read after it."""
    knowledge = Knowledge(4)
    update(knowledge, lesson(10, (6.0, 1.0)), [0, 0], [True, True])
    assert knowledge.unread == 6.0 and np.isnan(knowledge.gap).all()
    update(knowledge, lesson(20, (5.0, 4.0)), [0, 0], [True, True])
    np.testing.assert_allclose(knowledge.gap[0], 6.0 - 5.0)
    # Eight earlier losses weigh as much as the loss before, and a new difference as much as all earlier ones.
    update(knowledge, lesson(30, (), Probed((0, 3), (4.0, 6.9))), [], [])
    np.testing.assert_allclose(knowledge.unread, (8 * 6.0 + 6.9) / 9)
    np.testing.assert_allclose(knowledge.gap[0], (1.0 + knowledge.unread - 4.0) / 2)
    assert knowledge.exposures.tolist() == [2, 0, 0, 0] and knowledge.tokens.tolist() == [20, 0, 0, 0]
    assert knowledge.last_read.tolist() == [20, -1, -1, -1] and knowledge.last_tested.tolist() == [30, -1, -1, -1]


def test_a_passage_that_was_read_before_tells_nothing() -> None:
    knowledge = Knowledge(2)
    update(knowledge, lesson(10, (6.0, 6.0)), [0, 1], [True, True])
    update(knowledge, lesson(20, (0.5,)), [0], [False])
    assert np.isnan(knowledge.gap).all() and knowledge.exposures.tolist() == [2, 1]


def test_a_solid_topic_is_forgotten_at_half_the_level() -> None:
    mastery = Mastery.of("gap:1")
    assert [mastery.is_met(gap, solid=False) for gap in (np.nan, 0.9, 1.0)] == [False, False, True]
    assert [mastery.is_met(gap, solid=True) for gap in (np.nan, 0.4, 0.5)] == [False, False, True]


@pytest.mark.parametrize("wrong", ["", "known", "gap:", "gap:x", "gap:0", "gap:-1", "gap:inf", "gap:nan", "read:1"])
def test_a_criterion_that_is_none_is_refused(wrong: str) -> None:
    if wrong == "gap:":  # a level that was left out
        assert Mastery.of(wrong).level == Mastery.of("gap").level
        return
    with pytest.raises(SettingError, match="mastery"):
        CurriculumConfig(mastery=wrong)


def test_the_frontier_is_what_is_linked_with_solid_topics_and_not_solid(make_tiny_curriculum: Make) -> None:
    """At every step; topics that were read and are not known can be picked again."""
    curriculum = make_tiny_curriculum(None, **KNOWING)
    graph, state = curriculum.corpus.graph, curriculum.state
    for step in curriculum.run(make_agent("random")):
        solid = set(state.frontier.solid.tolist())
        near = {int(v) for topic in solid for v in graph.neighbours(topic)} | set(curriculum.nucleus.tolist())
        assert set(state.frontier.topics.tolist()) == near - solid
        assert len(step.tested.topics) > 0
    assert 0 < len(state.frontier.solid) < (state.knowledge.exposures > 0).sum()
    assert (state.knowledge.gap[state.frontier.solid] >= 0.6).all()


def test_a_topic_that_was_read_and_is_not_known_can_be_picked_again(make_tiny_curriculum: Make) -> None:
    curriculum = make_tiny_curriculum(None, **KNOWING)
    for step in curriculum.run(make_agent("random")):
        if step.index and step.topic in curriculum.state.frontier:
            assert curriculum.expand(step.topic).neighbourhood[0] == step.topic
            return
    pytest.fail("every topic was known once it was read")


def test_a_topic_that_fades_returns_to_the_frontier(make_tiny_curriculum: Make) -> None:
    curriculum = make_tiny_curriculum(None, **KNOWING)
    steps = list(curriculum.run(make_agent("random")))
    topic = int(curriculum.state.frontier.solid[-1])
    forgotten = Probed((topic,) * 1, (curriculum.state.knowledge.unread + 5.0,))
    curriculum.state.replay(replace(steps[-1], neighbourhood=(), passages=(), losses=(), tested=forgotten))
    assert topic not in curriculum.state.frontier.solid
    assert topic in curriculum.state.frontier or not curriculum.state.frontier.links_to_solid[topic]


@pytest.mark.parametrize("agent", ["random", "nucleated", "random-nucleated", "iid"])
def test_a_resumed_curriculum_knows_the_same(agent: str, make_tiny_curriculum: Make) -> None:
    whole = make_tiny_curriculum(None, **KNOWING)
    steps = list(whole.run(make_agent(agent)))
    again, half = make_tiny_curriculum(None, **KNOWING), len(steps) // 2
    other = make_agent(agent)
    begun = list(zip(range(half), again.run(other), strict=False))
    learner, rng = again.learner.snapshot(), again.state.rng.bit_generator.state
    resumed, third = make_tiny_curriculum(None, **KNOWING), make_agent(agent)
    resumed.learner.restore(learner)
    resumed.resume([step for _, step in begun], third)
    resumed.state.rng.bit_generator.state = rng
    assert [step for _, step in begun] + list(resumed.run(third, resume=True)) == steps
    for name in ("tokens", "exposures", "last_read", "last_tested", "gap"):
        assert_array_equal(getattr(resumed.state.knowledge, name), getattr(whole.state.knowledge, name))
    assert_array_equal(resumed.state.frontier.solid, whole.state.frontier.solid)
    assert_array_equal(resumed.state.readings, whole.state.readings)


@pytest.mark.parametrize("agent", ["iid", "random"])
def test_passages_are_read_as_often_as_they_may_be(agent: str, make_tiny_curriculum: Make) -> None:
    """The budget may exceed the corpus; what is read again is told."""
    # A gap that nothing has: topics never leave the frontier.
    curriculum = make_tiny_curriculum(None, budget_tokens=10**6, most_readings=2, mastery="gap:99", nucleus_share=0)
    steps = list(curriculum.run(make_agent(agent)))
    readings = curriculum.state.readings[curriculum.corpus.splits == Split.TRAIN]
    assert readings.max() == 2
    repeated, tokens = sum(step.repeated for step in steps), steps[-1].tokens_total
    assert 0 < repeated < tokens < 10**6
    if agent == "iid":  # all once before any twice
        assert (readings >= 1).all()
        first = next(step.index for step in steps if step.repeated)
        assert all(step.repeated for step in steps[first:])


def test_the_nucleus_is_learned_until_it_is_solid_or_has_had_its_share(make_tiny_curriculum: Make) -> None:
    known = make_tiny_curriculum(None, **{**KNOWING, "mastery": "gap:1.6"}, nucleus_share=1.0)
    nucleus = known.start()
    assert len(nucleus) > 1 and known.state.frontier.is_solid[known.nucleus].all()
    assert {step.topic for step in nucleus} == {int(known.nucleus[0])}
    bound = make_tiny_curriculum(None, **{**KNOWING, "mastery": "gap:99"}, nucleus_share=0.1)
    assert 150 <= bound.start()[-1].tokens_total < 150 + bound.config.expansion_tokens
    again = bound.start()
    assert [step.index for step in again] == list(range(len(again))) and bound.state.index == len(again)


@pytest.mark.parametrize("agent", ["random", "nucleated", "iid"])
def test_a_nucleus_that_was_interrupted_goes_on(agent: str, make_tiny_curriculum: Make) -> None:
    """The agent is reset after the nucleus, and the reward begins with it."""
    setting = {**KNOWING, "mastery": "gap:99", "nucleus_share": 0.5}
    whole, cut, resumed = (make_tiny_curriculum("knowledge-gain", **setting) for _ in range(3))
    steps = list(whole.run(make_agent(agent)))
    begun = [step for _, step in zip(range(2), cut.run(make_agent(agent)), strict=False)]
    assert steps[2].reward is None, "the nucleus takes more than two lessons"
    other = make_agent(agent)
    resumed.learner.restore(cut.learner.snapshot())
    resumed.resume(begun, other)
    assert begun + list(resumed.run(other, resume=True)) == steps


def test_a_nucleus_that_fades_later_is_not_begun_again(make_tiny_curriculum: Make) -> None:
    """A resumed run goes on with what its agent chooses."""
    setting = {**KNOWING, "nucleus_share": 0.9}
    whole, resumed = (make_tiny_curriculum("token-cost", **setting) for _ in range(2))
    steps = list(zip(range(4), whole.run(make_agent("random")), strict=False))
    nucleus = whole.nucleus.tolist()
    faded = Probed(tuple(nucleus), (whole.state.knowledge.unread + 9.0,) * len(nucleus))
    records = [*(step for _, step in steps[:-1]), replace(steps[-1][1], tested=faded)]
    assert records[1].reward is not None, "the nucleus was known after one lesson"
    agent = make_agent("random")
    resumed.learner.restore(whole.learner.snapshot())
    resumed.resume(records, agent)
    assert not resumed.state.nucleated
    assert next(iter(resumed.run(agent, resume=True))).reward is not None


def test_records_of_the_nucleus_come_while_the_learner_is_as_it_was_after_them(make_tiny_curriculum: Make) -> None:
    """So that an exam on the way is of that moment."""
    curriculum = make_tiny_curriculum(None, **{**KNOWING, "mastery": "gap:99"}, nucleus_share=0.5)
    assert isinstance(curriculum.learner, FakeLearner)
    for step in curriculum.run(make_agent("random")):
        assert curriculum.learner.read.sum() == curriculum.state.tokens == step.tokens_total


def test_what_was_read_is_learned_without_a_test(make_tiny_curriculum: Make) -> None:
    curriculum = make_tiny_curriculum(None)
    steps = list(curriculum.run(make_agent("random")))
    assert not any(step.tested.topics for step in steps) and not sum(step.probe_tokens for step in steps)
    assert all(len(step.losses) == len(step.passages) and not step.repeated for step in steps[:3])
    read = set(curriculum.state.frontier.solid.tolist())
    assert read == set(np.flatnonzero(curriculum.state.knowledge.exposures).tolist())


def test_a_set_grows_once_enough_of_it_is_solid(make_tiny_curriculum: Make) -> None:
    agent = Nucleated(start=4, growth=1.5, solid=0.7)
    curriculum = make_tiny_curriculum(None, **KNOWING)
    sizes = list[int]()
    for _ in curriculum.run(agent):
        if curriculum.state.index > 1:
            inside = curriculum.state.frontier.is_solid[agent._in_set].mean()
            sizes.append(int(agent._in_set.sum()))
            assert inside < 0.7 or sizes[-1] >= 4
            read = np.unique(curriculum.corpus.topics[curriculum.state.readings > 0])
            assert agent._in_set[read].all()
    assert sizes[0] == 4 and sizes[-1] > 4 and sizes == sorted(sizes)
    linked = [set(curriculum.corpus.graph.neighbours(int(topic)).tolist()) for topic in np.flatnonzero(agent._in_set)]
    assert all(near & set(np.flatnonzero(agent._in_set).tolist()) for near in linked)


def test_losses_at_reading_are_those_of_the_learner(make_tiny_curriculum: Make) -> None:
    curriculum = make_tiny_curriculum(None)
    assert isinstance(curriculum.learner, FakeLearner)
    (step,) = curriculum.start()
    np.testing.assert_allclose(step.losses, 4.0)  # of a learner that has read nothing


@pytest.mark.parametrize(("level", "said"), [("99", "none of the .* is solid"), ("0.01", "all of the .* are solid")])
def test_a_level_that_nothing_or_everything_passes_is_named_with_the_values(
    level: str, said: str, make_tiny_curriculum: Make, caplog: pytest.LogCaptureFixture
) -> None:
    curriculum = make_tiny_curriculum(None, **{**KNOWING, "mastery": f"gap:{level}"})
    curriculum.start()
    (record,) = caplog.records
    assert re.search(f"{said}.*gap:{level}.*gaps are [-0-9.]+ to [-0-9.]+ nats per token", record.getMessage())


def test_a_level_that_some_pass_is_not_remarked_on(
    make_tiny_curriculum: Make, caplog: pytest.LogCaptureFixture
) -> None:
    make_tiny_curriculum(None, **{**KNOWING, "mastery": "gap:1.7"}, nucleus_share=0).start()
    make_tiny_curriculum(None).start()
    assert not caplog.records
