"""Schedules of the learning rate: over tokens, not updates, and kept by everything that keeps a learner."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kgrl.benchmark.tasks import make_float32_learner
from kgrl.corpus import Corpus, Split
from kgrl.errors import KgrlError, SettingError, UnknownNameError
from kgrl.learners import ScratchLearner, make_learner
from kgrl.learners.decoder.schedule import RateSchedule, ScheduleName
from kgrl.learners.plugins import Plugin
from kgrl.system.files import write_json
from kgrl.system.schemas import read_json
from kgrl.testing import LearnerContract

SMALL: dict[str, Any] = {"width": 32, "heads": 2, "vocabulary": 400}
decaying = st.sampled_from(["wsd", "cosine"])


class Rates(Plugin):
    """Notes the learning rate of each update."""

    name = "rates"

    def __init__(self) -> None:
        self.noted: list[float] = []

    def updated(self) -> None:
        self.noted.append(self.learner.current_rate)


@pytest.fixture
def corpus(tiny_corpus: Corpus) -> Corpus:
    return tiny_corpus


class TestDecaying(LearnerContract):
    """A cosine's rate is another one at every update: a snapshot that lost its place would learn otherwise."""

    @pytest.fixture
    def learner(self, corpus: Corpus) -> ScratchLearner:
        return ScratchLearner(corpus, schedule="cosine", schedule_tokens=60_000, **SMALL)


@given(decaying, st.integers(1, 10**9), st.lists(st.floats(0, 1.5), min_size=2, max_size=20))
def test_the_rate_never_rises_and_ends_at_zero(name: ScheduleName, tokens: int, times: list[float]) -> None:
    schedule = RateSchedule(name, tokens)
    shares = [schedule.share(tokens * at) for at in sorted(times)]
    assert shares == sorted(shares, reverse=True) and min(shares) >= 0
    assert schedule.share(0) == 1 and schedule.share(tokens) == pytest.approx(0, abs=1e-12)


@given(st.integers(1, 10**9), st.floats(0, 1))
def test_wsd_falls_over_the_last_fifth_alone(tokens: int, at: float) -> None:
    expected = 1.0 if at <= 0.8 else 5 * (1 - at)
    assert RateSchedule("wsd", tokens).share(tokens * at) == pytest.approx(expected, abs=1e-6)


@given(decaying, st.lists(st.integers(1, 300), min_size=1, max_size=60))
def test_sizes_of_blocks_do_not_matter(name: ScheduleName, blocks: list[int]) -> None:
    """The rate of an update is that of its middle, so the sum over tokens is the schedule's integral."""
    tokens = sum(blocks)
    schedule, middles = RateSchedule(name, tokens), np.cumsum(blocks) - np.array(blocks) / 2
    total = sum(n * schedule.share(at) for n, at in zip(blocks, middles, strict=True))
    # The error of the midpoint rule: f'' n^3 / 24 for each block, and at the bend of wsd at most f' n^2 / 8.
    largest = max(blocks)
    error = np.pi**2 / 48 * largest**2 / tokens if name == "cosine" else 5 / 8 * largest**2 / tokens
    assert total == pytest.approx({"wsd": 0.9, "cosine": 0.5}[name] * tokens, abs=error + 1e-6)


def rates_of(corpus: Corpus, block_tokens: int, **options: Any) -> tuple[list[float], ScratchLearner]:
    plugin = Rates()
    learner = ScratchLearner(
        corpus, block_tokens=block_tokens, plugins=[plugin], learning_rate=1e-3, **SMALL, **options
    )
    for lesson in range(4):
        assert learner.learn(corpus.of(lesson, Split.TRAIN), 250).tokens == 250
    return plugin.noted, learner


