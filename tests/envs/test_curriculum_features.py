"""Features of a curriculum: worked values, bounds, the shortlist, and what they must not depend on."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from kgrl.agents import make_agent
from kgrl.curriculum import Curriculum
from kgrl.curriculum.knowledge import Knowledge
from kgrl.curriculum.mastery import Mastery
from kgrl.curriculum.state import LossProfile
from kgrl.curriculum.view import View
from kgrl.envs.features.curriculum_features import FeatureState, observe, shortlist
from kgrl.envs.features.names import CLIP, FEATURES, GLOBAL, GLOBAL_FEATURES, KNOWLEDGE_FEATURES, WALK_FEATURES
from kgrl.envs.features.space import Slots, observation_space, observe_walks
from kgrl.envs.features.walk_features import GoalTables, Walks
from kgrl.envs.features.walk_tables import WalkTables
from kgrl.expansion import Expansion, Measurement
from kgrl.graph import Frontier, TopicGraph
from kgrl.graph.relations import TopicRelations
from kgrl.traces import SEEN, ClickTable, Trace
from kgrl.traces.click_counts import ClickCounts
from kgrl.traces.trace import STACK
from tests.curriculum.test_knowledge import KNOWING

Make = Callable[..., Curriculum]


def make_view(
    graph: TopicGraph, learned: list[int], goal: list[int] | None = None, seed: int = 0, dimensions: int = 4
) -> View:
    """A view on a graph whose topics' embeddings are random unit vectors."""
    vectors = np.random.default_rng(9).normal(size=(len(graph), dimensions)).astype(np.float32)
    return View(
        graph=graph,
        frontier=Frontier(graph, learned),
        nucleus=np.array(learned[:1], dtype=np.int32),
        goal=None if goal is None else np.array(goal, dtype=np.int32),
        profile=LossProfile(len(graph)),
        embeddings=vectors / np.linalg.norm(vectors, axis=1, keepdims=True),
        trainable=np.ones(len(graph), dtype=bool),
        tokens=250,
        budget=1_000,
        index=1,
        rng=np.random.default_rng(seed),
        measure=lambda topics: np.zeros(len(topics), dtype=np.float32),
    )


@pytest.fixture
def graph() -> TopicGraph:
    """0 is linked with 1, 2 and 3; 1 with 2; 3 with 4."""
    return TopicGraph.from_links(list("abcde"), [0, 0, 0, 1, 3], [1, 2, 3, 2, 4])


def named(view: View, topic: int, state: FeatureState | None = None) -> dict[str, float]:
    slots = observe(view, 8, state)
    row = slots.observation["candidates"][slots.topics.tolist().index(topic)]
    return dict(zip(FEATURES, row.tolist(), strict=True))


def test_while_nothing_is_solid_the_walk_is_at_the_nucleus(graph: TopicGraph) -> None:
    """What was compared with it is forgotten once a topic is solid."""
    begun = make_view(graph, [0])
    view = replace(begun, frontier=Frontier(graph, roots=[0]))
    state = FeatureState(view)
    slots = observe(view, 8, state)
    shown = dict(zip(GLOBAL_FEATURES, slots.observation["global"].tolist(), strict=True))
    assert slots.topics[slots.topics >= 0].tolist() == [0]
    assert np.isfinite(slots.observation["candidates"]).all()
    assert shown["learned_share"] == shown["log_learned"] == 0.0
    assert named(view, 0, state)["nearest_learned_similarity"] == pytest.approx(1.0), "the page it is at"
    view.frontier.solidify(3)
    assert named(view, 4, state) == named(view, 4)
    assert named(view, 0, state) == named(view, 0)


def test_graph_features_by_hand(graph: TopicGraph) -> None:
    features = named(make_view(graph, [0, 1]), 2)
    assert features["log_degree"] == pytest.approx(math.log(3) / 5)
    assert features["log_learned_links"] == pytest.approx(math.log(3) / 5)
    assert features["closure"] == 1.0
    assert named(make_view(graph, [0, 1]), 3)["closure"] == 0.5
    assert named(make_view(graph, [0]), 1)["age"] == 1.0 and named(make_view(graph, [0]), 3)["age"] == pytest.approx(
        1 / 3
    )


