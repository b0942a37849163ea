"""The loop: budgets, the learned set, probes, repeatability."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from kgrl.agents import make_agent
from kgrl.corpus import Corpus, Split
from kgrl.curriculum import Curriculum, CurriculumConfig
from kgrl.curriculum.state import LossProfile
from kgrl.curriculum.view import View
from kgrl.errors import DivergedError, KgrlError, UnknownNameError
from kgrl.exam import Exam
from kgrl.expansion import Expansion, ExpansionList

Make = Callable[..., Curriculum]


@dataclass
class First:
    """Takes the candidate that was discovered first, or leaves the frontier."""

    frontier_only: bool = True
    strays: bool = False

    def reset(self, view: View) -> None:
        self.seen: list[Expansion] = []

    def choose(self, view: View) -> int:
        if self.strays:
            return int(np.flatnonzero(~view.frontier.is_solid & (view.frontier.links_to_solid == 0))[0])
        return int(view.candidates[0])

    def observe(self, expansion: Expansion) -> None:
        self.seen.append(expansion)


def test_a_run_spends_its_budget_exactly_and_never_more(make_tiny_curriculum: Make) -> None:
    steps = list(make_tiny_curriculum(budget_tokens=1_050).run(First()))
    assert sum(e.tokens for e in steps) == steps[-1].tokens_total == 1_050
    assert all(0 < e.tokens <= 200 for e in steps)
    assert [e.index for e in steps] == list(range(len(steps)))


def test_the_learned_set_grows_along_links_only(make_tiny_curriculum: Make) -> None:
    curriculum = make_tiny_curriculum()
    graph, learned = curriculum.corpus.graph, set(curriculum.nucleus.tolist())
    for step in curriculum.run(First()):
        if step.index:
            assert set(graph.neighbours(step.topic).tolist()) & learned
        assert step.neighbourhood[0] == step.topic
        assert step.index == 0 or not set(step.neighbourhood) & learned
        learned |= set(step.neighbourhood)
    assert learned == set(curriculum.state.frontier.solid.tolist())


def test_only_train_passages_are_trained_on_and_exam_is_never_read(
    make_tiny_curriculum: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    curriculum = make_tiny_curriculum("self-prediction-gain")
    read: list[int] = []
    losses = curriculum.learner.losses
    monkeypatch.setattr(curriculum.learner, "losses", lambda passages: (read.extend(passages.ids), losses(passages))[1])
    trained = [i for e in curriculum.run(First()) for i in e.passages]
    assert set(curriculum.corpus.splits[trained]) == {Split.TRAIN}
    assert Split.EXAM not in set(curriculum.corpus.splits[read])
    assert Split.PROBE in set(curriculum.corpus.splits[read])


def test_a_run_ends_when_everything_is_learned(make_tiny_curriculum: Make) -> None:
    curriculum = make_tiny_curriculum(budget_tokens=10**9)
    steps = list(curriculum.run(First()))
    assert sum(len(e.neighbourhood) for e in steps) == len(curriculum.corpus.graph)
    assert curriculum.state.exhausted
    assert not curriculum.state.out_of_budget


def test_the_same_seed_repeats_the_run_and_starts_do_not_leak(make_tiny_curriculum: Make) -> None:
    curriculum = make_tiny_curriculum("self-prediction-gain")
    first = list(curriculum.run(First()))
    assert list(curriculum.run(First())) == first
    assert list(make_tiny_curriculum("self-prediction-gain").run(First())) == first


def test_rewards_measure_what_they_need_and_no_more(make_tiny_curriculum: Make) -> None:
    mean = list(make_tiny_curriculum("mean-prediction-gain").run(First()))[1]
    assert set(mean.probes) == {"mean"}
    own = list(make_tiny_curriculum("self-prediction-gain").run(First()))[1]
    assert set(own.probes) == {"self"}
    assert own.probes["self"].topics == own.neighbourhood
    assert own.reward == pytest.approx(own.probes["self"].gain)
    cost = list(make_tiny_curriculum("token-cost").run(First()))[1]
    assert (cost.probes, cost.probe_tokens) == ({}, 0)


def test_the_target_probe_is_inside_the_goal(make_tiny_curriculum: Make) -> None:
    curriculum = make_tiny_curriculum("target-prediction-gain", goal="Craft")
    step = list(curriculum.run(First()))[1]
    goal = set(curriculum.corpus.graph.in_category("Craft").tolist())
    assert set(step.probes["target"].topics) <= goal


def test_a_target_reward_without_goal_is_refused(make_tiny_curriculum: Make) -> None:
    with pytest.raises(KgrlError, match="set goal=CATEGORY"):
        make_tiny_curriculum("target-prediction-gain")


def test_before_of_a_step_is_after_of_the_one_before(make_tiny_curriculum: Make) -> None:
    steps = list(make_tiny_curriculum("mean-prediction-gain").run(First()))
    for earlier, later in itertools.pairwise(steps):
        assert later.probes["mean"].before == earlier.probes["mean"].after


def test_the_profile_holds_the_latest_probe_losses(make_tiny_curriculum: Make) -> None:
    curriculum = make_tiny_curriculum("mean-prediction-gain")
    last = list(curriculum.run(First()))[-1].probes["mean"]
    assert curriculum.state.profile.level[list(last.topics)] == pytest.approx(last.after)
    assert np.isnan(curriculum.state.profile.level).sum() == len(curriculum.corpus.graph) - len(last.topics)


def test_measuring_for_an_agent_is_booked_on_the_next_expansion(make_tiny_curriculum: Make) -> None:
    curriculum = make_tiny_curriculum("token-cost")
    curriculum.start()
    topic = int(curriculum.view.candidates[0])
    assert np.isfinite(curriculum.view.measure(np.array([topic], dtype=np.int32))).all()
    assert curriculum.expand(topic).probe_tokens > 0


def test_an_agent_that_strays_is_told(make_tiny_curriculum: Make) -> None:
    with pytest.raises(ValueError, match="is not on the frontier"):
        list(make_tiny_curriculum().run(First(strays=True)))
    assert len(list(make_tiny_curriculum(budget_tokens=500).run(First(frontier_only=False, strays=True)))) > 1


def test_learned_topics_cannot_be_expanded_again(make_tiny_curriculum: Make) -> None:
    curriculum = make_tiny_curriculum()
    curriculum.start()
    with pytest.raises(ValueError, match="is learned already"):
        curriculum.expand(int(curriculum.nucleus[0]))


def test_a_diverging_loss_names_the_expansion(make_tiny_curriculum: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    curriculum = make_tiny_curriculum("self-prediction-gain")
    curriculum.start()
    broken = np.full(len(curriculum.corpus.graph), np.nan, dtype=np.float32)
    monkeypatch.setattr(curriculum.learner, "losses", lambda passages: broken[passages.topics])
    topic = int(curriculum.view.candidates[0])
    with pytest.raises(DivergedError, match=rf"expansion 1 \({curriculum.corpus.graph.titles[topic]}\)"):
        curriculum.expand(topic)


@pytest.mark.parametrize(
    ("config", "error"),
    [
        ({"goal": "Crafts"}, UnknownNameError),
        ({"nucleus": "pagerang"}, UnknownNameError),
        ({"budget_tokens": 1}, ValueError),
    ],
)
def test_bad_settings_are_refused(
    make_tiny_curriculum: Make, config: dict[str, object], error: type[Exception]
) -> None:
    with pytest.raises(error):
        make_tiny_curriculum(**config)


def test_config_names_the_field_that_is_wrong() -> None:
    with pytest.raises(ValueError, match="nucleus_size must be at least 1, not 0"):
        CurriculumConfig(nucleus_size=0)


def test_profile_tracks_first_best_and_progress() -> None:
    profile = LossProfile(2)
    for loss in (4.0, 2.0, 3.0):
        profile.update([1], [loss])
    assert (profile.first[1], profile.best[1], profile.level[1]) == (4.0, 2.0, 3.0)
    assert profile.progress.tolist() == [0.0, -1.0]
    assert profile.forgetting.tolist() == [0.0, 1.0]
    assert profile.measured.tolist() == [False, True]


def test_what_a_reward_cannot_measure_is_no_candidate(
    tiny_corpus: Corpus, fake_embeddings: NDArray[np.float32], make_tiny_curriculum: Make
) -> None:
    """Short articles have no probe passage; a reward that reads those of picked topics cannot judge them."""
    made = make_tiny_curriculum("self-prediction-gain")
    topic = int(made.corpus.graph.neighbours(int(made.nucleus[0]))[0])
    splits = tiny_corpus.splits.copy()
    splits[(tiny_corpus.topics == topic) & (splits == Split.PROBE)] = Split.TRAIN
    corpus = Corpus("short", tiny_corpus.graph, tiny_corpus.texts, tiny_corpus.topics, splits)
    judged, unjudged = (
        Curriculum(
            corpus, type(made.learner)(corpus), made.state.research.retriever, fake_embeddings, reward, made.config
        )
        for reward in ("self-prediction-gain", "mean-prediction-gain")
    )
    assert not judged.state.trainable[topic] and unjudged.state.trainable[topic]
    assert all("self" in expansion.probes for expansion in judged.run(First()))


def test_everything_of_a_curriculum_is_shown_on_one_short_line(make_tiny_curriculum: Make) -> None:
    curriculum = make_tiny_curriculum(budget_tokens=1_000)
    steps = ExpansionList(curriculum.run(First()))
    learned, spent = f"{len(curriculum.state.frontier.solid)} topics solid", "1,000 of 1,000 tokens"
    assert repr(curriculum) == f"Curriculum('tiny', FakeLearner, reward mean-prediction-gain, {learned}, {spent})"
    assert repr(steps).startswith(f"ExpansionList({len(steps)} expansions from ")
    assert learned in repr(curriculum.state) and spent in repr(curriculum.state)
    assert learned in repr(curriculum.view) and spent in repr(curriculum.view)
    for thing in (curriculum, curriculum.state, curriculum.view, curriculum.state.profile, Exam(curriculum.corpus)):
        assert "\n" not in repr(thing) and len(repr(thing)) < 160


def test_looking_at_a_curriculum_changes_nothing(make_tiny_curriculum: Make) -> None:
    silent = list(make_tiny_curriculum().run(make_agent("random")))
    curriculum, seen = make_tiny_curriculum(), []
    for step in curriculum.run(make_agent("random")):
        assert all(map(repr, (curriculum, curriculum.view, curriculum.state, curriculum.state.frontier)))
        seen.append(step)
    assert seen == silent
