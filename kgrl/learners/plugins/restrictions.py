"""Restricted updates: each lesson changes only a part of the trained weights, or changes them in few directions.

`TopK` and `FreezeLayers` choose a part at a lesson's first update, by its gradient, and keep the other weights fixed
until the lesson ends. `GradientProjection` projects every update. `Learned.changed` is the share of the weights that a
lesson changed.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Literal, get_args

import torch
from torch import Tensor

from kgrl.corpus import Passages
from kgrl.errors import SettingError, UnknownNameError
from kgrl.learners.plugins.base import Plugin, PluginHost

__all__ = ["FreezeLayers", "GradientProjection", "TopK"]

Over = Literal["all", "tensor"]
_LAYER = re.compile(r"^.*?\.\d+\.")
"""The part of a parameter's name that names its layer: `model.layers.3.` of `model.layers.3.mlp.up_proj.weight`."""


class _Part(Plugin, ABC):
    """Changes only a part of the weights, chosen anew in each lesson."""

    _mask: Tensor | None = None
    _before: Tensor

    @abstractmethod
    def _chosen(self, gradient: Tensor) -> Tensor:
        """Mask of the weights that may change, bool of shape `[weights]`, by a lesson's first gradient."""

    def begin(self, passages: Passages) -> None:
        """Forget the choice of the lesson before."""
        self._mask = None

    def restrict(self) -> None:
        """Choose at a lesson's first update, and copy the weights before every update."""
        # The gradient is not masked: AdamW's averages of all weights stay right for lessons that choose others.
        if self._mask is None:
            self._mask = self._chosen(self.learner.gradient)
        self._before = self.learner.weights.detach().clone()

    @torch.no_grad()
    def updated(self) -> None:
        """Put back the weights that are not chosen."""
        assert self._mask is not None
        self.learner.weights.copy_(torch.where(self._mask, self.learner.weights, self._before))


class TopK(_Part):
    """Changes only the weights with the largest gradients, by magnitude.

    Args:
        share: Share of the weights that may change, above 0 and at most 1.
        over: `"all"`: the largest of the whole vector; `"tensor"`: the same share of every tensor.

    Raises:
        SettingError: If the share is not above 0 and at most 1.
        UnknownNameError: If `over` is something else.

    Example:
        >>> TopK(share=0.01)
        TopK(share=0.01, over='all')
    """

    name = "top-k"

    def __init__(self, share: float = 0.05, over: Over = "all") -> None:
        if not 0 < share <= 1:
            raise SettingError(f"the share of weights that may change must be above 0 and at most 1, not {share}")
        if over not in get_args(Over):
            raise UnknownNameError("range of top-k", over, get_args(Over))
        self.share, self.over = share, over

    def _chosen(self, gradient: Tensor) -> Tensor:
        chosen = torch.zeros_like(gradient, dtype=torch.bool)
        for part in [slice(None)] if self.over == "all" else self.learner.slices.values():
            size = gradient[part].abs()
            chosen[part][size.topk(max(1, round(self.share * len(size)))).indices] = True
        return chosen


class FreezeLayers(_Part):
    """Changes only the layers whose gradient has the largest norm; tensors outside the layers count as one more.

    Args:
        keep: Number of layers that may change.

    Raises:
        SettingError: If `keep` is below 1.

    Example:
        >>> FreezeLayers(keep=2)
        FreezeLayers(keep=2)
    """

    name = "freeze-layers"

    def __init__(self, keep: int = 6) -> None:
        if keep < 1:
            raise SettingError(f"at least one layer must be kept for training, not {keep}")
        self.keep = keep

    def _chosen(self, gradient: Tensor) -> Tensor:
        layers: dict[str, list[slice]] = {}
        for name, part in self.learner.slices.items():
            found = _LAYER.match(name)
            layers.setdefault(found[0] if found else "", []).append(part)
        squares = {layer: sum(float(gradient[p].square().sum()) for p in parts) for layer, parts in layers.items()}
        chosen = torch.zeros_like(gradient, dtype=torch.bool)
        for layer in sorted(squares, key=lambda layer: -squares[layer])[: self.keep]:
            for part in layers[layer]:
                chosen[part] = True
        return chosen


