"""Next-token loss in tiles of the vocabulary, so that the logits of a whole block never exist at once.

A block of 512 positions of a 49,152-word vocabulary has 100 MB of logits, and as much again for their gradient. A
tile's logits stay in the processor's cache, and each part of the output embedding is fetched once for loss and gradient
together. As in online softmax (Milakov and Gimelshein 2018), sums are kept relative to the largest logit so far and
rescaled when it grows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import nll_loss

__all__ = ["PLAIN_LOGITS", "Logits", "losses_instead", "mean_loss", "token_losses"]

_TILE_LOGITS = 2**21
"""Logits that are held at once on a CPU: 8 MiB in float32, which stay in its cache."""
_DEVICE_LOGITS = 2**27
"""Logits that are held at once elsewhere, 512 MiB: fewer and larger products."""


@dataclass(frozen=True)
class Logits:
    """The step from products of states and output embedding to logits.

    Args:
        bias: A number added for each token of the vocabulary, `[vocabulary]`, as GPT-J and Phi have it.
        cap: Bound that logits approach by a hyperbolic tangent, `cap * tanh(x / cap)`, as in Gemma 2.

    Example:
        >>> Logits(bias=torch.ones(4), cap=1.0).of(torch.zeros(2, 3), torch.ones(4, 3))[0].tolist()
        [0.7615941762924194, 0.7615941762924194, 0.7615941762924194, 0.7615941762924194]
    """

    bias: Tensor | None = None
    cap: float | None = None

    def of(self, hidden: Tensor, head: Tensor) -> Tensor:
        """Return the logits of all tokens in float32, `[positions, vocabulary]`; arguments as of `token_losses`."""
        return self.capped(_product(hidden, head, self.bias))

    def capped(self, logits: Tensor) -> Tensor:
        """Return logits, float32, with the bound."""
        return logits if self.cap is None else torch.tanh(logits / self.cap) * self.cap


PLAIN_LOGITS = Logits()
"""Logits that are the products themselves, as most models have them."""


def token_losses(hidden: Tensor, head: Tensor, targets: Tensor, logits: Logits = PLAIN_LOGITS) -> Tensor:
    """Return the loss of every position, without a gradient.

    Args:
        hidden: The decoder's last states, `[positions, width]`.
        head: Output embedding, `[vocabulary, width]`.
        targets: Token ids to predict, `[positions]`.
        logits: The step from products of states and embedding to logits.

    Returns:
        Losses in nats, float32, `[positions]`.

    Example:
        >>> losses = token_losses(torch.zeros(2, 3), torch.ones(4, 3), torch.tensor([0, 3]))
        >>> [round(loss, 3) for loss in losses.tolist()]  # ln 4: all four tokens are equally likely
        [1.386, 1.386]
    """
    with torch.no_grad():
        return _losses_and_mean_rows(hidden, head, targets, logits, with_rows=False)[0]


def losses_instead(
    losses: Tensor, hidden: Tensor, head: Tensor, targets: Tensor, others: Tensor, logits: Logits = PLAIN_LOGITS
) -> Tensor:
    """Return the losses that other tokens would have had in the place of the targets, from those of the targets.

    All that differs is the logit of the token; the others' logits are not made again.

    Args:
        losses: The targets' losses, float32 `[positions]`.
        hidden: The decoder's last states, `[positions, width]`.
        head: Output embedding, `[vocabulary, width]`.
        targets: Token ids that were predicted, `[positions]`.
        others: Token ids in their place, `[positions]`.
        logits: The step from products of states and embedding to logits.

    Example:
        >>> hidden, head = torch.ones(1, 1), torch.tensor([[1.0], [3.0]])
        >>> targets, others = torch.tensor([1]), torch.tensor([0])
        >>> losses = token_losses(hidden, head, targets)
        >>> bool(losses_instead(losses, hidden, head, targets, others) == losses + 2)  # its logit is less by 2
        True
    """
    with torch.no_grad():
        own, other = (logits.capped(_target_logits(hidden, head, ids, logits)) for ids in (targets, others))
        return losses + (own - other)


def mean_loss(hidden: Tensor, head: Tensor, targets: Tensor, logits: Logits = PLAIN_LOGITS) -> tuple[Tensor, Tensor]:
    """Return the mean loss of the positions, with a gradient, and the loss of each, without one; both in nats.

    Arguments are those of `token_losses`.

    Example:
        >>> mean, losses = mean_loss(torch.zeros(2, 3), torch.ones(4, 3), torch.tensor([0, 3]))
        >>> round(mean.item(), 3), [round(loss, 3) for loss in losses.tolist()]
        (1.386, [1.386, 1.386])
    """
    if head.requires_grad:
        # Only small models train their output embedding, and their logits are small too.
        scores = torch.log_softmax(logits.of(hidden, head), dim=1)
        return nll_loss(scores, targets), -scores.detach().gather(1, targets[:, None])[:, 0]
    mean: tuple[Tensor, Tensor] = _MeanLoss.apply(hidden, head, targets, logits)  # type: ignore[no-untyped-call] # torch types it so
    return mean


class _MeanLoss(torch.autograd.Function):
    """Mean cross entropy, and that of each position; the mean's gradient is made from the same logits."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, head: Tensor, targets: Tensor, logits: Logits) -> tuple[Tensor, Tensor]:
        losses, rows = _losses_and_mean_rows(hidden, head, targets, logits, with_rows=True)
        of_targets = head[targets]
        if logits.cap is not None:  # the embedding of the target counts by the slope of its logit's bound
            own = _target_logits(hidden, head, targets, logits)
            of_targets = of_targets * _slope(logits.capped(own), logits.cap)[:, None]
        # d loss / d hidden = row of the embedding that the prediction expects - row of the target
        ctx.save_for_backward(rows.sub_(of_targets).div_(len(hidden)).to(hidden.dtype))
        ctx.mark_non_differentiable(losses)
        return losses.mean(), losses

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        return ctx.saved_tensors[0] * gradients[0], None, None, None