def test_similarities_by_hand(graph: TopicGraph) -> None:
    view = make_view(graph, [0, 1], goal=[4])
    v = view.embeddings
    features = named(view, 2)
    mean = (v[0] + v[1]) / np.linalg.norm(v[0] + v[1])
    assert features["aim_similarity"] == pytest.approx(float(v[2] @ v[4]), abs=1e-5)
    assert features["goal_similarity"] == pytest.approx(float(v[2] @ v[4]), abs=1e-5)
    assert features["learned_similarity"] == pytest.approx(float(v[2] @ mean), abs=1e-5)
    assert features["recent_similarity"] == pytest.approx(float(v[2] @ mean), abs=1e-5)
    assert features["nearest_learned_similarity"] == pytest.approx(
        max(float(v[2] @ v[0]), float(v[2] @ v[1])), abs=1e-5
    )
    assert features["is_goal"] == 0.0
    assert named(make_view(graph, [0, 1], goal=[2]), 2)["is_goal"] == 1.0
    without = named(make_view(graph, [0]), 2)
    assert without["aim_similarity"] == pytest.approx(float(v[2] @ v[0]), abs=1e-5)
    assert without["goal_similarity"] == 0.0


def test_loss_features_by_hand(graph: TopicGraph) -> None:
    view = make_view(graph, [0])
    state = FeatureState(view)
    view.profile.update([0, 1], [3.0, 4.0])
    view.profile.update([1], [3.5])
    state.record(
        Expansion(1, 0, "a", (0,), (), 5, 250, 1_000, 9.0, {"mean": Measurement((0, 1), (3.0, 4.0), (3.0, 3.5))})
    )
    own = named(view, 1, state)
    assert (own["loss"], own["progress"], own["measured"]) == pytest.approx((3.5 - 3.25, 0.5, 1.0))
    beside = named(view, 2, state)
    assert (beside["loss"], beside["measured"]) == (0.0, 0.0)
    assert beside["neighbour_loss"] == pytest.approx((3.0 + 3.5) / 2 - 3.25)
    assert beside["neighbour_progress"] == pytest.approx(0.25)
    assert beside["neighbours_measured"] == 1.0
    far = named(view, 3, state)
    assert (far["neighbour_loss"], far["neighbours_measured"]) == pytest.approx((3.0 - 3.25, 0.5))


def test_global_features_by_hand(graph: TopicGraph) -> None:
    view = make_view(graph, [0], goal=[4])
    state = FeatureState(view)
    for before, after in ((4.0, 3.5), (3.5, 3.4)):
        probe = {"mean": Measurement((0,), (before,), (after,))}
        state.record(Expansion(1, 0, "a", (0,), (), 5, 250, 1_000, 9.0, probe))
    values = dict(zip(GLOBAL_FEATURES, observe(view, 8, state).observation["global"].tolist(), strict=True))
    assert values == pytest.approx(
        {
            "loss": 0.34,
            "loss_drop": 0.6,
            "loss_trend": 1.0,
            "budget_left": 0.75,
            "learned_share": 0.2,
            "log_learned": math.log(2) / 10,
            "log_frontier": math.log(4) / 10,
            "unknown_share": 0.0,
            "has_goal": 1.0,
        },
        abs=1e-5,
    )


