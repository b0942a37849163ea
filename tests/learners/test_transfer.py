"""The transfer matrix: what its entries are, that it can be interrupted, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kgrl.corpus import Corpus, Passages, Split
from kgrl.errors import KgrlError, SettingError
from kgrl.learners import ScratchLearner
from kgrl.learners.base import Learned
from kgrl.learners.simulated.courses import Transfer
from kgrl.probes import Prober
from kgrl.probes.forks import estimate_transfer

SIZE, TOKENS = 6, 150


class Interrupted(ScratchLearner):
    """A learner whose user presses Ctrl-C in the middle of its nth lesson; it counts the lessons before that."""

    def __init__(self, corpus: Corpus, stop_at: int) -> None:
        super().__init__(corpus, seed=4, width=32, heads=2, vocabulary=400)
        self.lessons, self.stop_at = 0, stop_at

    def learn(self, passages: Passages, token_budget: int) -> Learned:
        learned = super().learn(passages, token_budget)
        if self.lessons == self.stop_at:
            raise KeyboardInterrupt
        self.lessons += 1
        return learned


def learner_of(corpus: Corpus, seed: int = 4) -> ScratchLearner:
    return ScratchLearner(corpus, seed=seed, width=32, heads=2, vocabulary=400)


def estimate(corpus: Corpus, learner: ScratchLearner, folder: Path, tokens: int = TOKENS) -> Transfer:
    return estimate_transfer(corpus, learner, folder, size=SIZE, tokens=tokens, seed=1)


def test_an_entry_is_the_drop_of_one_topic_after_learning_another(tiny_corpus: Corpus, tmp_path: Path) -> None:
    learner = learner_of(tiny_corpus)
    transfer = estimate(tiny_corpus, learner, tmp_path)
    assert transfer.drops.shape == (SIZE, SIZE) and transfer.drops.dtype == np.float32
    assert len(set(transfer.topics.tolist())) == SIZE
    for row in (0, SIZE - 1):
        fresh = learner_of(tiny_corpus)
        prober = Prober(tiny_corpus, fresh, {})
        assert np.array_equal(transfer.before, prober.losses(transfer.topics))
        fresh.learn(tiny_corpus.of(int(transfer.topics[row]), Split.TRAIN), TOKENS)
        assert np.array_equal(transfer.drops[row], transfer.before - prober.losses(transfer.topics))


def test_the_learner_is_left_as_it_was(tiny_corpus: Corpus, tmp_path: Path) -> None:
    learner, probes = learner_of(tiny_corpus), tiny_corpus.of(0, Split.PROBE)
    losses = learner.losses(probes)
    estimate(tiny_corpus, learner, tmp_path)
    assert np.array_equal(learner.losses(probes), losses)


def test_interrupted_and_gone_on_equals_undisturbed(tiny_corpus: Corpus, tmp_path: Path) -> None:
    undisturbed = estimate(tiny_corpus, learner_of(tiny_corpus), tmp_path / "one")
    stopped = Interrupted(tiny_corpus, stop_at=0)
    probes = tiny_corpus.of(0, Split.PROBE)
    losses = stopped.losses(probes)
    for already, stop_at in [(0, 0), (0, 2), (2, 1)]:  # also before the first row is there
        stopped = Interrupted(tiny_corpus, stop_at)
        with pytest.raises(KeyboardInterrupt):
            estimate(tiny_corpus, stopped, tmp_path / "two")
        assert np.array_equal(stopped.losses(probes), losses)
        rows = ~np.isnan(Transfer.read(tmp_path / "two").drops).any(axis=1)
        assert rows.sum() == already + stop_at
    last = Interrupted(tiny_corpus, stop_at=SIZE)
    gone_on = estimate(tiny_corpus, last, tmp_path / "two")
    assert last.lessons == SIZE - 3
    assert np.array_equal(gone_on.drops, undisturbed.drops)
    assert not list((tmp_path / "two").glob(".*"))


def test_what_is_done_is_read_and_not_learned_again(tiny_corpus: Corpus, tmp_path: Path) -> None:
    transfer = estimate(tiny_corpus, learner_of(tiny_corpus), tmp_path)
    again = estimate(tiny_corpus, Interrupted(tiny_corpus, stop_at=0), tmp_path)
    for read in (again, Transfer.read(tmp_path)):
        assert np.array_equal(read.topics, transfer.topics)
        assert np.array_equal(read.before, transfer.before)
        assert np.array_equal(read.drops, transfer.drops)


def test_exam_passages_are_never_read(tiny_corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    learner, seen = learner_of(tiny_corpus), set[int]()
    sequences = learner._sequences
    monkeypatch.setattr(
        learner, "_sequences", lambda passages: seen.update(passages.ids.tolist()) or sequences(passages)
    )
    estimate(tiny_corpus, learner, tmp_path)
    assert set(tiny_corpus.splits[list(seen)].tolist()) == {Split.TRAIN, Split.PROBE}


def test_nothing_is_drawn_where_nobody_watches(
    tiny_corpus: Corpus, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    estimate(tiny_corpus, learner_of(tiny_corpus), tmp_path)
    assert capfd.readouterr() == ("", "")


def test_a_folder_with_another_estimate_is_refused(tiny_corpus: Corpus, tmp_path: Path) -> None:
    estimate(tiny_corpus, learner_of(tiny_corpus), tmp_path)
    with pytest.raises(KgrlError, match="another 'tokens'"):
        estimate(tiny_corpus, learner_of(tiny_corpus), tmp_path, tokens=TOKENS + 1)
    with pytest.raises(KgrlError, match="another 'before'"):
        estimate(tiny_corpus, learner_of(tiny_corpus, seed=5), tmp_path)
    with pytest.raises(KgrlError, match=r"transfer\.json is missing"):
        Transfer.read(tmp_path / "elsewhere")


def test_bad_settings_are_refused(tiny_corpus: Corpus, tmp_path: Path) -> None:
    learner = learner_of(tiny_corpus)
    with pytest.raises(SettingError, match="tokens 2, not 6 and 1"):
        estimate(tiny_corpus, learner, tmp_path, tokens=1)
    with pytest.raises(SettingError, match="size must be at least 1"):
        estimate_transfer(tiny_corpus, learner, tmp_path, size=0)
    assert not list(tmp_path.iterdir())
