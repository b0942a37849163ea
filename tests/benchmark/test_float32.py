"""The learners of a benchmark compute in one number format on all machines."""

from __future__ import annotations

import pytest
import torch

from kgrl.benchmark.tasks import make_float32_learner
from kgrl.errors import UnknownNameError
from kgrl.learners import LoraLearner
from kgrl.testing.samples import sample_corpus


@pytest.mark.integration
def test_smollm2_computes_in_float32_where_bfloat16_is_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kgrl.learners.decoder.lora.best_dtype", lambda device: torch.bfloat16)
    learner = make_float32_learner("lora", sample_corpus())
    assert isinstance(learner, LoraLearner)
    assert {weight.dtype for weight in learner.peft_model.parameters()} == {torch.float32}


def test_an_unknown_learner_is_named() -> None:
    with pytest.raises(UnknownNameError, match="scrath"):
        make_float32_learner("scrath", sample_corpus())