def test_knowledge_features_by_hand(graph: TopicGraph) -> None:
    """Topic 1 was read and is not known, 2 faded, 3 was never read."""
    knowledge = Knowledge(len(graph))
    knowledge.exposures[:3], knowledge.last_read[:3] = [5, 2, 4], [50_000, 57_000, 60_000]
    knowledge.gap[:3], knowledge.gap_before[:3], knowledge.n_read = [2.0, 0.5, 0.8], [1.0, np.nan, 1.6], 3
    knowledge.recall[:] = 9.0  # which is not the measure here
    view = replace(
        make_view(graph, [0]),
        tokens=60_000,
        budget=100_000,
        knowledge=knowledge,
        mastery=Mastery.of("gap:1.6"),
        was_solid=np.array([True, False, True, False, False]),
    )
    read, faded, new = ({name: named(view, topic)[name] for name in KNOWLEDGE_FEATURES} for topic in (1, 2, 3))
    assert read == pytest.approx(
        {
            "log_exposures": math.log(3) / 3,
            "since_read": math.log(1 + 3) / 5,
            "known": 0.5 / 1.6,
            "known_trend": 0.0,
            "faded": 0.0,
        }
    )
    assert faded == pytest.approx(
        {"log_exposures": math.log(5) / 3, "since_read": 0.0, "known": 0.5, "known_trend": -0.5, "faded": 1.0}
    )
    assert not any(new.values())
    entries = dict(zip(GLOBAL_FEATURES, observe(view, 8).observation["global"].tolist(), strict=True))
    assert entries["unknown_share"] == pytest.approx(2 / 5)


def knowledge_columns(shown: Slots) -> NDArray[np.float32]:
    return shown.observation["candidates"][:, [FEATURES.index(name) for name in KNOWLEDGE_FEATURES]]


def test_where_topics_are_solid_once_they_were_read_knowledge_features_are_zero(make_tiny_curriculum: Make) -> None:
    """Retrieval reads passages of topics that stay candidates there: they must not show it either."""
    curriculum = make_tiny_curriculum(neighbourhood=5, expansion_tokens=2_000, budget_tokens=6_000)
    curriculum.start()
    state, read_candidates = FeatureState(curriculum.view), 0
    while not curriculum.state.out_of_budget and not curriculum.state.exhausted:
        shown = observe(curriculum.view, 64, state)
        read_candidates += int((curriculum.state.knowledge.exposures[curriculum.view.candidates] > 0).sum())
        assert not knowledge_columns(shown).any() and not shown.observation["global"][GLOBAL.unknown_share]
        curriculum.expand(int(curriculum.view.candidates[0]))
    assert read_candidates


def test_what_is_known_shows_and_follows_from_the_records(make_tiny_curriculum: Make) -> None:
    settings = {**KNOWING, "budget_tokens": 3_000}
    curriculum, other = make_tiny_curriculum(**settings), make_tiny_curriculum(**settings)
    agent = make_agent("random")
    records = list(curriculum.run(agent))
    other.resume(records, make_agent("random"))
    shown, again = (observe(one.view, 64, FeatureState(one.view)) for one in (curriculum, other))
    columns = knowledge_columns(shown)
    assert (columns != 0).any(axis=0).all(), "each feature is other than 0 somewhere"
    np.testing.assert_array_equal(columns, knowledge_columns(again))
    standing = curriculum.state.standing
    unknown = (standing.knowledge.exposures > 0) & ~curriculum.state.frontier.is_solid
    share = shown.observation["global"][GLOBAL.unknown_share]
    assert share == again.observation["global"][GLOBAL.unknown_share] == pytest.approx(unknown.mean())
    filled = shown.topics >= 0
    faded = columns[filled, KNOWLEDGE_FEATURES.index("faded")]
    assert faded.tolist() == standing.was_solid[shown.topics[filled]].tolist()


def test_training_loss_stands_in_where_nothing_is_probed(graph: TopicGraph) -> None:
    view = make_view(graph, [0])
    state = FeatureState(view)
    for loss in (4.0, 3.0):
        state.record(Expansion(1, 0, "a", (0,), (), 5, 250, 1_000, loss))
    assert (state.first_loss, state.previous_loss, state.latest_loss) == (4.0, 4.0, 3.0)


def test_empty_slots_are_zero_and_masked(graph: TopicGraph) -> None:
    observation, topics = observe(make_view(graph, [0]), 8)
    assert observation["mask"].tolist() == [1] * 3 + [0] * 5
    assert sorted(topics[:3]) == [1, 2, 3] and (topics[3:] == -1).all()
    assert not observation["candidates"][3:].any()


def test_an_empty_frontier_is_an_empty_observation(graph: TopicGraph) -> None:
    observation, topics = observe(make_view(graph, [0, 1, 2, 3, 4]), 4)
    assert not observation["mask"].any() and (topics == -1).all()
    assert observation in observation_space(4)