def _losses_and_mean_rows(
    hidden: Tensor, head: Tensor, targets: Tensor, logits: Logits, with_rows: bool
) -> tuple[Tensor, Tensor]:
    """Losses, `[positions]`, and the mean embedding row under each position's prediction, `[positions, width]`.

    A row counts by the slope of its logit's bound, if there is one. Without `with_rows` the rows are zeros.
    """
    largest = torch.full((len(hidden),), -torch.inf, device=hidden.device)  # largest logit so far, [positions]
    total = torch.zeros_like(largest)  # sum of exp(logit - largest)
    rows = torch.zeros(hidden.shape, device=hidden.device)  # sum of exp(logit - largest) times the token's row
    size = max(1, (_TILE_LOGITS if hidden.device.type == "cpu" else _DEVICE_LOGITS) // len(hidden))
    tiles = torch.split(head, size)
    biases = [None] * len(tiles) if logits.bias is None else torch.split(logits.bias, size)
    for tile, bias in zip(tiles, biases, strict=True):
        own = logits.capped(_product(hidden, tile, bias))  # [positions, tile]
        before, largest = largest, torch.maximum(largest, own.amax(1))
        slope = None if logits.cap is None else _slope(own, logits.cap)
        likelihood = own.sub_(largest[:, None]).exp_()
        # Sums of earlier tiles are relative to the former largest logit. For the first tile this is exp(-inf) = 0.
        rescale = (before - largest).exp_()
        total.mul_(rescale).add_(likelihood.sum(1))
        if with_rows:
            likelihood = likelihood if slope is None else likelihood.mul_(slope)
            rows.mul_(rescale[:, None]).add_(likelihood.to(tile.dtype) @ tile)
    of_target = logits.capped(_target_logits(hidden, head, targets, logits))
    # -log softmax of the target: log(sum of exp(logit)) - logit of the target
    return total.log().add_(largest).sub_(of_target), rows.div_(total[:, None])


def _product(hidden: Tensor, head: Tensor, bias: Tensor | None) -> Tensor:
    """Products of states and embedding with a bias, float32 `[positions, vocabulary]`."""
    product = (hidden @ head.T).float()
    return product if bias is None else product + bias.float()


def _target_logits(hidden: Tensor, head: Tensor, targets: Tensor, logits: Logits) -> Tensor:
    """Logits of the targets before the bound, float32 `[positions]`."""
    products = (hidden.float() * head[targets].float()).sum(1)
    return products if logits.bias is None else products + logits.bias[targets].float()


def _slope(capped: Tensor, cap: float) -> Tensor:
    """Derivatives of bounded logits by those before the bound."""
    return 1 - (capped / cap).square()
