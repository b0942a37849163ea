"""Layers of the curiosity policy as fast functions with gradients, on the CPU.

Each is one step of PyTorch's automatic differentiation: products of matrices are PyTorch's, the work between them is
that of `kgrl.agents.policy.kernels`. Results equal those of PyTorch's own layers up to the rounding of float32.
"""

# mypy: disable-error-code="override, no-untyped-call"

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn

from kgrl.agents.policy.kernels import (
    judge_back,
    judge_into,
    mark_present,
    modulate_back,
    modulate_into,
    recur_back,
    recur_into,
)

__all__ = ["judged", "modulated", "read_path"]

_SAMPLES = 64
"""Samples that one thread takes at a time. Sums are taken part by part, so they do not depend on the threads."""


def read_path(path: nn.GRU, rows: Tensor) -> Tensor:
    """Return the state of a recurrent network after the last row, float32 `[batch, recurrent]`.

    Args:
        path: The network.
        rows: Its inputs, float32 `[batch, rows, features]`. Rows of zeros at the start leave the state at 0.
    """
    weights = (path.weight_ih_l0, path.weight_hh_l0, path.bias_ih_l0, path.bias_hh_l0)
    state: Tensor = _Recurrence.apply(rows.contiguous(), *weights)
    return state


def modulated(z: Tensor, norm: nn.LayerNorm, scale: Tensor, shift: Tensor) -> Tensor:
    """Return `gelu(norm(z) * (1 + scale) + shift)`, float32 `[batch, slots, width]`.

    Args:
        z: Candidates, float32 `[batch, slots, width]`.
        norm: The layer that normalises them.
        scale: Factors minus 1 for the candidates of each sample, `[batch, width]`.
        shift: Their offsets, `[batch, width]`.
    """
    out: Tensor = _Modulation.apply(z, norm.weight, norm.bias, scale.contiguous(), shift.contiguous())
    return out


def judged(z: Tensor, filled: Tensor, score: nn.Linear) -> tuple[Tensor, Tensor]:
    """Return the scores of candidates `gelu(z)`, and the mean of those candidates in filled slots.

    Args:
        z: Candidates, float32 `[batch, slots, width]`.
        filled: Whether slots are filled, int8 `[batch, slots]`.
        score: The layer that scores a candidate.

    Returns:
        Scores, float32 `[batch, slots]`, the lowest float where a slot is empty; means, `[batch, width]`.
    """
    scores, mean = _Judgement.apply(z, filled.contiguous(), score.weight, score.bias)
    return scores, mean


class _Recurrence(torch.autograd.Function):
    """A gated recurrent unit that ends with the last row; no gradient of the rows."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, into: Tensor, onto: Tensor, bias: Tensor, further: Tensor) -> Tensor:
        batch, steps, _ = rows.shape
        present = rows.new_empty(batch, steps)
        mark_present(rows.numpy(), present.numpy())
        gates = torch.addmm(bias, rows.flatten(0, 1), into.t()).view(batch, steps, -1)
        carried = rows.new_empty(steps, batch, onto.shape[0])
        states = rows.new_zeros(steps + 1, batch, onto.shape[1])
        for step in range(steps):
            torch.addmm(further, states[step], onto.t(), out=carried[step])
            work = gates, carried[step], present, states[step], states[step + 1]
            recur_into(step, *(array.numpy() for array in work))
        ctx.save_for_backward(rows, onto, present, gates, carried, states)
        return states[-1].clone()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        rows, onto, present, gates, carried, states = ctx.saved_tensors
        to_gates, to_carried, grad = torch.empty_like(gates), torch.empty_like(carried), grad.clone()
        for step in reversed(range(len(carried))):
            work = gates, carried[step], present, states[step], grad, to_gates, to_carried[step]
            recur_back(step, *(array.detach().numpy() for array in work))
            grad.addmm_(to_carried[step], onto)
        flat, back = to_gates.flatten(0, 1), to_carried.flatten(0, 1)
        to_onto = back.t() @ states[:-1].flatten(0, 1)
        return None, flat.t() @ rows.flatten(0, 1), to_onto, flat.sum(0), back.sum(0)


class _Modulation(torch.autograd.Function):
    """Layer normalisation, feature-wise modulation and GELU in one pass."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, weight: Tensor, bias: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        out = torch.empty_like(z)
        given = [tensor.detach().numpy() for tensor in (z, weight, bias, scale, shift, out)]
        _in_parts(len(z), lambda part, first, last: modulate_into(first, last, *given))
        ctx.save_for_backward(z, weight, bias, scale, shift)
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, ...]:
        z, weight, bias, scale, shift = ctx.saved_tensors
        sums = z.new_zeros(2, _parts(len(z)), len(weight))
        to = torch.empty_like(z), torch.zeros_like(scale), torch.zeros_like(shift)
        given = [tensor.detach().numpy() for tensor in (grad.contiguous(), z, weight, bias, scale, shift, *to)]
        _in_parts(len(z), lambda part, first, last: modulate_back(first, last, *given, *sums[:, part].numpy()))
        return to[0], *sums.sum(1), *to[1:]


class _Judgement(torch.autograd.Function):
    """GELU, score and mean in one pass."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, filled: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        scores, mean = z.new_empty(z.shape[:2]), z.new_empty(len(z), z.shape[2])
        given = [tensor.detach().numpy() for tensor in (z, filled, weight[0], bias, scores, mean)]
        _in_parts(len(z), lambda part, first, last: judge_into(first, last, *given))
        ctx.save_for_backward(z, filled, weight)
        return scores, mean

    @staticmethod
    def backward(ctx: Any, by_score: Tensor, by_mean: Tensor) -> tuple[Tensor | None, ...]:
        z, filled, weight = ctx.saved_tensors
        to_z, to_weight = torch.empty_like(z), z.new_zeros(_parts(len(z)), weight.shape[1])
        sums = to_weight, z.new_zeros(len(to_weight), 1)
        tensors = by_score.contiguous(), by_mean.contiguous(), z, filled, weight[0], to_z
        given = [tensor.detach().numpy() for tensor in tensors]
        _in_parts(
            len(z), lambda part, first, last: judge_back(first, last, *given, *(total[part].numpy() for total in sums))
        )
        return to_z, None, to_weight.sum(0, keepdim=True), sums[1].sum(0)


def _parts(samples: int) -> int:
    return -(-samples // _SAMPLES)


def _in_parts(samples: int, work: Callable[[int, int, int], object]) -> None:
    """Carry out work on parts of a batch, on as many threads as PyTorch uses.

    Args:
        samples: Samples of the batch.
        work: Takes the number of a part, its first sample, and the one after its last.
    """
    parts = [(part, part * _SAMPLES, min(samples, (part + 1) * _SAMPLES)) for part in range(_parts(samples))]
    threads = min(torch.get_num_threads(), len(parts))
    if threads < 2:
        for part in parts:
            work(*part)
    else:
        list(_pool(os.getpid(), threads).map(lambda part: work(*part), parts))


@lru_cache(maxsize=1)
def _pool(process: int, threads: int) -> ThreadPoolExecutor:
    """Return the threads of a process; a forked one has none of its parent's."""
    return ThreadPoolExecutor(threads)