@given(st.integers(0, 10_000), st.integers(1, 12), st.floats(-1e6, 1e6))
def test_observations_lie_in_their_space_whatever_the_losses(seed: int, slots: int, loss: float) -> None:
    rng = np.random.default_rng(seed)
    graph = TopicGraph.from_links([str(i) for i in range(20)], rng.integers(0, 20, 40), rng.integers(0, 20, 40))
    view = make_view(graph, rng.choice(20, 3, replace=False).tolist(), seed=seed)
    view.profile.update([0, 1, 2], [loss, -loss, 0.0])
    observation, topics = observe(view, slots)
    assert observation in observation_space(slots)
    filled = topics[topics >= 0]
    assert len(set(filled.tolist())) == len(filled) == min(slots, len(view.candidates))
    assert set(filled.tolist()) <= set(view.candidates.tolist())


def test_same_generator_state_same_slots(graph: TopicGraph) -> None:
    assert (
        observe(make_view(graph, [0], seed=4), 2).topics.tolist()
        == observe(make_view(graph, [0], seed=4), 2).topics.tolist()
    )


def test_slot_order_is_shuffled(graph: TopicGraph) -> None:
    orders = {tuple(observe(make_view(graph, [0], seed=seed), 3).topics.tolist()) for seed in range(60)}
    assert len(orders) == math.factorial(3)


def test_shortlist_holds_the_closest_linked_and_the_nearest_and_reaches_everyone() -> None:
    # Topics 1 to 40 hang on 0; topics 1 to 4 have no other link, the others one more each to an outside topic.
    outer = list(range(5, 41))
    graph = TopicGraph.from_links(
        [str(i) for i in range(77)], [0] * 40 + outer, list(range(1, 41)) + list(range(41, 77))
    )
    seen: set[int] = set()
    for seed in range(300):
        view = make_view(graph, [0], goal=[20], seed=seed)
        state = FeatureState(view)
        chosen = set(view.candidates[shortlist(view, 8, state, view.candidates)].tolist())
        assert len(chosen) == 8
        assert {1, 2, 3, 4} <= chosen  # half: the largest share of links to the learned set
        assert 20 in chosen  # a quarter: the goal itself is most similar to the goal
        seen |= chosen
    assert seen == set(range(1, 41))


def test_running_sums_equal_a_fresh_start(make_tiny_curriculum: Make) -> None:
    curriculum = make_tiny_curriculum()
    curriculum.start()
    kept = FeatureState(curriculum.view)
    for _ in range(4):
        observe(curriculum.view, 64, kept)
        curriculum.expand(int(curriculum.view.candidates[0]))
    columns = [FEATURES.index(f"{name}_similarity") for name in ("learned", "recent", "nearest_learned")]
    similarities = []
    for state in (kept, FeatureState(curriculum.view)):
        shown = observe(curriculum.view, 64, state)
        order = np.argsort(shown.topics[shown.topics >= 0])
        similarities.append(shown.observation["candidates"][order][:, columns])
    assert np.allclose(*similarities, atol=1e-5)


def test_candidates_are_compared_with_all_that_is_learned(make_tiny_curriculum: Make) -> None:
    curriculum = make_tiny_curriculum(nucleus_size=2)
    curriculum.start()
    state, vectors = FeatureState(curriculum.view), curriculum.state.embeddings
    for _ in range(8):  # of few slots, so that candidates come and go
        shown = observe(curriculum.view, 3, state)
        filled = shown.topics[shown.topics >= 0]
        cosines = vectors[filled] @ vectors[curriculum.state.frontier.solid].T
        mean = vectors[curriculum.state.frontier.solid].sum(axis=0)
        columns = shown.observation["candidates"][: len(filled)].T
        np.testing.assert_allclose(
            columns[FEATURES.index("nearest_learned_similarity")], cosines.max(axis=1), atol=1e-6
        )
        np.testing.assert_allclose(
            columns[FEATURES.index("learned_similarity")], cosines.sum(axis=1) / np.linalg.norm(mean), atol=1e-6
        )
        if len(filled) == 0:
            break
        curriculum.expand(int(filled[0]))
    assert len(curriculum.state.frontier.solid) > STACK


