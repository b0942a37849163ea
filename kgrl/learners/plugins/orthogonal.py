"""Orthogonal adapters: every lesson trains rows of its own, pushed away from those of earlier lessons."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from kgrl.corpus import Passages
from kgrl.errors import SettingError
from kgrl.learners.plugins.base import Plugin, PluginHost

__all__ = ["OrthogonalSlots"]


class OrthogonalSlots(Plugin):
    """O-LoRA (Wang et al. 2023, "Orthogonal Subspace Learning for Language Model Continual Learning").

    The learner's adapter of rank R is divided into slots of R / `slots` rows. Each lesson trains the next slot and
    leaves the others as they are; a penalty, `strength` times the squared entries of A_i A_t^T for every earlier slot i
    and the present slot t, keeps the lesson's input directions orthogonal to theirs. As the slots of one adapter, all
    lessons' updates are in force at once, and the whole is one plain PEFT adapter. Slots of later lessons add nothing:
    their B is 0.

    For a comparison with a plain adapter of rank r, give the learner `rank=slots * r` and `alpha=slots * alpha`, which
    leaves the scale alpha / r as it was.

    Args:
        slots: Number of slots; the rank must be a multiple of it.
        strength: Weight of the penalty, in nats per token.
        lessons_per_slot: Lessons that share a slot.

    Raises:
        SettingError: When it is attached, if the learner has no adapter or its rank does not divide into the slots; in
            training, if more lessons come than the slots hold.

    Example:
        >>> OrthogonalSlots(slots=4)
        OrthogonalSlots(slots=4, strength=0.5, lessons_per_slot=1)
    """

    name = "orthogonal"
    adapts = True

    def __init__(self, slots: int = 8, strength: float = 0.5, lessons_per_slot: int = 1) -> None:
        if slots < 1 or lessons_per_slot < 1:
            raise SettingError(f"slots and lessons_per_slot must be at least 1, not {slots} and {lessons_per_slot}")
        self.slots, self.strength, self.lessons_per_slot = slots, strength, lessons_per_slot
        self._lessons = 0

    def attach(self, learner: PluginHost) -> None:
        """Find the adapter's matrices."""
        super().attach(learner)
        self._down = [name for name in learner.shapes if ".lora_A." in name]
        self._up = [name for name in learner.shapes if ".lora_B." in name]
        if not self._down:
            raise SettingError(f"{self.name!r} needs a learner with an adapter; this one trains all its weights")
        rank = learner.shapes[self._down[0]][0]
        if rank % self.slots:
            raise SettingError(
                f"a rank of {rank} does not divide into {self.slots} slots; choose a multiple of {self.slots}"
            )
        self._rows = rank // self.slots

    def begin(self, passages: Passages) -> None:
        """Move on to the lesson's slot."""
        slot = self._lessons // self.lessons_per_slot
        if slot >= self.slots:
            held = self.slots * self.lessons_per_slot
            raise SettingError(
                f"{self.slots} slots hold {held} lessons, and this is one more: give {self.name!r} more slots"
            )
        self._own = slice(slot * self._rows, (slot + 1) * self._rows)  # rows of A, columns of B
        self._mask = torch.zeros_like(self.learner.weights)
        for name in self._down:
            self.learner.view(self._mask, name)[self._own] = 1
        for name in self._up:
            self.learner.view(self._mask, name)[:, self._own] = 1
        if self._lessons % self.lessons_per_slot == 0:
            # Otherwise momentum would go on moving the last slot. And AdamW would not correct the new slot's averages
            # for having begun at zero, as it does in its first updates: steps would have twice the size.
            self.learner.reset_optimizer()

    @torch.no_grad()
    def regularise(self) -> None:
        """Add the gradient of the penalty, 2 strength (A_t A_past^T) A_past for each matrix A."""
        past = slice(0, self._own.start)
        for name in self._down:
            a, gradient = self.learner.view(self.learner.weights, name), self.learner.view(self.learner.gradient, name)
            gradient[self._own] += 2 * self.strength * (a[self._own] @ a[past].T) @ a[past]

    def restrict(self) -> None:
        """Zero the gradients of the other slots."""
        self.learner.gradient.mul_(self._mask)

    def end(self, passages: Passages) -> None:
        """Count the lesson."""
        self._lessons += 1

    def state(self) -> Mapping[str, Tensor]:
        """The number of lessons so far."""
        return {"lessons": torch.tensor(self._lessons)}

    def set_state(self, state: Mapping[str, Tensor]) -> None:
        """Go back to a state."""
        self._lessons = int(state["lessons"])
