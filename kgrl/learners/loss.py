"""Next-token loss in chunks of positions, so that the logits of a whole block never exist at once.

A block of 512 positions of a 49,152-word vocabulary has 100 MB of logits, and as much again for their gradient; a
chunk's stay in the processor's cache.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

__all__ = ["mean_loss", "token_losses"]

_CHUNK_LOGITS = 2**22
"""Logits that are held at once: 16 MiB in float32."""


def token_losses(hidden: Tensor, head: Tensor, targets: Tensor) -> Tensor:
    """Return the loss of every position, without a gradient.

    Args:
        hidden: The decoder's last states, `[positions, width]`.
        head: Output embedding, `[vocabulary, width]`.
        targets: Token ids to predict, `[positions]`.

    Returns:
        Losses in nats, float32, `[positions]`.
    """
    with torch.no_grad():
        return torch.cat([_loss_and_logits(hidden[at], head, targets[at])[0] for at in _chunks(hidden, head)])


def mean_loss(hidden: Tensor, head: Tensor, targets: Tensor) -> Tensor:
    """Return the mean loss of the positions in nats, a scalar with a gradient; arguments as for `token_losses`."""
    loss: Tensor = _MeanLoss.apply(hidden, head, targets)  # type: ignore[no-untyped-call] # torch types it so
    return loss


class _MeanLoss(torch.autograd.Function):
    """Mean cross entropy whose gradient is made along with the loss: each chunk's logits are computed once."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, head: Tensor, targets: Tensor) -> Tensor:
        total = torch.zeros((), device=hidden.device)
        into_hidden = torch.empty_like(hidden)
        into_head = torch.zeros_like(head) if ctx.needs_input_grad[1] else None
        for at in _chunks(hidden, head):
            losses, logits = _loss_and_logits(hidden[at], head, targets[at])
            total += losses.sum()
            # d loss / d logits = softmax - one-hot
            error = torch.softmax(logits, dim=-1)
            error[torch.arange(len(error)), targets[at]] -= 1
            error = error.div_(len(hidden)).to(head.dtype)
            torch.mm(error, head, out=into_hidden[at])
            if into_head is not None:
                into_head.addmm_(error.T, hidden[at])
        ctx.save_for_backward(into_hidden, into_head)
        return total / len(hidden)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (scale,) = gradients
        into_hidden, into_head = ctx.saved_tensors
        return into_hidden * scale, into_head * scale if into_head is not None else None, None


def _loss_and_logits(hidden: Tensor, head: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    logits = (hidden @ head.T).float()
    return torch.nn.functional.cross_entropy(logits, targets, reduction="none"), logits


def _chunks(hidden: Tensor, head: Tensor) -> Iterator[slice]:
    size = max(1, _CHUNK_LOGITS // len(head))
    return (slice(start, start + size) for start in range(0, len(hidden), size))
