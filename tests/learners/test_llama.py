"""The small Llama of our own is transformers' Llama: the same initial weights, logits, gradients and files."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from kgrl.learners.decoder.llama import Llama, Shape
from kgrl.learners.decoder.loss import mean_loss
from kgrl.learners.decoder.packing import pack

SHAPE = Shape(width=48, layers=3, heads=4, vocabulary=80)


@pytest.fixture
def models() -> tuple[Llama, LlamaForCausalLM]:
    """Both models with the same weights, all of which matter to the logits."""
    torch.manual_seed(5)
    own = Llama(SHAPE)
    for name, weight in own.named_parameters():
        torch.nn.init.normal_(weight, float("norm" in name), 0.3)
    theirs = LlamaForCausalLM(LlamaConfig(**SHAPE.config(first=0))).eval()
    theirs.load_state_dict(own.state_dict(), strict=False)
    return own, theirs


@pytest.mark.parametrize("seed", [0, 7])
def test_the_seed_draws_the_weights_that_it_draws_in_transformers(seed: int) -> None:
    """Runs of earlier versions are repeated from their seed."""
    torch.manual_seed(seed)
    own = dict(Llama(SHAPE).named_parameters())
    torch.manual_seed(seed)
    theirs = dict(LlamaForCausalLM(LlamaConfig(**SHAPE.config(first=0))).named_parameters())
    assert list(own) == list(theirs)
    assert all(torch.equal(own[name], theirs[name]) for name in own)


def test_logits_are_those_of_transformers(models: tuple[Llama, LlamaForCausalLM]) -> None:
    own, theirs = models
    ids = torch.from_numpy(np.random.default_rng(1).integers(0, SHAPE.vocabulary, (3, 50)))
    with torch.no_grad():
        logits = theirs(ids).logits
        torch.testing.assert_close(own(ids), logits, rtol=0, atol=1e-5 * float(logits.abs().max()))


def test_gradients_of_packed_passages_are_those_of_passages_one_by_one(
    models: tuple[Llama, LlamaForCausalLM],
) -> None:
    own, theirs = models
    passages = [np.random.default_rng(length).integers(0, SHAPE.vocabulary, length) for length in (9, 2, 30)]
    (block,) = pack(passages, block_tokens=64, context=64)
    mean_loss(own.states(block), own.head, torch.from_numpy(block.targets))[0].backward()  # type: ignore[no-untyped-call]
    total = torch.zeros(())
    for passage in passages:
        ids = torch.from_numpy(passage)
        total = total + torch.nn.functional.cross_entropy(theirs(ids[None, :-1]).logits[0], ids[1:], reduction="sum")
    (total / len(block)).backward()  # type: ignore[no-untyped-call]
    for name, weight in theirs.named_parameters():
        gradient, expected = own.get_parameter(name).grad, weight.grad
        assert gradient is not None and expected is not None
        assert (gradient - expected).norm() < 1e-4 * expected.norm(), name
