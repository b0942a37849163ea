"""Keys and values of tokens that were read, so that texts go on from them without reading them again."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

__all__ = ["Past", "with_pasts"]


class Past:
    """Keys and values of a text's tokens in every attention layer.

    The first block that has the text fills it; blocks after that go on from it. Layers are told apart by their modules,
    so models need not number them.

    Attributes:
        tokens: Number of tokens that later blocks see; 0 before `cut`.

    Example:
        >>> past, layer = Past(), nn.Identity()
        >>> states = torch.zeros(1, 1, 3, 2)
        >>> past.lead(layer, states, states)[0].shape  # the text itself
        torch.Size([1, 1, 3, 2])
        >>> past.cut(2)
        >>> past.lead(layer, states, states)[0].shape  # three tokens that go on from its first two
        torch.Size([1, 1, 5, 2])
    """

    def __init__(self) -> None:
        self.tokens = 0
        self._layers: dict[nn.Module, tuple[Tensor, Tensor]] = {}

    def lead(self, layer: nn.Module, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Return a layer's keys and values with those of the past before them; an empty past keeps them instead.

        Args:
            layer: The attention layer.
            keys: Keys of new tokens, `[1, key heads, tokens, width]`.
            values: Their values, of the same shape but for the width.
        """
        if not self.tokens:
            self._layers[layer] = keys, values
            return keys, values
        earlier = self._layers[layer]
        return torch.cat([earlier[0], keys], dim=2), torch.cat([earlier[1], values], dim=2)

    def cut(self, tokens: int) -> None:
        """Keep the first tokens only; from now on texts go on from them."""
        self._layers = {at: (keys[:, :, :tokens], values[:, :, :tokens]) for at, (keys, values) in self._layers.items()}
        self.tokens = tokens


def with_pasts(
    layer: nn.Module, keys: Tensor, values: Tensor, lengths: list[int], pasts: Sequence[Past] | None
) -> tuple[Sequence[Tensor], Sequence[Tensor]]:
    """Split packed keys and values by piece, and put what each piece goes on from before it.

    Args:
        layer: The attention layer.
        keys: Keys of a block, `[1, key heads, tokens, width]`.
        values: Its values.
        lengths: Tokens of each piece.
        pasts: The past of each piece, to be filled or gone on from; none without.
    """
    split = torch.split(keys, lengths, dim=2), torch.split(values, lengths, dim=2)
    if pasts is None:
        return split
    led = [past.lead(layer, *own) for past, *own in zip(pasts, *split, strict=True)]
    return [own for own, _ in led], [own for _, own in led]
