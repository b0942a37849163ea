"""The fast layers of the curiosity policy give what PyTorch's own layers give, gradients included."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from kgrl.agents.policy.layers import judged, modulated, read_path
from kgrl.agents.policy.network import CandidateScorer, PolicyConfig
from kgrl.builtin import PROJECTED
from kgrl.envs.features.space import observation_space

CONFIG = PolicyConfig(hidden=24, recurrent=20, heads=3)
BATCH, SLOTS = 70, 9
"""More samples than a thread takes at a time, and not a multiple of it."""

Batch = dict[str, Tensor]


def plainly(member: Any, batch: Batch) -> tuple[Tensor, Tensor]:
    """Scores and values of a network of the committee, written with PyTorch's layers, a path at a time."""
    filled, rows = batch["mask"] > 0, batch["path"]
    read = torch.zeros(len(rows), CONFIG.recurrent)
    for sample, pages in enumerate(rows[:, :-1]):
        there = pages[pages.any(dim=-1)]
        if len(there):
            read = read.index_put((torch.tensor([sample]),), member.path(there[None])[1][0])
    context = member.context(torch.cat([read, rows[:, -1], batch["goal"], batch["global"]], dim=-1))
    questions = member.questions(context).unflatten(1, (-1, PROJECTED))
    answers = batch["topics"] @ questions.transpose(1, 2) / PROJECTED**0.5
    scale, shift = member.modulation(context).unsqueeze(1).chunk(2, dim=-1)
    read = member.norm(member.candidate(torch.cat([batch["candidates"], answers], dim=-1)))
    hidden = nn.functional.gelu(member.hidden(nn.functional.gelu(read * (1 + scale) + shift)))
    scores = member.score(hidden).squeeze(-1).masked_fill(~filled, torch.finfo(torch.float32).min)
    mean = (hidden * filled.unsqueeze(-1)).sum(dim=1) / filled.sum(dim=1, keepdim=True).clamp(min=1)
    return scores, member.value(torch.cat([context, mean], dim=-1)).squeeze(-1)


def network(seed: int = 0) -> CandidateScorer:
    """A policy with scores far from uniform."""
    torch.manual_seed(seed)
    made = CandidateScorer(CONFIG)
    for weights in made.parameters():
        nn.init.normal_(weights, std=0.3)
    return made


def observations(seed: int = 0) -> Batch:
    """Random states with paths of all lengths; in the first one nothing is filled, in the second one everything."""
    made = torch.Generator().manual_seed(seed)
    shapes = {name: space.shape or () for name, space in observation_space(SLOTS).items()}
    batch = {name: torch.randn(BATCH, *shape, generator=made) for name, shape in shapes.items()}
    for sample in range(BATCH):
        batch["path"][sample, : sample % 13] = 0.0
    batch["mask"] = torch.randint(0, 2, (BATCH, SLOTS), generator=made).to(torch.int8)
    batch["mask"][0], batch["mask"][1] = 0, 1
    return batch


def loss_of(scores: Tensor, values: Tensor) -> Tensor:
    """A number that depends on all scores of filled slots and on all values, each by another factor."""
    weights = torch.linspace(-1, 1, scores.numel()).view_as(scores)
    return (torch.where(scores > -1e30, scores, 0.0) * weights).sum() + (values * values.detach().cos()).sum()


def gradients(of: nn.Module, loss: Tensor, *, retain_graph: bool = False) -> dict[str, Tensor]:
    of.zero_grad()
    loss.backward(retain_graph=retain_graph)  # type: ignore[no-untyped-call]
    return {name: weights.grad.clone() for name, weights in of.named_parameters() if weights.grad is not None}


@pytest.mark.parametrize("threads", [1, 2])
def test_scores_values_and_gradients_are_those_of_the_plain_network(threads: int) -> None:
    member, batch = network().members[0], observations()
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        scores, known = member(batch)
        ours, plain = (scores, member.value(known).squeeze(-1)), plainly(member, batch)
        for one, other in zip(ours, plain, strict=True):
            assert torch.allclose(one, other, rtol=1e-4, atol=1e-5)
        own, expected = gradients(member, loss_of(*ours)), gradients(member, loss_of(*plain))
    finally:
        torch.set_num_threads(before)
    assert own.keys() == expected.keys() == dict(member.named_parameters()).keys()
    for name, gradient in own.items():
        assert (gradient - expected[name]).norm() < 1e-4 * expected[name].norm() + 1e-5, name


def test_gradients_are_those_of_small_changes() -> None:
    torch.manual_seed(0)
    z, scale, shift = torch.randn(3, 4, 6, requires_grad=True), torch.randn(3, 6), torch.randn(3, 6)
    norm, score = nn.LayerNorm(6), nn.Linear(6, 1)
    filled = torch.tensor([[1, 1, 0, 1], [0, 0, 0, 0], [1, 1, 1, 1]], dtype=torch.int8)
    direction = torch.randn(3, 4, 6)

    def loss(at: Tensor) -> Tensor:
        """All results of the two layers as one number."""
        scores, mean = judged(modulated(at, norm, scale, shift), filled, score)
        return torch.where(filled > 0, scores, 0.0).sin().sum() + mean.square().sum()

    loss(z).backward()  # type: ignore[no-untyped-call]
    assert z.grad is not None
    with torch.no_grad():
        slope = (loss(z + 0.01 * direction) - loss(z - 0.01 * direction)) / 0.02
    assert float((z.grad * direction).sum()) == pytest.approx(float(slope), rel=1e-2, abs=1e-3)


def test_functions_of_numbers_of_any_size_are_finite_and_right() -> None:
    z = torch.tensor([[[-1e4, -90.0, -9.0, -1.0, -1e-3, 0.0, 1e-3, 1.0, 9.0, 90.0, 1e4]]])
    weight = nn.Linear(11, 1)
    nn.init.ones_(weight.weight)
    nn.init.zeros_(weight.bias)
    scores, mean = judged(z, torch.ones(1, 1, dtype=torch.int8), weight)
    assert torch.allclose(mean, nn.functional.gelu(z[0]), rtol=1e-6, atol=1e-6)
    assert scores.isfinite().all()


def test_what_is_not_a_number_stays_so() -> None:
    z = torch.full((1, 1, 6), float("nan"))
    scores, mean = judged(z, torch.ones(1, 1, dtype=torch.int8), nn.Linear(6, 1))
    assert scores.isnan().all() and mean.isnan().all()


def test_a_path_of_no_page_leaves_the_state_at_zero() -> None:
    path = nn.GRU(5, 4, batch_first=True)
    rows = torch.zeros(2, 3, 5)
    rows[1, 2] = 1.0
    state = read_path(path, rows)
    assert (state[0] == 0).all() and torch.allclose(state[1], path(rows[1:, 2:])[1][0, 0], atol=1e-6)


def test_a_backward_pass_can_be_taken_twice() -> None:
    member, batch = network().members[0], observations()
    loss = loss_of(*member(batch))
    once = gradients(member, loss, retain_graph=True)
    again = gradients(member, loss)
    for name, gradient in once.items():
        np.testing.assert_array_equal(gradient, again[name])