def test_a_learner_goes_by_the_tokens_of_all_its_lessons(corpus: Corpus) -> None:
    rates, learner = rates_of(corpus, 50, schedule="wsd", schedule_tokens=1_000, warmup_steps=1)
    assert len(rates) == 8 and rates[:6] == [1e-3] * 6  # in the last fifth lie the last lesson's two
    assert 1e-3 > rates[6] > rates[7] > 0
    learner.learn(corpus.of(5, Split.TRAIN), 100)
    assert learner.current_rate == 0  # the budget is spent
    learner.reset_optimizer()  # plug-ins do so; the schedule keeps its place
    learner.learn(corpus.of(5, Split.TRAIN), 100)
    assert learner.current_rate == 0


def test_a_constant_schedule_is_no_schedule_bit_for_bit(corpus: Corpus) -> None:
    rates, learner = rates_of(corpus, 64)
    told, same = rates_of(corpus, 64, schedule="constant", schedule_tokens=500)
    assert rates == told and rates[-1] == 1e-3
    assert np.array_equal(learner.trained_weights(), same.trained_weights())


def test_a_decay_without_an_end_says_what_to_do(corpus: Corpus) -> None:
    with pytest.raises(SettingError, match=r"'wsd' decays to the end.*schedule_tokens"):
        make_learner("scratch", corpus, schedule="wsd", **SMALL)
    with pytest.raises(SettingError, match="at least 1, not 0"):
        make_learner("scratch", corpus, schedule="wsd", schedule_tokens=0, **SMALL)
    with pytest.raises(UnknownNameError, match=r"schedule 'cosin'; did you mean 'cosine'"):
        make_learner("scratch", corpus, schedule="cosin", schedule_tokens=9, **SMALL)


@pytest.mark.parametrize("make", [make_learner, make_float32_learner])
def test_a_name_with_a_schedule_is_told_the_budget(make: Any, corpus: Corpus) -> None:
    with pytest.raises(SettingError, match=r"'wsd' decays to the end.*schedule_tokens"):
        make("scratch:schedule=wsd,width=16,heads=2", corpus)
    made = make("scratch:schedule=wsd,width=16,heads=2", corpus, budget_tokens=9)
    assert "schedule='wsd', schedule_tokens=9" in repr(made)


def test_a_state_of_another_schedule_is_refused(corpus: Corpus, tmp_path: Path) -> None:
    ScratchLearner(corpus, schedule="wsd", schedule_tokens=1_000, **SMALL).save(tmp_path)
    ScratchLearner(corpus, schedule="wsd", schedule_tokens=1_000, **SMALL).load(tmp_path)
    for other in ({}, {"schedule": "cosine", "schedule_tokens": 1_000}, {"schedule": "wsd", "schedule_tokens": 2_000}):
        with pytest.raises(KgrlError, match=r"'schedule_tokens': 1000.*does not fit this learner: its training is"):
            ScratchLearner(corpus, **other, **SMALL).load(tmp_path)


def test_a_state_from_before_schedules_is_a_constant_ones(corpus: Corpus, tmp_path: Path) -> None:
    learner = ScratchLearner(corpus, **SMALL)
    learner.learn(corpus.of(0, Split.TRAIN), 200)
    learner.save(tmp_path)
    state = read_json(tmp_path / "learner.json", dict[str, Any])
    write_json(tmp_path / "learner.json", {k: v for k, v in state.items() if k not in ("tokens", "training")})
    other = ScratchLearner(corpus, seed=1, **SMALL)
    other.load(tmp_path)
    assert np.array_equal(other.trained_weights(), learner.trained_weights())
    with pytest.raises(KgrlError, match="does not fit"):
        ScratchLearner(corpus, schedule="wsd", schedule_tokens=1_000, **SMALL).load(tmp_path)


@pytest.mark.parametrize("option", ["schedule=wsd", "linked_windows=true", "learning_rate=0.1"])
def test_a_simulated_learner_has_no_rate(option: str, corpus: Corpus) -> None:
    with pytest.raises(SettingError, match=f"simulated has no options; leave '{option.partition('=')[0]}' out"):
        make_learner(f"simulated:{option}", corpus)
