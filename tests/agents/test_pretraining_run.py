"""A pretraining that is interrupted ends as an undisturbed one, and its policy is used like any other."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from kgrl.agents import make_agent
from kgrl.agents.policy.network import CandidateScorer, load_policy
from kgrl.agents.pretraining.batches import PolicyPredictor
from kgrl.agents.pretraining.cloning import ClickData, Pretrainer, PretrainingConfig
from kgrl.agents.pretraining.run import PretrainingRun
from kgrl.agents.pretraining.scoring import ClickScoring
from kgrl.builtin import CLICKS_FILE
from kgrl.data import TracedClicks
from kgrl.envs.features.names import FEATURE_VERSION
from kgrl.errors import KgrlError, MissingDataError
from kgrl.graph import TopicGraph
from kgrl.traces import ClickTable, Outcome, Trace, buckets
from kgrl.traces.source import Tally

CONFIG = PretrainingConfig(epochs=2, hidden=8, recurrent=8, heads=2, learning_rate=1e-2)


class Walked:
    """Readers who follow the link to the next topic of a ring more often than the others."""

    def __init__(self, n: int = 12, traces: int = 120) -> None:
        rng = np.random.default_rng(0)
        ends = [(a, (a + step) % n) for a in range(n) for step in (1, 2, 5)]
        self.graph = TopicGraph.from_links([f"topic {i}" for i in range(n)], *zip(*ends, strict=True))
        self.tally = Tally("ring")
        self.traces = [self._walk(rng, n) for _ in range(traces)]

    def _walk(self, rng: np.random.Generator, n: int) -> Trace:
        steps = [int(rng.integers(n))]
        for _ in range(5):
            steps.append((steps[-1] + int(rng.choice([1, 2, 5], p=[0.8, 0.1, 0.1]))) % n)
        target = steps[-1] if rng.random() < 0.5 else int(rng.integers(n))
        return Trace(tuple(steps), target, Outcome.FINISHED if target == steps[-1] else Outcome.UNFINISHED, "ring")

    def __iter__(self):  # type: ignore[no-untyped-def]
        return iter(self.traces)


@pytest.fixture(scope="module")
def read() -> TracedClicks:
    source = Walked()
    vectors = np.random.default_rng(1).normal(size=(len(source.graph), 5)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    clicks = ClickTable.from_traces(source, source.graph.titles)
    return TracedClicks(source, source.graph, vectors, clicks, buckets(source.graph.titles) == 0)


@pytest.fixture(scope="module")
def data(read: TracedClicks) -> ClickData:
    return ClickData(read.graph, read.embeddings, read.clicks)


class StoppedError(Exception):
    pass


def test_an_interrupted_pretraining_ends_as_an_undisturbed_one(data: ClickData, tmp_path: Path) -> None:
    def stop_at(member: int, epoch: int) -> None:
        def check(at_member: int, at_epoch: int, share: int, loss: float) -> None:
            if (at_member, at_epoch) == (member, epoch):
                raise StoppedError

        with pytest.raises(StoppedError):
            PretrainingRun(tmp_path / "stopped", data, CONFIG, 2, 7).carry_out(check)

    whole = PretrainingRun(tmp_path / "whole", data, CONFIG, 2, 7).carry_out()
    stop_at(0, 2)
    stop_at(1, 1)
    stop_at(1, 2)
    resumed = PretrainingRun(tmp_path / "stopped", data, CONFIG, 2, 7).carry_out()
    assert len(whole.members) == 2
    for name, weights in whole.state_dict().items():
        assert torch.equal(weights, resumed.state_dict()[name]), name
    assert {path.name for path in (tmp_path / "whole").iterdir()} == {
        "policy.safetensors",
        "policy.json",
        CLICKS_FILE,
        "events",
    }
    assert list((tmp_path / "whole" / "events").iterdir())


def test_other_settings_and_finished_folders_are_refused(data: ClickData, tmp_path: Path) -> None:
    def stop(member: int, epoch: int, share: int, loss: float) -> None:
        if epoch == 2:
            raise StoppedError

    with pytest.raises(StoppedError):
        PretrainingRun(tmp_path, data, CONFIG, 1, 0).carry_out(stop)
    with pytest.raises(KgrlError, match="other settings"):
        PretrainingRun(tmp_path, data, CONFIG, 1, 1)
    with pytest.raises(KgrlError, match="other settings"):
        PretrainingRun(tmp_path, data, CONFIG, 1, 0, "minilm")
    PretrainingRun(tmp_path, data, CONFIG, 1, 0).carry_out()
    with pytest.raises(KgrlError, match="holds a policy already"):
        PretrainingRun(tmp_path, data, CONFIG, 1, 0)


def test_a_committee_averages_the_log_probabilities_of_its_members(data: ClickData, read: TracedClicks) -> None:
    members = [Pretrainer(data, CONFIG, seed).scorer for seed in (0, 1)]
    alone = [PolicyPredictor(one, data.tables).log_probabilities(read.clicks) for one in members]
    joined = PolicyPredictor(CandidateScorer.of(members), data.tables).log_probabilities(read.clicks)
    mean = np.mean(alone, axis=0)
    # Up to a constant for each click, which makes probabilities sum to one.
    shift = joined - mean
    starts = np.arange(0, len(mean), 3)  # every topic has three links
    assert np.allclose(shift, np.repeat(shift[starts], 3), atol=1e-5)
    assert np.allclose(np.add.reduceat(np.exp(joined), starts), 1, atol=1e-5)
    assert [len(one.members) for one in CandidateScorer.of(members).apart()] == [1, 1]


def test_scores_have_every_kind_of_click_beside_every_baseline(
    data: ClickData, read: TracedClicks, tmp_path: Path
) -> None:
    PretrainingRun(tmp_path, data, CONFIG, 1, 0).carry_out()
    scoring, seen = ClickScoring(read, tmp_path, "all"), []
    scores = scoring.scores(seen.append)
    assert sum(seen) == scoring.work
    assert scores["inductive"] is None  # there are no weights that were trained without hidden articles
    for name in ("uniform", "indegree", "markov1", "markov2", "similarity"):
        assert set(scores[name]) == {"finished", "unfinished", "inductive"}
        assert set(scores[name]["finished"]) == {"top1", "mrr", "nll", "clicks"}
    clicks = read.clicks
    assert scores["finished"]["clicks"] == int((clicks.finished & ~clicks.final).sum())
    assert scores["goal"]["finished_with_final"]["clicks"] == int(clicks.finished.sum())
    assert scores["markov1"]["finished"]["mrr"] > scores["uniform"]["finished"]["mrr"] + 0.1


def test_a_pretraining_without_hidden_articles_scores_them_itself(read: TracedClicks, tmp_path: Path) -> None:
    hidden = ClickData(read.graph, read.embeddings, read.clicks, read.hidden)
    assert read.hidden.any()
    PretrainingRun(tmp_path, hidden, CONFIG, 1, 0).carry_out()
    scores = ClickScoring(read, tmp_path, "all").scores()
    touched = read.hidden[read.clicks.page] | read.hidden[read.clicks.chosen]
    assert scores["inductive"]["clicks"] == int((touched & ~read.clicks.final).sum())


def test_a_split_without_clicks_is_an_error(data: ClickData, read: TracedClicks, tmp_path: Path) -> None:
    PretrainingRun(tmp_path, data, CONFIG, 1, 0).carry_out()
    train = TracedClicks(
        read.source, read.graph, read.embeddings, read.clicks.take(read.clicks.bucket < 8), read.hidden
    )
    with pytest.raises(KgrlError, match="no click to score in the split 'test'"):
        ClickScoring(train, tmp_path, "test")


def test_a_pretrained_folder_is_an_agent_and_says_how_it_was_trained(data: ClickData, tmp_path: Path) -> None:
    PretrainingRun(tmp_path, data, CONFIG, 2, 5).carry_out()
    about = json.loads((tmp_path / "policy.json").read_text())
    assert (about["training"]["seed"], about["training"]["members"]) == (5, 2)
    assert make_agent(str(tmp_path)).clicks == tmp_path  # type: ignore[attr-defined]


def test_a_policy_of_another_feature_version_is_refused_and_named(data: ClickData, tmp_path: Path) -> None:
    PretrainingRun(tmp_path, data, CONFIG, 1, 0).carry_out()
    about = json.loads((tmp_path / "policy.json").read_text())
    (tmp_path / "policy.json").write_text(json.dumps({**about, "feature_version": 1}))
    with pytest.raises(KgrlError, match=f"has feature version 1, this version of kgrl {FEATURE_VERSION}"):
        load_policy(tmp_path)
    with pytest.raises(MissingDataError, match="no trained policy"):
        load_policy(tmp_path / "elsewhere")
