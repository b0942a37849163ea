"""Letting a learner measure texts that are in no corpus."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kgrl.corpus import Corpus
from kgrl.errors import SettingError
from kgrl.learners.base import Learner

__all__ = ["check_reads_text", "text_losses"]


def check_reads_text(learner: Learner) -> None:
    """Refuse a learner that cannot measure texts.

    Raises:
        SettingError: If the learner reads no text, as a simulated one.
    """
    from kgrl.learners.decoder.learner import DecoderLearner

    if not isinstance(learner, DecoderLearner):
        kind = getattr(learner, "kind", type(learner).__name__)
        raise SettingError(f"a {kind} learner reads no text, so nobody can ask what it recalls; use scratch or lora")


def text_losses(learner: Learner, corpus: Corpus) -> NDArray[np.float64]:
    """Return a learner's loss of each passage of any corpus, in nats; changes nothing.

    Args:
        learner: A learner that reads text: scratch or LoRA.
        corpus: Passages on the topics of the learner's own topic graph, which plug-ins tell topics by.

    Returns:
        Negative log-likelihoods of whole passages, shape `[passages]`; means would favour names of many tokens.

    Raises:
        SettingError: If the learner reads no text, as a simulated one.
        DivergedError: If a loss is not finite.
    """
    passages = corpus.select(np.arange(len(corpus)))
    reader = _reader_of(learner, corpus)
    return reader.losses(passages).astype(np.float64) * reader.count_tokens(passages)


def _reader_of(learner: Learner, corpus: Corpus) -> Learner:
    """The learner, weights and plug-ins shared, as one that reads another corpus."""
    from kgrl.learners.decoder.learner import DecoderLearner

    check_reads_text(learner)
    assert isinstance(learner, DecoderLearner)
    return learner.reading(corpus)
