"""Learners by name, with options."""

from __future__ import annotations

import re

import pytest

from kgrl.corpus import Corpus
from kgrl.errors import SettingError
from kgrl.learners import make_learner


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("scratch:speed=2", "speed"),
        ("scratch:preset", "'preset' in 'scratch:preset'"),
        ("scratch:preset=[", "preset"),
        ("scratch:preset=", "preset="),
    ],
)
def test_options_that_a_learner_does_not_have_are_refused(name: str, said: str, tiny_corpus: Corpus) -> None:
    with pytest.raises(SettingError, match=re.escape(said)):
        make_learner(name, tiny_corpus)


def test_options_may_follow_a_learner_s_name(tiny_corpus: Corpus) -> None:
    learner = make_learner("scratch:width=16,heads=2,learning_rate=1e-3", tiny_corpus, heads=4)
    assert "width=16, layers=2, heads=2" in repr(learner) and vars(learner)["learning_rate"] == 0.001
