"""Packing: every token of every passage is in exactly one block, next to what it is to predict."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import cross_entropy

from kgrl.learners.decoder.loss import Logits, mean_loss, token_losses
from kgrl.learners.decoder.packing import pack

lengths = st.lists(st.integers(2, 21), min_size=1, max_size=30)


@given(lengths, st.integers(1, 100), st.integers(1, 50))
def test_every_token_is_predicted_once_and_in_order(lengths: list[int], block_tokens: int, context: int) -> None:
    sequences = [np.arange(n) + 1000 * i for i, n in enumerate(lengths)]
    blocks = pack(sequences, block_tokens, context)
    assert np.array_equal(np.concatenate([b.targets for b in blocks]), np.concatenate([s[1:] for s in sequences]))
    assert np.array_equal(np.concatenate([b.inputs for b in blocks]), np.concatenate([s[:-1] for s in sequences]))
    owners = np.concatenate([b.owners for b in blocks])
    assert np.array_equal(owners, np.repeat(np.arange(len(lengths)), np.array(lengths) - 1))


@given(lengths, st.integers(1, 100), st.integers(1, 50))
def test_positions_count_from_where_a_piece_starts(lengths: list[int], block_tokens: int, context: int) -> None:
    sequences = [np.arange(n) for n in lengths]
    for block in pack(sequences, block_tokens, context):
        assert np.array_equal(block.positions, block.inputs % context)


@given(lengths, st.integers(1, 100), st.integers(1, 50))
def test_blocks_have_about_the_size_asked_for(lengths: list[int], block_tokens: int, context: int) -> None:
    sizes = [len(block) for block in pack([np.zeros(n) for n in lengths], block_tokens, context)]
    longest = min(context, max(lengths) - 1)
    assert max(sizes) <= block_tokens + longest
    if sum(sizes) > 2 * block_tokens:
        assert min(sizes) >= block_tokens / 2 - longest


@pytest.fixture
def problem(monkeypatch: pytest.MonkeyPatch) -> tuple[Tensor, Tensor, Tensor]:
    """Seven positions of a vocabulary of 20, in tiles of three: there are several, and the last is smaller."""
    monkeypatch.setattr("kgrl.learners.decoder.loss._TILE_LOGITS", 21)
    torch.manual_seed(0)
    return 9 * torch.randn(7, 3), 9 * torch.randn(20, 3), torch.randint(20, (7,))


def test_tiled_losses_are_cross_entropy(problem: tuple[Tensor, Tensor, Tensor]) -> None:
    hidden, head, targets = problem
    torch.testing.assert_close(token_losses(*problem), cross_entropy(hidden @ head.T, targets, reduction="none"))


@pytest.mark.parametrize("head_is_trained", [False, True])
def test_gradients_are_those_of_the_mean_cross_entropy(
    head_is_trained: bool, problem: tuple[Tensor, Tensor, Tensor]
) -> None:
    hidden, head, targets = problem
    leaves = (hidden.requires_grad_(), head.requires_grad_(head_is_trained))[: 1 + head_is_trained]
    expected = torch.autograd.grad(3 * cross_entropy(hidden @ head.T, targets), leaves)
    mean, losses = mean_loss(hidden, head, targets)
    torch.testing.assert_close(torch.autograd.grad(3 * mean, leaves), expected)
    assert not losses.requires_grad
    torch.testing.assert_close(losses, cross_entropy(hidden @ head.T, targets, reduction="none").detach())


@pytest.mark.parametrize("head_is_trained", [False, True])
@pytest.mark.parametrize(("biased", "cap"), [(True, None), (False, 5.0), (True, 5.0)])
def test_logits_with_a_bias_or_a_bound_have_the_losses_and_gradients_of_autograd(
    head_is_trained: bool, biased: bool, cap: float | None, problem: tuple[Tensor, Tensor, Tensor]
) -> None:
    hidden, head, targets = problem
    logits = Logits(torch.randn(20) if biased else None, cap)
    leaves = (hidden.requires_grad_(), head.requires_grad_(head_is_trained))[: 1 + head_is_trained]
    products = hidden @ head.T + (0 if logits.bias is None else logits.bias)
    plain = products if cap is None else cap * torch.tanh(products / cap)
    expected = torch.autograd.grad(cross_entropy(plain, targets), leaves)
    mean, losses = mean_loss(hidden, head, targets, logits)
    torch.testing.assert_close(torch.autograd.grad(mean, leaves), expected)
    torch.testing.assert_close(losses, cross_entropy(plain, targets, reduction="none").detach())
    torch.testing.assert_close(token_losses(hidden, head, targets, logits), losses)
