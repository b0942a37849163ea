"""Next-token loss in tiles of the vocabulary, so that the logits of a whole block never exist at once.

A block of 512 positions of a 49,152-word vocabulary has 100 MB of logits, and as much again for their gradient. A
tile's logits stay in the processor's cache, and each part of the output embedding is fetched once for loss and gradient
together. As in online softmax (Milakov and Gimelshein 2018), sums are kept relative to the largest logit so far and
rescaled when it grows.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import nll_loss

__all__ = ["mean_loss", "token_losses"]

_TILE_LOGITS = 2**21
"""Logits that are held at once: 8 MiB in float32."""


def token_losses(hidden: Tensor, head: Tensor, targets: Tensor) -> Tensor:
    """Return the loss of every position, without a gradient.

    Args:
        hidden: The decoder's last states, `[positions, width]`.
        head: Output embedding, `[vocabulary, width]`.
        targets: Token ids to predict, `[positions]`.

    Returns:
        Losses in nats, float32, `[positions]`.

    Example:
        >>> losses = token_losses(torch.zeros(2, 3), torch.ones(4, 3), torch.tensor([0, 3]))
        >>> [round(loss, 3) for loss in losses.tolist()]  # ln 4: all four tokens are equally likely
        [1.386, 1.386]
    """
    with torch.no_grad():
        return _losses_and_mean_rows(hidden, head, targets, with_rows=False)[0]


def mean_loss(hidden: Tensor, head: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean loss of the positions, with a gradient, and the loss of each, without one; both in nats.

    Arguments are those of `token_losses`.

    Example:
        >>> mean, losses = mean_loss(torch.zeros(2, 3), torch.ones(4, 3), torch.tensor([0, 3]))
        >>> round(mean.item(), 3), [round(loss, 3) for loss in losses.tolist()]
        (1.386, [1.386, 1.386])
    """
    if head.requires_grad:
        # Only small models train their output embedding, and their logits are small too.
        scores = torch.log_softmax((hidden @ head.T).float(), dim=1)
        return nll_loss(scores, targets), -scores.detach().gather(1, targets[:, None])[:, 0]
    mean: tuple[Tensor, Tensor] = _MeanLoss.apply(hidden, head, targets)  # type: ignore[no-untyped-call] # torch types it so
    return mean


class _MeanLoss(torch.autograd.Function):
    """Mean cross entropy, and that of each position; the mean's gradient is made from the same logits."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, head: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        losses, rows = _losses_and_mean_rows(hidden, head, targets, with_rows=True)
        # d loss / d hidden = row of the embedding that the prediction expects - row of the target
        ctx.save_for_backward(rows.sub_(head[targets]).div_(len(hidden)).to(hidden.dtype))
        ctx.mark_non_differentiable(losses)
        return losses.mean(), losses

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        return ctx.saved_tensors[0] * gradients[0], None, None


def _losses_and_mean_rows(hidden: Tensor, head: Tensor, targets: Tensor, with_rows: bool) -> tuple[Tensor, Tensor]:
    """Losses, `[positions]`, and the mean embedding row under each position's prediction, `[positions, width]`.

    Without `with_rows` the rows are zeros.
    """
    largest = torch.full((len(hidden),), -torch.inf, device=hidden.device)  # largest logit so far, [positions]
    total = torch.zeros_like(largest)  # sum of exp(logit - largest)
    rows = torch.zeros(hidden.shape, device=hidden.device)  # sum of exp(logit - largest) times the token's row
    for tile in torch.split(head, max(1, _TILE_LOGITS // len(hidden))):
        logits = (hidden @ tile.T).float()  # [positions, tile]
        before, largest = largest, torch.maximum(largest, logits.amax(1))
        likelihood = logits.sub_(largest[:, None]).exp_()
        # Sums of earlier tiles are relative to the former largest logit. For the first tile this is exp(-inf) = 0.
        rescale = (before - largest).exp_()
        total.mul_(rescale).add_(likelihood.sum(1))
        if with_rows:
            rows.mul_(rescale[:, None]).add_(likelihood.to(tile.dtype) @ tile)
    of_target = (hidden.float() * head[targets].float()).sum(1)
    # -log softmax of the target: log(sum of exp(logit)) - logit of the target
    return total.log().add_(largest).sub_(of_target), rows.div_(total[:, None])