def test_a_curriculum_is_described_as_readers_walks_are(make_tiny_curriculum: Make) -> None:
    curriculum = make_tiny_curriculum(goal="Nature")
    graph, vectors, rng = curriculum.corpus.graph, curriculum.state.embeddings, np.random.default_rng(3)
    walked = [walk_of(graph, rng) for _ in range(200)]
    counts = ClickCounts.of(graph, ClickTable.from_traces([Trace(walk) for walk in walked], graph.titles))
    tables = WalkTables(TopicRelations(graph, vectors), (counts,))
    assert len(counts.contexts)
    curriculum.start()
    state, joined = FeatureState(curriculum.view), 0
    state.tables = tables.by_counts[0]
    for _ in range(12):
        shown = observe(curriculum.view, 6, state)
        walk = Walks.forward(curriculum.state.frontier.solid[-SEEN:], aimed=True)
        walk = walk._replace(start=curriculum.state.frontier.solid[:1])
        pages = np.full(shown.topics.shape, walk.stack[0, -1])
        links = np.where(shown.topics >= 0, graph.positions(pages, shown.topics), -1)
        goals = GoalTables.of(tables, [curriculum.goal])
        expected = observe_walks(tables, walk, shown.topics[None], links[None], goals)
        for name, columns in (("candidates", len(WALK_FEATURES)), ("topics", None), ("path", None), ("goal", None)):
            found = shown.observation[name][..., :columns]
            np.testing.assert_allclose(found, expected[name][0][..., :columns], atol=1e-6, err_msg=name)
        joined += int((links >= 0).sum())
        curriculum.expand(int(shown.topics[0]))
    assert joined


def walk_of(graph: TopicGraph, rng: np.random.Generator) -> tuple[int, ...]:
    """A random walk along links."""
    pages = [int(rng.integers(len(graph)))]
    while len(pages) < 8 and len(graph.out(pages[-1])):
        pages.append(int(rng.choice(graph.out(pages[-1]))))
    return tuple(pages)


def test_a_curriculum_is_seen_as_the_walk_of_a_reader_who_never_went_back() -> None:
    graph = TopicGraph.from_links([str(i) for i in range(20)], range(19), range(1, 20))
    view = make_view(graph, list(range(18)))
    features = named(view, 18)
    assert features["linked"] == 1.0 and features["joined_previous"] == 0.0
    assert features["log_pages_left"] == features["left"] == 0.0
    v = view.embeddings
    assert features["similarity"] == pytest.approx(float(v[18] @ v[17]), abs=1e-5)
    assert features["previous_similarity"] == pytest.approx(float(v[18] @ v[16]), abs=1e-5)
    assert features["start_similarity"] == pytest.approx(float(v[18] @ v[0]), abs=1e-5)
    path = observe(view, 8).observation["path"]
    assert path.any(axis=1).all() and np.array_equal(path[-1, :64], path[-2, :64])


def test_a_candidate_that_the_latest_topic_does_not_link_to_has_no_link_features(graph: TopicGraph) -> None:
    features = named(make_view(graph, [0, 1]), 3)
    assert features["linked"] == features["similarity"] == features["log_page_links"] == 0.0
    assert features["previous_similarity"] != 0.0


def test_names_of_features_are_unique() -> None:
    assert len(set(FEATURES)) == len(FEATURES) and len(set(GLOBAL_FEATURES)) == len(GLOBAL_FEATURES)
    assert (
        FEATURES[: len(WALK_FEATURES)] == WALK_FEATURES and FEATURES[-len(KNOWLEDGE_FEATURES) :] == KNOWLEDGE_FEATURES
    )


def test_bounds_are_those_documented() -> None:
    space = observation_space(3)
    assert space["candidates"].shape == (3, len(FEATURES)) and space["global"].shape == (len(GLOBAL_FEATURES),)
    assert float(space["candidates"].high.max()) == CLIP  # type: ignore[attr-defined]