class GradientProjection(Plugin):
    """GaLore (Zhao et al. 2024): matrices are updated in a subspace of rank r that follows their gradients.

    Every `refresh` updates the r leading singular vectors of a matrix's gradient, on its shorter side, become its
    basis P. Adam's moments are kept for the projected gradient P^T G, smaller than G by the ratio of r to that side,
    and the update is P times Adam's direction. All entries of a matrix change, in r directions of it; other tensors
    are updated by the learner's own optimizer.

    Args:
        rank: Rank r of the projection; matrices with a side of that or less are not projected.
        refresh: Updates between two bases.

    Raises:
        SettingError: If `rank` or `refresh` is below 1.

    Example:
        >>> GradientProjection(rank=8)
        GradientProjection(rank=8, refresh=50)
    """

    name = "gradient-projection"
    _BETAS, _EPSILON = (0.9, 0.99), 1e-8

    def __init__(self, rank: int = 4, refresh: int = 50) -> None:
        if rank < 1 or refresh < 1:
            raise SettingError(f"rank and refresh must be at least 1, not {rank} and {refresh}")
        self.rank, self.refresh = rank, refresh
        self._updates = 0

    def attach(self, learner: PluginHost) -> None:
        """Find the matrices that the projection makes smaller."""
        super().attach(learner)
        self._names = [n for n, shape in learner.shapes.items() if len(shape) == 2 and min(shape) > self.rank]
        self._bases: dict[str, Tensor] = {}
        self._moments: dict[str, tuple[Tensor, Tensor]] = {}

    def restrict(self) -> None:
        """Project the matrices' gradients, and set them to zero for the learner's optimizer."""
        if self._updates % self.refresh == 0:
            for name in self._names:
                left, _, _ = torch.linalg.svd(self._wide(self.learner.gradient, name), full_matrices=False)
                self._bases[name] = left[:, : self.rank].contiguous()  # P, [shorter side, r]
        self._updates += 1
        for name in self._names:
            gradient = self._wide(self.learner.gradient, name)  # G, [shorter side, longer side]
            small = self._bases[name].T @ gradient  # P^T G, [r, longer side]
            first, second = self._moments.get(name, (torch.zeros_like(small), torch.zeros_like(small)))
            # New tensors: snapshots hold the old ones.
            first, second = torch.lerp(small, first, self._BETAS[0]), torch.lerp(small**2, second, self._BETAS[1])
            self._moments[name] = first, second
            gradient.zero_()

    @torch.no_grad()
    def updated(self) -> None:
        """Update the matrices by Adam's direction in their bases."""
        # Adam's correction of averages that began at zero (Kingma and Ba 2015).
        corrections = [1 - beta**self._updates for beta in self._BETAS]
        for name in self._names:
            first, second = (m / c for m, c in zip(self._moments[name], corrections, strict=True))
            direction = self._bases[name] @ (first / (second.sqrt() + self._EPSILON))
            self._wide(self.learner.weights, name).sub_(direction, alpha=self.learner.current_rate)

    def state(self) -> Mapping[str, Tensor]:
        """Bases, moments and the number of updates."""
        state = {"updates": torch.tensor(self._updates)}
        for name, basis in self._bases.items():
            first, second = self._moments[name]
            state |= {f"basis.{name}": basis, f"first.{name}": first, f"second.{name}": second}
        return state

    def set_state(self, state: Mapping[str, Tensor]) -> None:
        """Go back to a state."""
        self._updates = int(state["updates"])
        known = [name for name in self._names if f"basis.{name}" in state]
        device = self.learner.weights.device  # a saved state is on the CPU
        here = {name: tensor.to(device) for name, tensor in state.items()}
        self._bases = {name: here[f"basis.{name}"] for name in known}
        self._moments = {name: (here[f"first.{name}"], here[f"second.{name}"]) for name in known}

    def _wide(self, vector: Tensor, name: str) -> Tensor:
        """A matrix's part of a vector, with its shorter side first, as a view."""
        matrix = self.learner.view(vector, name)
        return matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
