"""Environments of curricula that have to know: what they tell, show and refuse."""

from __future__ import annotations

import logging
from collections.abc import Callable

import numpy as np
import pytest

from kgrl.curriculum import Curriculum, CurriculumConfig
from kgrl.envs import CurriculumEnv
from kgrl.envs.graph_observation import NODE_FEATURES, GraphObservation
from kgrl.envs.rendering import CurriculumPainter
from kgrl.envs.vector.checks import check_batched
from kgrl.errors import KgrlError, SettingError
from kgrl.rewards.expression import as_reward
from tests.curriculum.test_knowledge import KNOWING

Make = Callable[..., Curriculum]


def step(env: CurriculumEnv) -> dict[str, np.int64]:
    *_, info = env.step(int(env.action_masks().argmax()))
    return info


def test_info_has_the_numbers_of_topics_that_are_read_and_solid(make_tiny_curriculum: Make) -> None:
    env = CurriculumEnv(make_tiny_curriculum(**KNOWING), slots=6)
    _, info = env.reset(seed=0)
    for _ in range(5):
        state = env.curriculum.state
        assert info["read"] == (state.knowledge.exposures > 0).sum() and info["read"].dtype == np.int64
        assert info["solid"] == len(state.frontier.solid) and info["solid"].dtype == np.int64
        info = step(env)
    assert 0 < info["solid"] < info["read"]


def test_text_tells_what_is_read_and_solid(make_tiny_curriculum: Make) -> None:
    env = CurriculumEnv(make_tiny_curriculum(**KNOWING), slots=6, render_mode="ansi")
    env.reset(seed=0)
    info = step(env)
    text = env.render()
    assert isinstance(text, str)
    assert f"{info['read']} read · {info['solid']} solid · " in text and "learned" not in text


def test_a_drawing_tells_read_topics_of_the_frontier_from_new_ones(
    make_tiny_curriculum: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[tuple[str | None, list[int]]] = []
    dots = CurriculumPainter._dots

    def noting(self: CurriculumPainter, axes: object, topics: np.ndarray, **style: object) -> None:
        colour = style.get("edgecolors") if style.get("facecolors") == "none" else style.get("c")
        drawn.append((None if colour is None else str(colour), topics.tolist()))
        dots(self, axes, topics, **style)  # type: ignore[arg-type]

    monkeypatch.setattr(CurriculumPainter, "_dots", noting)
    # A gap that nothing has: what was picked stays on the frontier.
    env = CurriculumEnv(
        make_tiny_curriculum(budget_tokens=1_500, mastery="gap:99", most_readings=0, nucleus_share=0.0),
        slots=6,
        render_mode="rgb_array",
    )
    env.reset(seed=0)
    step(env)
    env.render()
    read = {topic for colour, topics in drawn if colour == "#f8d2b0" for topic in topics}
    frontier, known = env.curriculum.state.frontier, env.curriculum.state.knowledge
    assert read == {topic for topic in frontier.topics.tolist() if known.exposures[topic]} != set()
    assert ("#d01884", [env.expansion.topic]) in drawn, "the pick is marked, though it is not solid"


def test_a_graph_has_columns_for_what_is_read_and_how_well_it_is_known(make_tiny_curriculum: Make) -> None:
    env = GraphObservation(CurriculumEnv(make_tiny_curriculum(**KNOWING), slots=6))
    env.reset(seed=0)
    for _ in range(4):
        graph, *_, info = env.step(np.int64(0))
    topics = info["node_topics"][: len(graph.nodes)]
    known = env.curriculum.state.knowledge
    read, gap = (graph.nodes[:, NODE_FEATURES.index(name)] for name in ("read", "gap"))
    assert read.tolist() == (known.exposures[topics] > 0).tolist()
    np.testing.assert_allclose(gap, np.nan_to_num(known.gap[topics]), rtol=1e-6)
    assert gap.any() and not gap[read == 0].any()


def test_a_level_that_does_not_fit_is_said_at_the_first_reset(
    make_tiny_curriculum: Make, caplog: pytest.LogCaptureFixture
) -> None:
    env = CurriculumEnv(make_tiny_curriculum(**{**KNOWING, "mastery": "gap:99"}), slots=6)
    env.reset(seed=0)
    env.reset(seed=1)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING and "none of the" in record.getMessage()


def test_a_nucleus_that_is_read_up_and_not_known_says_so(make_tiny_curriculum: Make) -> None:
    """A smaller nucleus, or more tokens, would be the wrong advice."""
    env = CurriculumEnv(make_tiny_curriculum(mastery="gap:99", nucleus_share=1.0), slots=6)
    with pytest.raises(
        KgrlError, match=r"left no topic to learn; none of the \d+ topics read.*gap:99.*lower the level"
    ):
        env.reset(seed=0)


@pytest.mark.parametrize(
    ("setting", "named"),
    [({"mastery": "gap:2"}, "not mastery='gap:2' and most_readings=1"), ({"most_readings": 0}, "and most_readings=0")],
)
def test_vectors_name_the_setting_that_they_do_not_take(setting: dict[str, object], named: str) -> None:
    config = CurriculumConfig(**setting)  # type: ignore[arg-type]
    with pytest.raises(SettingError, match=f"mastery='read' and most_readings=1, .*{named}; .*sync"):
        check_batched("simulated", as_reward("mean-prediction-gain"), config)
